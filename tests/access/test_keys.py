"""Keys over HTTP and on the command line: created, rotated, revoked; a secret is shown once and never stored."""

import asyncio
import base64
import hashlib
import hmac
import io
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from app.access import keys
from app.access.keys import list_keys, rotate_key
from app.access.models import ApiKey, AuditEntry, IdempotencyRecord
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.http import response_cache
from app.storage.database import Database
from app.storage.types import table_of
from tests.support.factories import Reference
from tests.support.fixtures import MakeClient, MakeKey, mostly_sqlite
from tests.support.processes import serve
from tests.support.servers import invoke, new_key, query_rows

NEW = {
    "name": "desk",
    "organisation": "them",
    "person": "Ana",
    "scopes": ["read", "report"],
    "clearance": "amber",
    "expires_at": "2999-12-31",
}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@mostly_sqlite
async def test_me_returns_the_caller(anonymous: httpx.AsyncClient, make_client: MakeClient) -> None:
    assert (await anonymous.get("/v1/me")).json() == {
        "id": None, "name": None, "organisation": None, "person": None, "scopes": [], "clearance": "clear", "expires_at": None,
    }  # fmt: skip
    reader = await make_client(Scope.READ, Scope.REPORT, clearance=Label.AMBER, organisation="us")
    caller = (await reader.get("/v1/me")).json()
    assert (caller["name"], caller["organisation"], caller["scopes"], caller["clearance"]) == ("test", "us", ["read", "report"], "amber")
    # A key without the scope `read` reads as an anonymous client.
    assert (await (await make_client(Scope.REPORT, clearance=Label.RED)).get("/v1/me")).json()["clearance"] == "clear"


@mostly_sqlite
async def test_password_of_http_basic_is_the_key(anonymous: httpx.AsyncClient, make_key: MakeKey, reference: Reference) -> None:
    secret = await make_key(Scope.READ, Scope.CURATE, clearance=Label.AMBER)
    for user in ("", "anyone", "Réka"):
        caller = await anonymous.get("/v1/me", auth=httpx.BasicAuth(user, secret))
        assert (caller.status_code, caller.json()["clearance"]) == (200, "amber")
        # From the cache, as for the same key sent as a bearer key.
        listed = [await anonymous.get("/v1/sources", **how) for how in ({"auth": (user, secret)}, {"headers": bearer(secret)})]  # type: ignore[arg-type]
        assert listed[0].content == listed[1].content
        assert {each.headers["cache-control"] for each in listed} == {"private, no-cache"}
        assert "Authorization" in listed[0].headers["vary"]
    encoded = base64.b64encode(b"me:" + secret.encode()).decode()
    offered = 'Bearer realm="lifeline", Basic realm="lifeline", charset="UTF-8"'
    for wrong in (f"Basic {encoded[:-8]}", "Basic", "Basic not-base64!", f"Basic {base64.b64encode(secret.encode()).decode()}", "Digest a"):
        refused = await anonymous.get("/v1/sources", headers={"Authorization": wrong})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, offered), wrong
        # A page, such as the board, must not make the browser ask for a password.
        page = await anonymous.get("/v1/sources", headers={"Authorization": wrong, "Sec-Fetch-Mode": "cors"})
        assert page.headers["www-authenticate"] == 'Bearer realm="lifeline"'
    # Browsers send a password that they remember with the form of another site.
    place = {"slug": "camp", "name": "Camp"}
    for origin, status in (("https://evil.example", 401), ("null", 401), ("http://lifeline.test", 201), (None, 409)):
        headers = {"Authorization": f"basic {encoded}"} | ({} if origin is None else {"Origin": origin})
        assert (await anonymous.post("/v1/places", json=place, headers=headers)).status_code == status, origin


