"""The second implementation of `envelope/2`, continued: values, agreement and lists, by rules 8 and 9."""

from collections.abc import Iterable
from datetime import date
from itertools import combinations
from typing import Any

from tests.assessment.oracle_kinds import (
    RELIEF_WORDS,
    Report,
    begins,
    is_warning,
    people_range,
    said,
    since_range,
    spanned,
    state_of,
    supply_range,
)
from tests.assessment.oracle_new_kinds import ARRIVED, NEW_KINDS, delivery_figures, movement_figures, service_figures
from tests.assessment.oracle_rules import Rules, View

__all__ = ["Oracle", "View"]


class Oracle(Rules):
    """One indicator as it is served."""

    def contested(self, part: str) -> bool:
        return any(self.contradict(one, other) for one, other in combinations(self.stand(part), 2))

    def agreement(self, parts: Iterable[str] = ("", "in", "out")) -> str | None:
        """Rule 9. None where nothing stands."""
        stand = {each["id"]: each for part in parts for each in self.stand(part)}.values()
        if not stand:
            return None
        if all(self.leaders[part] is None for part in parts):
            return "claimed"
        if any(self.contested(part) for part in parts):
            return "contested"
        if all(self.is_partys(each) and not each.get("materialised") for each in stand):
            return "unconfirmed"
        return "consistent" if len({self.origin(each) for each in stand}) > 1 else "single"

    def figures(self) -> dict[str, Any]:
        """Rule 8: the figures, dates and states of the value that the text settles."""
        if self.kind == "trapped_population":
            return self._people()
        if self.kind in NEW_KINDS:
            return self._of_new_kind()
        return self._supply() if self.kind == "supply_runout" else self._route()

    def _of_new_kind(self) -> dict[str, Any]:
        reports = self.in_order(self.sets[""])
        if self.preferred is not None:
            reports = [self.preferred, *(each for each in reports if each is not self.preferred)]
        if self.kind == "population_movement":
            return movement_figures(self.preferred, reports, self.zone)
        began = self.began()
        day = began and self.time(began).day
        if self.kind == "service_status":
            return service_figures(self.preferred, reports) | {"since": day and day.isoformat()}
        alike = [each for each in self.heard if self.preferred and self.is_sound(each) == self.is_sound(self.preferred)]
        followed = [self.time(each).day for each in alike if self.is_sound(each) or state_of(each) not in RELIEF_WORDS]
        sources = {each["source"] for each in reports}
        before = [each for each in alike if each["source"] in sources and (self.is_sound(each) or state_of(each) not in RELIEF_WORDS)]
        earlier = self.chronological(before)[::-1]
        figures = delivery_figures(self.preferred, reports, earlier, day, self.zone)
        if self.preferred and state_of(self.preferred) not in ARRIVED:
            figures["last_delivery"] = self._delivered_before()
        return figures | {"followed_since": min(followed).isoformat() if followed else None}

    def _delivered_before(self) -> Any:
        """Return the last delivery by what was said until the newest sound one passed its horizon, further back where that was none."""
        old = [each for each in self.heard if self.out[""].get(each["id"]) == "past_horizon" and state_of(each) in ARRIVED]
        old = [each for each in self.chronological(old) if self.is_sound(each)]
        if not old:
            return None
        fresh = [each for each in self.heard if not self._is_past(old[-1], each)]
        then = Oracle(sorted(fresh, key=lambda each: self.number[each["id"]]), self.view)
        return then.figures()["last_delivery"]

    def began(self) -> Report | None:
        """Return the first report since which one that stands has always said the state that leads, assessing all over after each."""
        first, ordered = None, self.chronological(self.heard)
        for at in range(len(ordered) if self.preferred else 0):
            said_by_then = sorted(ordered[: at + 1], key=lambda each: self.number[each["id"]])
            then = Oracle(said_by_then, self.view)
            stand = [then.by_id[name] for name in then.standing]
            alike = [
                each
                for each in stand
                if self.is_sound(each) == self.is_sound(self.preferred) and state_of(each) == state_of(self.preferred)
            ]
            first = (first or self.chronological(alike)[0]) if alike else None
        return first

    def _people(self) -> dict[str, Any]:
        if self.preferred is None:
            return dict.fromkeys(("people", "qualifier", "people_low", "people_high"))
        figure, ranges = said(self.preferred, "people"), [people_range(each) for each in self.sets[""]]
        found = {"people": figure, "qualifier": said(self.preferred, "qualifier")}
        return found | spanned(ranges, people_range(self.preferred), figure)

    def _supply(self) -> dict[str, Any]:
        warnings = [supply_range(each, self.zone) for each in self.sets[""] if is_warning(each, self.zone)]
        firsts, lasts = [first for first, _ in warnings if first], [last for _, last in warnings if last]
        return {
            "state": self.preferred and state_of(self.preferred),
            "runs_out_earliest": min(firsts).isoformat() if firsts else None,
            "runs_out_latest": max(lasts).isoformat() if lasts else None,
        }

    def _since(self, reports: list[Report], leader: Report) -> dict[str, Any]:
        ranges = [since_range(each) for each in reports if state_of(each) == state_of(leader)]
        first = max((first for first, _ in ranges if first), default=None)
        last = min((last for _, last in ranges if last), default=None)
        if first and last and first > last:
            first, last = since_range(leader)
        return {"since_earliest": first and first.isoformat(), "since_latest": last and last.isoformat()}

    def _route(self) -> dict[str, Any]:
        directions = {}
        for part in ("in", "out"):
            leader = self.leaders[part]
            since = self._since(self.sets[part], leader) if leader else {"since_earliest": None, "since_latest": None}
            passable = leader and leader["value"].get("passable_by")
            directions[part] = since | {"status": leader and state_of(leader), "passable_by": passable, "agreement": self.agreement([part])}
        known = {each["status"] for each in directions.values()} - {None}
        status = next(iter(known)) if len(known) == 1 else "restricted" if known else None
        found: dict[str, Any] = {"directions": directions, "status": status, "since_earliest": None, "since_latest": None}
        if self.preferred is None:
            return found | {"directions": None, "last_route": None}
        every = list({each["id"]: each for part in ("in", "out") for each in self.sets[part]}.values())
        last = any(said(each, "last_route") for each in every if state_of(each) == state_of(self.preferred))
        # Where the two ways differ, no source gave a date for both.
        return found | (self._since(every, self.preferred) if len(known) == 1 else {}) | {"last_route": last}

    def imminent_since(self) -> date | None:
        """Return the day in UTC of the newest warning that is due and speaks of hours or days."""
        spoken = [each for each in self.due_warnings() if said(each, "imminence") in ("hours", "days")]
        return max((begins(each["stated_at"]).date() for each in spoken), default=None)

    def figures_of(self, report: Report) -> list[Any]:
        """Return every figure, date and state that a report says."""
        ranges = {"supply_runout": lambda: supply_range(report, self.zone), "route_closure": lambda: since_range(report)}
        dates = ranges[self.kind]() if self.kind in ranges else ()
        return [*people_range(report), *(each and each.isoformat() for each in dates), *report["value"].values(), state_of(report)]

    def counts(self) -> dict[str, int]:
        """Return how many reports, sources and origins stand."""
        stand = {each.get("materialised") or each["id"]: each for part in ("", "in", "out") for each in self.stand(part)}
        return {
            "reports": len(stand),
            "sources": len({each["source"] for each in stand.values()}),
            "origins": len({self.origin(each) for each in stand.values()}),
        }

    def relations(self) -> dict[str, set[str]]:
        """Return what each report may be listed as."""
        found = {name: {reason} for name, reason in self.listed.items()}
        for reasons in self.out.values():
            for name, reason in reasons.items():
                found.setdefault(name, set()).add(reason)
        for name, parts in self.standing.items():
            report = self.by_id[name]
            if self.preferred is None:
                found[name] = {"supports", "contradicts"}
            elif report is self.preferred:
                found[name] = {"preferred"}
            else:
                leaders = [leader for part in parts if (leader := self.leaders[part]) is not None]
                against = any(self.contradict(report, leader) for leader in leaders if leader is not report)
                found[name] = {"contradicts" if against else "supports"}
                if report in leaders:
                    found[name].add("preferred")
        for each in self.claims:
            # The evidence, if it is of this indicator, is listed as the state that it shows while that stands.
            relation = found.pop(each["id"], set())
            if each["id"] in self.standing and each["materialised"] in self.number:
                found[each["materialised"]] = relation
        return found
