"""The stored state of a Lifeline, to compare two of them."""

import json
from typing import Any

from sqlalchemy import select

from app.assessment.models import IndicatorProjection
from app.assessment.verify import verify_projections
from app.ledger.verify import verify_chain
from app.storage.database import Database
from app.storage.types import table_of
from tests.support.servers import settings_on


async def stored_assessments(url: str, *, ranked: bool = False, positions: bool = True) -> list[bytes]:
    """Return every stored assessment of every clearance without `recorded_at`, which differs between services.

    `ranked` replaces each revision by its rank, because a proposal counts only in the service where it was made; without `positions`
    there are no revisions.
    """
    async with Database(settings_on(url)) as database, database.read() as connection:
        columns = [each for each in table_of(IndicatorProjection).c if each.name not in ("recorded_at", "id")]
        columns = [each for each in columns if positions or not each.name.startswith("revision_")]
        rows = [dict(row) for row in (await connection.execute(select(*columns))).mappings()]
    for column in [each.name for each in columns if ranked and each.name.startswith("revision_")]:
        ranks = {revision: rank for rank, revision in enumerate(sorted({row[column] for row in rows if row[column] is not None}))}
        for row in rows:
            row[column] = ranks.get(row[column])
    return sorted(json.dumps(_comparable(row), sort_keys=True, default=str).encode() for row in rows)


def _comparable(row: Any) -> dict[str, Any]:
    document = {name: value for name, value in json.loads(row["document"]).items() if name != "recorded_at"}
    # Which steps are made, and whether the last change has a time of its own, depends on the order in which entries arrived.
    return {**row, "document": document} | dict.fromkeys(("kept_until", "newest_step", "dated"))


async def verification_problems(url: str) -> list[str]:
    """Return the lines of `lifeline verify`."""
    async with Database(settings_on(url)) as database, database.write() as session:
        connection = await session.connection()
        chain = [each async for each in verify_chain(connection)]
        return chain + [each async for each in verify_projections(connection, settings_on(url).horizons)]
