"""A ledger with something of everything in it."""

from typing import Any

import httpx
import pytest

from tests.factories import Reference, report

POLYGON = {"type": "Polygon", "coordinates": [[[37.17, 36.18], [37.21, 36.18], [37.21, 36.22], [37.17, 36.22], [37.17, 36.18]]]}


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Send, and answer what was recorded."""
    answer = await client.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    recorded: dict[str, Any] = answer.json()
    return recorded


@pytest.fixture
async def filled(client: httpx.AsyncClient, reference: Reference) -> dict[str, Any]:
    """Reports of every kind, a correction, a retraction, an outcome, a grade, labels; answers some of them by name."""
    await reference.add("places", slug="pocket", name='=Pocket, the "inner" one', parent="oldtown", geometry=POLYGON)
    await reference.add("places", slug="nowhere", name="Nowhere")
    odd = {
        "quote": "=HYPERLINK(\"http://example.org\")\r\nsecond line, with ; and 'quotes' _x0041_ \u0007",
        "title": "'+1",
        "language": "en",
    }
    made = {
        "people": await post(
            client,
            "/v1/reports",
            **report(
                provenance={**odd, "via": ["outlet", "monitor"], "credibility": 2, "url": "https://example.org/a", "method": "headcount"}
            ),
        ),
        "food": await post(client, "/v1/reports", **report("supply_runout", {"relative_text": "@soon"}, place="pocket")),
        "shut": await post(
            client,
            "/v1/reports",
            **report("route_closure", {"since": "2016-07", "cause": "hostilities", "last_route": True}, provenance={"credibility": 3}),
        ),
        "wrong": await post(client, "/v1/reports", **report("supply_runout", {"supply": "water"}, provenance={"credibility": 1})),
        "withdrawn": await post(client, "/v1/reports", **report("route_closure", {"route": "south-road"}, source="monitor")),
        "secret": await post(client, "/v1/reports", **report(source="envoy", value={"people": 123456}, sensitivity="red")),
        "amber": await post(
            client,
            "/v1/reports",
            **report("route_closure", {"status": "open", "passable_by": ["civilian", "medical"]}, source="army", sensitivity="amber"),
        ),
        "open": await post(
            client,
            "/v1/reports",
            **report(place="nowhere", source="neighbour", observed_from="2016-07-01", observed_to="2016-07-02T03:04:05Z"),
        ),
    }
    made["corrected"] = await post(
        client,
        f"/v1/reports/{made['wrong']['id']}/correction",
        **report("supply_runout", {"supply": "water", "in_days_min": 1, "in_days_max": 2}, reason="misheard"),
    )
    await post(client, f"/v1/reports/{made['withdrawn']['id']}/retraction", reason="never said")
    ran_out = await post(
        client,
        "/v1/reports",
        **report("supply_runout", {"state": "ran_out", "in_days_min": None, "in_days_max": None}, place="pocket", source="monitor"),
    )
    await post(client, f"/v1/indicators/{made['food']['indicator']}/outcome", outcome="materialised", reason="it did", report=ran_out["id"])
    await post(client, "/v1/sources/army/grades", reliability="E", reason="was wrong")
    return made
