"""The statements that are loaded for an assessment suffice: assessed from all of them, it is the same at every clearance and time point."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.keys import create_key
from app.access.principal import Principal, Scope
from app.assessment.inputs import load_inputs
from app.assessment.loading import load_all
from app.assessment.projection import projection_rows
from app.domain.time_point import LATEST, TimePoint
from app.domain.tlp import LABELS, Label
from app.http.problems import Problem
from app.reference.schemas import PlaceIn
from app.reference.service import add_place
from app.reports.amendments import record_outcome, reinstate_report
from app.reports.labels import change_label, confirm_declassification
from app.reports.models import LabelProposal
from app.reports.queries import VisibleReport
from app.reports.schemas import OutcomeIn
from app.reports.service import record_reports, retract_report
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, post, report
from tests.support.fixtures import FULL, mostly_sqlite, sqlite_only

FIRST_DAY = date(2014, 1, 1)
LAST_DAY = 700
PEOPLE = st.sampled_from([1000, 1500, 2000, 20000]).map(lambda people: ("trapped_population", {"concept": "trapped", "people": people}))
SUPPLY = st.one_of(
    st.integers(0, 20).map(lambda days: {"in_days_min": days, "in_days_max": days + 5}),
    st.sampled_from([{"state": "low"}, {"state": "ran_out"}, {"state": "resupplied"}, {"imminence": "days"}]),
).map(lambda value: ("supply_runout", {"supply": "food"} | value))
ROUTE = st.tuples(st.sampled_from(["open", "restricted", "closed"]), st.sampled_from(["both", "in", "out"])).map(
    lambda two: ("route_closure", {"route": "north-road", "status": two[0], "direction": two[1]})
)
OTHERS = st.sampled_from(
    [
        *(("aid_delivery", {"operation": "convoy", "stage": stage}) for stage in ("planned", "attacked", "delivered")),
        *(("population_movement", {"movement": "fled", "people": people}) for people in (1000, 2000, 9000)),
        *(("service_status", {"service": "water", "state": state}) for state in ("working", "partly_working", "out_of_service")),
    ]
)
# Mostly those whose reports are sound, with long silences.
SOURCES = ["agency", "agency", "agency", "envoy", "envoy", "monitor", "monitor", "army"]
DAYS = st.one_of(st.integers(0, LAST_DAY), st.integers(LAST_DAY - 120, LAST_DAY))


def _steps(values: st.SearchStrategy[tuple[str, dict[str, Any]]]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    which = st.integers(0, 60)
    said = st.tuples(
        st.just("report"),
        values,
        st.sampled_from(SOURCES),
        DAYS,
        st.sampled_from(["clear", "clear", "clear", "amber"]),
        st.sampled_from([2, 2, 2, 5]),
        st.sampled_from(["direct", "direct", "quoted", "paraphrased"]),
        st.one_of(st.none(), st.none(), st.none(), which),
    )
    rare = st.one_of(
        st.tuples(st.just("retract"), which),
        st.tuples(st.just("reinstate"), which),
        st.tuples(st.just("label"), which, st.sampled_from(["clear", "amber", "red"])),
        st.tuples(st.just("outcome"), which, st.sampled_from(["materialised", "averted", "pending"])),
    )
    return st.lists(st.one_of(said, said, said, said, said, rare), min_size=10, max_size=30)


class _Ledger:
    """Statements about one indicator, at a place of its own, by two persons."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings, self.place = database, settings, f"place-{uuid4().hex[:8]}"
        self.reports: list[VisibleReport] = []
        self.callers: list[Principal] = []

    async def begin(self) -> None:
        async with self.database.write() as session:
            await add_place(session, Principal(0), PlaceIn(slug=self.place, name="Place", timezone="Asia/Damascus"))
            for person in ("amal", "bashir"):
                more = {"organisation": "test", "person": person, "scopes": frozenset(Scope)}
                key, _ = await create_key(session, name=person, clearance=Label.RED, **more)
                self.callers.append(Principal(Label.RED.level, key.id, **more))

    async def report(
        self, said: tuple[str, dict[str, Any]], source: str, day: int, label: str, credibility: int, directness: str, relays: int | None
    ) -> None:
        kind, value = said
        provenance: dict[str, Any] = {"credibility": credibility, "directness": directness}
        if relays is not None and self.reports:
            provenance["relays"] = str(self.reports[relays % len(self.reports)].report.id)
        stated = (FIRST_DAY + timedelta(days=day)).isoformat() + ("T21:30:00Z" if day % 3 == 0 else "")
        body = report(kind, None, place=self.place, source=source, stated_at=stated, sensitivity=label, provenance=provenance)
        async with self.database.write() as session:
            (found,), _ = await record_reports(session, self.callers[0], [validate(body | {"value": value}, self.settings)], self.settings)
        if isinstance(found, VisibleReport) and found.created:
            self.reports.append(found)

    def _pick(self, which: int) -> UUID | None:
        return self.reports[which % len(self.reports)].report.id if self.reports else None

    async def retract(self, which: int) -> None:
        if (report_id := self._pick(which)) is not None:
            async with self.database.write() as session:
                await retract_report(session, self.callers[0], report_id, "withdrawn", self.settings)

    async def reinstate(self, which: int) -> None:
        if (report_id := self._pick(which)) is not None:
            async with self.database.write() as session:
                await reinstate_report(session, self.callers[0], report_id, "said after all", self.settings)

    async def label(self, which: int, label: str) -> None:
        if (report_id := self._pick(which)) is None:
            return
        first, second = self.callers
        async with self.database.write() as session:
            changed = await change_label(session, first, report_id, Label(label), "it names people", self.settings)
        if isinstance(changed, LabelProposal):
            async with self.database.write() as session:
                await confirm_declassification(session, second, changed.id, self.settings)

    async def outcome(self, which: int, outcome: str) -> None:
        if (report_id := self._pick(which)) is not None:
            sent = OutcomeIn(outcome=outcome, reason="seen", report=report_id)
            async with self.database.write() as session:
                await record_outcome(session, self.callers[0], self.reports[0].report.indicator_id, sent, self.settings)

    async def check(self, connection: AsyncConnection, time_point: TimePoint) -> None:
        """Compare what is assessed from the statements that are loaded, and from all."""
        for indicator in {each.report.indicator_id for each in self.reports}:
            some = (await load_inputs(connection, [indicator], self.settings.horizons, time_point))[indicator]
            rows = projection_rows(some)
            some.statements = (await load_all(connection, [indicator], time_point)).get(indicator, [])
            assert rows == projection_rows(some), time_point


