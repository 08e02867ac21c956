"""Indicators at a time point, assessed again from the ledger, in slices, and kept for requests for the same."""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.envelope import Assessment
from app.assessment.inputs import AssessmentInputs, LastChange, load_inputs
from app.assessment.loading import reports_at, visible_at
from app.assessment.models import Indicator
from app.assessment.terms import grade_rank
from app.domain.kinds import KINDS
from app.domain.times import start_of
from app.domain.view import View
from app.indicators.schemas import IndicatorFilters
from app.ledger.models import HASH_COLUMNS, LedgerEntry, LedgerHead, seq_column
from app.reports.models import Report
from app.storage.paging import MAX_IN_VALUES, chunks
from app.storage.slices import end_slice
from app.storage.types import table_of

# A page may end before its limit once this many indicators are assessed; its cursor continues from there.
MAX_ASSESSED_INDICATORS = 5000
# Few enough that loading and assessing them takes about ten milliseconds.
SLICE_INDICATORS = 10
# About 2 kB each.
MAX_KEPT_DOCUMENTS = 10_000


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

    def document(self) -> str:
        """Render the document as stored then."""
        return with_revision(self.inputs.render(self.level, self.assessment), self.last_change.revision)

    def summary(self) -> "PastDocument":
        """Return the document with what lists filter and sort by."""
        assessment, preferred, kind = self.assessment, self.assessment.preferred, KINDS[self.inputs.subject.kind]
        status = None if assessment.value is None or kind.status_field is None else assessment.value[kind.status_field]
        return PastDocument(
            document=self.document(),
            place_id=self.inputs.subject.place.id,
            warning_day=assessment.warning_day,
            status=status,
            agreement=assessment.agreement,
            source=preferred.source.names.visible_at(self.level)[0] if preferred else None,
            grade_rank=grade_rank(preferred.source.reliability) if preferred else None,
            stale_after=assessment.stale_after,
            recorded_at=self.last_change.recorded_at,
        )


@dataclass(frozen=True, slots=True)
class PastDocument:
    """The document of an indicator at a time point, and what lists filter and sort by."""

    document: str
    place_id: UUID
    warning_day: date | None
    status: Any
    agreement: str | None
    source: str | None
    grade_rank: int | None
    stale_after: datetime | None
    recorded_at: datetime


# The visible ledger of a reader, and a time point.
PastState = tuple[Any, ...]
# By engine and state; None for an indicator that has no document then.
_kept: WeakKeyDictionary[Engine, OrderedDict[PastState, dict[UUID, PastDocument | None]]] = WeakKeyDictionary()


async def assess_at(connection: AsyncConnection, ids: Collection[UUID], view: View) -> dict[UUID, PastAssessment]:
    """Assess indicators at the time point of a view; those without any report by then are missing."""
    inputs = await load_inputs(connection, ids, view.horizons, view.time_point)
    found = {
        each: PastAssessment(own, own.assess(view.level), view.level) for each, own in inputs.items() if view.level in own.last_changes
    }
    with_reports: set[UUID] = set()
    for some in chunks(each for each, past in found.items() if past.assessment.value is None):
        where = (col(Report.indicator_id).in_(some), *visible_at(view.level, view.time_point), *reports_at(view.time_point))
        with_reports |= set((await connection.execute(select(col(Report.indicator_id)).where(*where).distinct())).scalars())
    return {each: past for each, past in found.items() if past.assessment.value is not None or each in with_reports}


async def past_state(connection: AsyncConnection, view: View) -> PastState | None:
    """Return what the documents at the time point of a view depend on; None if nothing that it may see was recorded by then.

    What is above the clearance is in no part of it.
    """
    through, level, head = view.time_point.through_global_seq, view.level, table_of(LedgerHead).c
    columns: list[Any] = [head[HASH_COLUMNS[level]], head.public_changes]
    if through is not None:
        recorded = select(col(LedgerEntry.global_seq)).where(seq_column(level).is_not(None), col(LedgerEntry.global_seq) <= through)
        columns.append(recorded.order_by(col(LedgerEntry.global_seq).desc()).limit(1).scalar_subquery())
    row = (await connection.execute(select(*(each.label(f"c{number}") for number, each in enumerate(columns))))).one()
    return None if through is not None and row[-1] is None else (level, view.time_point.as_of, through is None, *row)


