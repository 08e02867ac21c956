"""Rows to serve: reported to Lifeline over HTTP, then copied into the plain app's tables."""

import random
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from asgi_lifespan import LifespanManager
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from app.access.keys import create_key
from app.access.principal import Scope
from app.assessment.keeping import keep_steps
from app.domain.tlp import Label
from app.main import create_app
from app.settings import Settings
from app.storage.database import Database
from tests.benchmarks.plain_app import TABLES, PlainChange, PlainCode, PlainIndicator, PlainPlace, PlainReport, PlainSource
from tests.support.factories import Reference, seed

SOURCES = ("agency", "envoy", "monitor", "unknown", "army", "rebels")
CONCEPTS = ("trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining")
SUPPLIES = ("basic", "food", "medical", "water", "fuel", "electricity", "shelter", "hygiene")
A_PLACE = len(CONCEPTS) + len(SUPPLIES)
BATCH = 500
# Half of the statements are older.
AS_OF = "2016-08-15"


def place_name(number: int) -> str:
    """Return the slug of a place."""
    return f"town-{number:05}"


def _statement(number: int, subject: int, source: str, chance: random.Random) -> dict[str, Any]:
    stated = datetime(2016, 8, 1) + timedelta(days=chance.randrange(30), hours=chance.randrange(24))  # noqa: DTZ001 - UTC by its Z
    if subject < len(CONCEPTS):
        kind, value = "trapped_population", {"concept": CONCEPTS[subject], "people": chance.randrange(1000, 400_000), "qualifier": "about"}
    else:
        days = chance.randrange(3, 30)
        supply = {"supply": SUPPLIES[subject - len(CONCEPTS)], "in_days_min": days, "in_days_max": days + 7}
        kind, value = "supply_runout", supply | {"relative_text": f"some {days} days"}
    return {
        "kind": kind,
        "place": place_name(number),
        "source": source,
        "stated_at": f"{stated.isoformat()}Z",
        "value": value,
        "provenance": {
            "method": "key_informant",
            "credibility": chance.randrange(1, 5),
            "quote": "As far as anybody in the town can tell, it is like this, and it will not stay so for long.",
            "title": "Flash update",
            "language": "en",
            "url": f"https://example.org/reports/{chance.randrange(10**9)}",
        },
        "sensitivity": "clear",
    }


def statements(indicators: int, reports_each: int) -> Iterator[dict[str, Any]]:
    """Yield the statements of each indicator, each by another source."""
    chance = random.Random(2016)
    for turn in range(reports_each):
        for at in range(indicators):
            number, subject = divmod(at, A_PLACE)
            yield _statement(number, subject, SOURCES[(at + turn) % len(SOURCES)], chance)


def new_statements(indicators: int, *, start: int) -> Iterator[dict[str, Any]]:
    """Yield further statements on existing indicators without end, no two alike."""
    chance = random.Random(start)
    while True:
        number, subject = divmod(chance.randrange(indicators), A_PLACE)
        yield _statement(number, subject, chance.choice(SOURCES), chance)


