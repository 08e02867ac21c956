"""Judgements beside the assessment: they lapse, are superseded, corrected and retracted, and are seen by their label."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.assessment.keeping import keep_steps
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import Label
from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only


def judgement(**more: Any) -> dict[str, Any]:
    """Return a valid judgement on the indicator of `report()`, labelled `clear`."""
    return {
        "value": {"concept": "trapped", "people": 250000},
        "likelihood": "likely",
        "confidence": "moderate",
        "reasons": "the registration was complete",
        "sensitivity": "clear",
    } | more


async def judge(client: httpx.AsyncClient, indicator: str, **more: Any) -> dict[str, Any]:
    """Record a judgement, and return it."""
    return await post(client, f"/v1/indicators/{indicator}/judgements", **judgement(**more))


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def standing(client: httpx.AsyncClient, indicator: str, **params: Any) -> dict[str, Any] | None:
    """Return the judgement that an indicator shows, the same by itself and in lists."""
    alone = (await get(client, f"/v1/indicators/{indicator}", **params))["judgement"]
    listed = {each["id"]: each["judgement"] for each in (await get(client, "/v1/indicators", **params))["items"]}
    assert listed[indicator] == alone
    found: dict[str, Any] | None = alone
    return found


@pytest.fixture
async def curator(make_client: MakeClient) -> httpx.AsyncClient:
    """Return a client that may judge, up to red."""
    return await make_client(Scope.READ, Scope.REPORT, Scope.CURATE, clearance=Label.RED)


async def problems(settings: Settings) -> list[str]:
    async with Database(settings) as database, database.snapshot() as connection:
        return [each async for each in verify_all(connection, settings.horizons)]


async def test_judgement_stands_beside_the_value_until_contradicted(
    curator: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    said = await post(curator, **report(value={"people": 300000}))
    path = f"/v1/indicators/{said['indicator']}"
    before = await get(curator, path)
    assert before["judgement"] is None
    judged = await judge(curator, said["indicator"], reports=[said["id"]], alternatives="some left at night", valid_until="2999-01-01")
    assert (judged["status"], judged["lapsed"], judged["kind"], judged["place"]) == ("standing", False, "trapped_population", "oldtown")
    shown = await standing(curator, said["indicator"])
    assert shown == {name: judged[name] for name in shown or {}} | {"links": {"self": f"/v1/judgements/{judged['id']}"}}
    assert (shown["value"]["people"], shown["reports"], shown["sensitivity"]) == (250000, [said["id"]], "clear")
    beside = await get(curator, path)
    moved = {name for name in before if before[name] != beside[name]}
    assert moved == {"judgement", "recorded_at", "revision"}
    # It contradicts 250,000, but was stated before the judgement was recorded.
    await post(curator, **report(value={"people": 310000}, source="monitor", stated_at="2016-08-01"))
    assert (await standing(curator, said["indicator"]))["lapsed"] is False
    later = rfc3339(utc_now())
    # It agrees; a party's contradicts, but is not sound.
    await post(curator, **report(value={"people": 251000}, source="envoy", stated_at=later))
    await post(curator, **report(value={"people": 900000}, source="army", stated_at=later))
    assert (await standing(curator, said["indicator"]))["lapsed"] is False
    known = (await get(curator, "/v1/ledger/head"))["recorded_at"]
    ending = await post(curator, **report(value={"people": 400000}, source="outlet", stated_at=rfc3339(utc_now())))
    assert (await standing(curator, said["indicator"]))["lapsed"] is True
    assert (await get(curator, f"/v1/judgements/{judged['id']}"))["lapsed"] is True
    assert (await standing(curator, said["indicator"], known_at=known))["lapsed"] is False
    assert (await standing(curator, said["indicator"], as_of=later))["lapsed"] is False
    assert (await standing(curator, said["indicator"], as_of="2016-08-02")) is None
    steps = (await get(curator, f"{path}/history"))["items"]
    assert [(each["type"], each["judgement"]) for each in steps if "judgement" in each["moved"]] == [
        ("judgement", judged["id"]),
        ("report", judged["id"]),
    ]
    assert steps[-1]["report"] == ending["id"]
    # Without the report that contradicts it, it has not lapsed.
    await post(curator, f"/v1/reports/{ending['id']}/retraction", reason="a hoax")
    assert (await standing(curator, said["indicator"]))["lapsed"] is False
    assert await problems(settings) == []


async def test_next_judgement_supersedes_and_a_retracted_one_revives_none(
    curator: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    said = await post(curator, **report())
    path = f"/v1/indicators/{said['indicator']}/judgements"
    first = await judge(curator, said["indicator"])
    at_first = (await get(curator, "/v1/ledger/head"))["recorded_at"]
    second = await judge(curator, said["indicator"], value={"concept": "trapped", "people": 260000})
    assert (await standing(curator, said["indicator"]))["id"] == second["id"]
    assert (await standing(curator, said["indicator"], known_at=at_first))["id"] == first["id"]
    assert (await standing(curator, said["indicator"], as_of=at_first))["id"] == first["id"]
    for do, body in (("correction", judgement(reason="misread")), ("retraction", {"reason": "no"})):
        refused = await curator.post(f"/v1/judgements/{first['id']}/{do}", json=body)
        assert (refused.status_code, refused.json()["detail"]) == (409, "The judgement is already superseded.")
    third = await post(
        curator, f"/v1/judgements/{second['id']}/correction", **judgement(likelihood="very_likely", confidence="high"), reason="misread"
    )
    assert (third["corrects"], third["reason"], third["status"], third["likelihood"]) == (
        second["id"],
        "misread",
        "standing",
        "very_likely",
    )
    gone = await post(curator, f"/v1/judgements/{third['id']}/retraction", reason="a mistake")
    assert (gone["status"], gone["retraction"]["reason"]) == ("retracted", "a mistake")
    assert (await curator.post(f"/v1/judgements/{third['id']}/retraction", json={"reason": "no"})).status_code == 409
    assert await standing(curator, said["indicator"]) is None
    listed = await get(curator, path)
    assert [(each["id"], each["status"]) for each in listed["items"]] == [
        (first["id"], "superseded"),
        (second["id"], "superseded"),
        (third["id"], "retracted"),
    ]
    page = await get(curator, path, limit=2)
    rest = await get(curator, path, cursor=page["next"])
    assert page["items"] + rest["items"] == listed["items"]
    assert (rest["next"], listed["next"]) == (None, None)
    unknown = await curator.get(f"/v1/judgements/{second['id']}", params={"known_at": at_first})
    assert unknown.status_code == 404
    types = [each["type"] for each in (await get(curator, f"/v1/indicators/{said['indicator']}/history"))["items"]]
    assert types == ["report", "judgement", "judgement", "judgement", "judgement_retraction"]
    # The same key gives the same answer again.
    sent = {"headers": {"Idempotency-Key": "once"}, "json": judgement()}
    answers = [await curator.post(path, **sent) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["location"] == f"/v1/judgements/{answers[0].json()['id']}"
    assert len((await get(curator, path))["items"]) == 4
    assert await problems(settings) == []


async def test_only_what_was_stated_later_and_is_no_repetition_contradicts(
    curator: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    said = await post(curator, **report(value={"people": 900000}, source="envoy", stated_at="2016-07-01"))
    await post(curator, **report(value={"people": 250000}, source="monitor", stated_at=rfc3339(utc_now())))
    judged = await judge(curator, said["indicator"])
    now = rfc3339(utc_now())
    repeated = report(value={"people": 900000}, source="outlet", stated_at=now, provenance={"relays": said["id"]})
    for each in (
        repeated,
        report(value={"people": 900000}, source="unknown", stated_at=now, provenance={"credibility": 5}),
        report(value={"people": 900000}, source="neighbour", stated_at=judged["recorded_at"][:10]),
    ):
        await post(curator, **each)
        assert (await standing(curator, said["indicator"]))["lapsed"] is False
    # Stated later about a day that is past the horizon of the newest.
    newest = await post(curator, **report(value={"concept": "besieged", "people": 250000}, stated_at=rfc3339(utc_now())))
    await judge(curator, newest["indicator"], value={"concept": "besieged", "people": 250000})
    old = {"stated_at": rfc3339(utc_now()), "observed_to": "2016-07-02", "source": "monitor"}
    await post(curator, **report(value={"concept": "besieged", "people": 800000}, **old))
    assert (await standing(curator, newest["indicator"]))["lapsed"] is True
    assert await problems(settings) == []


@mostly_sqlite
async def test_judgement_is_seen_by_its_label_and_by_the_reports_it_relies_on(
    curator: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    said = await post(curator, **report())
    hidden = await post(curator, **report(source="monitor", sensitivity="amber"))
    green = await make_client(Scope.READ, Scope.CURATE)
    public = await judge(curator, said["indicator"], reports=[said["id"]])
    restricted = await judge(curator, said["indicator"], sensitivity=None, reports=[said["id"], hidden["id"]])
    assert restricted["sensitivity"] == "amber"
    for client, expected in ((curator, restricted), (green, public), (anonymous, public)):
        assert (await standing(client, said["indicator"]))["id"] == expected["id"]
    assert (await get(green, f"/v1/judgements/{public['id']}"))["status"] == "standing"
    assert (await get(curator, f"/v1/judgements/{public['id']}"))["status"] == "superseded"
    for method, path, body in (
        ("GET", f"/v1/judgements/{restricted['id']}", None),
        ("GET", f"/v1/judgements/{restricted['id']}/provenance", None),
        ("POST", f"/v1/judgements/{restricted['id']}/retraction", {"reason": "no"}),
        ("POST", f"/v1/judgements/{restricted['id']}/correction", judgement(reason="no")),
    ):
        assert (await green.request(method, path, json=body)).status_code == 404
    refused = await green.post(f"/v1/indicators/{said['indicator']}/judgements", json=judgement(reports=[hidden["id"]]))
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/reports/0"]
    low = await curator.post(f"/v1/indicators/{said['indicator']}/judgements", json=judgement(reports=[hidden["id"]]))
    assert [each["pointer"] for each in low.json()["errors"]] == ["/sensitivity"]
    # Without reports, the strictest of those that stand for the analyst; said again, at least the label that it had.
    unnamed = await judge(curator, said["indicator"], sensitivity=None, reasons="seen")
    assert (unnamed["sensitivity"], (await judge(curator, said["indicator"], reasons="seen"))["sensitivity"]) == ("amber", "amber")
    restricted = await judge(curator, said["indicator"], sensitivity="amber", reasons="other")
    # A correction never lowers a label.
    corrected = await post(curator, f"/v1/judgements/{restricted['id']}/correction", **judgement(reason="more"))
    assert corrected["sensitivity"] == "amber"
    # Raising the label of a report hides what relies on it, and what was superseded by that does not stand again.
    latest = await judge(curator, said["indicator"], reports=[said["id"]], reasons="names")
    await post(curator, **report(source="envoy"))
    await post(curator, f"/v1/reports/{said['id']}/label", sensitivity="amber", reason="names")
    for client in (green, anonymous):
        assert await standing(client, said["indicator"]) is None
        assert (await client.get(f"/v1/judgements/{latest['id']}")).status_code == 404
        entries = [each for each in (await get(client, "/v1/changes", limit=1000))["items"] if each["type"] == "judgement"]
        assert [(each["detail"], each["reason"], each["redacted"]) for each in entries] == [(None, None, ["detail", "salt"])] * 2
    shown = await standing(curator, said["indicator"])
    assert (shown["id"], latest["sensitivity"], shown["sensitivity"]) == (latest["id"], "clear", "amber")
    again = await post(curator, f"/v1/judgements/{latest['id']}/correction", **judgement(reason="more"))
    assert again["sensitivity"] == "amber"
    assert await problems(settings) == []


@sqlite_only
async def test_invalid_judgement_names_every_wrong_field(curator: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    said = await post(curator, **report("supply_runout", {"supply": "water", "in_days_min": 3, "in_days_max": 5}))
    path = f"/v1/indicators/{said['indicator']}/judgements"
    wrong = {
        "value": {"supply": "food", "state": "gone"},
        "likelihood": "probably",
        "reports": ["01900000-0000-7000-8004-000000000001"],
        "valid_until": "2016-01-01",
        "sure": True,
    }
    answer = await curator.post(path, json=wrong)
    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/value/state", "/likelihood", "/confidence", "/reasons", "/sure"}
    wrong |= {"value": {"supply": "food"}, "likelihood": "likely", "confidence": "low", "reasons": ["one", "two"]}
    del wrong["sure"]
    answer = await curator.post(path, json=wrong)
    blank = (await curator.post(path, json=wrong | {"reasons": " \n", "alternatives": [""]})).json()["errors"]
    assert {(each["pointer"], each["detail"]) for each in blank} >= {("/reasons", "must not be blank")}
    assert "/alternatives" in {each["pointer"] for each in blank}
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/reports/0", "/valid_until", "/value/supply"}
    good = await post(
        curator, path, **wrong | {"value": {"supply": "water", "in_days_min": 1, "in_days_max": 2}, "reports": [], "valid_until": None}
    )
    # Days are counted from today.
    assert good["value"]["runs_out_earliest"] == (utc_now().date() + timedelta(days=1)).isoformat()
    assert (good["reasons"], good["sensitivity"]) == ("one\ntwo", "green")
    reporter = await make_client(Scope.READ, Scope.REPORT)
    assert (await reporter.post(path, json=judgement())).status_code == 403
    unknown = await curator.post("/v1/indicators/01900000-0000-7000-8004-000000000001/judgements", json=judgement())
    assert unknown.status_code == 404


async def level(client: httpx.AsyncClient, **params: Any) -> tuple[str, list[tuple[str, bool]]]:
    found = await get(client, "/v1/situations/oldtown", **params)
    return found["level"], [(each["reason"], each["judged"]) for each in found["because"]]


async def test_level_follows_a_judgement_of_moderate_or_high_confidence(curator: httpx.AsyncClient, reference: Reference) -> None:
    people = await post(curator, **report(value={"people": 0}))
    food = await post(curator, **report("supply_runout", {"state": "low", "in_days_min": None, "in_days_max": None}))
    assert await level(curator) == ("watch", [])
    low = await judge(curator, people["indicator"], confidence="low")
    assert await level(curator) == ("watch", [])
    moderate = await post(curator, f"/v1/judgements/{low['id']}/correction", **judgement(reason="checked"))
    assert await level(curator) == ("serious", [("trapped", True)])
    ran_out = judgement(value={"supply": "food", "state": "ran_out"}, confidence="high", valid_until=utc_now().date().isoformat())
    await post(curator, f"/v1/indicators/{food['indicator']}/judgements", **ran_out)
    assert await level(curator) == ("critical", [("trapped", True), ("ran_out", True)])
    situation = await get(curator, "/v1/situations/oldtown")
    assert {each["since"] for each in situation["because"]} >= {moderate["recorded_at"]}
    assert situation["trapped"][0]["people"] == 0
    assert situation["trapped"][0]["judgement"]["value"]["people"] == 250000
    assert (await get(curator, "/v1/situations"))["items"][0]["because"] == situation["because"]
    # The day after, the second one is not valid any more.
    tomorrow = (utc_now() + timedelta(days=1)).date().isoformat()
    assert await level(curator, as_of=tomorrow) == ("serious", [("trapped", True)])
    assert await level(curator, as_of="2016-08-01") == ("watch", [])
    # It lapses: the level is the assessment's again, which has 0 people still, because a better figure takes two voices.
    await post(curator, **report(value={"people": 100}, source="monitor", stated_at=rfc3339(utc_now()), provenance={"method": "headcount"}))
    assert (await standing(curator, people["indicator"]))["lapsed"] is True
    assert await level(curator) == ("critical", [("trapped", False), ("ran_out", True)])


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [("almost_no_chance", "watch"), ("very_unlikely", "watch"), ("unlikely", "watch"), ("roughly_even", "serious"), ("likely", "serious")],
)
async def test_what_is_judged_improbable_moves_no_level(
    curator: httpx.AsyncClient, reference: Reference, likelihood: str, expected: str
) -> None:
    people = await post(curator, **report(value={"people": 0}))
    await judge(curator, people["indicator"], likelihood=likelihood, confidence="high")
    assert (await level(curator))[0] == expected


@pytest.mark.parametrize(
    ("stated", "value", "expected"),
    [
        (10, {"stage": "delivered"}, ("watch", [])),
        (10, {"stage": "planned"}, ("watch", [])),
        # A judgement is no report, so that deliveries are followed since the first report.
        (70, {"stage": "planned"}, ("serious", [("no_delivery", True)])),
        (70, {"stage": "delivered"}, ("watch", [])),
    ],
)
async def test_judged_delivery_is_of_the_day_of_the_judgement(
    curator: httpx.AsyncClient, reference: Reference, stated: int, value: dict[str, str], expected: tuple[str, list[tuple[str, bool]]]
) -> None:
    day, operation = (utc_now() - timedelta(days=stated)).date().isoformat(), {"operation": "convoy-1"}
    said = await post(curator, **report("aid_delivery", stated_at=day) | {"value": operation | {"stage": "approved"}})
    await judge(curator, said["indicator"], value=operation | value, sensitivity=None)
    assert await level(curator) == expected


@mostly_sqlite
async def test_level_names_the_judgements_that_lower_it(curator: httpx.AsyncClient, reference: Reference) -> None:
    """A level that a judgement lowers names the reasons that it takes away, in the situation and the brief."""
    water = await post(curator, **report("supply_runout") | {"value": {"supply": "water", "state": "ran_out"}})
    await post(curator, **report("supply_runout", source="monitor") | {"value": {"supply": "water", "state": "resupplied"}})
    roads = [
        await post(curator, **report("route_closure", {"status": "closed", "direction": "in", "route": route}))
        for route in ("north-road", "south-road")
    ]
    assert await level(curator) == ("critical", [("ran_out", False), ("way_in_closed", False), ("way_in_closed", False)])
    assert (await get(curator, "/v1/situations/oldtown"))["set_aside"] == []
    supplied = await judge(curator, water["indicator"], value={"supply": "water", "state": "resupplied"}, sensitivity=None)
    opened = await judge(
        curator, roads[0]["indicator"], value={"route": "north-road", "status": "open", "direction": "in"}, sensitivity=None
    )
    assert await level(curator) == ("watch", [])
    expected = [
        {"reason": reason, "indicator": of["indicator"], "since": by["recorded_at"], "judged": True}
        for reason, of, by in (("ran_out", water, supplied), ("way_in_closed", roads[0], opened))
    ]
    assert (await get(curator, "/v1/situations/oldtown"))["set_aside"] == expected
    assert (await get(curator, "/v1/situations"))["items"][0]["set_aside"] == expected
    text = (await curator.get("/v1/situations/oldtown/brief.txt")).text
    assert (
        "\nLevel of urgency: Watch.\n\n"
        "- By an analyst's judgement, the level does not rest on this: Water: ran out [1].\n"
        "- By an analyst's judgement, the level does not rest on this: north-road: no way in [2].\n"
    ) in text, text
    assert f"\n1. Judgement {supplied['id']} of " in text
    assert f"\n2. Judgement {opened['id']} of " in text


@pytest.mark.parametrize(
    ("said", "judged", "expected"),
    [
        ({}, {"status": "open", "direction": "in"}, {"way_out_closed"}),
        ({"last_route": True}, {"status": "open", "direction": "in"}, {"way_out_closed"}),
        ({"last_route": True}, {"status": "open", "direction": "out"}, {"way_in_closed", "last_route"}),
        ({}, {"status": "restricted", "direction": "out", "passable_by": ["medical"]}, {"way_in_closed"}),
        ({}, {"status": "open"}, set()),
    ],
)
async def test_reports_count_for_the_direction_that_is_not_judged(
    curator: httpx.AsyncClient, reference: Reference, said: dict[str, Any], judged: dict[str, Any], expected: set[str]
) -> None:
    closed = await post(curator, **report("route_closure", said))
    reasons = {"way_in_closed", "way_out_closed", *(["last_route"] if said else [])}
    await judge(curator, closed["indicator"], value={"route": "north-road"} | judged, confidence="high", sensitivity=None)
    found = await get(curator, "/v1/situations/oldtown")
    assert found["level"] == ("serious" if expected else "watch")
    assert {(each["reason"], each["judged"]) for each in found["because"]} == {(each, False) for each in expected}
    assert {each["reason"] for each in found["set_aside"]} == reasons - expected
    brief = (await curator.get("/v1/situations/oldtown/brief.txt")).text
    assert "an analyst's judgement, the level does not rest on this: north-road" in brief


@sqlite_only
async def test_judged_promise_is_told_as_a_promise(curator: httpx.AsyncClient, reference: Reference) -> None:
    closed = await post(curator, **report("route_closure"))
    for assertion in ("agreed", "announced"):
        value = {"route": "north-road", "status": "open", "assertion": assertion, "since": "2027-01-01"}
        await judge(curator, closed["indicator"], value=value)
        told = f"Judgement of an analyst on north-road, not a report: open since 1 Jan 2027, only {assertion}"
        assert told in (await curator.get("/v1/situations/oldtown/brief.txt")).text
        assert told in (await curator.get("/v1/situations/oldtown/digest.txt", params={"since": 1})).text


@mostly_sqlite
async def test_withdrawn_judgement_is_in_the_digest_by_time_and_revision(curator: httpx.AsyncClient, reference: Reference) -> None:
    said = await post(curator, **report())
    judged = await judge(curator, said["indicator"])
    head = await get(curator, "/v1/ledger/head")
    assert await digest_of(curator, head["recorded_at"]) == []
    await post(curator, f"/v1/judgements/{judged['id']}/retraction", reason="mistaken")
    expected = [("withdrawn", judged["id"])]
    assert await digest_of(curator, head["recorded_at"]) == await digest_of(curator, str(head["seq"])) == expected
    now = (await get(curator, "/v1/ledger/head"))["recorded_at"]
    # It was withdrawn by then, or not yet.
    assert await digest_of(curator, now) == await digest_of(curator, judged["recorded_at"], as_of=head["recorded_at"]) == []
    await judge(curator, said["indicator"], reasons="counted again")
    assert [each for each, _ in await digest_of(curator, head["recorded_at"])] == ["new"]


async def digest_of(client: httpx.AsyncClient, since: str, **params: str) -> list[tuple[str, str]]:
    """Return the changes of a place since a time or revision, each with its judgement."""
    found = await get(client, "/v1/situations/oldtown/digest", since=since, **params)
    return [(each["change"], each["judgement"]) for each in found["items"]]


async def test_judgement_without_its_reports_lowers_no_level(curator: httpx.AsyncClient, reference: Reference) -> None:
    food = await post(curator, **report("supply_runout", {"in_days_min": 2, "in_days_max": 2}))
    resupplied = {"supply": "food", "state": "resupplied"}
    bodies = [report("supply_runout", source=each, stated_at="2016-07-29") | {"value": resupplied} for each in ("rebels", "army")]
    first, second = [await post(curator, **body) for body in bodies]
    relied = [first["id"], second["id"]]
    judged = await judge(curator, food["indicator"], value=resupplied, confidence="high", reports=relied)
    assert await level(curator) == ("watch", [])
    then = {"known_at": (await get(curator, "/v1/ledger/head"))["recorded_at"]}
    await post(curator, f"/v1/reports/{first['id']}/retraction", reason="mistaken")
    assert await level(curator) == ("watch", [])
    correction = bodies[1] | {"reason": "mistyped", "value": resupplied | {"state": "low"}}
    await post(curator, f"/v1/reports/{second['id']}/correction", **correction)
    assert await level(curator) == ("serious", [("past_due", False)])
    for found in (await standing(curator, food["indicator"]), await get(curator, f"/v1/judgements/{judged['id']}")):
        assert found is not None
        assert (found["unsupported"], found["lapsed"], found["partial"]) == (True, False, False)
    mark = "All reports that it relies on were withdrawn or corrected"
    assert mark in (await curator.get("/v1/situations/oldtown/brief.txt")).text
    assert "without its statements" in (await curator.get("/places/oldtown", params={"now": "true"})).text
    assert (await level(curator, **then))[0] == "watch"
    assert mark not in (await curator.get("/v1/situations/oldtown/brief.txt", params=then)).text
    await post(curator, f"/v1/reports/{first['id']}/reinstatement", reason="right after all")
    assert await level(curator) == ("watch", [])


@mostly_sqlite
async def test_judgement_lowers_no_level_where_stricter_reports_stand(
    curator: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    green = await make_client(Scope.READ, Scope.CURATE)
    said = await post(curator, **report(value={"people": 500}))
    none_left = {"value": {"concept": "trapped", "people": 0, "qualifier": "exact"}}
    await judge(green, said["indicator"], **none_left)
    for client in (anonymous, green, curator):
        assert await level(client) == ("watch", [])
    hidden = await post(curator, **report(source="monitor", value={"people": 500}, sensitivity="amber"))
    assert await level(green) == ("watch", [])
    assert await level(curator) == ("serious", [("trapped", False)])
    shown = [(await standing(each, said["indicator"]))["partial"] for each in (green, curator)]
    briefs = [(await each.get("/v1/situations/oldtown/brief.txt")).text for each in (green, curator)]
    assert ["Stricter statements count beside it" in text for text in briefs] == [False, True]
    alone = (await get(curator, f"/v1/indicators/{said['indicator']}/judgements"))["items"][0]["partial"]
    assert (shown, alone) == ([False, True], True)
    assert await level(curator, as_of=utc_now().date().isoformat()) == ("serious", [("trapped", False)])
    # A judgement that makes a place worse counts for all who see it.
    await judge(green, said["indicator"], reasons="counted again")
    assert await level(green) == await level(curator) == ("serious", [("trapped", True)])
    # A client that saw that report judges it, and lowers the level.
    await judge(curator, said["indicator"], **none_left, reports=[hidden["id"]], sensitivity=None)
    assert await level(curator) == ("watch", [])
    assert await level(green) == ("serious", [("trapped", True)])


async def test_steps_that_are_kept_are_the_computed_ones(
    curator: httpx.AsyncClient, reference: Reference, database: Database, settings: Settings
) -> None:
    said = await post(curator, **report())
    await judge(curator, said["indicator"])
    between = rfc3339(utc_now())
    ended = await judge(curator, said["indicator"], value={"concept": "trapped", "people": 310000})
    await post(curator, **report(value={"people": 500000}, source="monitor", stated_at=rfc3339(utc_now())))
    times = ("2016-08-01", between, ended["recorded_at"], rfc3339(utc_now()))
    computed = [await get(curator, "/v1/indicators", as_of=each) for each in times]
    assert [each["items"][0]["judgement"] and each["items"][0]["judgement"]["lapsed"] for each in computed] == [None, False, False, True]
    while True:
        async with database.write() as session:
            if not await keep_steps(session, settings.horizons):
                break
    kept = [await get(curator, "/v1/indicators", as_of=each) for each in times]
    assert kept == computed
    assert await problems(settings) == []
