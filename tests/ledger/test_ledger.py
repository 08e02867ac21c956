"""The same statements read the same however they are sent, and each clearance's ledger is gapless and provable.

With LIFELINE_TEST_FULL=1 there are 5,000 of them, which takes some minutes; else fewer, of which still fewer are sent one by one.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import rfc8785
from sqlalchemy import select

from app.domain.tlp import Label
from app.ledger.models import LedgerEntry, LedgerHead
from app.reference.models import Place, Source
from app.reports.models import Report
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.support.factories import Reference, report
from tests.support.fixtures import FULL, MakeClient
from tests.support.processes import serve
from tests.support.servers import client_for, invoke, new_key

pytestmark = pytest.mark.starts_early

COUNT = 5000 if FULL else 112
ONE_BY_ONE = COUNT if FULL else 24
WRITERS = 8
SOURCES = ("agency", "envoy", "monitor", "unknown", "army", "rebels", "neighbour")
# What differs between two services that were told the same: names and times that they give out.
THEIR_OWN = ("id", "recorded_at", "revision", "links", "preferred", "report")


def _value(kind: str, chance: random.Random) -> dict[str, Any]:
    if kind == "trapped_population":
        low = chance.randrange(100_000)
        return {
            "concept": chance.choice(["trapped", "besieged", "at_risk"]),
            "people_low": low,
            "people_high": low + chance.randrange(50_000),
        }
    if kind == "supply_runout":
        days = chance.randrange(30)
        state = chance.choice(["will_run_out", "will_run_out", "low", "ran_out"])
        return {"supply": chance.choice(["food", "water", "fuel"]), "state": state, "in_days_min": days, "in_days_max": days + 7}
    value = {"route": chance.choice(["north-road", "south-road"]), "status": chance.choice(["open", "restricted", "closed"])}
    return value | {"direction": chance.choice(["both", "in", "out"]), "assertion": chance.choice(["observed", "announced"])}


def statements() -> list[dict[str, Any]]:
    """Different statements, no two made at the same minute, so that none is preferred for being recorded later."""
    chance = random.Random(20160728)
    minutes = chance.sample(range(100 * 24 * 60), COUNT)
    made = []
    for minute in minutes:
        kind = chance.choice(["trapped_population", "supply_runout", "route_closure"])
        body = report(
            kind,
            place=chance.choice(["oldtown", "country"]),
            source=chance.choice(SOURCES),
            stated_at=(datetime(2016, 5, 1, tzinfo=UTC) + timedelta(minutes=minute)).isoformat(),
            sensitivity=chance.choice([*Label]).value,
            provenance={"credibility": chance.randint(1, 6), "via": chance.choice([[], ["outlet"]])},
        )
        made.append(body | {"value": _value(kind, chance)})
    return made


def _without_their_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_their_own(each) for name, each in value.items() if name not in THEIR_OWN}
    return [_without_their_own(each) for each in value] if isinstance(value, list) else value


async def readings(client: httpx.AsyncClient) -> dict[tuple[str, ...], Any]:
    """Every indicator with every report behind it, but for what each service gives out on its own."""
    items = (await client.get("/v1/indicators", params={"limit": 1000})).json()["items"]
    found = {}
    for item in items:
        detail = (await client.get(item["links"]["self"])).json()
        found[item["kind"], item["place"]["slug"], item["subject"]] = _without_their_own(detail)
    return found


async def all_changes(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """The whole ledger as the client may see it."""
    items: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/v1/changes", params={"limit": 1000} | after)).json()
        if not page["items"]:
            return items
        items += page["items"]
        after = {"after": page["next"]}


@asynccontextmanager
async def service(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service in this process on a database, and a client that may do everything."""
    async with client_for(Settings(database_url=url, database_pool_size=3), await new_key(url)) as client:
        yield client


