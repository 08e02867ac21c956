"""Group commit: reports that arrive while a transaction commits are recorded together by the next one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.idempotency import CommittedWrite, Outcome, SentWrite, WriteResult, commit_writes, sent_write
from app.http.problems import FieldProblem, Problem, invalid
from app.reports.labels import proposal_body
from app.reports.queries import VisibleReport
from app.reports.references import FieldErrors
from app.reports.results import report_result
from app.reports.service import Recorded, Submission, record_submissions
from app.settings import Settings
from app.storage.batches import DEFERRED, Batches, Deferred
from app.storage.database import Database

# Reports in one transaction; a longer list is recorded alone.
MAX_GROUP_REPORTS = 64


@dataclass(frozen=True, slots=True)
class ReportWrite(SentWrite):
    """A POST of reports: one, or a list, of which with `atomic` either all are recorded or none."""

    submission: Submission
    single: bool
    atomic: bool

    def result(self, recorded: Recorded) -> WriteResult | Problem:
        """Return the response to it."""
        results, revision = recorded
        rejected = {at: each for at, each in enumerate(results) if isinstance(each, list) and each}
        if self.single and rejected:
            return invalid(rejected[0])
        if self.atomic and rejected:
            return invalid(
                FieldProblem(pointer=f"/{at}{each.pointer}", detail=each.detail) for at, errors in rejected.items() for each in errors
            )
        if self.single and isinstance(results[0], VisibleReport):
            return report_result(results[0])
        items = [_result_body(each) for each in results]
        counts = Counter(item["status"] for item in items)
        totals = {"created": counts[201], "existing": counts[200], "refused": counts[422], "revision": revision}
        return WriteResult(207, orjson.dumps({"items": items} | totals))


def _result_body(result: VisibleReport | FieldErrors) -> dict[str, Any]:
    if isinstance(result, list):
        return {"status": 422, "problem": invalid(result).body()}
    proposal = {} if result.proposal is None else {"label_proposal": proposal_body(result.proposal)}
    return proposal | {
        "status": 201 if result.created else 200,
        "id": str(result.report.id),
        "seq": result.seq,
        "indicator": str(result.report.indicator_id),
        "location": f"/v1/reports/{result.report.id}",
    }


def report_write(request: Request, submission: Submission, *, single: bool, atomic: bool) -> ReportWrite:
    """Return a POST of reports as its caller sent it; raise 422 as `sent_write` does."""
    sent = sent_write(request, submission.caller)
    return ReportWrite(sent.caller, sent.audit_row, sent.idempotency_key, sent.request_hash, submission, single=single, atomic=atomic)


ReportGroups = Batches[ReportWrite, CommittedWrite]


def report_groups(database: Database, settings: Settings) -> ReportGroups:
    """Return the groups of this process."""
    return Batches(partial(_commit, database, settings), max_weight=MAX_GROUP_REPORTS)


async def _commit(database: Database, settings: Settings, take: Callable[[], list[ReportWrite]]) -> list[Outcome]:
    async def write(session: AsyncSession, sent: Sequence[ReportWrite]) -> list[WriteResult | Problem | Deferred]:
        recorded = await record_submissions(session, [each.submission for each in sent], settings)
        return [DEFERRED if each is None else write.result(each) for write, each in zip(sent, recorded, strict=True)]

    return await commit_writes(database, settings.idempotency_days, take, write)
