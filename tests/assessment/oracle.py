"""What an indicator has to read, worked out anew and naively from a log of what was done: nothing here comes from `app.reading`.

Written from the method as the README tells it, so that a mistake there and here would have to be made twice.
"""

import calendar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import combinations
from typing import Any

LABELS = ("clear", "green", "amber", "amber_strict", "red")
GRADES, CREDIBILITIES = "ABCFDE", (1, 2, 3, 6, 4, 5)
HORIZONS = {"trapped_population": 60, "supply_runout": 30, "route_closure": 30}
ALWAYS = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Said:
    """One report: the body as sent, and the service's own marks on it. `ends` are (level from which it is seen, number)."""

    number: int
    id: str
    indicator: str
    body: dict[str, Any]
    ends: list[tuple[int, int]] = field(default_factory=list)

    @property
    def level(self) -> int:
        return LABELS.index(self.body["sensitivity"])

    @property
    def stated(self) -> datetime:
        return moment(self.body["stated_at"])


@dataclass(slots=True)
class Done:
    """One change. `touched` are the indicators that it touches, each for those of a level or above."""

    number: int
    level: int
    recorded_at: datetime
    touched: list[tuple[str, int]] = field(default_factory=list)
    outcome: tuple[str, str, Said] | None = None
    grade: tuple[str, str] | None = None


def moment(text: str) -> datetime:
    """The instant of a date or date-time as sent."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def written(at: datetime) -> str:
    """RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(slots=True)
