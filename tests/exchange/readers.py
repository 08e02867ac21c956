"""What a Lifeline reads, to compare two of them by."""

import json
from typing import Any

from sqlalchemy import select

from app.assessment.models import IndicatorProjection
from app.assessment.verify import verify_projections
from app.ledger.verify import verify_chain
from app.storage.database import Database
from app.storage.types import table_of
from tests.support.servers import settings_on


async def readings_of(url: str) -> list[bytes]:
    """Every kept reading of every clearance, its document and revisions included, as bytes.

    But for `recorded_at`: each service says when it came to know itself.
    """
    async with _open(url) as database, database.read() as connection:
        columns = [each for each in table_of(IndicatorProjection).c if each.name not in ("recorded_at", "id")]
        rows = (await connection.execute(select(*columns))).mappings().all()
    return sorted(json.dumps(_comparable(row), sort_keys=True, default=str).encode() for row in rows)


def _comparable(row: Any) -> dict[str, Any]:
    found = dict(row)
    found["document"] = {name: value for name, value in json.loads(row["document"]).items() if name != "recorded_at"}
    return found


async def problems_of(url: str) -> list[str]:
    """What `lifeline verify` would print."""
    async with _open(url) as database, database.write() as session:
        connection = await session.connection()
        chain = [each async for each in verify_chain(connection)]
        return chain + [each async for each in verify_projections(connection, settings_on(url))]


class _open:  # noqa: N801 - reads as a function
    def __init__(self, url: str) -> None:
        self._database = Database(settings_on(url))

    async def __aenter__(self) -> Database:
        return self._database

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()
