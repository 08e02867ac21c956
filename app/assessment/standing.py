"""Rules 3 to 6 of the method: which reports on one part of a subject stand, and why the others do not. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from typing import Any, get_args
from uuid import UUID

from app.assessment.statement import Directness, Statement
from app.assessment.terms import AssessedStatement, shown_by_outcomes, too_old_to_compare, unsound_claims
from app.domain.kinds.base import Kind

_DIRECTNESS: tuple[str, ...] = get_args(Directness.__value__)
# Days after a more direct report of a source in which its less direct ones are repetitions.
MAX_RELAY_DAYS = 7
_HAS_SEEN = frozenset({"headcount", "registration", "direct_observation"})


@dataclass(slots=True)
class Standing:
    """The reports of one part of a subject: those that stand, oldest first, and the reason for each of the others.

    `old` are those beside which nothing claims relief, `history` what rules 1 to 3 leave. `began` has the first report of those that have
    said a state ever since, by soundness and state.
    """

    standing: list[AssessedStatement]
    reasons: dict[AssessedStatement, str] = field(default_factory=dict)
    old: frozenset[AssessedStatement] = frozenset()
    history: Sequence[AssessedStatement] = ()
    began: Mapping[tuple[bool, str | None], AssessedStatement] = field(default_factory=dict)

    def take_out(self, some: Iterable[AssessedStatement], reason: str) -> None:
        """Take reports out of those that stand."""
        self.reasons |= dict.fromkeys(some, reason)
        self.standing = [each for each in self.standing if each not in self.reasons]


def relayed_reports(standing: Sequence[Statement], by_id: Mapping[UUID, Statement]) -> set[UUID]:
    """Rule 3, first half: return the reports that relay another that stands, directly or through others."""
    stands = {each.id for each in standing}
    relayed: set[UUID] = set()
    for each in standing:
        seen = {each.id}
        at = each.relays
        while at is not None and at in by_id and at not in seen:
            if at in stands:
                relayed.add(each.id)
                break
            seen.add(at)
            at = by_id[at].relays
    return relayed


def less_direct(kind: Kind[Any], said: Sequence[AssessedStatement], old: frozenset[AssessedStatement]) -> set[AssessedStatement]:
    """Rule 3, second half: return the reports that repeat a more direct one of their source of the week before.

    One that says worse is no repetition; a relief claim that is not sound is not repeated by anything.
    """
    claims = unsound_claims(said, old)
    # The worst that a source said on a day, by directness; otherwise each report would be compared with each.
    worst: dict[tuple[UUID, date, int], tuple[float, ...]] = {}
    for each in said:
        if each not in claims:
            key, severity = (each.source, each.day, _indirectness(each)), kind.repeated_severity(each.value, each.severity)
            worst[key] = max(worst.get(key, severity[1]), severity[1])
    return {
        each
        for each in said
        for more_direct in range(_indirectness(each))
        for ago in range(MAX_RELAY_DAYS + 1)
        if (said_then := worst.get((each.source, each.day - timedelta(days=ago), more_direct))) is not None
        and said_then >= kind.repeated_severity(each.value, each.severity)[0]
    }


def _indirectness(each: AssessedStatement) -> int:
    return _DIRECTNESS.index(each.statement.directness)


def replaced_by_later(kind: Kind[Any], standing: Sequence[AssessedStatement], old: frozenset[AssessedStatement]) -> set[AssessedStatement]:
    """Rule 4: return the reports that a later one of their source replaces; relief claims that are not sound replace nothing."""
    claims = unsound_claims(standing, old)
    counted: dict[UUID, list[AssessedStatement]] = {}
    found: set[AssessedStatement] = set()
    for each in reversed(standing):
        later = counted.setdefault(each.source, [])
        if any(not kind.leaves_standing(more.value, each.value) for more in later):
            found.add(each)
        elif each not in claims:
            later.append(each)
    return found


def past_horizon(standing: Sequence[AssessedStatement], old: frozenset[AssessedStatement]) -> set[AssessedStatement]:
    """Rule 5: return the reports that are older than their horizon beside the newest sound one, or without any, the newest that counts."""
    newest = next((each for each in reversed(standing) if each.sound), None)
    if newest is None:
        claims = unsound_claims(standing, old)
        newest = next((each for each in reversed(standing) if each not in claims), None)
    return set() if newest is None else {each for each in standing if each.is_past_horizon(newest)}


def overtaken(
    kind: Kind[Any],
    said: Sequence[AssessedStatement],
    old: frozenset[AssessedStatement],
    began: dict[tuple[bool, str | None], AssessedStatement],
) -> set[AssessedStatement]:
    """Rule 6: return the reports that later ones overtook, in order of time, each by those that stood when it did.

    `said` is what rules 1 to 3 leave, oldest first: what a report overtook stays so, also once that report does not stand any more. Put
    into `began` the first report of those that have said a state ever since, for a kind that tells since when.
    """
    found: set[AssessedStatement] = set()
    current: list[AssessedStatement] = []
    # Nothing overtakes a party to the conflict, nor does it overtake.
    parties: dict[UUID, list[AssessedStatement]] = {}
    shortest = min((each.horizon for each in said if each.horizon is not None), default=None)
    has_states = any(each.from_outcome for each in said)
    order = {each: at for at, each in enumerate(said)} if kind.reads_all else {}
    for each in said:
        beside = chain(current, *parties.values())
        # Rule 4: a relief claim that is not sound replaces nothing.
        if each.sound or not (each.claims_relief or any(each.is_better_than(one) for one in beside if one not in old)):
            current = [one for one in current if one.source != each.source or kind.leaves_standing(each.value, one.value)]
            parties[each.source] = [one for one in parties.get(each.source, ()) if kind.leaves_standing(each.value, one.value)]
        (parties.setdefault(each.source, []) if each.party else current).append(each)
        if each.sound:
            # Rule 5: only a sound report takes others past their horizon before it overtakes them.
            current = _within_horizon(current, each, shortest)
            parties = {source: _within_horizon(own, each, shortest) for source, own in parties.items() if own}
            shown = shown_by_outcomes(current) if has_states else set()
            if each not in shown and (gone := _gone(kind, each, current, shown)):
                found |= gone
                current = [one for one in current if one not in gone]
        if kind.reads_all:
            states: dict[tuple[bool, str | None], AssessedStatement] = {}
            for one in sorted(chain(current, *parties.values()), key=order.__getitem__):
                states.setdefault((one.sound, kind.state(one.value)), one)
            kept = {state: began.get(state, one) for state, one in states.items()}
            began.clear()
            began.update(kept)
    return found


def _gone(
    kind: Kind[Any], later: AssessedStatement, current: Sequence[AssessedStatement], shown: set[AssessedStatement]
) -> set[AssessedStatement]:
    """Return the reports that a later one overtakes; `shown` are those that only an outcome shows."""
    voices = [one for one in current if one not in shown] if shown else current
    gone = {one for one in voices if _is_overtaken(kind, one, later, voices)}
    if gone and shown:
        # The report that shows a state is overtaken with it, not before.
        unveiled = shown - shown_by_outcomes([one for one in current if one not in gone])
        gone |= {one for one in unveiled if _is_overtaken(kind, one, later, voices)}
    return gone


def _within_horizon(said: list[AssessedStatement], newest: AssessedStatement, shortest: timedelta | None) -> list[AssessedStatement]:
    """Leave out what is past its horizon, oldest first; mostly the first report is too new for the shortest of all horizons."""
    # Reports of one day are in no order of time, and ages are in whole days where one has only a date.
    if not said or shortest is None or newest.statement.time - said[0].statement.time <= shortest - timedelta(days=3):
        return said
    return [each for each in said if not each.is_past_horizon(newest)]


def _is_overtaken(kind: Kind[Any], old: AssessedStatement, later: AssessedStatement, current: Sequence[AssessedStatement]) -> bool:
    is_relief = later.is_better_than(old)
    if not (is_relief or old.is_better_than(later)) or not _may_overtake(kind, later, old):
        return False
    return (
        not is_relief
        or later.statement.method in _HAS_SEEN
        or later.rank < old.rank
        or any(
            each.origin != later.origin and each.sound and each.is_better_than(old) and _may_overtake(kind, each, old) for each in current
        )
    )


def _may_overtake(kind: Kind[Any], later: AssessedStatement, old: AssessedStatement) -> bool:
    age = old.age_at(later)
    return (
        later.rank <= old.rank + 1
        and age > timedelta(0)
        and age >= timedelta(days=kind.interval_days)
        and kind.may_overtake(later.value, old.value)
    )


def standing_reports(kind: Kind[Any], said: Sequence[AssessedStatement], relayed: set[UUID]) -> Standing:
    """Apply rules 3 to 6 to the reports on one part of a subject, oldest first; `relayed` is the first half of rule 3."""
    found = Standing(list(said))
    old = too_old_to_compare(said)
    repeated = less_direct(kind, said, old)
    found.take_out([each for each in said if each in repeated or (each.statement.id in relayed and not each.from_outcome)], "relayed")
    history = found.standing
    found.take_out(replaced_by_later(kind, history, old), "replaced_by_later")
    found.take_out(past_horizon(found.standing, old), "past_horizon")
    began: dict[tuple[bool, str | None], AssessedStatement] = {}
    found.take_out(overtaken(kind, history, old, began).intersection(found.standing), "overtaken")
    shown = shown_by_outcomes(found.standing)
    found.standing = [each for each in found.standing if each not in shown]
    found.old, found.history, found.began = old, history, began
    return found