@mostly_sqlite
async def test_admin_creates_rotates_and_revokes_a_key(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, database: Database) -> None:
    made = await client.post("/v1/keys", json=NEW)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    key, first = made.json(), made.json()["secret"]
    assert (key["person"], key["created_by"]) == ("Ana", (await client.get("/v1/me")).json()["id"])
    assert first.startswith("ll_")
    assert (await client.get(made.headers["location"])).json() == {name: value for name, value in key.items() if name != "secret"}
    assert (await anonymous.get("/v1/me", headers=bearer(first))).json()["id"] == key["id"]

    rotated = await client.post(f"/v1/keys/{key['id']}/rotation", json={"overlap_hours": 1})
    second = rotated.json()["secret"]
    assert (rotated.json()["person"], (await anonymous.get("/v1/me", headers=bearer(second))).json()["person"]) == ("Ana", "Ana")
    assert (rotated.status_code, rotated.json()["id"]) == (201, key["id"])
    for secret, until in ((first, rotated.json()["previous_until"]), (second, key["expires_at"])):
        assert (await anonymous.get("/v1/me", headers=bearer(secret))).json()["expires_at"] == until
    third = (await client.post(f"/v1/keys/{key['id']}/rotation", json={"overlap_hours": 0})).json()["secret"]
    assert [(await anonymous.get("/v1/me", headers=bearer(each))).status_code for each in (first, second, third)] == [401, 401, 200]

    assert (await client.delete(f"/v1/keys/{key['id']}")).status_code == 204
    assert (await anonymous.get("/v1/me", headers=bearer(third))).status_code == 401
    listed = (await client.get("/v1/keys")).json()["items"]
    assert [each["status"] for each in listed] == ["active", "revoked"]
    assert "secret" not in listed[1]
    again = await client.post(f"/v1/keys/{key['id']}/rotation", json={})
    assert (again.status_code, again.json()["type"]) == (409, "urn:lifeline:problem:revoked")
    async with database.read() as connection:
        stored = str((await connection.execute(select(*table_of(ApiKey).c))).all())
        log = [row.target.split()[0] for row in await connection.execute(
            select(*table_of(AuditEntry).c).where(table_of(AuditEntry).c.action == "key").order_by(table_of(AuditEntry).c.id)
        )]  # fmt: skip
    for secret in (first, second, third):
        assert secret not in stored
        assert hashlib.sha256(secret.encode()).hexdigest() not in stored, "an unkeyed hash"
    assert log == ["created", "created", "rotated", "rotated", "revoked"]


@mostly_sqlite
async def test_admin_cannot_grant_a_clearance_above_their_own(make_client: MakeClient, client: httpx.AsyncClient) -> None:
    admin = await make_client(Scope.ADMIN, Scope.READ, clearance=Label.GREEN)
    refused = await admin.post("/v1/keys", json=NEW)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:lifeline:problem:clearance")
    high = (await client.post("/v1/keys", json=NEW)).json()
    assert (await admin.post(f"/v1/keys/{high['id']}/rotation", json={})).status_code == 403
    assert (await admin.delete(f"/v1/keys/{high['id']}")).status_code == 204
    wrong = await client.post("/v1/keys", json={"name": "", "organisation": "x", "scopes": ["root"], "more": 1})
    assert sorted(each["pointer"] for each in wrong.json()["errors"]) == ["/more", "/name", "/scopes/0"]
    unknown = "/v1/keys/00000000-0000-7000-8000-000000000000"
    assert [(await client.get(unknown)).status_code, (await client.delete(unknown)).status_code] == [404, 404]
    assert (await client.post(f"{unknown}/rotation", json={})).status_code == 404


@mostly_sqlite
async def test_repeated_creation_returns_the_response_without_secret(client: httpx.AsyncClient, database: Database) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = [(await client.post("/v1/keys", json=NEW, headers=headers)).json() for _ in range(2)]
    assert again == first | {"secret": None}
    async with database.read() as connection:
        assert first["secret"] not in str((await connection.execute(select(table_of(IdempotencyRecord).c.response_body))).all())
    assert len((await client.get("/v1/keys")).json()["items"]) == 2


