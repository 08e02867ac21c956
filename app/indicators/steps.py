"""Indicators as of a time and as recorded now, read from the steps that are kept of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, and_, bindparam, case, exists, false, or_, select, true, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from app.assessment.inputs import LastChange, load_last_changes
from app.assessment.models import IndicatorProjection, IndicatorSource, IndicatorStep, StaleRecord
from app.assessment.steps import complete
from app.domain.tlp import LABELS
from app.domain.view import View
from app.indicators.past import PastDocument, documents_at, past_state
from app.storage.types import UtcDateTime, table_of

_PROJECTIONS, STEPS = table_of(IndicatorProjection), table_of(IndicatorStep)
AS_OF = bindparam("as_of", type_=UtcDateTime())


class StepDocument(NamedTuple):
    """The document of an indicator as of a time, with the row that it comes from; `assessed` if it had to be assessed for the request."""

    row: Any
    recorded_at: datetime
    document: str
    assessed: PastDocument | None = None


def _is_kept() -> ColumnElement[bool]:
    """Return the condition that the step of an indicator is right: neither moved since it was made, nor of a changed place or source."""
    stale, sources, indicator = table_of(StaleRecord).alias("changed"), table_of(IndicatorSource).c, _PROJECTIONS.c.indicator_id
    of_source = select(sources.source_id).where(sources.indicator_id == indicator).correlate(_PROJECTIONS)
    changed = exists().where(or_(stale.c.record_id == _PROJECTIONS.c.place_id, stale.c.record_id.in_(of_source))).correlate(_PROJECTIONS)
    # With AND and OR, SQLite would look for each indicator's records also where no record changed.
    some_changed = exists(select(table_of(StaleRecord).c.record_id))
    return case((_PROJECTIONS.c.kept_until <= AS_OF, false()), (some_changed, ~changed), else_=true())


KEPT = _is_kept()


@lru_cache(maxsize=8)
def select_steps(level: int) -> Select[Any]:
    """Select the step of each indicator at the parameter `as_of` for a clearance, also where it must be made again.

    Identifiers and times are as the driver reads them, because converting each takes time and few are needed.
    """
    earlier = STEPS.alias("earlier")

    def shown(table: Any) -> list[ColumnElement[bool]]:
        same = table.c.indicator_id == _PROJECTIONS.c.indicator_id
        return [same, table.c.min_clearance <= level, table.c.max_clearance >= level]

    newest = select(earlier.c.since).where(*shown(earlier), earlier.c.since <= AS_OF).order_by(earlier.c.since.desc()).limit(1)
    step = _PROJECTIONS.outerjoin(STEPS, and_(*shown(STEPS), STEPS.c.since == newest.correlate(_PROJECTIONS).scalar_subquery()))
    columns: list[Any] = [type_coerce(_PROJECTIONS.c[name], String).label(name) for name in ("indicator_id", "place_id")]
    columns += [type_coerce(_PROJECTIONS.c.recorded_at, String).label("recorded_at"), _PROJECTIONS.c.dated]
    columns.append(_PROJECTIONS.c[f"revision_{LABELS[level]}"].label("revision"))
    return (
        select(*columns, STEPS.c.document, KEPT.label("kept"))
        .select_from(step)
        .where(_PROJECTIONS.c.min_clearance <= level, _PROJECTIONS.c.max_clearance >= level, or_(STEPS.c.since.is_not(None), ~KEPT))
    )


def step_where(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return conditions on steps that let those pass that must be made again."""
    return or_(and_(true(), *conditions), ~KEPT)


@lru_cache(maxsize=4096)
def read_time(read: str | datetime) -> datetime:
    """Return a time as the driver read it; reports that were recorded together have the same."""
    return (datetime.fromisoformat(read) if isinstance(read, str) else read).replace(tzinfo=UTC)


def complete_documents(rows: Sequence[Any]) -> list[str] | None:
    """Return the documents of rows of `select_steps`; None if not all can be told from these rows alone."""
    if not all(row[6] and not row[3] for row in rows):
        return None
    return [complete(row[5], read_time(row[2]), row[4]) for row in rows]


async def step_documents(connection: AsyncConnection, rows: Sequence[Any], view: View) -> list[StepDocument]:
    """Return the documents of rows of `select_steps`, those that are not kept assessed again; without those that have none."""
    assessed: dict[UUID, PastDocument] = {}
    changes: dict[UUID, dict[int, LastChange]] = {}
    if changed := [UUID(str(row.indicator_id)) for row in rows if not row.kept]:
        # Not counted as work, because what is not kept may depend on what is above the clearance.
        assessed = await documents_at(connection, changed, view, await past_state(connection, view), is_work=False)
    if dated := [UUID(str(row.indicator_id)) for row in rows if row.kept and row.dated]:
        changes = await load_last_changes(connection, dated, view.time_point)
    found: list[StepDocument] = []
    for row in rows:
        identifier, _, recorded_at, is_dated, revision, document, is_kept, *_ = row
        if is_kept:
            recorded_at = read_time(recorded_at)
            if is_dated:
                last = changes[UUID(str(identifier))][view.level]
                recorded_at, revision = last.recorded_at, last.revision
            found.append(StepDocument(row, recorded_at, complete(document, recorded_at, revision)))
        elif (past := assessed.get(UUID(str(identifier)))) is not None:
            found.append(StepDocument(row, past.recorded_at, past.document, past))
    return found
