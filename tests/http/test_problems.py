"""Every error is problem+json (RFC 9457), says what a client can do about it, and tells nothing of the machine behind."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.access.keys import list_keys, revoke_key
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, MakeKey, sqlite_only
from tests.support.processes import free_port
from tests.support.servers import client_for

# Stack traces, SQL, names of files, modules, tables and drivers, addresses and passwords of databases.
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|line \d+, in|SELECT|INSERT|UPDATE|DELETE FROM|no such table|relation|sqlite|sqlalchemy|asyncpg|postgres"
    r"|pydantic|starlette|/work|/tmp|/dev|/home|site-packages|\breading\b|api_key|s3cret|127\.0\.0\.1|localhost|Errno|Exception|0x[0-9a-f]{6}",
    re.IGNORECASE,
)


def assert_problem(answer: httpx.Response, status: int, path: str) -> dict[str, Any]:
    """A problem document of that status, about that path, that leaks nothing."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= body.keys() <= {"type", "title", "status", "detail", "instance", "errors"}
    assert (body["status"], body["instance"]) == (status, path)
    assert body["type"] == "about:blank" or body["type"].startswith("urn:lifeline:problem:")
    assert body["title"]
    assert body["detail"]
    assert ("errors" in body) == (status == 422)
    told = answer.text.replace(path, "") + str([each for each in answer.headers.items() if each[0] != "content-type"])
    assert not LEAKS.search(told), told
    return body


async def test_404(client: httpx.AsyncClient, reference: Reference) -> None:
    """An address without anything, and a record that is not there: the same for every way of asking."""
    unknown = uuid4()
    for path in (
        "/nothing", "/v1", "/v1/nothing", "/v2/indicators", "/docs/nothing.js", "/docs/../app/main.py", "/.env",
        f"/v1/reports/{unknown}", f"/v1/indicators/{unknown}", f"/v1/indicators/{unknown}/history", "/v1/situations/nowhere",
        "/v1/places/nowhere", "/v1/places/SY02", "/v1/places/pcode:SY99", "/v1/sources/nobody", "/v1/sources/nobody/record",
        "/v1/routes/no-road",
        "/v1/places/%00", "/v1/places/a%00b", "/v1/sources/%E2%82%AC", "/v1/routes/'%20OR%201=1--",
    ):  # fmt: skip
        answer = await client.get(path)
        assert_problem(answer, 404, answer.url.path)
    for path, body in (
        (f"/v1/reports/{unknown}/correction", report(reason="misread")),
        (f"/v1/reports/{unknown}/retraction", {"reason": "withdrawn"}),
        (f"/v1/indicators/{unknown}/outcome", {"outcome": "averted", "reason": "a convoy", "report": str(unknown)}),
        ("/v1/sources/nobody/grades", {"reliability": "C", "reason": "was wrong"}),
        ("/v1/nothing", {}),
    ):
        assert_problem(await client.post(path, json=body), 404, path)


async def test_an_identifier_that_is_none_is_the_clients_mistake(client: httpx.AsyncClient) -> None:
    for path in ("/v1/reports/1", "/v1/indicators/1", "/v1/indicators/1/history", f"/v1/reports/{'a' * 5000}"):
        answer = await client.get(path)
        body = assert_problem(answer, 422, path)
        assert [error["pointer"] for error in body["errors"]] == ["/id"]


@sqlite_only
async def test_405(client: httpx.AsyncClient) -> None:
    """The answer names all methods that the address takes."""
    for method, path, allowed in (
        ("DELETE", "/v1/reports", {"GET", "POST"}),
        ("PUT", f"/v1/reports/{uuid4()}", {"GET"}),
        ("PATCH", "/v1/places/oldtown", {"GET"}),
        ("PUT", "/v1/places", {"GET", "POST"}),
        ("POST", f"/v1/webhooks/{uuid4()}", {"GET", "DELETE"}),
        ("POST", "/v1/indicators", {"GET"}),
        ("GET", f"/v1/reports/{uuid4()}/retraction", {"POST"}),
        ("POST", "/docs", {"GET"}),
        ("POST", "/health/live", {"GET"}),
    ):
        answer = await client.request(method, path)
        assert_problem(answer, 405, path)
        found = {name.strip() for name in answer.headers["allow"].split(",")}
        assert found == allowed | ({"HEAD"} if "GET" in allowed else set()), (method, path)


