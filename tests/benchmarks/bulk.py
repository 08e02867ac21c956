"""Load a synthetic world in bulk: written by COPY on PostgreSQL, but validated, hashed and assessed by the service's own code.

A load is one transaction, so a failed one leaves nothing behind.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import JSON, Insert, Table, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.assessment.alerts import alert_rows
from app.assessment.inputs import load_inputs
from app.assessment.models import AlertStanding, Indicator, IndicatorProjection, IndicatorSource
from app.assessment.projection import projection_rows
from app.domain.identifiers import uuid7
from app.domain.kinds import KINDS
from app.domain.times import utc_now
from app.domain.tlp import MAX_LEVEL
from app.ledger.appender import LedgerAppender, open_appender
from app.ledger.models import LedgerEntry
from app.operations.models import OperationRun
from app.operations.runs import REASSESS
from app.reference.models import MIN_EFFECTIVE_FROM, Extent, Place, PlaceAncestor, PlaceCode, RecordText, Route, Source, SourceGrade
from app.reference.queries import find_sources
from app.reference.records import PlaceRecord, SourceRecord
from app.reference.rows import (
    extent_rows,
    place_record,
    place_row,
    place_shape,
    route_record,
    route_row,
    source_record,
    source_row,
)
from app.reference.rows import text_rows as record_text_rows
from app.reference.schemas import Code, PlaceIn, RouteIn, SourceIn
from app.reference.service import append_version
from app.reports.appending import append_report, append_retraction
from app.reports.models import Report, ReportText
from app.reports.search import text_rows
from app.reports.validation import ResolvedReport, ValidatedReport, bind_references, validate
from app.settings import Settings
from app.storage.direct import execute_together
from app.storage.types import column_values, table_of
from tests.benchmarks.synthetic import START, Amendment, World

CHUNK = 5000
READ_AT_ONCE = 500

# Takes the name of a step, how much of it is done, and the total.
Progress = Callable[[str, int, int], None]


class NotEmpty(Exception):
    """The database has places or statements already."""


class Facts:
    """Reference data that statements name, looked up once for all of them."""

    def __init__(self, places: Mapping[str, PlaceRecord], sources: Mapping[str, SourceRecord], settings: Settings) -> None:
        self._places = places
        self._sources = sources
        self._settings = settings

    def check(self, body: Mapping[str, Any]) -> ResolvedReport:
        """Return a statement as validation returns it."""
        sent = validate(dict(body), self._settings)
        assert isinstance(sent, ValidatedReport), sent
        return bind_references(sent, self._places[sent.report.place], self._sources[sent.report.source], [], self._settings)


async def load(session: AsyncSession, settings: Settings, *, reports: int, indicators: int, seed: int, progress: Progress) -> int:
    """Load `reports` reports on about `indicators` indicators into an empty database and return the number of ledger entries.

    Raises NotEmpty otherwise, because made-up data must not mix with real data.
    """
    connection = await session.connection()
    for model in (Place, LedgerEntry):
        if await session.scalar(select(1).select_from(model).limit(1)):
            raise NotEmpty
    if connection.dialect.name == "sqlite":
        # Inserts touch random pages of the identifiers' indexes, so SQLite gets 256 MiB of cache.
        await connection.exec_driver_sql("PRAGMA cache_size = -262144")
    world = World(indicators, seed)
    facts = await _add_reference(session, world, settings)
    tail = await open_appender(session)
    await _record(connection, tail, world, facts, reports, progress)
    await execute_together(connection, await tail.head_statements(session))
    if connection.dialect.name == "postgresql":
        # Without new statistics the planner would not use the indexes on the rows just inserted.
        await connection.exec_driver_sql("ANALYZE")
    await _write_assessments(connection, settings, progress)
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql("ANALYZE")
    return tail.global_seq


async def _record(connection: AsyncConnection, tail: LedgerAppender, world: World, facts: Facts, count: int, progress: Progress) -> None:
    caller = Principal(level=MAX_LEVEL, organisation="synthetic")
    known: set[UUID] = set()
    new: dict[UUID, ResolvedReport] = {}
    reports: list[Report] = []
    changes: list[LedgerEntry] = []
    progress("reports recorded", 0, count)
    for done, (recorded, body, amendment) in enumerate(world.statements(count), 1):
        tail.recorded_at = recorded
        said = facts.check(body)
        if said.indicator_id not in known:
            known.add(said.indicator_id)
            new[said.indicator_id] = said
        report, change = append_report(tail, said, caller)
        reports.append(report)
        changes.append(change)
        if amendment is not None:
            reports += _amend(tail, report, amendment, facts, caller, changes)
        if len(changes) >= CHUNK or done == count:
            await bulk_insert(connection, table_of(Indicator), [_indicator(each) for each in new.values()])
            await bulk_insert(connection, table_of(Report), [column_values(Report, each) for each in reports])
            await bulk_insert(connection, table_of(ReportText), text_rows(reports))
            await bulk_insert(connection, table_of(LedgerEntry), [column_values(LedgerEntry, each) for each in changes])
            new, reports, changes = {}, [], []
            progress("reports recorded", done, count)


def _amend(
    tail: LedgerAppender, report: Report, amendment: Amendment, facts: Facts, caller: Principal, changes: list[LedgerEntry]
) -> list[Report]:
    if amendment.statement is None:
        changes.append(append_retraction(tail, report, caller, amendment.reason))
        return []
    corrected, change = append_report(tail, facts.check(amendment.statement), caller, supersedes=report, reason=amendment.reason)
    changes.append(change)
    return [corrected]


def _indicator(said: ResolvedReport) -> dict[str, Any]:
    about = {"id": said.indicator_id, "kind": said.report.kind, "place_id": said.place.id}
    return about | {"subject": said.subject, "filter_key": said.filter_key}


async def _write_assessments(connection: AsyncConnection, settings: Settings, progress: Progress) -> None:
    """Write the sources and the assessment of each indicator, once for all of its statements."""
    ids = list((await connection.execute(select(col(Indicator.id)).order_by(col(Indicator.id)))).scalars())
    voices = _voices()
    progress("indicators read", 0, len(ids))
    for start in range(0, len(ids), READ_AT_ONCE):
        some = ids[start : start + READ_AT_ONCE]
        await connection.execute(voices, {"first": some[0], "last": some[-1]})
        bases = await load_inputs(connection, some, settings.horizons)
        await bulk_insert(connection, table_of(IndicatorProjection), [row for basis in bases.values() for row in projection_rows(basis)])
        alerted = [basis for basis in bases.values() if KINDS[basis.subject.kind].has_alerts]
        standings = [row for basis in alerted for row in alert_rows(basis, {each.id for each in basis.statements})]
        await bulk_insert(connection, table_of(AlertStanding), standings)
        progress("indicators read", start + len(some), len(ids))
    # Alerts were judged with all that is said, not with what was recorded before each.
    await bulk_insert(connection, table_of(OperationRun), [{"name": REASSESS, "finished_at": utc_now()}])


def _voices() -> Insert:
    names = ("indicator_id", "source_id", "facet", "level")
    about = [table_of(Report).c[name] for name in names]
    first, last = (bindparam(name, type_=table_of(Indicator).c.id.type) for name in ("first", "last"))
    between = about[0].between(first, last)
    spoken = select(*about, func.min(col(Report.global_seq))).where(between).group_by(*about)
    return insert(IndicatorSource).from_select([*names, "first_global_seq"], spoken)


async def _add_reference(session: AsyncSession, world: World, settings: Settings) -> Facts:
    """Add the reference data, each record with its entry, recorded before the first statement."""
    connection, tail = await session.connection(), await open_appender(session)
    tail.recorded_at = START
    ids = [uuid7() for _ in world.places]
    facts: dict[str, PlaceRecord] = {}
    records: dict[str, list[dict[str, Any]]] = {"place": [], "route": [], "source": []}
    places, codes, ancestors, extents = [], [], [], []
    for number, place in enumerate(world.places):
        code = f"X{number:07}"
        sent = PlaceIn(
            slug=place.slug, name=place.name, centroid=[place.longitude, place.latitude], codes=[Code(scheme="synthetic", code=code)]
        )
        parent = None if place.parent is None else world.places[place.parent].slug
        record = place_record(ids[number], sent, parent, place.country, "UTC")
        records["place"].append(record)
        about = {"id": ids[number], "parent_id": None if place.parent is None else ids[place.parent], "created_at": START}
        places.append(place_row(record) | about)
        extents += extent_rows(ids[number], place_shape(record))
        codes.append({"scheme": "synthetic", "code": code, "place_id": ids[number]})
        ancestors += [{"ancestor_id": ids[each], "place_id": ids[number]} for each in _line(world, number)]
        facts[place.slug] = PlaceRecord(ids[number], place.slug, place.name, place.country, (("synthetic", code),))
    await bulk_insert(connection, table_of(Place), places)
    await bulk_insert(connection, table_of(Extent), extents)
    await bulk_insert(connection, table_of(PlaceCode), codes)
    await bulk_insert(connection, table_of(PlaceAncestor), ancestors)
    records["route"] = [route_record(uuid7(), RouteIn.model_validate(each)) for each in world.routes]
    records["source"] = [source_record(uuid7(), SourceIn.model_validate(each)) for each in world.sources]
    texts = [row for type_, some in records.items() for each in some for row in record_text_rows(type_, each)]
    await bulk_insert(connection, table_of(RecordText), texts)
    of_routes, of_sources = (
        [to_row(each) | {"id": UUID(each["id"]), "created_at": START} for each in records[type_]]
        for type_, to_row in (("route", route_row), ("source", source_row))
    )
    await bulk_insert(connection, table_of(Route), of_routes)
    await bulk_insert(connection, table_of(Source), of_sources)
    first = {"global_seq": 0, "effective_from": MIN_EFFECTIVE_FROM}
    grades = [
        first | {"source_id": UUID(each["id"]), "reliability": each["first_reliability"], "party_to_conflict": each["party_to_conflict"]}
        for each in records["source"]
    ]
    await session.execute(insert(table_of(SourceGrade)), grades)
    caller = Principal(level=MAX_LEVEL, organisation="synthetic")
    entries = [append_version(tail, caller, type_, each) for type_, some in records.items() for each in some]
    await bulk_insert(connection, table_of(LedgerEntry), [column_values(LedgerEntry, each) for each in entries])
    await execute_together(connection, await tail.head_statements(session))
    return Facts(facts, await find_sources(connection, {str(each["slug"]) for each in world.sources}, MAX_LEVEL), settings)


def _line(world: World, number: int) -> Iterator[int]:
    at: int | None = number
    while at is not None:
        yield at
        at = world.places[at].parent


async def bulk_insert(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in the connection's transaction, by COPY on PostgreSQL; each row has every column of the table."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        await connection.execute(insert(table), rows)
        return
    names = [each.name for each in table.c]
    documents = {each.name for each in table.c if isinstance(each.type, JSON)}
    records = [[_plain(row[name], name in documents) for name in names] for row in rows]
    # An earlier statement has begun the transaction; SQLAlchemy itself has no COPY.
    await connection.exec_driver_sql("SELECT 1")
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_records_to_table(table.name, records=records, columns=names)


def _plain(value: Any, document: bool) -> Any:
    return orjson.dumps(value).decode() if document and value is not None else value