def has_statement(view: View) -> ColumnElement[bool]:
    """Return the condition for the indicators with a statement that a view may see; others need no assessment."""
    found = select(col(Report.global_seq)).where(
        col(Report.indicator_id) == col(Indicator.id), *visible_at(view.level, view.time_point), *reports_at(view.time_point)
    )
    # With EXISTS, PostgreSQL would read all reports first.
    return found.limit(1).correlate(Indicator).scalar_subquery().is_not(None)


async def documents_at(
    connection: AsyncConnection, ids: Sequence[UUID], view: View, state: PastState | None, *, is_work: bool = True
) -> dict[UUID, PastDocument]:
    """Return the documents of indicators at the time point of a view, in order; those without any report by then are missing.

    Their assessments count as work of the request if `is_work`.
    """
    if state is None:
        return {}
    assert connection.sync_connection is not None
    states = _kept.setdefault(connection.sync_connection.engine, OrderedDict())
    kept = states.setdefault(state, {})
    states.move_to_end(state)
    found = {each: kept[each] for each in ids if each in kept}
    missing = [each for each in ids if each not in found]
    for start in range(0, len(missing), SLICE_INDICATORS):
        some = missing[start : start + SLICE_INDICATORS]
        past = await assess_at(connection, some, view)
        new = {each: past[each].summary() if each in past else None for each in some}
        kept |= new
        found |= new
        await end_slice(len(some) if is_work else 0)
    while len(states) > 1 and sum(map(len, states.values())) > MAX_KEPT_DOCUMENTS:
        states.popitem(last=False)
    if len(kept) > MAX_KEPT_DOCUMENTS:
        kept.clear()
    return {each: document for each in ids if (document := found[each]) is not None}


async def list_at(
    connection: AsyncConnection, filters: IndicatorFilters, where: Sequence[ColumnElement[bool]], view: View, *, after: UUID | None
) -> tuple[list[str], UUID | None]:
    """Return a page of documents in order of identifier, and the last identifier if there may be more, as recorded by a time.

    `where` has the conditions on the indicators' identities; the filters on their assessments are applied here.
    """
    documents: list[str] = []
    assessed = 0
    state = await past_state(connection, view)
    if state is None:
        return [], None
    # If the filters match most indicators, one or two small steps fill the page.
    step = min(MAX_IN_VALUES, filters.limit + 1)
    while assessed < MAX_ASSESSED_INDICATORS:
        statement = select(col(Indicator.id)).where(*where, has_statement(view)).order_by(col(Indicator.id)).limit(step)
        if after is not None:
            statement = statement.where(col(Indicator.id) > after)
        ids = list((await connection.execute(statement)).scalars())
        past = await documents_at(connection, ids, view, state)
        for each in ids:
            if each in past and matches(past[each], filters, view):
                if len(documents) == filters.limit:
                    return documents, after
                documents.append(past[each].document)
            after = each
        assessed += len(ids)
        if len(ids) < step:
            return documents, None
        step = min(MAX_IN_VALUES, 2 * step)
    return documents, after


def matches(past: PastDocument, filters: IndicatorFilters, view: View) -> bool:
    """Tell whether a document is one that the filters on assessments ask for."""
    if past.agreement is None and not filters.include_empty:
        return False
    status = getattr(filters, "status", None)
    if status is not None and past.status != status:
        return False
    if filters.agreement is not None and past.agreement != filters.agreement:
        return False
    if filters.source is not None and past.source != filters.source:
        return False
    if filters.min_reliability is not None and (past.grade_rank is None or past.grade_rank > grade_rank(filters.min_reliability)):
        return False
    stale = past.stale_after is not None and past.stale_after < view.at
    if filters.stale is not None and (past.grade_rank is None or stale != filters.stale):
        return False
    return filters.updated_since is None or past.recorded_at >= start_of(filters.updated_since)