async def fill(url: str, *, indicators: int, reports_each: int) -> str:
    """Report all rows to a migrated database and return a key that may report and read up to green."""
    await seed(url)
    app = create_app(Settings(database_url=url, access_log=False))
    async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60):
        async with app.state.database.write() as session:
            scopes = (Scope.READ, Scope.REPORT)
            _, secret = await create_key(session, name="b", organisation="b", scopes=scopes, clearance=Label.GREEN)
            _, curator = await create_key(session, name="b", organisation="b", scopes=tuple(Scope), clearance=Label.RED)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {curator}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://b", headers=headers, timeout=600) as client:
            reference = Reference(client)
            for number in range(-(-indicators // A_PLACE)):
                codes = [{"scheme": "pcode", "code": f"C{number:05}"}]
                await reference.add("places", slug=place_name(number), name=f"Town {number}", parent="country", country="SYR", codes=codes)
            batch: list[dict[str, Any]] = []
            for each in statements(indicators, reports_each):
                batch.append(each)
                if len(batch) == BATCH:
                    await _send(client, batch)
                    batch = []
            await _send(client, batch)
        await keep_all(app.state.database, app.state.settings)
    return secret


async def keep_all(database: Database, settings: Settings) -> None:
    """Make every step again that was moved, as the service does in the background."""
    is_left = True
    while is_left:
        async with database.write() as session:
            is_left = await keep_steps(session, settings.horizons)


async def _send(client: httpx.AsyncClient, batch: list[dict[str, Any]]) -> None:
    if batch:
        answer = (await client.post("/v1/reports", json=batch)).json()
        assert answer["refused"] == 0, answer


async def copy_into_plain(url: str, plain_url: str) -> None:
    """Create the plain app's tables and copy what Lifeline serves into them."""
    engine = create_async_engine(plain_url)
    app = create_app(Settings(database_url=url, access_log=False))
    async with LifespanManager(app, startup_timeout=60, shutdown_timeout=60), engine.begin() as connection:
        await connection.run_sync(lambda sync: SQLModel.metadata.create_all(sync, TABLES))
        if engine.dialect.name == "sqlite":
            # A property of the file that cannot change within a transaction, so the driver sets it.
            await (await connection.get_raw_connection()).driver_connection.execute("PRAGMA journal_mode = WAL")  # type: ignore[union-attr]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://b", timeout=600) as client:
            rows = await _rows(client)
        await connection.run_sync(lambda sync: _insert(Session(sync), rows))
    await engine.dispose()


async def _every(client: httpx.AsyncClient, collection: str) -> AsyncIterator[dict[str, Any]]:
    params: dict[str, str] = {"limit": "1000"}
    while True:
        page = (await client.get(f"/v1/{collection}", params=params)).json()
        for item in page["items"]:
            yield item
        if page["next"] is None or not page["items"]:
            return
        params["after" if collection == "changes" else "cursor"] = page["next"]


async def _rows(client: httpx.AsyncClient) -> list[list[SQLModel]]:
    places, codes, place_ids = [], [], {}
    async for item in _every(client, "places"):
        place_ids[item["slug"]] = len(places) + 1
        places.append(PlainPlace(id=len(places) + 1, slug=item["slug"], name=item["name"], country=item["country"]))
        codes += [PlainCode(place_id=place_ids[item["slug"]], **code) for code in item["codes"]]
    sources, source_ids = [], {}
    async for item in _every(client, "sources"):
        source_ids[item["slug"]] = len(sources) + 1
        names = ("slug", "name", "type", "reliability", "party_to_conflict")
        sources.append(PlainSource(id=len(sources) + 1, **{name: item[name] for name in names}))
    reports = [_report(item, source_ids) async for item in _every(client, "reports")]
    indicators = [_indicator(item, place_ids) async for item in _every(client, "indicators")]
    changes = [
        PlainChange(
            seq=item["seq"],
            type=item["type"],
            report_id=UUID(item["report_id"]),
            indicator_id=UUID(item["indicator"]),
            recorded_at=datetime.fromisoformat(item["recorded_at"]),
            recorded_by=item["recorded_by"],
        )
        async for item in _every(client, "changes")
        # The reference data comes first; the plain app has changes of reports alone.
        if item["report_id"] is not None
    ]
    return [places, codes, sources, reports, indicators, changes]


def _report(item: dict[str, Any], source_ids: dict[str, int]) -> PlainReport:
    said = item["provenance"]
    return PlainReport(
        id=UUID(item["id"]),
        indicator_id=UUID(item["indicator"]),
        source_id=source_ids[item["source"]],
        stated_at=datetime.fromisoformat(item["stated_at"]),
        recorded_at=datetime.fromisoformat(item["recorded_at"]),
        value=item["value"],
        **{
            name: said[name]
            for name in ("via", "directness", "origin", "method", "credibility", "url", "title", "quote", "language", "licence")
        },
    )


def _indicator(item: dict[str, Any], place_ids: dict[str, int]) -> PlainIndicator:
    times, assessment = ("stated_at", "stale_after", "recorded_at"), item["assessment"]
    return PlainIndicator(
        id=UUID(item["id"]),
        place_id=place_ids[item["place"]["slug"]],
        preferred_id=UUID(assessment["preferred"]),
        **{name: assessment[name] for name in ("reports", "sources", "origins", "basis", "spread")},
        **{name: assessment[name] and datetime.fromisoformat(assessment[name]) for name in ("newest_at", "newest_sound_at")},
        **{name: item[name] for name in ("kind", "subject", "value", "agreement", "revision", "sensitivity")},
        **{name: datetime.fromisoformat(item[name]) for name in times},
    )


def _insert(session: Session, rows: list[list[SQLModel]]) -> None:
    for each in rows:
        session.add_all(each)
        session.flush()
    if session.get_bind().dialect.name == "postgresql":
        # The rows came with numbers, so the sequence must continue after them.
        session.execute(text("SELECT setval('plain_change_seq_seq', (SELECT max(seq) FROM plain_change))"))
    session.commit()
