"""The demo data read back over HTTP: Aleppo, July to December 2016."""

from typing import Any

import httpx
import pytest

from tests.support.fixtures import mostly_sqlite

pytestmark = mostly_sqlite


@pytest.fixture
def database_url(demo_database: str) -> str:
    return demo_database


@pytest.fixture
async def aleppo(anonymous: httpx.AsyncClient) -> httpx.AsyncClient:
    """Return a client without a key."""
    return anonymous


Indicators = dict[str, dict[str, Any]]


async def read(client: httpx.AsyncClient, as_of: str) -> Indicators:
    """Return the indicators of eastern Aleppo by subject, with every report behind them."""
    items = (await client.get("/v1/indicators", params={"place": "aleppo-east", "as_of": as_of})).json()["items"]
    found = {}
    for item in items:
        detail = (await client.get(item["links"]["self"], params={"as_of": as_of})).json()
        assert {name: detail[name] for name in item if name != "assessment"} == {name: item[name] for name in item if name != "assessment"}
        assert item["assessment"].items() <= detail["assessment"].items()
        found[item["subject"]] = detail
    return found


async def situation(client: httpx.AsyncClient, as_of: str) -> dict[str, Any]:
    """Return the situation of eastern Aleppo."""
    found: dict[str, Any] = (await client.get("/v1/situations/aleppo-east", params={"as_of": as_of})).json()
    return found


def said_by(indicator: dict[str, Any], report: str) -> str:
    """Return the source of a report on an indicator."""
    source: str = next(each["source"]["slug"] for each in indicator["reports"] if each["id"] == report)
    return source


