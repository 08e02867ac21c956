"""Places, sources and routes: create, read, list in pages and filter."""

from typing import Any

import httpx
import pytest

from tests.reference.helpers import assert_rejected
from tests.support.factories import Reference, report
from tests.support.fixtures import mostly_sqlite, sqlite_only

COLLECTIONS: dict[str, dict[str, Any]] = {
    "places": {"slug": "new", "name": "New"},
    "sources": {"slug": "new", "name": "New", "type": "ngo"},
    "routes": {"slug": "new", "name": "New", "mode": "road"},
}


@mostly_sqlite
@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_created_record_is_found_and_never_overwritten(client: httpx.AsyncClient, collection: str) -> None:
    """The body of the 201 is what GET returns at `Location`; the same slug again gets 409 and changes nothing."""
    body = COLLECTIONS[collection]
    added = await client.post(f"/v1/{collection}", json=body)
    assert added.status_code == 201
    at = f"/v1/{collection}/new"
    assert added.headers["location"] == added.json()["links"]["self"] == at
    assert body.items() <= added.json().items()
    assert added.json()["id"][14] == "7"
    again = await client.post(f"/v1/{collection}", json=body | {"name": "Other"})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    found = await client.get(at)
    assert found.json() == added.json()
    listed = (await client.get(f"/v1/{collection}")).json()
    assert listed == {"items": [added.json()], "next": None, "as_of": None, "revision": 1}


@sqlite_only
@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_create_rejects_wrong_slugs_names_and_fields(client: httpx.AsyncClient, reference: Reference, collection: str) -> None:
    path, body = f"/v1/{collection}", COLLECTIONS[collection]
    for slug in (None, 5, "", "a" * 65, "Old", "old town", "old_town", "ål", "a/b", "a:b", "old\n", "..", "a\0"):
        await assert_rejected(client, path, body | {"slug": slug}, "/slug")
    for name in (None, 5, "", "a" * 201, [], "a\0"):
        await assert_rejected(client, path, body | {"name": name}, "/name")
    for field in body:
        await assert_rejected(client, path, {name: value for name, value in body.items() if name != field}, f"/{field}")
    for field in ("id", "created_at", "links"):
        await assert_rejected(client, path, body | {field: "x"}, f"/{field}")
    for malformed in (None, [], [body], "new", 5):
        await assert_rejected(client, path, malformed, "")
    assert (await client.get(f"{path}/new")).status_code == 404


@mostly_sqlite
async def test_places_nest_and_inherit_the_country(client: httpx.AsyncClient, reference: Reference) -> None:
    inner = await reference.add("places", slug="quarter", name="Quarter", parent="oldtown")
    assert (inner["parent"], inner["country"]) == ("oldtown", "SYR")
    other = await reference.add("places", slug="enclave", name="Enclave", parent="pcode:SY02", country="TUR")
    assert (other["parent"], other["country"]) == ("oldtown", "TUR")
    alone = await reference.add("places", slug="alone", name="Alone")
    assert (alone["parent"], alone["country"], alone["codes"], alone["centroid"], alone["geometry"]) == (None, None, [], None, None)

    async def slugs(**params: str) -> list[str]:
        return [item["slug"] for item in (await client.get("/v1/places", params=params)).json()["items"]]

    assert await slugs() == ["country", "oldtown", "quarter", "enclave", "alone"]
    assert await slugs(place="country") == ["country"]
    assert await slugs(place="country", within="true") == ["country", "oldtown", "quarter", "enclave"]
    assert await slugs(place="pcode:SY02", within="true") == ["oldtown", "quarter", "enclave"]
    assert await slugs(place="quarter", within="true") == ["quarter"]
    assert await slugs(country="SYR") == ["country", "oldtown", "quarter"]
    assert await slugs(country="SYR", place="oldtown", within="true") == ["oldtown", "quarter"]
    assert (await client.get("/v1/places", params={"place": "Oldtown"})).status_code == 422
    assert (await client.get("/v1/places", params={"place": "nowhere", "within": True})).status_code == 422
    assert await slugs(bbox="37,36,38,37") == ["oldtown"]
    assert await slugs(bbox="37,34,39,37") == ["country", "oldtown"]
    for parent in ("nowhere", "SY02", "pcode:SY99", "iso:SY02", "new", "", ":"):
        await assert_rejected(client, "/v1/places", {"slug": "new", "name": "New", "parent": parent}, "/parent")
    for country in ("SY", "syr", ""):
        response = await client.get("/v1/places", params={"country": country})
        assert [error["pointer"] for error in response.json()["errors"]] == ["?country"]


