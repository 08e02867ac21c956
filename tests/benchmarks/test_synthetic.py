"""The command that loads made-up data: its ledger verifies like any other, and it refuses a database with data."""

import asyncio
from collections.abc import Callable

import httpx
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from app.settings import Settings
from tests.benchmarks.load_command import load_command
from tests.support.factories import seed
from tests.support.fixtures import mostly_sqlite
from tests.support.servers import invoke, new_key, query_rows


@mostly_sqlite
def test_load_command_writes_a_ledger_that_verifies(new_database: Callable[[], str], built_app: FastAPI) -> None:
    url = new_database()
    loaded = invoke("--reports", "200", "--indicators", "16", command=load_command, database_url=url)
    assert loaded.exit_code == 0, loaded.output
    assert "200 reports" in loaded.output
    assert "a second" in loaded.output
    assert invoke("verify", database_url=url).exit_code == 0
    counts = dict(tuple(row) for row in query_rows(url, "SELECT type, count(*) FROM ledger_entry GROUP BY type"))
    assert counts["report"] == 200
    assert counts["correction"] > 0
    assert counts["retraction"] > 0

    async def read() -> None:
        built_app.state.settings = Settings(database_url=url)
        headers = {"Authorization": f"Bearer {await new_key(url)}"}
        async with (
            LifespanManager(built_app),
            httpx.AsyncClient(transport=httpx.ASGITransport(built_app), base_url="http://lifeline.test", headers=headers) as client,
        ):
            items = (await client.get("/v1/indicators", params={"limit": 1000})).json()["items"]
            assert {item["kind"] for item in items} == {"trapped_population", "supply_runout", "route_closure"}
            assert {item["agreement"] for item in items} >= {"single", "contested"}
            here = {item["place"]["slug"] for item in items}
            country = (await client.get("/v1/indicators", params={"country": items[0]["place"]["country"], "limit": 1000})).json()["items"]
            assert {item["place"]["slug"] for item in country} <= here
            one = (await client.get(f"/v1/indicators/{items[0]['id']}")).json()
            again = {name: value for name, value in one.items() if name not in ("reports", "left_out")}
            del again["assessment"]["deciding"]
            assert again == items[0]

    asyncio.run(read())


def test_load_command_database_with_data_is_refused(database_url: str) -> None:
    asyncio.run(seed(database_url))
    refused = invoke("--reports", "1", command=load_command, database_url=database_url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "not empty" in refused.stderr
    assert query_rows(database_url, "SELECT count(*) FROM report") == [(0,)]
