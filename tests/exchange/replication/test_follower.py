"""A Lifeline that follows another reaches the same assessments, also over a link that fails, and sends nothing back."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from app.access.principal import Principal, Scope
from app.cli.exchange import author_for
from app.client import AsyncLifeline
from app.domain.tlp import MAX_LEVEL, Label
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.follower import Follower, ReplicationError, reset_cursor
from app.exchange.replication.results import ApplyResult
from app.ledger.models import REFERENCE_TYPES
from app.reports.queries import find_visible_report
from app.settings import Settings
from app.storage.database import Database
from tests.exchange.replication.flaky import flaky_proxy
from tests.exchange.stored_state import stored_assessments, verification_problems
from tests.ledger.helpers import all_changes
from tests.support.factories import report
from tests.support.processes import Process, serve, start
from tests.support.servers import invoke, new_key

pytestmark = pytest.mark.starts_early

URL = "http://lifeline.test"


@asynccontextmanager
async def upstream(app: FastAPI, key: str | None = None) -> AsyncIterator[AsyncLifeline]:
    async with AsyncLifeline(URL, key, transport=httpx.ASGITransport(app), attempts=1) as client:
        yield client


async def pull(url: str, client: AsyncLifeline, *, restart: bool = False) -> ApplyResult:
    """Run `lifeline pull lifeline` into a database."""
    settings = Settings(database_url=url)
    total = ApplyResult()
    async with Database(settings) as database:
        if restart:
            await reset_cursor(database, URL)
        async for applied in Follower(URL, client, database, author_for, settings).follow():
            total.add(applied)
    return total


async def test_follower_copies_everything_once_with_its_identifiers(
    app: FastAPI,
    client: httpx.AsyncClient,
    filled: dict[str, Any],
    make_key: Any,
    database_url: str,
    new_empty_database: Callable[[], str],
) -> None:
    mirror = new_empty_database()
    async with upstream(app, await make_key(Scope.READ, clearance=Label.RED)) as lifeline:
        first = await pull(mirror, lifeline)
        reference = Counter(each["type"] for each in await all_changes(client) if each["type"] in REFERENCE_TYPES)
        assert first.added == {"report": 9, "correction": 1, "retraction": 1, "outcome": 1, "grade": 1} | reference
        assert await stored_assessments(mirror) == await stored_assessments(database_url)
        assert await verification_problems(mirror) == []
        assert (await pull(mirror, lifeline)).added == {}
        again = await pull(mirror, lifeline, restart=True)
        assert (again.added, again.existing) == ({}, 13 + reference.total())
        for path, body in (
            ("/v1/places", {"slug": "quarter", "name": "Quarter", "parent": "pocket"}),
            ("/v1/places", {"slug": "street", "name": "Street", "parent": "quarter"}),
            ("/v1/sources", {"slug": "newcomer", "name": "Newcomer", "type": "ngo", "reliability": "C"}),
            ("/v1/sources/newcomer/grades", {"reliability": "B", "reason": "was right"}),
            ("/v1/reports", report(place="street", source="newcomer", provenance={"via": ["outlet"]})),
        ):
            assert (await client.post(path, json=body)).status_code == 201
        assert (await pull(mirror, lifeline)).added == {"place": 2, "source": 1, "grade": 1, "report": 1}
        assert await stored_assessments(mirror) == await stored_assessments(database_url)
        for path, body in (
            ("/v1/places/street", {"name": "Main street", "parent": None, "names": {"ar": "x"}}),
            ("/v1/places/street", {"names": {"ar": None}}),
            ("/v1/sources/newcomer", {"party_to_conflict": True, "name": "Joined"}),
            ("/v1/routes/north-road", {"geometry": None}),
        ):
            assert (await client.patch(path, json=body)).status_code == 200
        assert (await pull(mirror, lifeline)).added == {"place": 2, "source": 1, "route": 1}
        assert await stored_assessments(mirror) == await stored_assessments(database_url)
        judged = (await client.get("/v1/reports?place=street")).json()["items"][0]
        body: dict[str, Any] = {"value": judged["value"], "likelihood": "likely", "confidence": "high", "reasons": "x"}
        body |= {"reports": [judged["id"]], "sensitivity": "amber"}
        first_one, second = [(await client.post(f"/v1/indicators/{judged['indicator']}/judgements", json=body)).json() for _ in range(2)]
        assert (await client.post(f"/v1/judgements/{second['id']}/correction", json=body | {"reason": "y"})).status_code == 201
        assert (await pull(mirror, lifeline)).added == {"judgement": 3}
        assert await stored_assessments(mirror) == await stored_assessments(database_url)
        again = await pull(mirror, lifeline, restart=True)
        assert again.added == {}
        corrected = (await client.get(f"/v1/indicators/{judged['indicator']}")).json()["judgement"]
        assert corrected["id"] not in (first_one["id"], second["id"])
        assert (await client.post(f"/v1/judgements/{corrected['id']}/retraction", json={"reason": "z"})).status_code == 201
        assert (await pull(mirror, lifeline)).added == {"judgement_retraction": 1}
        assert await stored_assessments(mirror) == await stored_assessments(database_url)
        assert await verification_problems(mirror) == []


async def test_replicated_grade_applies_from_its_first_recording(
    app: FastAPI,
    built_app: FastAPI,
    client: httpx.AsyncClient,
    filled: dict[str, Any],
    make_key: Any,
    new_empty_database: Callable[[], str],
) -> None:
    mirror = new_empty_database()
    before = (await client.get(f"/v1/indicators/{filled['amber']['indicator']}?as_of=2016-12-31")).json()
    async with upstream(app, await make_key(Scope.READ, clearance=Label.RED)) as lifeline:
        await pull(mirror, lifeline)
    original = app.state.settings
    key = await new_key(mirror)
    app.state.settings = Settings(database_url=mirror)
    try:
        async with LifespanManager(app), upstream(app, key) as there:
            after = (await there.indicator(before["id"], as_of="2016-12-31")).model_dump()
    finally:
        app.state.settings = original
    assert after["provenance"]["source"]["reliability"] == before["provenance"]["source"]["reliability"]
    assert after["value"] == before["value"]
    assert after["assessment"] == before["assessment"]


async def test_two_followers_of_each_other_copy_each_entry_once(
    built_app: FastAPI, settings: Settings, database_url: str, new_database: Callable[[], str]
) -> None:
    ours, theirs = new_database(), new_database()

    @asynccontextmanager
    async def serving(url: str) -> AsyncIterator[AsyncLifeline]:
        built_app.state.settings = Settings(database_url=url)
        async with LifespanManager(built_app), upstream(built_app, await new_key(url)) as lifeline:
            yield lifeline

    for slug, url in (("ours", ours), ("theirs", theirs)):
        async with serving(url) as lifeline:
            await _add_entries(lifeline, slug)
    rounds = []
    for _ in range(2):
        async with serving(theirs) as lifeline:
            here = await pull(ours, lifeline)
        async with serving(ours) as lifeline:
            there = await pull(theirs, lifeline)
        rounds.append((sum(here.added.values()), sum(there.added.values())))
    # Each applies the nine entries of the other once, and recognises its own.
    assert rounds == [(9, 9), (0, 0)]


async def _add_entries(lifeline: AsyncLifeline, slug: str) -> None:
    http = lifeline._http
    supply = report("supply_runout", place=f"{slug}-town", source=f"{slug}-agency")
    for path, body in (
        ("/v1/places", {"slug": f"{slug}-town", "name": slug}),
        ("/v1/sources", {"slug": f"{slug}-agency", "name": slug, "type": "un", "reliability": "B"}),
        (f"/v1/sources/{slug}-agency/grades", {"reliability": "C", "reason": "late"}),
    ):
        assert (await http.post(path, json=body)).status_code == 201
    first = await lifeline.send(supply)
    arrived = {"state": "resupplied", "in_days_min": None, "in_days_max": None}
    second = await lifeline.correct(first.id, report("supply_runout", arrived, place=f"{slug}-town", source=f"{slug}-agency"), "x")
    body = {"outcome": "averted", "reason": "a convoy", "report": second.id}
    assert (await http.post(f"/v1/indicators/{first.indicator}/outcome", json=body)).status_code == 201
    await lifeline.send(report(place=f"{slug}-town", source=f"{slug}-agency"))
    judgement = {"value": {"supply": "food", "state": "low"}, "likelihood": "likely", "confidence": "high", "reasons": "x"}
    judged = (await lifeline.judge(first.indicator, judgement | {"reports": [second.id]})).model_dump()
    await lifeline.retract_judgement(judged["id"], "y")


async def test_follower_keeps_local_amendments_and_stops_at_bad_cursor(
    app: FastAPI, client: httpx.AsyncClient, filled: dict[str, Any], make_key: Any, new_empty_database: Callable[[], str]
) -> None:
    mirror = new_empty_database()
    async with upstream(app, await make_key(Scope.READ, clearance=Label.RED)) as lifeline:
        await pull(mirror, lifeline)
        settings = Settings(database_url=mirror)
        entry = {"type": "retraction", "report_id": filled["food"]["id"], "reason": "here", "recorded_by": "field", "detail": None}
        async with Database(settings) as database, database.write() as session:
            await EntryApplier(author_for, settings).apply(session, [entry])
        body = report("supply_runout", {"in_days_max": 30}, place="pocket", reason="there")
        corrected = await client.post(f"/v1/reports/{filled['food']['id']}/correction", json=body)
        assert corrected.status_code == 201
        # The report is retracted here, so the correction is recorded as a report of its own.
        assert (await pull(mirror, lifeline)).added == {"correction": 1}
        assert await verification_problems(mirror) == []
    async with upstream(app, await make_key(Scope.READ, clearance=Label.AMBER)) as lifeline:
        with pytest.raises(ReplicationError, match=r"clearance.*--restart"):
            await pull(mirror, lifeline)


def test_pull_says_that_the_upstream_cannot_be_reached(sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.BASE_DELAY_SECONDS", 0.0)
    refused = invoke("pull", "lifeline", "http://127.0.0.1:1", database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert "http://127.0.0.1:1 cannot be reached" in refused.stderr


SEED = 20260724
KILLS = 2


def test_interrupted_follower_reaches_the_same_assessments(
    seeded_database: str, new_empty_database: Callable[[], str], tmp_path: Path
) -> None:
    mirror = new_empty_database()
    key = asyncio.run(new_key(seeded_database))
    chance = random.Random(SEED)
    runs = itertools.count()
    with (
        serve(tmp_path, database_url=seeded_database) as server,
        flaky_proxy(httpx.URL(server.url).port, seed=SEED, max_bytes=20_000) as (address, cut),
    ):

        def run(*options: str) -> tuple[Process, Path]:
            output = tmp_path / f"pull-{next(runs)}.txt"
            return start("pull", "lifeline", address, *options, output=output, database_url=mirror, upstream_key=key), output

        follower, output = run("--follow")
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as http:
            standing: list[str] = []
            for kill in range(KILLS + 1):
                for number in range(9):
                    _append(http, chance, standing, kill * 9 + number)
                if kill < KILLS:
                    # Once it has printed a line it is applying changes: kill it at a random moment.
                    while "Applied" not in output.read_text():
                        assert follower.poll() is None
                        time.sleep(0.01)
                    _append(http, chance, standing, 1000 + kill)
                    time.sleep(chance.uniform(0, 0.15))
                    follower.kill()
                    follower.wait()
                    follower, output = run("--follow")
        follower.kill()
        follower.wait()
        # The last run copies the rest through the same proxy.
        for _ in range(20):
            done, output = run()
            if done.wait(60) == 0:
                break
        assert done.returncode == 0, output.read_text()
        assert cut[0] > 0
        assert asyncio.run(stored_assessments(mirror)) == asyncio.run(stored_assessments(seeded_database))
    assert asyncio.run(verification_problems(mirror)) == []


def _append(http: httpx.Client, chance: random.Random, standing: list[str], number: int) -> None:
    """Append an entry: a report, a correction, a retraction or a grade."""
    kind = chance.choice(["trapped_population", "supply_runout", "route_closure"])
    day = f"2016-07-{1 + number % 28:02}"
    body = report(kind, source=chance.choice(["agency", "envoy", "monitor", "army"]), stated_at=day)
    body |= {"provenance": {"url": f"https://example.org/{number}", "quote": "x" * chance.randint(1, 1500)}}
    action = chance.choice(["report", "report", "correct", "retract", "grade"]) if len(standing) > 3 else "report"
    if action == "grade":
        response = http.post("/v1/sources/monitor/grades", json={"reliability": "ABCDE"[number % 5], "reason": "again"})
        assert response.status_code in (201, 409)
    elif action == "report":
        response = http.post("/v1/reports", json=body)
        assert response.status_code == 201, response.text
        standing.append(response.json()["id"])
    else:
        old = standing.pop(chance.randrange(len(standing)))
        path, sent = ("retraction", {"reason": "no"}) if action == "retract" else ("correction", body | {"reason": "better"})
        response = http.post(f"/v1/reports/{old}/{path}", json=sent)
        assert response.status_code == 201, response.text
        if action == "correct":
            standing.append(response.json()["id"])


async def test_follower_replicates_label_changes_and_tombstones(
    app: FastAPI,
    client: httpx.AsyncClient,
    make_client: Any,
    filled: dict[str, Any],
    make_key: Any,
    database_url: str,
    new_empty_database: Callable[[], str],
) -> None:
    complete, partial = new_empty_database(), new_empty_database()
    red, green = await make_key(Scope.READ, clearance=Label.RED), await make_key(Scope.READ, clearance=Label.GREEN)
    for mirror, key in ((complete, red), (partial, green)):
        async with upstream(app, key) as lifeline:
            await pull(mirror, lifeline)
    people, shut = filled["people"]["id"], filled["shut"]["id"]
    for report_id in (people, shut):
        raised = await client.post(f"/v1/reports/{report_id}/label", json={"sensitivity": "red", "reason": "a risk"})
        assert raised.status_code == 201, raised.text
    async with upstream(app, green) as lifeline:
        assert (await pull(partial, lifeline)).added == {"tombstone": 2}
    lowered = await client.post(f"/v1/reports/{shut}/label", json={"sensitivity": "green", "reason": "no more"})
    other = await make_client(clearance=Label.RED)
    confirmed = await other.post(f"{lowered.json()['links']['confirmation']}")
    assert confirmed.status_code == 201, confirmed.text
    async with upstream(app, red) as lifeline:
        assert (await pull(complete, lifeline)).added == {"label": 3}
        assert await stored_assessments(complete, ranked=True) == await stored_assessments(database_url, ranked=True)
        assert (await pull(complete, lifeline, restart=True)).added == {}
    async with upstream(app, green) as lifeline:
        await pull(partial, lifeline)
    assert await verification_problems(complete) == await verification_problems(partial) == []
    for mirror in (complete, partial):
        verified = await asyncio.to_thread(invoke, "verify", database_url=mirror)
        assert verified.exit_code == 0, verified.output
    assert await _level_of(partial, people) == 4
    assert await _level_of(partial, shut) == 1


async def _level_of(url: str, report_id: str) -> int:
    async with Database(Settings(database_url=url)) as database, database.read() as connection:
        visible = await find_visible_report(connection, UUID(report_id), Principal(level=MAX_LEVEL))
        assert visible is not None
        return visible.report.level
