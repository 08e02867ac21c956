"""Verify what is derived from the ledger beside the stored documents: texts that searches read, identities of indicators, alerts."""

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.alerts import MAX_CHECKED_REPORTS, alert_rows
from app.assessment.inputs import load_inputs
from app.assessment.models import AlertStanding, Indicator
from app.assessment.verify import Horizons
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.tlp import MAX_LEVEL
from app.ledger.evidence import evidence_changes
from app.ledger.models import LedgerEntry
from app.operations.models import OperationRun
from app.operations.runs import REASSESS
from app.reference.models import MODELS, Extent, RecordText
from app.reports.models import Report, ReportText
from app.reports.search import text_rows
from app.storage.types import table_of

BATCH_SIZE = 1000
# Reports whose alert is judged again in one run; of more, a random part, because each takes about ten milliseconds.
MAX_CHECKED_ALERTS = 2000

_reports, _texts, _alerts = table_of(Report).c, table_of(ReportText).c, table_of(AlertStanding).c


async def verify_derived(connection: AsyncConnection, horizons: Horizons, since: int = 0) -> AsyncIterator[str]:
    """Yield one line for each row that does not follow from the ledger, of what was recorded after an entry."""
    for check in (_verify_texts(connection, since), _verify_identities(connection, since), _verify_alerts(connection, horizons, since)):
        async for problem in check:
            yield problem


async def _verify_texts(connection: AsyncConnection, since: int) -> AsyncIterator[str]:
    joined = table_of(Report).outerjoin(table_of(ReportText), _texts.global_seq == _reports.global_seq)
    columns = (_reports.id, _reports.global_seq, _reports.value, _reports.quote, _reports.title, _texts.text)
    page = select(*columns).select_from(joined).order_by(_reports.global_seq).limit(BATCH_SIZE)
    while rows := (await connection.execute(page.where(_reports.global_seq > since))).all():
        for row in rows:
            if _text_of(row) != row.text:
                yield f"report {row.id}: the text that searches read is not that of its words"
        since = rows[-1].global_seq
    for number in (
        await connection.execute(select(_texts.global_seq).where(_texts.global_seq.not_in(select(_reports.global_seq))))
    ).scalars():
        yield f"entry {number}: searches read a text of it, but it has no report"
    records = union_all(*(select(col(each.id)) for each in MODELS.values()))
    for table in (table_of(Extent), table_of(RecordText)):
        stray = select(table.c.record_id).where(table.c.record_id.not_in(records)).distinct()
        for record in (await connection.execute(stray)).scalars():
            yield f"record {record}: there is none, but {table.name} has rows of it"


def _text_of(report: Any) -> str | None:
    # A value that was altered to something else is named with its entry.
    with suppress(AttributeError):
        return next((each["text"] for each in text_rows([report])), None)
    return None


async def _verify_identities(connection: AsyncConnection, since: int) -> AsyncIterator[str]:
    rows = table_of(Indicator)
    page = select(rows).where(rows.c.id.in_(select(_reports.indicator_id).where(_reports.global_seq > since)))
    page = page.order_by(rows.c.id).limit(BATCH_SIZE)
    while found := (await connection.execute(page)).all():
        for row in found:
            if indicator_id(row.kind, row.place_id, row.subject) != row.id:
                yield f"indicator {row.id}: its kind, place or subject was altered"
        page = page.where(rows.c.id > found[-1].id)
    other = select(rows.c.id).join(Report, _reports.indicator_id == rows.c.id).distinct()
    for each in (await connection.execute(other.where(rows.c.filter_key != _reports.filter_key, _reports.global_seq > since))).scalars():
        yield f"indicator {each}: its filter_key is not that of its reports"


async def _verify_alerts(connection: AsyncConnection, horizons: Horizons, since: int) -> AsyncIterator[str]:
    """Judge the alerts of reports again, by what was recorded when they were."""
    of_kind: ColumnElement[bool] = _reports.kind.in_([name for name, kind in KINDS.items() if kind.has_alerts])
    for each in (
        await connection.execute(select(_alerts.report_id).where(_alerts.report_id.not_in(select(_reports.id).where(of_kind))))
    ).scalars():
        yield f"report {each}: it has an alert, but is of no kind with alerts"
    count = (await connection.execute(select(func.count()).select_from(Report).where(of_kind, _reports.global_seq > since))).scalar_one()
    reassessed = await connection.scalar(select(col(OperationRun.finished_at)).where(col(OperationRun.name) == REASSESS))
    if reassessed is not None:
        of_kind = and_(of_kind, _reports.recorded_at > reassessed)
    parts = count // MAX_CHECKED_ALERTS + 1
    part = random.randrange(parts)  # noqa: S311 - nothing is kept secret
    entries, changes = table_of(LedgerEntry).c, evidence_changes().subquery().c
    labels = select(entries.indicator_id).where(entries.type == "label", entries.indicator_id == _reports.indicator_id)
    amended = select(changes.indicator_id).where(changes.indicator_id == _reports.indicator_id)
    relabelled = or_(labels.correlate(table_of(Report)).exists(), amended.correlate(table_of(Report)).exists()).label("relabelled")
    joined = table_of(Report).outerjoin(table_of(AlertStanding), _alerts.report_id == _reports.id)
    alert = (_alerts.cancels, _alerts.confirmed, _alerts.ended)
    columns = (_reports.id, _reports.indicator_id, _reports.global_seq, _reports.recorded_at, *alert, relabelled)
    page = select(*columns).select_from(joined).where(of_kind, _reports.global_seq % parts == part)
    while rows := (await connection.execute(page.where(_reports.global_seq > since).order_by(_reports.global_seq).limit(BATCH_SIZE))).all():
        for row in rows:
            # After a label changed it is not known who saw what before, so only what the highest clearance is shown is compared.
            seen = 1 << MAX_LEVEL if row.relabelled else (1 << MAX_LEVEL + 1) - 1
            with suppress(KeyError, ValueError):
                then = TimePoint(through_global_seq=row.global_seq)
                inputs = await load_inputs(connection, [row.indicator_id], horizons, then)
                expected = [(each["cancels"], each["confirmed"], each["ended"]) for each in alert_rows(inputs[row.indicator_id], [row.id])]
                stored = [] if row.confirmed is None else [(row.cancels, row.confirmed, row.ended)]
                if _masked(expected, seen) != _masked(stored, seen) and not await _is_one_of_many(connection, row):
                    yield f"report {row.id}: its alert is not what the ledger said when it was recorded"
        since = rows[-1].global_seq


def _masked(rows: Iterable[tuple[bool, int, dict[str, int]]], seen: int) -> list[tuple[bool, int, dict[str, int]]]:
    try:
        return [
            (cancels, confirmed & seen, {each: bits & seen for each, bits in ended.items() if bits & seen})
            for cancels, confirmed, ended in rows
            if confirmed & seen or not cancels
        ]
    except (AttributeError, TypeError):
        # Altered to anything: like no row that is expected.
        return [(False, -1, {})]


async def _is_one_of_many(connection: AsyncConnection, row: Any) -> bool:
    """Tell whether more reports on an indicator were recorded at once than are judged."""
    together = select(func.count()).where(_reports.indicator_id == row.indicator_id, _reports.recorded_at == row.recorded_at)
    return (await connection.execute(together)).scalar_one() > MAX_CHECKED_REPORTS
