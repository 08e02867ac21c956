"""Verify that the status and the label of reports are as the ledger recorded them."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.tlp import LEVELS, MAX_LEVEL
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry
from app.ledger.queries import STATEMENT_TYPES
from app.reports.models import Report
from app.storage.types import table_of

BATCH_SIZE = 1000
AMENDING_TYPES = ("retraction", "reinstatement", "label")


async def verify_reports(connection: AsyncConnection, since: int) -> AsyncIterator[str]:
    """Yield the reports whose status or label is not what the ledger gives them, of those that later entries amended."""
    recorded = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.type).in_(STATEMENT_TYPES))
    orphans = select(col(Report.id)).where(col(Report.global_seq).not_in(recorded), col(Report.global_seq) > since)
    for orphan in (await connection.execute(orphans.order_by(col(Report.global_seq)))).scalars():
        yield f"report {orphan}: no entry records it"
    reports, entries, later = table_of(Report).c, table_of(LedgerEntry), table_of(Report).alias("later")
    touched = [
        reports.ended_global_seq > since,
        exists().where(entries.c.report_id == reports.id, entries.c.type.in_(AMENDING_TYPES), entries.c.global_seq > since),
        exists().where(later.c.supersedes == reports.id, later.c.global_seq > since),
    ]
    if not since:
        touched += [each.is_not(None) for each in (reports.superseded_from_level, reports.retracted_from_level, reports.ended_global_seq)]
        touched += [each != reports.submitted_level for each in (reports.level, reports.lowest_level, reports.highest_level)]
    page = select(table_of(Report)).where(or_(*touched)).order_by(reports.global_seq).limit(BATCH_SIZE)
    after = -1
    while rows := (await connection.execute(page.where(reports.global_seq > after))).all():
        states = {str(row.id): _ReportState(*[row.submitted_level] * 3) for row in rows}
        ids = [row.id for row in rows]
        own = select(entries).where(entries.c.report_id.in_(ids), entries.c.type.in_(AMENDING_TYPES))
        of_later = select(entries).join(later, later.c.id == entries.c.report_id).where(later.c.supersedes.in_(ids))
        amending = {row.global_seq: row for statement in (own, of_later) for row in await connection.execute(statement)}
        for _, entry in sorted(amending.items()):
            for problem in _amend(states, entry):
                yield problem
        for row in rows:
            state = states[str(row.id)]
            status = row.superseded_from_level, row.retracted_from_level, row.ended_global_seq
            if status != (state.superseded, state.retracted, state.ended):
                yield f"report {row.id}: its status is not the one that the ledger gives it"
            if (row.level, row.lowest_level, row.highest_level) != (state.level, state.lowest, state.highest):
                yield f"report {row.id}: its label is not the one that the ledger gives it"
        after = rows[-1].global_seq


@dataclass(slots=True)
class _ReportState:
    """The state of a report by the ledger: its labels, the levels from which it is superseded and retracted, and the last such entry."""

    level: int
    lowest: int
    highest: int
    superseded: int | None = None
    retracted: int | None = None
    ended: int | None = None


def _amend(states: Mapping[str, _ReportState], entry: Any) -> Iterator[str]:
    """Apply an entry to the reports that it amends, and yield what does not follow from their state."""
    detail: Any = entry.detail or {}
    what = f"entry {entry.global_seq} ({entry.type}, report {entry.report_id})"
    report, old = states.get(str(entry.report_id)), states.get(str(detail.get("supersedes")))
    if report is not None and entry.type in ("retraction", "reinstatement"):
        # Another Lifeline's is recorded also where it changes nothing.
        if (report.retracted is None) == (entry.type == "reinstatement") and FIRST_RECORDED_AT not in detail:
            yield f"{what}: it does not follow from the status that the report had"
        report.retracted, report.ended = entry.level if entry.type == "retraction" else None, entry.global_seq
    if report is not None and entry.type == "label":
        new, before = (LEVELS.get(detail.get(name), MAX_LEVEL) for name in ("sensitivity", "before"))
        if report.level != before or (entry.level, entry.redacted_below) != (min(new, before), max(new, before)):
            yield f"{what}: it does not start from the label that the report had"
        report.level, report.lowest, report.highest = new, min(report.lowest, new), max(report.highest, new)
    if old is not None:
        level = entry.level
        if entry.type == "correction":
            level = max(level, entry.redacted_below)
            if entry.redacted_below != old.level:
                yield f"{what}: its columns do not agree with the report that it supersedes"
        old.superseded, old.ended = level if old.superseded is None else min(old.superseded, level), entry.global_seq


async def verify_corrections(connection: AsyncConnection, since: int) -> AsyncIterator[str]:
    """Yield the later corrections whose columns do not agree with the report that they supersede."""
    entries, new, old = table_of(LedgerEntry), table_of(Report), table_of(Report).alias("old")
    corrections = (
        select(entries.c.global_seq, entries.c.detail, entries.c.from_indicator_id, new.c.indicator_id)
        .add_columns(old.c.id.label("old"), old.c.indicator_id.label("old_indicator_id"))
        .select_from(entries)
        .join(new, new.c.global_seq == entries.c.global_seq)
        .outerjoin(old, old.c.id == new.c.supersedes)
        .where(or_(entries.c.type == "correction", new.c.supersedes.is_not(None), entries.c.from_indicator_id.is_not(None)))
    )
    for row in await connection.execute(corrections.where(entries.c.global_seq > since).order_by(entries.c.global_seq)):
        left = row.old_indicator_id if row.old_indicator_id != row.indicator_id else None
        if ((row.detail or {}).get("supersedes"), row.from_indicator_id) != (str(row.old), left):
            yield f"entry {row.global_seq} (correction): its columns do not agree with the report that it supersedes"
