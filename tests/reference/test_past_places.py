"""Filters on places show the past as it was known: the tree, codes, countries and geometries of then."""

import re
from random import Random

import httpx

from tests.ledger.helpers import all_changes
from tests.reference.test_changes import patch
from tests.support.factories import Reference, post, report
from tests.support.fixtures import sqlite_only

LISTS = ("places", "reports", "indicators", "supply-runouts", "situations", "warnings", "reports.csv", "indicators.geojson")
SITES = [f"site-{number}" for number in range(6)]


async def add_site(client: httpx.AsyncClient, slug: str, state: str = "will_run_out", **more: object) -> None:
    """Add a place with a statement that each list shows."""
    await post(client, "/v1/places", slug=slug, name=slug.upper(), **more)
    days = {"in_days_min": 14} if state == "will_run_out" else {}
    await post(client, **report("supply_runout", {"supply": "food", "state": state, **days}, place=slug))


async def shown(client: httpx.AsyncClient, path: str, **params: str) -> set[str]:
    """Return the slugs of the places that a list shows."""
    answer = await client.get(f"/v1/{path}", params={"unresolved": "true"} | params if path == "warnings" else params)
    assert answer.status_code == 200, answer.text
    return set(re.findall(r'(?:slug":"|"place":"|,)(site-\d)', answer.text))


async def last_recorded_at(client: httpx.AsyncClient) -> str:
    """Return the time of the last entry."""
    recorded: str = (await all_changes(client))[-1]["recorded_at"]
    return recorded


async def situation(client: httpx.AsyncClient, slug: str, **params: str) -> tuple[str | None, set[str]]:
    """Return the worst level below a place, and the places whose supplies its situation has with those below."""
    one = (await client.get(f"/v1/situations/{slug}", params={"within": "true"} | params)).json()
    return one["children_level"], {each["place"] for each in one["supplies"]}


@sqlite_only
async def test_moved_places_are_found_where_they_were_known_to_be(client: httpx.AsyncClient, reference: Reference) -> None:
    """Each answer is given again for `known_at`, after places have moved up, down and across with what they contain."""
    draw = Random(20)
    for number, slug in enumerate(SITES):
        await add_site(client, slug, draw.choice(["will_run_out", "ran_out"]), parent=draw.choice([None, *SITES[:number]]))
    lists: dict[tuple[str, str, str], set[str]] = {}
    situations: dict[tuple[str, str], tuple[str | None, set[str]]] = {}
    for _ in range(3):
        known = await last_recorded_at(client)
        for slug in SITES:
            lists |= {(known, path, slug): await shown(client, path, place=slug, within="true") for path in draw.sample(LISTS, 1)}
            situations[known, slug] = await situation(client, slug)
        moved = 0
        while moved < 3:
            parent = draw.choice([None, *SITES])
            moved += (await client.patch(f"/v1/places/{draw.choice(SITES)}", json={"parent": parent})).status_code == 200
    for (known, path, slug), then in lists.items():
        assert await shown(client, path, place=slug, within="true", known_at=known) == then, (known, path, slug)
    for (known, slug), was in situations.items():
        assert await situation(client, slug, known_at=known) == was, (known, slug)
    assert len({tuple(sorted(places)) for _, places in situations.values()}) > len(SITES)


async def test_codes_countries_and_boxes_are_those_known_then(client: httpx.AsyncClient, reference: Reference) -> None:
    """A code that has gone to another place names the one that had it, and what was below it; before and between it named none."""
    old, new, below = SITES[:3]
    code = {"scheme": "pcode", "code": "XX01"}
    before = await last_recorded_at(client)
    await add_site(client, old, codes=[code], country="SYR", centroid=[37.0, 36.0])
    await add_site(client, new, country="TUR", centroid=[10.0, 10.0])
    await add_site(client, below, parent=old, centroid=[37.0, 36.0])
    known = await last_recorded_at(client)
    await patch(client, f"places/{old}", codes=[], country="TUR", centroid=[10.0, 10.0])
    between = await last_recorded_at(client)
    await patch(client, f"places/{new}", codes=[code], country="SYR")
    await patch(client, f"places/{below}", parent=new, country="SYR")
    # A code that no place has now.
    after = await last_recorded_at(client)
    await patch(client, f"places/{new}", codes=[])
    assert await shown(client, "reports", place="pcode:XX01", known_at=after) == {new}
    assert await shown(client, "reports", place="pcode:XX01", known_at=after, status="retracted") == set()
    assert (await client.get("/v1/reports", params={"place": "pcode:XX01"})).status_code == 422
    await patch(client, f"places/{new}", codes=[code])
    for path in LISTS:
        for at, named, inside in (({"known_at": known}, {old}, {old, below}), ({}, {new}, {new, below})):
            assert await shown(client, path, place="pcode:XX01", **at) == named, (path, at)
            assert await shown(client, path, place="pcode:XX01", within="true", **at) == inside, (path, at)
            assert await shown(client, path, country="SYR", **at) == inside, (path, at)
        for at_none in (before, between):
            assert await shown(client, path, place="pcode:XX01", known_at=at_none) == set(), (path, at_none)
        if "." not in path:
            answer = await client.get(f"/v1/{path}", params={"place": "pcode:XX02", "known_at": known})
            assert answer.status_code == 422, path
    for path in ("places", "reports", "indicators"):
        assert await shown(client, path, bbox="36,35,38,37") == {below}
        assert await shown(client, path, bbox="36,35,38,37", known_at=known) == {old, below}
    for path in ("places", "situations"):
        answer = await client.get(f"/v1/{path}/pcode:XX01", params={"known_at": known})
        assert answer.json().get("place", answer.json())["slug"] == old
        assert (await client.get(f"/v1/{path}/pcode:XX01", params={"known_at": between})).status_code == 404
