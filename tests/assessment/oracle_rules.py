"""A second, naive implementation of `envelope/2`, written from the text of the contract without the code of the app.

It works on plain dicts as `GET /v1/reports` serves them. A mistake in the method would have to be made in both implementations to go
unnoticed. The numbers are those of the rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from tests.assessment import oracle_kinds, oracle_new_kinds
from tests.assessment.oracle_kinds import (
    COUNTED,
    CREDIBILITIES,
    DIRECTNESS,
    GRADES,
    INTERVALS,
    RELIEF_WORDS,
    ROUTE_STATES,
    SUPPLY_STATES,
    Moment,
    Report,
    begins,
    horizon_of,
    is_dated_warning,
    is_undated_low,
    is_warning,
    parts_of,
    said,
    state_of,
    supply_range,
    time_of,
)
from tests.assessment.oracle_new_kinds import NEW_KINDS, SERVICE_STATES, STAGES, differ_otherwise, leaves_standing, says_worse

WORST_FIRST = {
    "supply_runout": SUPPLY_STATES,
    "route_closure": ROUTE_STATES,
    "aid_delivery": STAGES,
    "service_status": SERVICE_STATES,
}
# A report that stands, and a part of the subject for which it does.
Parts = dict[str, set[str]]


@dataclass
class View:
    """The facts besides the reports: sources by slug with grade and party, all visible reports by id, outcomes in order."""

    sources: dict[str, dict[str, Any]]
    every: dict[str, Report] = field(default_factory=dict)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    zone: tzinfo = UTC
    as_of: datetime | None = None


class Rules:
    """One indicator, assessed from its reports in the order of recording."""

    def __init__(self, reports: Iterable[Report], view: View) -> None:
        self.view, self.zone = view, view.zone
        self.listed: dict[str, str] = {}
        reports = list(reports)
        self.kind = reports[0]["kind"]
        self.number = {each["id"]: at for at, each in enumerate(reports)}
        # The horizon of each part is counted from different reports, so relations differ too.
        self.out: dict[str, dict[str, str]] = {"": {}, "in": {}, "out": {}}
        self.visible = [each for each in reports if not self._left_out(each)]
        self.by_id = {each["id"]: each for each in self.visible}
        outcomes = [each for each in view.outcomes if each["evidence"]["status"] != "retracted"]
        self.outcomes = [each for each in outcomes if view.as_of is None or begins(each["evidence"]["stated_at"]) <= view.as_of]
        self._assess()

    # Terms

    # While rule 6 is played in order of time, the report that it has come to.
    _until: Report | None = None

    def _is_said_by_now(self, report: Report) -> bool:
        return self._until is None or not self.later(report, self._until)

    def time(self, report: Report) -> Moment:
        return time_of(report, self.zone)

    def later(self, one: Report, other: Report) -> bool:
        return self.time(one).is_after(self.time(other))

    def chronological(self, reports: Iterable[Report]) -> list[Report]:
        """Sort by time, then by recording: the last is one that no other is later than."""
        left, found = list(reports), []
        while left:
            newest = [one for one in left if not any(self.later(other, one) for other in left)]
            last = max(newest, key=lambda each: self.number[each["id"]])
            found.append(last)
            left.remove(last)
        return found[::-1]

    def origin(self, report: Report, seen: frozenset[str] = frozenset()) -> str:
        provenance = report["provenance"]
        if provenance.get("origin"):
            return str(provenance["origin"])
        relayed = self.view.every.get(provenance.get("relays") or "")
        if relayed is not None and relayed["id"] not in seen:
            return self.origin(relayed, seen | {report["id"]})
        return str(report["source"])

    def is_partys(self, report: Report) -> bool:
        return any(self.view.sources[each]["party_to_conflict"] for each in (report["source"], self.origin(report)))

    def grade(self, report: Report) -> int:
        return GRADES.index(self.view.sources[report["source"]]["reliability"])

    def is_sound(self, report: Report) -> bool:
        if report.get("materialised"):
            return True
        grade, credibility = GRADES[self.grade(report)], report["provenance"]["credibility"]
        return not self.is_partys(report) and grade in "ABCF" and credibility not in (4, 5)

    def better(self, one: Report, other: Report) -> bool:
        # A report says the same as the state that it shows.
        if one["id"] == other.get("materialised") or other["id"] == one.get("materialised"):
            return False
        return oracle_new_kinds.better(one, other) if self.kind in NEW_KINDS else oracle_kinds.better(one, other, self.zone)

    def contradict(self, one: Report, other: Report) -> bool:
        if self.kind not in NEW_KINDS:
            return oracle_kinds.contradict(one, other, self.zone)
        return self.better(one, other) or self.better(other, one) or differ_otherwise(one, other, self.zone)

    def is_relief(self, report: Report, part: str, standing: Parts) -> bool:
        """Tell whether a report is a relief claim, given what stands.

        What is past its horizon before the newest sound report on the part, of what rules 1 and 2 leave, is no measure.
        """
        if state_of(report) in RELIEF_WORDS:
            return True
        sound = [each for each in self.observed if part in parts_of(each) and self.is_sound(each) and self._is_said_by_now(each)]
        newest = self.chronological(sound)[-1] if sound else None
        others = [self.by_id[name] for name, parts in standing.items() if part in parts and name != report["id"]]
        return any(self.better(report, each) and not (newest and self._is_past(each, newest)) for each in others)

    def rank(self, report: Report) -> tuple[int, int]:
        return self.grade(report), CREDIBILITIES.index(report["provenance"]["credibility"])

    # Rules

    def _left_out(self, report: Report) -> bool:
        """Rule 1."""
        if self.view.as_of is not None and begins(report["stated_at"]) > self.view.as_of:
            return True
        if report["status"] != "standing":
            self.listed[report["id"]] = report["status"]
            return True
        return False

    def _assess(self) -> None:
        # 2
        standing: Parts = {}
        self.observed = [each for each in self.visible if said(each, "assertion", "observed") == "observed"]
        for each in self.visible:
            if each in self.observed:
                standing[each["id"]] = set(parts_of(each))
            else:
                self.listed[each["id"]] = "announced"
        # 3
        heard = self._without_relayed(standing)
        self.heard = [self.by_id[name] for name in heard]
        # 10: "stands as a sound ran_out"
        self.claims = self._materialised()
        self.by_id |= {each["id"]: each for each in self.claims}
        self.number |= {each["id"]: len(self.number) + at for at, each in enumerate(self.claims)}
        # 4, 5
        current = self._one_voice_within_horizon(heard, self.out)
        # 6
        overtaken = self._overtaken(heard)
        self.standing: Parts = {}
        for name, parts in current.items():
            left = parts - overtaken.get(name, set())
            for part in parts - left:
                self.out[part][name] = "overtaken"
            if left:
                self.standing[name] = left
        # 10: the state that an outcome gives speaks for its evidence
        for name in self._spoken_for(self.standing, ""):
            self.standing[name].discard("")
            if not self.standing[name]:
                del self.standing[name]
        # 7
        self.sets = {part: self._that_counts(part, self.stand(part)) for part in ("", "in", "out")}
        self.leaders = {part: self._leader(part) for part in self.sets}
        leading = [each for each in self.leaders.values() if each is not None]
        self.preferred = self._first_of_worst(leading) if leading else None

    def _without_relayed(self, standing: Parts) -> Parts:
        """Rule 3."""
        heard: Parts = {}
        for name, parts in standing.items():
            report = self.by_id[name]
            if any(each in standing for each in self._repeated(report)):
                self.listed[name] = "relayed"
                continue
            left = {part for part in parts if not self._is_less_direct(report, part, standing)}
            for part in parts - left:
                self.out[part][name] = "relayed"
            if left:
                heard[name] = left
        return heard

    def _repeated(self, report: Report) -> list[str]:
        """Return what it relays, directly or through others."""
        found: list[str] = []
        name = report["provenance"].get("relays")
        while name and name not in found and name in self.view.every:
            found.append(name)
            name = self.view.every[name]["provenance"].get("relays")
        return found

    def _is_less_direct(self, report: Report, part: str, standing: Parts) -> bool:
        for name, parts in standing.items():
            other = self.by_id[name]
            if name == report["id"] or part not in parts or other["source"] != report["source"]:
                continue
            days = (self.time(report).day - self.time(other).day).days
            ranks = [DIRECTNESS.index(each["provenance"]["directness"]) for each in (report, other)]
            if not 0 <= days <= 7 or ranks[0] <= ranks[1] or self.better(other, report) or says_worse(report, other):
                continue
            if self.is_sound(other) or not self.is_relief(other, part, standing):
                return True
        return False

    def _materialised(self) -> list[Report]:
        found = []
        for at, each in enumerate(self.outcomes):
            evidence = each["evidence"]
            overridden = any(not self.later(evidence, other["evidence"]) for other in self.outcomes[at + 1 :])
            if each["outcome"] == "materialised" and not overridden:
                value = {"supply": said(self.visible[0], "supply") if self.visible else None, "state": "ran_out"}
                said_so = {"id": f"outcome of {evidence['id']}", "kind": self.kind, "value": value, "materialised": evidence["id"]}
                found.append(evidence | said_so)
        return found

    def _spoken_for(self, standing: Parts, part: str) -> set[str]:
        """Return the reports on a part on which an outcome rests whose state stands."""
        states = {each["materialised"] for each in self.claims if part in standing.get(each["id"], ())}
        return {name for name, parts in standing.items() if part in parts and name in states}

    def _one_voice_within_horizon(self, heard: Parts, out: dict[str, dict[str, str]]) -> Parts:
        """Rules 4 and 5."""
        found: Parts = {}
        for part in ("", "in", "out"):
            voices = [self.by_id[name] for name, parts in heard.items() if part in parts]
            kept = []
            for each in voices:
                own = self.chronological(other for other in voices if other["source"] == each["source"])
                after = own[own.index(each) + 1 :]
                if any(self._replaces(other, each, part, heard) for other in after):
                    out[part][each["id"]] = "replaced_by_later"
                else:
                    kept.append(each)
            if self.kind == "supply_runout" and part == "":
                kept += [each for each in self.claims if self._is_said_by_now(each)]
            stand_now: Parts = {each["id"]: {part} for each in kept}
            sound = [each for each in kept if self.is_sound(each)] or [each for each in kept if not self.is_relief(each, part, stand_now)]
            newest = self.chronological(sound)[-1] if sound else None
            for each in kept:
                if newest is not None and self._is_past(each, newest):
                    out[part][each["id"]] = "past_horizon"
                else:
                    found.setdefault(each["id"], set()).add(part)
        return found

    def _replaces(self, later: Report, earlier: Report, part: str, standing: Parts) -> bool:
        if not self.is_sound(later) and self.is_relief(later, part, standing):
            return False
        if leaves_standing(later, earlier):
            return False
        return not (is_undated_low(later, self.zone) and is_dated_warning(earlier, self.zone))

    def _is_past(self, report: Report, newest: Report) -> bool:
        if self.kind == "population_movement":
            return False
        if state_of(report) == "ran_out" or (is_warning(report, self.zone) and self.outcome_of(report) is None):
            return False
        return self.time(newest).since(self.time(report)).total_seconds() > horizon_of(report) * 86400

    def _overtaken(self, heard: Parts) -> Parts:
        """Rule 6, played in order of time."""
        gone: Parts = {}
        for event in self.chronological(self.by_id[name] for name in [*heard, *(each["id"] for each in self.claims)]):
            self._until = event
            present = {name: parts for name, parts in heard.items() if not self.later(self.by_id[name], event)}
            current = self._one_voice_within_horizon(present, {"": {}, "in": {}, "out": {}})
            stand = {name: parts - gone.get(name, set()) for name, parts in current.items()}
            earlier: Parts = present | {each["id"]: {""} for each in self.claims if not self.later(each, event)}
            before = {name: set(parts) for name, parts in gone.items()}
            for name, parts in earlier.items():
                for part in parts & stand.get(event["id"], set()) - before.get(name, set()):
                    silent = self._spoken_for(stand, part)
                    others = [self.by_id[each] for each, of in stand.items() if part in of and each not in {event["id"], *silent}]
                    # A report falls with the state that spoke for it, not before.
                    falls = next((each for each in self.claims if each["materialised"] == name), None) if name in silent else None
                    if event["id"] in silent or (falls is not None and not self._overtakes(event, falls, others)):
                        continue
                    if self._overtakes(event, self.by_id[name], others):
                        gone.setdefault(name, set()).add(part)
        self._until = None
        return gone

    def _may_overtake(self, later: Report, report: Report) -> bool:
        if not self.later(later, report) or not self.is_sound(later) or (self.is_partys(report) and not report.get("materialised")):
            return False
        # Not by another since alone, nor by another count of those who moved.
        if not self.better(later, report) and not self.better(report, later):
            return False
        if state_of(report) == "ran_out" and state_of(later) != "resupplied":
            return False
        days = self.time(later).since(self.time(report)).total_seconds() / 86400
        return days >= INTERVALS[self.kind] and self.grade(later) <= self.grade(report) + 1

    def _overtakes(self, later: Report, report: Report, others: list[Report]) -> bool:
        if not self._may_overtake(later, report):
            return False
        if self.better(report, later):
            return True
        if later["provenance"]["method"] in COUNTED or self.grade(later) <= self.grade(report) - 1:
            return True
        return any(
            self._may_overtake(other, report) and self.better(other, report) and self.origin(other) != self.origin(later)
            for other in others
        )

    def stand(self, part: str) -> list[Report]:
        """Return what stands on a part; by rule 10 warnings that have ended only where nothing else could lead."""
        every = [self.by_id[name] for name, parts in self.standing.items() if part in parts]
        others = [each for each in every if not (is_warning(each, self.zone) and self.outcome_of(each))]
        return others if self._that_counts(part, others) else every

    def _that_counts(self, part: str, stand: list[Report]) -> list[Report]:
        """Rules 7 and 8: the sound reports where any stands, else the others without relief claims."""
        # A warning that has ended is no measure of relief while it takes no part.
        measure = {each["id"]: self.standing[each["id"]] for each in stand}
        return [each for each in stand if self.is_sound(each)] or [each for each in stand if not self.is_relief(each, part, measure)]

    def _first_of_worst(self, reports: list[Report]) -> Report:
        states = WORST_FIRST.get(self.kind)
        if states is not None:
            worst = min(states.index(state_of(each)) for each in reports)
            reports = [each for each in reports if states.index(state_of(each)) == worst]
        return self.in_order(reports)[0]

    def in_order(self, reports: list[Report]) -> list[Report]:
        """Sort by reliability, then credibility, then the latest, then the later recorded."""
        latest_first = self.chronological({each["id"]: each for each in reports}.values())[::-1]
        return sorted(latest_first, key=self.rank)

    def _leader(self, part: str) -> Report | None:
        reports = self.sets[part]
        if not reports:
            return None
        if self.kind in WORST_FIRST:
            return self._first_of_worst(reports)
        for each in self.in_order(reports):
            if not any(self.later(each, other) and self.better(each, other) for other in reports):
                return each
        raise AssertionError("the earliest may always lead")

    # Rule 10

    def outcome_of(self, report: Report) -> str | None:
        """Return the outcome that ended a warning, if any."""
        found = [each["outcome"] for each in self.outcomes if self.later(each["evidence"], report)]
        return found[-1] if found and found[-1] != "pending" else None

    def due_warnings(self) -> list[Report]:
        """Return the warnings that stand and have not ended: the sound ones, or any where no sound one stands."""
        warnings = [each for each in self.stand("") if is_warning(each, self.zone) and self.outcome_of(each) is None]
        return [each for each in warnings if self.is_sound(each)] or warnings

    def due(self) -> date | None:
        """Return the soonest date on which a warning is due."""
        ranges = [supply_range(each, self.zone) for each in self.due_warnings()]
        return min((first or last for first, last in ranges if first or last), default=None)
