"""Lists of indicators: every filter picks what it says, every page holds each indicator once, every answer can be asked for again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import FULL, MakeClient, sqlite_only

TODAY = datetime.now(UTC).date().isoformat()
VIEWS = {"trapped_population": "/v1/trapped-populations", "supply_runout": "/v1/supply-runouts", "route_closure": "/v1/route-closures"}
TOPICS = {"trapped_population": "concept", "supply_runout": "supply", "route_closure": "route"}
REPORTS: dict[str, dict[str, Any]] = {
    "trapped": report(source="agency"),
    "besieged": report(value={"concept": "besieged"}, source="monitor"),
    "country": report(place="country", source="unknown"),
    "food": report("supply_runout", source="army"),
    "water": report("supply_runout", {"supply": "water", "state": "ran_out"}, source="envoy", stated_at=TODAY),
    "agency food": report("supply_runout", {"scope": "agency_stock", "state": "low"}, source="agency"),
    "north": report("route_closure", source="agency"),
    "south": report("route_closure", {"route": "south-road", "status": "open"}, source="envoy", place="pacific-west"),
    "east": report(source="outlet", place="pacific-east"),
    "unplaced": report(source="agency", place="unplaced"),
}


@pytest.fixture
async def named(client: httpx.AsyncClient, reference: Reference) -> dict[str, str]:
    """Indicators by a name of ours: different kinds, places, grades and states; two of them are read from two sources."""
    await reference.add("places", slug="pacific-west", name="West of the line", country="FJI", centroid=[179.5, -17.0])
    await reference.add("places", slug="pacific-east", name="East of the line", country="WSM", centroid=[-172.0, -13.8])
    await reference.add("places", slug="unplaced", name="Somewhere")
    await client.post("/v1/sources", json={"slug": "poor", "name": "Poor", "type": "media", "reliability": "E"})
    second = [report(source="envoy", value={"people": 290000}), report("route_closure", {"status": "open"}, source="poor")]
    bodies = [*REPORTS.values(), *second]
    items = []
    # What is recorded at one time is one list.
    for start in range(0, len(bodies), 4):
        items += await post_all(client, *bodies[start : start + 4])
    found = dict(zip((item["indicator"] for item in items), REPORTS, strict=False))
    assert len(found) == len(REPORTS)
    return found


async def names(client: httpx.AsyncClient, named: dict[str, str], path: str = "/v1/indicators", **params: Any) -> set[str]:
    """Our names of the indicators that a list answers, each listed once."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found = [named[item["id"]] for item in answer.json()["items"]]
    assert len(found) == len(set(found))
    return set(found)


EVERY = set(REPORTS)
FILTERS: list[tuple[dict[str, str], set[str]]] = [
    ({}, EVERY),
    ({"kind": "trapped_population"}, {"trapped", "besieged", "country", "east", "unplaced"}),
    ({"kind": "supply_runout"}, {"food", "water", "agency food"}),
    ({"kind": "route_closure"}, {"north", "south"}),
    ({"place": "oldtown"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"place": "pcode:SY02"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"place": "country"}, {"country"}),
    ({"place": "country", "within": "true"}, {"trapped", "besieged", "country", "food", "water", "agency food", "north"}),
    ({"place": "country", "within": "false"}, {"country"}),
    ({"place": "SY02"}, set()),
    ({"place": "pcode:sy02"}, set()),
    ({"place": "OLDTOWN"}, set()),
    ({"place": "old"}, set()),
    ({"place": "%"}, set()),
    ({"place": "nowhere", "within": "true"}, set()),
    ({"country": "SYR"}, {"trapped", "besieged", "country", "food", "water", "agency food", "north"}),
    ({"country": "FJI"}, {"south"}),
    ({"country": "LBN"}, set()),
    ({"source": "agency"}, {"agency food", "north", "unplaced"}),
    # Equal grades and times: the later recorded is preferred.
    ({"source": "envoy"}, {"trapped", "water", "south"}),
    ({"source": "army"}, {"food"}),
    ({"source": "nobody"}, set()),
    ({"concept": "trapped"}, {"trapped", "country", "east", "unplaced"}),
    ({"concept": "besieged"}, {"besieged"}),
    ({"supply": "food"}, {"food", "agency food"}),
    ({"supply": "water"}, {"water"}),
    ({"supply": "fuel"}, set()),
    ({"route": "north-road"}, {"north"}),
    ({"route": "no-road"}, set()),
    ({"status": "closed"}, {"north"}),
    ({"status": "open"}, {"south"}),
    ({"status": "ran_out"}, {"water"}),
    ({"status": "low"}, {"agency food"}),
    ({"status": "restricted"}, set()),
    ({"agreement": "contested"}, {"trapped", "north"}),
    ({"agreement": "single"}, EVERY - {"trapped", "north"}),
    ({"agreement": "unconfirmed"}, set()),
    ({"min_reliability": "A"}, set()),
    ({"min_reliability": "B"}, {"trapped", "water", "agency food", "north", "south", "unplaced"}),
    ({"min_reliability": "C"}, EVERY - {"country", "food"}),
    # F is unknown, not worst: below C, above D.
    ({"min_reliability": "F"}, EVERY - {"food"}),
    ({"min_reliability": "D"}, EVERY),
    ({"min_reliability": "E"}, EVERY),
    ({"stale": "true"}, EVERY - {"water"}),
    ({"stale": "false"}, {"water"}),
    ({"updated_since": "2016-01-01"}, EVERY),
    ({"updated_since": TODAY}, EVERY),
    ({"updated_since": "2999-01-01T00:00:00Z"}, set()),
    ({"bbox": "36,35.5,38,37"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"bbox": "37.19,36.2,37.19,36.2"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"bbox": "-180,-90,180,90"}, EVERY - {"unplaced"}),
    ({"bbox": "0,0,1,1"}, set()),
    ({"bbox": "170,-20,180,-10"}, {"south"}),
    ({"bbox": "-180,-20,-170,-10"}, {"east"}),
    # West above east crosses the antimeridian (RFC 7946, 5.2).
    ({"bbox": "170,-20,-170,-10"}, {"south", "east"}),
    ({"bbox": "179.9,-20,-170,-10"}, {"east"}),
    ({"kind": "trapped_population", "place": "oldtown", "agreement": "single"}, {"besieged"}),
    ({"kind": "supply_runout", "route": "north-road"}, set()),
    ({"place": "oldtown", "country": "FJI"}, set()),
    ({"source": "agency", "status": "low", "supply": "food", "min_reliability": "B", "stale": "true"}, {"agency food"}),
]


