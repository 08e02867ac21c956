"""The method `urgency/1`: the level of urgency of a place, from the documents of its indicators (docs/method.md). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypeAliasType

from app.assessment.judgements import judged_value, relied_on
from app.domain.kinds import KINDS
from app.domain.kinds.showing import Risk
from app.domain.kinds.values import MAX_PEOPLE
from app.domain.times import day_of, rfc3339, start_of

Document = Mapping[str, Any]
Level = TypeAliasType("Level", Literal["critical", "serious", "watch"])
LEVELS_WORST_FIRST: tuple[Level, ...] = ("critical", "serious", "watch")

MAX_QUIET_DAYS = 30
MAX_SILENT_DAYS = 365


# The place of a situation in lists, the most urgent first: see `Urgency.position`.
Position = tuple[int, date, int, UUID]


@dataclass(frozen=True, slots=True)
class Urgency:
    """The level of a place, None where nothing leads, and its reasons, as a situation shows them.

    `silent_days` are the days since the newest sound report, or since the newest of all where none is sound; None without any.
    `soonest` is the first due date of a warning, `people` the most people held by one figure, 0 if not known.
    """

    level: Level | None = None
    because: Sequence[dict[str, Any]] = ()
    silent_days: int | None = None
    soonest: date | None = None
    people: int = 0

    @property
    def dormant(self) -> bool:
        """Whether the place has been silent for more than a year."""
        return self.silent_days is not None and self.silent_days > MAX_SILENT_DAYS

    def position(self, place: UUID) -> Position:
        """Return the sort key: dormant places last, then level, those that are not silent, the soonest due date, and people held."""
        silent = self.silent_days is not None and self.silent_days > MAX_QUIET_DAYS
        rank = len(LEVELS_WORST_FIRST) if self.level is None else LEVELS_WORST_FIRST.index(self.level)
        return 8 * self.dormant + 2 * rank + silent, self.soonest or date.max, MAX_PEOPLE - self.people, place


def level_of(position: Position) -> Level | None:
    """Return the level of a place by its position."""
    rank = position[0] % 8 // 2
    return LEVELS_WORST_FIRST[rank] if rank < len(LEVELS_WORST_FIRST) else None


def urgency(documents: Sequence[Document], at: datetime, times: Mapping[str, str] = MappingProxyType({})) -> Urgency:
    """Return the urgency of a place at a time; `times` has those of reports that figures come from, for the reasons that rest on them.

    `critical`: people are held, and short of something; `serious`: one of the two; `watch`: anything else leads. Silence never improves
    a level: what was last known stays.
    """
    because: dict[tuple[str, str], dict[str, Any]] = {}
    risks: list[Risk] = []
    due_dates: list[date] = []
    leads = False
    for kind in KINDS.values():
        judged = [(each, relied_on(kind, each, at)) for each in documents if each["kind"] == kind.name]
        # A judgement lowers nothing where the reader sees stricter reports: those count beside it.
        partial = [(each, None) if judgement and judgement["partial"] else (each, judgement) for each, judgement in judged]
        for some in (judged, *([partial] if partial != judged else [])):
            own = [(each, judgement) for each, judgement in some if judgement is not None or each["provenance"] is not None]
            values = [each["value"] if judgement is None else judged_value(kind, judgement, each["value"]) for each, judgement in own]
            leads = leads or bool(own)
            due_dates += [due for value in values if (due := kind.due_date(value)) is not None]
            for position, risk in kind.risks(values, at):
                risks.append(risk)
                said, judgement = own[position]
                since = rfc3339(start_of(risk.since)) if risk.since else said["stated_at"]
                since = times.get(said["assessment"]["basis"].get(risk.figure, ""), since)
                since = since if judgement is None else judgement["recorded_at"]
                reason = {"reason": risk.reason, "indicator": said["id"], "since": since, "judged": judgement is not None}
                because.setdefault((risk.reason, said["id"]), reason)
    return Urgency(
        level=LEVELS_WORST_FIRST[2 - len({risk.state for risk in risks})] if leads else None,
        because=list(because.values()),
        silent_days=_silent_days(documents, at),
        soonest=min(due_dates, default=None),
        people=max((risk.people for risk in risks), default=0),
    )


def _silent_days(documents: Sequence[Document], at: datetime) -> int | None:
    for name in ("newest_sound_at", "newest_at"):
        if days := [day_of(each["assessment"][name]) for each in documents if each["assessment"][name] is not None]:
            return max((at.date() - max(days)).days, 0)
    return None


def worst(levels: Sequence[Level | None]) -> Level | None:
    """Return the worst of some levels; None if none is known."""
    return min((each for each in levels if each is not None), key=LEVELS_WORST_FIRST.index, default=None)
