"""The method `envelope/2`: select the reports that stand, the one that leads, and combine their values (docs/method.md). Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, cast, get_args
from uuid import UUID

from typing_extensions import TypeAliasType

from app.assessment.judgements import Judgement, is_contradicted, standing_judgement
from app.assessment.outcomes import Outcome, came_true, due_warnings, outcome_of, warning_fields
from app.assessment.parts import AssessedPart, agreement_of, assess_part, combined_part, rank_of_state
from app.assessment.policy import NO_POLICY, Policy
from app.assessment.standing import relayed_reports, standing_reports
from app.assessment.statement import Statement
from app.assessment.terms import (
    AssessedStatement,
    assessed,
    best_first,
    in_order_of_time,
    is_party,
    is_sound,
    origin_of,
)
from app.domain.kinds.base import Kind
from app.domain.kinds.values import Agreement
from app.reference.records import SourceRecord

METHOD = "envelope/2"

Relation = TypeAliasType("Relation", Literal["preferred", "supports", "contradicts", "relayed", "announced", "overtaken"])
LeftOutReason = TypeAliasType("LeftOutReason", Literal["superseded", "retracted", "replaced_by_later", "past_horizon", "policy"])
_RELATIONS: frozenset[str] = frozenset(get_args(Relation.__value__))
# Where a report stands for no part of the subject, the last of these rules that took it out of one is its reason.
_RULES_IN_ORDER = ("relayed", "replaced_by_later", "past_horizon", "overtaken")


@dataclass(frozen=True, slots=True)
class Assessment:
    """The combined value of the reports that stand; without any, `value` and `agreement` are None.

    `relations` has the preferred report, the others that stand, best first, then those listed beside them, latest first. `preferred` is
    None if nothing leads. `reports`, `sources` and `origins` are numbers of those that count. `warning_day` is `Kind.warning_day`.
    `confirmed` is whether those of other origins say what the preferred one says: one of them, or of figures all.
    `judgement` changes none of this; `lapsed` is whether a later report contradicts it, `partial` whether reports that stand are stricter.
    """

    value: dict[str, Any] | None = None
    agreement: Agreement | None = None
    preferred: Statement | None = None
    basis: Mapping[str, UUID] = field(default_factory=dict)
    spread: float | None = None
    standing: tuple[Statement, ...] = ()
    relations: tuple[tuple[Statement, Relation], ...] = ()
    left_out: tuple[tuple[Statement, LeftOutReason], ...] = ()
    reports: int = 0
    sources: int = 0
    origins: int = 0
    confirmed: bool = False
    stated_at: datetime | None = None
    stale_after: datetime | None = None
    newest_at: datetime | None = None
    newest_sound_at: datetime | None = None
    warning_day: date | None = None
    policy: Policy = NO_POLICY
    judgement: Judgement | None = None
    lapsed: bool = False
    partial: bool = False

    def behind(self, path: str) -> list[UUID]:
        """Return the reports that say a field: those of each part of the subject, by default the preferred one."""
        said = [report for name, report in self.basis.items() if name == path or name.endswith(f".{path}")]
        return list(dict.fromkeys(said)) or ([self.preferred.id] if self.preferred else [])


def assess(
    kind: Kind[Any],
    statements: Iterable[Statement],
    *,
    level: int,
    horizon: timedelta,
    outcomes: Sequence[Outcome] = (),
    judgements: Sequence[Judgement] = (),
    policy: Policy = NO_POLICY,
) -> Assessment:
    """Assess the reports on one indicator for a clearance; the caller selects them by `as_of` and `known_at`."""
    visible = in_order_of_time(each for each in statements if each.level <= level)
    by_id = {each.id: each for each in visible}
    origins = {each.id: origin_of(each, by_id) for each in visible}
    reasons: dict[UUID, str] = {
        each.id: reason for each in visible if (reason := _left_out(each, level) or policy.excludes(each, origins[each.id]))
    }
    said = spoken = [each for each in visible if each.id not in reasons]
    announced = {each.id for each in said if kind.is_announced(each.value)}
    reasons |= dict.fromkeys(announced, "announced")
    said = [each for each in said if each.id not in announced]
    usable = [each for each in outcomes if each.counts_for(level)]
    # Evidence of another indicator is not among the visible reports.
    origins |= {each.evidence.id: origin_of(each.evidence, by_id) for each in usable if each.evidence.id not in origins}
    usable = [each for each in usable if policy.excludes(each.evidence, origins[each.evidence.id]) is None]
    items = _items(kind, said, origins, usable, horizon)
    relayed = relayed_reports(said, by_id)
    parts = {
        name: assess_part(kind, standing_reports(kind, [each for each in items if name in kind.facets(each.value)], relayed))
        for name in sorted({name for each in items for name in kind.facets(each.value)})
    }
    found = _combined(kind, parts, usable, horizon)
    relations, left_out = _listed(kind, visible, parts, reasons, found.preferred)
    newest, newest_sound = _newest(spoken, origins)
    judgement, lapsed, partial = standing_judgement(judgements, level), False, False
    if judgement is not None:
        partial = any(each.level > judgement.shown_from for each in found.standing)
        repeated = {each.id for each, relation in relations if relation == "relayed"}
        later = [each for each in said if each.stated_at > judgement.recorded_at and each.id not in repeated]
        lapsed = is_contradicted(kind, judgement, (each for each in later if is_sound(each, is_party(each, origins[each.id]))))
    beside: dict[str, Any] = {"judgement": judgement, "lapsed": lapsed, "partial": partial, "policy": policy}
    return replace(found, relations=relations, left_out=left_out, newest_at=newest, newest_sound_at=newest_sound, **beside)


def _left_out(statement: Statement, level: int) -> LeftOutReason | None:
    """Rule 1: tell why a report is left out for a clearance. The caller leaves out what `as_of` and `known_at` do not see."""
    if statement.is_retracted_for(level):
        return "retracted"
    return "superseded" if statement.is_superseded_for(level) else None


def _items(
    kind: Kind[Any], said: Sequence[Statement], origins: Mapping[UUID, SourceRecord], outcomes: Sequence[Outcome], horizon: timedelta
) -> list[AssessedStatement]:
    """Return the reports and the states that outcomes left, oldest first."""
    about = next((each.value for each in said if kind.warns(each.value)), said[0].value if said else None)
    events = [] if about is None else [each.evidence for each in came_true(outcomes)]
    happened = {id(each) for each in events}
    return [
        assessed(
            kind,
            each,
            origins[each.id],
            order,
            horizon,
            ended=kind.warns(each.value) and outcome_of(each, outcomes) is not None,
            from_outcome=id(each) in happened,
            value=kind.came_true(about) if id(each) in happened else None,
        )
        # A state comes before the report that shows it, which is of the same time.
        for order, each in enumerate(in_order_of_time([*events, *said]))
    ]


def _newest(spoken: Sequence[Statement], origins: Mapping[UUID, SourceRecord]) -> tuple[datetime | None, datetime | None]:
    """Return the times of the newest report that rule 1 leaves, and of the newest sound one; silence is counted from these."""
    sound = [each.time for each in spoken if is_sound(each, is_party(each, origins[each.id]))]
    return max((each.time for each in spoken), default=None), max(sound, default=None)


def _listed(
    kind: Kind[Any],
    visible: Sequence[Statement],
    parts: Mapping[str, AssessedPart],
    reasons: Mapping[UUID, str],
    preferred: Statement | None,
) -> tuple[tuple[tuple[Statement, Relation], ...], tuple[tuple[Statement, LeftOutReason], ...]]:
    """Return the reports listed with a relation, the preferred one first, then the others that stand; and those left out with a reason."""
    stands: dict[UUID, tuple[Statement, Relation]] = {} if preferred is None else {preferred.id: (preferred, "preferred")}
    for each in _standing(parts):
        leading = [part.leading for part in parts.values() if part.leading is not None and each in part.reports.standing]
        contradicts = any(kind.compare(each, other) for other in leading)
        stands.setdefault(each.statement.id, (each.statement, "contradicts" if contradicts else "supports"))
    taken_out: dict[UUID, str] = dict(reasons)
    fates = [(each.statement.id, why) for part in parts.values() for each, why in part.reports.reasons.items() if not each.from_outcome]
    taken_out |= dict(sorted(fates, key=lambda pair: _RULES_IN_ORDER.index(pair[1])))
    others = [(each, taken_out[each.id]) for each in reversed(visible) if each.id not in stands]
    relations = list(stands.values())
    relations += [(each, cast("Relation", reason)) for each, reason in others if reason in _RELATIONS]
    return tuple(relations), tuple((each, cast("LeftOutReason", reason)) for each, reason in others if reason not in _RELATIONS)


def _standing(parts: Mapping[str, AssessedPart]) -> list[AssessedStatement]:
    return sorted({each for part in parts.values() for each in part.reports.standing}, key=best_first)


def _combined(kind: Kind[Any], parts: Mapping[str, AssessedPart], outcomes: Sequence[Outcome], horizon: timedelta) -> Assessment:
    """Rules 8, 9 and 11: return the assessment of all parts together, without the list of reports."""
    standing = _standing(parts)
    if not standing:
        return Assessment()
    leading = [part.leading for part in parts.values() if part.leading is not None]
    preferred = min(leading, key=lambda each: (rank_of_state(kind, each), best_first(each)), default=None)
    counted = {each for part in parts.values() for each in part.counted}
    contested = any(part.agreement == "contested" for part in parts.values())
    more = warning_fields(kind, standing, outcomes) if kind.has_outcome else {}
    due = [(each.value, each.statement.stated_at.date()) for each in due_warnings(kind, standing)]
    value = kind.unknown(standing[0].value) | more
    found = Assessment(
        value=value,
        warning_day=kind.warning_day(value, due),
        agreement=agreement_of(list(counted), preferred is not None, contested),
        standing=tuple({each.statement.id: each.statement for each in standing}.values()),
        reports=len({each.statement.id for each in counted}),
        sources=len({each.statement.source.id for each in counted}),
        origins=len({each.origin for each in counted}),
    )
    if preferred is None:
        return found
    combined = kind.combine_parts({name: combined_part(kind, each) for name, each in parts.items()}, preferred)
    confirming = [kind.confirms(preferred, each) for each in counted if each.origin != preferred.origin]
    value = combined.value | more
    return replace(
        found,
        value=value,
        warning_day=kind.warning_day(value, due),
        preferred=preferred.statement,
        confirmed=any(confirming) if kind.status_field else all(confirming),
        basis={name: each.statement.id for name, each in combined.basis.items() if isinstance(each, AssessedStatement)},
        spread=combined.spread,
        stated_at=preferred.statement.time,
        stale_after=None if kind.is_lasting else preferred.statement.time + kind.horizon_of(preferred.value, horizon),
    )
