"""The same reports give the same indicators however they are sent, and every clearance's ledger is gapless and verifiable.

With TEST_FULL=1 there are 5,000 reports, which takes some minutes.
"""

import asyncio
import hashlib
import hmac
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

from app.access.models import ServerSecret
from app.domain.tlp import Label
from app.ledger.models import LedgerEntry, LedgerHead
from app.reference.models import Place, Source
from app.reports.models import Report
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.ledger.helpers import all_changes, assert_verified
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import FULL, MakeClient
from tests.support.processes import serve
from tests.support.servers import client_for, new_key

pytestmark = pytest.mark.starts_early

COUNT = 5000 if FULL else 112
ONE_BY_ONE = COUNT if FULL else 24
WRITERS = 8
SOURCES = ("agency", "envoy", "monitor", "unknown", "army", "rebels", "neighbour")
# Fields that differ between two services with the same reports.
OWN_FIELDS = ("id", "recorded_at", "revision", "links")


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
        dates = {} if state == "ran_out" else {"in_days_min": days, "in_days_max": days + 7}
        return {"supply": chance.choice(["food", "water", "fuel"]), "state": state} | dates
    value = {"route": chance.choice(["north-road", "south-road"]), "status": chance.choice(["open", "restricted", "closed"])}
    return value | {"direction": chance.choice(["both", "in", "out"]), "assertion": chance.choice(["observed", "announced"])}


def statements() -> list[dict[str, Any]]:
    """Return reports that all state another minute, so that the order of recording never decides which one is preferred."""
    chance = random.Random(20160728)
    minutes = chance.sample(range(100 * 24 * 60), COUNT)
    bodies = []
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
        bodies.append(body | {"value": _value(kind, chance)})
    return bodies


def _without_own_fields(value: Any, times: dict[str, str]) -> Any:
    """Leave out OWN_FIELDS, and name each report by the time at which it was stated, which no other has."""
    if isinstance(value, dict):
        return {name: _without_own_fields(each, times) for name, each in value.items() if name not in OWN_FIELDS}
    if isinstance(value, list):
        return [_without_own_fields(each, times) for each in value]
    return times.get(value, value) if isinstance(value, str) else value


async def indicators(client: httpx.AsyncClient) -> dict[tuple[str, ...], Any]:
    """Return every indicator with its reports, without OWN_FIELDS."""
    items = (await client.get("/v1/indicators", params={"limit": 1000})).json()["items"]
    found = {}
    for item in items:
        detail = (await client.get(item["links"]["self"])).json()
        times = {each["id"]: each["stated_at"] for each in (*detail["reports"], *detail["left_out"])}
        found[item["kind"], item["place"]["slug"], item["subject"]] = _without_own_fields(detail, times)
    return found


