"""Reports that arrive while a transaction holds the ledger share the next one; each is answered as if it had come alone."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from app.access.idempotency import WriteGroups
from app.access.principal import Scope
from app.domain.tlp import Label
from app.operations.verify import verify_all
from app.reports import group
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SEEDED, Reference, post, post_all, report
from tests.support.fixtures import MakeClient
from tests.support.locks import locked_ledger
from tests.support.servers import execute_sql_async

IDEMPOTENCY = "Idempotency-Key"
WRITERS = 64


async def in_one_group(app: FastAPI, *posts: Any) -> list[asyncio.Task[httpx.Response]]:
    """Send requests in this order while another writer has the ledger, so that they queue; return them before they are answered."""
    groups: WriteGroups = app.state.write_groups
    waiting: list[asyncio.Task[httpx.Response]] = []
    for each in posts:
        waiting.append(asyncio.create_task(each))
        async with asyncio.timeout(60):
            while len(groups) < len(waiting):  # noqa: ASYNC110 - a queue without an event
                await asyncio.sleep(0.001)
    return waiting


async def test_group_of_callers_answers_each_as_if_it_came_alone(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, make_client: MakeClient, database: Database, settings: Settings
) -> None:
    low = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN, organisation="low")
    source = {"slug": "dr-samir", "name": "Dr Samir", "type": "witness", "alias": "A doctor", "reliability": "B"}
    assert (await client.post("/v1/sources", json=source)).status_code == 201
    alias = next(each["slug"] for each in (await low.get("/v1/sources")).json()["items"] if each["slug"].startswith("protected-"))
    key = {IDEMPOTENCY: "once"}
    hidden = report(value={"people": 7}, sensitivity="red")
    posts = [
        client.post("/v1/reports", json=report(value={"people": 1})),
        low.post("/v1/reports", json=report(place="nowhere")),
        low.post("/v1/reports", json=report(value={"people": 1})),
        client.post("/v1/reports", json=report(value={"people": 2}), headers=key),
        client.post("/v1/reports", json=report(value={"people": 2}), headers=key),
        client.post("/v1/reports", json=report(value={"people": 3}), headers=key),
        low.post("/v1/reports", json=report(value={"people": 4}), headers=key),
        client.post("/v1/reports", json=report(source="dr-samir")),
        low.post("/v1/reports", json=report(source="dr-samir", value={"people": 5})),
        low.post("/v1/reports", json=report(source=alias, value={"people": 6})),
        client.post("/v1/reports", json=hidden),
        low.post("/v1/reports", json=hidden | {"sensitivity": "clear"}),
        low.post("/v1/reports", json=[report(value={"people": 8}), report(value={"people": -1})]),
        low.post("/v1/reports?atomic=true", json=[report(value={"people": 9}), report(value={"people": -1})]),
        low.post("/v1/reports", json=report("supply_runout")),
    ]
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *posts)
    answers = await asyncio.gather(*waiting)
    assert [each.status_code for each in answers] == [201, 422, 200, 201, 201, 422, 201, 201, 422, 201, 201, 201, 207, 422, 201]
    assert [error["pointer"] for error in answers[1].json()["errors"]] == ["/place"]
    # The statement of another caller of the same group, its Idempotency-Key, and the name that only high clearances may use.
    assert answers[2].json()["id"] == answers[0].json()["id"]
    assert answers[4].content == answers[3].content
    assert (answers[4].headers["Idempotency-Replayed"], answers[3].headers.get("Idempotency-Replayed")) == ("true", None)
    assert answers[5].json()["type"].endswith(":idempotency")
    assert [error["pointer"] for error in answers[8].json()["errors"]] == ["/source"]
    assert (answers[7].json()["source"], answers[9].json()["source"]) == ("dr-samir", alias)
    assert [item["status"] for item in answers[12].json()["items"]] == [201, 422]
    # A caller that does not see the red report gets one of its own in the same transaction, and numbers that do not count it.
    assert answers[11].json()["id"] != answers[10].json()["id"]
    seen = [answers[at].json() for at in (0, 6, 9, 11)] + [answers[12].json()["items"][0], answers[14].json()]
    numbers = [each["seq"] for each in (await low.get("/v1/reports?limit=1000")).json()["items"]]
    assert numbers == list(range(SEEDED + 2, SEEDED + 2 + len(numbers)))
    assert [each["seq"] for each in seen] == sorted(each["seq"] for each in seen)
    assert {int(each.headers["Lifeline-Revision"]) for each in (answers[6], answers[9], answers[14])} == {numbers[-1]}
    # One transaction had all but those that depend on another of it.
    times = [answers[at].json()["recorded_at"] for at in (0, 3, 6, 7, 9, 10, 11, 14)]
    assert len(set(times)) == 1
    async with database.read() as connection:
        assert [problem async for problem in verify_all(connection, settings.horizons)] == []


POISON = {
    "sqlite": "CREATE TRIGGER poison BEFORE INSERT ON report WHEN NEW.title = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END",
    "postgresql": "ALTER TABLE report ADD CONSTRAINT poison CHECK (title <> 'poison')",
}


async def test_group_with_one_that_the_database_refuses_records_the_others(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, settings: Settings, engine: str
) -> None:
    await execute_sql_async(settings.database_url, POISON[engine])
    bodies = [report(value={"people": each}, provenance={"title": "poison" if each in (3, 6) else "fine"}) for each in range(1, 7)]
    corrected, retracted = await post_all(client, *(report(value={"people": each}) for each in (98, 99)))
    correction, retraction = f"/v1/reports/{corrected['id']}/correction", f"/v1/reports/{retracted['id']}/retraction"
    posts = [
        *(client.post("/v1/reports", json=each) for each in bodies[:5]),
        client.post(correction, json={"reason": "recounted", **bodies[5]}),
        client.post(retraction, json={"reason": "wrong"}),
    ]
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *posts)
    answers = await asyncio.gather(*waiting)
    assert [each.status_code for each in answers] == [201, 201, 500, 201, 201, 500, 201]
    assert [each.json()["seq"] for each in answers if each.status_code == 201] == list(range(SEEDED + 3, SEEDED + 8))
    stored = (await client.get("/v1/reports")).json()["items"]
    assert [(each["value"]["people"], each["status"]) for each in stored[:2]] == [(98, "standing"), (99, "retracted")]
    assert [each["value"]["people"] for each in stored[2:]] == [1, 2, 4, 5]


async def test_group_whose_callers_hang_up_records_the_others(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *(client.post("/v1/reports", json=report(value={"people": each})) for each in range(1, 6)))
        # The first caller of the group, and one in its midst.
        for gone in (waiting[0], waiting[2]):
            gone.cancel()
        await asyncio.wait([waiting[0], waiting[2]])
    answers = await asyncio.gather(*(waiting[at] for at in (1, 3, 4)))
    assert [each.status_code for each in answers] == [201, 201, 201]
    assert [each["value"]["people"] for each in (await client.get("/v1/reports")).json()["items"]] == [2, 4, 5]


async def test_unknown_key_among_known_ones_is_refused_alone(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    other, wrong = await make_client(), {"Authorization": "Bearer ll_unknown"}
    requests = [client.post("/v1/reports", json=report()), other.get("/v1/places"), other.get("/v1/places", headers=wrong)]
    assert [each.status_code for each in await asyncio.gather(*requests, client.get("/v1/keys"))] == [201, 200, 401, 200]


async def _mixed_writes(client: httpx.AsyncClient, reference: Reference, place: str) -> list[partial[Any]]:
    """Prepare a place, and return 64 writes about it of every sort, some of which depend on each other or are refused."""
    etag = await _added_place(client, reference, place)

    def said(people: int, **more: Any) -> dict[str, Any]:
        concept = ("trapped", "besieged", "in_need", "at_risk")[people % 4]
        return report(place=place, value={"concept": concept, "people": people}, **more)

    held = await post_all(client, *(said(each) for each in range(100, 124)))
    paths = [f"/v1/reports/{each['id']}" for each in held]
    for path in paths[10:14]:
        assert (await client.post(f"{path}/retraction", json={"reason": "wrong"})).status_code == 201
    warned = await post(client, **report("supply_runout", place=place))
    shown = await post(client, **report("supply_runout", {"state": "ran_out"}, place=place, stated_at="2016-08-15"))
    warning = f"/v1/indicators/{warned['indicator']}"
    judgement = {"value": {"concept": "trapped", "people": 7}, "likelihood": "likely", "confidence": "low", "reasons": "counted"}
    drafts = [await post(client, "/v1/drafts", **said(each)) for each in (130, 131)]

    send = partial(partial, client.post)
    return [
        *(send("/v1/reports", json=said(each)) for each in range(1, 9)),
        *(send(f"{path}/correction", json={"reason": "recounted", **said(200 + at)}) for at, path in enumerate(paths[:6])),
        # Twice the same, which cannot be retracted or corrected twice.
        *(send(f"{path}/retraction", json={"reason": "wrong"}) for path in (*paths[4:10], paths[6])),
        send(f"{paths[0]}/correction", json={"reason": "recounted again", **said(300)}),
        *(send(f"{path}/reinstatement", json={"reason": "it was right"}) for path in (*paths[10:14], paths[6], paths[7], paths[23])),
        *(send(f"{path}/label", json={"sensitivity": "red", "reason": "people at risk"}) for path in (*paths[14:18], paths[14])),
        *(send(f"{path}/label", json={"sensitivity": "clear", "reason": "safe now"}) for path in paths[15:19]),
        *(partial(client.patch, f"/v1/places/{place}", json={"name": f"{place} {at}"}, headers={"If-Match": etag}) for at in range(4)),
        send(f"{warning}/outcome", json={"outcome": "materialised", "report": shown["id"], "reason": "it ran out"}),
        send(f"{warning}/outcome", json={"outcome": "materialised", "report": held[0]["id"], "reason": "of another kind"}),
        *(send(f"/v1/indicators/{held[at]['indicator']}/judgements", json=judgement) for at in (0, 0, 1)),
        *(send("/v1/drafts", json=said(each)) for each in (140, 141)),
        *(send(f"/v1/drafts/{draft['id']}/confirmation") for draft in (*drafts, drafts[0])),
        send(f"/v1/drafts/{drafts[1]['id']}/rejection", json={"reason": "too late"}),
        *(send("/v1/reports", json=said(-1)) for _ in range(2)),
        *(send("/v1/reports", json=said(each)) for each in range(9, 13)),
        send("/v1/sources", json={"slug": f"of-{place}", "name": "Another", "type": "ngo", "reliability": "B"}),
        *(send(f"{path}/correction", json={"reason": "", **said(400)}) for path in paths[19:21]),
        *(send(f"{path}/retraction", json={"reason": "once"}, headers={IDEMPOTENCY: f"{place}-once"}) for path in (paths[21], paths[21])),
    ]


async def _added_place(client: httpx.AsyncClient, reference: Reference, place: str) -> str:
    await reference.add("places", slug=place, name=place, parent="country", centroid=[37.0, 36.0])
    return str((await client.get(f"/v1/places/{place}")).headers["ETag"])


async def _state(client: httpx.AsyncClient, place: str) -> dict[str, Any]:
    """Return what stands of a place, without identifiers, numbers and times."""
    reports = (await client.get(f"/v1/reports?place={place}&limit=1000")).json()["items"]
    indicators = (await client.get(f"/v1/indicators?place={place}")).json()["items"]
    drafts = (await client.get("/v1/drafts?limit=1000")).json()["items"]
    changes = (await client.get("/v1/changes?limit=1000")).json()["items"]
    own = {each["id"] for each in reports}
    value = {each["id"]: each["value"] for each in reports}
    return {
        "reports": [(each["value"], each["status"], each["sensitivity"]) for each in reports],
        "indicators": sorted(
            str((each["value"], each["assessment"].get("agreement"), each["judgement"] and each["judgement"]["value"]))
            for each in indicators
        ),
        "drafts": [each["status"] for each in drafts if each["report"]["place"] == place],
        "changes": [(each["type"], str(value[each["report_id"]]), each.get("reason")) for each in changes if each.get("report_id") in own],
        "name": (await client.get(f"/v1/places/{place}")).json()["name"].removeprefix(place),
    }


async def test_mixed_writers_in_one_group_end_as_a_serial_run(
    app: FastAPI,
    client: httpx.AsyncClient,
    reference: Reference,
    database: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group, "MAX_GROUP_SECONDS", 60)
    grouped, serial = [await _mixed_writes(client, reference, place) for place in ("east", "west")]
    assert len(grouped) == WRITERS
    # A group has its new reports first, and repeats of an Idempotency-Key in the next one.
    commits: list[Any] = []
    event.listen(database.writer.sync_engine, "commit", commits.append)
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *(write() for write in grouped))
    answers = await asyncio.gather(*waiting)
    together = len(commits)
    alone = {at: await serial[at]() for at in sorted(range(WRITERS), key=lambda at: serial[at].args != ("/v1/reports",))}
    assert [each.status_code for each in answers] == [alone[at].status_code for at in range(WRITERS)]
    assert Counter(each.status_code for each in answers) == {201: 42, 200: 1, 202: 3, 409: 9, 412: 3, 422: 6}
    # The group, the repeat, and what runs beside them.
    assert together <= 5
    assert await _state(client, "east") == await _state(client, "west")
    assert answers[-1].content == answers[-2].content
    assert answers[-1].headers["Idempotency-Replayed"] == "true"
    numbers = [each["seq"] for each in (await client.get("/v1/changes?limit=1000")).json()["items"]]
    assert numbers == list(range(1, 1 + len(numbers)))
    head = int((await client.get("/v1/reports?limit=1")).headers["Lifeline-Revision"])
    assert head == numbers[-1]
    async with database.read() as connection:
        assert [problem async for problem in verify_all(connection, settings.horizons)] == []


async def test_group_that_lasts_long_leaves_the_rest_to_the_next(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await post_all(client, *(report(value={"people": each}) for each in range(1, 4)))
    monkeypatch.setattr(group, "MAX_GROUP_SECONDS", 0)
    commits: list[Any] = []
    event.listen(database.writer.sync_engine, "commit", commits.append)
    retractions = [client.post(f"/v1/reports/{each['id']}/retraction", json={"reason": "wrong"}) for each in held]
    posts = [*retractions[:2], client.post("/v1/reports", json=report(value={"people": 4})), retractions[2]]
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *posts)
    answers = await asyncio.gather(*waiting)
    assert [each.status_code for each in answers] == [201] * 4
    # The report comes with the first of the others, and these keep their order.
    assert [answers[at].json()["seq"] for at in (2, 0, 1, 3)] == list(range(SEEDED + 4, SEEDED + 8))
    assert len(commits) >= 3
