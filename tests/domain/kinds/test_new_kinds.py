"""Deliveries, movements and services: literal values, each told over HTTP."""

from datetime import date
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.kinds import KINDS
from app.domain.kinds.aid_values import DeliveryStage
from app.domain.kinds.population_movement import Movement
from app.domain.kinds.service_status import Service, ServiceState
from app.domain.kinds.values import AccessConstraint, closed_set
from tests.assessment.stories import assessed, food, get, outcome, people, range_of, say, situation, statement
from tests.support.factories import post, post_all, report
from tests.support.fixtures import FULL, sqlite_only

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
pytestmark = [sqlite_only, pytest.mark.usefixtures("reference")]


def convoy(stage: str, operation: str = "convoy-7", **more: Any) -> dict[str, Any]:
    """Return a value of a delivery."""
    return {"operation": operation, "stage": stage} | more


def evacuated(figure: int | None, until: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a value of an evacuation that began on 15 December 2016."""
    value = {"movement": "evacuated", "since": "2016-12-15", "people": figure, "until": until} | more
    return {name: each for name, each in value.items() if each is not None}


def service(state: str, name: str = "hospital", **more: Any) -> dict[str, Any]:
    """Return a value of a service."""
    return {"service": name, "state": state} | more


def reasons(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the reasons for the level of a situation, with their days."""
    return [(each["reason"], each["since"][:10]) for each in found["because"]]


async def test_convoy_that_was_attacked_does_not_arrive_by_word_of_a_party(client: httpx.AsyncClient) -> None:
    planned = await say(client, "agency", "2016-09-17", convoy("planned", on_earliest="2016-09-19", planned_for=78000))
    under_way = await say(client, "agency", "2016-09-19T10:00:00Z", convoy("under_way"))
    found = await assessed(client, planned)
    assert (found["value"]["stage"], found["agreement"], found["relations"]) == (
        "under_way",
        "single",
        {planned["id"]: "replaced_by_later", under_way["id"]: "preferred"},
    )
    attacked = await say(client, "agency", "2016-09-19T20:00:00Z", convoy("attacked", on_earliest="2016-09-19"))
    claim = await say(client, "army", "2016-09-20", convoy("delivered"))
    found = await assessed(client, planned)
    assert (found["value"]["stage"], found["value"]["last_delivery"], found["agreement"]) == ("attacked", None, "contested")
    assert found["relations"] == {
        planned["id"]: "replaced_by_later",
        under_way["id"]: "replaced_by_later",
        attacked["id"]: "preferred",
        claim["id"]: "contradicts",
    }
    assert found["stale_after"] == "2016-12-18T20:00:00Z"


async def test_stages_of_two_sources_do_not_contradict_but_two_ends_do(client: httpx.AsyncClient) -> None:
    planned = await say(client, "envoy", "2016-09-10", convoy("planned", on_earliest="2016-09-12", planned_for=5000, supplies=["food"]))
    delivered = await say(client, "agency", "2016-09-20", convoy("delivered", on_earliest="2016-09-18", on_latest="2016-09-19"))
    found = await assessed(client, planned)
    assert (found["value"]["stage"], found["agreement"]) == ("delivered", "consistent")
    assert {name: found["value"][name] for name in ("last_delivery", "planned_for", "supplies")} == {
        "last_delivery": "2016-09-19",
        "planned_for": 5000,
        "supplies": ["food"],
    }
    assert {name: found["assessment"]["basis"][name] for name in ("last_delivery", "planned_for")} == {
        "last_delivery": delivered["id"],
        "planned_for": planned["id"],
    }
    # Another day of the same end contests, and another end does.
    await say(client, "monitor", "2016-09-20", convoy("delivered", on_earliest="2016-09-16", on_latest="2016-09-16"))
    assert (await assessed(client, planned))["agreement"] == "contested"
    await say(client, "monitor", "2016-09-21", convoy("turned_back"))
    found = await assessed(client, planned)
    assert (found["value"]["stage"], found["value"]["last_delivery"], found["agreement"]) == ("turned_back", None, "consistent")
    assert found["relations"][delivered["id"]] == "overtaken"


async def test_delivery_alone_claimed_by_a_party_is_none(client: httpx.AsyncClient) -> None:
    found = await assessed(client, await say(client, "army", "2016-09-20", convoy("delivered")))
    assert (found["agreement"], found["value"]["operation"], found["value"]["stage"]) == ("claimed", "convoy-7", None)
    assert (await situation(client, "2017-09-20"))["because"] == []


async def test_sixty_days_without_a_delivery_hold_people(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-07-01", convoy("delivered", "convoy-1"))
    await say(client, "agency", "2016-08-20", convoy("denied", "convoy-2", cause="denial_of_needs"))
    await say(client, "envoy", "2016-08-21", convoy("denied", "convoy-2", on_earliest="2016-08-18", on_latest="2016-08-19"))
    before, then = [await situation(client, day) for day in ("2016-08-29", "2016-08-30")]
    assert (before["level"], before["because"]) == ("watch", [])
    assert (then["level"], reasons(then)) == ("serious", [("no_delivery", "2016-07-01")])
    shown = {each["subject"]: each["value"] for each in then["other"]}
    assert list(shown) == ["convoy-1", "convoy-2"]
    assert [shown["convoy-1"][name] for name in ("last_delivery", "days_since", "denied_since")] == ["2016-07-01", 60, None]
    assert [shown["convoy-2"][name] for name in ("last_delivery", "days_since", "denied_since")] == [None, None, "2016-08-18"]
    # A delivery ends that reason and no other.
    await say(client, "agency", "2016-08-30", food("ran_out"))
    await say(client, "agency", "2016-08-31", convoy("partly_delivered", "convoy-3", removed=["medical"]))
    after = await situation(client, "2016-09-01")
    assert (after["level"], reasons(after)) == ("serious", [("ran_out", "2016-08-30")])


async def test_days_without_any_delivery_count_from_the_first_report(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-07-01", convoy("requested", "convoy-1"))
    await say(client, "agency", "2016-08-20", convoy("denied", "convoy-2"))
    assert [reasons(await situation(client, day)) for day in ("2016-08-29", "2016-08-30")] == [[], [("no_delivery", "2016-07-01")]]


async def test_plan_after_a_delivery_in_one_operation_leaves_the_delivery(client: httpx.AsyncClient) -> None:
    planned = await say(client, "agency", "2016-08-01", convoy("planned", planned_for=5000))
    delivered = await say(client, "agency", "2016-08-10", convoy("delivered", on_earliest="2016-08-10", on_latest="2016-08-10"))
    again = await say(client, "agency", "2016-09-20", convoy("planned", on_earliest="2016-10-01"))
    found = await assessed(client, planned)
    assert (found["value"]["stage"], found["value"]["last_delivery"]) == ("delivered", "2016-08-10")
    assert found["relations"] == {planned["id"]: "replaced_by_later", delivered["id"]: "preferred", again["id"]: "supports"}
    assert [reasons(await situation(client, day)) for day in ("2016-10-08", "2016-10-09")] == [[], [("no_delivery", "2016-08-10")]]
    # Another end of the source replaces it.
    await say(client, "agency", "2016-10-02", convoy("attacked"))
    assert (await assessed(client, planned))["value"]["last_delivery"] is None


async def test_plan_of_months_later_leaves_the_last_delivery_known(client: httpx.AsyncClient) -> None:
    delivered = await say(client, "agency", "2016-03-10", convoy("delivered", on_earliest="2016-03-08", on_latest="2016-03-09"))
    await say(client, "envoy", "2016-03-12", convoy("partly_delivered"))
    plan = await say(client, "agency", "2016-08-10", convoy("planned"))
    found = await assessed(client, plan)
    assert (found["value"]["stage"], found["value"]["last_delivery"]) == ("planned", "2016-03-12")
    assert found["relations"][delivered["id"]] == "past_horizon"
    shown = await situation(client, "2016-08-11")
    assert shown["facts"]["aid_delivery"] == {"last_delivery": "2016-03-12", "days_since": 152, "denied_since": None}
    assert reasons(shown) == [("no_delivery", "2016-03-12")]
    brief = await client.get("/v1/situations/oldtown/brief.txt", params={"as_of": "2016-08-11"})
    assert "152 days, since 12 Mar 2016" in brief.text
    # A failure of months later is of another try, and what is said later still hides nothing.
    await say(client, "monitor", "2016-12-10", convoy("attacked"))
    assert (await assessed(client, plan))["value"]["last_delivery"] == "2016-03-12"
    await say(client, "neighbour", "2017-06-10", convoy("requested"))
    assert (await assessed(client, plan))["value"]["last_delivery"] == "2016-03-12"


async def test_delivery_that_was_contradicted_in_time_stays_none(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-01-05", convoy("delivered"))
    await say(client, "agency", "2016-05-10", convoy("delivered"))
    await say(client, "monitor", "2016-05-12", convoy("attacked"))
    plan = await say(client, "envoy", "2016-12-10", convoy("planned"))
    found = await assessed(client, plan)
    assert (found["value"]["stage"], found["value"]["last_delivery"]) == ("planned", None)


async def test_lower_count_without_a_first_day_replaces_no_count(client: httpx.AsyncClient) -> None:
    summer, ten, more, winter = [
        await say(client, source, day, {"movement": "evacuated", "people": figure})
        for source, day, figure in (
            *(("agency", "2016-08-03", 35000), ("agency", "2016-08-04", 35400), ("agency", "2016-08-05", 40000)),
            ("agency", "2016-12-20", 400),
        )
    ]
    other = await say(client, "envoy", "2016-12-21", {"movement": "evacuated", "people": 400})
    found = await assessed(client, winter)
    assert [found["value"][name] for name in ("people", "people_low", "people_high")] == [400, 400, 40000]
    assert (found["agreement"], found["relations"]) == (
        "contested",
        {
            **dict.fromkeys((summer["id"], ten["id"]), "replaced_by_later"),
            more["id"]: "contradicts",
            winter["id"]: "supports",
            other["id"]: "preferred",
        },
    )
    # Of one movement, the source corrects itself.
    await say(client, "agency", "2016-12-20", evacuated(35000))
    lower = await say(client, "agency", "2016-12-21", evacuated(400))
    assert (await assessed(client, lower))["agreement"] == "single"


async def test_end_with_a_first_day_alone_is_not_after_its_statement(client: httpx.AsyncClient) -> None:
    back = await say(client, "agency", "2016-08-05", convoy("turned_back", on_earliest="2016-08-03"))
    assert [back["value"][name] for name in ("on_earliest", "on_latest")] == ["2016-08-03", "2016-08-05"]
    for stage in ("denied", "under_way"):
        sent = await say(client, "agency", "2016-08-05", convoy(stage, "convoy-8", on_earliest="2016-08-03"))
        assert sent["value"]["on_latest"] is None
    first = await say(client, "agency", "2016-08-05", convoy("delivered", "convoy-9", on_earliest="2016-08-03"))
    await say(client, "agency", "2016-09-20", convoy("delivered", "convoy-9", on_earliest="2016-08-03"))
    assert (await assessed(client, first))["value"]["last_delivery"] == "2016-08-05"
    await say(client, "agency", "2016-09-21", convoy("delivered", "convoy-9", on_earliest="2016-09-19"))
    assert (await assessed(client, first))["value"]["last_delivery"] == "2016-09-21"


async def test_later_stage_keeps_what_its_source_said_of_the_operation(client: httpx.AsyncClient) -> None:
    planned = await say(client, "agency", "2016-08-01", convoy("planned", planned_for=80000, supplies=["food"]))
    more = await say(client, "agency", "2016-08-02", convoy("under_way", planned_for=70000))
    delivered = await say(client, "agency", "2016-08-03", convoy("delivered", on_earliest="2016-08-03"))
    found = await assessed(client, delivered)
    assert (found["value"]["planned_for"], found["value"]["supplies"]) == (70000, ["food"])
    basis = found["assessment"]["basis"]
    assert (basis["planned_for"], basis["supplies"]) == (more["id"], planned["id"])
    # A report that stands says it better, and what was withdrawn says nothing.
    await say(client, "monitor", "2016-08-03", convoy("delivered", planned_for=60000))
    await post(client, f"/v1/reports/{planned['id']}/retraction", reason="error")
    found = await assessed(client, delivered)
    assert (found["value"]["planned_for"], found["value"]["supplies"]) == (60000, None)


async def test_later_stage_in_less_direct_words_is_no_repetition(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-09-18", convoy("under_way"))
    attacked = await say(client, "agency", "2016-09-20", convoy("attacked"), via=["outlet"])
    assert (await assessed(client, attacked))["value"]["stage"] == "attacked"
    # Of what says no worse, the more direct words count for a week (rule 3): a stage that may come to a good end, and no higher count.
    reached = await say(client, "agency", "2016-09-21", convoy("under_way", "convoy-8"))
    quoted = await say(client, "agency", "2016-09-22", convoy("delivered", "convoy-8"), via=["outlet"])
    assert (await assessed(client, reached))["relations"] == {reached["id"]: "preferred", quoted["id"]: "relayed"}
    count = await say(client, "agency", "2016-12-16", evacuated(10000))
    await say(client, "agency", "2016-12-17", evacuated(9000), via=["outlet"])
    assert (await assessed(client, count))["value"]["people"] == 10000
    await say(client, "agency", "2016-12-18", evacuated(15000), via=["outlet"])
    assert (await assessed(client, count))["value"]["people"] == 15000


async def test_repetition_moves_no_day_since_when_something_is_so(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-07-01", convoy("requested", "convoy-1"))
    for day in ("2016-08-01", "2016-08-29"):
        await say(client, "agency", day, convoy("requested", "convoy-1"))
    assert [reasons(await situation(client, day)) for day in ("2016-08-29", "2016-08-30")] == [[], [("no_delivery", "2016-07-01")]]
    first = await say(client, "agency", "2016-09-01", convoy("delivered", "convoy-2"))
    await say(client, "agency", "2016-10-20", convoy("delivered", "convoy-2"))
    found = await assessed(client, first)
    assert (found["value"]["last_delivery"], found["assessment"]["basis"]["last_delivery"]) == ("2016-09-01", first["id"])
    await say(client, "envoy", "2016-10-25", convoy("denied", "convoy-3"))
    then = await situation(client, "2016-10-31")
    assert reasons(then) == [("no_delivery", "2016-09-01")]
    assert then["facts"] == {"aid_delivery": {"last_delivery": "2016-09-01", "days_since": 60, "denied_since": "2016-10-25"}}
    table = (await client.get("/v1/situations.csv", params={"as_of": "2016-10-31"})).text.splitlines()
    assert ("facts.aid_delivery.last_delivery" in table[0], ",2016-09-01,60,2016-10-25," in table[2]) == (True, True)


async def test_service_is_out_since_the_first_report_that_nothing_interrupts(client: httpx.AsyncClient) -> None:
    out = await say(client, "agency", "2016-09-01", service("out_of_service"))
    await say(client, "agency", "2016-10-20", service("out_of_service"))
    # The word of a party interrupts nothing, and neither does another source that says the same past the horizon of the first.
    await say(client, "army", "2016-10-22", service("working"))
    await say(client, "monitor", "2016-12-20", service("out_of_service"))
    found = await assessed(client, out)
    assert (found["value"]["since"], found["assessment"]["basis"]["since"]) == ("2016-09-01", out["id"])
    assert reasons(await situation(client, "2017-01-01")) == [("out_of_service", "2016-09-01")]
    await say(client, "monitor", "2016-12-24", service("working"), method="direct_observation")
    assert (await assessed(client, out))["value"]["since"] == "2016-12-24"
    await say(client, "agency", "2016-12-30", service("out_of_service"))
    assert (await assessed(client, out))["value"]["since"] == "2016-12-30"


async def test_delivery_shows_that_a_warning_was_averted(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-07-28", food(days=(5, 9)))
    arrived = await say(client, "agency", "2016-08-01", convoy("delivered"))
    refused = {"outcome": "materialised", "reason": "it came", "report": arrived["id"]}
    assert (await client.post(f"/v1/indicators/{warning['indicator']}/outcome", json=refused)).status_code == 422
    await outcome(client, warning, arrived, "averted")
    assert (await assessed(client, warning))["value"]["outcome"] == "averted"


async def test_counts_of_one_evacuation_at_two_days_agree(client: httpx.AsyncClient) -> None:
    trapped = await say(client, "agency", "2016-12-10", people(100000, "about"))
    first = await say(client, "agency", "2016-12-17", evacuated(10000, "2016-12-16", destination="Idleb"))
    found = await assessed(client, first)
    assert (found["subject"], found["stale_after"], range_of(found)) == ("evacuated.2016-12-15", None, (10000,) * 3)
    last = await say(client, "agency", "2016-12-22", evacuated(35000, "2016-12-22"))
    found = await assessed(client, first)
    assert (range_of(found), found["value"]["until"], found["agreement"]) == ((35000,) * 3, "2016-12-22", "single")
    # Another's earlier, lower count agrees and widens nothing; its count of the same day contests.
    await say(client, "envoy", "2016-12-20", evacuated(19000, "2016-12-19"))
    found = await assessed(client, first)
    assert (range_of(found), found["agreement"], found["assessment"]["preferred"]) == ((35000,) * 3, "consistent", last["id"])
    other = await say(client, "envoy", "2016-12-23", evacuated(27000, "2016-12-22"))
    found = await assessed(client, first)
    assert (found["agreement"], found["assessment"]["spread"]) == ("contested", 1.3)
    assert found["relations"] == {first["id"]: "replaced_by_later", last["id"]: "contradicts", other["id"]: "preferred"} | {
        each: "replaced_by_later" for each in found["relations"] if each not in (first["id"], last["id"], other["id"])
    }
    assert range_of(found) == (27000, 27000, 35000)
    # Nothing is subtracted from those who are trapped; the situation says that their figure is older.
    where = await situation(client, "2016-12-24")
    (item,) = where["trapped"]
    assert ([item[name] for name in ("people", "people_low", "people_high")], item["older_than"]) == (
        [100000] * 3,
        [found["links"]["self"]],
    )
    assert [(each["subject"], each["stale"], each["value"]["until"]) for each in where["other"]] == [
        ("evacuated.2016-12-15", False, "2016-12-22")
    ]
    await say(client, "agency", "2016-12-23", people(65000, "about"))
    assert (await situation(client, "2016-12-24"))["trapped"][0]["older_than"] == []
    assert (await assessed(client, trapped))["value"]["people"] == 65000


async def test_earlier_count_above_a_later_one_contests(client: httpx.AsyncClient) -> None:
    await say(client, "monitor", "2016-12-16", evacuated(40000))
    count = await say(client, "agency", "2016-12-22", evacuated(35000))
    found = await assessed(client, count)
    assert (range_of(found), found["agreement"]) == ((35000, 35000, 40000), "contested")
    # It is neither better nor worse, so that nothing is overtaken, and no count passes a horizon.
    await say(client, "envoy", "2017-11-01", evacuated(36000), method="headcount")
    found = await assessed(client, count)
    assert found["agreement"] == "contested"
    assert set(found["relations"].values()) == {"preferred", "supports", "contradicts"}
    assert [each["subject"] for each in (await get(client, "/v1/population-movements", stale=False))["items"]] == ["evacuated.2016-12-15"]
    assert (await get(client, "/v1/population-movements", stale=True))["items"] == []


async def test_hospital_or_water_out_of_service_is_short(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-11-18", service("out_of_service", "electricity"))
    await say(client, "agency", "2016-11-18", service("partly_working", working=2, known=8))
    assert (await situation(client, "2016-11-18"))["level"] == "watch"
    await say(client, "monitor", "2016-11-19", service("out_of_service", reason="air strikes"))
    await say(client, "agency", "2016-11-20", service("out_of_service", "water"))
    found = await situation(client, "2017-11-20")
    assert (found["level"], sorted(reasons(found))) == ("serious", [("out_of_service", "2016-11-19"), ("out_of_service", "2016-11-20")])
    shown = {each["subject"]: each["value"] for each in found["other"]}
    assert (shown["hospital"]["state"], shown["hospital"]["since"], shown["hospital"]["reason"]) == (
        "out_of_service",
        "2016-11-19",
        "air strikes",
    )


async def test_counts_of_services_that_differ_contest_and_more_is_better(client: httpx.AsyncClient) -> None:
    few = await say(client, "agency", "2016-11-10", service("partly_working", working=2, known=8))
    claim = await say(client, "army", "2016-11-10", service("partly_working", working=7, known=8))
    found = await assessed(client, few)
    assert (found["value"]["working"], found["agreement"], found["relations"][claim["id"]]) == (2, "contested", "contradicts")
    # Partly working agrees with any state, and one voice is enough for worse.
    await say(client, "monitor", "2016-11-12", service("out_of_service", working=0, known=8))
    found = await assessed(client, few)
    assert (found["value"]["state"], found["value"]["working"], found["relations"][few["id"]]) == ("out_of_service", 0, "overtaken")
    working = await say(client, "outlet", "2016-11-20", service("working"))
    found = await assessed(client, few)
    assert (found["value"]["state"], found["agreement"], found["relations"][working["id"]]) == (
        "out_of_service",
        "contested",
        "contradicts",
    )
    await say(client, "agency", "2016-11-20", service("working", working=8, known=8))
    found = await assessed(client, few)
    assert (found["value"]["state"], found["value"]["working"], found["stale_after"][:10]) == ("working", 8, "2016-12-04")


DAYS = st.dates(date(2016, 7, 1), date(2016, 7, 28)).map(str)
COUNTS = st.lists(st.integers(0, 500_000), min_size=1, max_size=3).map(sorted)
SOME_SUPPLIES = st.lists(st.sampled_from(["food", "water", "medical"]), unique=True)
# Among them words that tables have in cells without a value, which are refused, and others that look like codes, tags, numbers or days.
NO_VALUES = ["-", "nan", "None", "n/a", "\u2013", "###", "####", "#N/A", "#REF!"]
LIKE_CELLS = [
    "unknown",
    "none",
    "?",
    "##x",
    "#adm1",
    "'-",
    "=1+1",
    "+5",
    "007",
    "000",
    "1,5",
    "2016-07-28",
    "true",
    "[]",
    "food",
    "NA",
    "'a",
    "a, b",
]
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(lambda text: any(map(str.isalnum, text))),
    st.sampled_from(LIKE_CELLS),
)
VALUES = {
    "aid_delivery": st.fixed_dictionaries(
        {"operation": st.sampled_from(["a", "convoy-7", "9" * 64]), "stage": st.sampled_from(closed_set(DeliveryStage))},
        optional={
            "on_latest": DAYS,
            "planned_for": st.integers(0, 500_000),
            "supplies": SOME_SUPPLIES,
            "removed": SOME_SUPPLIES,
            "route": st.sampled_from(["north-road", "south-road"]),
            "cause": st.sampled_from(closed_set(AccessConstraint)),
        },
        # Nothing is taken off what is only requested.
    ).map(lambda value: value | {"removed": []} if value["stage"] == "requested" and value.get("removed") else value),
    "population_movement": st.tuples(
        st.fixed_dictionaries({"movement": st.sampled_from(closed_set(Movement))}, optional={"since": DAYS, "destination": TEXT}), COUNTS
    ).map(lambda two: two[0] | dict(zip(("people_low", "people", "people_high"), two[1], strict=False))),
    "service_status": st.one_of(
        st.fixed_dictionaries(
            {"service": st.sampled_from(closed_set(Service)), "state": st.sampled_from(closed_set(ServiceState))}, optional={"reason": TEXT}
        ),
        st.tuples(st.sampled_from(closed_set(Service)), st.integers(1, 50), st.integers(50, 99)).map(
            lambda three: {"service": three[0], "state": "partly_working", "working": three[1], "known": three[2]}
        ),
    ),
}
REPORTS = st.one_of(
    *(
        st.tuples(values, st.sampled_from(["agency", "monitor", "army"]), DAYS).map(
            lambda three, kind=kind: report(kind, source=three[1], stated_at="2016-07-28") | {"value": three[0], "observed_to": three[2]}
        )
        for kind, values in VALUES.items()
    )
)


@settings(max_examples=60 if FULL else 4, derandomize=not FULL, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REPORTS, min_size=20, max_size=40))
async def test_every_accepted_report_has_an_indicator_and_round_trips(client: httpx.AsyncClient, reports: list[dict[str, Any]]) -> None:
    """Each is read back, is under an indicator, and is recognised in each export of it."""
    answer = (await client.post("/v1/reports", json=reports)).json()["items"]
    assert {each["status"] for each in answer} <= {200, 201}, answer
    indicators = {each["id"]: each for kind in KINDS.values() for each in (await all_of(client, f"/v1/{kind.collection}"))}
    for sent, recorded in zip(reports, answer, strict=True):
        assert indicators[recorded["indicator"]]["kind"] == sent["kind"]
    stored = {each["id"]: each["value"] for each in await all_of(client, "/v1/reports")}
    for sent, recorded in zip(reports, answer, strict=True):
        assert {name: each for name, each in stored[recorded["id"]].items() if each is not None} == sent["value"]
    for format_, media_type in (("csv", "text/csv"), ("ndjson", "application/x-ndjson")):
        content = (await client.get("/v1/reports", params={"format": format_, "limit": 1000})).content
        checked = (await client.post("/v1/imports", content=content, headers={"Content-Type": media_type})).json()
        assert (checked["created"], checked["refused"], checked["existing"]) == (0, 0, len(stored)), checked["problems"]


@pytest.mark.parametrize("text", [*NO_VALUES, " nan "])
async def test_text_that_tables_take_for_no_value_is_refused(client: httpx.AsyncClient, text: str) -> None:
    body = report("service_status", provenance={"quote": text, "title": text}) | {"value": service("out_of_service", reason=text)}
    answer = await client.post("/v1/reports", json=body)
    detail = f"{text.strip()} is no value: leave it out, or write what was said"
    found = {each["pointer"]: each["detail"] for each in answer.json()["errors"]}
    assert found == dict.fromkeys(("/value/reason", "/provenance/quote", "/provenance/title"), detail)


async def test_texts_that_look_like_cells_come_back_as_they_were(client: httpx.AsyncClient) -> None:
    texts = [*LIKE_CELLS, " a ", "\u00a0b", "c\td"]
    bodies = [
        report("service_status", provenance={"quote": text}, stated_at=f"2016-07-{at:02}") | {"value": service("working", reason=text)}
        for at, text in enumerate(texts, 1)
    ]
    await client.post("/v1/reports", json=bodies)
    stored = {each["stated_at"]: each["value"]["reason"] for each in await all_of(client, "/v1/reports")}
    assert stored == {f"2016-07-{at:02}": each.strip() for at, each in enumerate(texts, 1)}
    for format_, media_type in (("csv", "text/csv"), ("xlsx", XLSX)):
        content = (await client.get("/v1/reports", params={"format": format_, "limit": 1000})).content
        checked = (await client.post("/v1/imports", content=content, headers={"Content-Type": media_type})).json()
        assert (checked["created"], checked["refused"], checked["existing"]) == (0, 0, len(texts)), checked["problems"]


async def all_of(client: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
    """Return the records of a list, those without a current value included."""
    more = {} if path == "/v1/reports" else {"include_empty": True}
    items: list[dict[str, Any]] = (await get(client, path, limit=1000, **more))["items"]
    return items


@pytest.mark.parametrize(
    "table",
    [
        "kind,place,source,stated_at,operation,stage,on_latest,supplies,route\n"
        'Aid deliveries,oldtown,agency,2016-07-28,convoy-7,Turned back,2016-07-27,"Food, Medical supplies",north-road\n',
        "#indicator+type,#loc+code+slug,#meta+source+code,#date+reported,#affected+movement+type,#date+movement+start,#affected+moved+best\n"
        "population_movement,oldtown,agency,2016-07-28,Medically evacuated,2016-07-20,10000\n",
        "kind,place,source,stated_at,service,state,working,known,reason\n"
        "Status of services,oldtown,agency,2016-07-28,Hospitals,Partly working,2,8,no fuel\n",
    ],
)
async def test_table_is_imported_by_columns_and_titles_of_codes(client: httpx.AsyncClient, table: str) -> None:
    found = (await client.post("/v1/imports?dry_run=false", content=table, headers={"Content-Type": "text/csv"})).json()
    assert found.get("created") == 1, found.get("errors", found)
    assert (found["problems"], found["unread_columns"]) == ([], [])
    ((value,),) = [[each["value"] for each in (await get(client, "/v1/reports"))["items"]]]
    said = {name: each for name, each in value.items() if each is not None}
    assert said in (
        {
            "operation": "convoy-7",
            "stage": "turned_back",
            "on_latest": "2016-07-27",
            "supplies": ["food", "medical"],
            "route": "north-road",
        },
        {"movement": "medically_evacuated", "since": "2016-07-20", "people": 10000},
        {"service": "hospital", "state": "partly_working", "working": 2, "known": 8, "reason": "no fuel"},
    )


async def test_new_kinds_are_features_of_their_place(client: httpx.AsyncClient) -> None:
    await post_all(client, report("aid_delivery"), report("population_movement"), report("service_status"))
    for name in ("aid_delivery", "population_movement", "service_status"):
        (feature,) = (await get(client, f"/ogc/collections/{name}_point/items"))["features"]
        (listed,) = (await get(client, f"/v1/{KINDS[name].collection}.geojson"))["features"]
        assert feature["geometry"] == listed["geometry"] == {"type": "Point", "coordinates": [37.19, 36.2]}
        assert feature["properties"]["kind"] == name


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (convoy("planned"), "amber_strict"),
        (convoy("under_way"), "amber_strict"),
        (convoy("attacked"), "green"),
        (convoy("delivered"), "green"),
        (evacuated(10000), "amber"),
        (service("working", working=12, known=12), "green"),
        (service("partly_working", working=4, known=12), "amber"),
        (service("working"), "amber"),
    ],
)
async def test_report_without_a_label_gets_the_one_of_its_value(client: httpx.AsyncClient, value: dict[str, Any], label: str) -> None:
    assert (await say(client, "agency", "2016-12-22", value, sensitivity=None))["sensitivity"] == label


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        (convoy("delivered", on_earliest="2016-12-23"), "/value/on_earliest", "must not be after the day of the statement, 2016-12-22"),
        (convoy("under_way", on_latest="2016-12-23"), "/value/on_latest", "must not be after the day of the statement, 2016-12-22"),
        (convoy("planned", on_earliest="2016-12-25", on_latest="2016-12-24"), "/value/on_earliest", "must not be after on_latest"),
        (convoy("planned", supplies=["food", "food"]), "/value/supplies", "name each supply once"),
        (convoy("requested", removed=["food"]), "/value/removed", "must be empty if the stage is requested"),
        (convoy("planned", route="no-road"), "/value/route", "no such route"),
        (convoy("planned", "Convoy 7"), "/value/operation", "use a-z, 0-9 and -"),
        ({"operation": "convoy-7", "cause": "hostilities"}, "/value/stage", "required"),
        (evacuated(None), "/value/people", "give people, people_low or people_high"),
        (evacuated(5, people_high=4), "/value/people_high", "people_high must not be below people"),
        (evacuated(5, "2016-12-14"), "/value/since", "since must not be after until"),
        (evacuated(5, "2016-12-23"), "/value/until", "by the day of the statement, 2016-12-22"),
        (service("partly_working", working=9, known=8), "/value/working", "working must not exceed known"),
        (service("out_of_service", working=1), "/value/working", "must be 0 if state is out_of_service"),
        (service("working", working=0), "/value/working", "must not be 0 if state is working"),
        (service("partly_working", working=0, known=8), "/value/working", "must not be 0 if state is partly_working"),
        (service("working", working=2, known=8), "/value/working", "must be as many as known if state is working"),
    ],
)
async def test_wrong_value_gets_what_would_be_right(client: httpx.AsyncClient, value: dict[str, Any], pointer: str, detail: str) -> None:
    answer = await client.post("/v1/reports", json=statement("agency", "2016-12-22", value))
    assert [(each["pointer"], detail in each["detail"]) for each in answer.json()["errors"]] == [(pointer, True)], answer.text


async def test_only_a_service_that_is_out_of_service_has_an_alert(client: httpx.AsyncClient) -> None:
    out = report("service_status", {"state": "out_of_service", "working": 0}, stated_at="2016-11-18", provenance={"credibility": 2})
    first, *_ = await post_all(
        client, out, report("service_status", {"service": "water"}), report("aid_delivery"), report("population_movement")
    )
    feed = (await client.get("/v1/alerts")).text
    assert feed.count("<entry>") == 1
    alert = (await client.get(f"/v1/alerts/{first['id']}.cap")).text
    for part in (
        "<event>Out of service: hospital</event>",
        "<category>Health</category>",
        "<msgType>Alert</msgType>",
        "<status>Actual</status>",
    ):
        assert part in alert
    corrected = await post(client, f"/v1/reports/{first['id']}/correction", **out | {"value": service("working"), "reason": "a slip"})
    cancelled = (await client.get(f"/v1/alerts/{corrected['id']}.cap")).text
    assert "<msgType>Cancel</msgType>" in cancelled
    assert first["id"] in cancelled
    assert (await client.get("/v1/alerts")).text.count("<entry>") == 2


async def test_text_of_spaces_alone_says_nothing(client: httpx.AsyncClient) -> None:
    said = await say(client, "agency", "2016-12-17", evacuated(10000, "2016-12-16", destination=" \t\u2003"))
    assert said["value"]["destination"] is None
    said = await say(client, "agency", "2016-12-18", evacuated(20000, "2016-12-18", destination=" Idleb"))
    assert said["value"]["destination"] == "Idleb"