async def test_place_is_found_by_a_code_within_its_scheme_only(client: httpx.AsyncClient, reference: Reference) -> None:
    """The same code belongs to another place in another scheme, and to no place without a scheme."""
    far = await reference.add(
        "places", slug="far", name="Far", codes=[{"scheme": "iso", "code": "SY02"}, {"scheme": "geonames", "code": "170063"}]
    )
    assert far["codes"] == [{"scheme": "geonames", "code": "170063"}, {"scheme": "iso", "code": "SY02"}]
    for name, slug in (("pcode:SY02", "oldtown"), ("iso:SY02", "far"), ("geonames:170063", "far")):
        assert (await client.get(f"/v1/places/{name}")).json()["slug"] == slug
        assert (await client.get("/v1/places", params={"place": name})).json()["items"][0]["slug"] == slug
        recorded = await client.post("/v1/reports", json=report(place=name))
        assert recorded.json()["place"] == slug
    unknown = ("SY02", "pcode:sy02", "PCODE:SY02", "pcode:170063", "pcode:SY0", ":SY02")
    for name in unknown:
        assert (await client.get(f"/v1/places/{name}")).status_code == 404, name
    items = (await client.post("/v1/reports", json=[report(place=name) for name in unknown])).json()["items"]
    assert [[error["pointer"] for error in item["problem"]["errors"]] for item in items] == [["/place"]] * len(unknown)
    taken = await client.post("/v1/places", json={"slug": "new", "name": "New", "codes": [{"scheme": "pcode", "code": "SY02"}]})
    assert (taken.status_code, taken.headers["content-type"]) == (409, "application/problem+json")
    assert (await client.get("/v1/places/new")).status_code == 404


@sqlite_only
async def test_create_place_rejects_malformed_codes(client: httpx.AsyncClient) -> None:
    for code, pointer in (
        ("pcode:SY02", ""), ({"code": "SY02"}, "/scheme"), ({"scheme": "pcode"}, "/code"), ({"scheme": "P code", "code": "1"}, "/scheme"),
        ({"scheme": "pcode", "code": ""}, "/code"), ({"scheme": "pcode", "code": "a b"}, "/code"),
        ({"scheme": "pcode", "code": "a:b"}, "/code"),
        ({"scheme": "pcode", "code": 2}, "/code"), ({"scheme": "pcode", "code": "1", "more": 1}, "/more"), (None, ""),
    ):  # fmt: skip
        await assert_rejected(client, "/v1/places", {"slug": "new", "name": "New", "codes": [code]}, f"/codes/0{pointer}")
    for codes in (None, "pcode:1", {"pcode": "1"}):
        await assert_rejected(client, "/v1/places", {"slug": "new", "name": "New", "codes": codes}, "/codes")


@mostly_sqlite
async def test_source_defaults_and_type_filter(client: httpx.AsyncClient) -> None:
    """By default the grade is F, and only an armed actor is a party to the conflict."""
    for at, (sent, reliability, party) in enumerate(
        (
            ({"type": "ngo"}, "F", False),
            ({"type": "armed_actor"}, "F", True),
            ({"type": "armed_actor", "party_to_conflict": False}, "F", False),
            ({"type": "government", "party_to_conflict": True, "reliability": "A"}, "A", True),
            ({"type": "witness", "alias": "A resident", "reliability": "E"}, "E", False),
        )
    ):
        response = await client.post("/v1/sources", json={"slug": f"s{at}", "name": "S", **sent})
        body = response.json()
        assert (response.status_code, body["reliability"], body["party_to_conflict"]) == (201, reliability, party)
        assert body["alias"] == sent.get("alias")
    found = (await client.get("/v1/sources", params={"type": "armed_actor"})).json()["items"]
    assert [item["slug"] for item in found] == ["s1", "s2"]
    assert [error["pointer"] for error in (await client.get("/v1/sources?type=blog")).json()["errors"]] == ["?type"]


