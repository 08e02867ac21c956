"""A random ledger, written over HTTP, and the comparison of what is served with the second implementation."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx

from tests.assessment.oracle import Oracle, View
from tests.assessment.oracle_kinds import begins, horizon_of, served_time
from tests.assessment.oracle_new_kinds import NEW_KINDS
from tests.assessment.oracle_urgency import Urgency, urgency
from tests.assessment.strategies import FIRST_DAY, LABELS, SOURCES

ZONE = "Asia/Damascus"
SINCE = ("since", "until", "last_delivery", "denied_since", "followed_since")
TOLD_BEFORE = ("planned_for", "supplies", "removed", "route")
# Statuses of answers to a step that is not possible.
REFUSED = (403, 404, 409, 422)


def end_of(number: int) -> datetime:
    """Return the last microsecond of a day in UTC, counted from the first."""
    return datetime.combine(FIRST_DAY + timedelta(days=number), time.max, UTC)


@dataclass
class PointOfView:
    """The query of a reader: a clearance, `as_of` and `known_at`."""

    label: str
    as_of: datetime | None = None
    known_at: str | None = None

    @property
    def params(self) -> dict[str, str]:
        found = {"as_of": self.as_of and self.as_of.isoformat().replace("+00:00", "Z"), "known_at": self.known_at}
        return {name: value for name, value in found.items() if value}

    @property
    def today(self) -> date:
        return (self.as_of or datetime.now(UTC)).date()


@dataclass
class RandomLedger:
    """One example on its own places, sources and routes."""

    # A client of each clearance, the last of which writes.
    clients: dict[str, httpx.AsyncClient]
    # Confirms lower labels.
    second: httpx.AsyncClient
    mark: str = field(default_factory=lambda: uuid4().hex[:8])
    reports: list[dict[str, Any]] = field(default_factory=list)
    grades: list[tuple[str, str, str]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    # When each step was recorded.
    times: list[str] = field(default_factory=list)
    # The sources and routes that there are, which examples share, but not sources whose grades change.
    added: set[str] = field(default_factory=set)
    shared: str | None = None
    compared: int = 0

    @property
    def writer(self) -> httpx.AsyncClient:
        return self.clients[LABELS[-1]]

    def name(self, of: str) -> str:
        """Return a slug: of places one that only this example uses."""
        return f"{of}-{self.shared}" if self.shared and of not in ("town", "quarter") else f"{of}-{self.mark}"

    async def _send(self, path: str, body: dict[str, Any], client: httpx.AsyncClient | None = None) -> dict[str, Any] | None:
        answer = await (client or self.writer).post(path, json=body)
        assert answer.status_code in (200, 201, 202, *REFUSED), answer.text
        if answer.status_code in REFUSED:
            return None
        found: dict[str, Any] = answer.json()
        return found

    async def begin(self) -> None:
        """Add the places."""
        town = {"slug": self.name("town"), "name": "Town", "country": "SYR", "timezone": ZONE}
        for body in (town, {"slug": self.name("quarter"), "name": "Quarter", "parent": self.name("town")}):
            assert await self._send("/v1/places", body), body

    async def add(self, *names: str) -> None:
        """Add the sources and routes that are not there yet."""
        for of in names:
            if of in self.added:
                continue
            self.added.add(of)
            body: dict[str, Any] = {"slug": self.name(of), "name": of}
            if of in SOURCES:
                grade, party = SOURCES[of]
                body |= {"type": "ngo", "reliability": grade, "party_to_conflict": party}
            else:
                body |= {"mode": "road"}
            assert await self._send("/v1/sources" if of in SOURCES else "/v1/routes", body), body

    async def body(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """Return a report as sent, after adding what it refers to."""
        provenance = dict(drawn["provenance"])
        named = (drawn["source"], drawn["value"].get("route"), provenance.get("origin"), *provenance.get("via", ()))
        await self.add(*(each for each in named if each))
        if "origin" in provenance:
            provenance["origin"] = self.name(provenance["origin"])
        if "via" in provenance:
            provenance["via"] = [self.name(each) for each in provenance["via"]]
        body = {name: drawn[name] for name in ("kind", "stated_at", "sensitivity")}
        body |= {name: self.name(drawn[name]) for name in ("place", "source")}
        body["value"] = dict(drawn["value"])
        if "route" in body["value"]:
            body["value"]["route"] = self.name(body["value"]["route"])
        if drawn["observed_days"] is not None:
            body["observed_to"] = f"{begins(drawn['stated_at']).date() - timedelta(days=drawn['observed_days'])}"
        # Only a report on the same indicator is relayed.
        alike = [each for each in self.reports if (each["kind"], each["place"]) == (body["kind"], body["place"])]
        alike = [each for each in alike if begins(each["stated_at"]) <= begins(body["stated_at"])]
        if drawn["relays"] is not None and alike:
            provenance["relays"] = alike[drawn["relays"] % len(alike)]["id"]
        return body | {"provenance": provenance}

    async def step(self, step: tuple[Any, ...]) -> None:
        """Do one step; one that is refused changes nothing."""
        what, *rest = step
        done = await getattr(self, f"_{what}")(*rest)
        if done:
            self.times.append(done["recorded_at"])

    def _pick(self, which: int) -> dict[str, Any] | None:
        return self.reports[which % len(self.reports)] if self.reports else None

    async def _report(self, drawn: dict[str, Any]) -> dict[str, Any] | None:
        body = await self.body(drawn)
        found = await self._send("/v1/reports", body)
        if found is None and "relays" in body["provenance"]:
            del body["provenance"]["relays"]
            found = await self._send("/v1/reports", body)
        if found and found["id"] not in {each["id"] for each in self.reports}:
            self.reports.append(found)
        return found

    async def _batch(self, drawn: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Record statements as one list."""
        bodies = [await self.body(each) for each in drawn]
        answer = await self.writer.post("/v1/reports", json=bodies)
        assert answer.status_code == 207, answer.text
        every = await self.get("/v1/reports", PointOfView(LABELS[-1]), place=self.name("town"), within="true", limit=1000)
        self.reports = every["items"]
        return self.reports[-1] if self.reports else None

    async def _correct(self, label: str, which: int, drawn: dict[str, Any], same: bool) -> dict[str, Any] | None:
        old, body = self._pick(which), await self.body(drawn)
        if old is None:
            return None
        if same:
            # A new figure of the same source; otherwise the report moves to another indicator.
            body |= {name: old[name] for name in ("kind", "place", "source")}
            body["value"] = old["value"] if old["kind"] != drawn["kind"] else body["value"]
        body["provenance"].pop("relays", None)
        found = await self._send(f"/v1/reports/{old['id']}/correction", body | {"reason": "misread"}, self.clients[label])
        if found:
            self.reports.append(found)
        return found

    async def _retract(self, label: str, which: int) -> dict[str, Any] | None:
        old = self._pick(which)
        return old and await self._send(f"/v1/reports/{old['id']}/retraction", {"reason": "withdrawn"}, self.clients[label])

    async def _reinstate(self, label: str, which: int) -> dict[str, Any] | None:
        old = self._pick(which)
        return old and await self._send(f"/v1/reports/{old['id']}/reinstatement", {"reason": "said after all"}, self.clients[label])

    async def _outcome(self, label: str, which: int, shown: int, outcome: str) -> dict[str, Any] | None:
        warnings = [each for each in self.reports if each["kind"] == "supply_runout"]
        if not warnings:
            return None
        of, evidence = warnings[which % len(warnings)], warnings[shown % len(warnings)]
        body = {"outcome": outcome, "reason": "seen", "report": evidence["id"]}
        found = await self._send(f"/v1/indicators/{of['indicator']}/outcome", body, self.clients[label])
        if found:
            # An outcome keeps the label that its evidence had, however that is lowered later.
            page = await self.get("/v1/reports", PointOfView(LABELS[-1]), place=self.name("town"), within="true", limit=1000)
            labels = {each["id"]: LABELS.index(each["sensitivity"]) for each in page["items"]}
            level = max(labels[evidence["id"]], min(labels[each["id"]] for each in page["items"] if each["indicator"] == of["indicator"]))
            recorded = {"indicator": of["indicator"], "outcome": outcome, "level": level}
            self.outcomes.append(recorded | {"id": evidence["id"], "at": found["recorded_at"]})
        return found

    async def _judge(self, label: str, which: int, relied_on: int, then: str | None) -> dict[str, Any] | None:
        """Judge an indicator as another report on it says, with low confidence, so that no level rests on it; then amend that."""
        old = self._pick(which)
        alike = [each for each in self.reports if old and each["indicator"] == old["indicator"]]
        if old is None:
            return None
        said = alike[relied_on % len(alike)]
        value = (
            {"supply": said["value"]["supply"], "scope": said["value"]["scope"], "state": "low"}
            if "supply" in said["value"]
            else said["value"]
        )
        body = {"value": value, "likelihood": "likely", "confidence": "low", "reasons": f"{which}", "reports": [said["id"]]}
        found = await self._send(f"/v1/indicators/{old['indicator']}/judgements", body, self.clients[label])
        if found and then:
            amended = {"reason": "misread"} if then == "retraction" else body | {"reason": "misread"}
            found = await self._send(f"/v1/judgements/{found['id']}/{then}", amended, self.clients[label]) or found
        return found

    async def _grade(self, source: str, grade: str) -> dict[str, Any] | None:
        await self.add(source)
        slug = self.name(source)
        found = await self._send(f"/v1/sources/{slug}/grades", {"reliability": grade, "reason": "was wrong"})
        if found:
            self.grades.append((slug, grade, found["recorded_at"]))
        return found

    async def _label(self, which: int, label: str) -> dict[str, Any] | None:
        report = self._pick(which)
        found = report and await self._send(f"/v1/reports/{report['id']}/label", {"sensitivity": label, "reason": "it shows who hides"})
        if found and found.get("type") != "label" and "id" in found:
            found = await self._send(f"/v1/label-proposals/{found['id']}/confirmation", {"reason": "agreed"}, self.second)
        return found

    # Reading

    async def get(self, path: str, view: PointOfView, **params: Any) -> Any:
        """Return a document as a reader gets it; None for 404."""
        answer = await self.clients[view.label].get(path, params=view.params | params)
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None

    async def oracles(self, view: PointOfView) -> dict[str, Oracle]:
        """Assess every indicator from the reports that are served to the reader."""
        listed = PointOfView(view.label, known_at=view.known_at)
        page = await self.get("/v1/reports", listed, place=self.name("town"), within="true", limit=1000)
        every = {each["id"]: each for each in page["items"]}
        assert page["next"] is None
        sources = {self.name(of): {"reliability": grade, "party_to_conflict": party} for of, (grade, party) in SOURCES.items()}
        for slug, grade, at in self.grades:
            if self._counts(at, view) and (view.as_of is None or begins(at) <= view.as_of):
                sources[slug] = sources[slug] | {"reliability": grade}
        indicators: dict[str, list[dict[str, Any]]] = {}
        for each in every.values():
            if view.as_of is None or begins(each["stated_at"]) <= view.as_of:
                indicators.setdefault(each["indicator"], []).append(each)
        found = {}
        for indicator, reports in indicators.items():
            outcomes = [
                {"outcome": each["outcome"], "evidence": every[each["id"]]}
                for each in self.outcomes
                if each["indicator"] == indicator and each["id"] in every and self._counts(each["at"], view)
                if each["level"] <= LABELS.index(view.label)
            ]
            found[indicator] = Oracle(reports, View(sources, every, outcomes, ZoneInfo(ZONE), view.as_of))
        return found

    @staticmethod
    def _counts(at: str, view: PointOfView) -> bool:
        return view.known_at is None or begins(at) <= begins(view.known_at)

    async def check(self, view: PointOfView) -> None:
        """Compare every indicator and situation that is served to a reader with the second implementation."""
        oracles = await self.oracles(view)
        page = await self.get("/v1/indicators", view, place=self.name("town"), within="true", limit=1000)
        listed = {each["id"]: each for each in page["items"]}
        assert set(listed) == {name for name, each in oracles.items() if each.standing}, "indicators on which something stands"
        for name, oracle in oracles.items():
            served = await self.get(f"/v1/indicators/{name}", view)
            assert served is not None, f"no indicator {name}"
            if name in listed:
                item = listed[name]
                assert {each: served[each] for each in item if each != "assessment"} | {"assessment": item["assessment"]} == item
                assert item["assessment"].items() <= served["assessment"].items()
            self.compare(served, oracle)
        await self._check_situations(view, oracles)

    def compare(self, served: dict[str, Any], oracle: Oracle) -> None:
        """Compare one indicator."""
        self.compared += 1
        relations = {each["id"]: each["relation"] for each in served["reports"]}
        relations |= {each["id"]: each["reason"] for each in served["left_out"]}
        expected = oracle.relations()
        unlike = {name: (relations.get(name), wanted) for name, wanted in expected.items() if relations.get(name) not in wanted}
        assert not unlike, f"relation served, relation expected: {unlike}"
        # The evidence of an outcome is listed too, whatever it is about.
        assert set(relations) - {each["materialised"] for each in oracle.claims} <= set(expected)
        if not oracle.standing:
            return
        found, wanted = document_of(served), expected_document(oracle)
        differ = {name: (found[name], wanted[name]) for name in wanted if found[name] != wanted[name]}
        assert not differ, f"served, expected: {differ}"
        for name, report in (served["assessment"]["basis"] or {}).items():
            assert_said(report, name, served["value"], oracle)

    async def _check_situations(self, view: PointOfView, oracles: dict[str, Oracle]) -> None:
        for of in ("town", "quarter"):
            place = self.name(of)
            here = {name: each for name, each in oracles.items() if each.visible[:1] and each.visible[0]["place"] == place}
            served = await self.get(f"/v1/situations/{place}", view)
            self.compared += 1
            compare_urgency(served, urgency(here, view.today))
            page = await self.get("/v1/warnings", view, place=place, within_days=7)
            due = {each["indicator"]["id"]: each["due"] for each in page["items"]}
            expected = expected_warnings(here, view.today)
            assert due == expected, f"warnings served {due}, expected {expected}"