@sqlite_only
async def test_413(settings: Settings, reference: Reference, make_key: MakeKey) -> None:
    """The limit is the setting's, to the byte; a body that never ends is cut off rather than read."""
    secret = await make_key(clearance=Label.RED)
    async with client_for(settings.model_copy(update={"max_body_bytes": 2000}), secret) as client:
        headers = {"Content-Type": "application/json"}
        fits = b'{"slug": "new", "name": "New"}'.ljust(2000)
        assert (await client.post("/v1/places", content=fits, headers=headers)).status_code == 201
        assert_problem(await client.post("/v1/places", content=fits + b" ", headers=headers), 413, "/v1/places")
        read = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal read
            while read < 10_000_000:
                read += 1000
                yield b" " * 1000

        assert_problem(await client.post("/v1/reports", content=endless(), headers=headers), 413, "/v1/reports")
        assert read < 100_000


@sqlite_only
async def test_415_and_400(client: httpx.AsyncClient, reference: Reference) -> None:
    for path in ("/v1/reports", "/v1/places", f"/v1/reports/{uuid4()}/retraction"):
        for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""):
            answer = await client.post(path, content=b"{}", headers={"Content-Type": content_type})
            assert_problem(answer, 415, path)
        for content in (b"", b"{", b"{'slug': 'a'}", b"\xff", b'{"slug": NaN}'):
            answer = await client.post(path, content=content, headers={"Content-Type": "application/json; charset=utf-8"})
            assert_problem(answer, 400, path)


async def test_401(anonymous: httpx.AsyncClient, database: Database, make_key: MakeKey, reference: Reference) -> None:
    """No key where one is needed, and any that does not hold, wherever it is sent; which of the three it is, is not told."""
    revoked = await make_key(clearance=Label.RED, organisation="revoked")
    async with database.write() as session:
        (key,) = [key for key in await list_keys(session) if key.organisation == "revoked"]
        await revoke_key(session, key.id)
    expired = await make_key(clearance=Label.RED, expires_at=utc_now() - timedelta(seconds=1))
    live = await make_key(clearance=Label.RED, expires_at=utc_now() + timedelta(minutes=1))
    answers = []
    for authorization in (
        f"Bearer {revoked}", f"Bearer {expired}", "Bearer ll_unknown", "Bearer", "Bearer ", "bearer", f"Basic {live}", live,
        f"Bearer{live}",
        f"Bearer {live} {live}", f"Bearer {live}x", f"Bearer {live[:-1]}", f"Bearer {live.upper()}", "Bearer ll_\xe9", "Token x", "",
    ):  # fmt: skip
        headers = {"Authorization": authorization.encode("latin-1")}
        for method, path in (("GET", "/v1/indicators"), ("GET", "/v1/reports"), ("POST", "/v1/reports"), ("GET", "/v1/stream")):
            async with asyncio.timeout(10):
                answer = await anonymous.request(method, path, headers=headers, json=report() if method == "POST" else None)
            assert_problem(answer, 401, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert live not in answer.text
            answers.append((authorization, method, path, answer.json()["detail"]))
    told = {
        detail
        for authorization, method, path, detail in answers
        if authorization in (f"Bearer {revoked}", f"Bearer {expired}", "Bearer ll_unknown")
    }
    assert len(told) == 1
    assert_problem(await anonymous.post("/v1/reports", json=report()), 401, "/v1/reports")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await anonymous.get("/v1/indicators", headers={"Authorization": f"{scheme} {live}"})).status_code == 200


