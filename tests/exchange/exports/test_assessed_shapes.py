"""Every format of a ledger on whose subjects nothing leads, or no date is known, or reports were overtaken or only announced."""

import csv
import io
import json
from typing import Any

import httpx
import openpyxl
import pytest
from prov.model import ProvDocument

from app.client import AsyncLifeline
from tests.assessment.stories import food, get, people, road, say
from tests.support.fixtures import sqlite_only

pytestmark = [sqlite_only, pytest.mark.usefixtures("reference")]


async def tell(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Record reports that leave a claimed and an announced route, an undated warning, overtaken people and a resupply."""
    return {
        "claimed": await say(client, "army", "2016-08-01", road("open")),
        "announced": await say(client, "envoy", "2016-08-01", road("open", "south-road", assertion="announced")),
        "undated": await say(client, "agency", "2016-08-01", {"supply": "water", "imminence": "hours"}),
        "resupplied": await say(client, "agency", "2016-08-02", food("resupplied"), origin="envoy"),
        "overtaken": await say(client, "agency", "2016-07-01", people(270000)),
        "people": await say(client, "monitor", "2016-07-20", people(49000), method="headcount"),
    }


async def rows(client: httpx.AsyncClient, path: str, key: str = "id", **params: Any) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the rows of a list in CSV, XLSX and GeoJSON, by format and then by one of their columns."""
    _hashtags, *table = csv.DictReader(io.StringIO((await client.get(f"{path}.csv", params=params)).text))
    sheet = openpyxl.load_workbook(io.BytesIO((await client.get(f"{path}.xlsx", params=params)).content)).worksheets[0]
    header, _, *cells = sheet.values
    features = (await client.get(f"{path}.geojson", params=params)).json()["features"]
    return {
        "csv": {each[key]: {name: cell or None for name, cell in each.items()} for each in table},
        "xlsx": {str(each[key]): each for each in (dict(zip(map(str, header), row, strict=True)) for row in cells)},
        "geojson": {each["properties"][key]: each["properties"] for each in features},
    }


async def test_indicators_without_a_leader_have_empty_cells_in_every_format(client: httpx.AsyncClient) -> None:
    told = await tell(client)
    lines = (await client.get("/v1/indicators.ndjson")).text.splitlines()
    documents = {each["id"]: each for each in map(json.loads, lines)}
    claimed = documents[told["claimed"]["indicator"]]
    assert (claimed["agreement"], claimed["value"]["status"], claimed["stated_at"], claimed["provenance"]) == ("claimed", None, None, None)
    # Where reports are only announced, nothing stands.
    assert told["announced"]["indicator"] not in documents
    for format_, found in (await rows(client, "/v1/indicators")).items():
        assert set(found) == set(documents), format_
        one = found[told["claimed"]["indicator"]]
        assert (one["agreement"], one["value.route"]) == ("claimed", "north-road"), format_
        empty = ("value.status", "value.directions", "stated_at", "stale_after", "provenance.report", "provenance.credibility")
        assert [one[name] for name in empty] == [None] * len(empty), format_
        led = found[told["people"]["indicator"]]
        assert json.loads(led["assessment.basis"]) == documents[led["id"]]["assessment"]["basis"] != {}, format_
        assert found[told["resupplied"]["indicator"]]["provenance.origin.slug"] == "envoy", format_
        assert found[told["undated"]["indicator"]]["value.imminence"] == "hours", format_
    detail = await get(client, f"/v1/indicators/{told['overtaken']['indicator']}")
    assert {each["relation"] for each in detail["reports"]} == {"preferred", "overtaken"}


async def test_warning_without_a_date_has_an_empty_due_date_in_every_format(client: httpx.AsyncClient) -> None:
    told = await tell(client)
    (item,) = (await get(client, "/v1/warnings", as_of="2016-08-02"))["items"]
    assert (item["due"], item["days_left"], item["past_due"]) == (None, None, False)
    for format_, found in (await rows(client, "/v1/warnings", "indicator.id", as_of="2016-08-02")).items():
        (warning,) = found.values()
        assert warning["indicator.id"] == told["undated"]["indicator"]
        assert (warning["due"], warning["days_left"], str(warning["past_due"]).lower()) == (None, None, "false"), format_


async def test_situation_has_its_level_and_reasons_in_every_format(client: httpx.AsyncClient) -> None:
    await tell(client)
    # The list has only places with indicators of their own.
    await say(client, "agency", "2016-08-01", {"concept": "in_need", "people": 1000000}, place="country")
    shown = await get(client, "/v1/situations/oldtown", as_of="2016-08-02")
    assert {each["reason"] for each in shown["because"]} == {"trapped", "imminent"}
    for format_, found in (await rows(client, "/v1/situations", "place.slug", as_of="2016-08-02")).items():
        one = found["oldtown"]
        assert (one["level"], str(one["silent_days"]), str(one["dormant"]).lower()) == ("critical", "0", "false"), format_
        assert json.loads(one["because"]) == shown["because"], format_
        assert (found["country"]["level"], found["country"]["children_level"]) == ("watch", "critical"), format_


async def test_ogc_items_are_selected_by_the_time_of_the_preferred_report(client: httpx.AsyncClient) -> None:
    told = await tell(client)

    async def found(when: str) -> set[str]:
        names = [f"{kind}_point" for kind in ("trapped_population", "supply_runout")] + ["route_closure_line"]
        pages = [await get(client, f"/ogc/collections/{name}/items", datetime=when) for name in names]
        return {each["id"] for page in pages for each in page["features"]}

    # The horizon of a resupply is shorter than that of other supplies. What has no time is always there.
    led = {told[name]["indicator"] for name in ("undated", "resupplied", "people")}
    assert await found("2016-08-02") & led == {told["resupplied"]["indicator"]}
    assert await found("2016-07-10/2016-07-20") & led == {told["people"]["indicator"]}
    assert told["claimed"]["indicator"] in await found("2016-08-02")


async def test_client_reads_what_is_claimed_and_why_a_level_holds(client: httpx.AsyncClient) -> None:
    told = await tell(client)
    async with AsyncLifeline("http://lifeline.test", transport=client._transport) as lifeline:
        found = {each.id: each async for each in lifeline.indicators()}
        claimed, led = found[told["claimed"]["indicator"]], found[told["people"]["indicator"]]
        assert (claimed.agreement, claimed.assessment.preferred, claimed.stale_after) == ("claimed", None, None)
        assert (led.assessment.origins, led.assessment.basis["people"]) == (1, told["people"]["id"])
        assert (await lifeline.indicator(led.id)).assessment.deciding == [told["people"]["id"]]
        place = await lifeline.situation("oldtown", as_of="2016-08-02")
        assert (place.level, place.silent_days, {each.reason for each in place.because}) == ("critical", 0, {"trapped", "imminent"})
        changes = await lifeline.changes()
        assert [each.agreement for change in changes.items for each in change.documents if each.id == claimed.id] == ["claimed"]


async def test_prov_names_the_origin_of_a_report(client: httpx.AsyncClient) -> None:
    told = await tell(client)
    for each in told.values():
        document = (await client.get(f"/v1/reports/{each['id']}/provenance")).text
        named = {str(agent.identifier) for agent in ProvDocument.deserialize(io.StringIO(document)).get_records() if agent.is_element()}
        assert ("source:envoy" in named) == (each in (told["resupplied"], told["announced"]))
