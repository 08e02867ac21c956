"""Statements told over HTTP in a line each, and what the service makes of them."""

from typing import Any

import httpx

from tests.support.factories import post

KIND_OF = {
    "concept": "trapped_population",
    "supply": "supply_runout",
    "status": "route_closure",
    "operation": "aid_delivery",
    "movement": "population_movement",
    "service": "service_status",
}
PROVENANCE = ("via", "directness", "relays", "origin", "method", "credibility", "published_at")


def statement(source: str, stated_at: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a report as sent, with credibility 3; provenance fields and fields of the report are given by name."""
    kind = next(kind for name, kind in KIND_OF.items() if name in value)
    provenance = {"credibility": 3} | {name: more.pop(name) for name in PROVENANCE if name in more}
    body = {"kind": kind, "place": "oldtown", "source": source, "stated_at": stated_at, "value": value, "sensitivity": "clear"}
    return body | more | {"provenance": provenance}


def people(figure: int | None = None, qualifier: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a value of trapped people."""
    value = {"concept": "trapped", "people": figure, "qualifier": qualifier} | more
    return {name: each for name, each in value.items() if each is not None}


def food(state: str = "will_run_out", days: tuple[int, int] | None = None, **more: Any) -> dict[str, Any]:
    """Return a value of food; `days` counts from the statement."""
    counted = {} if days is None else {"in_days_min": days[0], "in_days_max": days[1]}
    return {"supply": "food", "state": state} | counted | more


def road(status: str, route: str = "north-road", **more: Any) -> dict[str, Any]:
    """Return a value of a route."""
    return {"route": route, "status": status} | more


async def say(client: httpx.AsyncClient, source: str, stated_at: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Record a statement and return the report."""
    return await post(client, **statement(source, stated_at, value, **more))


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> dict[str, Any]:
    """Return a document."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def assessed(client: httpx.AsyncClient, report: dict[str, Any], **params: Any) -> dict[str, Any]:
    """Return the indicator of a report, with the relation or reason of every report on it by identifier under `relations`."""
    found = await get(client, f"/v1/indicators/{report['indicator']}", **params)
    found["relations"] = {each["id"]: each["relation"] for each in found["reports"]}
    found["relations"] |= {each["id"]: each["reason"] for each in found["left_out"]}
    return found


async def outcome(client: httpx.AsyncClient, warning: dict[str, Any], evidence: dict[str, Any], what: str) -> None:
    """Record the outcome of a warning."""
    body = {"outcome": what, "reason": "it was seen", "report": evidence["id"]}
    await post(client, f"/v1/indicators/{warning['indicator']}/outcome", **body)


async def due(client: httpx.AsyncClient, as_of: str, **params: Any) -> list[tuple[str, str | None]]:
    """Return the supply and due date of each warning."""
    items = (await get(client, "/v1/warnings", as_of=as_of, **params))["items"]
    return [(each["indicator"]["subject"], each["due"]) for each in items]


async def situation(client: httpx.AsyncClient, as_of: str, place: str = "oldtown") -> dict[str, Any]:
    """Return the situation of a place."""
    return await get(client, f"/v1/situations/{place}", as_of=as_of)


def range_of(found: dict[str, Any]) -> tuple[Any, ...]:
    """Return the figure and the range of people."""
    return tuple(found["value"][name] for name in ("people", "people_low", "people_high"))


def dates_of(found: dict[str, Any]) -> tuple[Any, ...]:
    """Return the state and dates of a supply."""
    return tuple(found["value"][name] for name in ("state", "runs_out_earliest", "runs_out_latest"))


def states_of(found: dict[str, Any]) -> tuple[Any, ...]:
    """Return the status of a route, of its way in and of its way out."""
    # Nothing is known of a way on which nothing leads.
    directions = found["value"]["directions"] or {}
    return found["value"]["status"], *((directions.get(way) or {}).get("status") for way in ("in", "out"))
