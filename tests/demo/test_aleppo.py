"""The demo data read back over HTTP: Aleppo, July to October 2016."""

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


async def get_indicator(client: httpx.AsyncClient, collection: str, **params: str) -> dict[str, Any]:
    """Return the only indicator of eastern Aleppo in a collection, with every report behind it."""
    (item,) = (await client.get(f"/v1/{collection}", params={"place": "aleppo-east"} | params)).json()["items"]
    detail: dict[str, Any] = (await client.get(item["links"]["self"])).json()
    assert {name: detail[name] for name in item} == item
    return detail


def relations(indicator: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return the relation of each report to the assessment, by source and day."""
    return {(each["source"]["slug"], each["stated_at"][:10]): each["relation"] for each in indicator["reports"]}


async def test_trapped_are_about_300000_from_250000_contested(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "trapped-populations", concept="trapped")
    value = found["value"]
    assert (value["people"], value["people_low"], value["people_high"], value["qualifier"]) == (300000, 250000, 300000, "about")
    assert found["agreement"] == "contested"
    assert relations(found) == {("un", "2016-07-31"): "preferred", ("un-ocha", "2016-07-25"): "contradicts"}
    assert found["stated_at"] == "2016-07-31T00:00:00Z"
    assert found["stale_after"] == "2016-09-29T00:00:00Z"
    assert found["assessment"] == {"method": "envelope/1", "reports": 2, "sources": 2, "preferred": found["reports"][0]["id"]}
    assert found["provenance"]["source"] == {
        "slug": "un",
        "name": "United Nations",
        "type": "un",
        "reliability": "B",
        "party_to_conflict": False,
    }
    assert [each["slug"] for each in found["provenance"]["via"]] == ["regional-news-site"]
    assert found["provenance"]["url"] is None
    assert found["sensitivity"] == "clear"


async def test_basic_supplies_run_out_on_19_august_by_the_later_statement(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "supply-runouts", supply="basic")
    value = found["value"]
    assert (value["runs_out_earliest"], value["runs_out_latest"]) == ("2016-08-19", "2016-08-19")
    assert (value["relative_text"], value["state"], value["outcome"]) == ("three weeks", "will_run_out", "pending")
    assert found["agreement"] == "single"
    assert relations(found) == {("un-envoy-syria", "2016-07-29"): "preferred"}
    (earlier,) = found["left_out"]
    assert (earlier["reason"], earlier["source"]["slug"], earlier["stated_at"][:10]) == (
        "replaced_by_later",
        "un-envoy-syria",
        "2016-07-28",
    )
    assert (earlier["value"]["runs_out_earliest"], earlier["value"]["runs_out_latest"]) == ("2016-08-11", "2016-08-18")
    stored = (await aleppo.get(f"/v1/reports/{found['provenance']['report']}")).json()
    assert (stored["stated_at"], stored["provenance"]["published_at"]) == ("2016-07-29", "2016-07-31")


async def test_food_runs_out_in_mid_august_and_is_its_own_indicator(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "supply-runouts", supply="food")
    assert (found["value"]["runs_out_earliest"], found["value"]["runs_out_latest"]) == ("2016-08-11", "2016-08-20")
    assert found["agreement"] == "consistent"
    assert relations(found) == {("un", "2016-07-31"): "preferred", ("un-ocha", "2016-07-25"): "supports"}
    assert found["subject"] == "food"
    medical = await get_indicator(aleppo, "supply-runouts", supply="medical")
    assert (medical["value"]["state"], medical["value"]["runs_out_earliest"], medical["agreement"]) == ("low", None, "single")


async def test_castello_road_is_closed_since_7_july_with_a_vague_date_agreeing(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "route-closures", route="castello-road")
    value = found["value"]
    assert (value["status"], value["status_in"], value["status_out"]) == ("closed", "closed", "closed")
    assert (value["since"], value["since_earliest"], value["since_latest"]) == ("2016-07-07", "2016-07-01", "2016-07-10")
    assert value["last_route"] is True
    assert value["passable_by"] == []
    related = relations(found)
    assert related["un-ocha", "2016-07-25"] == "preferred"
    assert related["news-agency", "2016-07-31"] == "supports"
    via = {each["source"]["slug"]: [outlet["slug"] for outlet in each["via"]] for each in found["reports"]}
    assert via["news-agency"] == ["regional-news-site"]


async def test_announced_windows_do_not_open_castello_road(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "route-closures", route="castello-road")
    (announced,) = (each for each in found["reports"] if each["source"]["slug"] == "russian-military")
    assert (announced["value"]["status"], announced["value"]["assertion"]) == ("open", "announced")
    for status in ("open", "restricted"):
        items = (await aleppo.get("/v1/route-closures", params={"status": status})).json()["items"]
        assert "castello-road" not in {item["subject"] for item in items}


async def test_ramouseh_passage_is_restricted_for_all_and_contested(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "route-closures", route="ramouseh-passage")
    value = found["value"]
    assert (value["status"], value["status_in"], value["status_out"], value["passable_by"]) == (
        "restricted",
        "restricted",
        "restricted",
        [],
    )
    assert found["agreement"] == "contested"
    assert found["provenance"]["source"]["slug"] == "independent-observers"
    assert relations(found) == {
        ("independent-observers", "2016-08-08"): "preferred",
        ("sohr", "2016-07-31"): "contradicts",
        ("rebel-alliance", "2016-08-06"): "contradicts",
        ("syrian-army", "2016-08-06"): "contradicts",
    }
    parties = {each["source"]["slug"] for each in found["reports"] if each["source"]["party_to_conflict"]}
    assert parties == {"rebel-alliance", "syrian-army"}


async def test_concepts_of_trapped_people_are_separate_indicators(aleppo: httpx.AsyncClient) -> None:
    items = (await aleppo.get("/v1/trapped-populations")).json()["items"]
    figures = {item["subject"]: [item["value"][name] for name in ("people", "people_low", "people_high")] for item in items}
    assert figures == {
        "trapped": [300000, 250000, 300000],
        "at_risk": [None, 200000, 300000],
        "besieged": [None, None, 275000],
    }
    besieged = await get_indicator(aleppo, "trapped-populations", concept="besieged")
    assert besieged["stated_at"] == "2016-10-05T00:00:00Z"
    at_risk = await get_indicator(aleppo, "trapped-populations", concept="at_risk")
    assert (at_risk["provenance"]["source"]["slug"], at_risk["provenance"]["via"][0]["slug"]) == ("un-ocha", "second-outlet")


async def test_outlets_are_in_via_and_not_sources_of_relayed_statements(aleppo: httpx.AsyncClient) -> None:
    items = (await aleppo.get("/v1/reports", params={"limit": 1000})).json()["items"]
    assert len(items) == 16
    outlets = {"regional-news-site", "second-outlet"}
    assert outlets == {slug for item in items for slug in item["provenance"]["via"]}
    assert not outlets & {item["source"] for item in items}
    assert {item["sensitivity"] for item in items} == {"clear"}


async def test_place_code_needs_its_scheme(aleppo: httpx.AsyncClient) -> None:
    for code, found in (("pcode:SY02", 8), ("geonames-admin1:SY.09", 8), ("SY02", 0), ("geonames-admin1:SY.02", 0), ("pcode:SY.09", 0)):
        items = (await aleppo.get("/v1/indicators", params={"place": code, "within": "true"})).json()["items"]
        assert len(items) == found, code


DATES: dict[str, dict[tuple[str, str], tuple[Any, ...]]] = {
    "2016-07-20": {},
    "2016-07-26": {
        ("castello-road", "status"): ("closed", "2016-07-07", "single", "un-ocha"),
        ("trapped", "people"): (None, 250000, 275000, "single"),
        ("at_risk", "people"): (None, 200000, 300000, "single"),
        ("food", "runs_out"): ("2016-08-11", "2016-08-20", "will_run_out", "single"),
    },
    "2016-07-28": {("basic", "runs_out"): ("2016-08-11", "2016-08-18", "will_run_out", "single")},
    "2016-07-30": {
        ("basic", "runs_out"): ("2016-08-19", "2016-08-19", "will_run_out", "single"),
        ("trapped", "people"): (None, 250000, 275000, "single"),
    },
    "2016-08-01": {
        ("trapped", "people"): (300000, 250000, 300000, "contested"),
        ("castello-road", "status"): ("closed", "2016-07-07", "consistent", "un-ocha"),
        ("ramouseh-passage", "status"): ("closed", None, "single", "sohr"),
        ("food", "runs_out"): ("2016-08-11", "2016-08-20", "low", "consistent"),
        ("medical", "runs_out"): (None, None, "low", "single"),
    },
    "2016-08-07": {("ramouseh-passage", "status"): ("closed", None, "contested", "sohr")},
    "2016-08-08": {("ramouseh-passage", "status"): ("restricted", None, "contested", "independent-observers")},
    "2016-08-12": {("castello-road", "status"): ("closed", "2016-07-07", "contested", "un-ocha")},
    "2016-10-04": {("trapped", "people"): (300000, 250000, 300000, "contested")},
    "2016-10-05": {("besieged", "people"): (None, None, 275000, "single")},
}


def _short(item: dict[str, Any]) -> tuple[tuple[str, str], tuple[Any, ...]]:
    value, agreement = item["value"], item["agreement"]
    if item["kind"] == "trapped_population":
        return (item["subject"], "people"), (value["people"], value["people_low"], value["people_high"], agreement)
    if item["kind"] == "supply_runout":
        return (item["subject"], "runs_out"), (value["runs_out_earliest"], value["runs_out_latest"], value["state"], agreement)
    return (item["subject"], "status"), (value["status"], value["since"], agreement, item["provenance"]["source"]["slug"])


async def test_as_of_shows_what_was_stated_by_each_date(aleppo: httpx.AsyncClient) -> None:
    """The list, the situation and each indicator agree at every date."""
    seen: set[str] = set()
    for as_of, expected in DATES.items():
        items = (await aleppo.get("/v1/indicators", params={"as_of": as_of})).json()["items"]
        found = dict(_short(item) for item in items)
        assert expected.items() <= found.items(), as_of
        if as_of == "2016-07-26":
            assert found == expected
        seen |= {item["id"] for item in items}
        assert len(items) == len(seen), "an indicator never disappears"
        for item in items:
            assert item["stated_at"] <= f"{as_of}T23:59:59.999999Z"
            if _short(item)[0] in expected:
                detail = (await aleppo.get(item["links"]["self"], params={"as_of": as_of})).json()
                assert {name: detail[name] for name in item} == item
        situation = (await aleppo.get("/v1/situations/aleppo-east", params={"as_of": as_of})).json()
        contested = {item["links"]["self"] for item in items if item["agreement"] == "contested"}
        assert set(situation["contested"]) == contested
        assert len(situation["trapped"]) + len(situation["supplies"]) + situation["routes"]["known"] == len(items)


async def test_as_of_20_july_shows_nothing(aleppo: httpx.AsyncClient) -> None:
    for path in (
        "indicators",
        "trapped-populations",
        "supply-runouts",
        "route-closures",
        "reports",
        "situations",
        "warnings?within_days=3650",
    ):
        page = (await aleppo.get(f"/v1/{path}{'&' if '?' in path else '?'}as_of=2016-07-20")).json()
        assert (page["items"], page["next"]) == ([], None), path
    situation = (await aleppo.get("/v1/situations/aleppo-east?as_of=2016-07-20")).json()
    assert (situation["trapped"], situation["supplies"], situation["routes"]["known"], situation["newest_statement"]) == ([], [], 0, None)
    for item in (await aleppo.get("/v1/indicators")).json()["items"]:
        assert (await aleppo.get(f"{item['links']['self']}?as_of=2016-07-20")).status_code == 404


async def test_situation_of_1_august_has_closed_routes_and_days_left(aleppo: httpx.AsyncClient) -> None:
    """The same for the place, its governorate and its country."""
    for place, within in (("aleppo-east", "false"), ("pcode:SY02", "true"), ("syria", "true")):
        found = (await aleppo.get(f"/v1/situations/{place}", params={"as_of": "2016-08-01", "within": within})).json()
        routes = found["routes"]
        assert (routes["known"], routes["closed"], routes["all_closed"]) == (2, 2, True)
        left = {each["supply"]: each["days_left"] for each in found["supplies"]}
        assert left == {"food": 10, "basic": 18, "medical": None}
        assert (found["soonest_runout"]["supply"], found["newest_statement"]) == ("food", "2016-07-31T00:00:00Z")
        assert [(each["concept"], each["people_low"], each["people_high"]) for each in found["trapped"]] == [
            ("trapped", 250000, 300000),
            ("at_risk", 200000, 300000),
        ]
    later = (await aleppo.get("/v1/situations/aleppo-east?as_of=2016-08-08")).json()["routes"]
    assert (later["closed"], later["restricted"], later["all_closed"]) == (1, 1, False)
    assert next(each for each in later["items"] if each["route"] == "ramouseh-passage")["passable_by"] == []


async def test_history_of_the_trapped_lists_each_change(aleppo: httpx.AsyncClient) -> None:
    found = await get_indicator(aleppo, "trapped-populations", concept="trapped")
    steps = (await aleppo.get(found["links"]["history"])).json()["items"]
    assert [(each["type"], each["moved"], each["agreement"], each["value"]["people_high"]) for each in steps] == [
        ("report", ["value", "range", "agreement"], "single", 275000),
        ("report", ["value", "range", "agreement"], "contested", 300000),
    ]
