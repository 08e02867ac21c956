"""What a clearance sees is a ledger of its own: complete, numbered without gaps, and silent about all above it."""

import copy
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import LABELS, Label
from app.settings import Settings
from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import MakeClient, MakeKey
from tests.support.servers import client_for

# One statement of each label on one indicator, the more restricted the better graded, and the further from the rest.
SAID: list[tuple[str, str, int]] = [
    ("clear", "army", 100),
    ("green", "unknown", 200),
    ("amber", "monitor", 300),
    ("amber_strict", "agency", 400),
    ("red", "insider", 500),
]


async def post(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/reports", json=report(**more))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
async def said(client: httpx.AsyncClient, reference: Reference) -> list[dict[str, Any]]:
    """The statements, posted from the most restricted on, and each on a supply of its own too."""
    await reference.add("sources", slug="insider", name="Insider", type="un", reliability="A")
    *restricted, clear = [report(sensitivity=label, source=source, value={"people": people}) for label, source, people in reversed(SAID)]
    supplies = [
        report("supply_runout", sensitivity=label, source=source, value={"supply": supply})
        for (label, source, _), supply in zip(SAID, ("basic", "food", "medical", "water", "fuel"), strict=True)
    ]
    await post_all(client, *restricted)
    await post_all(client, clear, *supplies)
    made: list[dict[str, Any]] = (await client.get("/v1/reports")).json()["items"]
    return [*reversed(made[: len(SAID)]), *made[len(SAID) :]]


async def readers(make_client: MakeClient, anonymous: httpx.AsyncClient) -> list[tuple[int, httpx.AsyncClient]]:
    """A reader of each clearance, and the public."""
    return [(0, anonymous), *[(label.level, await make_client(Scope.READ, clearance=label)) for label in Label]]


async def test_a_reading_is_made_of_what_its_reader_may_see(
    make_client: MakeClient, anonymous: httpx.AsyncClient, said: list[dict[str, Any]]
) -> None:
    """Value, range, agreement, counts, provenance, label and revision are those of the visible reports alone."""
    for level, reader in await readers(make_client, anonymous):
        label, source, people = SAID[level]
        (item,) = (await reader.get("/v1/trapped-populations")).json()["items"]
        detail = (await reader.get(f"/v1/indicators/{item['id']}")).json()
        assert item.items() <= detail.items()
        value = item["value"]
        assert (value["people"], value["people_low"], value["people_high"]) == (people, 100, people)
        assert item["agreement"] == ("single" if level == 0 else "contested")
        assert (item["assessment"]["reports"], item["assessment"]["sources"]) == (level + 1, level + 1)
        assert item["provenance"]["source"]["slug"] == source
        assert item["sensitivity"] == label
        assert {each["id"] for each in detail["reports"]} == {each["id"] for each in said[: level + 1]}
        assert detail["left_out"] == []
        assert item["recorded_at"] == max(each["recorded_at"] for each in said[: level + 1])


async def test_each_clearance_counts_without_gaps(
    make_client: MakeClient, anonymous: httpx.AsyncClient, said: list[dict[str, Any]]
) -> None:
    for level, reader in await readers(make_client, anonymous):
        page = (await reader.get("/v1/reports")).json()
        visible = 2 * (level + 1)
        assert [item["seq"] for item in page["items"]] == list(range(1, visible + 1))
        assert {item["sensitivity"] for item in page["items"]} == set(LABELS[: level + 1])
        assert page["revision"] == visible
        changes = (await reader.get("/v1/changes")).json()
        assert [item["seq"] for item in changes["items"]] == list(range(1, visible + 1))
        assert [item["report"]["id"] for item in changes["items"]] == [item["id"] for item in page["items"]]
        indicators = (await reader.get("/v1/indicators")).json()
        assert len(indicators["items"]) == 1 + level + 1
        assert max(item["revision"] for item in indicators["items"]) == indicators["revision"] == visible
        head = (await reader.get("/v1/ledger/head")).json()
        assert (head["seq"], head["clearance"]) == (visible, LABELS[level])
        # Page by page too: no page is short because something was taken out of it.
        seen: list[str] = []
        path = "/v1/reports?limit=2"
        while path:
            answer = await reader.get(path)
            assert len(answer.json()["items"]) == 2
            seen += [item["id"] for item in answer.json()["items"]]
            path = answer.links.get("next", {}).get("url", "")
        assert seen == [item["id"] for item in page["items"]]


async def test_what_is_hidden_is_not_there(make_client: MakeClient, anonymous: httpx.AsyncClient, said: list[dict[str, Any]]) -> None:
    """A hidden report or indicator is answered as one that never was, for reading and for writing, to the byte but its address."""
    for level, reader in await readers(make_client, anonymous):
        for at, made in enumerate(said):
            above = LABELS.index(made["sensitivity"]) - level
            # Of those who see something, the one who sees all of it is enough.
            if above <= 0 and level < len(LABELS) - 1:
                continue
            # Each of the latter alone is on its indicator.
            of_indicator = [f"/v1/indicators/{made['indicator']}{tail}" for tail in ("", "/history")]
            for path in of_indicator if at >= len(SAID) else [f"/v1/reports/{made['id']}"]:
                answer = await reader.get(path)
                assert answer.status_code == (404 if above > 0 else 200), path
                if above == 1:
                    never = await reader.get(path.replace(made["id"], unknown := str(uuid4())).replace(made["indicator"], unknown))
                    assert answer.text.replace(path, "") == never.text.replace(str(never.url.path), "")
                    own = {"content-length": "", "x-request-id": ""}
                    assert {**answer.headers, **own} == {**never.headers, **own}
    low = await make_client(clearance=Label.GREEN)
    red = said[4]
    warned = said[-1]
    for path, body in (
        (f"/v1/reports/{red['id']}/correction", report(value={"people": 1}, reason="misread")),
        (f"/v1/reports/{red['id']}/retraction", {"reason": "withdrawn"}),
        (f"/v1/indicators/{warned['indicator']}/outcome", {"outcome": "averted", "reason": "a convoy", "report": said[0]["id"]}),
    ):
        assert (await low.post(path, json=body)).status_code == 404, path
    evidence = {"outcome": "averted", "reason": "a convoy", "report": red["id"]}
    answer = await low.post(f"/v1/indicators/{said[5]['indicator']}/outcome", json=evidence)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/report"]
    assert (await low.get("/v1/reports", params={"indicator": warned["indicator"]})).json()["items"] == []


PUBLIC = (
    "/v1/indicators", "/v1/trapped-populations", "/v1/supply-runouts", "/v1/route-closures", "/v1/reports", "/v1/changes", "/v1/warnings",
    "/v1/warnings?within_days=3650", "/v1/ledger/head", "/v1/places", "/v1/sources", "/v1/routes", "/v1/indicators?agreement=contested",
    "/v1/indicators?min_reliability=B", "/v1/indicators?source=envoy", "/v1/reports?source=envoy", "/v1/indicators?as_of=2016-07-30",
    "/v1/indicators?known_at=2999-01-01", "/v1/situations", "/v1/situations/oldtown", "/v1/situations/oldtown?as_of=2016-07-30",
    "/v1/situations?as_of=2016-07-30", "/v1/warnings?as_of=2016-07-30", "/v1/sources/agency/record?as_of=2016-12-01",
    "/v1/changes?kind=supply_runout",
)  # fmt: skip


def steady(answer: httpx.Response) -> Any:
    """The body without the time of reading, which stands beside what depends on it."""
    body = copy.deepcopy(answer.json())
    for each in [body, *body.get("items", [])]:
        if "as_of" not in answer.url.params:
            each.pop("as_of", None)
    return body


async def test_nothing_restricted_shows_through_to_the_public(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """Whatever is said, corrected, withdrawn or judged above a reader, no byte of any answer to him differs, nor any ETag."""
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

    told = []
    for path, old in before:
        for reader in (anonymous, keyed) if path in own else (anonymous,):
            new = await reader.get(path)
            timeless = ("situations" not in path and "warnings" not in path) or "as_of" in path
            if steady(new) != steady(old) or (timeless and (new.content, new.headers["etag"]) != (old.content, old.headers["etag"])):
                told.append(path)
    assert not told
    # The one who may see all of it does.
    assert (await client.get(f"/v1/reports/{clear['id']}")).json()["status"] == "superseded"
    assert (await client.get("/v1/reports")).json()["revision"] == 11


async def test_without_a_key_only_clear_is_seen(anonymous: httpx.AsyncClient, said: list[dict[str, Any]]) -> None:
    page = (await anonymous.get("/v1/reports")).json()
    assert [item["id"] for item in page["items"]] == [said[0]["id"], said[5]["id"]]
    for path in ("/v1/reports", "/v1/changes", "/v1/indicators", "/v1/situations", "/v1/warnings?within_days=3650"):
        text = (await anonymous.get(path)).text
        for made in said:
            if made["sensitivity"] != "clear":
                assert made["id"] not in text
                assert f'"{made["sensitivity"]}"' not in text


async def test_a_key_without_the_scope_read_reads_as_the_public(
    make_client: MakeClient, anonymous: httpx.AsyncClient, said: list[dict[str, Any]]
) -> None:
    """It may report what it cannot read: also its own restricted statement is not shown to it again."""
    paths = ("/v1/reports", "/v1/indicators", "/v1/changes", "/v1/ledger/head", "/v1/routes/north-road")
    public = [(await anonymous.get(path)).content for path in paths]
    for scopes in ((Scope.REPORT,), (Scope.CURATE,), (Scope.ADMIN,), (Scope.REPORT, Scope.CURATE, Scope.ADMIN)):
        writer = await make_client(*scopes, clearance=Label.RED)
        assert [(await writer.get(path)).content for path in paths] == public
        assert (await writer.get(f"/v1/reports/{said[4]['id']}")).status_code == 404
    writer = await make_client(Scope.REPORT, clearance=Label.RED)
    made = await writer.post("/v1/reports", json=report("route_closure", sensitivity="red"))
    assert made.status_code == 201
    assert made.json()["seq"] is None
    assert (await writer.get(made.headers["location"])).status_code == 404
    assert (await anonymous.get("/v1/route-closures")).json()["items"] == []


async def test_the_public_clearance_is_a_setting(
    settings: Settings, said: list[dict[str, Any]], make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIFELINE_PUBLIC_CLEARANCE: what a reader without a key sees, and the least that any key sees."""
    lowest = await make_key(Scope.READ, clearance=Label.CLEAR)
    writer = await make_key(Scope.REPORT, clearance=Label.CLEAR)
    for label in (Label.CLEAR, Label.AMBER, Label.RED):
        monkeypatch.setenv("LIFELINE_PUBLIC_CLEARANCE", label.value)
        async with client_for(Settings(database_url=settings.database_url)) as client:
            visible = 2 * (label.level + 1)
            for headers in ({}, {"Authorization": f"Bearer {lowest}"}, {"Authorization": f"Bearer {writer}"}):
                page = (await client.get("/v1/reports", headers=headers)).json()
                assert (len(page["items"]), page["revision"]) == (visible, visible)
                assert {item["sensitivity"] for item in page["items"]} == set(LABELS[: label.level + 1])
            (item,) = (await client.get("/v1/trapped-populations")).json()["items"]
            assert item["value"]["people"] == SAID[label.level][2]
            route = (await client.get("/v1/routes/north-road")).json()
            assert route["redacted"] == ([] if label.level >= Label.AMBER.level else ["geometry"])


async def test_another_organisation_saying_the_same_learns_nothing(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """A statement recorded above a reporter is not recognised for him: 200 would tell that it is there."""
    hidden = await post(client, sensitivity="red")
    other = await make_client(clearance=Label.GREEN, organisation="another")
    answer = await other.post("/v1/reports", json=report(sensitivity="green"))
    assert answer.status_code == 201
    assert (answer.json()["seq"], answer.json()["supersedes"]) == (1, None)
    assert answer.json()["id"] != hidden["id"]


async def test_a_reporter_may_say_more_than_he_may_read(make_client: MakeClient, client: httpx.AsyncClient, reference: Reference) -> None:
    """He gets the report that he sent with no number of a ledger that he does not see; the list he reads stays as it was."""
    reporter = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN)
    made = await reporter.post("/v1/reports", json=report(sensitivity="red"))
    assert (made.status_code, made.json()["seq"]) == (201, None)
    assert (await reporter.get("/v1/reports")).json() == {"items": [], "next": None, "as_of": None, "revision": 0}
    batch = (await reporter.post("/v1/reports", json=[report(sensitivity="red", source="envoy"), report(source="monitor")])).json()
    assert [item["seq"] for item in batch["items"]] == [None, 1]
    assert batch["revision"] == 1
    assert (await client.get("/v1/reports")).json()["revision"] == 3


async def test_no_clearance_outlives_the_request(make_client: MakeClient, anonymous: httpx.AsyncClient, said: list[dict[str, Any]]) -> None:
    """Whoever asks after whom, in whichever order, each gets his own answer."""
    every = await readers(make_client, anonymous)
    expected = {level: (await reader.get("/v1/indicators")).content for level, reader in every}
    assert len(set(expected.values())) == len(LABELS)
    for level, reader in [*every, *reversed(every), *every[::2], *every[1::2]]:
        assert (await reader.get("/v1/indicators")).content == expected[level]
