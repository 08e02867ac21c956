"""How far back the reports on an indicator can matter to its assessment, so that loading reads no more. Pure.

Rule 5 takes out what is older than its horizon beside the newest sound report, so older reports matter only if they pass no horizon. What
may be doubtful here counts as mattering: then more is read than necessary.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, get_args
from uuid import UUID

from app.assessment.outcomes import Outcome
from app.assessment.standing import MAX_RELAY_DAYS
from app.assessment.statement import Directness, Statement
from app.assessment.terms import is_party, is_sound, origin_of
from app.domain.kinds.base import Kind
from app.domain.times import MIN_DAY
from app.domain.tlp import MAX_LEVEL

EVERYTHING = datetime.combine(MIN_DAY, time.min, UTC)
# A report relates to those of the days before it that it may repeat, and days differ between time zones.
MARGIN = timedelta(days=MAX_RELAY_DAYS + 2)
# The newest sound report is mostly somewhat older than the newest; reading again from a little earlier would cost as much as once more.
_MARGIN_OF_NEWEST = timedelta(days=2)
_DIRECTNESS: tuple[str, ...] = get_args(Directness.__value__)


def first_cut(newest: datetime, horizon: timedelta) -> datetime:
    """Return the time since which reports matter if one that is about as new as the newest, of this time, is sound."""
    reach = horizon + MARGIN + _MARGIN_OF_NEWEST
    return max(EVERYTHING, newest - reach) if newest > EVERYTHING + reach else EVERYTHING


def needed_since(
    kind: Kind[Any],
    latest: Sequence[Statement],
    loaded: Sequence[Statement],
    since: datetime,
    horizon: timedelta,
    outcomes: Sequence[Outcome],
) -> datetime:
    """Return the time since which reports can matter to any clearance: `since` if all of them are loaded, else an earlier time.

    `latest` has the latest report of each source, facet and level, `loaded` all reports since `since`.
    """
    if since == EVERYTHING:
        return since
    # A warning that came true stands as if it were reported, and passes no horizon.
    needed = [since + MARGIN, *(each.evidence.time for each in outcomes if each.outcome == "materialised")]
    known = {each.id: each for each in loaded}
    if kind.has_outcome and any(not _is_sound(each, known) and not kind.claims_relief(each.value) for each in loaded):
        # Whether such a report claims relief depends on the worst of all warnings ever.
        return EVERYTHING
    newest = max((each.time for each in latest), default=since)
    wider = max(EVERYTHING, newest - 2 * (newest - since)) if newest - since < (newest - EVERYTHING) / 2 else EVERYTHING
    if any(each.relays is not None and each.relays not in known for each in loaded):
        return wider
    ends = {end for each in loaded for end in (each.superseded_from_level, each.retracted_from_level) if end is not None}
    for level in ends | {each.level for each in latest}:
        for facet in {name for each in latest if each.level <= level for name in kind.facets(each.value)}:
            seen = [each for each in loaded if each.level <= level and facet in kind.facets(each.value) and not _ended(each, level)]
            sound = _newest_sound(kind, seen, since + MARGIN, known)
            if sound is None:
                return wider
            needed.append(sound - horizon)
    return max(EVERYTHING, min(needed) - MARGIN)


def _newest_sound(kind: Kind[Any], seen: Sequence[Statement], since: datetime, known: Mapping[UUID, Statement]) -> datetime | None:
    """Return the time of the newest report that surely is sound and left by rules 1 to 4; None if none is."""
    times = []
    for _, group in groupby(sorted(seen, key=lambda each: each.source.id), key=lambda each: each.source.id):
        said = [each for each in group if not kind.is_announced(each.value)]
        last_day = max((each.local_day for each in said), default=None)
        last = [each for each in said if each.local_day == last_day]
        days = _days_said(said)
        if last and all(each.time >= since and _is_sound(each, known) and not _may_repeat(each, days) for each in last):
            times.append(min(each.time for each in last))
    return max(times, default=None)


def is_replaced(kind: Kind[Any], endless: Statement, loaded: Sequence[Statement], since: datetime) -> bool:
    """Tell whether a report that passes no horizon is surely replaced by a later one of its source, for all who see it."""
    facets = kind.facets(endless.value)
    later = [
        each
        for each in loaded
        if each.source.id == endless.source.id
        and each.level <= endless.level
        and each.time >= since + MARGIN
        and facets <= kind.facets(each.value)
        and not _ended(each, MAX_LEVEL)
        and not kind.is_announced(each.value)
        and (kind.is_endless(each.value) or kind.claims_relief(each.value))
        and not kind.leaves_standing(each.value, endless.value)
    ]
    if not later:
        return False
    known, days = {each.id: each for each in loaded}, _days_said(loaded)
    return _is_sound(endless, known) and any(_is_sound(each, known) and not _may_repeat(each, days) for each in later)


def _is_sound(each: Statement, known: Mapping[UUID, Statement]) -> bool:
    # Its origin depends on whether the reader sees the report that it relays.
    return all(is_sound(each, is_party(each, origin)) for origin in (each.origin or each.source, origin_of(each, known)))


def _ended(each: Statement, level: int) -> bool:
    return any(ended is not None and ended <= level for ended in (each.superseded_from_level, each.retracted_from_level))


def _days_said(said: Iterable[Statement]) -> set[tuple[UUID, str, date]]:
    return {(each.source.id, each.directness, each.local_day) for each in said}


def _may_repeat(each: Statement, days: Collection[tuple[UUID, str, date]]) -> bool:
    """Tell whether rule 3 may take a report out, by the days on which each source said something, with the directness."""
    return each.relays is not None or any(
        (each.source.id, more_direct, each.local_day - timedelta(days=ago)) in days
        for more_direct in _DIRECTNESS[: _DIRECTNESS.index(each.directness)]
        for ago in range(MAX_RELAY_DAYS + 1)
    )
