"""Steps that are kept of assessments as of every time: what is read from them equals what is computed, byte for byte.

It does so at every moment: before any step is made again, while some are, and after all are.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import func, select, text
from sqlmodel import col

from app.assessment import keeping, stale
from app.assessment.keeping import keep_steps, select_times
from app.assessment.models import IndicatorProjection, IndicatorStep
from app.assessment.stale import assess_stale
from app.assessment.verify import verify_projections
from app.domain.time_point import TimePoint
from app.domain.tlp import LABELS, Label
from app.domain.view import View
from app.indicators.past import assess_at
from app.indicators.steps import complete_documents, select_steps, step_documents
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.assessment.random_ledger import RandomLedger
from tests.assessment.strategies import ALL_STEPS
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import FULL, MakeClient, mostly_sqlite, sqlite_only


@dataclass(kw_only=True)
class KeptLedger(RandomLedger):
    """A random ledger, whose kept documents are compared with computed ones."""

    database: Database
    settings: Settings
    checks: int = 0
    read_from_steps: int = 0

    @property
    def ids(self) -> list[UUID]:
        return sorted({UUID(each["indicator"]) for each in self.reports})

    async def keep(self, most: int = 10_000) -> None:
        """Make some of the steps again that were moved, from all reports and from those that matter at each time in turn."""
        for number in range(most):
            keeping.MAX_LOADED_REPORTS = (60, 2)[number % 2]
            async with self.database.write() as session:
                if not await assess_stale(session, self.settings.horizons) and not await keep_steps(session, self.settings.horizons):
                    return

    async def compare_kept(self, *, every: int) -> None:
        """Compare as of the times around each step, or of some of them, for one clearance in turn, or for all."""
        self.checks += 1
        async with self.database.snapshot() as connection:
            times = {at for each in self.ids for at in await select_times(connection, each)}
            moments = sorted({*times, *(each - timedelta(microseconds=1) for each in times), datetime(2999, 1, 1, tzinfo=UTC)})
            for number, at in enumerate(moments if FULL else moments[self.checks % every :: every]):
                for level in range(len(LABELS)) if FULL else [(number + self.checks) % len(LABELS)]:
                    view = View(level, TimePoint(at), self.settings.horizons)
                    computed = {each: past.document() for each, past in (await assess_at(connection, self.ids, view)).items()}
                    statement = select_steps(level).where(col(IndicatorProjection.indicator_id).in_(self.ids))
                    rows = (await connection.execute(statement, {"as_of": at})).all()
                    self.read_from_steps += sum(row.kept for row in rows)
                    kept = {UUID(str(each.row.indicator_id)): each.document for each in await step_documents(connection, rows, view)}
                    assert kept == computed, (at, level)
                    assert complete_documents(rows) in (None, list(kept.values())), (at, level)


@pytest.fixture
def no_background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the application from making steps again."""

    async def nothing(*_: Any) -> bool:
        return False

    monkeypatch.setattr(stale, "_is_left", nothing)


@settings(
    max_examples=60 if FULL else 2,
    derandomize=not FULL,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps=ALL_STEPS)
async def test_kept_steps_equal_computed_documents(
    no_background: None,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
    settings: Settings,
    make_client: MakeClient,
    steps: list[tuple[Any, ...]],
) -> None:
    monkeypatch.setattr(keeping, "MAX_LOADED_REPORTS", 60)
    clients = {label: await make_client(clearance=Label(label)) for label in LABELS}
    second = await make_client(clearance=Label.RED, organisation="second")
    ledger = KeptLedger(clients, second, database=database, settings=settings)
    await ledger.begin()
    for number, step in enumerate(steps):
        await ledger.step(step)
        await ledger.keep(number % 3)
        await ledger.compare_kept(every=9)
    await ledger.keep()
    await ledger.compare_kept(every=1)
    assert ledger.read_from_steps
    async with database.write() as session:
        connection = await session.connection()
        assert [each async for each in verify_projections(connection, settings.horizons)] == []


async def is_moved(database: Database) -> bool:
    """Tell whether any step must be made again."""
    async with database.read() as connection:
        moved = select(col(IndicatorProjection.kept_until)).where(col(IndicatorProjection.kept_until).is_not(None))
        return (await connection.execute(moved.limit(1))).first() is not None


async def keep_all(database: Database, settings: Settings) -> int:
    """Make every step again that was moved, and return how many transactions that takes."""
    number = 0
    while await is_moved(database):
        async with database.write() as session:
            await keep_steps(session, settings.horizons)
        number += 1
    return number


@mostly_sqlite
async def test_report_stated_last_and_grade_keep_the_steps_made(
    no_background: None, client: httpx.AsyncClient, reference: Reference, database: Database
) -> None:
    for day, source in ((1, "agency"), (2, "monitor"), (2, "envoy")):
        await post(client, **report(stated_at=f"2016-07-0{day}", source=source))
    await post(client, "/v1/sources/agency/grades", reliability="C", reason="checked")
    assert not await is_moved(database)
    # The grade in force then is another than now, although nothing was stated later.
    await post(client, **report(stated_at="2016-07-03", source="agency", value={"people": 9}))
    assert await is_moved(database)


