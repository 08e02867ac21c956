"""The method `envelope/1`: select the statements that stand, the preferred one, and combine their values (docs/method.md). Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, Literal

from typing_extensions import TypeAliasType

from app.assessment.statement import Statement
from app.domain.kinds.base import Kind, StatedValue

METHOD = "envelope/1"

# Best first. F and 6 mean unknown: below C and 3, above D and 4.
GRADES = ("A", "B", "C", "F", "D", "E")
CREDIBILITIES = (1, 2, 3, 6, 4, 5)

Agreement = TypeAliasType("Agreement", Literal["single", "consistent", "contested", "unconfirmed"])
Relation = TypeAliasType("Relation", Literal["preferred", "supports", "contradicts"])
LeftOutReason = TypeAliasType("LeftOutReason", Literal["superseded", "retracted", "replaced_by_later", "past_horizon"])


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingStatement(StatedValue[Any]):
    """A statement that stands."""

    statement: Statement


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a warning, visible from clearance `level` on. A report that is preferred later ends it."""

    global_seq: int
    level: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """The combined value of the standing statements, best grade first; without any, all but `left_out` is empty or None."""

    value: dict[str, Any] | None
    agreement: Agreement | None
    standing: tuple[StandingStatement, ...]
    relations: tuple[Relation, ...]
    preferred: Statement | None
    sources: int
    stated_at: datetime | None
    stale_after: datetime | None
    left_out: tuple[tuple[Statement, LeftOutReason], ...]


def grade_rank(grade: str) -> int:
    """Return the rank of a reliability grade; 0 is the best."""
    return GRADES.index(grade)


def _best_first(standing: StandingStatement) -> tuple[int, int, float, int]:
    statement = standing.statement
    return (
        grade_rank(statement.source.reliability),
        CREDIBILITIES.index(statement.credibility),
        -statement.stated_at.timestamp(),
        -statement.global_seq,
    )


def _select_standing(
    kind: Kind[Any], statements: Iterable[Statement], level: int, horizon: timedelta
) -> tuple[list[StandingStatement], list[tuple[Statement, LeftOutReason]]]:
    left_out: list[tuple[Statement, LeftOutReason]] = []
    latest: list[StandingStatement] = []
    covered: dict[Any, frozenset[str]] = {}
    for statement in sorted(statements, key=lambda each: (each.stated_at, each.global_seq), reverse=True):
        if statement.level > level:
            continue
        if statement.retracted_from_level is not None and statement.retracted_from_level <= level:
            left_out.append((statement, "retracted"))
        elif statement.superseded_from_level is not None and statement.superseded_from_level <= level:
            left_out.append((statement, "superseded"))
        else:
            before = covered.get(statement.source.id, frozenset())
            facets = kind.facets(statement.value) - before
            if facets:
                covered[statement.source.id] = before | facets
                latest.append(StandingStatement(statement.value, facets, statement=statement))
            else:
                left_out.append((statement, "replaced_by_later"))
    if not latest:
        return [], left_out
    oldest = latest[0].statement.stated_at - horizon
    left_out.extend((each.statement, "past_horizon") for each in latest if each.statement.stated_at < oldest)
    return sorted((each for each in latest if each.statement.stated_at >= oldest), key=_best_first), left_out


def _agreement(kind: Kind[Any], standing: Sequence[StandingStatement], sources: int) -> Agreement:
    if any(kind.contradicts(one, other) for one, other in combinations(standing, 2)):
        return "contested"
    if sources == 1:
        return "single"
    if all(each.statement.source.party_to_conflict for each in standing):
        return "unconfirmed"
    return "consistent"


def _outcome(outcomes: Sequence[Outcome], preferred: Statement, level: int) -> str:
    valid = [each for each in outcomes if each.level <= level and each.global_seq > preferred.global_seq]
    return max(valid, key=lambda each: each.global_seq).outcome if valid else "pending"


def assess(
    kind: Kind[Any], statements: Iterable[Statement], *, level: int, horizon: timedelta, outcomes: Sequence[Outcome] = ()
) -> Assessment:
    """Assess the statements on one indicator for a clearance; the caller selects them by `as_of` and `known_at`."""
    standing, left_out = _select_standing(kind, statements, level, horizon)
    if not standing:
        return Assessment(None, None, (), (), None, 0, None, None, tuple(left_out))
    combined = kind.combine(standing)
    preferred = standing[combined.preferred]
    value = combined.value
    if kind.has_outcome:
        value = value | {"outcome": _outcome(outcomes, preferred.statement, level)}
    sources = len({each.statement.source.id for each in standing})
    newest = max(each.statement.stated_at for each in standing)
    relations: list[Relation] = [
        "preferred" if each is preferred else "contradicts" if kind.contradicts(each, preferred) else "supports" for each in standing
    ]
    return Assessment(
        value=value,
        agreement=_agreement(kind, standing, sources),
        standing=tuple(standing),
        relations=tuple(relations),
        preferred=preferred.statement,
        sources=sources,
        stated_at=preferred.statement.stated_at,
        stale_after=newest + horizon,
        left_out=tuple(left_out),
    )
