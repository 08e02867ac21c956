"""Group commit: writes that arrive while a transaction commits are made together by the next one."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.idempotency import FunctionWrite, Outcome, SentWrite, WriteGroups, WriteResult, commit_writes
from app.http.problems import FieldProblem, Problem, invalid
from app.reports.labels import proposal_body
from app.reports.queries import VisibleReport
from app.reports.references import FieldErrors
from app.reports.results import report_result
from app.reports.service import Recorded, Submission, record_submissions
from app.settings import Settings
from app.storage.batches import DEFERRED, Batches, Deferred
from app.storage.database import Database
from app.storage.paging import HEADS

# Reports and other writes in one transaction; a longer list is recorded alone.
MAX_GROUP_WRITES = 64
# After this time a group ends with the write that it is at, because other processes wait for it.
MAX_GROUP_SECONDS = 0.5


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


def write_groups(database: Database, settings: Settings) -> WriteGroups:
    """Return the groups of this process."""
    return Batches(partial(_commit, database, settings), max_weight=MAX_GROUP_WRITES)


async def _commit(database: Database, settings: Settings, take: Callable[[], list[SentWrite]]) -> list[Outcome]:
    """Make writes in one transaction: reports first, then each other write in the order of arrival."""

    async def write(session: AsyncSession, sent: Sequence[SentWrite]) -> list[WriteResult | Problem | Deferred]:
        deadline, made = time.monotonic() + MAX_GROUP_SECONDS, 0
        reports = [each for each in sent if isinstance(each, ReportWrite)]
        recorded = iter(await record_submissions(session, [each.submission for each in reports], settings) if reports else [])
        results: list[WriteResult | Problem | Deferred] = []
        for each in sent:
            if isinstance(each, ReportWrite):
                done = next(recorded)
                results.append(DEFERRED if done is None else each.result(done))
            elif made and time.monotonic() > deadline:
                results.append(DEFERRED)
            else:
                assert isinstance(each, FunctionWrite)
                made += 1
                # One that is alone needs no savepoint.
                results.append(await (_write_or_undo(session, each) if len(take()) > 1 else each.write(session)))
        return results

    return await commit_writes(database, settings.idempotency_days, take, write)


async def _write_or_undo(session: AsyncSession, sent: FunctionWrite) -> WriteResult | Problem:
    heads = session.info.get(HEADS)
    try:
        async with session.begin_nested():
            # Not all of what the writes before it changed was changed by the ORM.
            session.expunge_all()
            return await sent.write(session)
    except Problem as problem:
        session.info[HEADS] = heads
        return problem