@mostly_sqlite
async def test_long_history_is_loaded_once_for_many_steps(
    no_background: None,
    client: httpx.AsyncClient,
    reference: Reference,
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = ("agency", "monitor", "envoy", "army")
    stated = [
        report(value={"people": 10 + at}, stated_at=f"2016-08-{1 + at // 2:02}T{10 + at % 2}:00:00Z", source=said[at % 4])
        for at in range(40)
    ]
    await post_all(client, *stated)
    monkeypatch.setattr(keeping, "MAX_LOADED_REPORTS", 10)
    monkeypatch.setattr(keeping, "MAX_SECONDS", 60)

    async def each_by_itself(*_: Any) -> None:
        raise AssertionError("a step was loaded by itself")

    monkeypatch.setattr(keeping, "load_inputs", each_by_itself)
    assert await keep_all(database, settings) == 2
    monkeypatch.undo()
    # Computed from all of them.
    async with database.write() as session:
        assert [each async for each in verify_projections(await session.connection(), settings.horizons)] == []


@mostly_sqlite
async def test_correction_of_an_old_report_moves_its_steps_and_those_after_alone(
    no_background: None,
    client: httpx.AsyncClient,
    reference: Reference,
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are made again a few at a time, and answers are right meanwhile; a long history is assessed from what matters at each time."""
    made = [await post(client, **report(value={"people": day}, stated_at=f"2016-07-{day:02}")) for day in range(1, 5)]
    more = [report(value={"people": 10 + at}, stated_at=f"2016-08-{1 + at // 24:02}T{at % 24:02}:00:00Z") for at in range(20)]
    await post_all(client, *more)
    monkeypatch.setattr(keeping, "MAX_LOADED_REPORTS", 10)
    monkeypatch.setattr(keeping, "MAX_STEPS", 8)
    assert await keep_all(database, settings) > 2

    async def figures() -> list[int]:
        days = ("2016-07-01", "2016-07-02", "2016-07-03", "2016-07-04", "2016-08-01T12:00:00Z", "2016-08-02")
        lists = [(await client.get("/v1/indicators", params={"as_of": day})).json()["items"] for day in days]
        return [items[0]["value"]["people"] for items in lists]

    assert await figures() == [1, 2, 3, 4, 22, 29]
    corrected = report(value={"people": 1000}, stated_at="2016-07-02", reason="misread")
    await post(client, f"/v1/reports/{made[1]['id']}/correction", **corrected)
    async with database.read() as connection:
        steps = table_of(IndicatorStep).c
        kept = (await connection.execute(select(IndicatorProjection.kept_until))).scalars().first()
        assert kept == datetime(2016, 7, 2, tzinfo=UTC)
    for _ in range(3):
        assert await figures() == [1, 1000, 3, 4, 22, 29]
        async with database.write() as session:
            await keep_steps(session, settings.horizons)
    await keep_all(database, settings)
    assert await figures() == [1, 1000, 3, 4, 22, 29]
    async with database.read() as connection:
        assert (await connection.execute(select(func.count(steps.since.distinct())))).scalar_one() == 24


@mostly_sqlite
async def test_steps_show_a_changed_place_while_and_after_they_are_made_again(
    no_background: None, client: httpx.AsyncClient, reference: Reference, settings: Settings, database: Database
) -> None:
    await post(client, **report(stated_at="2016-07-01"))

    async def name() -> str:
        (item,) = (await client.get("/v1/indicators?as_of=2016-07-15")).json()["items"]
        found: str = item["place"]["name"]
        return found

    # As after the entry, before its indicators are reached.
    async with database.write() as session:
        place = (await session.execute(text("SELECT id FROM place WHERE slug = 'oldtown'"))).scalar_one()
        await session.execute(text("UPDATE place SET name = 'New Town' WHERE slug = 'oldtown'"))
        await session.execute(text("INSERT INTO stale_record (record_id, level) VALUES (:id, 0)"), {"id": place})
    assert (await name(), await is_moved(database)) == ("New Town", False)
    async with database.write() as session:
        while await assess_stale(session, settings.horizons):
            pass
    assert (await name(), await is_moved(database)) == ("New Town", True)
    await keep_all(database, settings)
    assert (await name(), await is_moved(database)) == ("New Town", False)


@pytest.mark.parametrize("change", ["document = x'00'", "agreement = 'contested'", "since = '2016-06-01 00:00:00.000000'"])
@sqlite_only
async def test_verify_altered_step_names_the_indicator(
    client: httpx.AsyncClient, reference: Reference, settings: Settings, database: Database, change: str
) -> None:
    made = [await post(client, **report(value={"people": day}, stated_at=f"2016-07-{day:02}")) for day in range(1, 5)]
    async with database.write() as session:
        connection = await session.connection()
        assert [each async for each in verify_projections(connection, settings.horizons)] == []
        await connection.execute(text(f"UPDATE indicator_step SET {change} WHERE since LIKE '2016-07-02%'"))
        (problem,) = [each async for each in verify_projections(connection, settings.horizons)]
    assert problem == f"indicator {made[0]['indicator']}: the steps that are kept of it differ from the ledger"