def expected_warnings(indicators: dict[str, Oracle], today: date, within_days: int = 7) -> dict[str, str | None]:
    """Return the due date of each warning that falls due within these days, is past due by up to 30, or of up to 30 without a date."""
    found: dict[str, str | None] = {}
    for name, oracle in indicators.items():
        if oracle.kind == "supply_runout" and oracle.due_warnings():
            day = oracle.due()
            if day is not None and -30 <= (day - today).days <= within_days:
                found[name] = day.isoformat()
            elif day is None and (stated := oracle.imminent_since()) is not None and (today - stated).days <= 30:
                found[name] = None
    return found


def compare_urgency(served: dict[str, Any], expected: Urgency) -> None:
    """Compare level, reasons and silence."""
    found = {name: served[name] for name in ("level", "silent_days", "dormant")}
    reasons = {(each["reason"], each["indicator"]) for each in served["because"]}
    # Of a supply that is short for several reasons one may be named.
    found |= {"indicators": {each for _, each in reasons}, "more": reasons - expected.because}
    wanted = {name: getattr(expected, name) for name in ("level", "silent_days", "dormant")}
    wanted |= {"indicators": {each for _, each in expected.because}, "more": set()}
    differ = {name: (found[name], wanted[name]) for name in wanted if found[name] != wanted[name]}
    assert not differ, f"served, expected: {differ}"


