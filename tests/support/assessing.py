"""Statements to assess, made without a database."""

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from app.assessment.envelope import Assessment, assess
from app.assessment.outcomes import Outcome
from app.assessment.policy import NO_POLICY, Policy
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.reference.records import SourceRecord

_numbers = itertools.count(1)
EPOCH = datetime(2016, 7, 1, tzinfo=UTC)


def statement(
    kind: str,
    value: Mapping[str, Any],
    source: str = "agency",
    *,
    day: float = 0,
    grade: str = "B",
    credibility: int = 2,
    party: bool = False,
    number: int | None = None,
    level: int = 0,
    superseded_from_level: int | None = None,
    retracted_from_level: int | None = None,
    local_day: date | None = None,
    **more: Any,
) -> Statement:
    """Return a statement made `day` days after 1 July 2016, with its value validated and resolved as in a report.

    `origin` in `more` is the name of a source, taken for a party if it is `army`; `local_day` is the field `day`.
    """
    if "origin" in more:
        more["origin"] = source_record(more["origin"], grade, party=more["origin"] == "army")
    number = next(_numbers) if number is None else number
    stated_at = EPOCH + timedelta(days=day)
    return Statement(
        global_seq=number,
        id=UUID(int=number),
        source=source_record(source, grade, party=party),
        value=KINDS[kind].resolve(KINDS[kind].value_model.model_validate(dict(value)), stated_at.date()),
        stated_at=stated_at,
        recorded_at=EPOCH + timedelta(days=1000, seconds=number),
        credibility=credibility,
        day=local_day,
        level=level,
        superseded_from_level=superseded_from_level,
        retracted_from_level=retracted_from_level,
        **{"method": "unknown"} | more,
    )


def source_record(name: str, grade: str = "B", *, party: bool = False) -> SourceRecord:
    """Return a source."""
    return SourceRecord(uuid5(NAMESPACE_URL, name), name, name.title(), "ngo", party, grade)


def assessment_of(
    kind: str, *statements: Statement, level: int = 0, outcomes: tuple[Outcome, ...] = (), policy: Policy = NO_POLICY
) -> Assessment:
    """Assess the statements on one indicator, with the kind's own horizon."""
    horizon = timedelta(days=KINDS[kind].horizon_days)
    return assess(KINDS[kind], statements, level=level, horizon=horizon, outcomes=outcomes, policy=policy)


def value_of(assessment: Assessment) -> dict[str, Any]:
    """Return the value of an assessment that has one."""
    assert assessment.value is not None
    return assessment.value


def relations(assessment: Assessment) -> dict[int, str]:
    """Return the relation of each statement, or why it was left out, by its number."""
    return {each.global_seq: reason for each, reason in (*assessment.relations, *assessment.left_out)}


def july(day: int) -> date:
    """Return a day of July 2016; days after the 31st continue into August."""
    return date(2016, 7, 1) + timedelta(days=day - 1)
