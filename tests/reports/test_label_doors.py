"""No door lowers a label: whatever writes a report leaves at least the label of what it corrects or repeats."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import orjson
import pytest

from app.access.principal import Scope
from app.cli.exchange import author_for
from app.domain.tlp import Label
from app.exchange.replication.apply import EntryApplier
from app.ledger.hash_chain import GENESIS
from app.settings import Settings
from app.storage.database import Database
from tests.exchange.imports.files import NDJSON, send
from tests.exchange.imports.test_full_import import chained
from tests.ledger.helpers import all_changes, assert_verified
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.openapi import DOCUMENT

SECRET = "where they hide"
JSON = "application/json"
_figures = count(1000)


@dataclass
class Attacker:
    """One person with the clearance `red`: a key with the scope `report` alone, and one that curates too."""

    reporter: httpx.AsyncClient
    curator: httpx.AsyncClient

    async def secret(self) -> dict[str, Any]:
        """Record a red statement that no other test records."""
        return await post(self.reporter, **statement(next(_figures), sensitivity="red"))

    async def whole(self, *changes: dict[str, Any]) -> dict[str, Any]:
        """Import a full export of these changes, and return the result."""
        head = {"record": "export", "version": 1, "clearance": "red", "seq": 0, "hash": GENESIS}
        answer = await send(self.curator, chained([head, *changes]), NDJSON, dry_run="false")
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result


def statement(people: int, **more: Any) -> dict[str, Any]:
    return report(value={"people": people}, provenance={"quote": SECRET}) | more


def resent(secret: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a red statement as its sender sends it again, now for all readers."""
    return statement(secret["value"]["people"], sensitivity="clear") | more


def change(type_: str, secret: dict[str, Any], identifier: str, **more: Any) -> dict[str, Any]:
    """Return an entry of a full export that brings a red statement as a clear one."""
    body = {name: secret[name] for name in ("kind", "place", "source", "stated_at", "value", "provenance")}
    return {
        "record": "change", "type": type_, "report_id": identifier, "indicator": secret["indicator"], "source": None,
        "report": {**body, "id": identifier, "sensitivity": "clear"}, "reason": "published", "detail": None,
        "recorded_at": "2016-08-01T00:00:00Z", "recorded_by": "test",
    } | more  # fmt: skip


def new_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012}"


async def level_of(client: httpx.AsyncClient, identifier: str) -> str:
    found: str = (await client.get(f"/v1/reports/{identifier}")).json()["sensitivity"]
    return found


async def by_correction(one: Attacker) -> None:
    for more in ({}, {"sensitivity": None}, {"sensitivity": "clear"}, {"sensitivity": "amber"}):
        secret = await one.secret()
        body = resent(secret, reason="misread")
        del body["sensitivity"]
        corrected = await post(one.reporter, f"/v1/reports/{secret['id']}/correction", **body | more)
        assert (corrected["sensitivity"], corrected["supersedes"]) == ("red", secret["id"])
        proposals = (await one.curator.get("/v1/label-proposals?limit=1000")).json()["items"]
        asked = [each["sensitivity"] for each in proposals if each["report"] == corrected["id"]]
        assert asked == ([more["sensitivity"]] if more.get("sensitivity") else [])


async def by_sending_again(one: Attacker) -> None:
    secret = await one.secret()
    again = await one.reporter.post("/v1/reports", json=resent(secret))
    assert (again.status_code, again.json()["id"], again.json()["sensitivity"]) == (200, secret["id"], "red")
    batch = (await one.reporter.post("/v1/reports", json=[resent(secret)])).json()
    assert (batch["created"], batch["existing"]) == (0, 1)


async def by_retraction(one: Attacker) -> None:
    secret = await one.secret()
    await post(one.reporter, f"/v1/reports/{secret['id']}/retraction", reason="published")
    again = await post(one.reporter, **resent(secret))
    assert (again["sensitivity"], again["status"]) == ("red", "standing")
    assert again["id"] != secret["id"]
    proposals = (await one.curator.get("/v1/label-proposals?limit=1000")).json()["items"]
    assert [each["sensitivity"] for each in proposals if each["report"] == again["id"]] == ["clear"]
    await post(one.reporter, f"/v1/reports/{secret['id']}/reinstatement", reason="said after all")
    assert await level_of(one.curator, secret["id"]) == "red"


