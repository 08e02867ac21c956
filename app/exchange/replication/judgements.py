"""Applies judgements of another Lifeline, and their withdrawals."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.exchange.replication.entry_schema import Entry
from app.http.problems import FieldProblem, Problem, invalid, validate_model
from app.judgements.service import Given, correct_judgement, record_judgement, retract_judgement
from app.ledger.models import JUDGEMENT, JUDGEMENT_TYPES, LedgerEntry
from app.reference.queries import find_places
from app.settings import Settings


class JudgementApplier:
    """Applies judgements with their identifiers; `local` returns the identifier that a report or judgement has here."""

    def __init__(self, settings: Settings, local: Callable[[UUID], UUID]) -> None:
        self._settings = settings
        self._local = local
        self.by_type = {JUDGEMENT_TYPES[0]: self.record, JUDGEMENT_TYPES[1]: self.retract}

    async def record(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        """Record a judgement unless the caller sees it here; return whether it was added. It relies on those reports that are here."""
        judgement = entry.detail.judgement
        assert judgement is not None
        assert judgement.kind is not None
        assert judgement.place is not None
        level = await _level_of(session, judgement.id, JUDGEMENT)
        if level is not None and level <= caller.level:
            return False
        kind, body = KINDS[judgement.kind], dict(judgement.model_extra or {})
        body["reports"] = [str(self._local(each)) for each in judgement.reports]
        value, errors = validate_model(kind.value_model, body.get("value"), ["detail", "judgement", "value"])
        place = (await find_places(await session.connection(), [judgement.place])).get(judgement.place)
        if place is None:
            errors.append(FieldProblem(pointer="/detail/judgement/place", detail="no such place"))
        if value is None or place is None:
            raise invalid(errors)
        # One that the caller must not know of has the identifier.
        given = Given(None if level is not None else judgement.id, entry.first_recorded_at)
        if (corrects := entry.detail.corrects) is not None:
            try:
                await correct_judgement(session, caller, corrects, body | {"reason": entry.reason}, self._settings, given)
            except Problem as problem:
                if problem.status not in (404, 409):
                    raise
            else:
                return True
        # The one that it corrects is not here or no longer stands: this is still the conclusion.
        await record_judgement(session, caller, indicator_id(kind.name, place.id, kind.subject(value)), body, self._settings, given)
        return True

    async def retract(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        """Withdraw a judgement unless it is withdrawn here; return whether it was."""
        assert entry.detail.judgement is not None
        identifier = entry.detail.judgement.id
        if await _level_of(session, identifier, JUDGEMENT_TYPES[1]) is not None:
            return False
        await retract_judgement(session, caller, identifier, entry.reason, self._settings, entry.first_recorded_at)
        return True


async def _level_of(session: AsyncSession, judgement: UUID, type_: str) -> int | None:
    """Return the level of the entry of a type about a judgement; None without one."""
    entries = select(col(LedgerEntry.level)).where(col(LedgerEntry.judgement_id) == judgement, col(LedgerEntry.type) == type_)
    return (await session.execute(entries)).scalar_one_or_none()