@mostly_sqlite
async def test_previous_secret_expires_with_the_overlap_although_cached(
    make_key: MakeKey, database: Database, anonymous: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await make_key(Scope.READ, organisation="rotated")
    async with database.write() as session:
        (key,) = [each for each in await list_keys(session) if each.organisation == "rotated"]
        rotated = await rotate_key(session, key.id, timedelta(hours=1))
    assert rotated is not None
    assert [(await anonymous.get("/v1/places", headers=bearer(secret))).status_code for _ in range(2)] == [200, 200]
    clock, later = response_cache.time.time, utc_now() + timedelta(hours=1)
    monkeypatch.setattr(keys, "utc_now", lambda: later)
    monkeypatch.setattr(response_cache.time, "time", lambda: clock() + 3600)
    assert (await anonymous.get("/v1/places", headers=bearer(secret))).status_code == 401
    assert (await anonymous.get("/v1/places", headers=bearer(rotated[1]))).status_code == 200


def test_key_commands_create_rotate_and_revoke(database_url: str, tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0, **more: str) -> str:
        result = invoke(*arguments, database_url=database_url, **more)
        assert result.exit_code == code, result.output
        return result.output.strip()

    secret = run("key", "create", "--name", "desk", "--org", "us", "--scope", "admin", "--person", "Ana")
    assert "Ana" in run("key", "list")
    assert "--person must not be empty" in run(
        "key", "create", "--name", "desk", "--org", "us", "--scope", "admin", "--person", " ", code=1
    )
    (id_,) = [row[0] for row in query_rows(database_url, "SELECT id FROM api_key")]
    rotated = run("key", "rotate", str(id_), "--overlap", "2")
    assert (rotated[:3], rotated != secret) == ("ll_", True)
    assert "no key" in run("key", "rotate", "00000000-0000-7000-8000-000000000000", code=1)
    assert "no key" in run("key", "rotate", "nonsense", code=1)
    run("key", "revoke", str(id_))
    assert "revoked" in run("key", "rotate", str(id_), code=1)
    exported = run("audit", "export")
    assert [line.count("created") + 2 * line.count("rotated") + 4 * line.count("revoked") for line in exported.splitlines()] == [1, 2, 4]
    assert secret not in exported
    run("audit", "export", str(tmp_path / "audit.jsonl"))
    assert (tmp_path / "audit.jsonl").read_text().strip() == exported


@mostly_sqlite
def test_key_hash_secret_is_not_in_the_database(database_url: str) -> None:
    """With LIFELINE_KEY_HASH_SECRET the database alone does not suffice to check a guessed secret."""
    made = invoke("key", "create", "--name", "a", "--org", "b", "--scope", "read", database_url=database_url, key_hash_secret="s" * 16)
    secret = made.output.strip()
    ((stored,),) = query_rows(database_url, "SELECT secret_hash FROM api_key")
    ((server_secret,),) = query_rows(database_url, "SELECT secret FROM server_secret")
    assert stored == hmac.new(b"s" * 16, secret.encode(), hashlib.sha256).hexdigest()
    assert stored != hmac.new(bytes.fromhex(server_secret), secret.encode(), hashlib.sha256).hexdigest()
    assert invoke("key", "list", database_url=database_url, key_hash_secret="short").exit_code == 1


async def test_key_revoked_in_one_process_is_refused_in_all_at_once(new_database: Any, tmp_path: Path) -> None:
    """The reader has a cached response and an open stream at the process that did not revoke the key."""
    url = new_database()
    admin, reader = await new_key(url), await new_key(url, Scope.READ, organisation="reader")
    with serve(tmp_path, database_url=url) as one, serve(tmp_path, database_url=url) as other:
        async with (
            httpx.AsyncClient(base_url=one.url, headers=bearer(admin)) as first,
            httpx.AsyncClient(base_url=other.url, headers=bearer(reader), timeout=20) as second,
        ):
            assert [(await second.get("/v1/indicators")).status_code for _ in range(2)] == [200, 200]
            (key,) = [each for each in (await first.get("/v1/keys")).json()["items"] if each["organisation"] == "reader"]
            async with second.stream("GET", "/v1/stream") as stream:
                lines = stream.aiter_lines()
                await anext(lines)
                assert (await first.delete(f"/v1/keys/{key['id']}")).status_code == 204
                async with asyncio.timeout(10):
                    async for _ in lines:
                        pass
            async with asyncio.timeout(20):
                # PostgreSQL notifies the other process of the commit a moment later.
                while (await second.get("/v1/indicators")).status_code != 401:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)


@mostly_sqlite
async def test_secret_is_in_no_log_and_no_error(
    client: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    access_log: io.StringIO,
) -> None:
    caplog.set_level(logging.INFO)
    secret = client.headers["authorization"].removeprefix("Bearer ")
    texts = [
        (await anonymous.get("/v1/me", headers={"Authorization": f"Basic {secret}"})).text,
        (await anonymous.get("/v1/me", headers=bearer(secret + "x"))).text,
        (await client.post("/v1/reports", json={"kind": secret})).text,
        (await client.get("/v1/nothing")).text,
        (await anonymous.get("/v1/indicators", params={"key": "x"})).text,
    ]
    assert len(access_log.getvalue().splitlines()) == len(texts)
    for text in (*texts, access_log.getvalue(), caplog.text):
        assert secret not in text
