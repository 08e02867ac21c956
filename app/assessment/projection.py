"""Reading indicators anew in the commit of the change that moves them, and keeping the documents."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.assessment.document import Subject
from app.assessment.envelope import Assessment, grade_rank
from app.assessment.inputs import INDICATORS, AssessmentInputs, LastChange, horizon_of, load_outcomes
from app.assessment.loading import CHUNK, load_latest
from app.assessment.models import IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.tlp import LABELS, TOP
from app.ledger.models import LedgerEntry
from app.reference.queries import places_by_id
from app.reference.records import REVEAL_FROM
from app.settings import Settings
from app.storage.types import table_of


def projection_rows(basis: AssessmentInputs) -> list[dict[str, Any]]:
    """The rows to keep for one indicator: one for each run of clearances that see the same reading and the same last change.

    Pure, so that `verify` can make the same rows from the ledger.
    """
    rows: list[dict[str, Any]] = []
    before: tuple[Any, ...] | None = None
    for level, touch in sorted(basis.last_changes.items()):
        reading = basis.assess(level)
        masked = level < REVEAL_FROM and reading.preferred is not None and reading.preferred.protected
        seen = (touch.recorded_at, reading.value, [(each.statement.number, each.facets) for each in reading.standing], masked)
        if seen == before and rows[-1]["max_clearance"] == level - 1:
            rows[-1]["max_clearance"] = level
        else:
            rows.append(_row(basis, level, reading))
        rows[-1][f"revision_{LABELS[level]}"] = touch.revision
        before = seen
    return rows


def _row(basis: AssessmentInputs, level: int, reading: Assessment) -> dict[str, Any]:
    kind = KINDS[basis.subject.kind]
    preferred = reading.preferred
    return {
        "indicator_id": basis.subject.id,
        "min_clearance": level,
        "max_clearance": level,
        "kind": basis.subject.kind,
        "place_id": basis.subject.place.id,
        "country": basis.subject.place.country,
        "filter_key": basis.filter_key,
        "state": reading.value.get(kind.status_field) if reading.value and kind.status_field else None,
        "agreement": reading.agreement,
        "preferred_source_id": preferred.source.id if preferred else None,
        "preferred_grade_rank": grade_rank(preferred.source.reliability) if preferred else None,
        "due_date": kind.due_date(reading.value) if reading.value else None,
        "stale_after": reading.stale_after,
        "recorded_at": basis.last_changes[level].recorded_at,
        **{f"revision_{label}": None for label in LABELS},
        "document": basis.render(level, reading),
    }


async def load_subjects(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, tuple[Subject, str]]:
    """What some indicators are about, and their topics."""
    connection = await session.connection()
    rows = (await connection.execute(INDICATORS, {"ids": ids})).all()
    places = await places_by_id(connection, {row.place_id for row in rows})
    return {row.id: (Subject(row.id, row.kind, row.subject, places[row.place_id]), row.filter_key) for row in rows}


async def reassess(
    session: AsyncSession,
    subjects: Mapping[UUID, tuple[Subject, str]],
    touched: Sequence[tuple[UUID, int, LedgerEntry]],
    settings: Settings,
) -> None:
    """Read some indicators anew, and replace what is kept of them.

    `subjects` gives each indicator and its topic. `touched` says, in order, which change moved which of them, for the
    clearances from a level on; the changes have their positions already.
    """
    ids = list(subjects)
    touches = await _stored_touches(session, ids)
    for indicator, from_level, change in touched:
        for level in range(from_level, TOP + 1):
            touches[indicator][level] = LastChange(getattr(change, f"seq_{LABELS[level]}"), change.recorded_at)
    connection = await session.connection()
    statements = await load_latest(connection, ids)
    outcomes = await load_outcomes(connection, {each: about.kind for each, (about, _) in subjects.items()})
    rows: list[dict[str, Any]] = []
    for each, (about, filter_key) in subjects.items():
        horizon = horizon_of(about.kind, settings)
        rows.extend(
            projection_rows(AssessmentInputs(about, filter_key, horizon, statements.get(each, []), outcomes.get(each, []), touches[each]))
        )
    await replace_rows(session, ids, rows)


_OF_SOME = col(IndicatorProjection.indicator_id).in_(bindparam("ids", expanding=True))
_FORGET = delete(table_of(IndicatorProjection)).where(_OF_SOME)
_TOUCHES = select(
    *(table_of(IndicatorProjection).c[name] for name in ("indicator_id", "min_clearance", "max_clearance", "recorded_at")),
    *(table_of(IndicatorProjection).c[f"revision_{label}"] for label in LABELS),
).where(_OF_SOME)


async def replace_rows(session: AsyncSession, ids: Sequence[UUID], rows: Sequence[dict[str, Any]]) -> None:
    """Replace all that is kept of some indicators."""
    for start in range(0, len(ids), CHUNK):
        await session.execute(_FORGET, {"ids": ids[start : start + CHUNK]})
    if rows:
        await session.execute(insert(table_of(IndicatorProjection)), rows)


async def _stored_touches(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, dict[int, LastChange]]:
    touches: dict[UUID, dict[int, LastChange]] = {each: {} for each in ids}
    wanted = list(ids)
    for start in range(0, len(wanted), CHUNK):
        for row in (await session.execute(_TOUCHES, {"ids": wanted[start : start + CHUNK]})).mappings():
            for level in range(row["min_clearance"], row["max_clearance"] + 1):
                touches[row["indicator_id"]][level] = LastChange(row[f"revision_{LABELS[level]}"], row["recorded_at"])
    return touches
