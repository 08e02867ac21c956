"""Past readings: made anew from the ledger by the same pure functions that made those that are stored."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.envelope import Assessment, grade_rank
from app.assessment.inputs import AssessmentInputs, load_inputs
from app.assessment.loading import CHUNK
from app.assessment.models import Indicator
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.times import end_of_today, start_of
from app.indicators.schemas import IndicatorFilters
from app.reports.models import Report
from app.settings import Settings

# A page may end short of its limit after looking at so many indicators; its cursor goes on from there.
MOST_LOOKED_AT = 5000


class PastAssessment:
    """One indicator as it read at a moment, for a clearance."""

    def __init__(self, basis: AssessmentInputs, reading: Assessment, level: int) -> None:
        self.inputs = basis
        self.assessment = reading
        self.level = level

    @property
    def recorded_at(self) -> datetime:
        """When the last change to it had been recorded."""
        return self.inputs.last_changes[self.level].recorded_at

    def document(self) -> str:
        """The document as it was, or would have been, stored then."""
        return with_revision(self.inputs.render(self.level, self.assessment), self.inputs.last_changes[self.level].revision)

    @property
    def due_date(self) -> Any:
        """The day on which its warning falls due, None for none."""
        return KINDS[self.inputs.subject.kind].due_date(self.assessment.value) if self.assessment.value else None


async def assess_at(
    connection: AsyncConnection, ids: Collection[UUID], settings: Settings, moment: TimePoint, level: int
) -> dict[UUID, PastAssessment]:
    """The readings of some indicators at a moment; those that nobody had spoken on are left out."""
    bases = await load_inputs(connection, ids, settings, moment)
    found = {each: PastAssessment(basis, basis.assess(level), level) for each, basis in bases.items() if level in basis.last_changes}
    silent = [each for each, past in found.items() if past.assessment.value is None]
    spoken: set[UUID] = set()
    for start in range(0, len(silent), CHUNK):
        where = [col(Report.indicator_id).in_(silent[start : start + CHUNK]), col(Report.level) <= level]
        if moment.as_of is not None:
            where.append(col(Report.stated_at) <= moment.as_of)
        if moment.through_global_seq is not None:
            where.append(col(Report.global_seq) <= moment.through_global_seq)
        spoken |= set((await connection.execute(select(col(Report.indicator_id)).where(*where).distinct())).scalars())
    return {each: past for each, past in found.items() if past.assessment.value is not None or each in spoken}


async def list_at(
    connection: AsyncConnection,
    filters: IndicatorFilters,
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    level: int,
    moment: TimePoint,
    settings: Settings,
) -> tuple[list[str], UUID | None]:
    """A page of past documents in order of identifier, and the last identifier when there may be more.

    `where` holds the conditions on what indicators are about; the filters on what they read are applied here.
    """
    documents: list[str] = []
    looked_at = 0
    # Where little is filtered out a short look or two are enough.
    most = min(CHUNK, filters.limit + 1)
    while looked_at < MOST_LOOKED_AT:
        statement = select(col(Indicator.id)).where(*where).order_by(col(Indicator.id)).limit(most)
        if after is not None:
            statement = statement.where(col(Indicator.id) > after)
        ids = list((await connection.execute(statement)).scalars())
        past = await assess_at(connection, ids, settings, moment, level)
        for each in ids:
            if each in past and _matches(past[each], filters, moment):
                if len(documents) == filters.limit:
                    return documents, after
                documents.append(past[each].document())
            after = each
        looked_at += len(ids)
        if len(ids) < most:
            return documents, None
        most = min(CHUNK, 2 * most)
    return documents, after


def _matches(past: PastAssessment, filters: IndicatorFilters, moment: TimePoint) -> bool:
    reading, preferred = past.assessment, past.assessment.preferred
    kind = KINDS[past.inputs.subject.kind]
    status = getattr(filters, "status", None)
    if status is not None and (reading.value is None or kind.status_field is None or reading.value[kind.status_field] != status):
        return False
    if filters.agreement is not None and reading.agreement != filters.agreement:
        return False
    if filters.source is not None and (preferred is None or preferred.source.names.visible_at(past.level)[0] != filters.source):
        return False
    if filters.min_reliability is not None and (
        preferred is None or grade_rank(preferred.source.reliability) > grade_rank(filters.min_reliability)
    ):
        return False
    if filters.stale is not None and (
        reading.stale_after is None or (reading.stale_after < (moment.as_of or end_of_today())) != filters.stale
    ):
        return False
    return filters.updated_since is None or past.recorded_at >= start_of(filters.updated_since)