@asynccontextmanager
async def service(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with every scope for a service in this process."""
    async with client_for(Settings(database_url=url, database_pool_size=3), await new_key(url)) as client:
        yield client


async def post_batches(client: httpx.AsyncClient, bodies: list[dict[str, Any]], size: int = 1000) -> list[dict[str, Any]]:
    """Send reports as lists and return the results."""
    outcomes: list[dict[str, Any]] = []
    for start in range(0, len(bodies), size):
        response = await client.post("/v1/reports", json=bodies[start : start + size])
        assert response.status_code == 207, response.text
        outcomes += response.json()["items"]
    return outcomes


async def _eight_writers(client: httpx.AsyncClient, bodies: list[dict[str, Any]]) -> list[int]:
    """Send reports from eight tasks, some singly and the rest as lists; return every `seq` in the responses."""
    seqs: list[int] = []

    async def write(mine: list[dict[str, Any]]) -> None:
        for body in mine[:6]:
            response = await client.post("/v1/reports", json=body)
            assert response.status_code == 201, response.text
            seqs.append(response.json()["seq"])
        for start in range(6, len(mine), 55):
            seqs.extend(outcome["seq"] for outcome in await post_batches(client, mine[start : start + 55]))

    await asyncio.gather(*(write(bodies[at::WRITERS]) for at in range(WRITERS)))
    return seqs


async def test_ledger_is_the_same_for_batches_repeats_and_eight_writers(
    seeded_database_url: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    bodies = statements()
    url = seeded_database_url
    async with service(url) as client:
        first = await post_batches(client, bodies)
        assert [outcome["status"] for outcome in first] == [201] * COUNT
        assert [outcome["seq"] for outcome in first] == list(range(SEEDED + 1, SEEDED + COUNT + 1))
        expected, head = await indicators(client), (await client.get("/v1/ledger/head")).json()
        second = await post_batches(client, bodies[::-1])
        assert [outcome["status"] for outcome in second] == [200] * COUNT
        assert [outcome["id"] for outcome in second] == [outcome["id"] for outcome in first[::-1]]
        assert await indicators(client) == expected
        assert (await client.get("/v1/ledger/head")).json() == head
    assert len(expected) == 16
    await assert_verified(url)

    url = new_database()
    key = await new_key(url)
    readers = {label: await new_key(url, clearance=label) for label in Label}
    shuffled = random.Random(8).sample(bodies, COUNT)
    with serve(tmp_path, database_url=url) as server:
        async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            seqs = await _eight_writers(client, shuffled)
            assert sorted(seqs) == list(range(SEEDED + 1, SEEDED + COUNT + 1))
            assert await indicators(client) == expected
            for label, reader in readers.items():
                items = await all_changes(httpx_with(client, reader))
                count = sum(Label(body["sensitivity"]).level <= label.level for body in bodies)
                assert [item["seq"] for item in items] == list(range(1, SEEDED + count + 1)), label
    await assert_verified(url)


def httpx_with(client: httpx.AsyncClient, key: str) -> httpx.AsyncClient:
    """Return the client, with another key from now on."""
    client.headers["Authorization"] = f"Bearer {key}"
    return client


async def test_ledger_is_the_same_for_single_reports_and_batches(seeded_database_url: str, new_database: Callable[[], str]) -> None:
    bodies = statements()[:ONE_BY_ONE]
    singly, together = seeded_database_url, new_database()
    async with service(singly) as client:
        for seq, body in enumerate(bodies, SEEDED + 1):
            response = await client.post("/v1/reports", json=body)
            assert response.status_code == 201, response.text
            assert response.json()["seq"] == seq
        found = await indicators(client)
    async with service(together) as client:
        await post_batches(client, bodies, size=min(ONE_BY_ONE // 2, 1000))
        assert await indicators(client) == found
    await assert_verified(singly)


async def test_hash_chain_can_be_recomputed_from_the_tables(
    client: httpx.AsyncClient, reference: Reference, database: Database, make_client: MakeClient
) -> None:
    """Compute `hash = SHA-256(previous hash in hexadecimal + RFC 8785 JSON of the entry)` without code of the application."""
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
        secret = (await connection.execute(select(table_of(ServerSecret).c.secret))).scalar_one()
    proposals = sum(bodies[at]["sensitivity"] != "clear" for at in range(60) if at % 10 == 5)
    assert proposals > 0
    assert [row["global_seq"] for row in changes] == list(range(1, SEEDED + 60 + 6 + 6 + proposals + 1 + 1))
    for level, label in enumerate(Label):
        seq, previous = 0, "0" * 64
        for row in changes:
            if row["level"] > level:
                assert (row[f"seq_{label}"], row[f"hash_{label}"]) == (None, None)
                continue
            seq += 1
            entry = _entry(row, reports.get(row["global_seq"]), slugs, plain=level < row["redacted_below"])
            if level >= 2:
                assert row["actor_hash"] == hmac.digest(bytes.fromhex(secret), f"actor {row['key_id']}".encode(), "sha256")
                entry["actor"] = hmac.digest(row["actor_hash"], label.encode(), "sha256").hex()
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
    """Return the JSON of an entry that app/ledger/hash_chain.py documents."""
    statement = None
    if report is not None:
        names = ("via", "directness", "origin", "method", "credibility", "url", "title", "quote", "language", "licence")
        relays = None if report["relays"] is None else str(report["relays"])
        provenance = {name: report[name] for name in names} | {"relays": relays}
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
    of_record = change["record_id"] is not None
    if plain and of_record:
        # A route.
        record = change["detail"]["record"]
        line = [[round(degrees, 1) for degrees in position] for position in record["geometry"]["coordinates"]]
        coarse = record | {"geometry": record["geometry"] | {"coordinates": line}, "redacted": ["geometry"]}
        change = {**change, "detail": {"record": coarse}}
    plain = plain and not of_record
    return {
        "type": "report" if plain else change["type"],
        "salt": change["salt"],
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
async def test_rejected_report_leaves_no_gap_in_the_ledger(client: httpx.AsyncClient, reference: Reference, atomic: bool) -> None:
    bodies = [report(value={"people": 1}), report(place="nowhere"), report(value={"people": 2}, source="envoy")]
    response = await client.post("/v1/reports", json=bodies, params={"atomic": atomic})
    assert response.status_code == (422 if atomic else 207)
    single = await client.post("/v1/reports", json=report(place="nowhere"))
    assert single.status_code == 422
    after = (await client.post("/v1/reports", json=report(value={"people": 3}, source="monitor"))).json()
    assert after["seq"] == SEEDED + (1 if atomic else 3)
    assert [item["seq"] for item in await all_changes(client)] == list(range(1, after["seq"] + 1))
