"""Tests of lists of indicators: pages, cursors, conditional requests and cache headers."""

import httpx
import pytest

from app.domain.tlp import Label
from tests.support.factories import SEEDED, Reference, listed, report
from tests.support.fixtures import MakeClient, sqlite_only

VIEWS = {"trapped_population": "/v1/trapped-populations", "supply_runout": "/v1/supply-runouts", "route_closure": "/v1/route-closures"}


async def add_many(client: httpx.AsyncClient, reference: Reference, *slugs: str) -> list[str]:
    """Add places with indicators of three concepts; return the identifiers of the indicators."""
    for slug in slugs:
        await reference.add("places", slug=slug, name=slug)
    concepts = ("trapped", "besieged", "in_need")
    answer = await client.post(
        "/v1/reports", json=[report(place=slug, value={"concept": concept}) for slug in slugs for concept in concepts]
    )
    return [item["indicator"] for item in answer.json()["items"]]


@pytest.mark.parametrize("limit", [1, 4, 12])
async def test_pages_have_each_indicator_once_while_reports_arrive(client: httpx.AsyncClient, reference: Reference, limit: int) -> None:
    """`next` and Link keep the filters; reports that arrive between two pages do not shift the order."""
    first = await add_many(client, reference, "p1", "p2", "p3", "p4")
    await client.post("/v1/reports", json=report("supply_runout"))
    seen: list[str] = []
    added: list[str] = []
    path = f"/v1/indicators?kind=trapped_population&limit={limit}&agreement=single"
    for number in range(40):
        answer = await client.get(path)
        page = answer.json()
        assert page.keys() == {"items", "next", "as_of", "revision"}
        seen += [item["id"] for item in page["items"]]
        assert {item["kind"] for item in page["items"]} <= {"trapped_population"}
        if page["next"] is None:
            assert "link" not in answer.headers
            break
        assert len(page["items"]) == limit
        assert answer.headers["link"].endswith('>; rel="next"')
        path = answer.links["next"]["url"]
        assert httpx.URL(path).params["cursor"] == page["next"]
        assert httpx.URL(path).params["agreement"] == "single"
        if number < 2:
            added += await add_many(client, reference, f"new{number}")
            await client.post("/v1/reports", json=report(place="p1", stated_at=f"2016-08-0{number + 1}", value={"people": number}))
    assert len(seen) == len(set(seen))
    assert set(first) <= set(seen) <= set(first) | set(added)


async def test_last_page_has_no_next(client: httpx.AsyncClient, reference: Reference) -> None:
    """This is so even if the page is full."""
    await add_many(client, reference, "p1")
    assert (await client.get("/v1/indicators?limit=3")).json()["next"] is None
    page = (await client.get("/v1/indicators?limit=2")).json()
    rest = (await client.get("/v1/indicators", params={"limit": 2, "cursor": page["next"]})).json()
    assert (len(rest["items"]), rest["next"]) == (1, None)


async def test_cursor_of_another_list_is_rejected(client: httpx.AsyncClient, reference: Reference) -> None:
    await add_many(client, reference, "p1")
    changes = (await client.get("/v1/changes?limit=1")).json()["next"]
    answer = await client.get("/v1/indicators", params={"cursor": changes})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["?cursor"]
    lists = {"/v1/indicators", "/v1/reports", "/v1/situations", "/v1/places", "/v1/sources", "/v1/routes", "/v1/keys"}
    for path in ("/v1/indicators", "/v1/reports", "/v1/places"):
        cursor = (await client.get(path, params={"limit": 1})).json()["next"]
        for other in lists:
            answer = await client.get(other, params={"cursor": cursor})
            assert answer.status_code == (200 if other == path else 422), (path, other, answer.text)


async def test_page_has_the_list_envelope(client: httpx.AsyncClient, reference: Reference) -> None:
    """The envelope has items, next, `as_of` of the request and the revision."""
    for path in ("/v1/indicators", *VIEWS.values()):
        assert (await client.get(path)).json() == {"items": [], "next": None, "as_of": None, "revision": SEEDED}
    await client.post("/v1/reports", json=[report(), report("supply_runout")])
    for path in ("/v1/indicators", *VIEWS.values()):
        body = (await client.get(path, params={"as_of": "2016-08-01"})).json()
        assert (body["as_of"], body["revision"], body["next"]) == ("2016-08-01", SEEDED + 2, None)
        for item in body["items"]:
            assert listed((await client.get(item["links"]["self"], params={"as_of": "2016-08-01"})).json(), item) == item
    assert (await client.get("/v1/indicators?as_of=2016-08-01T12:00:00%2B02:00")).json()["as_of"] == "2016-08-01T10:00:00Z"


@sqlite_only
@pytest.mark.parametrize("path", ["/v1/indicators", *VIEWS.values()])
async def test_conditional_request_returns_304_if_unchanged(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, path: str
) -> None:
    """A list of tags, a weak tag and `*` are understood; a new report changes the strong ETag."""
    sent = [report(), report("supply_runout"), report("route_closure")]
    await client.post("/v1/reports", json=sent)
    first = await anonymous.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    for held in (tag, f"W/{tag}", f'"a", {tag}', f'{tag},"b"', f'W/"a" , W/{tag}', "*"):
        answer = await anonymous.get(path, headers={"If-None-Match": held})
        assert (answer.status_code, answer.content) == (304, b""), held
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == first.headers["cache-control"]
    for held in ('"a"', f'"{tag[2:-2]}"', '""', ""):
        assert (await anonymous.get(path, headers={"If-None-Match": held})).status_code == 200, held
    await client.post("/v1/reports", json=[body | {"source": "envoy"} for body in sent])
    fresh = await anonymous.get(path, headers={"If-None-Match": tag})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != tag
    # Caches must not keep errors.
    assert (await anonymous.get(f"{path}?limit=0", headers={"If-None-Match": "*"})).status_code == 422


@sqlite_only
async def test_response_has_cache_headers_of_its_caller(
    anonymous: httpx.AsyncClient, client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """Private with any key, even one that sees only public reports; public without a key; Vary separates them."""
    made = (await client.post("/v1/reports", json=report())).json()
    lowly = await make_client(clearance=Label.CLEAR)
    for path in ("/v1/indicators", *VIEWS.values(), f"/v1/indicators/{made['indicator']}", f"/v1/indicators/{made['indicator']}/history"):
        for reader, control in ((anonymous, "public"), (lowly, "private"), (client, "private")):
            for _ in range(2):
                answer = await reader.get(path)
                assert control in answer.headers["cache-control"].split(", ")
                assert "authorization" in answer.headers["vary"].lower()
        assert (await anonymous.get(path)).content == (await lowly.get(path)).content
