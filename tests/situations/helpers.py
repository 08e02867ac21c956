"""Warnings, outcomes and track records over HTTP."""

from typing import Any

import httpx

from tests.support.factories import post, report


def warning_of(supply: str, first: str | None, last: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a report that a supply runs out between two days."""
    value: dict[str, Any] = {"supply": supply, "in_days_min": None, "in_days_max": None}
    body = report("supply_runout", value | {"runs_out_earliest": first, "runs_out_latest": last or first} | more.pop("value", {}), **more)
    body["value"] = {name: each for name, each in body["value"].items() if each is not None}
    return body


async def warn(client: httpx.AsyncClient, supply: str, first: str | None, last: str | None = None, **more: Any) -> dict[str, Any]:
    """Create such a report."""
    return await post(client, **warning_of(supply, first, last, **more))


async def set_outcome(client: httpx.AsyncClient, warning: dict[str, Any], outcome: str, evidence: dict[str, Any]) -> dict[str, Any]:
    """Record the outcome of a warning."""
    body = {"outcome": outcome, "reason": "it was seen", "report": evidence["id"]}
    return await post(client, f"/v1/indicators/{warning['indicator']}/outcome", **body)


async def due_warnings(client: httpx.AsyncClient, **params: Any) -> list[tuple[str, str | None, int | None, bool]]:
    """Return the warnings of all pages: supply, due date, days left and whether past due."""
    found = []
    path = str(httpx.URL("/v1/warnings", params=params))
    while True:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [(each["indicator"]["value"]["supply"], each["due"], each["days_left"], each["past_due"]) for each in page["items"]]
        if page["next"] is None:
            return found
        path = answer.links["next"]["url"]


async def track_record(client: httpx.AsyncClient, source: str = "agency", **params: str) -> dict[str, Any]:
    """Return the track record of a source."""
    answer = await client.get(f"/v1/sources/{source}/record", params={"as_of": "2016-12-31"} | params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (
        found["fell_due"]
        == len(found["items"])
        == sum(found[name] for name in ("materialised", "averted", "overtaken", "unknown", "pending"))
    )
    return found