async def test_403(make_client: MakeClient, reference: Reference, client: httpx.AsyncClient) -> None:
    """A key does what its scopes say and no more; no scope contains another."""
    made = (await client.post("/v1/reports", json=report("supply_runout"))).json()
    needs: dict[str, tuple[set[Scope], Any]] = {
        "/v1/reports": ({Scope.REPORT}, report(source="envoy")),
        f"/v1/reports/{made['id']}/correction": (
            {Scope.REPORT, Scope.CURATE},
            report("supply_runout", {"in_days_max": 22}, reason="misread"),
        ),
        f"/v1/reports/{made['id']}/retraction": ({Scope.REPORT, Scope.CURATE}, {"reason": "withdrawn"}),
        f"/v1/indicators/{made['indicator']}/outcome": ({Scope.CURATE}, {"outcome": "averted", "reason": "a convoy", "report": made["id"]}),
        "/v1/sources/agency/grades": ({Scope.CURATE}, {"reliability": "C", "reason": "was wrong"}),
        "/v1/places": ({Scope.CURATE}, {"slug": "new", "name": "New"}),
        "/v1/sources": ({Scope.CURATE}, {"slug": "new", "name": "New", "type": "ngo"}),
        "/v1/routes": ({Scope.CURATE}, {"slug": "new", "name": "New", "mode": "road"}),
    }
    for scope in Scope:
        holder = await make_client(scope, clearance=Label.RED)
        for path, (scopes, body) in needs.items():
            if scope not in scopes:
                assert_problem(await holder.post(path, json=body), 403, path)
    assert (await client.get("/v1/reports")).json()["revision"] == 1
    # What another organisation said is amended by a curator only.
    other = await make_client(Scope.READ, Scope.REPORT, clearance=Label.RED, organisation="another")
    for what in ("correction", "retraction"):
        path = f"/v1/reports/{made['id']}/{what}"
        assert_problem(await other.post(path, json=needs[path][1]), 403, path)


async def test_409(client: httpx.AsyncClient, reference: Reference) -> None:
    made = (await client.post("/v1/reports", json=report())).json()
    at = f"/v1/reports/{made['id']}"
    assert (await client.post(f"{at}/retraction", json={"reason": "withdrawn"})).status_code == 201
    assert_problem(await client.post(f"{at}/retraction", json={"reason": "withdrawn"}), 409, f"{at}/retraction")
    assert_problem(await client.post(f"{at}/correction", json=report(reason="misread")), 409, f"{at}/correction")
    for path, body in (
        ("/v1/places", {"slug": "oldtown", "name": "Old town"}),
        ("/v1/sources", {"slug": "agency", "name": "Agency", "type": "un"}),
        ("/v1/routes", {"slug": "north-road", "name": "North road", "mode": "road"}),
    ):
        assert_problem(await client.post(path, json=body), 409, path)


@sqlite_only
async def test_422_of_the_query(client: httpx.AsyncClient) -> None:
    for query, name in (("limit=0", "limit"), ("limit=x", "limit"), ("as_of=x", "as_of"), ("cursor=x", "cursor"), ("kind=x", "kind")):
        body = assert_problem(await client.get(f"/v1/indicators?{query}"), 422, "/v1/indicators")
        assert [error["pointer"] for error in body["errors"]] == [f"?{name}"]


async def run(database_url: str, *statements: str) -> None:
    """SQL from outside, as an administrator might run it."""
    if database_url.startswith("sqlite"):
        with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
    else:
        other = await asyncpg.connect(database_url)
        for statement in statements:
            await other.execute(statement)
        await other.close()


async def test_500(client: httpx.AsyncClient, reference: Reference, database_url: str) -> None:
    """A table that is gone: readers and writers are told that it failed and nothing else, and nothing is half written."""
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    await run(database_url, "ALTER TABLE indicator_projection RENAME TO gone")
    assert_problem(await client.get("/v1/trapped-populations"), 500, "/v1/trapped-populations")
    assert_problem(await client.post("/v1/reports", json=report(source="envoy")), 500, "/v1/reports")
    await run(database_url, "ALTER TABLE gone RENAME TO indicator_projection")
    assert (await client.get("/v1/reports?limit=9")).json()["revision"] == 1
    assert len((await client.get("/v1/changes?limit=9")).json()["items"]) == 1
    answer = await client.post("/v1/reports", json=report(source="envoy"))
    assert (answer.status_code, answer.json()["seq"]) == (201, 2)


