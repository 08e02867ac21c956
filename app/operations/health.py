"""`/health/live`, `/health/ready` and `/metrics`: is the process up, can it serve, how much does it serve."""

import re
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from app.access.dependencies import DatabaseDep, SettingsDep, bearer, get_caller
from app.access.principal import Scope
from app.http.openapi import problem_responses
from app.http.problems import RETRY_AFTER_SECONDS, Problem
from app.http.responses import JSON
from app.http.state import app_state
from app.storage.database_errors import UNAVAILABLE, classify_database_error
from app.storage.migrations import required_schema_revision, read_schema_revision

router = APIRouter(tags=["Health"])


# How much is written, and how large the answers to others are, would tell of statements that the public may not see.
_NOT_FOR_ALL = re.compile(
    rb'^.*(?:method="(?!GET"|HEAD")|http_(?:request|response)_size_bytes|type="write"|lifeline_(?:webhook|response_cache_bytes|replica_lag)).*\n',
    re.MULTILINE,
)


# Released as application/json, which it never was: what is in the document stays in it.
_PROMETHEUS: dict[str, Any] = {
    "description": "Prometheus text.",
    "content": {"text/plain": {"schema": {"type": "string"}}, "application/json": {"schema": {}}},
}


_LATER = {"Retry-After": RETRY_AFTER_SECONDS}


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok"]


@router.get("/health/live", summary="Is the process up?", response_model=Health, responses=problem_responses(422))
async def live() -> Response:
    """200 while the process answers. Looks at nothing else."""
    return _ok()


@router.get("/health/ready", summary="Can it serve?", response_model=Health, responses=problem_responses(422, 503))
async def ready(database: DatabaseDep) -> Response:
    """200 when the database answers and its schema is the one that this version needs; else 503 that says which is not so."""
    # An orchestrator waits a second or two: who stands in the queue of many readers would be taken for dead, and its load given to others.
    if database.pool_health.saturated_but_responsive:
        return _ok()
    try:
        async with database.read() as connection:
            found = await connection.run_sync(read_schema_revision)
    except Exception as error:
        if (problem := classify_database_error(error)) is None:
            raise
        detail = "The database does not answer." if problem is UNAVAILABLE else problem.detail
        raise Problem(503, detail, kind="not-ready", headers=_LATER) from None
    if found != required_schema_revision():
        raise Problem(503, "The schema is not the one that this version needs: run `lifeline migrate`.", kind="not-ready", headers=_LATER)
    return _ok()


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses=problem_responses(401, 422, 503) | {200: _PROMETHEUS},
)
async def metrics(request: Request, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Requests by route, method and status, how long they took, and the state of the process, as Prometheus reads them.

    Writes and sizes of answers are told to keys with the scope `admin` alone.
    """
    # Not as a dependency: the document would say that it wants a key.
    caller = await get_caller(request, database, settings, await bearer(request))
    await app_state(request).sample_metrics(request)
    text = generate_latest(app_state(request).metrics)
    if Scope.ADMIN not in caller.scopes:
        text = _NOT_FOR_ALL.sub(b"", text)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


def _ok() -> Response:
    return Response(orjson.dumps({"status": "ok"}), headers={"Cache-Control": "no-store"}, media_type=JSON)
