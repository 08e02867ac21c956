"""Alembic's environment: migrations run on a given connection, or on the configured database."""

import asyncio
from typing import Any

from sqlalchemy import Connection, DateTime
from sqlmodel import SQLModel

from alembic import context
from app.access import models as access
from app.assessment import models as assessment
from app.drafts import models as drafts
from app.exchange.replication import models as replication
from app.ledger import models as ledger
from app.operations import models as operations
from app.reference import models as reference
from app.reports import models as reports
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import UtcDateTime
from app.webhooks import models as webhooks

# Their import adds every table to the metadata.
MODELS = (access, assessment, drafts, ledger, operations, reference, replication, reports, webhooks)


def _render(kind: str, item: Any, _autogen_context: Any) -> str | bool:
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def _compare_type(
    _context: Any,
    _inspected: Any,
    _metadata: Any,
    inspected_type: Any,
    metadata_type: Any,
) -> bool | None:
    if isinstance(metadata_type, UtcDateTime):
        return not isinstance(inspected_type, DateTime)
    return None


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=_render,
        compare_type=_compare_type,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run_on_configured_database() -> None:
    async with Database(Settings()) as database, database.writer.begin() as connection:
        await connection.run_sync(_run)


if (given := context.config.attributes.get("connection")) is not None:
    _run(given)
else:
    asyncio.run(_run_on_configured_database())
