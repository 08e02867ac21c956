"""Tests for the board with many places: one page of them at a time, cached."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import insert

from app.access.principal import Principal
from app.board.overview_page import PLACES_PER_PAGE
from app.domain.identifiers import uuid7
from app.domain.times import utc_now
from app.domain.tlp import MAX_LEVEL
from app.reference.models import Place, PlaceAncestor
from app.reports.service import record_reports
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.browser.screenshots import save_screenshot
from tests.support.browser import needs_chromium, visit
from tests.support.factories import report
from tests.support.fixtures import FULL
from tests.support.processes import Server, serve
from tests.support.servers import new_key

pytestmark = pytest.mark.starts_early

PLACES = 6000 if FULL else 1200
# The place whose supply runs out first.
FIRST = f"Place {PLACES - 321}"
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date()


def place(number: int) -> dict[str, Any]:
    """Return a row of a place."""
    east, north = 36 + number % 60 / 10, 32.5 + number // 60 / 20
    box = {"longitude": east, "latitude": north}
    return {"id": uuid7(), "slug": f"p{number}", "name": f"Place {number}", "names": {}, "created_at": utc_now(), **box}


async def fill(url: str) -> None:
    """Insert places, each with a supply; that of FIRST runs out first."""
    settings = Settings(database_url=url)
    database = Database(settings)
    caller = Principal(level=MAX_LEVEL, key_id=UUID(int=0), organisation="test")
    try:
        async with database.write() as session:
            places = [place(number) for number in range(PLACES)]
            await session.execute(insert(table_of(Place)), places)
            await session.execute(insert(table_of(PlaceAncestor)), [{"ancestor_id": each["id"], "place_id": each["id"]} for each in places])
            sent = [
                report(
                    "supply_runout",
                    {"in_days_min": 2 if places[number]["name"] == FIRST else 4 + number % 40, "in_days_max": 50},
                    place=places[number]["slug"],
                    stated_at=YESTERDAY.isoformat(),
                )
                for number in range(PLACES)
            ]
            await record_reports(session, caller, [validate(each, settings) for each in sent], settings)
    finally:
        await database.close()


@pytest.fixture(scope="module")
def server(sqlite_template_with_reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server with many places."""
    folder = tmp_path_factory.mktemp("many")
    url = f"sqlite:///{folder / 'many.db'}"
    shutil.copy(sqlite_template_with_reference, folder / "many.db")
    asyncio.run(fill(url))
    with serve(folder, database_url=url) as server:
        yield server


def situation_requests(server: Server, key: str) -> float:
    """Return how many requests for situations have reached the application, which `/metrics` shows to administrators."""
    text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {key}"}).text
    return sum(float(each) for each in re.findall(r'^http_requests_total{handler="/v1/situations".*} (\S+)$', text, re.MULTILINE))


def test_first_response_is_one_page_of_places_and_cached(server: Server) -> None:
    key = asyncio.run(new_key(f"sqlite:///{server.output.parent / 'many.db'}"))
    first = httpx.get(f"{server.url}/", timeout=60)
    assert first.text.count("<article") == PLACES_PER_PAGE
    assert first.text.index(FIRST) < first.text.index('id="p-', first.text.index('id="p-') + 1)
    assert len(first.content) < 100_000
    before = situation_requests(server, key)
    assert before > 0
    again = httpx.get(f"{server.url}/", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert httpx.get(f"{server.url}/").content == first.content
    assert situation_requests(server, key) == before


@needs_chromium
def test_browser_holds_one_page_and_finds_other_places(server: Server, browser: Browser) -> None:
    with visit(browser, server.url, viewport={"width": 1440, "height": 900}) as page:
        page.goto("/", timeout=60_000)
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        assert page.evaluate("document.querySelectorAll('*').length") < 2500
        expect(page.locator("article").first).to_contain_text(FIRST)
        save_screenshot(page, "many-places", whole=False)
        page.get_by_role("link", name="Next").click()
        expect(page.locator(".pages")).to_contain_text(f"Page 2 of {PLACES // PLACES_PER_PAGE}, {PLACES:,} places")
        page.get_by_label("Find places and statements").fill("PLACE 777")
        page.get_by_role("button", name="Find").click()
        expect(page.locator("article")).to_have_count(1)
        expect(page.locator("article")).to_contain_text("Place 777")
