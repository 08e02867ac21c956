"""Unknown places, sources and routes: 422 with the nearest names in a filter, 404 in a path, every wrong field of a body at once."""

from typing import Any

import httpx

from tests.support.factories import Reference, post, report
from tests.support.fixtures import mostly_sqlite, sqlite_only

LISTS = (
    "situations", "warnings", "warnings.csv", "indicators", "indicators.geojson", "trapped-populations", "supply-runouts", "route-closures",
    "reports", "reports.xlsx", "alerts", "changes", "changes.ndjson", "stream", "places", "places.csv",
)  # fmt: skip
HIDDEN_AND_SHOWN: list[tuple[str, dict[str, Any]]] = [
    ("red", {}), ("clear", {"value": {"concept": "besieged", "people": 5}}),
]  # fmt: skip


def problems(response: httpx.Response) -> dict[str, str]:
    """Return the errors of a 422 by pointer."""
    assert response.status_code == 422, (response.request.url, response.text)
    return {each["pointer"]: each["detail"] for each in response.json()["errors"]}


@mostly_sqlite
async def test_unknown_place_in_a_filter_gets_422_with_near_names(client: httpx.AsyncClient, reference: Reference) -> None:
    for name in LISTS:
        for query in (
            "place=old-twon",
            "place=old-twon&within=true",
            *(["place=old-twon&as_of=2016-08-01"] if name == "indicators" else []),
        ):
            (found,) = problems(await client.get(f"/v1/{name}?{query}")).items()
            assert found[0] == "?place", name
            assert found[1].endswith("; the nearest: oldtown (Old town)"), name
        assert "this is a code: pcode:SY02" in problems(await client.get(f"/v1/{name}?place=SY02"))["?place"]
        assert "the nearest: pcode:SY02 (Old town)" in problems(await client.get(f"/v1/{name}?place=pcode:SY20"))["?place"]


@mostly_sqlite
async def test_known_place_without_records_gets_an_empty_page(client: httpx.AsyncClient, reference: Reference) -> None:
    for name in ("situations", "warnings", "indicators", "reports", "alerts", "changes"):
        for place in ("oldtown", "pcode:SY02"):
            response = await client.get(f"/v1/{name}?place={place}")
            assert response.status_code == 200, response.text


@mostly_sqlite
async def test_match_of_a_filter_is_exact(client: httpx.AsyncClient, reference: Reference) -> None:
    for place in ("SY02", "pcode:sy02", "OLDTOWN", "old", "%", "nowhere", ":", "pcode:"):
        for path in ("/v1/indicators", "/v1/places"):
            assert problems(await client.get(path, params={"place": place})).keys() == {"?place"}
    assert problems(await client.get("/v1/indicators?route=no-road")).keys() == {"?route"}


async def test_unknown_sources_and_routes_in_filters_get_422(client: httpx.AsyncClient, reference: Reference) -> None:
    await post(client, **report("route_closure"))
    for path, pointer, near in (
        ("indicators?source=agancy", "?source", "agency (Agency)"),
        ("reports?source=agancy", "?source", "agency (Agency)"),
        ("route-closures?route=nroth-road", "?route", "north-road ("),
        ("indicators?route=nroth-road", "?route", "north-road ("),
    ):
        assert f"the nearest: {near}" in problems(await client.get(f"/v1/{path}"))[pointer]
    both = problems(await client.get("/v1/route-closures?route=nroth-road&source=agancy&place=oldtwon"))
    assert both.keys() == {"?place", "?source", "?route"}
    assert "nearest" not in problems(await client.get("/v1/reports?source=qqqq"))["?source"]
    indicator = (await client.get("/v1/indicators")).json()["items"][0]["id"]
    assert "agency (Agency)" in problems(await client.get(f"/v1/indicators/{indicator}?without=agancy"))["?without"]
    for path in ("places/oldtwon", "sources/agancy", "routes/nroth-road", "situations/oldtwon", "sources/agancy/record"):
        assert (await client.get(f"/v1/{path}")).status_code == 404


@mostly_sqlite
async def test_unknown_country_in_a_filter_gets_422_with_the_known_ones(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="homs", name="Homs", country="SYR")
    for name in LISTS:
        assert problems(await client.get(f"/v1/{name}?country=ZZZ"))["?country"].endswith("use one that has places, SYR"), name
    # User-assigned codes, two of them of Kosovo, and one of a country that was divided.
    known = {each: (await client.get(f"/v1/places?country={each}")).status_code for each in ("XXX", "QQQ", "SUN", "XKX", "YEM")}
    assert known == {"XXX": 422, "QQQ": 422, "SUN": 422, "XKX": 200, "YEM": 200}


