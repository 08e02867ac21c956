"""The plain app serves the same data as Lifeline; otherwise the ratios would mean nothing."""

from pathlib import Path

import httpx
import pytest
from asgi_lifespan import LifespanManager

from app.changes.queries import CHANGE_CURSORS
from app.main import create_app
from app.settings import Settings
from tests.benchmarks import plain_app
from tests.benchmarks.data import A_PLACE, copy_into_plain, fill, place_name


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_plain_app_serves_the_same_rows(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_url = f"sqlite+aiosqlite:///{tmp_path / 'plain.db'}"
    await fill(database_url, indicators=2 * A_PLACE, reports_each=2)
    await copy_into_plain(database_url, plain_url)
    monkeypatch.setenv(plain_app.DATABASE_URL, plain_url)
    lifeline = create_app(Settings(database_url=database_url))
    async with (
        LifespanManager(lifeline),
        LifespanManager(plain_app.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(lifeline), base_url="http://b") as ours,
        httpx.AsyncClient(transport=httpx.ASGITransport(plain_app.app), base_url="http://b") as theirs,
    ):
        for path in ("/v1/indicators?limit=7", "/v1/indicators?limit=1000"):
            mine, plain = (await ours.get(path)).json(), (await theirs.get(path)).json()
            assert plain["items"] == mine["items"]
            assert (plain["next"] is None, plain["revision"]) == (mine["next"] is None, mine["revision"])
        plain = (await theirs.get("/v1/changes")).json()
        # After the changes of the reference data, of which the plain app has none.
        before = plain["items"][0]["seq"] - 1
        mine = (await ours.get("/v1/changes", params={"after": CHANGE_CURSORS[0].encode(before, before)})).json()
        assert [(each["seq"], each["documents"]) for each in plain["items"]] == [(each["seq"], each["documents"]) for each in mine["items"]]
        place = f"/v1/situations/{place_name(1)}"
        mine, plain = (await ours.get(place)).json(), (await theirs.get(place)).json()
        assert [len(plain[name]) for name in ("trapped", "supplies")] == [len(mine[name]) for name in ("trapped", "supplies")]
        past = [(await client.get("/v1/indicators?as_of=2016-08-15&limit=1000")).json()["items"] for client in (ours, theirs)]
        assert {each["id"] for each in past[0]} == {each["id"] for each in past[1]} != set()
