"""Problems (RFC 9457): every error is one, says what is wrong, and discloses nothing internal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI

from app.access.keys import list_keys, revoke_key
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeClient, MakeKey, mostly_sqlite, sqlite_only
from tests.support.problems import assert_problem
from tests.support.servers import client_for


async def test_unknown_path_and_unknown_record_get_404(client: httpx.AsyncClient, reference: Reference) -> None:
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


@mostly_sqlite
async def test_malformed_identifier_gets_422(client: httpx.AsyncClient) -> None:
    for path in ("/v1/reports/1", "/v1/indicators/1", "/v1/indicators/1/history", f"/v1/reports/{'a' * 5000}"):
        answer = await client.get(path)
        body = assert_problem(answer, 422, path)
        assert [error["pointer"] for error in body["errors"]] == ["/id"]


@sqlite_only
async def test_unsupported_method_gets_405_with_all_methods_of_the_path(client: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/reports", {"GET", "POST"}),
        ("PUT", f"/v1/reports/{uuid4()}", {"GET"}),
        ("PUT", "/v1/places/oldtown", {"GET", "PATCH"}),
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
async def test_body_one_byte_over_the_limit_gets_413(settings: Settings, reference: Reference, make_key: MakeKey) -> None:
    """A body without an end gets it too, before it is read."""
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
async def test_body_that_is_not_json_gets_415_or_400(client: httpx.AsyncClient, reference: Reference) -> None:
    for path in ("/v1/reports", "/v1/places", f"/v1/reports/{uuid4()}/retraction"):
        for content_type in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""):
            answer = await client.post(path, content=b"{}", headers={"Content-Type": content_type})
            assert_problem(answer, 415, path)
        for content in (b"", b"{", b"{'slug': 'a'}", b"\xff", b'{"slug": NaN}'):
            answer = await client.post(path, content=content, headers={"Content-Type": "application/json; charset=utf-8"})
            assert_problem(answer, 400, path)


@mostly_sqlite
async def test_invalid_key_gets_401(anonymous: httpx.AsyncClient, database: Database, make_key: MakeKey, reference: Reference) -> None:
    """The response does not tell an unknown key from an expired or a revoked one."""
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
    details = {
        detail
        for authorization, method, path, detail in answers
        if authorization in (f"Bearer {revoked}", f"Bearer {expired}", "Bearer ll_unknown")
    }
    assert len(details) == 1
    assert_problem(await anonymous.post("/v1/reports", json=report()), 401, "/v1/reports")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await anonymous.get("/v1/indicators", headers={"Authorization": f"{scheme} {live}"})).status_code == 200


@mostly_sqlite
async def test_key_without_the_scope_gets_403(make_client: MakeClient, reference: Reference, client: httpx.AsyncClient) -> None:
    """No scope contains another."""
    made = (await client.post("/v1/reports", json=report("supply_runout"))).json()
    needs: dict[str, tuple[set[Scope], Any]] = {
        "/v1/reports": ({Scope.REPORT}, report(source="envoy")),
        f"/v1/reports/{made['id']}/correction": (
            {Scope.REPORT, Scope.CURATE},
            report("supply_runout", {"in_days_max": 22}, reason="misread"),
        ),
        f"/v1/reports/{made['id']}/retraction": ({Scope.REPORT, Scope.CURATE}, {"reason": "withdrawn"}),
        f"/v1/indicators/{made['indicator']}/outcome": ({Scope.CURATE}, {"outcome": "averted", "reason": "a convoy", "report": made["id"]}),
        f"/v1/reports/{made['id']}/reinstatement": ({Scope.REPORT, Scope.CURATE}, {"reason": "said after all"}),
        "/v1/sources/agency/grades": ({Scope.CURATE}, {"reliability": "C", "reason": "was wrong"}),
        "/v1/places": ({Scope.CURATE}, {"slug": "new", "name": "New"}),
        "/v1/sources": ({Scope.CURATE}, {"slug": "new", "name": "New", "type": "ngo"}),
        "/v1/routes": ({Scope.CURATE}, {"slug": "new", "name": "New", "mode": "road"}),
    }
    for scope in Scope:
        reader = await make_client(scope, clearance=Label.RED)
        for path, (scopes, body) in needs.items():
            if scope not in scopes:
                assert_problem(await reader.post(path, json=body), 403, path)
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1
    # Only a curator amends the report of another organisation.
    other = await make_client(Scope.READ, Scope.REPORT, clearance=Label.RED, organisation="another")
    for what in ("correction", "retraction", "reinstatement"):
        path = f"/v1/reports/{made['id']}/{what}"
        assert_problem(await other.post(path, json=needs[path][1]), 403, path)


async def test_conflicting_write_gets_409(client: httpx.AsyncClient, reference: Reference) -> None:
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
async def test_invalid_query_parameter_gets_422(client: httpx.AsyncClient) -> None:
    for query, name in (("limit=0", "limit"), ("limit=x", "limit"), ("as_of=x", "as_of"), ("cursor=x", "cursor"), ("kind=x", "kind")):
        body = assert_problem(await client.get(f"/v1/indicators?{query}"), 422, "/v1/indicators")
        assert [error["pointer"] for error in body["errors"]] == [f"?{name}"]
    body = assert_problem(await client.get("/v1/reports", params={"q": "x" * 101}), 422, "/v1/reports")
    assert body["errors"] == [{"pointer": "?q", "detail": "must have at most 100 characters"}]


@sqlite_only
async def test_unexpected_error_gets_500_without_its_message(app: FastAPI, anonymous: httpx.AsyncClient) -> None:

    async def fail() -> None:
        raise RuntimeError("s3cret in /srv/app/main.py: SELECT * FROM api_key")

    app.add_api_route("/v1/failing", fail, include_in_schema=False)
    assert_problem(await anonymous.get("/v1/failing"), 500, "/v1/failing")
    assert (await anonymous.get("/v1/indicators")).status_code == 200