class Log:
    """All that was done on some places by some sources, and what it makes."""

    sources: dict[str, dict[str, Any]]
    places: dict[str, dict[str, Any]]
    said: list[Said] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    # Changes before these, of others: they count in each ledger.
    before: list[int] = field(default_factory=lambda: [0] * 5)

    def seq(self, number: int, level: int) -> int:
        """The number of a change in the ledger of a clearance."""
        return self.before[level] + sum(each.number <= number and each.level <= level for each in self.done)

    def indicators(self) -> set[str]:
        """All that was ever spoken of."""
        return {each.indicator for each in self.said}

    def grade(self, source: str, number: int, as_of: datetime | None) -> str:
        """The grade in force."""
        found: str = self.sources[source]["reliability"]
        for each in self.done:
            if each.grade and each.grade[0] == source and each.number <= number and (as_of is None or each.recorded_at <= as_of):
                found = each.grade[1]
        return found

    def _last_touch(self, indicator: str, level: int, number: int, as_of: datetime | None) -> Done | None:
        last = None
        for each in self.done:
            if each.number > number or each.level > level:
                continue
            if each.outcome and as_of is not None and each.outcome[2].stated > as_of:
                continue
            hit = any(what == indicator and level >= lowest for what, lowest in each.touched)
            if each.grade and (as_of is None or each.recorded_at <= as_of):
                hit |= any(
                    said.indicator == indicator
                    and said.body["source"] == each.grade[0]
                    and said.level <= level
                    and said.number < each.number
                    for said in self.said
                )
            if hit:
                last = each
        return last

    def document(self, indicator: str, level: int, number: int, as_of: datetime | None = None) -> dict[str, Any] | None:
        """The whole document for a clearance after a change, None where there is none."""
        heard = [each for each in self.said if each.indicator == indicator and each.level <= level and each.number <= number]
        heard = [each for each in heard if as_of is None or each.stated <= as_of]
        touch = self._last_touch(indicator, level, number, as_of)
        if not heard or touch is None:
            return None
        standing = self._standing([each for each in heard if not any(at <= level and by <= number for at, by in each.ends)])
        standing.sort(key=lambda pair: self._rank(pair[0], number, as_of))
        body = heard[0].body
        kind, at = body["kind"], f"/v1/indicators/{indicator}"
        document = {
            "id": indicator,
            "kind": kind,
            "subject": subject(body),
            "place": self.places[body["place"]],
            "redacted": [],
            "links": {"self": at, "history": f"{at}/history", "reports": f"/v1/reports?indicator={indicator}"},
            "recorded_at": written(touch.recorded_at),
            "revision": self.seq(touch.number, level),
        }
        return document | self._read(kind, indicator, standing, level, number, as_of)

    def _rank(self, said: Said, number: int, as_of: datetime | None) -> tuple[int, int, float, int]:
        grade = self.grade(said.body["source"], number, as_of)
        return GRADES.index(grade), CREDIBILITIES.index(said.body["provenance"]["credibility"]), -said.stated.timestamp(), -said.number

    def _standing(self, left: list[Said]) -> list[tuple[Said, set[str]]]:
        latest: list[tuple[Said, set[str]]] = []
        for each in left:
            ways = directions(each.body)
            for other in left:
                later = (other.stated, other.number) > (each.stated, each.number)
                if later and other.body["source"] == each.body["source"]:
                    ways = ways - directions(other.body)
            if ways:
                latest.append((each, ways))
        if not latest:
            return []
        newest = max(each.stated for each, _ in latest)
        days = HORIZONS[latest[0][0].body["kind"]]
        return [(each, ways) for each, ways in latest if newest - each.stated <= timedelta(days=days)]

    def _read(
        self, kind: str, indicator: str, standing: list[tuple[Said, set[str]]], level: int, number: int, as_of: datetime | None
    ) -> dict[str, Any]:
        sources = {each.body["source"] for each, _ in standing}
        assessment = {"method": "envelope/1", "reports": len(standing), "sources": len(sources), "preferred": None}
        if not standing:
            nothing = dict.fromkeys(("value", "agreement", "stated_at", "stale_after", "provenance", "sensitivity"))
            return nothing | {"assessment": assessment}
        value, first = {"trapped_population": people, "supply_runout": supply, "route_closure": route}[kind](standing)
        best = standing[first][0]
        if kind == "supply_runout":
            told = [
                each.outcome[1]
                for each in self.done
                if each.outcome
                and each.outcome[0] == indicator
                and best.number < each.number <= number
                and each.level <= level
                and (as_of is None or each.outcome[2].stated <= as_of)
            ]
            value["outcome"] = told[-1] if told else "pending"
        if any(disagree(kind, one, other) for one, other in combinations(standing, 2)):
            agreement = "contested"
        elif len(sources) == 1:
            agreement = "single"
        else:
            agreement = "unconfirmed" if all(self.sources[each]["party_to_conflict"] for each in sources) else "consistent"
        source = {name: self.sources[best.body["source"]][name] for name in ("slug", "name", "type", "party_to_conflict")}
        empty = dict.fromkeys(("url", "title", "quote", "language", "licence"))
        provenance = {
            "report": best.id,
            "source": source | {"reliability": self.grade(source["slug"], number, as_of)},
            "via": [{"slug": each, "name": self.sources[each]["name"]} for each in best.body["provenance"]["via"]],
            "stated_at": written(best.stated),
            "method": "unknown",
            "credibility": best.body["provenance"]["credibility"],
        }
        newest = max(each.stated for each, _ in standing)
        return {
            "value": value,
            "agreement": agreement,
            "stated_at": written(best.stated),
            "stale_after": written(newest + timedelta(days=HORIZONS[kind])),
            "assessment": assessment | {"preferred": best.id},
            "provenance": empty | provenance,
            "sensitivity": LABELS[max(each.level for each, _ in standing)],
        }


def subject(body: dict[str, Any]) -> str:
    """What a report is about."""
    value = body["value"]
    if body["kind"] == "trapped_population":
        return str(value["concept"])
    if body["kind"] == "route_closure":
        return str(value["route"])
    scope = value.get("scope", "all_stock")
    return value["supply"] if scope == "all_stock" else f"{value['supply']}.{scope}"


def directions(body: dict[str, Any]) -> set[str]:
    """Of a route the ways that are spoken of, of everything else the whole."""
    if body["kind"] != "route_closure":
        return {""}
    way = body["value"].get("direction", "both")
    return {"in", "out"} if way == "both" else {way}