async def by_import(one: Attacker) -> None:
    secret = await one.secret()
    answer = await send(one.reporter, orjson.dumps([resent(secret)]), JSON, dry_run="false", sensitivity="clear")
    assert (answer.json()["created"], answer.json()["existing"]) == (0, 1)
    await post(one.reporter, f"/v1/reports/{secret['id']}/retraction", reason="published")
    answer = await send(one.reporter, orjson.dumps([resent(secret)]), JSON, dry_run="false")
    assert answer.json()["created"] == 1


async def by_full_import(one: Attacker) -> None:
    secret, other, ended = [await one.secret() for _ in range(3)]
    await post(one.reporter, f"/v1/reports/{ended['id']}/retraction", reason="published")
    for number, old in enumerate((secret, ended), 1):
        correction = change("correction", old, new_id(number), detail={"supersedes": old["id"]})
        lowering = change("label", old, new_id(number), report=None, detail={"sensitivity": "clear", "before": "red"})
        assert (await one.whole(correction))["added"] == {"correction": 1}
        assert (await one.whole(correction, lowering))["added"] == {}
        assert await level_of(one.curator, new_id(number)) == "red"
    both = [change("correction", other, new_id(3), detail={"supersedes": other["id"]}), lowering | {"report_id": new_id(3)}]
    assert (await one.whole(*both))["added"] == {"correction": 1}
    # The same report, and the same statement as another report.
    assert (await one.whole(change("report", secret, secret["id"])))["added"] == {}
    assert (await one.whole(change("report", other, new_id(4))))["added"] == {"report": 1}
    assert {await level_of(one.curator, new_id(number)) for number in (3, 4)} == {"red"}
    # A file may lower the label of a report that it brings, as if it had brought it with the lower label.
    brought = change("report", secret | {"value": {"concept": "besieged", "people": 7}, "provenance": {}}, new_id(5))
    brought["report"]["sensitivity"] = "red"
    assert (await one.whole(brought, lowering | {"report_id": new_id(5)}))["added"] == {"report": 1, "label": 1}
    assert await level_of(one.curator, new_id(5)) == "clear"


async def by_outcome(one: Attacker) -> None:
    stock = report("supply_runout", {"scope": "agency_stock"}, sensitivity="red", provenance={"quote": SECRET})
    secret = await post(one.reporter, **stock)
    warning = await post(one.reporter, **report("supply_runout"))
    body = {"outcome": "averted", "reason": SECRET, "report": secret["id"]}
    assert (await one.curator.post(f"/v1/indicators/{warning['indicator']}/outcome", json=body)).status_code == 201


async def by_label(one: Attacker) -> None:
    secret = await one.secret()
    answer = await one.curator.post(f"/v1/reports/{secret['id']}/label", json={"sensitivity": "clear", "reason": "published"})
    assert (answer.status_code, await level_of(one.curator, secret["id"])) == (202, "red")


async def by_confirmation(one: Attacker) -> None:
    secret = await one.secret()
    correction = await post(one.curator, f"/v1/reports/{secret['id']}/correction", **resent(secret, reason="misread"))
    proposals = (await one.curator.get("/v1/label-proposals?limit=1000")).json()["items"]
    (confirmation,) = [each["links"]["confirmation"] for each in proposals if each["report"] == correction["id"]]
    for client in (one.curator, one.reporter):
        assert (await client.post(confirmation)).status_code == 403


async def by_draft(one: Attacker) -> None:
    secret = await one.secret()
    for status in (200, 201):
        made = await post(one.reporter, "/v1/drafts", **resent(secret))
        assert (await one.reporter.patch(made["links"]["self"], json={"sensitivity": "clear"})).json()["report"]["sensitivity"] == "green"
        confirmed = await one.reporter.post(made["links"]["confirmation"])
        assert (confirmed.status_code, confirmed.json()["sensitivity"]) == (status, "red")
        await one.reporter.post(f"/v1/reports/{secret['id']}/retraction", json={"reason": "published"})
    other = await post(one.reporter, "/v1/drafts", **resent(secret) | {"sensitivity": "red", "stated_at": "2016-07-03"})
    lowered = await one.reporter.patch(other["links"]["self"], json={"sensitivity": "clear"})
    assert lowered.json()["report"]["sensitivity"] == "red"
    assert (await one.reporter.post(other["links"]["confirmation"])).json()["sensitivity"] == "red"


