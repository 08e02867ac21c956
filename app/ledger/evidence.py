"""Outcomes follow the reports that they are recorded with, which may be on other indicators."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, case, delete, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.assessment.models import IndicatorSource
from app.ledger.models import LedgerEntry
from app.reports.models import Report
from app.storage.paging import chunks
from app.storage.types import table_of

# The facet of a source that an indicator rests on for the outcomes of its warnings, and of one that its reports name beside their own.
EVIDENCE = "~evidence"
NAMED = "~named"

OUTCOMES = table_of(LedgerEntry).alias("outcomes")
_CITED = and_(OUTCOMES.c.report_id == col(Report.id), OUTCOMES.c.type == "outcome")
# A retracted report is no evidence until it is reinstated, and a label hides what it is evidence of. A corrected one counts as recorded.
EVIDENCE_CHANGES = ("retraction", "reinstatement", "label")


def _stricter(first: Any, second: Any) -> Any:
    return case((first > second, first), else_=second)


def select_evidence_sources() -> Select[Any]:
    """Select the rows of `IndicatorSource` for the sources of evidence: level and first entry are those of the outcomes."""
    level = _stricter(OUTCOMES.c.level, col(Report.level))
    key = (OUTCOMES.c.indicator_id, col(Report.source_id), literal(EVIDENCE).label("facet"), level.label("level"))
    return select(*key, func.min(OUTCOMES.c.global_seq).label("first_global_seq")).join(Report, _CITED).group_by(*key)


async def replace_evidence_sources(session: AsyncSession, indicators: Collection[UUID]) -> None:
    """Store the sources of the evidence on some indicators."""
    rows = table_of(IndicatorSource)
    for some in chunks(indicators):
        await session.execute(delete(rows).where(rows.c.indicator_id.in_(some), rows.c.facet == EVIDENCE))
        found = select_evidence_sources().where(OUTCOMES.c.indicator_id.in_(some))
        await session.execute(insert(rows).from_select([column.name for column in rows.c], found))


def evidence_changes(entries: Collection[int] | None = None) -> Select[Any]:
    """Select the changes to evidence that is on another indicator than its outcome, or only those among some entries.

    Each row has the indicator of the outcome, the lowest clearance that sees it change, and the number of the entry.
    """
    level = _stricter(OUTCOMES.c.level, col(LedgerEntry.level))
    later = and_(
        OUTCOMES.c.report_id == col(LedgerEntry.report_id),
        OUTCOMES.c.type == "outcome",
        OUTCOMES.c.global_seq < col(LedgerEntry.global_seq),
        OUTCOMES.c.indicator_id != col(LedgerEntry.indicator_id),
        col(LedgerEntry.type).in_(EVIDENCE_CHANGES),
    )
    columns = (OUTCOMES.c.indicator_id, level.label("level"), col(LedgerEntry.global_seq))
    found = select(*columns).join(LedgerEntry, later)
    return found if entries is None else found.where(col(LedgerEntry.global_seq).in_(entries))