def span(body: dict[str, Any]) -> tuple[Any, Any]:
    """Low and high, or first and last day; None is open."""
    value = body["value"]
    if body["kind"] == "trapped_population":
        point, word = value.get("people"), value.get("qualifier")
        low, high = value.get("people_low"), value.get("people_high")
        if low is None and word not in ("nearly", "up_to"):
            low = point
        if high is None and word not in ("more_than", "at_least"):
            high = point
        return low, high
    if body["kind"] == "supply_runout":
        if "in_days_min" in value or "in_days_max" in value:
            day = moment(body["stated_at"]).astimezone(UTC).date()
            return tuple(day + timedelta(days=value[name]) if name in value else None for name in ("in_days_min", "in_days_max"))  # type: ignore[return-value]
        names = ("runs_out_earliest", "runs_out_latest")
        return tuple(date.fromisoformat(value[name]) if name in value else None for name in names)  # type: ignore[return-value]
    since = value.get("since")
    if since is None:
        return None, None
    if len(since) == 10:
        return date.fromisoformat(since), date.fromisoformat(since)
    year, month = int(since[:4]), int(since[5:])
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def miss(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two ranges do not meet."""
    return any(low is not None and high is not None and low > high for low, high in ((one[0], other[1]), (other[0], one[1]), one, other))


def disagree(kind: str, one: tuple[Said, set[str]], other: tuple[Said, set[str]]) -> bool:
    """Whether two standing reports cannot both be true."""
    values = one[0].body["value"], other[0].body["value"]
    apart = miss(span(one[0].body), span(other[0].body))
    if kind == "supply_runout":
        return not fits(*values) or apart
    if kind == "route_closure":
        return bool(one[1] & other[1]) and (values[0]["status"] != values[1]["status"] or apart)
    return apart


def fits(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether what is said of a supply may be the same."""
    states = {one.get("state", "will_run_out"), other.get("state", "will_run_out")}
    return len(states) == 1 or states == {"low", "will_run_out"}


def widest(bodies: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Lowest low and highest high; of what is open at one end the other end is within."""
    spans = [span(each) for each in bodies]
    given = [end for each in spans for end in each if end is not None]
    low, high = (any(each[at] is not None for each in spans) for at in (0, 1))
    return min(given) if low else None, max(given) if high else None


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


Reading = tuple[dict[str, Any], int]


def people(standing: list[tuple[Said, set[str]]]) -> Reading:
    """The preferred figure, in the range of all."""
    best = standing[0][0].body["value"]
    low, high = widest([each.body for each, _ in standing])
    value = {"concept": best["concept"], "people": best.get("people"), "people_low": low, "people_high": high}
    return value | {"qualifier": best.get("qualifier"), "includes_combatants": "unknown"}, 0


def supply(standing: list[tuple[Said, set[str]]]) -> Reading:
    """The preferred state, in the days of those that fit it."""
    best = standing[0][0].body["value"]
    first, last = widest([each.body for each, _ in standing if fits(best, each.body["value"])])
    return {
        "supply": best["supply"],
        "state": best.get("state", "will_run_out"),
        "runs_out_earliest": _iso(first),
        "runs_out_latest": _iso(last),
        "relative_text": best.get("relative_text"),
        "scope": best.get("scope", "all_stock"),
        "conditional_on": None,
    }, 0


def route(standing: list[tuple[Said, set[str]]]) -> Reading:
    """Each way by the best that is no mere announcement of passage."""

    def counts(value: dict[str, Any]) -> bool:
        return value["status"] == "closed" or value.get("assertion", "observed") == "observed"

    firm = [(at, each.body["value"], ways) for at, (each, ways) in enumerate(standing) if counts(each.body["value"])]
    leading = [next(((at, value) for at, value, ways in firm if way in ways), None) for way in ("in", "out")]
    status_in, status_out = (None if lead is None else lead[1]["status"] for lead in leading)
    leads = sorted((lead for lead in leading if lead is not None), key=lambda lead: lead[0])
    first = leads[0][0] if leads else 0
    said = standing[first][0].body["value"]
    same = [each.body for each, _ in standing if each.body["value"]["status"] == said["status"] and counts(each.body["value"])]
    earliest, latest = widest(same)
    passable = [list(value.get("passable_by", [])) for _, value in leads if value["status"] != "closed"]
    return {
        "route": said["route"],
        "status": status_in if status_in == status_out else "restricted",
        "status_in": status_in,
        "status_out": status_out,
        "since": said.get("since"),
        "since_earliest": _iso(earliest),
        "since_latest": _iso(latest),
        "passable_by": passable[0] if passable else [],
        "assertion": said.get("assertion", "observed"),
        "cause": None,
        "last_route": True if any(each["value"].get("last_route") for each in same) else said.get("last_route"),
    }, first


def end_of(day: date) -> datetime:
    """The last microsecond of a day in UTC."""
    return datetime.combine(day, time.max, UTC)