@mostly_sqlite
@settings(
    max_examples=200 if FULL else 3,
    derandomize=not FULL,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=st.one_of(_steps(PEOPLE), _steps(SUPPLY), _steps(ROUTE), _steps(OTHERS)), day=DAYS, through=st.integers(0, 30))
async def test_loaded_statements_suffice_for_every_assessment(
    database: Database, settings: Settings, reference: Reference, steps: list[tuple[Any, ...]], day: int, through: int
) -> None:
    ledger = _Ledger(database, settings)
    await ledger.begin()
    for what, *rest in steps:
        try:
            await getattr(ledger, what)(*rest)
        except Problem as problem:
            # A step that is not possible.
            if problem.status not in (404, 409, 422):
                raise
    as_of = datetime.combine(FIRST_DAY + timedelta(days=day), datetime.max.time(), UTC)
    global_seq = ledger.reports[through % len(ledger.reports)].report.global_seq if ledger.reports else 0
    async with database.read() as connection:
        for time_point in (LATEST, TimePoint(as_of), TimePoint(None, global_seq), TimePoint(as_of, global_seq)):
            await ledger.check(connection, time_point)


@sqlite_only
@pytest.mark.parametrize("kind", ["trapped_population", "supply_runout", "route_closure"])
async def test_assessment_does_not_read_what_the_horizon_cuts(
    client: httpx.AsyncClient, reference: Reference, database: Database, settings: Settings, kind: str
) -> None:
    values = {
        "trapped_population": {"people": 300000},
        "supply_runout": {"in_days_min": 14, "in_days_max": 21},
        "route_closure": {"direction": "in"},
    }
    days = [FIRST_DAY + timedelta(days=10 * number) for number in range(60)]
    bodies = [report(kind, values[kind], source=("agency", "monitor")[number % 2], stated_at=str(day)) for number, day in enumerate(days)]
    response = await client.post("/v1/reports", json=bodies)
    assert response.json()["created"] == len(bodies)
    (indicator,) = {UUID(item["indicator"]) for item in response.json()["items"]}
    async with database.read() as connection:
        inputs = (await load_inputs(connection, [indicator], settings.horizons))[indicator]
    assert len(inputs.statements) <= 10
    # An unsound report of today is not compared with those of the year before.
    await post(client, **report(kind, values[kind], source="army", stated_at=str(days[-1])))
    async with database.read() as connection:
        inputs = (await load_inputs(connection, [indicator], settings.horizons))[indicator]
    assert (len(inputs.statements) <= 11) == (kind != "supply_runout")
    assert {LABELS[each.level] for each in inputs.statements} == {Label.CLEAR}
