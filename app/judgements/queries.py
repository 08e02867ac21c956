"""Look up judgements as a caller may see them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.inputs import AssessmentInputs, load_inputs
from app.assessment.judgements import Judgement, latest_judgement
from app.assessment.models import Indicator
from app.domain.view import View
from app.http.problems import not_found
from app.indicators.past import has_statement
from app.ledger.models import JUDGEMENT, LedgerEntry


def status_of(judgements: Sequence[Judgement], judgement: Judgement, level: int) -> str:
    """Return the status of a judgement among those on its indicator, for a clearance."""
    if judgement.retraction is not None:
        return "retracted"
    return "standing" if latest_judgement(judgements, level) is judgement else "superseded"


def judgement_body(inputs: AssessmentInputs, judgement: Judgement, level: int) -> dict[str, Any]:
    """Return the JSON body of a judgement on an indicator, for a clearance that sees it."""
    assessment, path = inputs.assess(level), f"/v1/judgements/{judgement.id}"
    document = judgement.document()
    return document | {
        "kind": inputs.subject.kind,
        "place": inputs.subject.place.slug,
        "indicator": str(judgement.indicator),
        "status": status_of(inputs.judgements, judgement, level),
        **{name: getattr(assessment, name) and assessment.judgement is judgement for name in ("lapsed", "partial")},
        "unsupported": judgement.is_unsupported_for(level),
        "corrects": judgement.corrects,
        "reason": judgement.reason,
        "retraction": judgement.retraction,
        "links": document["links"]
        | {"indicator": f"/v1/indicators/{judgement.indicator}"}
        | {name: f"{path}/{name}" for name in ("correction", "retraction")},
    }


async def load_judged(connection: AsyncConnection, indicator: UUID, view: View) -> AssessmentInputs:
    """Load an indicator with its judgements; raise 404 if the view has no report on it."""
    seen = select(col(Indicator.id)).where(col(Indicator.id) == indicator, has_statement(view))
    if await connection.scalar(seen) is None:
        raise not_found("indicator")
    return (await load_inputs(connection, [indicator], view.horizons, view.time_point))[indicator]


async def require_judgement(connection: AsyncConnection, identifier: UUID, view: View) -> tuple[AssessmentInputs, Judgement]:
    """Return a judgement with its indicator; raise 404 if the view does not have it, or a report that it relies on."""
    entries = select(col(LedgerEntry.indicator_id)).where(col(LedgerEntry.judgement_id) == identifier, col(LedgerEntry.type) == JUDGEMENT)
    indicator = await connection.scalar(entries.where(col(LedgerEntry.level) <= view.level))
    if indicator is not None:
        inputs = (await load_inputs(connection, [indicator], view.horizons, view.time_point))[indicator]
        for each in visible_judgements(inputs, view.level):
            if each.id == identifier:
                return inputs, each
    raise not_found("judgement")


def visible_judgements(inputs: AssessmentInputs, level: int) -> list[Judgement]:
    """Return the judgements on an indicator that a clearance sees, in the order of recording."""
    return [each for each in inputs.judgements if each.shown_from <= level]
