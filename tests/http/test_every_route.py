"""Every route of the OpenAPI document with no key, a wrong one, one expired, one revoked, and one of each scope."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.access.keys import list_keys, revoke_key
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeKey, sqlite_only
from tests.support.openapi import DOCUMENT

READ, REPORT, CURATE, ADMIN = Scope
NOBODY = "00000000-0000-7000-8000-000000000000"

# What a key needs for each operation: None for nothing, else any of these scopes.
NEEDS: dict[str, tuple[Scope, ...] | None] = {
    **dict.fromkeys(
        (
            "GET /v1/situations", "GET /v1/situations/{place}", "GET /v1/warnings", "GET /v1/ledger/head", "GET /v1/sources/{slug}/record",
            "GET /v1/indicators", "GET /v1/indicators/{id}", "GET /v1/indicators/{id}/history", "GET /v1/trapped-populations",
            "GET /v1/supply-runouts", "GET /v1/route-closures", "GET /v1/changes", "GET /v1/stream", "GET /v1/reports",
            "GET /v1/reports/{id}", "GET /v1/places", "GET /v1/places/{slug}", "GET /v1/sources", "GET /v1/sources/{slug}",
            "GET /v1/alerts", "GET /v1/alerts/{id}.cap", "GET /v1/reports/{id}/provenance", "GET /ogc/collections/{collection}", "GET /ogc",
            "GET /ogc/collections/{collection}/items", "GET /ogc/collections/{collection}/items/{feature}", "GET /ogc/collections",
            "GET /ogc/conformance", "GET /v1/routes", "GET /v1/routes/{slug}", "GET /v1/me", "GET /metrics",
        )
    ),
    **dict.fromkeys(
        (
            "POST /v1/webhooks", "GET /v1/webhooks", "GET /v1/webhooks/{id}", "DELETE /v1/webhooks/{id}",
            "GET /v1/webhooks/{id}/deliveries", "POST /v1/webhooks/{id}/deliveries/{delivery}/redelivery",
        ),
        (READ,),
    ),
    "POST /v1/reports": (REPORT,),
    "POST /v1/imports": (REPORT,),
    "POST /v1/reports/{id}/correction": (REPORT, CURATE),
    "POST /v1/reports/{id}/retraction": (REPORT, CURATE),
    **dict.fromkeys(
        (
            "POST /v1/indicators/{id}/outcome", "POST /v1/sources/{slug}/grades", "POST /v1/reports/{id}/label", "GET /v1/label-proposals",
            "POST /v1/label-proposals/{id}/confirmation", "POST /v1/places", "POST /v1/sources", "POST /v1/routes",
        ),
        (CURATE,),
    ),
    **dict.fromkeys(
        ("GET /v1/keys", "POST /v1/keys", "GET /v1/keys/{id}", "DELETE /v1/keys/{id}", "POST /v1/keys/{id}/rotation", "GET /v1/audit"),
        (ADMIN,),
    ),
}  # fmt: skip
# These look at no key at all, be it good or bad.
KEYLESS = ("GET /health/live", "GET /health/ready", "GET /openapi.json", "GET /docs")
# A reader who may come in gets this; a writer comes as far as his empty body or the record that is not there.
ENTERED = {"GET": (200, 404), "POST": (404, 422), "DELETE": (404,)}


def operations() -> set[str]:
    paths = DOCUMENT["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_no_route_is_missing_from_the_table() -> None:
    left = {each for each in operations() ^ (NEEDS.keys() | set(KEYLESS)) if each not in ("GET /openapi.json", "GET /docs")}
    assert not left, "say in the table who may come in"


@pytest.fixture
async def keys(make_key: MakeKey, database: Database) -> dict[str, str]:
    """What is sent as a key, by what it is."""
    revoked = await make_key(organisation="revoked", clearance=Label.RED)
    async with database.write() as session:
        (row,) = [key for key in await list_keys(session) if key.organisation == "revoked"]
        await revoke_key(session, row.id)
    return {
        "wrong": "ll_" + "x" * 43,
        "expired": await make_key(clearance=Label.RED, expires_at=utc_now() - timedelta(seconds=1)),
        "revoked": revoked,
        **{scope.value: await make_key(scope, clearance=Label.RED) for scope in Scope},
    }


async def ask(client: httpx.AsyncClient, operation: str, key: str | None, stage: dict[str, str]) -> int:
    method, path = operation.split(" ")
    for name, value in stage.items():
        path = path.replace(f"{{{name}}}", value)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    # A HEAD of a stream ends at once.
    asked = "HEAD" if path.endswith("/stream") else method
    answer = await client.request(asked, path, headers=headers, json={} if method == "POST" else None)
    if answer.status_code >= 400 and asked != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json", operation
    for name in ("x-content-type-options", "referrer-policy", "content-security-policy"):
        assert name in answer.headers, (operation, name)
    assert key is None or key not in answer.text, operation
    return answer.status_code


@sqlite_only
async def test_who_may_come_in(anonymous: httpx.AsyncClient, client: httpx.AsyncClient, reference: Reference, keys: dict[str, str]) -> None:
    made = (await client.post("/v1/reports", json=report())).json()
    stage = {"id": NOBODY, "slug": "agency", "place": "oldtown", "delivery": NOBODY, "collection": "places", "feature": NOBODY}
    wrong: list[Any] = []
    for operation, needed in NEEDS.items():
        method = operation.split(" ")[0]
        for what, key in {"none": None, **keys}.items():
            status = await ask(anonymous, operation, key, stage)
            if what in ("wrong", "expired", "revoked"):
                expected: tuple[int, ...] = (401,)
            elif needed is None:
                expected = ENTERED[method]
            elif key is None:
                expected = (401,)
            else:
                expected = ENTERED[method] if Scope(what) in needed else (403,)
            if status not in expected:
                wrong.append((operation, what, status))
    assert not wrong
    for operation in KEYLESS:
        assert [await ask(anonymous, operation, key, stage) for key in (None, keys["wrong"], keys["read"])] == [200] * 3, operation
    assert (await client.get("/v1/reports")).json()["revision"] == made["seq"], "nothing was written"
    assert UUID(made["id"])
