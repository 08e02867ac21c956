"""Reading indicators anew in the commit of the change that moves them, and keeping the documents."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from app.db import table_of
from app.indicators.models import StoredReading
from app.indicators.statements import CHUNK, load_latest
from app.kinds import KINDS
from app.labels import LABELS, TOP
from app.ledger.models import Change
from app.reading.document import Subject, render
from app.reading.envelope import Reading, grade_rank, read
from app.reading.statements import Statement
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Touch:
    """The last change to an indicator that a clearance sees: its seq there, and when it was recorded."""

    revision: int
    recorded_at: datetime


def horizon_of(kind: str, settings: Settings) -> timedelta:
    """How long a statement of a kind stands behind the newest of its indicator."""
    return timedelta(days=settings.horizon_days.get(kind, KINDS[kind].horizon_days))


def rows_of(about: Subject, topic: str, statements: Collection[Statement], touches: Mapping[int, Touch], horizon: timedelta) -> list[dict[str, Any]]:
    """The rows to keep for one indicator: one for each run of clearances that see the same statements and the same last change.

    `touches` has the clearances that see the indicator at all. Pure, so that `verify` can make the same rows from the ledger.
    """
    kind = KINDS[about.kind]
    rows: list[dict[str, Any]] = []
    before: tuple[Any, ...] | None = None
    for level, touch in sorted(touches.items()):
        reading = read(kind, statements, level=level, horizon=horizon)
        seen = (touch.recorded_at, [(each.statement.number, each.aspects) for each in reading.standing])
        if seen == before and rows[-1]["highest"] == level - 1:
            rows[-1]["highest"] = level
        else:
            rows.append(_row(about, topic, kind.state, level, reading, touch.recorded_at))
        rows[-1][f"revision_{LABELS[level]}"] = touch.revision
        before = seen
    return rows


def _row(about: Subject, topic: str, state: str | None, level: int, reading: Reading, recorded_at: datetime) -> dict[str, Any]:
    preferred = reading.preferred
    return {
        "indicator_id": about.id,
        "lowest": level,
        "highest": level,
        "kind": about.kind,
        "place_id": about.place.id,
        "country": about.place.country,
        "topic": topic,
        "state": reading.value.get(state) if reading.value and state else None,
        "agreement": reading.agreement,
        "source_id": preferred.source.id if preferred else None,
        "grade_rank": grade_rank(preferred.source.reliability) if preferred else None,
        "stale_after": reading.stale_after,
        "recorded_at": recorded_at,
        **{f"revision_{label}": None for label in LABELS},
        "document": render(about, reading, recorded_at),
    }


async def read_anew(session: AsyncSession, subjects: Mapping[UUID, tuple[Subject, str]], changes: Collection[Change], settings: Settings) -> None:
    """Read the indicators that these changes touch, and replace what is kept of them.

    `subjects` gives each indicator and its topic. The changes have their positions already.
    """
    ids = list(subjects)
    touches: dict[UUID, dict[int, Touch]] = {each: {} for each in ids}
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        for row in await session.scalars(select(StoredReading).where(col(StoredReading.indicator_id).in_(some))):
            for level in range(row.lowest, row.highest + 1):
                touches[row.indicator_id][level] = Touch(getattr(row, f"revision_{LABELS[level]}"), row.recorded_at)
            session.expunge(row)
    for change in changes:
        if change.indicator_id is not None:
            for level in range(change.level, TOP + 1):
                touches[change.indicator_id][level] = Touch(getattr(change, f"seq_{LABELS[level]}"), change.recorded_at)
    statements = await load_latest(await session.connection(), ids)
    rows: list[dict[str, Any]] = []
    for each, (about, topic) in subjects.items():
        rows.extend(rows_of(about, topic, statements.get(each, []), touches[each], horizon_of(about.kind, settings)))
    for start in range(0, len(ids), CHUNK):
        await session.execute(delete(StoredReading).where(col(StoredReading.indicator_id).in_(ids[start : start + CHUNK])))
    if rows:
        await session.execute(insert(table_of(StoredReading)), rows)
