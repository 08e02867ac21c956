"""The track record of a source: the outcomes of its warnings that fell due, and by how many days they were wrong."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from statistics import median
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.inputs import load_outcomes
from app.assessment.loading import ends_at, reports_at
from app.assessment.outcomes import Outcome
from app.domain.kinds import KINDS
from app.domain.view import View
from app.ledger.models import LedgerEntry
from app.reports.models import Report
from app.storage.paging import chunks
from app.storage.types import table_of

MAX_LISTED_WARNINGS = 1000


@dataclass(frozen=True, slots=True)
class WarningResult:
    """A warning that fell due: the days it named, its outcome, and the day on which it came true."""

    report: UUID
    indicator: UUID
    earliest: date | None
    latest: date | None
    outcome: str
    occurred_on: date | None

    def days_off(self) -> int | None:
        """Return the days from the forecast to the event: negative if it came earlier, 0 within the days named."""
        if self.occurred_on is None:
            return None
        if self.earliest is not None and self.occurred_on < self.earliest:
            return (self.occurred_on - self.earliest).days
        if self.latest is not None and self.occurred_on > self.latest:
            return (self.occurred_on - self.latest).days
        return 0


async def load_track_record(connection: AsyncConnection, source: UUID, view: View) -> dict[str, Any]:
    """Return the track record of a source.

    A warning fell due once its last day is past or its outcome is recorded. It did not if the source replaced it by a later warning
    before that. Reports that are superseded or retracted do not count.
    """
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    where = (col(Report.source_id) == source, col(Report.kind).in_(kinds), col(Report.level) <= view.level, *reports_at(view.time_point))
    order = (col(Report.indicator_id), col(Report.stated_at), col(Report.global_seq))
    recorded = (await connection.execute(select(*table_of(Report).c).where(*where).order_by(*order))).all()
    ends = await ends_at(connection, recorded, view.time_point)
    rows = [row for row in recorded if not any(level is not None and level <= view.level for level in ends.get(row.id, ()))]
    every_outcome = await load_outcomes(connection, {row.indicator_id: row.kind for row in rows}, view.time_point)
    outcomes = {indicator: [each for each in found if each.level <= view.level] for indicator, found in every_outcome.items()}
    occurred_on = await _load_events(connection, [each.global_seq for found in outcomes.values() for each in found], view.level)
    results: list[WarningResult] = []
    for indicator, reports in groupby(rows, key=lambda row: row.indicator_id):
        results += _results(list(reports), outcomes.get(indicator, []), occurred_on, view.at.date())
    counts = Counter(each.outcome for each in results)
    days_off = [days for each in results if (days := each.days_off()) is not None]
    return {
        "fell_due": len(results),
        **{outcome: counts[outcome] for outcome in ("materialised", "averted", "overtaken", "unknown", "pending")},
        "days_off": {"median": median(days_off), "earliest": min(days_off), "latest": max(days_off)} if days_off else None,
        "items": [_item(each) for each in results[-MAX_LISTED_WARNINGS:]],
    }


def _results(reports: Sequence[Any], outcomes: Sequence[Outcome], occurred_on: dict[int, date], today: date) -> list[WarningResult]:
    results = []
    warnings = [(row, days) for row in reports if (days := KINDS[row.kind].forecast_range(_value(row))) is not None]
    for position, (row, (earliest, latest)) in enumerate(warnings):
        following = warnings[position + 1][0] if position + 1 < len(warnings) else None
        last_day = latest or earliest
        assert last_day is not None
        own = [
            each for each in outcomes if each.global_seq > row.global_seq and (following is None or each.global_seq < following.global_seq)
        ]
        last = max(own, key=lambda each: each.global_seq, default=None)
        # `pending` takes an earlier outcome back.
        outcome = "pending" if last is None else last.outcome
        replaced = following is not None and following.stated_at.date() <= last_day
        if outcome == "pending" and (replaced or last_day >= today):
            continue
        event = occurred_on.get(last.global_seq) if last is not None and outcome == "materialised" else None
        results.append(WarningResult(row.id, row.indicator_id, earliest, latest, outcome, event))
    return results


def _value(row: Any) -> Any:
    return KINDS[row.kind].value_model.model_validate(row.value)


async def _load_events(connection: AsyncConnection, outcomes: Collection[int], level: int) -> dict[int, date]:
    """Return the days on which warnings came true, by the outcome's global seq: the day that the evidence names or was stated."""
    found: dict[int, date] = {}
    evidence = select(col(LedgerEntry.global_seq).label("outcome"), *table_of(Report).c).join(
        Report, col(Report.id) == col(LedgerEntry.report_id)
    )
    for some in chunks(outcomes):
        for row in await connection.execute(evidence.where(col(LedgerEntry.global_seq).in_(some), col(Report.level) <= level)):
            found[row.outcome] = KINDS[row.kind].occurred_on(_value(row)) or row.stated_at.date()
    return found


def _item(result: WarningResult) -> dict[str, Any]:
    return {
        "report": str(result.report),
        "indicator": str(result.indicator),
        "runs_out_earliest": result.earliest and result.earliest.isoformat(),
        "runs_out_latest": result.latest and result.latest.isoformat(),
        "outcome": result.outcome,
        "fact": result.occurred_on and result.occurred_on.isoformat(),
        "days_off": result.days_off(),
    }
