"""Look up what entries of another Lifeline have recorded here."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.times import start_of
from app.exchange.replication.entry_schema import Entry
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry, first_recorded
from app.reports.queries import find_by_fingerprint
from app.reports.references import FieldErrors
from app.reports.validation import ValidatedReport, resolve_references
from app.settings import Settings


async def last_label_elsewhere(session: AsyncSession, report: UUID) -> datetime | None:
    """Return when another Lifeline recorded the last change of a label; None if this service did, or if its label never changed."""
    labels = select(col(LedgerEntry.detail)).where(col(LedgerEntry.report_id) == report, col(LedgerEntry.type) == "label")
    detail = await session.scalar(labels.order_by(col(LedgerEntry.global_seq).desc()).limit(1))
    changed_at = (detail or {}).get(FIRST_RECORDED_AT)
    return None if changed_at is None else start_of(changed_at)


async def is_recorded(session: AsyncSession, caller: Principal, entry: Entry, type_: str, about: ColumnElement[bool]) -> bool:
    """Return whether the caller sees an entry here that was first recorded at the same time, here or elsewhere."""
    where = col(LedgerEntry.type) == type_, col(LedgerEntry.level) <= caller.level, about
    rows = await session.execute(select(col(LedgerEntry.recorded_at), col(LedgerEntry.detail)).where(*where))
    return any(entry.first_recorded_at in (row.recorded_at, first_recorded(row.recorded_at, row.detail)) for row in rows)


async def first_recorded_of(session: AsyncSession, global_seq: int) -> datetime:
    """Return when an entry was first recorded, here or elsewhere."""
    statement = select(col(LedgerEntry.recorded_at), col(LedgerEntry.detail)).where(col(LedgerEntry.global_seq) == global_seq)
    return first_recorded(*(await session.execute(statement)).one())


async def is_stated(session: AsyncSession, caller: Principal, sent: ValidatedReport | FieldErrors, settings: Settings) -> bool:
    """Return whether the statement of a report is recorded, under any identifier, as far as the caller may know."""
    (resolved,) = await resolve_references(session, caller, [sent], settings, replicated=True)
    if isinstance(resolved, list):
        return False
    return bool(await find_by_fingerprint(await session.connection(), [resolved.fingerprint], caller.level))
