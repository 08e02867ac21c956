"""The mirror of docs/polling.md has an exact copy after either side was killed at any time."""

import asyncio
import itertools
import json
import random
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from app.settings import Settings
from tests.docs.pages import DOCS, block
from tests.ledger.helpers import all_changes
from tests.support.factories import Reference, post, report
from tests.support.fixtures import FULL, MakeClient, MakeKey, sqlite_only
from tests.support.processes import Server, free_port, serve

MIRROR = block(DOCS / "polling.md", "python", "mirror")
FOLLOWER = """
import sys, time
url, key, path = sys.argv[1:]
mirror = sqlite3.connect(path)
with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=40) as client:
    while True:
        try:
            follow(client, mirror)
        except httpx.HTTPError:
            time.sleep(0.05)
"""
SUPPLIES = ("basic", "food", "medical", "water", "fuel", "electricity", "shelter", "hygiene")
SCOPES = ("all_stock", "agency_stock", "market", "facility")


class Writers:
    """Clients that report, correct, retract and grade all the time, and continue when the server is down."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._numbers = itertools.count()
        self._chance = random.Random(2016)
        self._standing: list[dict[str, Any]] = []
        self._stopped = False
        self._acts = itertools.cycle(("report", "report", "correction", "report", "retraction", "report", "outcome", "report", "grade"))
        self.done = dict.fromkeys(("report", "correction", "retraction", "outcome", "grade"), 0)

    async def run(self) -> None:
        """Write until `stop` is called."""
        while not self._stopped:
            try:
                await self._write()
                # The processor is for the server and the mirror, which are killed.
                await asyncio.sleep(0.03)
            except httpx.TransportError:
                await asyncio.sleep(0.05)

    def stop(self) -> None:
        """Let each writer finish its current request."""
        self._stopped = True

    def _new(self) -> dict[str, Any]:
        number = next(self._numbers)
        kind = self._chance.choice(("trapped_population", "supply_runout"))
        value = {"people": number} if kind == "trapped_population" else {"supply": self._chance.choice(SUPPLIES[:3])}
        source = self._chance.choice(("agency", "envoy", "monitor"))
        stated = f"2016-08-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:00Z"
        return report(kind, value, source=source, stated_at=stated, place=self._chance.choice(("oldtown", "country")))

    async def _write(self) -> None:
        act = next(self._acts)
        fit = [each for each in self._standing if act != "outcome" or each["kind"] == "supply_runout"]
        current = fit[0] if act in ("correction", "retraction", "outcome") and fit else None
        if current is not None:
            self._standing.remove(current)
        elif act != "grade":
            act = "report"
        if act == "report":
            response = await self._client.post("/v1/reports", json=self._new())
        elif act == "correction":
            response = await self._client.post(f"/v1/reports/{current['id']}/correction", json={**self._new(), "reason": "misread"})
        elif act == "retraction":
            response = await self._client.post(f"/v1/reports/{current['id']}/retraction", json={"reason": "withdrawn"})
        elif act == "outcome":
            outcome = {"outcome": self._chance.choice(("averted", "overtaken")), "reason": "seen", "report": current["id"]}
            response = await self._client.post(f"/v1/indicators/{current['indicator']}/outcome", json=outcome)
        else:
            grade = {"reliability": self._chance.choice("ABC"), "reason": "reviewed"}
            response = await self._client.post(f"/v1/sources/{self._chance.choice(('monitor', 'neighbour'))}/grades", json=grade)
        if response.status_code in (200, 201):
            self.done[act] += 1
            if act in ("report", "correction"):
                self._standing.append(response.json())


async def _report_more_than_a_change_shows(client: httpx.AsyncClient) -> None:
    """Record more than 100 indicators of one source."""
    for slug in ("oldtown", "country", "newtown", "port"):
        many = [
            report("supply_runout", {"supply": supply, "scope": scope}, place=slug, source="neighbour")
            for supply in SUPPLIES
            for scope in SCOPES
        ]
        response = await client.post("/v1/reports", json=many)
        assert response.json()["refused"] == 0, response.text


def _cursor(path: Path) -> str | None:
    try:
        with sqlite3.connect(path) as mirror:
            found = mirror.execute("SELECT after FROM cursor").fetchone()
    except sqlite3.OperationalError:
        return None
    return found[0] if found else None


async def _all_indicators(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = {}
    params: dict[str, Any] = {"limit": 1000, "include_empty": True}
    while True:
        page = (await client.get("/v1/indicators", params=params)).json()
        found |= {item["id"]: item for item in page["items"]}
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]


@pytest.mark.usefixtures("engine")
async def test_mirror_of_documentation_is_exact_after_kills(
    settings: Settings, make_key: MakeKey, reference: Reference, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    key = await make_key(clearance=Label.RED)
    for slug in ("newtown", "port"):
        await reference.add("places", slug=slug, name=slug)
    await _report_more_than_a_change_shows(client)
    script, mirror, port = tmp_path / "follower.py", tmp_path / "mirror.db", free_port()
    script.write_text(MIRROR + FOLLOWER, encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as running:

        def start() -> Server:
            return running.enter_context(serve(tmp_path, port=port, database_url=settings.database_url))

        def follower() -> subprocess.Popen[bytes]:
            process = subprocess.Popen([sys.executable, script, url, key, mirror])
            running.callback(process.wait)
            running.callback(process.kill)
            return process

        server = await asyncio.to_thread(start)
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=40) as remote:
            writers = Writers(remote)
            writing = [asyncio.create_task(writers.run()) for _ in range(4)]
            following = follower()
            for turn in range(4 if FULL else 2):
                before = _cursor(mirror)
                async with asyncio.timeout(90):
                    # Kill each during its work: after some progress, and a random moment later.
                    while _cursor(mirror) == before:  # noqa: ASYNC110 - another process moves it
                        await asyncio.sleep(0.01)
                await asyncio.sleep(random.random() * 0.1)
                if turn % 2:
                    server.process.kill()
                    server = await asyncio.to_thread(start)
                else:
                    following.kill()
                    following = follower()
            async with asyncio.timeout(90):
                while not all(writers.done.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            writers.stop()
            await asyncio.gather(*writing)
            head = (await remote.get("/v1/changes", params={"after": "now"})).json()["next"]
            async with asyncio.timeout(90):
                while _cursor(mirror) != head:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            expected = await _all_indicators(remote)
    with sqlite3.connect(mirror) as copy:
        copied = {id_: json.loads(document) for id_, document in copy.execute("SELECT id, json FROM document")}
    assert copied == expected
    assert len(copied) > 100


@sqlite_only
async def test_mirror_of_documentation_forgets_an_indicator_without_a_visible_report(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """The tombstone names it only to a reader who sees another report on it; a filter does not tell it either."""
    reader, program = await make_client(Scope.READ, clearance=Label.GREEN), dict[str, Any]()
    exec(MIRROR, program)  # noqa: S102 - the program of the documentation
    first = await post(client, **report())
    with sqlite3.connect(":memory:") as mirror:

        async def copied() -> set[str]:
            after = (
                mirror.execute("SELECT after FROM cursor").fetchone() if mirror.execute("PRAGMA table_info(cursor)").fetchall() else None
            )
            page = (await reader.get("/v1/changes", params={"limit": 1000} | ({"after": after[0]} if after else {}))).json()
            program["get"] = lambda *_: page
            program["follow"](None, mirror)
            return {row[0] for row in mirror.execute("SELECT id FROM document")}

        assert await copied() == {first["indicator"]}
        await post(client, f"/v1/reports/{first['id']}/label", sensitivity="red", reason="names")
        assert await copied() == set()
        for path in ("/v1/changes", "/v1/indicators?include_empty=true", "/v1/label-proposals"):
            assert first["indicator"] not in (await reader.get(path)).text
        assert (await reader.get(f"/v1/indicators/{first['indicator']}")).status_code == 404
        for query in ("kind=supply_runout", "kind=trapped_population", "place=country", "place=oldtown"):
            found = (await reader.get(f"/v1/changes?{query}&limit=1000")).json()["items"]
            assert [(each["type"], each["redacted"][-1]) for each in found if "redacted" in each] == [
                ("withheld", "salt"),
                ("tombstone", "salt"),
            ], query
        await post(client, **report(source="envoy"))
        assert await copied() == {first["indicator"]}
        (tombstone,) = [each for each in await all_changes(reader) if each["type"] == "tombstone"]
        assert (tombstone["indicator"], len(tombstone["salt"])) == (first["indicator"], 32)
