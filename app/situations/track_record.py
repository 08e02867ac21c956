"""A source's track record: of its warnings that fell due, what became of them, and how many days they were off."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from statistics import median
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.envelope import Outcome
from app.assessment.inputs import load_outcomes
from app.assessment.loading import CHUNK, ends_at
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.ledger.models import LedgerEntry
from app.reports.models import Report
from app.storage.types import table_of


@dataclass(frozen=True, slots=True)
class WarningResult:
    """One warning that fell due: the days it named, what became of it, the day of the fact where there is one."""

    report: UUID
    indicator: UUID
    earliest: date | None
    latest: date | None
    outcome: str
    fact: date | None

    def days_off(self) -> int | None:
        """Days from the forecast to the fact: negative when it came earlier than said, 0 within the days named."""
        if self.fact is None:
            return None
        if self.earliest is not None and self.fact < self.earliest:
            return (self.fact - self.earliest).days
        if self.latest is not None and self.fact > self.latest:
            return (self.fact - self.latest).days
        return 0


async def track_record(connection: AsyncConnection, source: UUID, *, level: int, moment: TimePoint, at: datetime) -> dict[str, Any]:
    """The record of a source as a clearance may see it, at a time.

    A warning fell due when its last day is past or somebody said what became of it. One that the source replaced by a
    later warning before either did not fall due; one superseded or retracted is not counted.
    """
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    where: list[ColumnElement[bool]] = [col(Report.source_id) == source, col(Report.kind).in_(kinds), col(Report.level) <= level]
    if moment.as_of is not None:
        where.append(col(Report.stated_at) <= moment.as_of)
    if moment.through_global_seq is not None:
        where.append(col(Report.global_seq) <= moment.through_global_seq)
    order = (col(Report.indicator_id), col(Report.stated_at), col(Report.global_seq))
    said = (await connection.execute(select(*table_of(Report).c).where(*where).order_by(*order))).all()
    ends = await ends_at(connection, said, moment)
    rows = [row for row in said if not any(each is not None and each <= level for each in ends.get(row.id, ()))]
    outcomes = await load_outcomes(connection, {row.indicator_id: row.kind for row in rows}, moment)
    seen = {each: [one for one in every if one.level <= level] for each, every in outcomes.items()}
    facts = await _facts(connection, [one.number for every in seen.values() for one in every], level)
    warned: list[WarningResult] = []
    for indicator, group in groupby(rows, key=lambda row: row.indicator_id):
        warned += _warnings(list(group), seen.get(indicator, []), facts, at.date())
    counts = Counter(each.outcome for each in warned)
    off = [days for each in warned if (days := each.days_off()) is not None]
    return {
        "fell_due": len(warned),
        **{outcome: counts[outcome] for outcome in ("materialised", "averted", "overtaken", "unknown", "pending")},
        "days_off": {"median": median(off), "earliest": min(off), "latest": max(off)} if off else None,
        "items": [_item(each) for each in warned[-1000:]],
    }


def _warnings(rows: list[Any], outcomes: list[Outcome], facts: dict[int, date], today: date) -> list[WarningResult]:
    found = []
    forecasts = [(row, named) for row in rows if (named := KINDS[row.kind].forecast_range(_value(row))) is not None]
    for at, (row, named) in enumerate(forecasts):
        following = forecasts[at + 1][0] if at + 1 < len(forecasts) else None
        last_day = named[1] or named[0]
        assert last_day is not None
        told = [each for each in outcomes if each.number > row.global_seq and (following is None or each.number < following.global_seq)]
        latest = max(told, key=lambda each: each.number, default=None)
        if latest is not None and latest.outcome == "pending":
            # An outcome that was taken back.
            latest = None
        replaced = following is not None and following.stated_at.date() <= last_day
        if latest is None and (replaced or last_day >= today):
            continue
        outcome = latest.outcome if latest else "pending"
        fact = facts.get(latest.number) if latest and outcome == "materialised" else None
        found.append(WarningResult(row.id, row.indicator_id, named[0], named[1], outcome, fact))
    return found


def _value(row: Any) -> Any:
    return KINDS[row.kind].value_model.model_validate(row.value)


async def _facts(connection: AsyncConnection, changes: list[int], level: int) -> dict[int, date]:
    """The day of the fact, by the number of the outcome: the first day that the evidence names, else the day it was stated."""
    found: dict[int, date] = {}
    for start in range(0, len(changes), CHUNK):
        evidence = select(col(LedgerEntry.global_seq).label("change"), *table_of(Report).c).join(
            Report, col(Report.id) == col(LedgerEntry.report_id)
        )
        some = evidence.where(col(LedgerEntry.global_seq).in_(changes[start : start + CHUNK]), col(Report.level) <= level)
        for row in await connection.execute(some):
            found[row.change] = KINDS[row.kind].occurred_on(_value(row)) or row.stated_at.date()
    return found


def _item(each: WarningResult) -> dict[str, Any]:
    return {
        "report": str(each.report),
        "indicator": str(each.indicator),
        "runs_out_earliest": each.earliest and each.earliest.isoformat(),
        "runs_out_latest": each.latest and each.latest.isoformat(),
        "outcome": each.outcome,
        "fact": each.fact and each.fact.isoformat(),
        "days_off": each.days_off(),
    }
