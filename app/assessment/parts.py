"""One part of the subject of an indicator: which report leads it, how those that stand agree, what a kind combines. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.assessment.standing import Standing, standing_reports
from app.assessment.terms import AssessedStatement, best_first, unsound_claims
from app.domain.kinds.base import Kind
from app.domain.kinds.combining import Part
from app.domain.kinds.values import Agreement

# How often relief past its horizon is looked for further back, where what was said of it then contradicts it.
MAX_PERIODS = 10


@dataclass(frozen=True, slots=True)
class AssessedPart:
    """One part of the subject: its reports, those of them that count, the one that leads, those that give the value, their agreement."""

    reports: Standing
    counted: tuple[AssessedStatement, ...]
    leading: AssessedStatement | None
    pool: tuple[AssessedStatement, ...]
    agreement: Agreement | None


def _leading(
    kind: Kind[Any], standing: Sequence[AssessedStatement], old: frozenset[AssessedStatement]
) -> tuple[AssessedStatement | None, tuple[AssessedStatement, ...]]:
    """Rule 7: return the report that leads, if any, and those that give the value, best first."""
    claims = unsound_claims(standing, old)
    pool = sorted([each for each in standing if each.sound] or [each for each in standing if each not in claims], key=best_first)
    if not pool:
        return None, ()
    if kind.worst_first:
        return min(pool, key=lambda each: rank_of_state(kind, each)), tuple(pool)
    return next(each for each in pool if not any(_is_held_by(each, other) for other in pool)), tuple(pool)


def rank_of_state(kind: Kind[Any], each: AssessedStatement) -> int:
    """Return the place of its state among those that lead, worst first."""
    state = kind.state(each.value)
    return kind.worst_first.index(state) if state in kind.worst_first else len(kind.worst_first)


def _is_held_by(each: AssessedStatement, other: AssessedStatement) -> bool:
    return each.is_better_than(other) and other.age_at(each) > timedelta(0)


def _contest(kind: Kind[Any], standing: Sequence[AssessedStatement]) -> bool:
    """Tell whether two of the reports contradict each other."""
    if max(each.severity[0] for each in standing) > min(each.severity[1] for each in standing):
        return True
    distinct = list({(each.value.model_dump_json(), each.day if kind.compares_days else None): each for each in standing}.values())
    return any(kind.disputes(one, other) for at, one in enumerate(distinct) for other in distinct[:at])


def agreement_of(standing: Sequence[AssessedStatement], leads: bool, contested: bool) -> Agreement | None:
    """Rule 9: tell how the reports that stand agree; None without any."""
    if not standing:
        return None
    if not leads:
        return "claimed"
    if contested:
        return "contested"
    if all(each.party for each in standing):
        return "unconfirmed"
    return "consistent" if len({each.origin for each in standing}) > 1 else "single"


def assess_part(kind: Kind[Any], reports: Standing) -> AssessedPart:
    """Apply rules 7 and 9 to one part. Warnings that have an outcome count (rule 10) only where nothing else leads."""
    counted = [each for each in reports.standing if not each.ended]
    leading, pool = _leading(kind, counted, reports.old)
    if leading is None and len(counted) < len(reports.standing):
        counted = reports.standing
        leading, pool = _leading(kind, counted, reports.old)
    contested = bool(counted) and _contest(kind, counted)
    return AssessedPart(reports, tuple(counted), leading, pool, agreement_of(counted, leading is not None, contested))


def combined_part(kind: Kind[Any], part: AssessedPart) -> Part[Any]:
    """Return what a kind combines."""
    if (leading := part.leading) is None or not kind.reads_all:
        return Part(part.pool, leading, part.agreement)
    alike = [each for each in part.reports.history if each.sound == leading.sound and (each.sound or not each.claims_relief)]
    sources = {each.source for each in part.pool}
    earlier = [each for each in reversed(alike) if each.source in sources]
    began = part.reports.began.get((leading.sound, kind.state(leading.value)), leading)
    relieved = _relieved_before(kind, part) if kind.keeps_relief and not leading.claims_relief else None
    before = None if relieved is None else combined_part(kind, relieved)
    return Part(part.pool, leading, part.agreement, next(iter(alike), leading), began, earlier, before)


def _relieved_before(kind: Kind[Any], part: AssessedPart) -> AssessedPart | None:
    """Return the part as it was when relief that passed its horizon led last, by the reports up to that horizon; None if none did."""
    for _ in range(MAX_PERIODS):
        passed = [each for each, reason in part.reports.reasons.items() if reason == "past_horizon" and each.sound and each.claims_relief]
        if not passed:
            break
        newest = max(passed, key=lambda each: each.order)
        by_then = [each for each in part.reports.history if not newest.is_past_horizon(each)]
        part = assess_part(kind, standing_reports(kind, by_then, set()))
        if part.leading is not None and part.leading.claims_relief:
            return part
    return None
