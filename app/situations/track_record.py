"""The track record of a source: which of its warnings came true, how long before, and by how many days they were wrong."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.envelope import assess
from app.assessment.inputs import load_outcomes
from app.assessment.loading import load_all, reports_at, visible_at
from app.assessment.outcomes import Outcome, outcomes_in_force
from app.assessment.statement import Statement
from app.assessment.terms import in_order_of_time, is_party, is_sound, origin_of
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.view import View
from app.reports.models import Report
from app.storage.slices import end_slice

MAX_LISTED_WARNINGS = 1000
# Fewer say nothing about a source.
MIN_SCORED_WARNINGS = 10


@dataclass(frozen=True, slots=True)
class WarningResult:
    """A warning that fell due: the days it named, its outcome, the day on which it came true, and whether it was renewed."""

    report: UUID
    indicator: UUID
    stated_on: date
    earliest: date | None
    latest: date | None
    outcome: str
    occurred_on: date | None
    renewed: bool

    def days_off(self) -> int | None:
        """Return the days from the forecast to the event: negative if it came earlier, 0 within the days named."""
        if self.occurred_on is None:
            return None
        if self.earliest is not None and self.occurred_on < self.earliest:
            return (self.occurred_on - self.earliest).days
        if self.latest is not None and self.occurred_on > self.latest:
            return (self.occurred_on - self.latest).days
        return 0

    def lead_days(self) -> int | None:
        """Return the days from the statement to the event; None if it did not come true."""
        return None if self.occurred_on is None else (self.occurred_on - self.stated_on).days


async def load_track_record(connection: AsyncConnection, source: UUID, view: View) -> dict[str, Any]:
    """Return the track record of a source.

    A warning fell due once its last day is past or its outcome is recorded. Each counts by its own dates, also if the source repeated it.
    Reports that are superseded, retracted or relayed do not count: the words of an outlet are no further warning of the source.
    """
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    seen = (*visible_at(view.level, view.time_point), *reports_at(view.time_point))
    where = (col(Report.source_id) == source, col(Report.kind).in_(kinds), *seen)
    rows = await connection.execute(select(col(Report.indicator_id), col(Report.kind)).where(*where).distinct())
    kind_of = {row.indicator_id: row.kind for row in rows}
    statements = await load_all(connection, kind_of, view.time_point, level=view.level)
    outcomes = await load_outcomes(connection, kind_of, view.time_point)
    results: list[WarningResult] = []
    for indicator, said in sorted(statements.items()):
        kind = KINDS[kind_of[indicator]]
        visible = [each for each in outcomes.get(indicator, []) if each.counts_for(view.level)]
        assessment = assess(kind, said, level=view.level, horizon=view.horizons[kind.name], outcomes=visible)
        gone = {each.id for each, reason in assessment.left_out if reason in ("superseded", "retracted")}
        gone |= {each.id for each, relation in assessment.relations if relation == "relayed"}
        standing = in_order_of_time(each for each in said if each.id not in gone)
        results += _results(kind, indicator, source, standing, visible, view.at.date())
        await end_slice(1)
    counts = Counter(each.outcome for each in results)
    hits, renewals = counts["materialised"], sum(each.renewed for each in results if each.outcome == "pending")
    decided = hits + (false_alarms := counts["pending"] - renewals)
    days_off = [days for each in results if (days := each.days_off()) is not None]
    lead_days = [days for each in results if (days := each.lead_days()) is not None]
    return {
        "fell_due": len(results),
        **{outcome: counts[outcome] for outcome in ("materialised", "averted", "overtaken", "unknown", "pending")},
        "hits": hits,
        "false_alarms": false_alarms,
        "renewals": renewals,
        "score": round(hits / decided, 2) if decided and len(results) >= MIN_SCORED_WARNINGS else None,
        "days_off": {"median": median(days_off), "earliest": min(days_off), "latest": max(days_off)} if days_off else None,
        "lead_days": median(lead_days) if lead_days else None,
        "items": [_item(each) for each in results[-MAX_LISTED_WARNINGS:]],
    }


def _results(
    kind: Kind[Any], indicator: UUID, source: UUID, standing: Sequence[Statement], outcomes: Sequence[Outcome], today: date
) -> list[WarningResult]:
    own = [each for each in standing if each.source.id == source and kind.forecast_range(each.value) is not None]
    in_force = outcomes_in_force(outcomes, own)
    events = _events(kind, standing, in_force)
    results = []
    for position, warning in enumerate(own):
        earliest, latest = kind.forecast_range(warning.value) or (None, None)
        last_day = latest or earliest
        assert last_day is not None
        # An event after the days of a warning concerns it only if its source did not warn again before.
        until = max(last_day, own[position + 1].local_day if position + 1 < len(own) else date.max)
        event = next((day for day in events if warning.local_day <= day <= until), None)
        ended = [each.outcome for each in in_force if each.is_after(warning) and each.evidence.local_day <= until]
        outcome = "materialised" if event else next((each for each in ended if each != "materialised"), "pending")
        if outcome == "pending" and last_day >= today:
            continue
        renewed = position + 1 < len(own) and own[position + 1].local_day <= last_day
        results.append(WarningResult(warning.id, indicator, warning.local_day, earliest, latest, outcome, event, renewed))
    return results


def _events(kind: Kind[Any], standing: Sequence[Statement], outcomes: Sequence[Outcome]) -> list[date]:
    """Return the days on which what was warned of happened, by outcomes and by sound reports, in order."""
    by_id = {each.id: each for each in standing}
    days = [kind.occurred_on(each.value, each.local_day) for each in standing if is_sound(each, is_party(each, origin_of(each, by_id)))]
    shown = [each.evidence for each in outcomes if each.outcome == "materialised"]
    days += [kind.occurred_on(each.value, each.local_day) or each.local_day for each in shown]
    return sorted(day for day in days if day is not None)


def _item(result: WarningResult) -> dict[str, Any]:
    return {
        "report": str(result.report),
        "indicator": str(result.indicator),
        "runs_out_earliest": result.earliest and result.earliest.isoformat(),
        "runs_out_latest": result.latest and result.latest.isoformat(),
        "outcome": result.outcome,
        "renewed": result.renewed,
        "fact": result.occurred_on and result.occurred_on.isoformat(),
        "days_off": result.days_off(),
        "lead_days": result.lead_days(),
    }
