"""Proof that each stored document is what the ledger says: every reading is made anew from every statement, and compared."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from app.db import table_of
from app.indicators.models import StoredReading
from app.indicators.service import Touch, horizon_of, rows_of
from app.indicators.statements import load_all
from app.labels import LABELS, TOP
from app.ledger.models import Change, Indicator
from app.reading.document import Subject
from app.reference.models import Place
from app.reference.queries import place_facts
from app.settings import Settings

STEP = 200


async def rows_from_ledger(connection: AsyncConnection, some: list[UUID], settings: Settings) -> dict[UUID, list[dict[str, Any]]]:
    """The rows that should be kept for some indicators, made from the ledger alone."""
    indicators = (await connection.execute(select(*table_of(Indicator).c).where(col(Indicator.id).in_(some)))).all()
    places = {each.id: each for each in await place_facts(connection, col(Place.id).in_({row.place_id for row in indicators}))}
    touches: dict[UUID, dict[int, Touch]] = {}
    changes = select(*table_of(Change).c).where(col(Change.indicator_id).in_(some)).order_by(col(Change.number))
    for change in (await connection.execute(changes)).mappings():
        for level in range(change["level"], TOP + 1):
            touches.setdefault(change["indicator_id"], {})[level] = Touch(change[f"seq_{LABELS[level]}"], change["recorded_at"])
    statements = await load_all(connection, some)
    rows = {}
    for row in indicators:
        about = Subject(row.id, row.kind, row.subject, places[row.place_id])
        rows[row.id] = rows_of(
            about, row.topic, statements.get(row.id, []), touches.get(row.id, {}), horizon_of(row.kind, settings)
        )
    return rows


async def verify_readings(connection: AsyncConnection, settings: Settings) -> AsyncIterator[str]:
    """Read every indicator anew; yields one line for each whose stored documents are not what the ledger says."""
    after: UUID | None = None
    while True:
        page = select(Indicator.id).order_by(col(Indicator.id)).limit(STEP)
        some = list((await connection.execute(page if after is None else page.where(col(Indicator.id) > after))).scalars())
        if not some:
            break
        after = some[-1]
        expected = await rows_from_ledger(connection, some, settings)
        stored: dict[UUID, list[dict[str, Any]]] = {each: [] for each in some}
        kept = select(*table_of(StoredReading).c).where(col(StoredReading.indicator_id).in_(some)).order_by(col(StoredReading.lowest))
        for row in (await connection.execute(kept)).mappings():
            stored[row["indicator_id"]].append(dict(row))
        for each in some:
            if stored[each] != expected.get(each, []):
                yield f"indicator {each}: the stored reading is not what the ledger says"