async def test_hidden_indicator_in_a_filter_is_told_like_an_unknown_one(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """One with reports that other filters leave out is known."""
    hidden, shown = [(await post(client, **report(sensitivity=each, **more)))["indicator"] for each, more in HIDDEN_AND_SHOWN]
    detail = problems(await anonymous.get("/v1/reports?indicator=01900000-0000-7000-8000-000000000000"))
    assert problems(await anonymous.get(f"/v1/reports?indicator={hidden}")) == detail
    assert (await client.get(f"/v1/reports?indicator={hidden}")).json()["items"]
    assert (await anonymous.get(f"/v1/reports?indicator={shown}&kind=supply_runout")).json()["items"] == []


@sqlite_only
async def test_query_and_patch_tell_all_that_is_wrong_at_once(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    for path in ("indicators", "places"):
        found = problems(await client.get(f"/v1/{path}?plaec=x&limit=0&place=old-twon&country=Syria"))
        assert found.keys() == {"?plaec", "?limit", "?place", "?country"}
        assert found["?plaec"] == "unknown query parameter; the nearest: place"
        assert "oldtown" in found["?place"]
    # A column of the rows, which the filter `status` filters by.
    for path, column in (("aid-deliveries", "stage"), ("service-statuses", "state"), ("supply-runouts", "state")):
        found = problems(await client.get(f"/v1/{path}?{column}=x"))
        assert found == {f"?{column}": "unknown query parameter; the nearest: status"}
    assert problems(await client.get("/v1/reports?limit=0&source=agancy")).keys() == {"?limit", "?source"}
    # Names are told as the key may see them, and not at all to one that is not valid.
    await reference.add("sources", slug="hidden", name="Hidden", type="ngo", alias="A group")
    assert problems(await client.get("/v1/reports?limit=0&source=hidden")).keys() == {"?limit"}
    assert problems(await anonymous.get("/v1/reports?limit=0&source=hidden")).keys() == {"?limit", "?source"}
    patch = {"parent": "oldtwon", "slug": "x", "nmae": "N", "timezone": "Mars", "successor_of": "nowhere"}
    found = problems(await client.patch("/v1/places/oldtown", json=patch))
    assert found.keys() == {"/parent", "/slug", "/nmae", "/timezone", "/successor_of"}
    assert found["/nmae"] == "unknown field; the nearest: name"
    sent = report() | {"provenance": {"quot": "said"}, "palce": "oldtown"}
    found = problems(await client.post("/v1/reports", json=sent | {"value": sent["value"] | {"peopel": 5}}))
    assert found["/provenance/quot"].endswith("; the nearest: quote")
    assert found["/palce"].endswith("; the nearest: place")
    assert found["/value/peopel"].endswith("; the nearest: people")


@mostly_sqlite
async def test_body_names_every_wrong_field_and_an_unknown_place(client: httpx.AsyncClient, reference: Reference) -> None:
    found = problems(await client.post("/v1/places", json={"slug": "A b", "parent": "oldtwon", "codes": [{"scheme": "pcode"}], "x": 1}))
    assert found.keys() == {"/slug", "/name", "/parent", "/codes/0/code", "/x"}
    assert found["/slug"].startswith("use a-z, 0-9 and -")
    assert "the nearest: oldtown (Old town)" in found["/parent"]
    found = problems(await client.post("/v1/places", json={"slug": "new", "name": "New", "parent": "oldtwon"}))
    assert "the nearest: oldtown (Old town)" in found["/parent"]
    wrong = {"url": "http://127.0.0.1/", "place": "oldtwon"}
    found = problems(await client.post("/v1/webhooks", json=wrong))
    assert found.keys() == {"/url", "/place"}
    found = problems(await client.post("/v1/webhooks", json=wrong | {"kind": "supply-runout", "country": "Syria", "within": "yes"}))
    assert found.keys() == {"/place", "/kind", "/country", "/within"}
    assert found["/kind"].endswith("; the nearest: supply_runout")
    assert problems(await client.post("/v1/webhooks", json={"url": "https://a.example/", "within": True})).keys() == {"/within"}


@sqlite_only
async def test_codes_are_refused_with_all_values_and_the_nearest(client: httpx.AsyncClient, reference: Reference) -> None:
    found = problems(await client.post("/v1/sources", json={"slug": "new", "name": "", "type": "Armed actor", "reliability": "g"}))
    assert found.keys() == {"/name", "/type", "/reliability"}
    assert found["/type"].endswith("local_council or witness; the nearest: armed_actor")
    assert found["/reliability"] == "unknown value: use A, B, C, D, E or F"
    found = problems(await client.post("/v1/routes", json={"slug": "new", "name": "New", "mode": "raod", "geometry": {"type": "Dot"}}))
    assert found["/mode"].endswith("sea, river or crossing; the nearest: road")
    assert found.keys() == {"/mode", "/geometry"}
    assert problems(await client.get("/v1/supply-runouts?status=runout"))["?status"].endswith("; the nearest: ran_out")
