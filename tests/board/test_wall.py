"""Tests for the wall, the last days of a silent ledger, the embedded card, the search field and the labels of statements, over HTTP."""

import re
from datetime import timedelta

import httpx
import pytest

from app.access.principal import Scope
from app.board.overview_page import PLACES_PER_WALL
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.http.localization import LANGUAGES, localization_for
from tests.support.factories import post, post_all, report
from tests.support.fixtures import MakeClient

pytestmark = pytest.mark.usefixtures("reference")
TODAY = utc_now().date()
LOCALE = localization_for("en")


def ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


async def text_of(client: httpx.AsyncClient, path: str, **params: str) -> str:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.text


def rows(page: str) -> list[str]:
    return re.findall(r'data-key="row-([^"]+)"', page)


@pytest.fixture
async def many(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Record eleven places: one is critical, one of those that are serious is silent."""
    for at in range(9):
        await post(client, "/v1/places", slug=f"p{at}", name=f"Place {at}", centroid=[36 + at / 10, 35])
    serious = [report(place=f"p{at}", stated_at=ago(40 if at == 0 else 1)) for at in range(9)]
    held = [report(stated_at=ago(1)), report("supply_runout", {"in_days_min": 2, "in_days_max": 4}, stated_at=ago(1))]
    await post_all(client, *serious, *held, report("route_closure", {"status": "open"}, place="country", stated_at=ago(1)))
    return client


async def test_wall_shows_eight_places_and_turns_its_pages(many: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    first = await text_of(anonymous, "/", wall="1")
    second = await text_of(anonymous, "/", wall="1", page="2")
    assert (PLACES_PER_WALL, len(rows(first)), len(rows(second))) == (8, 8, 3)
    shown = [*rows(first), *rows(second)]
    assert (len(set(shown)), shown[0], shown[-2:]) == (11, "oldtown", ["p0", "country"])
    # Without JavaScript the browser turns the page, with it the script does, which keeps the page if the connection is lost.
    turn = re.findall(r'<noscript><meta http-equiv="refresh" content="20;url=([^"]+)"></noscript>', first)
    assert turn == re.findall(r'data-next="([^"]+)"', first) == ["/?wall=1&amp;page=2"]
    assert 'url=/?wall=1&amp;page=1"' in second
    held = await text_of(anonymous, "/", wall="1", hold="true")
    assert ("data-next" in held, 'url=/?wall=1&amp;page=1&amp;hold=true"' in held) == (False, True)
    for language in LANGUAGES:
        assert len(rows(await text_of(anonymous, "/", wall="1", lang=language))) == 8


async def test_wall_past_its_last_page_shows_the_last(many: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    assert rows(await text_of(anonymous, "/", wall="1", page="7")) == rows(await text_of(anonymous, "/", wall="1", page="2"))
    assert "No statements on any place" in await text_of(anonymous, "/", wall="1", as_of="2001-01-01")


async def test_ledger_silent_for_a_year_opens_on_its_last_days(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    await post_all(client, report(), report("supply_runout"))
    for path in ("/", "/?wall=1", "/places/oldtown"):
        page = await text_of(anonymous, path)
        assert "Nothing has been said since 28 Jul 2016: the board shows that day." in page, path
        assert ("was due" in page, "14\u201321 days left" in page) == (False, True), path
    for path in ("/", "/places/oldtown"):
        today = await text_of(anonymous, path, now="true")
        assert ("was due 11 Aug 2016" in today, "last known: serious" in today or "last known: critical" in today) == (True, True), path
        assert 'name="now" value="true"' in today
    assert "Nothing has been said" not in await text_of(anonymous, "/", as_of="2016-07-29")
    await post(client, **report("route_closure", stated_at=ago(0)))
    assert "Nothing has been said" not in await text_of(anonymous, "/")


async def test_embedded_card_says_when_and_who_and_loads_again(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    await post_all(client, report(), report("route_closure", source="envoy"))
    answers = [await anonymous.get("/embed/oldtown"), await anonymous.get("/embed/oldtown", params={"as_of": "2016-08-01"})]
    assert [each.headers.get("refresh") for each in answers] == ["300", None]
    assert (await anonymous.get("/embed/oldtown")).headers["refresh"] == "300"
    now, then = (each.text for each in answers)
    footer = then[then.index('class="from"') : then.index("<h2>")]
    for each in ("1 Aug 2016", "said by Agency, Envoy", "TLP:CLEAR"):
        assert each in footer, each
    assert "<script" not in now
    assert "status-closed" in then


async def test_search_on_the_board_finds_places_and_statements(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    await post(client, "/v1/places", slug="homs", name="Homs", names={"ar": "\u062d\u0645\u0635"})
    quote = {"quote": "No medicines are left <here>."}
    await post_all(client, report(provenance=quote), report(place="homs"), report("route_closure", provenance=quote, sensitivity="amber"))
    found = await text_of(anonymous, "/", q="MEDICINES left", as_of="2016-08-01")
    assert found.count("No medicines are left &lt;here&gt;.") == 1
    assert "<article" not in found
    named = await text_of(anonymous, "/", q="\u062d\u0645\u0635", as_of="2016-08-01")
    assert named.count("<article") == 1
    assert "No statement has these words." in named
    assert (await text_of(anonymous, "/", q="!?")).count("<article") == (await text_of(anonymous, "/")).count("<article")


async def test_each_statement_of_a_place_shows_its_label(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    await post_all(client, report(), report("route_closure", sensitivity="green"))
    key = {"Authorization": client.headers["Authorization"]}
    page = (await anonymous.get("/places/oldtown", headers=key)).text
    table = page[page.index('class="evidence-of"') :]
    assert ("TLP:CLEAR" in table, "TLP:GREEN" in table) == (True, True)
    assert "TLP:GREEN" not in await text_of(anonymous, "/places/oldtown")
    # Details are folded, and say what their terms mean.
    assert page.count('<details class="evidence-of"') == 2
    assert "of the source, from A (best) to E; F cannot be judged" in page


async def test_board_and_wall_show_deliveries_services_and_judgements(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient
) -> None:
    assert '<th scope="col">Other</th>' not in await text_of(anonymous, "/", wall="1")
    convoy = {"operation": "convoy-7", "stage": "delivered", "on_latest": ago(70)}
    said, service = await post_all(
        client,
        report("aid_delivery", stated_at=ago(1)) | {"value": convoy},
        report("service_status", {"state": "out_of_service", "working": 0}, stated_at=ago(1)),
    )
    await post_all(
        client, report("service_status", {"state": "out_of_service", "working": 0}, source="monitor", stated_at=ago(1), sensitivity="amber")
    )
    judged = {"value": {"service": "hospital", "state": "partly_working"}, "likelihood": "likely", "confidence": "high", "reasons": "seen"}
    await post(client, f"/v1/indicators/{service['indicator']}/judgements", **judged, sensitivity="clear")
    wall = await text_of(anonymous, "/", wall="1")
    assert '<th scope="col">Other</th>' in wall
    assert re.search(
        r"Services: Hospitals.*?status-closed.*?out of service.*?Judgement</span> partly working</span>.*?and 1 more", wall, re.S
    )
    for page in (await text_of(anonymous, "/"), await text_of(anonymous, "/places/oldtown")):
        assert '<p class="note">Days since the delivery: 70</p>' in page
        assert f"No aid was delivered for 70 days, since {LOCALE.day(ago(70))}" in page
        assert "Judgement</span> partly working</span>" in page
    browser = await make_client(Scope.READ, clearance=Label.AMBER)
    for path in ("/", "/places/oldtown"):
        assert "not on all that you see" in await text_of(browser, path)
    assert said["indicator"] in await text_of(anonymous, "/places/oldtown")
