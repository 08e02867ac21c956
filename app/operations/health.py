"""`/health/live`, `/health/ready` and `/metrics`."""

import re
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from sqlalchemy import select
from typing_extensions import TypeAliasType

from app.access.dependencies import DatabaseDep, SettingsDep, bearer, get_caller
from app.access.principal import Scope
from app.http.openapi import problem_responses
from app.http.problems import RETRY_AFTER_SECONDS, Problem
from app.http.responses import JSON
from app.http.state import app_state
from app.ledger.appender import CLOCK_BEHIND, is_clock_behind
from app.ledger.checkpoints import find_signing_problems
from app.ledger.models import LedgerHead
from app.storage.database_errors import UNAVAILABLE, classify_database_error
from app.storage.migrations import read_schema_revision, schema_problem
from app.storage.types import table_of

router = APIRouter(tags=["Health"])

# Metrics for callers without the scope `admin`. Numbers of writes and of responses that no cache held, sizes, times, reads of drafts,
# and what the process and the database use would reveal restricted activity.
_PUBLIC_LINES = re.compile(
    rb'^(?:lifeline_requests_total\{(?!.*handler="/v1/drafts).*method="(?:GET|HEAD)"|# (?:HELP|TYPE) lifeline_requests_total |'
    rb"(?:# (?:HELP|TYPE) )?lifeline_(?:database_up|ledger_seq|stale_indicators|replica_up|open_streams)[ {]).*\n",
    re.MULTILINE,
)
_PROMETHEUS: dict[str, Any] = {
    "description": "Metrics in the Prometheus text format.",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": "# TYPE lifeline_ledger_seq gauge\nlifeline_ledger_seq 16.0\n"}},
}


CheckpointState = TypeAliasType("CheckpointState", Literal["off", "signed", "refused"])


class Health(BaseModel):
    """Health of the service."""

    status: Literal["ok"] = Field(description="Always `ok`; an unhealthy service answers 503 or not at all.")


class Readiness(Health):
    """Health of the service, and whether it signs checkpoints."""

    checkpoints: CheckpointState | None = Field(
        description="Whether checkpoints are signed. `refused`: the ledger, as callers without a key see it, does not continue what was "
        "signed before; `lifeline doctor` says why. null: not looked at under load."
    )


@router.get("/health/live", summary="Check liveness", response_model=Health, responses=problem_responses(422))
async def get_liveness() -> Response:
    """Return 200 while the process answers requests; checks nothing else."""
    return _ok()


@router.get("/health/ready", summary="Check readiness", response_model=Readiness, responses=problem_responses(422, 503))
async def get_readiness(database: DatabaseDep, settings: SettingsDep) -> Response:
    """Return 200 if the database answers, has the schema of this version and accepts entries; otherwise 503 with the reason.

    The service does not record while its clock is more than a day behind the last ledger entry. It records and is read without checkpoints.
    """
    # An orchestrator waits a second or two: if this waited for a connection behind many readers, the process would be restarted.
    if database.pool_health.saturated_but_responsive:
        return _ok(checkpoints=None)
    try:
        async with database.read() as connection:
            found = await connection.run_sync(read_schema_revision)
            if schema_problem(found) is not None:
                raise _not_ready("The database does not have the schema of this version: run `lifeline migrate`.")
            last_recorded_at = (await connection.execute(select(table_of(LedgerHead).c.recorded_at))).scalar_one()
        checkpoints = "off"
        if settings.origin is not None:
            # As callers without a key see it, so that a probe tells nothing of restricted entries.
            levels = range(settings.public_clearance.level + 1)
            checkpoints = "refused" if await find_signing_problems(settings, levels, database.read_latest) else "signed"
    except Exception as error:
        if (problem := classify_database_error(error)) is None:
            raise
        raise _not_ready("The database does not answer." if problem is UNAVAILABLE else problem.detail) from None
    if is_clock_behind(last_recorded_at):
        raise _not_ready(CLOCK_BEHIND)
    return _ok(checkpoints=checkpoints)


@router.get(
    "/metrics", summary="Get metrics", response_class=PlainTextResponse, responses=problem_responses(401, 422, 503) | {200: _PROMETHEUS}
)
async def get_metrics(request: Request) -> Response:
    """Return requests by route, method and status, latencies, and the state of the process in the Prometheus text format.

    Without the scope `admin`: reads by route and status, and the state of the public ledger.
    """
    # Called here, because as a dependency it would mark the operation as one that needs a key.
    caller = await get_caller(request, await bearer(request))
    await app_state(request).database_metrics.sample(all_gauges=Scope.ADMIN in caller.scopes)
    text = generate_latest(app_state(request).metrics)
    if Scope.ADMIN not in caller.scopes:
        text = b"".join(_PUBLIC_LINES.findall(text))
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


def _ok(**more: str | None) -> Response:
    return Response(orjson.dumps({"status": "ok"} | more), headers={"Cache-Control": "no-store"}, media_type=JSON)


def _not_ready(detail: str) -> Problem:
    return Problem(503, detail, kind="not-ready", headers={"Retry-After": RETRY_AFTER_SECONDS})
