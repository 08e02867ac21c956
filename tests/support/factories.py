"""Reports and reference data as clients send them."""

from typing import Any

import httpx

from app.access.principal import Principal
from app.domain.tlp import MAX_LEVEL
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.service import add_place, add_route, add_source
from app.settings import Settings
from app.storage.database import Database

VALUES: dict[str, dict[str, Any]] = {
    "trapped_population": {"concept": "trapped", "people": 300000},
    "supply_runout": {"supply": "food", "in_days_min": 14, "in_days_max": 21},
    "route_closure": {"route": "north-road", "status": "closed"},
    "aid_delivery": {"operation": "convoy-7", "stage": "planned", "on_earliest": "2016-07-27", "planned_for": 80000},
    "population_movement": {"movement": "evacuated", "since": "2016-07-15", "people": 10000},
    "service_status": {"service": "hospital", "state": "partly_working", "working": 6, "known": 9},
}


def report(kind: str = "trapped_population", value: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a valid report labelled `clear`; `value` overrides the kind's usual value, `more` overrides the report."""
    # A supply that ran out did so already, so the usual days until it does do not go with that state.
    usual = {"supply": "food"} if kind == "supply_runout" and (value or {}).get("state") == "ran_out" else VALUES[kind]
    body: dict[str, Any] = {
        "kind": kind,
        "place": "oldtown",
        "source": "agency",
        "stated_at": "2016-07-28",
        "value": usual | (value or {}),
        "sensitivity": "clear",
    }
    return body | more


async def post(client: httpx.AsyncClient, path: str = "/v1/reports", **body: Any) -> dict[str, Any]:
    """Create one record, by default a report, and return it."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def listed(detail: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """Return an indicator by its own path as lists show it: with the fields of an item, and without the reports that decide."""
    assessment = {name: each for name, each in detail["assessment"].items() if name != "deciding"}
    return {name: detail[name] for name in item} | {"assessment": assessment}


async def post_all(client: httpx.AsyncClient, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
    """Post new reports as one list, recorded at the same time, and return their outcomes."""
    answer = await client.post("/v1/reports", json=bodies)
    items: list[dict[str, Any]] = answer.json()["items"]
    assert [item["status"] for item in items] == [201] * len(bodies), answer.text
    return items


PLACES: list[dict[str, Any]] = [
    {"slug": "country", "name": "Country", "country": "SYR", "centroid": [38.0, 35.0]},
    {
        "slug": "oldtown",
        "name": "Old town",
        "parent": "country",
        "centroid": [37.19, 36.2],
        "codes": [{"scheme": "pcode", "code": "SY02"}],
    },
]
# Sources of several grades; two are parties to the conflict.
SOURCES: list[dict[str, Any]] = [
    {"slug": slug, "name": slug.title(), "type": type_, "reliability": grade, "party_to_conflict": party}
    for slug, type_, grade, party in (
        ("agency", "un", "B", False),
        ("envoy", "un", "B", False),
        ("monitor", "monitor", "C", False),
        ("unknown", "ngo", "F", False),
        ("army", "government", "D", True),
        ("rebels", "armed_actor", "D", True),
        ("outlet", "media", "C", False),
        ("neighbour", "witness", "F", False),
    )
]
ROUTES: list[dict[str, Any]] = [
    {
        "slug": slug,
        "name": slug,
        "mode": "road",
        "geometry": {"type": "LineString", "coordinates": [[37.0812, 36.2634], [37.1623, 36.2441]]},
    }
    for slug in ("north-road", "south-road")
]


# Entries of the ledger of a database with the basic reference data.
SEEDED = len(PLACES) + len(SOURCES) + len(ROUTES)


async def seed(url: str) -> None:
    """Add the basic reference data to a migrated database: two nested places, eight sources, two routes."""
    database = Database(Settings(database_url=url))
    try:
        async with database.write() as session:
            author = Principal(level=MAX_LEVEL, organisation="test")
            for place in PLACES:
                await add_place(session, author, PlaceIn.model_validate(place))
            for source in SOURCES:
                await add_source(session, author, SourceIn.model_validate(source))
            for route in ROUTES:
                await add_route(session, author, RouteIn.model_validate(route))
    finally:
        await database.close()


class Reference:
    """Reference data, added over HTTP."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def add(self, collection: str, **body: Any) -> dict[str, Any]:
        """Add a record and return it."""
        answer = await self.client.post(f"/v1/{collection}", json=body)
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added
