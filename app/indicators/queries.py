"""Readings looked up: stored documents by indexed columns."""

from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from app.db import fetch_page, table_of
from app.indicators.models import StoredReading
from app.indicators.schemas import IndicatorFilters
from app.indicators.service import horizon_of
from app.indicators.statements import load_all
from app.kinds import KINDS
from app.labels import LABELS
from app.reading.document import listed, with_revision
from app.reading.envelope import GRADES, grade_rank, read
from app.reference.models import Source
from app.reference.queries import places_in_box, places_in_country, places_within
from app.settings import Settings
from app.times import instant, utc_now


def _revision(level: int) -> ColumnElement[Any]:
    return table_of(StoredReading).c[f"revision_{LABELS[level]}"].label("revision")


def _seen_by(level: int) -> list[ColumnElement[bool]]:
    return [col(StoredReading.lowest) <= level, col(StoredReading.highest) >= level]


def _conditions(filters: IndicatorFilters, kind: str | None) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    given = filters.model_dump(exclude_none=True)
    for each in KINDS.values():
        if kind in (None, each.name) and each.topic in given:
            of_topic = {other.name for other in KINDS.values() if other.topic == each.topic}
            where += [col(StoredReading.kind).in_(sorted(of_topic)), col(StoredReading.topic) == given[each.topic]]
    wanted = kind or given.get("kind")
    if wanted is not None:
        where.append(col(StoredReading.kind) == wanted)
    if filters.place is not None:
        where.append(col(StoredReading.place_id).in_(places_within(filters.place, within=filters.within)))
    if filters.country is not None:
        where.append(col(StoredReading.place_id).in_(places_in_country(filters.country)))
    if filters.bbox is not None:
        where.append(col(StoredReading.place_id).in_(places_in_box(filters.bbox)))
    if filters.source is not None:
        where.append(col(StoredReading.source_id).in_(select(Source.id).where(col(Source.slug) == filters.source)))
    if filters.agreement is not None:
        where.append(col(StoredReading.agreement) == filters.agreement)
    if "status" in given:
        where.append(col(StoredReading.state) == given["status"])
    if filters.min_reliability is not None:
        ranks = [grade_rank(grade) for grade in GRADES if grade_rank(grade) <= grade_rank(filters.min_reliability)]
        where.append(col(StoredReading.grade_rank).in_(ranks))
    if filters.updated_since is not None:
        where.append(col(StoredReading.recorded_at) >= instant(filters.updated_since))
    if filters.stale is not None:
        fresh = col(StoredReading.stale_after) >= utc_now()
        where.append(~fresh if filters.stale else fresh)
    return where


async def list_indicators(
    connection: AsyncConnection, filters: IndicatorFilters, kind: str | None, *, after: UUID | None, level: int
) -> tuple[list[str], UUID | None, int]:
    """A page of documents as JSON, in order of identifier; the last identifier when there are more; the head of the ledger."""
    statement = select(col(StoredReading.indicator_id), col(StoredReading.document), _revision(level)).where(
        *_seen_by(level), *_conditions(filters, kind)
    )
    rows, last, revision = await fetch_page(connection, statement, key="indicator_id", after=after, limit=filters.limit, level=level)
    return [with_revision(row["document"], row["revision"]) for row in rows], last, revision


async def get_indicator(connection: AsyncConnection, indicator: UUID, *, level: int, settings: Settings) -> bytes | None:
    """One indicator with every report behind it, as JSON; None when there is none that this level sees."""
    statement = select(col(StoredReading.document), _revision(level), col(StoredReading.kind)).where(
        col(StoredReading.indicator_id) == indicator, *_seen_by(level)
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    statements = (await load_all(connection, [indicator])).get(indicator, [])
    reading = read(KINDS[row.kind], statements, level=level, horizon=horizon_of(row.kind, settings))
    behind = {
        "reports": [{**listed(each.statement), "relation": relation} for each, relation in zip(reading.standing, reading.relations, strict=True)],
        "left_out": [{**listed(statement), "reason": reason} for statement, reason in reading.left_out],
    }
    return with_revision(row.document, row.revision)[:-1].encode() + b"," + orjson.dumps(behind)[1:]