# Use of each operation that writes or amends a report.
DOORS: dict[str, tuple[Callable[[Attacker], Awaitable[None]], ...]] = {
    "/v1/reports": (by_sending_again,),
    "/v1/reports/{id}/correction": (by_correction,),
    **dict.fromkeys(("/v1/reports/{id}/retraction", "/v1/reports/{id}/reinstatement"), (by_retraction,)),
    "/v1/imports": (by_import, by_full_import),
    "/v1/indicators/{id}/outcome": (by_outcome,),
    "/v1/reports/{id}/label": (by_label,),
    "/v1/label-proposals/{id}/confirmation": (by_confirmation,),
    **dict.fromkeys(("/v1/drafts", "/v1/drafts/{id}", "/v1/drafts/{id}/confirmation"), (by_draft,)),
}
# Doors that find an earlier report in the database; the others are tried on SQLite only.
RECOGNISING = {by_draft, by_sending_again, by_import, by_full_import}
# Collections whose operations write no report.
OTHER = {"judgements", "keys", "places", "routes", "sources", "webhooks", "witness"}
# Operations that record no report: on drafts, and of judgements, whose labels are tested with them.
NO_DOORS = {"/v1/indicators/{id}/judgements", "/v1/drafts/from-text", "/v1/drafts/preview", "/v1/drafts/{id}/rejection"}


@sqlite_only
def test_every_operation_that_writes_a_report_has_a_case(engine: str) -> None:
    writing = {path for path, methods in DOCUMENT["paths"].items() if methods.keys() & {"post", "put", "patch", "delete"}}
    assert {path for path in writing if path.split("/")[2] not in OTHER} == DOORS.keys() | NO_DOORS


@pytest.fixture
async def attacker(make_client: MakeClient, reference: Reference) -> Attacker:
    scopes = (Scope.READ, Scope.REPORT)
    reporter = await make_client(*scopes, clearance=Label.RED, person="Eve")
    return Attacker(reporter, await make_client(*scopes, Scope.CURATE, clearance=Label.RED, person=" EVE"))


@mostly_sqlite
async def test_no_operation_lowers_the_label_of_a_statement(attacker: Attacker, anonymous: httpx.AsyncClient, settings: Settings) -> None:
    cases = {case for cases in DOORS.values() for case in cases}
    for case in cases if settings.database_url.startswith("sqlite") else RECOGNISING:
        await case(attacker)
        assert SECRET not in (await anonymous.get("/v1/changes?limit=1000")).text, case.__name__
    for path in ("/v1/reports?limit=1000", "/v1/indicators?limit=1000"):
        assert SECRET not in (await anonymous.get(path)).text
    await assert_verified(settings.database_url)


async def test_follower_keeps_a_label_that_was_raised_here(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, database: Database, anonymous: httpx.AsyncClient
) -> None:
    """The other service never saw the raised label, so no person there has agreed to lower it."""
    old, lowered, agreed = [await post(client, **statement(people, sensitivity="amber")) for people in (1, 2, 3)]
    for each in (old, lowered):
        raised = await client.post(f"/v1/reports/{each['id']}/label", json={"sensitivity": "red", "reason": "too near"})
        assert raised.status_code == 201
    entries = [
        change("correction", old, new_id(1), detail={"supersedes": old["id"]}),
        *(change("label", each, each["id"], report=None, detail={"sensitivity": "clear", "before": "amber"}) for each in (lowered, agreed)),
    ]
    async with database.write() as session:
        result = await EntryApplier(author_for, Settings()).apply(session, entries)
    assert (result.added, result.conflicts) == ({"correction": 1, "label": 1}, 1)
    assert [await level_of(client, each) for each in (new_id(1), lowered["id"], agreed["id"])] == ["red", "red", "clear"]
    assert [each["report_id"] for each in (await all_changes(anonymous))[SEEDED:]] == [agreed["id"]]
