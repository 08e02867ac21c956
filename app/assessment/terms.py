"""The terms of the method: order in time, origin, soundness, and relief claims (docs/method.md). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from heapq import nlargest
from itertools import groupby
from typing import Any
from uuid import UUID

from app.assessment.statement import Statement
from app.domain.kinds.base import Kind, Severity
from app.domain.kinds.combining import StatedValue
from app.reference.records import SourceRecord

# Best first. F and 6 mean unknown: below C and 3, above D and 4.
GRADES = ("A", "B", "C", "F", "D", "E")
CREDIBILITIES = (1, 2, 3, 6, 4, 5)
_SOUND_GRADES = frozenset({"A", "B", "C", "F"})
_DOUBTED = frozenset({4, 5})


def grade_rank(grade: str) -> int:
    """Return the rank of a reliability grade; 0 is the best."""
    return GRADES.index(grade)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssessedStatement(StatedValue[Any]):
    """A report as the rules see it.

    `order` is its position in time, oldest first. `horizon` is None if it passes none. `ended` is a warning that has an outcome,
    `from_outcome` the state in which an outcome left the subject, said by the outcome's evidence; its `source` is no voice of its own.
    """

    statement: Statement
    source: UUID
    origin: UUID
    order: int
    party: bool
    sound: bool
    claims_relief: bool
    rank: int
    severity: Severity
    horizon: timedelta | None
    ended: bool = False
    from_outcome: bool = False

    def age_at(self, later: "AssessedStatement") -> timedelta:
        """Return by how much it is older than another."""
        return self.statement.age_at(later.statement)

    def is_past_horizon(self, newest: "AssessedStatement") -> bool:
        """Tell whether it is older than its horizon beside the newest report."""
        return self.horizon is not None and self.age_at(newest) > self.horizon

    def is_better_than(self, other: "AssessedStatement") -> bool:
        """Tell whether it contradicts another and says better; a report never contradicts the state that it shows."""
        return self.severity[1] < other.severity[0] and self.statement.id != other.statement.id


def best_first(each: AssessedStatement) -> tuple[int, int, int]:
    """Return the sort key by reliability, credibility, then the latest, then the later recorded."""
    return each.rank, CREDIBILITIES.index(each.statement.credibility), -each.order


def in_order_of_time(statements: Iterable[Statement]) -> list[Statement]:
    """Return statements oldest first; of those that are equally late, the first recorded comes first.

    A statement with only a date is neither earlier nor later than others of its day. When a statement was first recorded is in its
    identifier, so that services that exchange their reports agree on the order; the position in a ledger differs between them.
    """
    found: list[Statement] = []
    for _, day in groupby(sorted(statements, key=lambda each: each.local_day), key=lambda each: each.local_day):
        of_day = list(day)
        dated = sorted((each for each in of_day if each.date_only), key=lambda each: each.id.int)
        timed = sorted((each for each in of_day if not each.date_only), key=lambda each: (each.time, each.id.int))
        merged: list[Statement] = []
        while dated and timed:
            merged.append((dated if dated[-1].id.int > timed[-1].id.int else timed).pop())
        found += dated + timed + merged[::-1]
    return found


def origin_of(statement: Statement, by_id: Mapping[UUID, Statement]) -> SourceRecord:
    """Return the origin: `origin`, else that of the report that it relays if this reader sees it, else the source."""
    seen: set[UUID] = set()
    each = statement
    while each.origin is None and each.relays is not None and each.relays in by_id and each.id not in seen:
        seen.add(each.id)
        each = by_id[each.relays]
    return each.origin or each.source


def is_party(statement: Statement, origin: SourceRecord) -> bool:
    """Tell whether the source or the origin is a party to the conflict."""
    return statement.source.party_to_conflict or origin.party_to_conflict


def is_sound(statement: Statement, party: bool) -> bool:
    """Tell whether a report is sound: no party to the conflict, of a usable source, and not doubted."""
    return not party and statement.source.reliability in _SOUND_GRADES and statement.credibility not in _DOUBTED


def assessed(
    kind: Kind[Any],
    statement: Statement,
    origin: SourceRecord,
    order: int,
    horizon: timedelta,
    *,
    ended: bool = False,
    from_outcome: bool = False,
    value: Any = None,
) -> AssessedStatement:
    """Return a statement with all that the rules ask about it; `value` replaces its own."""
    value = statement.value if value is None else value
    party = not from_outcome and is_party(statement, origin)
    endless = kind.never_passes(value) or (kind.warns(value) and not ended)
    return AssessedStatement(
        value,
        day=statement.local_day,
        statement=statement,
        source=statement.id if from_outcome else statement.source.id,
        origin=origin.id,
        order=order,
        party=party,
        sound=from_outcome or is_sound(statement, party),
        claims_relief=kind.claims_relief(value),
        rank=grade_rank(statement.source.reliability),
        severity=kind.severity(value),
        horizon=None if endless else kind.horizon_of(value, horizon),
        ended=ended,
        from_outcome=from_outcome,
    )


def too_old_to_compare(said: Sequence[AssessedStatement]) -> frozenset[AssessedStatement]:
    """Return the reports beside which a later one claims no relief: older than their horizon before the newest sound one.

    `said` is what rules 1 and 2 leave of a part, oldest first. Without a sound report, none is too old.
    """
    newest = next((each for each in reversed(said) if each.sound), None)
    return frozenset() if newest is None else frozenset(each for each in said if each.is_past_horizon(newest))


def unsound_claims(standing: Sequence[AssessedStatement], old: frozenset[AssessedStatement]) -> set[AssessedStatement]:
    """Return the relief claims that are not sound: those that say that all is well, or better than another that stands.

    `old` is what `too_old_to_compare` returns.
    """
    # The worst is enough, or the next where the worst is the state that the report itself shows.
    worst = nlargest(2, (each for each in standing if each not in old), key=lambda each: each.severity[0])
    return {each for each in standing if not each.sound and (each.claims_relief or any(each.is_better_than(other) for other in worst))}


def shown_by_outcomes(standing: Sequence[AssessedStatement]) -> set[AssessedStatement]:
    """Rule 10: return the evidence of the outcomes whose state stands: that state counts in its place."""
    states = {each.statement.id for each in standing if each.from_outcome}
    return {each for each in standing if not each.from_outcome and each.statement.id in states} if states else set()
