"""Load the statements that can matter to an assessment; see `app.assessment.relevance` for how far back these are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CompoundSelect, Uuid, and_, bindparam, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.loading import COLUMNS, build_statements, by_indicator, latest_of_source, load_latest_rows, reports_at
from app.assessment.models import IndicatorSource
from app.assessment.outcomes import Outcome
from app.assessment.relevance import EVERYTHING, MARGIN, first_cut, is_replaced, needed_since
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.time_point import LATEST, TimePoint
from app.reports.models import Report
from app.storage.direct import execute_direct
from app.storage.paging import chunks
from app.storage.types import UtcDateTime, table_of

# Indicators in one statement: those of a group of reports share few, while a statement for any number of them would be compiled each time.
CUTS_PER_STATEMENT = 16


# Indicators with no more reports, on average, are read in one statement.
MAX_SHORT_REPORTS = 16
_ALL = (
    select(*COLUMNS).where(col(Report.indicator_id).in_(bindparam("ids", expanding=True))).limit(bindparam("row_limit", type_=BigInteger))
)


@lru_cache(maxsize=64)
def _select_since(time_point: TimePoint, count: int) -> CompoundSelect[Any]:
    """Select the reports on some indicators, each since a time, and before it the latest endless report of each source, facet and level."""
    cuts = [(bindparam(f"indicator_{at}", type_=Uuid), bindparam(f"since_{at}", type_=UtcDateTime)) for at in range(count)]
    since = or_(*(and_(col(Report.indicator_id) == indicator, col(Report.effective_at) >= since) for indicator, since in cuts))
    endless = [
        select(latest_of_source(time_point, table_of(Report).c.endless, col(Report.effective_at) < since))
        .select_from(IndicatorSource)
        .where(col(IndicatorSource.indicator_id) == indicator)
        for indicator, since in cuts
    ]
    recent, before = (select(*COLUMNS, literal(is_before).label("is_before")) for is_before in (0, 1))
    return union_all(recent.where(since, *reports_at(time_point)), before.where(col(Report.global_seq).in_(union_all(*endless))))


@dataclass(frozen=True, slots=True)
class Window:
    """Every report on an indicator since a time, and what may matter besides: the latest of each source, facet and level, and endless ones.

    `latest` may have more, but `endless` are the latest before `since`.
    """

    since: datetime
    loaded: Sequence[Statement]
    latest: Sequence[Statement]
    endless: Sequence[Statement]

    def needed_since(self, kind: Kind[Any], horizon: timedelta, outcomes: Sequence[Outcome]) -> datetime:
        """Return the time since which reports can matter to any clearance: `since` or later if all of them are loaded. Pure."""
        lasting = [each for each in self.latest if kind.is_endless(each.value) and each.time < self.since]
        alive = [each for each in (*lasting, *self.endless) if not is_replaced(kind, each, self.loaded, self.since)]
        needed = needed_since(kind, self.latest, self.loaded, self.since, horizon, outcomes)
        return max(EVERYTHING, min([needed, *(each.time - MARGIN for each in alive)]))


async def load_relevant(
    connection: AsyncConnection,
    kinds: Mapping[UUID, str],
    horizons: Mapping[str, timedelta],
    outcomes: Mapping[UUID, Sequence[Outcome]],
    from_times: Mapping[UUID, datetime],
    timezones: Mapping[UUID, str],
    time_point: TimePoint = LATEST,
) -> dict[UUID, Window]:
    """Load every statement that can matter to the assessments of some indicators, given with their kinds and their places' time zones.

    The cost grows with the reports since the newest sound one less the horizon, and since the oldest that passes no horizon and still may
    stand; see `app.assessment.relevance`. Of an indicator with a time in `from_times`, every report since then matters as well.
    """
    if time_point == LATEST and (every := await _load_short(connection, kinds)) is not None:
        said = by_indicator(every, await build_statements(connection, every, time_point, timezones))
        return {each: Window(EVERYTHING, own, own, []) for each, own in said.items()}
    latest = await load_latest_rows(connection, kinds, time_point)
    newest: dict[UUID, datetime] = {}
    for row in latest:
        newest[row.indicator_id] = max(row.effective_at, newest.get(row.indicator_id, row.effective_at))
    built: dict[int, Statement] = {}
    found: dict[UUID, Window] = {}
    pending = {each: first_cut(min(time, from_times.get(each, time)), horizons[kinds[each]]) for each, time in newest.items()}
    pending |= dict.fromkeys((each for each in newest if KINDS[kinds[each]].reads_all), EVERYTHING)
    if time_point.through_global_seq is not None:
        # A report that was declassified later had a higher level then, of which its source may have no other report.
        pending |= dict.fromkeys(await _declassified(connection, kinds), EVERYTHING)
    while pending:
        rows, endless = await _load_since(connection, pending, time_point)
        wanted = {row.global_seq: row for row in (*latest, *rows, *endless) if row.global_seq not in built}
        built |= await build_statements(connection, list(wanted.values()), time_point, timezones)
        parts = [by_indicator(some, built) for some in (rows, latest, endless)]
        found |= {each: Window(since, *(part.get(each, []) for part in parts)) for each, since in pending.items()}
        needed = {each: found[each].needed_since(KINDS[kinds[each]], horizons[kinds[each]], outcomes.get(each, ())) for each in pending}
        pending = {each: earlier for each, earlier in needed.items() if earlier < pending[each]}
    return found


async def _load_short(connection: AsyncConnection, indicators: Collection[UUID]) -> list[Any] | None:
    """Return every report on some indicators, None if these have many."""
    rows: list[Any] = []
    for ids in chunks(indicators):
        limit = MAX_SHORT_REPORTS * len(set(ids))
        some = (await execute_direct(connection, _ALL, {"ids": ids, "row_limit": limit + 1})).all()
        if len(some) > limit:
            return None
        rows += some
    return rows


async def _declassified(connection: AsyncConnection, indicators: Collection[UUID]) -> set[UUID]:
    found: set[UUID] = set()
    for ids in chunks(indicators):
        lowered = col(Report.level) < col(Report.highest_level)
        found |= set(await connection.scalars(select(col(Report.indicator_id)).where(lowered, col(Report.indicator_id).in_(ids))))
    return found


async def _load_since(connection: AsyncConnection, cuts: Mapping[UUID, datetime], time_point: TimePoint) -> tuple[list[Any], list[Any]]:
    found: tuple[list[Any], list[Any]] = [], []
    items = list(cuts.items())
    while items:
        some, items = items[:CUTS_PER_STATEMENT], items[CUTS_PER_STATEMENT:]
        # Of two sizes only, so that a statement is compiled once; the last one stands for those that are not there.
        some += [some[-1]] * (CUTS_PER_STATEMENT - len(some) if len(some) > 1 else 0)
        parameters = {
            name: value for at, pair in enumerate(some) for name, value in zip((f"indicator_{at}", f"since_{at}"), pair, strict=True)
        }
        rows = await execute_direct(connection, _select_since(time_point, len(some)), parameters, built_once=time_point == LATEST)
        for row in rows:
            found[row.is_before].append(row)
    return found
