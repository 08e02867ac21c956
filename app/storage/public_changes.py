"""Count the commits that every reader may learn of and no ledger shows: changes of keys and sessions, and indicators that follow others."""

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# Changes of these are told by the ledger of each clearance that sees them, or are in no cached response. Any other table counts, also
# one that is added later: a commit too many ends cached responses, one too few would leave them standing.
_NOT_COUNTED = {
    *("ledger_entry", "ledger_head", "ledger_node", "report", "indicator", "indicator_source", "indicator_projection", "alert_standing"),
    *("label_proposal", "draft", "webhook", "webhook_delivery", "audit_entry", "audit_head", "idempotency_record", "upstream"),
    *("operation_run", "place", "place_code", "place_ancestor", "extent", "record_text", "report_text", "source", "source_grade", "route"),
    # The first is counted where the ledger that it is of is public.
    *("cosignature", "received_tile", "indicator_step"),
}
# Of each part, where `app.storage.direct` has combined several statements.
_WRITTEN_TABLE = re.compile(r'(?:^\s*|\bAS \(|\) )(?:(INSERT) INTO|UPDATE|DELETE FROM)\s+"?(\w+)')
_KEY = "public_change"
COUNT_PUBLIC_CHANGE = text("UPDATE ledger_head SET public_changes = public_changes + 1")


@lru_cache(maxsize=512)
def _is_counted(statement: str) -> bool:
    # A new key cannot end what an older one may read.
    return any(found[1] not in _NOT_COUNTED and found != ("INSERT", "api_key") for found in _WRITTEN_TABLE.findall(statement))


def watch_public_changes(writer: AsyncEngine) -> None:
    """Note on each connection of an engine whether its statements change what every reader may see."""

    @event.listens_for(writer.sync_engine, "before_cursor_execute")
    def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if _is_counted(statement):
            connection.info[_KEY] = True


def begin_counting(connection: AsyncConnection) -> None:
    """Forget what an earlier transaction on this connection changed."""
    connection.info.pop(_KEY, None)


async def count_public_changes(connection: AsyncConnection) -> None:
    """Count the current transaction, if it changed what every reader may see."""
    if connection.info.pop(_KEY, False):
        await connection.execute(COUNT_PUBLIC_CHANGE)
