"""Replaying the ledger up to any change gives, byte for byte, the documents that were stored at that change, for every clearance.

Hypothesis puts the changes together. A few examples run by default, always the same; with LIFELINE_TEST_FULL=1 there are 300 of them,
new ones each time.
"""

from collections.abc import Callable, Coroutine
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal, Scope
from app.assessment.document import with_revision
from app.assessment.inputs import load_inputs
from app.assessment.models import IndicatorProjection
from app.assessment.projection import projection_rows
from app.assessment.verify import verify_projections
from app.domain.time_point import TimePoint
from app.domain.tlp import LABELS, Label
from app.domain.view import View
from app.http.problems import Problem
from app.indicators.past import assess_at
from app.ledger.models import LedgerHead
from app.ledger.queries import resolve_time_point
from app.ledger.verify import verify_chain
from app.reference.schemas import PlaceIn, SourceIn
from app.reference.service import add_place, add_source
from app.reports.amendments import record_grade, record_outcome
from app.reports.queries import VisibleReport
from app.reports.service import correct_report, record_reports, retract_report
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.assessment.oracle import Done, Log, Said, end_of, written
from tests.support.factories import Reference, report
from tests.support.fixtures import FULL, MakeClient

GRADED = {
    "un": ("B", False),
    "ngo": ("B", False),
    "media": ("C", False),
    "witness": ("F", False),
    "army": ("D", True),
    "rebels": ("D", True),
}

LABEL = st.sampled_from([each.value for each in Label])
SOURCE = st.sampled_from(sorted(GRADED))
DAYS = st.integers(0, 75)


