"""Tokens of an OpenID Connect issuer with a real key server, and forged, expired and malformed ones."""

import asyncio
import base64
import errno
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select, update
from sqlmodel import col

from app.access import oidc
from app.access.models import ApiKey
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from app.webhooks.leases import deliverable
from app.webhooks.models import Webhook
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, MakeKey, mostly_sqlite, sqlite_only
from tests.support.servers import client_for

RSA, OTHER = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
EC = ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """An issuer that publishes its keys on 127.0.0.1 and counts requests."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.requests = 0
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        self.requests += 1
        found = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} if path.startswith(b"/.well-known") else {"keys": self.keys}
        body = json.dumps(found).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()

    def publish(self, kid: str, key: Any, algorithm: str) -> None:
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        self.keys.append(jwk | {"kid": kid, "use": "sig", "alg": algorithm})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    made.publish("one", RSA, "RS256")
    yield made
    server.close()


@pytest.fixture
async def service(issuer: Issuer, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    changed = settings.model_copy(
        update={"oidc_issuer": issuer.url, "oidc_audience": "lifeline", "rate_limit_failures": None, "webhook_allow_private": True}
    )
    async with client_for(changed) as client:
        yield client


def claims(issuer: Issuer, **more: Any) -> dict[str, Any]:
    return {
        "iss": issuer.url,
        "aud": "lifeline",
        "sub": "alice",
        "exp": int(time.time()) + 300,
        "scope": "openid read report curate",
        "lifeline_clearance": "amber",
        "lifeline_organisation": "them",
    } | more


def token(given: dict[str, Any], key: Any = RSA, algorithm: str = "RS256", kid: str | None = "one") -> str:
    return jwt.encode(given, key, algorithm, headers={"kid": kid} if kid else None)


def bearer(sent: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sent}"}


async def me(client: httpx.AsyncClient, sent: str) -> httpx.Response:
    return await client.get("/v1/me", headers=bearer(sent))


@mostly_sqlite
async def test_token_claims_set_scopes_clearance_and_organisation(
    service: httpx.AsyncClient, issuer: Issuer, client: httpx.AsyncClient, reference: Reference
) -> None:
    good = token(claims(issuer))
    caller = (await me(service, good)).json()
    assert (caller["name"], caller["organisation"], caller["scopes"], caller["clearance"]) == (
        "alice",
        "them",
        ["curate", "read", "report"],
        "amber",
    )
    headers = bearer(good)
    made = await service.post("/v1/reports", json=report(), headers=headers | {"Idempotency-Key": "once"})
    assert (made.status_code, made.json()["recorded_by"]) == (201, "them")
    hidden = (await client.post("/v1/reports", json=report(source="envoy", sensitivity="red"))).json()
    assert [each["id"] for each in (await service.get("/v1/reports", headers=headers)).json()["items"]] == [made.json()["id"]]
    assert hidden["id"] != made.json()["id"]
    assert issuer.requests == 2, "the keys must be fetched once"
    none = (await me(service, token(claims(issuer, scope=["read", "root"], lifeline_clearance="all")))).json()
    assert (none["scopes"], none["clearance"]) == (["read"], "clear")
    # A clearance or organisation in an array is ignored.
    listed = (await me(service, token(claims(issuer, lifeline_clearance=["amber"], lifeline_organisation=["them"])))).json()
    assert (listed["clearance"], listed["organisation"].startswith("subject-")) == ("clear", True)
    # An admin can revoke a subject whose tokens are still valid.
    assert (await client.delete(f"/v1/keys/{caller['id']}")).status_code == 204
    assert (await me(service, good)).status_code == 401


@mostly_sqlite
async def test_subject_without_an_organisation_is_its_own(service: httpx.AsyncClient, issuer: Issuer, reference: Reference) -> None:
    """No other subject amends its reports, and `recorded_by` does not show its name."""
    alice, bob = [
        bearer(token(claims(issuer, sub=name, scope="read report", lifeline_organisation=organisation)))
        for name, organisation in (("alice", None), ("bob", ""))
    ]
    mine = (await service.post("/v1/reports", json=report(), headers=alice)).json()
    theirs = (await service.post("/v1/reports", json=report(source="envoy"), headers=bob)).json()
    assert mine["recorded_by"] != theirs["recorded_by"]
    assert uuid5(NAMESPACE_URL, f"{issuer.url}\nalice").hex[:8] not in mine["recorded_by"]
    answers = [
        await service.post(f"/v1/reports/{each['id']}/retraction", json={"reason": "not so"}, headers=alice) for each in (theirs, mine)
    ]
    assert [each.status_code for each in answers] == [403, 201]


@mostly_sqlite
async def test_subjects_are_persons(
    service: httpx.AsyncClient, issuer: Issuer, client: httpx.AsyncClient, make_key: MakeKey, reference: Reference
) -> None:
    """Each subject is another person, and the one that a key names."""
    made = (await client.post("/v1/reports", json=report(sensitivity="amber"))).json()
    alice, bob = [bearer(token(claims(issuer, sub=name))) for name in ("alice", "bob")]
    assert (await service.get("/v1/me", headers=alice)).json()["person"] == "alice"
    path, body = f"/v1/reports/{made['id']}/label", {"sensitivity": "green", "reason": "published"}
    proposal = (await service.post(path, json=body, headers=alice)).json()
    own_key = bearer(await make_key(clearance=Label.RED, person=" Alice "))
    confirmation = proposal["links"]["confirmation"]
    statuses = [(await service.post(confirmation, headers=each)).status_code for each in (alice, own_key, bob)]
    assert statuses == [403, 403, 201]


@sqlite_only
async def test_forged_or_invalid_token_is_refused(service: httpx.AsyncClient, issuer: Issuer) -> None:
    good = claims(issuer)
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def forged(header: dict[str, Any], key: bytes) -> str:
        parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, good)]
        signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest() if key else b""
        return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()

    head, body, signature = token(good).split(".")
    wrong = {
        "no algorithm": forged({"alg": "none", "kid": "one"}, b""),
        "None in capitals": forged({"alg": "NONE", "kid": "one"}, b""),
        "the public key as a shared secret": forged({"alg": "HS256", "kid": "one"}, public),
        "another key": token(good, OTHER),
        "another algorithm of the same key": token(good, RSA, "RS512"),
        "an unknown key": token(good, OTHER, kid="two"),
        "another issuer": token(good | {"iss": "https://elsewhere.example"}),
        "another audience": token(good | {"aud": "elsewhere"}),
        "expired": token(good | {"exp": int(time.time()) - 60}),
        "not yet valid": token(good | {"nbf": int(time.time()) + 600}),
        "no expiry": token({name: value for name, value in good.items() if name != "exp"}),
        "no subject": token({name: value for name, value in good.items() if name != "sub"}),
        "altered": ".".join([head, body[:-4] + "AAAA", signature]),
        "without its signature": f"{head}.{body}.",
        "not JSON": "a.b.c",
    }
    accepted = [name for name, each in wrong.items() if (await me(service, each)).status_code != 401]
    assert not accepted
    assert (await me(service, token(good))).status_code == 200


@sqlite_only
async def test_token_with_malformed_times_or_subject_is_refused(service: httpx.AsyncClient, issuer: Issuer) -> None:
    now = int(time.time())
    invalid_times: list[Any] = [10**30, 10**400, float("inf"), float("nan"), -1, -(10**30), str(now + 300), True, None, [now + 300], {}]
    wrong = [(name, value) for name in ("exp", "nbf", "iat") for value in invalid_times if value is not None or name == "exp"]
    wrong += [("nbf", str(now)), ("iat", str(now)), ("nbf", False), ("iat", False)]
    wrong += [("sub", each) for each in ("a\0b", "\ud800", "a" * 256, 7)]
    answers = {(name, repr(value)): await me(service, token(claims(issuer, **{name: value}))) for name, value in wrong}
    assert {each: answer.status_code for each, answer in answers.items() if answer.status_code != 401} == {}
    assert {answer.headers["content-type"] for answer in answers.values()} == {"application/problem+json"}
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 5000).decode()
    assert (await me(service, f"{deep}.a.b")).status_code == 401
    right = {"exp": now + 300.5, "nbf": now - 1.5, "iat": 0}
    assert (await me(service, token(claims(issuer, **right)))).status_code == 200
    odd = (await me(service, token(claims(issuer, exp=253402300799, lifeline_organisation="a\0b")))).json()
    assert (odd["organisation"][:8], odd["expires_at"]) == ("subject-", "9999-12-31T23:59:59Z")


@mostly_sqlite
async def test_subject_that_only_reads_is_listed_and_can_be_revoked(
    service: httpx.AsyncClient, issuer: Issuer, client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = token(claims(issuer, scope="read"))
    id_ = (await me(service, good)).json()["id"]
    assert [(await service.get("/v1/places", headers=bearer(good))).status_code for _ in range(3)] == [200] * 3
    row = (await client.get(f"/v1/keys/{id_}")).json()
    shown = {name: row[name] for name in ("name", "organisation", "scopes", "clearance", "status", "from_issuer")}
    assert shown == {
        "name": "alice", "organisation": "them", "scopes": ["read"], "clearance": "amber", "status": "active", "from_issuer": True,
    }  # fmt: skip
    # With two valid tokens, the row has the claims of the later one, and is not updated at each request.
    other = token(claims(issuer, scope="read report", lifeline_clearance="green"))
    for _ in range(2):
        assert [(await me(service, each)).status_code for each in (other, good)] == [200, 200]
    assert (await client.get(f"/v1/keys/{id_}")).json()["clearance"] == "green"
    entries = (await client.get("/v1/audit", params={"action": "key", "key": id_})).json()["items"]
    assert [each["target"].split()[:2] for each in entries] == [["seen", id_], ["changed", id_]]
    refused = await client.post(f"/v1/keys/{id_}/rotation", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:lifeline:problem:from-issuer")
    # While the database cannot be written to, a new subject may read, but not write.
    newcomer = bearer(token(claims(issuer, sub="bob")))

    def full() -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", lambda _: full())
        assert (await service.get("/v1/places", headers=newcomer)).status_code == 200
        assert (await service.post("/v1/reports", json=report(), headers=newcomer)).status_code == 507
    assert (await client.delete(f"/v1/keys/{id_}")).status_code == 204
    for revoked in (good, other, token(claims(issuer, jti="new"))):
        assert (await service.get("/v1/places", headers=bearer(revoked))).status_code == 401
    assert [each["name"] for each in (await client.get("/v1/keys")).json()["items"] if each["from_issuer"]] == ["alice"]


async def test_webhooks_of_a_subject_end_with_its_access(
    service: httpx.AsyncClient, issuer: Issuer, client: httpx.AsyncClient, settings: Settings, database: Database
) -> None:
    async def status() -> str:
        deliverable_webhooks = select(col(Webhook.id)).where(*deliverable(utc_now(), settings.public_clearance.level))
        async with database.read_latest() as connection:
            found = (await connection.execute(deliverable_webhooks)).scalars().all()
        shown: str = (await service.get(hook["links"]["self"], headers=bearer(token(claims(issuer, sub="bob"))))).json()["status"]
        assert found == ([UUID(hook["id"])] if shown == "active" else []), "the status must tell whether changes are delivered"
        return shown

    soon = claims(issuer, exp=int(time.time()) + 20)
    made = await service.post("/v1/webhooks", json={"url": "https://127.0.0.1:9/hook"}, headers=bearer(token(soon)))
    hook = made.json()
    assert made.status_code == 201, made.text
    row = next(each for each in (await client.get("/v1/keys")).json()["items"] if each["name"] == "alice")
    assert row["expires_at"] == rfc3339(datetime.fromtimestamp(soon["exp"], UTC) + timedelta(hours=24))
    assert await status() == "active"
    async with database.write() as session:
        await session.execute(update(ApiKey).where(col(ApiKey.name) == "alice").values(expires_at=utc_now()))
    assert await status() == "stopped"
    assert (await me(service, token(claims(issuer, jti="back")))).status_code == 200
    assert await status() == "active", "the subject came back"
    assert (await client.delete(f"/v1/keys/{row['id']}")).status_code == 204
    assert await status() == "stopped"


@sqlite_only
async def test_token_of_a_new_key_is_accepted_after_a_refetch(
    service: httpx.AsyncClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await me(service, token(claims(issuer)))).status_code == 200
    issuer.keys.clear()
    issuer.publish("two", EC, "ES256")
    new = token(claims(issuer), EC, "ES256", "two")
    assert (await me(service, new)).status_code == 401, "an unknown key must not cause a fetch each time"
    monkeypatch.setattr(oidc, "MIN_REFETCH_SECONDS", 0.0)
    assert (await me(service, new)).status_code == 200
    assert (await me(service, token(claims(issuer)))).status_code == 401


@sqlite_only
async def test_unreachable_issuer_does_not_affect_keys(settings: Settings, make_client: MakeClient) -> None:
    keyed = await make_client(clearance=Label.GREEN)
    changed = settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:1", "oidc_audience": "lifeline"})
    async with client_for(changed) as client:
        unreachable = Issuer()
        unreachable.url = "http://127.0.0.1:1"
        assert (await me(client, token(claims(unreachable)))).status_code == 401
        assert (await me(client, keyed.headers["authorization"].removeprefix("Bearer "))).status_code == 200
