"""Look up what entries of another Lifeline have recorded here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.tlp import LEVELS
from app.exchange.replication.entry_schema import Entry
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry, first_recorded
from app.reports.queries import find_by_fingerprint
from app.reports.references import FieldErrors
from app.reports.validation import ValidatedReport, resolve_references
from app.settings import Settings
from app.storage.types import table_of


@dataclass(frozen=True, slots=True, order=True)
class Amendment:
    """An entry about a report, in the order that every Lifeline computes alike: of one time, a retraction comes last."""

    first_recorded_at: datetime
    withdraws: bool
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def from_elsewhere(self) -> bool:
        """Return whether another Lifeline recorded it first."""
        return FIRST_RECORDED_AT in self.detail

    @property
    def lowers_from(self) -> int:
        """Return the level from which it lowers a label; -1 if it raises one."""
        new, before = (LEVELS[self.detail[name]] for name in ("sensitivity", "before"))
        return before if new < before else -1


async def amendments_of(session: AsyncSession, caller: Principal, report: UUID, *types: str) -> list[Amendment]:
    """Return the entries of some types about a report that the caller sees, in the order of their first recording."""
    entries = table_of(LedgerEntry).c
    found = select(entries.type, entries.recorded_at, entries.detail).where(
        entries.report_id == report, entries.type.in_(types), entries.level <= caller.level
    )
    rows = await session.execute(found)
    return sorted(Amendment(first_recorded(row.recorded_at, row.detail), row.type == "retraction", row.detail or {}) for row in rows)


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
