"""Situations as the API returns them, for tests of functions that read them."""

from datetime import date, timedelta
from typing import Any

TODAY = date(2016, 8, 10)


def item(**fields: Any) -> dict[str, Any]:
    """Return an item of a situation with the fields that every item has."""
    common = {"place": "a", "agreement": "single", "stated_at": "2016-08-01T00:00:00Z", "stale": False, "source": "s"}
    return common | {"links": {"indicator": "/v1/indicators/1"}} | fields


def trapped(**fields: Any) -> dict[str, Any]:
    """Return 100 trapped people."""
    return item(**{"concept": "trapped", "people": 100, "people_low": None, "people_high": None, "qualifier": None} | fields)


def supply(first: int | None, last: int | None = None, **fields: Any) -> dict[str, Any]:
    """Return a supply that lasts `first` to `last` more days."""
    earliest, latest = (None if each is None else (TODAY + timedelta(days=each)).isoformat() for each in (first, last))
    value = {
        "supply": "food",
        "scope": "all_stock",
        "state": "will_run_out",
        "imminence": None,
        "outcome": "pending",
        "relative_text": None,
    }
    dates = {"due": earliest, "runs_out_earliest": earliest, "runs_out_latest": latest, "days_left": first, "days_left_latest": last}
    return item(**(value | dates | fields))


def route(status: str | None, **fields: Any) -> dict[str, Any]:
    """Return a route in a state."""
    both = {"status": status, "since_earliest": None, "since_latest": None, "passable_by": None} | fields
    directions = {way: both | fields.pop(f"way_{way}", {}) for way in ("in", "out")}
    states = {f"status_{way}": own["status"] for way, own in directions.items()}
    return item(**({"route": "r", "since": None, "directions": directions} | both | states | fields))


def situation(name: str = "A", people: Any = (), supplies: Any = (), routes: Any = (), other: Any = ()) -> dict[str, Any]:
    """Return the situation of a place as of TODAY."""
    return {
        "place": {"slug": name.lower(), "name": name},
        "as_of": f"{TODAY}T00:00:00Z",
        "level": "watch",
        "because": [],
        "set_aside": [],
        "silent_days": 9,
        "dormant": False,
        "children_level": None,
        "trapped": list(people),
        "supplies": list(supplies),
        "routes": {"items": list(routes)},
        "other": list(other),
        "facts": {},
        "contested": [],
        "newest_statement": "2016-08-01T00:00:00Z",
    }
