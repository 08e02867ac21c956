"""Verify who acted: the key of each entry, and of each lowered label the key that proposed it and the other that confirmed it."""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.keys import actor_hash
from app.domain.tlp import LEVELS, MAX_LEVEL
from app.ledger.hash_chain import proposal_detail
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry
from app.reports.models import LabelProposal
from app.storage.types import row_from, table_of

BATCH_SIZE = 10_000


async def verify_actors(connection: AsyncConnection, since: int, hashing_key: bytes | None) -> AsyncIterator[str]:
    """Yield the later entries that another key recorded than they name; nothing without what hashes keys."""
    entries, last, altered = table_of(LedgerEntry).c, since, list[int]()
    page = select(entries.global_seq, entries.key_id, entries.actor_hash).order_by(entries.global_seq).limit(BATCH_SIZE)
    count = 0
    while hashing_key is not None and (rows := (await connection.execute(page.where(entries.global_seq > last))).all()):
        altered += [row.global_seq for row in rows if row.actor_hash != actor_hash(row.key_id, hashing_key)]
        count, last = count + len(rows), rows[-1].global_seq
    if count > 1 and len(altered) == count:
        yield f"entries {since + 1} to {last}: LIFELINE_KEY_HASH_SECRET was changed, or the keys that recorded them were altered"
        return
    for number in altered:
        yield f"entry {number}: the key that recorded it was altered"


async def verify_proposals(connection: AsyncConnection, since: int, hashing_key: bytes | None) -> AsyncIterator[str]:
    """Yield the later proposals that are not as the ledger recorded them, and the later labels that were lowered without one."""
    entries, table = table_of(LedgerEntry), table_of(LabelProposal)
    stored = select(table).where(or_(table.c.global_seq > since, table.c.confirmed_by_key_id.is_not(None)))
    proposals = {row["global_seq"]: row_from(LabelProposal, row) for row in (await connection.execute(stored)).mappings()}
    by_id = {str(each.id): each for each in proposals.values()}
    confirmed = {each.id for each in proposals.values() if each.global_seq <= since}
    later = select(entries).where(entries.c.type.in_(("proposal", "label")), entries.c.global_seq > since)
    recorded = (await connection.execute(later.order_by(entries.c.global_seq))).all()
    for row in recorded:
        what = f"entry {row.global_seq} ({row.type}, report {row.report_id})"
        detail: Any = row.detail or {}
        if row.type == "proposal":
            if not _agrees(row, proposals.pop(row.global_seq, None), hashing_key):
                yield f"{what}: the proposal that it records was altered or removed"
            continue
        proposal = by_id.get(detail.get("proposal", ""))
        if proposal is not None and proposal.global_seq < row.global_seq:
            confirmed.add(proposal.id)
        new, before = (LEVELS.get(detail.get(name), MAX_LEVEL) for name in ("sensitivity", "before"))
        if new < before and FIRST_RECORDED_AT not in detail and not _permits(proposal, row, new, before):
            yield f"{what}: no proposal of another key permits the lower label"
    for number, proposal in sorted(proposals.items()):
        if number > since:
            yield f"proposal {proposal.id}: no entry records it"
    for proposal in by_id.values():
        if proposal.confirmed_by_key_id is not None and proposal.id not in confirmed:
            yield f"proposal {proposal.id}: no entry confirms it"


def _agrees(entry: Any, proposal: LabelProposal | None, hashing_key: bytes | None) -> bool:
    if proposal is None:
        return False
    detail: dict[str, Any] = proposal_detail(proposal, hashing_key or b"")
    if hashing_key is None or entry.actor_hash != actor_hash(entry.key_id, hashing_key):
        # By another secret, or none.
        detail["persons"] = (entry.detail or {}).get("persons")
    names = ("report_id", "reason", "proposed_by_key_id", "organisation", "created_at")
    said = (entry.report_id, entry.reason, entry.key_id, entry.recorded_by, entry.recorded_at)
    return detail == entry.detail and said == tuple(getattr(proposal, name) for name in names)


def _permits(proposal: LabelProposal | None, label: Any, new: int, before: int) -> bool:
    """Tell whether a proposal permits the entry of a lower label; what the proposal says is verified with its own entry."""
    if proposal is None or proposal.global_seq >= label.global_seq or proposal.proposed_by_key_id == label.key_id:
        return False
    said = (proposal.report_id, proposal.confirmed_by_key_id, proposal.proposed_level, proposal.previous_level)
    return said == (label.report_id, label.key_id, new, before)
