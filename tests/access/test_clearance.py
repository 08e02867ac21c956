"""Each clearance has its own ledger: complete, numbered without gaps, and without a trace of anything above it."""

import copy
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import LABELS, Label
from app.settings import Settings
from tests.support.factories import SEEDED, Reference, listed, post_all, report
from tests.support.fixtures import MakeClient, MakeKey, mostly_sqlite
from tests.support.servers import client_for

# One report of each label on one indicator: the more restricted, the better its grade and the higher its figure.
REPORTS: list[tuple[str, str, int]] = [
    ("clear", "army", 100),
    ("green", "unknown", 200),
    ("amber", "monitor", 300),
    ("amber_strict", "agency", 400),
    ("red", "insider", 500),
]

# Entries before the reports: the fixture adds a source.
BEFORE = SEEDED + 1


async def post(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/reports", json=report(**more))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
async def posted(client: httpx.AsyncClient, reference: Reference) -> list[dict[str, Any]]:
    """Post the reports, the most restricted first, and one of each label on an indicator of its own; return all, by label."""
    await reference.add("sources", slug="insider", name="Insider", type="un", reliability="A")
    *restricted, clear = [report(sensitivity=label, source=source, value={"people": people}) for label, source, people in reversed(REPORTS)]
    supplies = [
        report("supply_runout", sensitivity=label, source=source, value={"supply": supply})
        for (label, source, _), supply in zip(REPORTS, ("basic", "food", "medical", "water", "fuel"), strict=True)
    ]
    await post_all(client, *restricted)
    await post_all(client, clear, *supplies)
    made: list[dict[str, Any]] = (await client.get("/v1/reports")).json()["items"]
    return [*reversed(made[: len(REPORTS)]), *made[len(REPORTS) :]]


async def readers(make_client: MakeClient, anonymous: httpx.AsyncClient) -> list[tuple[int, httpx.AsyncClient]]:
    """Return a reader of each clearance, and an anonymous one."""
    return [(0, anonymous), *[(label.level, await make_client(Scope.READ, clearance=label)) for label in Label]]


@mostly_sqlite
async def test_assessment_uses_visible_reports_only(
    make_client: MakeClient, anonymous: httpx.AsyncClient, posted: list[dict[str, Any]]
) -> None:
    """Value, range, agreement, counts, provenance, label and revision come from the visible reports."""
    for level, reader in await readers(make_client, anonymous):
        label, source, people = REPORTS[level]
        (item,) = (await reader.get("/v1/trapped-populations")).json()["items"]
        detail = (await reader.get(f"/v1/indicators/{item['id']}")).json()
        assert listed(detail, item) == item
        value = item["value"]
        # The army is a party to the conflict: it gives the value only where no other source speaks.
        assert (value["people"], value["people_low"], value["people_high"]) == (people, 100 if level == 0 else 200, people)
        assert item["agreement"] == ("unconfirmed" if level == 0 else "contested")
        assert (item["assessment"]["reports"], item["assessment"]["sources"]) == (level + 1, level + 1)
        assert item["provenance"]["source"]["slug"] == source
        assert item["sensitivity"] == label
        assert {each["id"] for each in detail["reports"]} == {each["id"] for each in posted[: level + 1]}
        assert detail["left_out"] == []
        assert item["recorded_at"] == max(each["recorded_at"] for each in posted[: level + 1])


async def test_seq_of_each_clearance_has_no_gaps(
    make_client: MakeClient, anonymous: httpx.AsyncClient, posted: list[dict[str, Any]]
) -> None:
    for level, reader in await readers(make_client, anonymous):
        page = (await reader.get("/v1/reports")).json()
        visible = 2 * (level + 1)
        assert [item["seq"] for item in page["items"]] == list(range(BEFORE + 1, BEFORE + visible + 1))
        assert {item["sensitivity"] for item in page["items"]} == set(LABELS[: level + 1])
        assert page["revision"] == BEFORE + visible
        changes = (await reader.get("/v1/changes")).json()
        assert [item["seq"] for item in changes["items"]] == list(range(1, BEFORE + visible + 1))
        assert [item["report"]["id"] for item in changes["items"][BEFORE:]] == [item["id"] for item in page["items"]]
        indicators = (await reader.get("/v1/indicators")).json()
        assert len(indicators["items"]) == 1 + level + 1
        assert max(item["revision"] for item in indicators["items"]) == indicators["revision"] == BEFORE + visible
        head = (await reader.get("/v1/ledger/head")).json()
        assert (head["seq"], head["clearance"]) == (BEFORE + visible, LABELS[level])
        # A page is never short because a hidden report was removed from it.
        seen: list[str] = []
        path = "/v1/reports?limit=2"
        while path:
            answer = await reader.get(path)
            assert len(answer.json()["items"]) == 2
            seen += [item["id"] for item in answer.json()["items"]]
            path = answer.links.get("next", {}).get("url", "")
        assert seen == [item["id"] for item in page["items"]]


async def test_hidden_record_is_answered_like_an_unknown_one(
    make_client: MakeClient, anonymous: httpx.AsyncClient, posted: list[dict[str, Any]]
) -> None:
    """Reads and writes of a hidden record get the response for an unknown one, byte for byte except its URL."""
    for level, reader in await readers(make_client, anonymous):
        for at, made in enumerate(posted):
            above = LABELS.index(made["sensitivity"]) - level
            # Of the readers that see the record, only the one with the highest clearance is checked.
            if above <= 0 and level < len(LABELS) - 1:
                continue
            # Each of the later reports is the only one of its indicator.
            of_indicator = [f"/v1/indicators/{made['indicator']}{tail}" for tail in ("", "/history")]
            for path in of_indicator if at >= len(REPORTS) else [f"/v1/reports/{made['id']}"]:
                answer = await reader.get(path)
                assert answer.status_code == (404 if above > 0 else 200), path
                if above == 1:
                    never = await reader.get(path.replace(made["id"], unknown := str(uuid4())).replace(made["indicator"], unknown))
                    assert answer.text.replace(path, "") == never.text.replace(str(never.url.path), "")
                    own = {"content-length": "", "x-request-id": ""}
                    assert {**answer.headers, **own} == {**never.headers, **own}
    low = await make_client(clearance=Label.GREEN)
    red = posted[4]
    warned = posted[-1]
    for path, body in (
        (f"/v1/reports/{red['id']}/correction", report(value={"people": 1}, reason="misread")),
        (f"/v1/reports/{red['id']}/retraction", {"reason": "withdrawn"}),
        (f"/v1/reports/{red['id']}/reinstatement", {"reason": "said after all"}),
        (f"/v1/indicators/{warned['indicator']}/outcome", {"outcome": "averted", "reason": "a convoy", "report": posted[0]["id"]}),
    ):
        assert (await low.post(path, json=body)).status_code == 404, path
    evidence = {"outcome": "averted", "reason": "a convoy", "report": red["id"]}
    answer = await low.post(f"/v1/indicators/{posted[5]['indicator']}/outcome", json=evidence)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/report"]
    assert (await low.get("/v1/reports", params={"indicator": warned["indicator"]})).status_code == 422


PUBLIC = (
    "/v1/indicators", "/v1/trapped-populations", "/v1/supply-runouts", "/v1/route-closures", "/v1/reports", "/v1/changes", "/v1/warnings",
    "/v1/warnings?within_days=3650", "/v1/ledger/head", "/v1/places", "/v1/sources", "/v1/routes", "/v1/indicators?agreement=contested",
    "/v1/indicators?min_reliability=B", "/v1/indicators?source=envoy", "/v1/reports?source=envoy", "/v1/indicators?as_of=2016-07-30",
    "/v1/indicators?known_at=2999-01-01", "/v1/situations", "/v1/situations/oldtown", "/v1/situations/oldtown?as_of=2016-07-30",
    "/v1/situations?as_of=2016-07-30", "/v1/warnings?as_of=2016-07-30", "/v1/sources/agency/record?as_of=2016-12-01",
    "/v1/changes?kind=supply_runout",
)  # fmt: skip


def steady(answer: httpx.Response) -> Any:
    """Return the body without `as_of`, the time of the request, unless the request set it."""
    body = copy.deepcopy(answer.json())
    for each in [body, *body.get("items", [])]:
        if "as_of" not in answer.url.params:
            each.pop("as_of", None)
    return body


async def test_restricted_changes_alter_no_public_response(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """Restricted reports, corrections, retractions and outcomes change no byte and no ETag of a public response."""
    clear = await post(client)
    warning = await post(client, kind="supply_runout")
    own = [f"/v1/indicators/{each['indicator']}{tail}" for each in (clear, warning) for tail in ("", "/history", "?as_of=2016-07-30")]
    own += [f"/v1/reports/{each['id']}" for each in (clear, warning)]
    keyed = await make_client(clearance=Label.CLEAR)
    before = [(path, await anonymous.get(path)) for path in [*PUBLIC, *own]]
    assert {answer.status_code for _, answer in before} == {200}

    hidden, ran_out, *_ = await post_all(
        client,
        report(sensitivity="amber", source="monitor", value={"people": 1}),
        report("supply_runout", sensitivity="green", value={"state": "ran_out", "in_days_min": 0, "in_days_max": 0}),
        report(sensitivity="green", source="envoy", value={"people": 7}, stated_at="2016-08-20"),
        report(sensitivity="red", source="agency", value={"concept": "besieged"}),
        report("route_closure", sensitivity="amber_strict", place="country"),
    )
    done = [
        await client.post(
            f"/v1/reports/{hidden['id']}/correction", json=report(sensitivity="amber", value={"people": 3}, reason="misread")
        ),
        await client.post(f"/v1/reports/{clear['id']}/correction", json=report(sensitivity="red", value={"people": 9}, reason="a secret")),
        await client.post(
            f"/v1/indicators/{warning['indicator']}/outcome", json={"outcome": "materialised", "reason": "it did", "report": ran_out["id"]}
        ),
        await client.post(f"/v1/reports/{ran_out['id']}/retraction", json={"reason": "withdrawn"}),
    ]
    assert [answer.status_code for answer in done] == [201] * 4

    changed = []
    for path, old in before:
        for reader in (anonymous, keyed) if path in own else (anonymous,):
            new = await reader.get(path)
            timeless = ("situations" not in path and "warnings" not in path) or "as_of" in path
            if steady(new) != steady(old) or (timeless and (new.content, new.headers["etag"]) != (old.content, old.headers["etag"])):
                changed.append(path)
    assert not changed
    # The highest clearance sees the changes.
    assert (await client.get(f"/v1/reports/{clear['id']}")).json()["status"] == "superseded"
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 11


@mostly_sqlite
async def test_anonymous_client_sees_clear_only(anonymous: httpx.AsyncClient, posted: list[dict[str, Any]]) -> None:
    page = (await anonymous.get("/v1/reports")).json()
    assert [item["id"] for item in page["items"]] == [posted[0]["id"], posted[5]["id"]]
    for path in ("/v1/reports", "/v1/changes", "/v1/indicators", "/v1/situations", "/v1/warnings?within_days=3650"):
        text = (await anonymous.get(path)).text
        for made in posted:
            if made["sensitivity"] != "clear":
                assert made["id"] not in text
                assert f'"{made["sensitivity"]}"' not in text


@mostly_sqlite
async def test_key_without_read_scope_reads_as_anonymous(
    make_client: MakeClient, anonymous: httpx.AsyncClient, posted: list[dict[str, Any]]
) -> None:
    """It may post reports that it cannot read, its own restricted ones included."""
    paths = ("/v1/reports", "/v1/indicators", "/v1/changes", "/v1/ledger/head", "/v1/routes/north-road")
    public = [(await anonymous.get(path)).content for path in paths]
    for scopes in ((Scope.REPORT,), (Scope.CURATE,), (Scope.ADMIN,), (Scope.REPORT, Scope.CURATE, Scope.ADMIN)):
        writer = await make_client(*scopes, clearance=Label.RED)
        assert [(await writer.get(path)).content for path in paths] == public
        assert (await writer.get(f"/v1/reports/{posted[4]['id']}")).status_code == 404
    writer = await make_client(Scope.REPORT, clearance=Label.RED)
    made = await writer.post("/v1/reports", json=report("route_closure", sensitivity="red"))
    assert made.status_code == 201
    assert made.json()["seq"] is None
    assert (await writer.get(made.headers["location"])).status_code == 404
    assert (await anonymous.get("/v1/route-closures")).json()["items"] == []


@mostly_sqlite
async def test_public_clearance_setting_is_the_least_that_anyone_sees(
    settings: Settings, posted: list[dict[str, Any]], make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowest = await make_key(Scope.READ, clearance=Label.CLEAR)
    writer = await make_key(Scope.REPORT, clearance=Label.CLEAR)
    for label in (Label.CLEAR, Label.AMBER, Label.RED):
        monkeypatch.setenv("LIFELINE_PUBLIC_CLEARANCE", label.value)
        async with client_for(Settings(database_url=settings.database_url)) as client:
            visible = 2 * (label.level + 1)
            for headers in ({}, {"Authorization": f"Bearer {lowest}"}, {"Authorization": f"Bearer {writer}"}):
                page = (await client.get("/v1/reports", headers=headers)).json()
                assert (len(page["items"]), page["revision"]) == (visible, BEFORE + visible)
                assert {item["sensitivity"] for item in page["items"]} == set(LABELS[: label.level + 1])
            (item,) = (await client.get("/v1/trapped-populations")).json()["items"]
            assert item["value"]["people"] == REPORTS[label.level][2]
            route = (await client.get("/v1/routes/north-road")).json()
            assert route["redacted"] == ([] if label.level >= Label.AMBER.level else ["geometry"])


async def test_guess_of_a_hidden_statement_is_answered_like_a_new_one(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """Whichever organisation sent it, by whichever door: a 200 would reveal the hidden report."""
    for at, organisation in enumerate(("test", "another")):
        guesser = await make_client(Scope.READ, Scope.REPORT, clearance=Label.CLEAR, organisation=organisation)
        hidden = [await post(client, sensitivity="red", value={"people": 10 * at + each}) for each in range(4)]
        answers = []
        for first in (10 * at, 10 * at + 100):
            single, listed, tried, written = [report(value={"people": first + each}) for each in range(4)]
            made = await guesser.post("/v1/reports", json=single)
            batch = await guesser.post("/v1/reports", json=[listed])
            files = [await guesser.post(f"/v1/imports?dry_run={dry}", json=[each]) for dry, each in (("true", tried), ("false", written))]
            assert {made.json()["id"], *(item["id"] for item in batch.json()["items"])}.isdisjoint(each["id"] for each in hidden)
            own = {"id", "value", "seq", "links", "recorded_at", "items", "revision", "shown"}
            bodies = [each.json() for each in (made, batch, *files)]
            assert (bodies[0]["supersedes"], bodies[1]["created"], bodies[2]["created"], bodies[3]["created"]) == (None, 1, 1, 1)
            answers.append(
                [(each.status_code, {name: value for name, value in body.items() if name not in own})
                 for each, body in zip((made, batch, *files), bodies, strict=True)]
            )  # fmt: skip
            # From now on the guesser's own report stands for the statement, and for the sender of the hidden one the first.
            again = await guesser.post("/v1/reports", json=single)
            assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
        assert answers[0] == answers[1]
        assert (await client.post("/v1/reports", json=report(value={"people": 10 * at}))).json()["id"] == hidden[0]["id"]


async def test_what_a_key_sends_above_its_clearance_is_never_recognised(make_client: MakeClient, reference: Reference) -> None:
    """The answer would say whether it still stands. Within one list or file it is recorded once."""
    sender = await make_client(Scope.REPORT, clearance=Label.RED)
    for body in (report(sensitivity="green"), report(sensitivity="red", source="envoy")):
        assert [(await sender.post("/v1/reports", json=body)).status_code for _ in range(2)] == [201, 201]
        assert [each["status"] for each in (await sender.post("/v1/reports", json=[body, body])).json()["items"]] == [201, 200]
        counts = [(await sender.post(f"/v1/imports?dry_run={dry}", json=[body, body])).json()["created"] for dry in ("true", "false")]
        assert counts == [1, 1]


@mostly_sqlite
async def test_dry_run_of_an_import_is_audited(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    guesser = await make_client(Scope.REPORT, clearance=Label.CLEAR)
    before = len((await client.get("/v1/audit?action=write&limit=1000")).json()["items"])
    assert (await guesser.post("/v1/imports?place=oldtown", json=[report()])).json()["written"] is False
    (entry,) = (await client.get("/v1/audit?action=write&limit=1000")).json()["items"][before:]
    assert (entry["method"], entry["target"], entry["status"]) == ("POST", "/v1/imports?place=oldtown", 200)
    assert entry["key"] == (await guesser.get("/v1/me")).json()["id"]


@mostly_sqlite
async def test_reporter_may_post_above_their_clearance(make_client: MakeClient, client: httpx.AsyncClient, reference: Reference) -> None:
    """The response has no `seq`, and the reporter's lists stay unchanged."""
    reporter = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN)
    made = await reporter.post("/v1/reports", json=report(sensitivity="red"))
    assert (made.status_code, made.json()["seq"]) == (201, None)
    assert (await reporter.get("/v1/reports")).json() == {"items": [], "next": None, "as_of": None, "revision": SEEDED}
    batch = (await reporter.post("/v1/reports", json=[report(sensitivity="red", source="envoy"), report(source="monitor")])).json()
    assert [item["seq"] for item in batch["items"]] == [None, SEEDED + 1]
    assert batch["revision"] == SEEDED + 1
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 3


@mostly_sqlite
async def test_cached_responses_of_clearances_are_never_mixed_up(
    make_client: MakeClient, anonymous: httpx.AsyncClient, posted: list[dict[str, Any]]
) -> None:
    every = await readers(make_client, anonymous)
    expected = {level: (await reader.get("/v1/indicators")).content for level, reader in every}
    assert len(set(expected.values())) == len(LABELS)
    for level, reader in [*every, *reversed(every), *every[::2], *every[1::2]]:
        assert (await reader.get("/v1/indicators")).content == expected[level]
