"""One Lifeline follows another: whatever is cut off on the way, its readings are byte for byte the other's, and nothing goes round."""

import asyncio
import itertools
import random
import time
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
from app.domain.tlp import TOP, Label
from app.exchange.replication.apply import ApplyResult, EntryApplier
from app.exchange.replication.follower import Follower, ReplicationError, reset_cursor
from app.reports.queries import find_visible_report
from app.settings import Settings
from app.storage.database import Database
from tests.exchange.replication.flaky import flaky_line
from tests.exchange.stored_state import stored_assessments, verification_problems
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
    """`lifeline pull lifeline` into a database."""
    settings = Settings(database_url=url)
    database = Database(settings)
    total = ApplyResult()
    try:
        if restart:
            await reset_cursor(database, URL)
        async for applied in Follower(URL, client, database, author_for, settings).follow():
            total.add(applied)
    finally:
        await database.close()
    return total


async def test_everything_comes_with_its_identifiers_and_nothing_twice(
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
        assert first.added == {"report": 9, "correction": 1, "retraction": 1, "outcome": 1, "grade": 1}
        assert await stored_assessments(mirror) == await stored_assessments(database_url)
        assert await verification_problems(mirror) == []
        assert (await pull(mirror, lifeline)).added == {}
        again = await pull(mirror, lifeline, restart=True)
        assert (again.added, again.existing) == ({}, 13)
        # A place and a source that are new come with the first entry that names them.
        for path, body in (
            ("/v1/places", {"slug": "quarter", "name": "Quarter", "parent": "pocket"}),
            ("/v1/places", {"slug": "street", "name": "Street", "parent": "quarter"}),
            ("/v1/sources", {"slug": "newcomer", "name": "Newcomer", "type": "ngo", "reliability": "C"}),
            ("/v1/sources/newcomer/grades", {"reliability": "B", "reason": "was right"}),
            ("/v1/reports", report(place="street", source="newcomer", provenance={"via": ["outlet"]})),
        ):
            assert (await client.post(path, json=body)).status_code == 201
        assert (await pull(mirror, lifeline)).added == {"grade": 1, "report": 1}
        assert await stored_assessments(mirror) == await stored_assessments(database_url)


async def test_a_grade_holds_from_when_it_was_given_there(
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
    kept = app.state.settings
    key = await new_key(mirror)
    app.state.settings = Settings(database_url=mirror)
    try:
        async with LifespanManager(app), upstream(app, key) as there:
            after = (await there.indicator(before["id"], as_of="2016-12-31")).model_dump()
    finally:
        app.state.settings = kept
    assert after["provenance"]["source"]["reliability"] == before["provenance"]["source"]["reliability"]
    assert after["value"] == before["value"]
    assert after["assessment"] == before["assessment"]


async def test_two_that_follow_each_other_send_nothing_round(
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
            await _stock(lifeline, slug)
    rounds = []
    for _ in range(2):
        async with serving(theirs) as lifeline:
            here = await pull(ours, lifeline)
        async with serving(ours) as lifeline:
            there = await pull(theirs, lifeline)
        rounds.append((sum(here.added.values()), sum(there.added.values())))
    # Each takes the other's five entries, once, and is sent its own back for nothing.
    assert rounds == [(5, 5), (0, 0)]


async def _stock(lifeline: AsyncLifeline, slug: str) -> None:
    http = lifeline._http
    supply = report("supply_runout", place=f"{slug}-town", source=f"{slug}-agency")
    for path, body in (
        ("/v1/places", {"slug": f"{slug}-town", "name": slug}),
        ("/v1/sources", {"slug": f"{slug}-agency", "name": slug, "type": "un", "reliability": "B"}),
        (f"/v1/sources/{slug}-agency/grades", {"reliability": "C", "reason": "late"}),
    ):
        assert (await http.post(path, json=body)).status_code == 201
    first = await lifeline.send(supply)
    second = await lifeline.correct(
        first.id, report("supply_runout", {"in_days_max": 30}, place=f"{slug}-town", source=f"{slug}-agency"), "x"
    )
    body = {"outcome": "averted", "reason": "a convoy", "report": second.id}
    assert (await http.post(f"/v1/indicators/{first.indicator}/outcome", json=body)).status_code == 201
    await lifeline.send(report(place=f"{slug}-town", source=f"{slug}-agency"))


async def test_what_was_amended_here_stays_and_what_cannot_be_taken_stops(
    app: FastAPI, client: httpx.AsyncClient, filled: dict[str, Any], make_key: Any, new_empty_database: Callable[[], str]
) -> None:
    mirror = new_empty_database()
    async with upstream(app, await make_key(Scope.READ, clearance=Label.RED)) as lifeline:
        await pull(mirror, lifeline)
        settings = Settings(database_url=mirror)
        database = Database(settings)
        try:
            entry = {"type": "retraction", "report_id": filled["food"]["id"], "reason": "here", "recorded_by": "field", "detail": None}
            async with database.write() as session:
                await EntryApplier(author_for, settings).apply(session, [entry])
        finally:
            await database.close()
        body = report("supply_runout", {"in_days_max": 30}, place="pocket", reason="there")
        corrected = await client.post(f"/v1/reports/{filled['food']['id']}/correction", json=body)
        assert corrected.status_code == 201
        # It is withdrawn here; what is said in its place is taken as what its source says.
        assert (await pull(mirror, lifeline)).added == {"correction": 1}
        assert await verification_problems(mirror) == []
    async with upstream(app, await make_key(Scope.READ, clearance=Label.AMBER)) as lifeline:
        with pytest.raises(ReplicationError, match=r"clearance.*--restart"):
            await pull(mirror, lifeline)


def test_one_line_where_the_other_is_not_there(sqlite_template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.BASE_DELAY_SECONDS", 0.0)
    refused = invoke("pull", "lifeline", "http://127.0.0.1:1", database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert "http://127.0.0.1:1 cannot be reached" in refused.stderr


SEED = 20260724
KILLS = 2


def test_cut_off_and_killed_at_random_it_reads_the_same_in_the_end(
    seeded_database: str, new_empty_database: Callable[[], str], tmp_path: Path
) -> None:
    mirror = new_empty_database()
    key = asyncio.run(new_key(seeded_database))
    chance = random.Random(SEED)
    runs = itertools.count()
    with (
        serve(tmp_path, database_url=seeded_database) as server,
        flaky_line(httpx.URL(server.url).port, seed=SEED, most_bytes=20_000) as (
            address,
            cut,
        ),
    ):

        def run(*options: str) -> tuple[Process, Path]:
            output = tmp_path / f"pull-{next(runs)}.txt"
            return start("pull", "lifeline", address, *options, output=output, database_url=mirror, upstream_key=key), output

        follower, output = run("--follow")
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as http:
            standing: list[str] = []
            for kill in range(KILLS + 1):
                for number in range(9):
                    _say(http, chance, standing, kill * 9 + number)
                if kill < KILLS:
                    # It has said something, so it is under way; it is killed in the middle of whatever it does.
                    while "Applied" not in output.read_text():
                        assert follower.poll() is None
                        time.sleep(0.01)
                    _say(http, chance, standing, 1000 + kill)
                    time.sleep(chance.uniform(0, 0.15))
                    follower.kill()
                    follower.wait()
                    follower, output = run("--follow")
        follower.kill()
        follower.wait()
        # The last one goes to the end, over the same line.
        for _ in range(20):
            done, output = run()
            if done.wait(60) == 0:
                break
        assert done.returncode == 0, output.read_text()
        assert cut[0] > 0
        assert asyncio.run(stored_assessments(mirror)) == asyncio.run(stored_assessments(seeded_database))
    assert asyncio.run(verification_problems(mirror)) == []


def _say(http: httpx.Client, chance: random.Random, standing: list[str], number: int) -> None:
    """One more entry in the ledger: a report, else a correction, a retraction, an outcome or a grade."""
    kind = chance.choice(["trapped_population", "supply_runout", "route_closure"])
    day = f"2016-07-{1 + number % 28:02}"
    body = report(kind, source=chance.choice(["agency", "envoy", "monitor", "army"]), stated_at=day)
    body |= {"provenance": {"url": f"https://example.org/{number}", "quote": "x" * chance.randint(1, 1500)}}
    doing = chance.choice(["report", "report", "correct", "retract", "grade"]) if len(standing) > 3 else "report"
    if doing == "grade":
        answer = http.post("/v1/sources/monitor/grades", json={"reliability": "ABCDE"[number % 5], "reason": "again"})
        assert answer.status_code in (201, 409)
    elif doing == "report":
        answer = http.post("/v1/reports", json=body)
        assert answer.status_code == 201, answer.text
        standing.append(answer.json()["id"])
    else:
        old = standing.pop(chance.randrange(len(standing)))
        path, sent = ("retraction", {"reason": "no"}) if doing == "retract" else ("correction", body | {"reason": "better"})
        answer = http.post(f"/v1/reports/{old}/{path}", json=sent)
        assert answer.status_code == 201, answer.text
        if doing == "correct":
            standing.append(answer.json()["id"])


async def test_labels_move_with_what_they_are_on(
    app: FastAPI,
    client: httpx.AsyncClient,
    make_client: Any,
    filled: dict[str, Any],
    make_key: Any,
    database_url: str,
    new_empty_database: Callable[[], str],
) -> None:
    whole, partial = new_empty_database(), new_empty_database()
    red, green = await make_key(Scope.READ, clearance=Label.RED), await make_key(Scope.READ, clearance=Label.GREEN)
    for mirror, key in ((whole, red), (partial, green)):
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
        assert (await pull(whole, lifeline)).added == {"label": 3}
        assert await stored_assessments(whole) == await stored_assessments(database_url)
        assert (await pull(whole, lifeline, restart=True)).added == {}
    async with upstream(app, green) as lifeline:
        await pull(partial, lifeline)
    assert await verification_problems(whole) == await verification_problems(partial) == []
    assert await _level_of(partial, people) == 4
    assert await _level_of(partial, shut) == 1


async def _level_of(url: str, report_id: str) -> int:
    database = Database(Settings(database_url=url))
    try:
        async with database.read() as connection:
            known = await find_visible_report(connection, UUID(report_id), Principal(level=TOP))
            assert known is not None
            return known.report.level
    finally:
        await database.close()