async def assert_unavailable(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> None:
    answer = await client.request(method, path, **more)
    assert_problem(answer, 503, path)
    assert int(answer.headers["retry-after"]) > 0


async def test_503_without_a_postgresql() -> None:
    """Nobody listens where the database should be: what needs it says so at once, the rest works."""
    url = f"postgresql://lifeline:s3cret@127.0.0.1:{free_port()}/lifeline"
    async with client_for(Settings(database_url=url, database_lock_timeout_seconds=2), "ll_any") as client:
        for path in ("/v1/indicators", "/v1/situations/oldtown", "/v1/changes", "/v1/places", f"/v1/reports/{uuid4()}"):
            await assert_unavailable(client, "GET", path)
        await assert_unavailable(client, "POST", "/v1/reports", json=report())
        del client.headers["Authorization"]
        await assert_unavailable(client, "GET", "/v1/indicators")
        assert_problem(await client.get("/health/ready"), 503, "/health/ready")
        for path in ("/health/live", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200


async def test_503_without_a_sqlite_file(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/no/such/folder/lifeline.db"
    async with client_for(Settings(database_url=url, database_lock_timeout_seconds=2), "ll_any") as client:
        await assert_unavailable(client, "GET", "/v1/indicators")
        await assert_unavailable(client, "POST", "/v1/reports", json=report())
        assert_problem(await client.get("/health/ready"), 503, "/health/ready")
        assert (await client.get("/health/live")).status_code == 200


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Another writer that holds the ledger and does not let go."""
    if database_url.startswith("sqlite"):
        holder = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
        holder.close()
    else:
        other = await asyncpg.connect(database_url)
        async with other.transaction():
            await other.execute("SELECT * FROM ledger_head FOR UPDATE")
            yield
        await other.close()


async def test_503_while_another_writer_does_not_let_go(settings: Settings, reference: Reference, make_key: MakeKey) -> None:
    """A write gives up after the time that is set; reading goes on; afterwards the write goes through, once."""
    secret = await make_key(clearance=Label.RED)
    async with client_for(settings.model_copy(update={"database_lock_timeout_seconds": 0.5}), secret) as client:
        async with locked(settings.database_url):
            await assert_unavailable(client, "POST", "/v1/reports", json=report())
            await assert_unavailable(client, "POST", "/v1/places", json={"slug": "new", "name": "New"})
            assert (await client.get("/v1/indicators")).json()["items"] == []
        assert (await client.post("/v1/reports", json=report())).status_code == 201
        assert (await client.get("/v1/reports")).json()["revision"] == 1
        assert (await client.get("/v1/places/new")).status_code == 404


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_503_at_most_when_the_database_cuts_its_connections(
    client: httpx.AsyncClient, reference: Reference, database_url: str
) -> None:
    """A restarted database costs a few 503 and never a 500; the service finds back by itself."""
    name = urlsplit(database_url).path.removeprefix("/") or database_url.rsplit("/", 1)[1].split("?", maxsplit=1)[0]
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    await asyncio.gather(*(client.get("/v1/indicators", params={"limit": limit}) for limit in range(1, 6)))
    await run(database_url, cut)
    seen = []
    for limit in range(10, 20):
        answer = await client.get("/v1/indicators", params={"limit": limit})
        seen.append(answer.status_code)
        if answer.status_code != 200:
            assert_problem(answer, 503, "/v1/indicators")
    assert seen[-1] == 200, seen
    await run(database_url, cut)
    answers = [await client.post("/v1/reports", json=report(), headers={"Idempotency-Key": "k"}) for _ in range(6)]
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert answers[-1].status_code == 201
    assert (await client.get("/v1/reports", params={"limit": 5})).json()["revision"] == 1


@sqlite_only
async def test_an_error_of_our_own_is_told_to_nobody(app: FastAPI, anonymous: httpx.AsyncClient) -> None:
    """A mistake in the code, with a secret in its message, is a 500 without it."""

    async def fail() -> None:
        raise RuntimeError("s3cret in /srv/app/main.py: SELECT * FROM api_key")

    app.add_api_route("/v1/failing", fail, include_in_schema=False)
    assert_problem(await anonymous.get("/v1/failing"), 500, "/v1/failing")
    assert (await anonymous.get("/v1/indicators")).status_code == 200
