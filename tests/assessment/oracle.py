"""A second, naive implementation of `envelope/1`, written from docs/method.md without the code of the app.

A mistake in the method would have to be made in both implementations to go unnoticed.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from typing import Any

from tests.assessment.oracle_kinds import KINDS, LABELS, RecordedReport, Standing, contradict, directions, subject

GRADES, CREDIBILITIES = "ABCFDE", (1, 2, 3, 6, 4, 5)
HORIZONS = {"trapped_population": 60, "supply_runout": 30, "route_closure": 30}
ALWAYS = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Entry:
    """A ledger entry. `changed` has each indicator that it changes, with the lowest level that sees the change."""

    global_seq: int
    level: int
    recorded_at: datetime
    changed: list[tuple[str, int]] = field(default_factory=list)
    outcome: tuple[str, str, RecordedReport] | None = None
    grade: tuple[str, str] | None = None


def rfc3339(at: datetime) -> str:
    """Format a time as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(slots=True)
class Log:
    """All entries about some places and sources, and the documents that follow from them."""

    sources: dict[str, dict[str, Any]]
    places: dict[str, dict[str, Any]]
    reports: list[RecordedReport] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    # Seqs before the first of these entries, by level.
    before: list[int] = field(default_factory=lambda: [0] * 5)

    def seq(self, global_seq: int, level: int) -> int:
        """Return the seq of an entry in the ledger of a clearance."""
        return self.before[level] + sum(each.global_seq <= global_seq and each.level <= level for each in self.entries)

    def indicators(self) -> set[str]:
        """Return the indicators with reports."""
        return {each.indicator for each in self.reports}

    def grade(self, source: str, global_seq: int, as_of: datetime | None) -> str:
        """Return the grade of a source at a time point."""
        found: str = self.sources[source]["reliability"]
        for each in self.entries:
            if each.grade and each.grade[0] == source and each.global_seq <= global_seq and (as_of is None or each.recorded_at <= as_of):
                found = each.grade[1]
        return found

    def _last_change(self, indicator: str, level: int, global_seq: int, as_of: datetime | None) -> Entry | None:
        last = None
        for each in self.entries:
            if each.global_seq > global_seq or each.level > level:
                continue
            if each.outcome and as_of is not None and each.outcome[2].stated_at > as_of:
                continue
            concerns = any(what == indicator and level >= lowest for what, lowest in each.changed)
            if each.grade and (as_of is None or each.recorded_at <= as_of):
                concerns |= any(
                    report.indicator == indicator
                    and report.body["source"] == each.grade[0]
                    and report.level <= level
                    and report.global_seq < each.global_seq
                    for report in self.reports
                )
            if concerns:
                last = each
        return last

    def document(self, indicator: str, level: int, global_seq: int, as_of: datetime | None = None) -> dict[str, Any] | None:
        """Return the document for a clearance after an entry, or None."""
        visible = [each for each in self.reports if each.indicator == indicator and each.level <= level and each.global_seq <= global_seq]
        visible = [each for each in visible if as_of is None or each.stated_at <= as_of]
        last_change = self._last_change(indicator, level, global_seq, as_of)
        if not visible or last_change is None:
            return None
        standing = self._standing([each for each in visible if not any(at <= level and by <= global_seq for at, by in each.ends)])
        standing.sort(key=lambda pair: self._rank(pair[0], global_seq, as_of))
        body = visible[0].body
        kind, at = body["kind"], f"/v1/indicators/{indicator}"
        document = {
            "id": indicator,
            "kind": kind,
            "subject": subject(body),
            "place": self.places[body["place"]],
            "redacted": [],
            "links": {"self": at, "history": f"{at}/history", "reports": f"/v1/reports?indicator={indicator}"},
            "recorded_at": rfc3339(last_change.recorded_at),
            "revision": self.seq(last_change.global_seq, level),
        }
        return document | self._assess(kind, indicator, standing, level, global_seq, as_of)

    def _rank(self, report: RecordedReport, global_seq: int, as_of: datetime | None) -> tuple[int, int, float, int]:
        grade = GRADES.index(self.grade(report.body["source"], global_seq, as_of))
        return grade, CREDIBILITIES.index(report.body["provenance"]["credibility"]), -report.stated_at.timestamp(), -report.global_seq

    def _standing(self, left: list[RecordedReport]) -> list[Standing]:
        latest: list[Standing] = []
        for each in left:
            facets = directions(each.body)
            for other in left:
                later = (other.stated_at, other.global_seq) > (each.stated_at, each.global_seq)
                if later and other.body["source"] == each.body["source"]:
                    facets = facets - directions(other.body)
            if facets:
                latest.append((each, facets))
        if not latest:
            return []
        newest = max(each.stated_at for each, _ in latest)
        days = HORIZONS[latest[0][0].body["kind"]]
        return [(each, facets) for each, facets in latest if newest - each.stated_at <= timedelta(days=days)]

    def _assess(
        self,
        kind: str,
        indicator: str,
        standing: list[Standing],
        level: int,
        global_seq: int,
        as_of: datetime | None,
    ) -> dict[str, Any]:
        sources = {each.body["source"] for each, _ in standing}
        assessment = {"method": "envelope/1", "reports": len(standing), "sources": len(sources), "preferred": None}
        if not standing:
            nothing = dict.fromkeys(("value", "agreement", "stated_at", "stale_after", "provenance", "sensitivity"))
            return nothing | {"assessment": assessment}
        value, first = KINDS[kind](standing)
        best = standing[first][0]
        if kind == "supply_runout":
            outcomes = [
                each.outcome[1]
                for each in self.entries
                if each.outcome
                and each.outcome[0] == indicator
                and best.global_seq < each.global_seq <= global_seq
                and each.level <= level
                and (as_of is None or each.outcome[2].stated_at <= as_of)
            ]
            value["outcome"] = outcomes[-1] if outcomes else "pending"
        if any(contradict(kind, one, other) for one, other in combinations(standing, 2)):
            agreement = "contested"
        elif len(sources) == 1:
            agreement = "single"
        else:
            agreement = "unconfirmed" if all(self.sources[each]["party_to_conflict"] for each in sources) else "consistent"
        source = {name: self.sources[best.body["source"]][name] for name in ("slug", "name", "type", "party_to_conflict")}
        empty = dict.fromkeys(("url", "title", "quote", "language", "licence"))
        provenance = {
            "report": best.id,
            "source": source | {"reliability": self.grade(source["slug"], global_seq, as_of)},
            "via": [{"slug": each, "name": self.sources[each]["name"]} for each in best.body["provenance"]["via"]],
            "stated_at": rfc3339(best.stated_at),
            "method": "unknown",
            "credibility": best.body["provenance"]["credibility"],
        }
        newest = max(each.stated_at for each, _ in standing)
        return {
            "value": value,
            "agreement": agreement,
            "stated_at": rfc3339(best.stated_at),
            "stale_after": rfc3339(newest + timedelta(days=HORIZONS[kind])),
            "assessment": assessment | {"preferred": best.id},
            "provenance": empty | provenance,
            "sensitivity": LABELS[max(each.level for each, _ in standing)],
        }


def end_of(day: date) -> datetime:
    """Return the last microsecond of a day in UTC."""
    return datetime.combine(day, time.max, UTC)
