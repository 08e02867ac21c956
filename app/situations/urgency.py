"""The method `urgency/1`: the level of urgency of a place, from the documents of its indicators (docs/method.md). Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypeAliasType

from app.assessment.judgements import judged_value, relied_on
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.kinds.showing import Risk
from app.domain.kinds.values import MAX_PEOPLE
from app.domain.times import day_of, rfc3339, start_of

Document = Mapping[str, Any]
Judged = Mapping[str, Any]
Level = TypeAliasType("Level", Literal["critical", "serious", "watch"])
LEVELS_WORST_FIRST: tuple[Level, ...] = ("critical", "serious", "watch")

MAX_QUIET_DAYS = 30
MAX_SILENT_DAYS = 365


# The place of a situation in lists, the most urgent first: see `Urgency.position`.
Position = tuple[int, date, int, UUID]


@dataclass(frozen=True, slots=True)
class Urgency:
    """The level of a place, None where nothing leads, and its reasons, as a situation shows them.

    `set_aside` are the reasons that the assessments give, and judgements in their place do not.
    `silent_days` are the days since the newest sound report, or since the newest of all where none is sound; None without any.
    `behind` has the report that each reason of an assessment rests on, by reason and indicator.
    `soonest` is the first due date of a warning, `people` the most people held by one figure, 0 if not known.
    """

    level: Level | None = None
    because: Sequence[dict[str, Any]] = ()
    set_aside: Sequence[dict[str, Any]] = ()
    behind: Mapping[tuple[str, str], str] = field(default_factory=dict)
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
    set_aside: dict[tuple[str, str], dict[str, Any]] = {}
    behind: dict[tuple[str, str], str] = {}
    risks: list[Risk] = []
    due_dates: list[date] = []
    leads = False
    for kind in KINDS.values():
        judged = [(each, relied_on(kind, each, at)) for each in documents if each["kind"] == kind.name]
        # A judgement lowers nothing where the reader sees stricter reports, or none that it relies on any more: those count beside it.
        partial = [
            (each, None if judgement and (judgement["partial"] or judgement["unsupported"]) else judgement) for each, judgement in judged
        ]
        for some in (judged, *([partial] if partial != judged else [])):
            own, values = _values(kind, some)
            leads = leads or bool(own)
            due_dates += [due for value in values if (due := kind.due_date(value)) is not None]
            for position, risk in kind.risks(values, at):
                risks.append(risk)
                said, judgement = own[position]
                report = said["assessment"]["basis"].get(risk.figure, said["assessment"]["preferred"])
                since = rfc3339(start_of(risk.since)) if risk.since else times.get(report, said["stated_at"])
                reason = _reason(risk, said, judgement) or {"reason": risk.reason, "indicator": said["id"], "since": since, "judged": False}
                because.setdefault((risk.reason, said["id"]), reason)
                behind.setdefault((risk.reason, said["id"]), report)
        for reason in _lost_reasons(kind, judged, at, because):
            set_aside.setdefault((reason["reason"], reason["indicator"]), reason)
    return Urgency(
        level=LEVELS_WORST_FIRST[2 - len({risk.state for risk in risks})] if leads else None,
        because=list(because.values()),
        set_aside=list(set_aside.values()),
        behind=behind,
        silent_days=_silent_days(documents, at),
        soonest=min(due_dates, default=None),
        people=max((risk.people for risk in risks), default=0),
    )


def _values(
    kind: Kind[Any], some: Iterable[tuple[Document, Judged | None]]
) -> tuple[list[tuple[Document, Judged | None]], list[Mapping[str, Any]]]:
    """Return the documents of a kind that say something, and their values: judged ones, else assessed ones.

    A document has two values where reports speak of a part that the judgement does not name.
    """
    found: list[tuple[tuple[Document, Judged | None], Mapping[str, Any]]] = []
    for each, judgement in some:
        left: Mapping[str, Any] | None = each["value"] if each["provenance"] is not None else None
        if judgement is not None:
            found.append(((each, judgement), judged_value(kind, judgement, each["value"])))
            left = left and kind.not_judged(left, kind.value_model.model_validate(judgement["value"]))
        if left is not None:
            found.append(((each, None), left))
    return [pair for pair, _ in found], [value for _, value in found]


def _reason(risk: Risk, said: Document, judgement: Judged | None) -> dict[str, Any] | None:
    """Return a reason that a judgement gives or takes away; None without a judgement."""
    if judgement is None:
        return None
    return {"reason": risk.reason, "indicator": said["id"], "since": judgement["recorded_at"], "judged": True}


def _lost_reasons(
    kind: Kind[Any], judged: Sequence[tuple[Document, Judged | None]], at: datetime, because: Iterable[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield the reasons that the assessments give, but not the judgements in their place, by those judgements."""
    judging = [(each, judgement) for each, judgement in judged if judgement is not None]
    if not judging:
        return
    own, values = _values(kind, [(each, None) for each, _ in judged])
    stay = set(because)
    of_place = {reason for reason, _ in stay} & kind.place_reasons
    for position, risk in kind.risks(values, at):
        said = own[position][0]
        if risk.reason not in of_place and (risk.reason, said["id"]) not in stay:
            # Of what several routes give together, each judgement may take its part away.
            for each, judgement in [pair for pair in judging if pair[0] is said] or judging:
                if (reason := _reason(risk, each, judgement)) is not None:
                    yield reason


def _silent_days(documents: Sequence[Document], at: datetime) -> int | None:
    for name in ("newest_sound_at", "newest_at"):
        if days := [day_of(each["assessment"][name]) for each in documents if each["assessment"][name] is not None]:
            return max((at.date() - max(days)).days, 0)
    return None


def worst(levels: Sequence[Level | None]) -> Level | None:
    """Return the worst of some levels; None if none is known."""
    return min((each for each in levels if each is not None), key=LEVELS_WORST_FIRST.index, default=None)