def _dates(names: tuple[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    ends = st.tuples(DAYS, st.integers(0, 20)).map(
        lambda two: [(date(2016, 7, 1) + timedelta(days=day)).isoformat() for day in (two[0], sum(two))]
    )
    return ends.map(lambda two: dict(zip(names, two, strict=True)))


def _some(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda every: {name: value for each in every for name, value in each.items()})


def _one(name: str, *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([{} if value is None else {name: value} for value in values])


PEOPLE = _some(
    _one("concept", "trapped", "trapped", "besieged"),
    st.one_of(
        _some(_one("people", 1000, 2000, 3000), _one("qualifier", None, "about", "nearly", "up_to", "more_than", "at_least")),
        st.tuples(st.integers(500, 3000), st.integers(0, 1500)).map(lambda two: {"people_low": two[0], "people_high": sum(two)}),
        _one("people_high", 1500, 2500),
        _one("people_low", 1500, 2500),
    ),
)
SUPPLY = _some(
    _one("supply", "food", "food", "water"),
    _one("state", None, None, "will_run_out", "low", "ran_out", "resupplied"),
    _one("scope", None, None, None, "agency_stock"),
    st.one_of(
        st.just({}),
        st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda two: {"in_days_min": two[0], "in_days_max": sum(two)}),
        _one("in_days_min", 3, 9),
        _one("in_days_max", 3, 9),
        _dates(("runs_out_earliest", "runs_out_latest")),
    ),
    _one("relative_text", None, "hours, if not days"),
)
ROUTE = _some(
    _one("route", "north-road", "north-road", "south-road"),
    st.one_of(
        _one("status", "closed"),
        _some(
            _one("status", "open", "restricted"),
            st.sampled_from([{}, {"passable_by": ["civilian"]}, {"passable_by": ["medical", "humanitarian"]}]),
        ),
    ),
    _one("direction", None, "both", "in", "out"),
    _one("assertion", None, None, "agreed", "announced"),
    _one("since", None, "2016-07", "2016-07-07", "2016-08-01"),
    _one("last_route", None, True, False),
)
VALUE = st.one_of(
    st.tuples(st.just("trapped_population"), PEOPLE),
    st.tuples(st.just("supply_runout"), SUPPLY),
    st.tuples(st.just("route_closure"), ROUTE),
)
STATED = st.tuples(DAYS, st.sampled_from(["", "", "T09:30:00Z", "T23:30:00-05:00", "T00:00:00.000001Z"])).map(
    lambda two: (date(2016, 7, 1) + timedelta(days=two[0])).isoformat() + two[1]
)
STATEMENT = st.fixed_dictionaries(
    {
        "value": VALUE,
        "place": st.sampled_from(["town", "town", "town", "quarter"]),
        "source": SOURCE,
        "stated_at": STATED,
        "sensitivity": LABEL,
        "credibility": st.integers(1, 6),
        "via": st.sampled_from([[], [], ["media"]]),
    }
)
WHICH = st.integers(0, 40)
# What a caller of some clearance may not see he cannot amend: then nothing happens.
LEVEL = st.sampled_from([4, 4, 4, 2, 0])
STEP = st.one_of(
    st.tuples(st.just("report"), STATEMENT),
    st.tuples(st.just("report"), STATEMENT),
    st.tuples(st.just("correct"), LEVEL, WHICH, STATEMENT, st.booleans()),
    st.tuples(st.just("retract"), LEVEL, WHICH),
    st.tuples(st.just("outcome"), LEVEL, WHICH, WHICH, st.sampled_from(["materialised", "averted", "overtaken", "unknown"])),
    st.tuples(st.just("grade"), SOURCE, st.sampled_from("ABCDEF")),
)
STEPS = st.lists(STEP, min_size=6, max_size=24)


def caller(level: int) -> Principal:
    """Somebody with every scope."""
    return Principal(level, UUID(int=1), organisation="somebody", scopes=frozenset(Scope))


class Run:
    """One example on places and sources of its own, done through the services that the endpoints call, each step committed."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.mark = uuid4().hex[:8]
        self.log = Log({}, {})
        # After each change: the stored documents by indicator and level, and when it was recorded.
        self.stored: dict[int, tuple[datetime, dict[tuple[str, int], str]]] = {}

    def name(self, of: str) -> str:
        """A slug of this example's own."""
        return f"{of}-{self.mark}"

    async def begin(self) -> None:
        """Add the places and sources."""
        async with self.database.write() as session:
            await add_place(session, PlaceIn(slug=self.name("town"), name="Town", country="SYR"))
            await add_place(session, PlaceIn(slug=self.name("quarter"), name="Quarter", parent=self.name("town")))
            for of, (grade, party) in GRADED.items():
                sent = SourceIn(slug=self.name(of), name=of, type="ngo", reliability=grade, party_to_conflict=party)  # type: ignore[arg-type]
                await add_source(session, sent)
                self.log.sources[sent.slug] = sent.model_dump()
            head = (await session.execute(select(*table_of(LedgerHead).c))).mappings().one()
            self.log.before = [head[f"seq_{label}"] or 0 for label in LABELS]
        for of, name in (("town", "Town"), ("quarter", "Quarter")):
            self.log.places[self.name(of)] = {"slug": self.name(of), "name": name, "codes": [], "country": "SYR"}

    def body(self, made: dict[str, Any]) -> dict[str, Any]:
        """A statement as sent."""
        kind, value = made["value"]
        return {
            "kind": kind,
            "place": self.name(made["place"]),
            "source": self.name(made["source"]),
            "stated_at": made["stated_at"],
            "value": value,
            "provenance": {"credibility": made["credibility"], "via": [self.name(each) for each in made["via"]]},
            "sensitivity": made["sensitivity"],
        }

    async def step(self, step: tuple[Any, ...]) -> None:
        """Do one step; what the service refuses has to leave no trace."""
        what, *rest = step
        do: Callable[..., Coroutine[Any, Any, None]] = getattr(self, f"_{what}")
        try:
            async with self.database.write() as session:
                await do(session, *rest)
        except Problem as problem:
            if problem.status not in (404, 409, 422):
                raise
            return
        async with self.database.read() as connection:
            head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
            self.stored[head["global_seq"]] = head["recorded_at"], await self._documents(connection)

    async def _documents(self, connection: Any) -> dict[tuple[str, int], str]:
        readings = table_of(IndicatorProjection)
        ids = [UUID(each) for each in self.log.indicators()]
        found = {}
        for row in (await connection.execute(select(*readings.c).where(readings.c.indicator_id.in_(ids)))).mappings():
            for level in range(row["min_clearance"], row["max_clearance"] + 1):
                found[str(row["indicator_id"]), level] = with_revision(row["document"], row[f"revision_{LABELS[level]}"])
        return found

    def _add(self, recorded: VisibleReport, body: dict[str, Any], touched: list[tuple[str, int]]) -> None:
        made = recorded.report
        said = Said(made.global_seq, str(made.id), str(made.indicator_id), body)
        self.log.said.append(said)
        self.log.done.append(Done(made.global_seq, said.level, made.recorded_at, [(said.indicator, said.level), *touched]))

    async def _report(self, session: AsyncSession, made: dict[str, Any]) -> None:
        body = self.body(made)
        (recorded,), _ = await record_reports(session, caller(4), [validate(body, self.settings)], self.settings)
        assert isinstance(recorded, VisibleReport), recorded
        if recorded.created:
            self._add(recorded, body, [])

    def _pick(self, which: int) -> Said | None:
        return self.log.said[which % len(self.log.said)] if self.log.said else None

    async def _correct(self, session: AsyncSession, level: int, which: int, made: dict[str, Any], same: bool) -> None:
        old, body = self._pick(which), self.body(made)
        if old is None:
            return
        if same:
            # The figure of the same source on the same matter, most often; else the statement moves to another indicator.
            body = body | {name: old.body[name] for name in ("kind", "value", "place", "source")}
            body["value"] = body["value"] | ({"people": 1234} if "people" in body["value"] else {})
        recorded = await correct_report(session, caller(level), UUID(old.id), validate(body, self.settings), "misread", self.settings)
        seen_from = max(old.level, LABELS.index(Label(body["sensitivity"])))
        left = [(old.indicator, seen_from)] if str(recorded.report.indicator_id) != old.indicator else []
        self._add(recorded, body, left)
        old.ends.append((seen_from, recorded.report.global_seq))

    async def _retract(self, session: AsyncSession, level: int, which: int) -> None:
        if (old := self._pick(which)) is not None:
            change = await retract_report(session, caller(level), UUID(old.id), "withdrawn", self.settings)
            self.log.done.append(Done(change.global_seq, old.level, change.recorded_at, [(old.indicator, old.level)]))
            old.ends.append((old.level, change.global_seq))

    async def _outcome(self, session: AsyncSession, level: int, which: int, shown: int, outcome: str) -> None:
        of, evidence = self._pick(which), self._pick(shown)
        if of is None or evidence is None:
            return
        change = await record_outcome(
            session, caller(level), UUID(of.indicator), outcome=outcome, reason="seen", report_id=UUID(evidence.id), settings=self.settings
        )
        lowest = min(each.level for each in self.log.said if each.indicator == of.indicator)
        seen_from = max(evidence.level, lowest)
        self.log.done.append(
            Done(change.global_seq, seen_from, change.recorded_at, [(of.indicator, seen_from)], outcome=(of.indicator, outcome, evidence))
        )

    async def _grade(self, session: AsyncSession, source: str, grade: str) -> None:
        slug = self.name(source)
        change = await record_grade(session, caller(4), slug, reliability=grade, reason="was wrong", settings=self.settings)
        self.log.done.append(Done(change.global_seq, 0, change.recorded_at, grade=(slug, grade)))

    async def check(self, as_of: datetime) -> None:
        """Every stored document against the ledger replayed, the past as served, and the oracle."""
        ids = [UUID(each) for each in self.log.indicators()]
        async with self.database.read() as connection:
            for at, (number, (recorded_at, stored)) in enumerate(self.stored.items()):
                assert await resolve_time_point(connection, None, written(recorded_at)) == TimePoint(through_global_seq=number)
                bases = await load_inputs(connection, ids, self.settings.horizons, TimePoint(through_global_seq=number))
                replayed = {
                    (str(each), level): with_revision(row["document"], row[f"revision_{LABELS[level]}"])
                    for each, basis in bases.items()
                    for row in projection_rows(basis)
                    for level in range(row["min_clearance"], row["max_clearance"] + 1)
                }
                assert replayed == stored
                self._expect(stored, number)
                # One level of every other change, each level in turn.
                level = at % len(LABELS)
                if FULL or at % 2 == 0:
                    served = await assess_at(connection, ids, View(level, TimePoint(through_global_seq=number), self.settings.horizons))
                    assert {(str(each), level): past.document() for each, past in served.items()} == {
                        key: document for key, document in stored.items() if key[1] == level
                    }
            if self.stored:
                number = max(self.stored)
                for level in range(len(LABELS)):
                    served = await assess_at(connection, ids, View(level, TimePoint(as_of, number), self.settings.horizons))
                    found = {(str(each), level): past.document() for each, past in served.items()}
                    self._expect(found, number, as_of, level)

    def _expect(self, documents: dict[tuple[str, int], str], number: int, as_of: datetime | None = None, only: int | None = None) -> None:
        levels = range(len(LABELS)) if only is None else [only]
        wanted = {(each, level): self.log.document(each, level, number, as_of) for each in self.log.indicators() for level in levels}
        expected = {key: document for key, document in wanted.items() if document is not None}
        assert {key: orjson.loads(document) for key, document in documents.items()} == expected


@settings(
    max_examples=300 if FULL else 3,
    derandomize=not FULL,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=STEPS, day=DAYS)
async def test_replaying_up_to_any_change_gives_what_was_stored_at_it(
    database: Database, settings: Settings, reference: Reference, steps: list[tuple[Any, ...]], day: int
) -> None:
    run = Run(database, settings)
    await run.begin()
    for step in steps:
        await run.step(step)
    await run.check(end_of(date(2016, 7, 1) + timedelta(days=day)))
    async with database.write() as session:
        connection = await session.connection()
        assert [each async for each in verify_chain(connection)] == []
        assert [each async for each in verify_projections(connection, settings.horizons)] == []


SAID: list[tuple[str, dict[str, Any]]] = [
    ("report", report(value={"people": 1000})),
    ("report", report(value={"people": 3000}, source="army", sensitivity="amber")),
    ("report", report("supply_runout", source="envoy")),
    (
        "report",
        report("supply_runout", {"in_days_min": 3, "in_days_max": 5}, source="monitor", sensitivity="green", stated_at="2016-08-01"),
    ),
    ("report", report("route_closure", {"direction": "in"}, source="army", sensitivity="red")),
    ("grade", {"reliability": "A", "reason": "was right"}),
    ("outcome", {"outcome": "averted", "reason": "a convoy", "report": 3}),
    ("correction", report(value={"people": 2000}, source="army", sensitivity="green", reason="misread") | {"of": 1}),
    ("correction", report(value={"concept": "besieged", "people": 900}, sensitivity="amber_strict", reason="another concept") | {"of": 0}),
    ("report", report("route_closure", {"status": "open"}, source="agency", stated_at="2016-07-30T10:00:00+02:00")),
    ("retraction", {"reason": "withdrawn", "of": 3}),
    ("retraction", {"reason": "withdrawn", "of": 5}),
]
EVERYTHING = "/v1/indicators?limit=1000"
VIEWS = ("/v1/supply-runouts?agreement=single", "/v1/route-closures?status=open")


async def _do(client: httpx.AsyncClient, what: str, body: dict[str, Any], made: list[dict[str, Any]]) -> str:
    """One step over HTTP; answers when it was recorded."""
    path = "/v1/reports"
    if what in ("correction", "retraction"):
        path = f"/v1/reports/{made[body['of']]['id']}/{what}"
        body = {name: value for name, value in body.items() if name != "of"}
    elif what == "grade":
        path = "/v1/sources/army/grades"
    elif what == "outcome":
        path, body = f"/v1/indicators/{made[3]['indicator']}/outcome", body | {"report": made[body["report"]]["id"]}
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    if what in ("report", "correction"):
        made.append(answer.json())
    recorded_at: str = answer.json()["recorded_at"]
    return recorded_at


async def test_known_at_serves_what_was_served_then(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    """Over HTTP, for every clearance: lists, each indicator with the reports behind it, and reports themselves.

    Each is asked after every third change, with LIFELINE_TEST_FULL=1 after every one.
    """
    readers = [await make_client(clearance=label) for label in Label]
    made: list[dict[str, Any]] = []
    served: list[tuple[httpx.AsyncClient, str, str, Any]] = []
    for at, (what, body) in enumerate(SAID):
        recorded_at = await _do(client, what, body, made)
        paths = [f"/v1/indicators/{each}" for each in dict.fromkeys(each["indicator"] for each in made)]
        asked = [(reader, EVERYTHING) for reader in readers] + [(client, path) for path in (*VIEWS, *paths)]
        asked.append((readers[0], f"/v1/reports/{made[0]['id']}"))
        for reader, path in asked if FULL else asked[at % 3 :: 3]:
            then = (await reader.get(path)).json()
            served.append((reader, path, recorded_at, then.get("items", then)))
    for reader, path, recorded_at, then in served:
        answer = await reader.get(httpx.URL(path).copy_merge_params({"known_at": recorded_at}))
        assert answer.status_code == 200, (path, answer.text)
        found = answer.json()
        assert orjson.dumps(found.get("items", found)) == orjson.dumps(then), (path, recorded_at)