async def post_batches(client: httpx.AsyncClient, bodies: list[dict[str, Any]], size: int = 1000) -> list[dict[str, Any]]:
    """Send reports as lists; answers the outcomes."""
    outcomes: list[dict[str, Any]] = []
    for start in range(0, len(bodies), size):
        answer = await client.post("/v1/reports", json=bodies[start : start + size])
        assert answer.status_code == 207, answer.text
        outcomes += answer.json()["items"]
    return outcomes


async def assert_verified(url: str) -> None:
    result = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert result.exit_code == 0, result.output


async def _eight_writers(client: httpx.AsyncClient, bodies: list[dict[str, Any]]) -> list[int]:
    """Send reports from eight tasks at once, each some alone and the rest as lists; answers every `seq` given out."""
    given: list[int] = []

    async def write(mine: list[dict[str, Any]]) -> None:
        for body in mine[:6]:
            answer = await client.post("/v1/reports", json=body)
            assert answer.status_code == 201, answer.text
            given.append(answer.json()["seq"])
        for start in range(6, len(mine), 55):
            given.extend(outcome["seq"] for outcome in await post_batches(client, mine[start : start + 55]))

    await asyncio.gather(*(write(bodies[at::WRITERS]) for at in range(WRITERS)))
    return given


async def test_batches_twice_over_and_eight_writers_give_the_same(
    seeded_database_url: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    bodies = statements()
    url = seeded_database_url
    async with service(url) as client:
        first = await post_batches(client, bodies)
        assert [outcome["status"] for outcome in first] == [201] * COUNT
        assert [outcome["seq"] for outcome in first] == list(range(1, COUNT + 1))
        expected, head = await readings(client), (await client.get("/v1/ledger/head")).json()
        second = await post_batches(client, bodies[::-1])
        assert [outcome["status"] for outcome in second] == [200] * COUNT
        assert [outcome["id"] for outcome in second] == [outcome["id"] for outcome in first[::-1]]
        assert await readings(client) == expected
        assert (await client.get("/v1/ledger/head")).json() == head
    assert len(expected) == 16
    await assert_verified(url)

    url = new_database()
    key = await new_key(url)
    readers = {label: await new_key(url, clearance=label) for label in Label}
    shuffled = random.Random(8).sample(bodies, COUNT)
    with serve(tmp_path, database_url=url) as server:
        async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            given = await _eight_writers(client, shuffled)
            assert sorted(given) == list(range(1, COUNT + 1))
            assert await readings(client) == expected
            for label, reader in readers.items():
                items = await all_changes(httpx_with(client, reader))
                count = sum(Label(body["sensitivity"]).level <= label.level for body in bodies)
                assert [item["seq"] for item in items] == list(range(1, count + 1)), label
    await assert_verified(url)


def httpx_with(client: httpx.AsyncClient, key: str) -> httpx.AsyncClient:
    """The client with another key."""
    client.headers["Authorization"] = f"Bearer {key}"
    return client


async def test_one_by_one_gives_the_same_as_batches(seeded_database_url: str, new_database: Callable[[], str]) -> None:
    bodies = statements()[:ONE_BY_ONE]
    singly, together = seeded_database_url, new_database()
    async with service(singly) as client:
        for seq, body in enumerate(bodies, 1):
            answer = await client.post("/v1/reports", json=body)
            assert answer.status_code == 201, answer.text
            assert answer.json()["seq"] == seq
        found = await readings(client)
    async with service(together) as client:
        await post_batches(client, bodies, size=min(ONE_BY_ONE // 2, 1000))
        assert await readings(client) == found
    await assert_verified(singly)


async def test_anyone_can_recompute_the_chain_from_the_rows(
    client: httpx.AsyncClient, reference: Reference, database: Database, make_client: MakeClient
) -> None:
    """`hash = SHA-256(previous hash in hexadecimal + RFC 8785 JSON of the entry)`, anew from what the tables hold."""
    bodies = statements()[:60]
    for some in (bodies[:30], bodies[30:]):
        for at, (body, posted) in enumerate(zip(some, await post_batches(client, some), strict=True)):
            if at % 10 == 3:
                await client.post(f"/v1/reports/{posted['id']}/retraction", json={"reason": "withdrawn"})
            if at % 10 == 5:
                await client.post(f"/v1/reports/{posted['id']}/correction", json=body | {"reason": "mislabelled", "sensitivity": "clear"})
    assert (await client.post("/v1/sources/agency/grades", json={"reliability": "C", "reason": "was wrong"})).status_code == 201
    async with database.read() as connection:
        changes = (await connection.execute(select(*table_of(LedgerEntry).c).order_by(table_of(LedgerEntry).c.global_seq))).mappings().all()
        reports = {row["global_seq"]: row for row in (await connection.execute(select(*table_of(Report).c))).mappings()}
        slugs = {row.id: row.slug for model in (Place, Source) for row in await connection.execute(select(*table_of(model).c))}
        head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
    assert [row["global_seq"] for row in changes] == list(range(1, 60 + 6 + 6 + 1 + 1))
    for level, label in enumerate(Label):
        seq, previous = 0, "0" * 64
        for row in changes:
            if row["level"] > level:
                assert (row[f"seq_{label}"], row[f"hash_{label}"]) == (None, None)
                continue
            seq += 1
            entry = _entry(row, reports.get(row["global_seq"]), slugs, plain=level < row["redacted_below"])
            previous = hashlib.sha256(previous.encode() + rfc8785.dumps(entry)).hexdigest()
            assert (row[f"seq_{label}"], row[f"hash_{label}"]) == (seq, previous), (label, row["global_seq"])
        assert (head[f"seq_{label}"], head[f"hash_{label}"]) == (seq, previous)
        served = (await (await make_client(clearance=label)).get("/v1/ledger/head")).json()
        assert (served["clearance"], served["seq"], served["hash"]) == (label, seq, previous)
    assert head["global_seq"] == len(changes)
    assert head["seq_clear"] < head["seq_green"] < head["seq_red"], "the labels were mixed"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _entry(change: Any, report: Any, slugs: dict[Any, str], *, plain: bool) -> dict[str, Any]:
    """An entry as app/ledger/hash_chain.py documents it."""
    statement = None
    if report is not None:
        provenance = {name: report[name] for name in ("via", "method", "credibility", "url", "title", "quote", "language", "licence")}
        statement = {
            "id": str(report["id"]),
            "kind": report["kind"],
            "place": slugs[report["place_id"]],
            "source": slugs[report["source_id"]],
            "stated_at": report["stated_text"],
            "value": report["value"],
            "provenance": provenance | {"published_at": report["published_text"]},
            "observed_from": report["observed_from"],
            "observed_to": report["observed_to"],
            "sensitivity": [*Label][report["submitted_level"]].value,
            "recorded_at": _time(report["recorded_at"]),
            "recorded_by": report["recorded_by"],
        }
    return {
        "type": "report" if plain else change["type"],
        "report_id": None if change["report_id"] is None else str(change["report_id"]),
        "indicator": None if change["indicator_id"] is None else str(change["indicator_id"]),
        "source": None if change["source_id"] is None else slugs[change["source_id"]],
        "report": statement,
        "reason": None if plain else change["reason"],
        "detail": None if plain else change["detail"],
        "recorded_at": _time(change["recorded_at"]),
        "recorded_by": change["recorded_by"],
    }


@pytest.mark.parametrize("atomic", [False, True])
async def test_what_is_refused_leaves_no_gap(client: httpx.AsyncClient, reference: Reference, atomic: bool) -> None:
    bodies = [report(value={"people": 1}), report(place="nowhere"), report(value={"people": 2}, source="envoy")]
    answer = await client.post("/v1/reports", json=bodies, params={"atomic": atomic})
    assert answer.status_code == (422 if atomic else 207)
    single = await client.post("/v1/reports", json=report(place="nowhere"))
    assert single.status_code == 422
    after = (await client.post("/v1/reports", json=report(value={"people": 3}, source="monitor"))).json()
    assert after["seq"] == (1 if atomic else 3)
    assert [item["seq"] for item in await all_changes(client)] == list(range(1, after["seq"] + 1))
