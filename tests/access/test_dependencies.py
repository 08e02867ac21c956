"""Access to every operation: without a key, with a wrong, an expired and a revoked one, and with one of each scope."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.access.keys import list_keys, revoke_key
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeKey, sqlite_only
from tests.support.openapi import DOCUMENT

READ, REPORT, CURATE, ADMIN = Scope
UNKNOWN = "00000000-0000-7000-8000-000000000000"

# The scopes of which a key needs one; None where no key is needed.
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
            "GET /v1/ledger/checkpoint", "GET /v1/ledger/tile/{height}/{number}", "GET /v1/ledger/tile/entries/{number}",
            "GET /v1/reports/{id}.tlog-proof", "GET /v1/reports/{id}.tlog-entry", "GET /v1/judgements/{id}/provenance",
            "GET /v1/judgements/{id}.tlog-proof", "GET /v1/judgements/{id}.tlog-entry", "GET /v1/judgements/{id}",
            "GET /v1/indicators/{id}/judgements", "GET /v1/aid-deliveries", "GET /v1/population-movements", "GET /v1/service-statuses",
            "GET /v1/situations/{place}/brief", "GET /v1/situations/{place}/digest",
        )
    ),
    **dict.fromkeys(
        (
            "POST /v1/webhooks", "GET /v1/webhooks", "GET /v1/webhooks/{id}", "DELETE /v1/webhooks/{id}",
            "GET /v1/webhooks/{id}/deliveries", "POST /v1/webhooks/{id}/deliveries/{delivery}/redelivery",
        ),
        (READ,),
    ),
    **dict.fromkeys(
        (
            "POST /v1/reports", "POST /v1/imports", "POST /v1/drafts", "GET /v1/drafts", "GET /v1/drafts/{id}", "PATCH /v1/drafts/{id}",
            "POST /v1/drafts/{id}/confirmation", "POST /v1/drafts/{id}/rejection", "POST /v1/drafts/from-text",
        ),
        (REPORT,),
    ),
    "POST /v1/reports/{id}/correction": (REPORT, CURATE),
    "POST /v1/reports/{id}/retraction": (REPORT, CURATE),
    "POST /v1/reports/{id}/reinstatement": (REPORT, CURATE),
    "POST /v1/drafts/preview": (REPORT, CURATE),
    **dict.fromkeys(
        (
            "POST /v1/indicators/{id}/outcome", "POST /v1/sources/{slug}/grades", "POST /v1/reports/{id}/label", "GET /v1/label-proposals",
            "POST /v1/label-proposals/{id}/confirmation", "POST /v1/places", "POST /v1/sources", "POST /v1/routes",
            "PATCH /v1/places/{slug}", "PATCH /v1/sources/{slug}", "PATCH /v1/routes/{slug}", "POST /v1/indicators/{id}/judgements",
            "POST /v1/judgements/{id}/correction", "POST /v1/judgements/{id}/retraction",
        ),
        (CURATE,),
    ),
    **dict.fromkeys(
        ("GET /v1/keys", "POST /v1/keys", "GET /v1/keys/{id}", "DELETE /v1/keys/{id}", "POST /v1/keys/{id}/rotation", "GET /v1/audit"),
        (ADMIN,),
    ),
}  # fmt: skip
# Operations that ignore keys, with their status; without a key that signs, no checkpoint is cosigned.
KEYLESS = dict.fromkeys(("GET /health/live", "GET /health/ready", "GET /openapi.json", "GET /docs"), 200) | {
    "POST /v1/witness/add-checkpoint": 404
}
# Statuses with access; a write then fails on its empty body or on the unknown record.
WITH_ACCESS = {"GET": (200, 404), "POST": (404, 422), "PATCH": (200, 404, 422), "DELETE": (404,)}


def operations() -> set[str]:
    paths = DOCUMENT["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_table_has_every_operation() -> None:
    left = {each for each in operations() ^ (NEEDS.keys() | KEYLESS.keys()) if each not in ("GET /openapi.json", "GET /docs")}
    assert not left, "add the operation to the table"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Return settings that let an address send a wrong key to every operation."""
    return settings.model_copy(update={"rate_limit_failures": None})


@pytest.fixture
async def keys(make_key: MakeKey, database: Database) -> dict[str, str]:
    """Return a key of each sort."""
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


async def request(client: httpx.AsyncClient, operation: str, key: str | None, stage: dict[str, str]) -> int:
    method, path = operation.split(" ")
    for name, value in stage.items():
        path = path.replace(f"{{{name}}}", value)
    path += "?since=2016-07-28" if path.endswith("/digest") else ""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    # A HEAD of a stream ends at once.
    sent = "HEAD" if path.endswith("/stream") else method
    answer = await client.request(sent, path, headers=headers, json={} if method in ("POST", "PATCH") else None)
    if answer.status_code >= 400 and sent != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json", operation
    for name in ("x-content-type-options", "referrer-policy", "content-security-policy"):
        assert name in answer.headers, (operation, name)
    assert key is None or key not in answer.text, operation
    return answer.status_code


@sqlite_only
async def test_operation_answers_only_keys_with_its_scope(
    anonymous: httpx.AsyncClient, client: httpx.AsyncClient, reference: Reference, keys: dict[str, str]
) -> None:
    made = (await client.post("/v1/reports", json=report())).json()
    stage = {"id": UNKNOWN, "slug": "agency", "place": "oldtown", "delivery": UNKNOWN, "collection": "places", "feature": UNKNOWN}
    stage |= {"height": "0", "number": "000.p/1"}
    wrong: list[Any] = []
    for operation, needed in NEEDS.items():
        method = operation.split(" ")[0]
        for sort, key in {"none": None, **keys}.items():
            status = await request(anonymous, operation, key, stage)
            if sort in ("wrong", "expired", "revoked"):
                expected: tuple[int, ...] = (401,)
            elif needed is None:
                expected = WITH_ACCESS[method]
            elif key is None:
                expected = (401,)
            else:
                expected = WITH_ACCESS[method] if Scope(sort) in needed else (403,)
            if status not in expected:
                wrong.append((operation, sort, status))
    assert not wrong
    for operation, status in KEYLESS.items():
        assert [await request(anonymous, operation, key, stage) for key in (None, keys["wrong"], keys["read"])] == [status] * 3, operation
    assert (await client.get("/v1/reports")).json()["revision"] == made["seq"], "no request has written anything"
    assert UUID(made["id"])
