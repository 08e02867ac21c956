"""Results of writes about reports, as responses."""

import orjson

from app.access.idempotency import WriteResult
from app.access.principal import Principal
from app.domain.times import rfc3339
from app.ledger.models import LedgerEntry, seq_for
from app.reports.labels import proposal_body
from app.reports.queries import VisibleReport, report_body


def report_result(visible: VisibleReport) -> WriteResult:
    """Return 201 for a report that was just recorded, 200 for one that was recorded before."""
    body = report_body(visible)
    if visible.proposal is not None:
        body["label_proposal"] = proposal_body(visible.proposal)
    return WriteResult(201 if visible.created else 200, orjson.dumps(body), body["links"]["self"])


def entry_result(entry: LedgerEntry, caller: Principal, location: str, **fields: str) -> WriteResult:
    """Return 201 for a recorded entry, with links to the records that it is about; `location` is the name of the link to follow."""
    links: dict[str, str] = {name: f"/v1/{name}s/{fields[name]}" for name in ("indicator", "report", "source") if name in fields}
    body = {
        "seq": seq_for(entry, caller.level),
        "type": entry.type,
        **fields,
        "reason": entry.reason,
        "recorded_at": rfc3339(entry.recorded_at),
        "recorded_by": entry.recorded_by,
        "links": links,
    }
    return WriteResult(201, orjson.dumps(body), links[location])
