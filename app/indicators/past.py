"""Indicators at a time point, assessed again from the ledger."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.envelope import Assessment
from app.assessment.inputs import AssessmentInputs, LastChange, load_inputs
from app.assessment.loading import reports_at
from app.assessment.models import Indicator
from app.assessment.terms import grade_rank
from app.domain.kinds import KINDS
from app.domain.times import start_of
from app.domain.view import View
from app.indicators.schemas import IndicatorFilters
from app.reports.models import Report
from app.storage.paging import MAX_IN_VALUES, chunks

# A page may end before its limit once this many indicators are assessed; its cursor continues from there.
MAX_ASSESSED_INDICATORS = 5000


@dataclass(frozen=True, slots=True)
class PastAssessment:
    """One indicator at a time point, for a clearance."""

    inputs: AssessmentInputs
    assessment: Assessment
    level: int

    @property
    def last_change(self) -> LastChange:
        """The last change by then."""
        return self.inputs.last_changes[self.level]

    @property
    def warning_day(self) -> date | None:
        """The day that it is listed by among warnings."""
        return KINDS[self.inputs.subject.kind].warning_day(self.assessment.value)

    def document(self) -> str:
        """Render the document as stored then."""
        return with_revision(self.inputs.render(self.level, self.assessment), self.last_change.revision)


async def assess_at(connection: AsyncConnection, ids: Collection[UUID], view: View) -> dict[UUID, PastAssessment]:
    """Assess indicators at the time point of a view; those without any report by then are missing."""
    inputs = await load_inputs(connection, ids, view.horizons, view.time_point)
    found = {
        each: PastAssessment(own, own.assess(view.level), view.level) for each, own in inputs.items() if view.level in own.last_changes
    }
    with_reports: set[UUID] = set()
    for some in chunks(each for each, past in found.items() if past.assessment.value is None):
        where = (col(Report.indicator_id).in_(some), col(Report.level) <= view.level, *reports_at(view.time_point))
        with_reports |= set((await connection.execute(select(col(Report.indicator_id)).where(*where).distinct())).scalars())
    return {each: past for each, past in found.items() if past.assessment.value is not None or each in with_reports}


async def list_at(
    connection: AsyncConnection, filters: IndicatorFilters, where: Sequence[ColumnElement[bool]], view: View, *, after: UUID | None
) -> tuple[list[str], UUID | None]:
    """Return a page of documents in order of identifier, and the last identifier if there may be more.

    `where` has the conditions on the indicators' identities; the filters on their assessments are applied here.
    """
    documents: list[str] = []
    assessed = 0
    # If the filters match most indicators, one or two small steps fill the page.
    step = min(MAX_IN_VALUES, filters.limit + 1)
    while assessed < MAX_ASSESSED_INDICATORS:
        statement = select(col(Indicator.id)).where(*where).order_by(col(Indicator.id)).limit(step)
        if after is not None:
            statement = statement.where(col(Indicator.id) > after)
        ids = list((await connection.execute(statement)).scalars())
        past = await assess_at(connection, ids, view)
        for each in ids:
            if each in past and _matches(past[each], filters, view):
                if len(documents) == filters.limit:
                    return documents, after
                documents.append(past[each].document())
            after = each
        assessed += len(ids)
        if len(ids) < step:
            return documents, None
        step = min(MAX_IN_VALUES, 2 * step)
    return documents, after


def _matches(past: PastAssessment, filters: IndicatorFilters, view: View) -> bool:
    assessment, preferred = past.assessment, past.assessment.preferred
    kind = KINDS[past.inputs.subject.kind]
    if assessment.agreement is None and not filters.include_empty:
        return False
    status = getattr(filters, "status", None)
    if status is not None and (assessment.value is None or kind.status_field is None or assessment.value[kind.status_field] != status):
        return False
    if filters.agreement is not None and assessment.agreement != filters.agreement:
        return False
    if filters.source is not None and (preferred is None or preferred.source.names.visible_at(view.level)[0] != filters.source):
        return False
    if filters.min_reliability is not None and (
        preferred is None or grade_rank(preferred.source.reliability) > grade_rank(filters.min_reliability)
    ):
        return False
    if filters.stale is not None and (assessment.stale_after is None or (assessment.stale_after < view.at) != filters.stale):
        return False
    return filters.updated_since is None or past.last_change.recorded_at >= start_of(filters.updated_since)