def relations(indicator: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the relation of each report, or why it is left out, by source and day."""
    listed = [(each, each["relation"]) for each in indicator["reports"]] + [(each, each["reason"]) for each in indicator["left_out"]]
    return {(each["source"]["slug"], each["stated_at"][:10]): relation for each, relation in listed}


def people(indicator: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(indicator["value"][name] for name in ("people", "people_low", "people_high"))


def supply(indicator: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(indicator["value"][name] for name in ("state", "runs_out_earliest", "runs_out_latest"))


def route(indicator: dict[str, Any]) -> tuple[Any, ...]:
    directions = indicator["value"]["directions"].values()
    return indicator["value"]["status"], [each["status"] for each in directions], indicator["agreement"]


async def test_20_july_says_nothing(aleppo: httpx.AsyncClient) -> None:
    for path in ("indicators", "trapped-populations", "supply-runouts", "route-closures", "reports", "warnings"):
        page = (await aleppo.get(f"/v1/{path}", params={"as_of": "2016-07-20"})).json()
        assert (page["items"], page["next"]) == ([], None), path
    found = await situation(aleppo, "2016-07-20")
    assert (found["trapped"], found["supplies"], found["routes"]["known"], found["because"]) == ([], [], 0, [])
    assert (found["level"], found["silent_days"]) == (None, None)


async def test_26_july_is_serious_because_people_are_trapped(aleppo: httpx.AsyncClient) -> None:
    found = await read(aleppo, "2016-07-26")
    assert set(found) == {"castello-road", "trapped", "at_risk", "food"}
    assert route(found["castello-road"]) == ("closed", ["closed", "closed"], "single")
    value = found["castello-road"]["value"]
    assert (value["since_earliest"], value["since_latest"]) == ("2016-07-07", "2016-07-07")
    assert (people(found["trapped"]), people(found["at_risk"])) == ((None, 250000, 275000), (None, 200000, 300000))
    assert (supply(found["food"]), found["food"]["agreement"]) == (("will_run_out", "2016-08-11", "2016-08-20"), "single")
    where = await situation(aleppo, "2016-07-26")
    assert (where["level"], where["silent_days"]) == ("serious", 1)
    assert found["trapped"]["id"] in " ".join(each["indicator"] for each in where["because"])
    warnings = (await aleppo.get("/v1/warnings", params={"as_of": "2016-07-26", "within_days": 16})).json()["items"]
    assert [(each["due"], each["days_left"]) for each in warnings] == [("2016-08-11", 16)]


async def test_30_july_keeps_the_quoted_two_to_three_weeks(aleppo: httpx.AsyncClient) -> None:
    for as_of in ("2016-07-28", "2016-07-30"):
        basic = (await read(aleppo, as_of))["basic"]
        assert (supply(basic), basic["agreement"]) == (("will_run_out", "2016-08-11", "2016-08-18"), "single")
    assert relations(basic) == {("un-envoy-syria", "2016-07-28"): "preferred", ("un-envoy-syria", "2016-07-29"): "relayed"}
    (paraphrase,) = (each for each in basic["reports"] if each["relation"] == "relayed")
    assert [each["slug"] for each in paraphrase["via"]] == ["regional-news-site"]
    stored = (await aleppo.get(f"/v1/reports/{paraphrase['id']}")).json()
    assert (stored["stated_at"], stored["provenance"]["published_at"], stored["provenance"]["directness"]) == (
        "2016-07-29",
        "2016-07-31",
        "paraphrased",
    )


async def test_1_august_names_the_report_behind_each_end(aleppo: httpx.AsyncClient) -> None:
    found = await read(aleppo, "2016-08-01")
    trapped, castello, food = found["trapped"], found["castello-road"], found["food"]
    assert (people(trapped), trapped["agreement"]) == ((300000, 250000, 300000), "contested")
    assert relations(trapped) == {("un", "2016-07-31"): "preferred", ("un-ocha", "2016-07-25"): "contradicts"}
    ends = {name: said_by(trapped, report) for name, report in trapped["assessment"]["basis"].items() if name.startswith("people")}
    assert ends == {"people": "un", "people_low": "un-ocha", "people_high": "un"}
    assert trapped["assessment"]["spread"] == pytest.approx(1.2)
    assert route(castello) == ("closed", ["closed", "closed"], "consistent")
    assert castello["assessment"]["origins"] == 2
    assert [castello["value"][name] for name in ("since", "since_earliest", "since_latest")] == ["2016-07-07"] * 3
    assert {said_by(castello, castello["assessment"]["basis"][name]) for name in ("since_earliest", "since_latest")} == {"un-ocha"}
    assert castello["value"]["last_route"] is True
    assert (supply(food), food["agreement"]) == (("will_run_out", "2016-08-11", "2016-08-20"), "consistent")
    dates = {name: said_by(food, report) for name, report in food["assessment"]["basis"].items() if name.startswith("runs_out")}
    assert dates == {"runs_out_earliest": "un-ocha", "runs_out_latest": "un-ocha"}
    assert said_by(food, food["assessment"]["preferred"]) == "un-ocha"
    assert supply(found["medical"]) == ("low", None, None)
    where = await situation(aleppo, "2016-08-01")
    since = {each["reason"]: each["since"][:10] for each in where["because"] if each["indicator"] == castello["id"]}
    assert since == {"way_in_closed": "2016-07-25", "way_out_closed": "2016-07-25", "last_route": "2016-07-31"}
    assert where["level"] == "serious"


async def test_critical_from_5_august_and_castello_is_not_contested(aleppo: httpx.AsyncClient) -> None:
    assert [(await situation(aleppo, day))["level"] for day in ("2016-08-03", "2016-08-04", "2016-08-05", "2016-08-12")] == [
        "serious",
        *["critical"] * 3,
    ]
    castello = (await read(aleppo, "2016-08-12"))["castello-road"]
    assert route(castello) == ("closed", ["closed", "closed"], "consistent")
    assert relations(castello)["russian-military", "2016-08-11"] == "announced"
    for status in ("open", "restricted"):
        items = (await aleppo.get("/v1/route-closures", params={"status": status, "as_of": "2016-08-12"})).json()["items"]
        assert "castello-road" not in {item["subject"] for item in items}


async def test_ramouseh_is_closed_then_restricted_for_all_and_contested(aleppo: httpx.AsyncClient) -> None:
    ramouseh = (await read(aleppo, "2016-08-07"))["ramouseh-passage"]
    assert route(ramouseh) == ("closed", ["closed", "closed"], "contested")
    assert said_by(ramouseh, ramouseh["assessment"]["preferred"]) == "syrian-army"
    ramouseh = (await read(aleppo, "2016-08-09"))["ramouseh-passage"]
    assert route(ramouseh) == ("restricted", ["restricted", "restricted"], "contested")
    assert ramouseh["value"]["passable_by"] == []
    assert relations(ramouseh) == {
        ("independent-observers", "2016-08-08"): "preferred",
        ("rebel-alliance", "2016-08-06"): "contradicts",
        ("syrian-army", "2016-08-06"): "contradicts",
    }


async def test_1_october_is_critical_as_last_known_and_silent(aleppo: httpx.AsyncClient) -> None:
    where = await situation(aleppo, "2016-10-01")
    assert (where["level"], where["silent_days"]) == ("critical", 54)
    for month, days in ((8, range(5, 32)), (9, range(1, 31, 4)), (10, range(1, 32, 7))):
        for day in days:
            assert (await situation(aleppo, f"2016-{month:02}-{day:02}"))["level"] == "critical"


async def test_designation_lags_the_condition(aleppo: httpx.AsyncClient) -> None:
    assert "besieged" not in await read(aleppo, "2016-10-04")
    found = await read(aleppo, "2016-10-05")
    assert people(found["besieged"]) == (None, None, 275000)
    assert people(found["trapped"]) == (300000, 250000, 300000)
    assert (await situation(aleppo, "2016-10-05"))["silent_days"] == 0


async def test_outlets_are_in_via_and_not_sources_of_relayed_statements(aleppo: httpx.AsyncClient) -> None:
    items = (await aleppo.get("/v1/reports", params={"limit": 1000})).json()["items"]
    outlets = {"regional-news-site", "second-outlet"}
    assert outlets <= {slug for item in items for slug in item["provenance"]["via"]}
    assert not outlets & {item["source"] for item in items}
    assert {item["sensitivity"] for item in items} == {"clear"}
    assert [(item["source"], item["value"]["route"]) for item in items if item["kind"] == "route_closure"] == [
        ("un-ocha", "castello-road"),
        ("news-agency", "castello-road"),
        ("rebel-alliance", "ramouseh-passage"),
        ("syrian-army", "ramouseh-passage"),
        ("independent-observers", "ramouseh-passage"),
        ("russian-military", "castello-road"),
    ]
    known = {item["source"] for item in items if item["provenance"]["url"]}
    assert known == {"un", "un-ocha", "un-envoy-syria", "news-agency", "who", "icrc"}
    unknown = [item for item in items if item["stated_at"] < "2016-10-31" and item["place"] == "aleppo-east" and item["provenance"]["url"]]
    assert not unknown, "a web address that is not known is not invented"


async def test_place_code_needs_its_scheme(aleppo: httpx.AsyncClient) -> None:
    for code in ("pcode:SY02", "pcode:C1007", "geonames-admin1:SY.09"):
        items = (await aleppo.get("/v1/indicators", params={"place": code, "within": "true"})).json()["items"]
        assert {item["place"]["slug"] for item in items} == {"aleppo-east"}, code
    for code in ("SY02", "geonames-admin1:SY.02", "pcode:SY.09"):
        answer = await aleppo.get("/v1/indicators", params={"place": code, "within": "true"})
        assert answer.status_code == 422 or answer.json()["items"] == [], code
    place = (await aleppo.get("/v1/places/aleppo-east")).json()
    assert (place["codes"], place["timezone"]) == ([], "Asia/Damascus")


async def test_history_of_the_trapped_lists_each_change(aleppo: httpx.AsyncClient) -> None:
    trapped = (await read(aleppo, "2016-10-31"))["trapped"]
    steps = (await aleppo.get(trapped["links"]["history"])).json()["items"]
    assert [(each["type"], each["moved"], each["agreement"], each["value"]["people_high"]) for each in steps] == [
        ("report", ["value", "range", "agreement"], "single", 275000),
        ("report", ["value", "range", "agreement"], "contested", 300000),
    ]


async def test_23_december_adds_what_was_delivered_who_left_and_what_works(aleppo: httpx.AsyncClient) -> None:
    found = await read(aleppo, "2016-12-23")
    convoy, denied, hospital, movement = (
        found[each] for each in ("un-convoy-2016-07", "un-request-2016-11", "hospital", "evacuated.2016-12-15")
    )
    assert (convoy["value"]["stage"], convoy["value"]["last_delivery"]) == ("delivered", "2016-07-10")
    assert (denied["value"]["stage"], denied["value"]["denied_since"]) == ("denied", "2016-11-10")
    assert (hospital["value"]["state"], hospital["value"]["since"]) == ("out_of_service", "2016-11-20")
    assert (people(movement), movement["value"]["until"], movement["agreement"]) == ((35000,) * 3, "2016-12-22", "single")
    where = await situation(aleppo, "2016-12-23")
    assert {"no_delivery", "out_of_service"} <= {each["reason"] for each in where["because"]}
    older = {each["concept"]: each["older_than"] for each in where["trapped"]}
    assert older == {concept: [movement["links"]["self"]] for concept in ("trapped", "besieged", "at_risk")}
    assert people(found["trapped"]) == (300000, 250000, 300000)
    attacked = (await aleppo.get("/v1/aid-deliveries", params={"place": "urum-al-kubra"})).json()["items"]
    assert [(each["value"]["stage"], each["value"]["planned_for"], each["agreement"]) for each in attacked] == [
        ("attacked", 78000, "consistent")
    ]
