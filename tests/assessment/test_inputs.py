"""Replay of the ledger: up to any entry it gives, byte for byte, the documents stored at that entry, for every clearance.

Hypothesis chooses the entries. By default the same few examples run; with TEST_FULL=1, 300 new ones each time.
"""

from collections.abc import Callable, Coroutine
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from hypothesis import HealthCheck, given, settings
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
from app.reports.schemas import GradeIn, OutcomeIn
from app.reports.service import correct_report, record_reports, retract_report
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.assessment.oracle import Entry, Log, end_of, rfc3339
from tests.assessment.oracle_kinds import RecordedReport
from tests.assessment.strategies import DAYS, SOURCES, STEPS
from tests.support.factories import Reference
from tests.support.fixtures import FULL


def caller(level: int) -> Principal:
    """Return a caller with all scopes."""
    return Principal(level, UUID(int=1), organisation="test", scopes=frozenset(Scope))


class Run:
    """One example on its own places and sources, in the services that the endpoints call, with a commit for each step."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.mark = uuid4().hex[:8]
        self.log = Log({}, {})
        # For each entry, the time of recording and the stored documents by indicator and level.
        self.stored: dict[int, tuple[datetime, dict[tuple[str, int], str]]] = {}

    def name(self, of: str) -> str:
        """Return a slug that only this example uses."""
        return f"{of}-{self.mark}"

    async def begin(self) -> None:
        """Add the places and sources."""
        async with self.database.write() as session:
            await add_place(session, PlaceIn(slug=self.name("town"), name="Town", country="SYR"))
            await add_place(session, PlaceIn(slug=self.name("quarter"), name="Quarter", parent=self.name("town")))
            for of, (grade, party) in SOURCES.items():
                sent = SourceIn(slug=self.name(of), name=of, type="ngo", reliability=grade, party_to_conflict=party)  # type: ignore[arg-type]
                await add_source(session, sent)
                self.log.sources[sent.slug] = sent.model_dump()
            head = (await session.execute(select(*table_of(LedgerHead).c))).mappings().one()
            self.log.before = [head[f"seq_{label}"] or 0 for label in LABELS]
        for of, name in (("town", "Town"), ("quarter", "Quarter")):
            self.log.places[self.name(of)] = {"slug": self.name(of), "name": name, "codes": [], "country": "SYR"}

    def body(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """Return a report as sent."""
        kind, value = drawn["value"]
        return {
            "kind": kind,
            "place": self.name(drawn["place"]),
            "source": self.name(drawn["source"]),
            "stated_at": drawn["stated_at"],
            "value": value,
            "provenance": {"credibility": drawn["credibility"], "via": [self.name(each) for each in drawn["via"]]},
            "sensitivity": drawn["sensitivity"],
        }

    async def step(self, step: tuple[Any, ...]) -> None:
        """Do one step; if the service rejects it, nothing may entry."""
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
        projections = table_of(IndicatorProjection)
        ids = [UUID(each) for each in self.log.indicators()]
        found = {}
        for row in (await connection.execute(select(*projections.c).where(projections.c.indicator_id.in_(ids)))).mappings():
            for level in range(row["min_clearance"], row["max_clearance"] + 1):
                found[str(row["indicator_id"]), level] = with_revision(row["document"], row[f"revision_{LABELS[level]}"])
        return found

    def _add(self, recorded: VisibleReport, body: dict[str, Any], changed: list[tuple[str, int]]) -> None:
        stored = recorded.report
        report = RecordedReport(stored.global_seq, str(stored.id), str(stored.indicator_id), body)
        self.log.reports.append(report)
        self.log.entries.append(Entry(stored.global_seq, report.level, stored.recorded_at, [(report.indicator, report.level), *changed]))

    async def _report(self, session: AsyncSession, drawn: dict[str, Any]) -> None:
        body = self.body(drawn)
        (recorded,), _ = await record_reports(session, caller(4), [validate(body, self.settings)], self.settings)
        assert isinstance(recorded, VisibleReport), recorded
        if recorded.created:
            self._add(recorded, body, [])

    def _pick(self, which: int) -> RecordedReport | None:
        return self.log.reports[which % len(self.log.reports)] if self.log.reports else None

    async def _correct(self, session: AsyncSession, level: int, which: int, drawn: dict[str, Any], same: bool) -> None:
        old, body = self._pick(which), self.body(drawn)
        if old is None:
            return
        if same:
            # Usually a new figure of the same source and subject; otherwise the report moves to another indicator.
            body = body | {name: old.body[name] for name in ("kind", "value", "place", "source")}
            body["value"] = body["value"] | ({"people": 1234} if "people" in body["value"] else {})
        recorded = await correct_report(session, caller(level), UUID(old.id), validate(body, self.settings), "misread", self.settings)
        seen_from = max(old.level, LABELS.index(Label(body["sensitivity"])))
        left = [(old.indicator, seen_from)] if str(recorded.report.indicator_id) != old.indicator else []
        self._add(recorded, body, left)
        old.ends.append((seen_from, recorded.report.global_seq))

    async def _retract(self, session: AsyncSession, level: int, which: int) -> None:
        if (old := self._pick(which)) is not None:
            entry = await retract_report(session, caller(level), UUID(old.id), "withdrawn", self.settings)
            self.log.entries.append(Entry(entry.global_seq, old.level, entry.recorded_at, [(old.indicator, old.level)]))
            old.ends.append((old.level, entry.global_seq))

    async def _outcome(self, session: AsyncSession, level: int, which: int, shown: int, outcome: str) -> None:
        of, evidence = self._pick(which), self._pick(shown)
        if of is None or evidence is None:
            return
        sent = OutcomeIn(outcome=outcome, reason="seen", report=UUID(evidence.id))
        entry = await record_outcome(session, caller(level), UUID(of.indicator), sent, self.settings)
        lowest = min(each.level for each in self.log.reports if each.indicator == of.indicator)
        seen_from = max(evidence.level, lowest)
        self.log.entries.append(
            Entry(entry.global_seq, seen_from, entry.recorded_at, [(of.indicator, seen_from)], outcome=(of.indicator, outcome, evidence))
        )

    async def _grade(self, session: AsyncSession, source: str, grade: str) -> None:
        slug = self.name(source)
        entry = await record_grade(session, caller(4), slug, GradeIn(reliability=grade, reason="was wrong"), self.settings)
        self.log.entries.append(Entry(entry.global_seq, 0, entry.recorded_at, grade=(slug, grade)))

    async def check(self, as_of: datetime) -> None:
        """Compare every stored document with the replay, the responses for the past, and the second implementation."""
        ids = [UUID(each) for each in self.log.indicators()]
        async with self.database.read() as connection:
            for at, (global_seq, (recorded_at, stored)) in enumerate(self.stored.items()):
                assert await resolve_time_point(connection, None, rfc3339(recorded_at)) == TimePoint(through_global_seq=global_seq)
                inputs = await load_inputs(connection, ids, self.settings.horizons, TimePoint(through_global_seq=global_seq))
                replayed = {
                    (str(indicator), level): with_revision(row["document"], row[f"revision_{LABELS[level]}"])
                    for indicator, found in inputs.items()
                    for row in projection_rows(found)
                    for level in range(row["min_clearance"], row["max_clearance"] + 1)
                }
                assert replayed == stored
                self._expect(stored, global_seq)
                # For every other entry, one level, each in turn.
                level = at % len(LABELS)
                if FULL or at % 2 == 0:
                    served = await assess_at(connection, ids, View(level, TimePoint(through_global_seq=global_seq), self.settings.horizons))
                    assert {(str(each), level): past.document() for each, past in served.items()} == {
                        key: document for key, document in stored.items() if key[1] == level
                    }
            if self.stored:
                global_seq = max(self.stored)
                for level in range(len(LABELS)):
                    served = await assess_at(connection, ids, View(level, TimePoint(as_of, global_seq), self.settings.horizons))
                    found = {(str(each), level): past.document() for each, past in served.items()}
                    self._expect(found, global_seq, as_of, level)

    def _expect(
        self, documents: dict[tuple[str, int], str], global_seq: int, as_of: datetime | None = None, only: int | None = None
    ) -> None:
        levels = range(len(LABELS)) if only is None else [only]
        wanted = {(each, level): self.log.document(each, level, global_seq, as_of) for each in self.log.indicators() for level in levels}
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
async def test_replay_to_any_entry_gives_the_documents_stored_then(
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