def document_of(served: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared of an indicator as served."""
    names = {
        "trapped_population": ("people", "people_low", "people_high", "qualifier"),
        "supply_runout": ("state", "runs_out_earliest", "runs_out_latest"),
        "route_closure": ("status", "since_earliest", "since_latest", "last_route", "directions"),
        "aid_delivery": (
            *("stage", "on_earliest", "on_latest", "planned_for", "supplies", "removed", "route", "cause"),
            *("last_delivery", "denied_since", "followed_since"),
        ),
        "population_movement": ("people", "people_low", "people_high", "until"),
        "service_status": ("state", "since", "working", "known", "working_low", "working_high"),
    }[served["kind"]]
    value = {name: (served["value"] or {}).get(name) for name in names}
    if "last_route" in value:
        value["last_route"] = bool(value["last_route"])
    if value.get("directions"):
        parts = ("status", "since_earliest", "since_latest", "passable_by", "agreement")
        value["directions"] = {way: {name: each[name] for name in parts} for way, each in value["directions"].items()}
    counts = {name: served["assessment"][name] for name in ("reports", "sources", "origins", "preferred", "spread")}
    return value | counts | {name: served[name] for name in ("agreement", "stated_at", "stale_after")}


def expected_document(oracle: Oracle) -> dict[str, Any]:
    """Return the same of the second implementation."""
    figures, preferred = oracle.figures(), oracle.preferred
    if "last_route" in figures:
        figures["last_route"] = bool(figures["last_route"])
    low, high = figures.get("people_low"), figures.get("people_high")
    spread = None if not low or high is None else round(high / low, 2)
    found = figures | oracle.counts() | {"agreement": oracle.agreement(), "spread": spread}
    if preferred is None:
        return found | {"preferred": None, "stated_at": None, "stale_after": None}
    stated_at = served_time(preferred)
    lasts = preferred["kind"] == "population_movement"
    return found | {
        "preferred": preferred.get("materialised") or preferred["id"],
        "stated_at": rfc3339(stated_at),
        "stale_after": None if lasts else rfc3339(stated_at + timedelta(days=horizon_of(preferred))),
    }


def rfc3339(at: datetime) -> str:
    """Format a time as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def assert_said(report: str, name: str, value: dict[str, Any], oracle: Oracle) -> None:
    """Check that the report that a figure comes from is one that stands and has that figure."""
    figure = value
    for part in name.split("."):
        figure = figure[part]
    assert figure is not None, f"basis names a report for {name}, which is null"
    if name in SINCE[: None if oracle.kind in NEW_KINDS else 0]:
        # A day since which something is so may come from a report that was replaced since, and be that of the report.
        assert figure in [*oracle.figures_of(oracle.by_id[report]), str(oracle.time(oracle.by_id[report]).day)], (report, name)
        return
    # Statements of a source on a delivery at an earlier stage count, too.
    told = oracle.by_id if name in TOLD_BEFORE and oracle.kind == "aid_delivery" else oracle.standing
    names = {each.get("materialised") or each["id"]: each for each in oracle.by_id.values() if each["id"] in told}
    assert report in names, f"basis names {report}, which does not stand"
    assert figure in oracle.figures_of(names[report]), f"{report} did not say {figure} ({name})"