@mostly_sqlite
async def test_route_fields_and_mode_filter(client: httpx.AsyncClient) -> None:
    full = {"slug": "crossing", "name": "Crossing", "mode": "crossing", "from": "Reyhanli", "to": "Idleb"}
    recorded = (await client.post("/v1/routes", json=full)).json()
    assert full.items() <= recorded.items()
    assert (recorded["geometry"], recorded["redacted"]) == (None, [])
    bare = (await client.post("/v1/routes", json=COLLECTIONS["routes"])).json()
    assert (bare["from"], bare["to"]) == (None, None)
    assert [item["slug"] for item in (await client.get("/v1/routes?mode=crossing")).json()["items"]] == ["crossing"]
    assert [error["pointer"] for error in (await client.get("/v1/routes?mode=path")).json()["errors"]] == ["?mode"]


INVALID_VALUES: list[tuple[str, str, tuple[Any, ...]]] = [
    ("places", "country", ("SY", "syr", "SYRI", "", 5)),
    ("sources", "type", (None, "", "UN", "blog", 5)),
    ("sources", "reliability", (None, "", "a", "G", 1, "AB")),
    ("sources", "party_to_conflict", (0, 1, "true", "yes", [])),
    ("sources", "alias", ("", 5, "a" * 201)),
    ("routes", "mode", (None, "", "Road", "path", 5)),
    *[("routes", field, ("", 5, "a" * 201)) for field in ("from", "to")],
    *[("routes", field, ("x",)) for field in ("origin", "destination", "from_")],
]


@sqlite_only
async def test_create_rejects_wrong_values_of_each_field(client: httpx.AsyncClient) -> None:
    for collection, field, values in INVALID_VALUES:
        for value in values:
            await assert_rejected(client, f"/v1/{collection}", COLLECTIONS[collection] | {field: value}, f"/{field}")


@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_pages_contain_each_record_once_while_records_are_added(client: httpx.AsyncClient, collection: str) -> None:
    body = COLLECTIONS[collection]
    for number in range(5):
        await client.post(f"/v1/{collection}", json=body | {"slug": f"s{number}"})
    seen: list[str] = []
    path = f"/v1/{collection}?limit=2"
    for number in range(10):
        response = await client.get(path)
        page = response.json()
        seen += [item["slug"] for item in page["items"]]
        if page["next"] is None:
            assert "link" not in response.headers
            break
        assert len(page["items"]) == 2
        path = response.links["next"]["url"]
        await client.post(f"/v1/{collection}", json=body | {"slug": f"t{number}"} if number < 2 else body | {"slug": "s0"})
    assert seen == [*(f"s{number}" for number in range(5)), "t0", "t1"]
    for query, name in (("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor"), ("cursor=", "cursor")):
        response = await client.get(f"/v1/{collection}?{query}")
        assert [error["pointer"] for error in response.json()["errors"]] == [f"?{name}"], query


@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_list_and_record_get_304_until_they_change(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, collection: str) -> None:
    await client.post(f"/v1/{collection}", json=COLLECTIONS[collection])
    for reader, control in ((client, "private"), (anonymous, "public")):
        for path in (f"/v1/{collection}", f"/v1/{collection}/new"):
            response = await reader.get(path)
            assert response.headers["cache-control"].startswith(control)
            held = {"If-None-Match": response.headers["etag"]}
            assert (await reader.get(path, headers=held)).status_code == 304
    all_records, one = f"/v1/{collection}", f"/v1/{collection}/new"
    tags = {path: (await anonymous.get(path)).headers["etag"] for path in (all_records, one)}
    await client.post(f"/v1/{collection}", json=COLLECTIONS[collection] | {"slug": "newer"})
    assert (await anonymous.get(all_records, headers={"If-None-Match": tags[all_records]})).status_code == 200
    assert (await anonymous.get(one, headers={"If-None-Match": tags[one]})).status_code == 304