async def test_each_filter_picks_what_it_says(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    """In the list of all, and in the typed views as far as they take it, where the same are picked of that kind.

    Each filter is tried on one typed view, with LIFELINE_TEST_FULL=1 on all.
    """
    unlike = []
    kinds = {name: REPORTS[name]["kind"] for name in REPORTS}
    for at, (params, expected) in enumerate(FILTERS):
        found = await names(client, named, **params)
        if found != expected:
            unlike.append(f"{params}: {sorted(found)}, not {sorted(expected)}")
        views = [kind for kind in VIEWS if not params.keys() & {"kind", "status", *TOPICS.values()} - {TOPICS[kind]}]
        for kind in views if FULL or not views else [views[at % len(views)]]:
            path = VIEWS[kind]
            found = await names(client, named, path, **params)
            if found != {name for name in expected if kinds[name] == kind}:
                unlike.append(f"{path} {params}: {sorted(found)}")
    assert not unlike, "\n".join(unlike)


async def test_the_typed_views_know_the_states_of_their_kind(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    assert await names(client, named, VIEWS["supply_runout"], status="ran_out") == {"water"}
    assert await names(client, named, VIEWS["route_closure"], status="closed") == {"north"}
    for kind, status in (("supply_runout", "closed"), ("route_closure", "ran_out"), ("trapped_population", "closed")):
        answer = await client.get(VIEWS[kind], params={"status": status})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["?status"], kind


async def test_updated_since_is_to_the_microsecond_and_includes_its_own(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    """What was recorded at or after the time; a new report on an old indicator brings it back."""
    recorded = {named[item["id"]]: item["recorded_at"] for item in (await client.get("/v1/indicators")).json()["items"]}
    assert len(set(recorded.values())) == 3
    later = ""
    for at in sorted(set(recorded.values())):
        assert await names(client, named, updated_since=at) == {name for name in recorded if recorded[name] >= at}
        later = (datetime.fromisoformat(at) + timedelta(microseconds=1)).isoformat()
        assert await names(client, named, updated_since=later) == {name for name in recorded if recorded[name] > at}
    await client.post("/v1/reports", json=REPORTS["besieged"] | {"stated_at": "2016-07-29"})
    assert await names(client, named, updated_since=later) == {"besieged"}


WRONG: list[tuple[str, str]] = [
    *[("bbox", value) for value in (
        "", "36,35,38", "36,35,38,37,1", "a,b,c,d", "36;35;38;37", "36,37,38,35", "-181,0,0,1", "0,0,181,1", "0,-91,1,1", "0,0,1,91",
        "nan,0,1,1", "0,0,inf,1", "3_6,35,38,37", "\u0663\u0666,35,38,37", "36,35,38,", "[36,35,38,37]",
    )],
    *[("limit", value) for value in ("0", "-1", "1001", "", "x", "1.5", "1e2", "\u0661", "99999999999999999999")],
    *[("cursor", value) for value in (
        "", "x", "0", "null", "AAAA", "A" * 200, "a" * 201, "../x", "é", "eyJpZCI6MX0=", "AhIAAAAAAAAAAA",
        "019f0000-0000-7000-8000-000000000000"
    )],
    *[("min_reliability", value) for value in ("", "b", "G", "AB", "1")],
    *[("agreement", value) for value in ("", "disputed", "Single")],
    *[("kind", value) for value in ("", "trapped", "trapped-populations")],
    *[("concept", value) for value in ("", "people")],
    *[("supply", value) for value in ("", "bread", "food.agency_stock")],
    *[("route", value) for value in ("", "North Road", "a" * 65)],
    *[("source", value) for value in ("", "The Agency", "a" * 65)],
    *[("status", value) for value in ("", "shut")],
    *[("stale", value) for value in ("", "maybe", "2")],
    *[("within", value) for value in ("", "maybe")],
    *[("country", value) for value in ("", "SY", "syr", "SYRIA")],
    *[("place", value) for value in ("a" * 101, "a\0")],
    *[(name, value) for name in ("updated_since", "as_of", "known_at") for value in (
        "", "yesterday", "2016-02-30", "2016-07-28T09:30:00", "1469664000", "2016", "0000-01-01", "2016-07-28T09:30:00+25:00",
    )],
]  # fmt: skip


@sqlite_only
async def test_a_filter_that_makes_no_sense_is_refused_by_name(client: httpx.AsyncClient) -> None:
    unlike = []
    for name, value in WRONG:
        answer = await client.get("/v1/indicators", params={name: value})
        problem = answer.headers["content-type"] == "application/problem+json"
        if answer.status_code != 422 or not problem or [error["pointer"] for error in answer.json()["errors"]] != [f"?{name}"]:
            unlike.append(f"{name}={value[:40]!r}: {answer.status_code} {answer.text[:150]}")
    assert not unlike, "\n".join(unlike)


async def add_many(client: httpx.AsyncClient, reference: Reference, *slugs: str) -> list[str]:
    """Indicators on three concepts in places of their own; their identifiers."""
    for slug in slugs:
        await reference.add("places", slug=slug, name=slug)
    concepts = ("trapped", "besieged", "in_need")
    answer = await client.post(
        "/v1/reports", json=[report(place=slug, value={"concept": concept}) for slug in slugs for concept in concepts]
    )
    return [item["indicator"] for item in answer.json()["items"]]


@pytest.mark.parametrize("limit", [1, 4, 12])
async def test_pages_hold_each_indicator_once_while_more_come(client: httpx.AsyncClient, reference: Reference, limit: int) -> None:
    """By `next` and by Link alike, with the filters kept; reports that come between two pages move nothing about."""
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


async def test_the_last_page_is_known_to_be_the_last(client: httpx.AsyncClient, reference: Reference) -> None:
    """A page that just fits has no next: nobody is sent for an empty one."""
    await add_many(client, reference, "p1")
    assert (await client.get("/v1/indicators?limit=3")).json()["next"] is None
    page = (await client.get("/v1/indicators?limit=2")).json()
    rest = (await client.get("/v1/indicators", params={"limit": 2, "cursor": page["next"]})).json()
    assert (len(rest["items"]), rest["next"]) == (1, None)


async def test_a_cursor_of_another_list_is_refused(client: httpx.AsyncClient, reference: Reference) -> None:
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


async def test_envelope(client: httpx.AsyncClient, reference: Reference) -> None:
    """Items, next, the request's as_of, the ledger's head; empty before anything was said."""
    for path in ("/v1/indicators", *VIEWS.values()):
        assert (await client.get(path)).json() == {"items": [], "next": None, "as_of": None, "revision": 0}
    await client.post("/v1/reports", json=[report(), report("supply_runout")])
    for path in ("/v1/indicators", *VIEWS.values()):
        body = (await client.get(path, params={"as_of": "2016-08-01"})).json()
        assert (body["as_of"], body["revision"], body["next"]) == ("2016-08-01", 2, None)
        for item in body["items"]:
            assert (await client.get(item["links"]["self"], params={"as_of": "2016-08-01"})).json().items() >= item.items()
    assert (await client.get("/v1/indicators?as_of=2016-08-01T12:00:00%2B02:00")).json()["as_of"] == "2016-08-01T10:00:00Z"


@sqlite_only
@pytest.mark.parametrize("path", ["/v1/indicators", *VIEWS.values()])
async def test_conditional_requests(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference, path: str) -> None:
    """A strong ETag of the bytes; a list of tags, a weak one and `*` are understood; whoever holds the old one gets the new."""
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
    # An error is no state to hold on to.
    assert (await anonymous.get(f"{path}?limit=0", headers={"If-None-Match": "*"})).status_code == 422


@sqlite_only
async def test_caches_are_told_whose_answer_it_is(
    anonymous: httpx.AsyncClient, client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """Private with any key, even one that sees no more than the public; public without; and Vary keeps them apart."""
    made = (await client.post("/v1/reports", json=report())).json()
    lowly = await make_client(clearance=Label.CLEAR)
    for path in ("/v1/indicators", *VIEWS.values(), f"/v1/indicators/{made['indicator']}", f"/v1/indicators/{made['indicator']}/history"):
        for reader, control in ((anonymous, "public"), (lowly, "private"), (client, "private")):
            for _ in range(2):
                answer = await reader.get(path)
                assert control in answer.headers["cache-control"].split(", ")
                assert "authorization" in answer.headers["vary"].lower()
        assert (await anonymous.get(path)).content == (await lowly.get(path)).content
