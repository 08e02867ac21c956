"""Assess indicators in the transaction of the change that concerns them, and store their documents."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.assessment.alerts import alert_rows
from app.assessment.document import IndicatorIdentity
from app.assessment.envelope import Assessment
from app.assessment.inputs import DATED, AssessmentInputs, LastChange, build_inputs, load_inputs, load_subjects
from app.assessment.models import AlertStanding, IndicatorProjection, IndicatorStep
from app.assessment.steps import Row, new_steps
from app.assessment.terms import grade_rank
from app.domain.kinds import KINDS
from app.domain.tlp import LABELS, MAX_LEVEL
from app.ledger.evidence import EVIDENCE_CHANGES, evidence_changes
from app.ledger.models import LedgerEntry, seq_for
from app.reference.models import MIN_EFFECTIVE_FROM
from app.reference.records import REVEAL_FROM
from app.storage.direct import Statements, execute_direct, execute_together, insert_into
from app.storage.paging import chunks
from app.storage.types import table_of

# Other requests get their turn after this number of indicators.
ASSESSED_PER_TURN = 10


def projection_rows(inputs: AssessmentInputs) -> list[dict[str, Any]]:
    """Return the rows to store for one indicator, one for each run of clearances that see the same. Pure."""
    rows: list[dict[str, Any]] = []
    assessment: Assessment | None = None
    document, shown, changing = "", None, inputs.changing_levels()
    for level, last_change in sorted(inputs.last_changes.items()):
        if assessment is None or level in changing or rows[-1]["max_clearance"] != level - 1:
            assessment, shown = inputs.assess(level), None
        # Of one assessment, clearances see other documents only by these.
        if shown != (differs := (last_change.recorded_at, level >= REVEAL_FROM)):
            document, shown = inputs.render(level, assessment), differs
        if rows and rows[-1]["document"] == document and rows[-1]["max_clearance"] == level - 1:
            rows[-1]["max_clearance"] = level
        else:
            rows.append(_row(inputs, level, assessment, document))
        rows[-1][f"revision_{LABELS[level]}"] = last_change.revision
        rows[-1]["dated"] |= last_change.dated
    return rows


def _row(inputs: AssessmentInputs, level: int, assessment: Assessment, document: str) -> dict[str, Any]:
    subject, preferred, value = inputs.subject, assessment.preferred, assessment.value
    kind = KINDS[subject.kind]
    return {
        "indicator_id": subject.id,
        "min_clearance": level,
        "max_clearance": level,
        "kind": subject.kind,
        "place_id": subject.place.id,
        "country": subject.place.country,
        "filter_key": subject.filter_key,
        "state": value.get(kind.status_field) if value and kind.status_field else None,
        "agreement": assessment.agreement,
        "preferred_source_id": preferred.source.id if preferred else None,
        "preferred_grade_rank": grade_rank(preferred.source.reliability) if preferred else None,
        "warning_day": assessment.warning_day,
        "stated_at": assessment.stated_at,
        "stale_after": assessment.stale_after,
        "recorded_at": inputs.last_changes[level].recorded_at,
        **{f"revision_{label}": None for label in LABELS},
        "document": document,
        "dated": False,
        # Until `app.assessment.steps` has made them again, none of the steps is known to be right.
        "kept_until": MIN_EFFECTIVE_FROM,
        "newest_step": None,
    }


async def reassess(
    session: AsyncSession,
    changes: Sequence[tuple[UUID, int, LedgerEntry]],
    horizons: Mapping[str, timedelta],
    known: Mapping[UUID, IndicatorIdentity] | None = None,
    unwritten: Statements = (),
) -> None:
    """Assess indicators again and replace their rows; also those with an outcome whose evidence changed.

    `changes` has, in order, each indicator with the lowest clearance that sees a ledger entry, and the entry. Subjects that are not
    `known` are loaded. What is `unwritten` of reports and their entries is executed together with the first statement.
    """
    subjects = dict(known or {})
    connection = await session.connection()
    if amending := {entry.global_seq: entry for _, _, entry in changes if entry.type in EVIDENCE_CHANGES}:
        rested = await connection.execute(evidence_changes(amending))
        changes = [*changes, *((indicator, level, amending[global_seq]) for indicator, level, global_seq in rested)]
    ids = list(dict.fromkeys(indicator for indicator, _, _ in changes))
    if missing := [each for each in ids if each not in subjects]:
        subjects |= await load_subjects(connection, missing)
    stored = await _take_rows(connection, ids, unwritten)
    last_changes = {
        each: {
            level: LastChange(row[f"revision_{LABELS[level]}"], row["recorded_at"], row["dated"])
            for row in rows
            for level in range(row["min_clearance"], row["max_clearance"] + 1)
        }
        for each, rows in stored.items()
    }
    for indicator, from_level, entry in changes:
        for level in range(from_level, MAX_LEVEL + 1):
            last_changes[indicator][level] = LastChange(seq_for(entry, level) or 0, entry.recorded_at, entry.type in DATED)
    inputs = await build_inputs(connection, subjects, last_changes, horizons)
    rows: dict[UUID, list[dict[str, Any]]] = {}
    for number, (indicator, each) in enumerate(inputs.items()):
        if number % ASSESSED_PER_TURN == 0:
            await asyncio.sleep(0)
        rows[indicator] = projection_rows(each)
    steps = await new_steps(connection, changes, inputs, stored, rows)
    recorded: dict[UUID, set[UUID]] = {}
    for indicator, _, entry in changes:
        if entry.type in ("report", "correction") and entry.report_id and KINDS[inputs[indicator].subject.kind].has_alerts:
            recorded.setdefault(indicator, set()).add(entry.report_id)
    alerts = [row for indicator, some in recorded.items() for row in alert_rows(inputs[indicator], some)]
    made = ((IndicatorStep, steps), (IndicatorProjection, [row for own in rows.values() for row in own]), (AlertStanding, alerts))
    if inserts := [(insert_into(table_of(model)), some) for model, some in made if some]:
        await execute_together(connection, inserts)


async def judge_shown_alert(
    session: AsyncSession, indicator: UUID, report: UUID, shown_below: int, horizons: Mapping[str, timedelta]
) -> None:
    """Judge the alert of a report for the clearances below a level, to which a lower label just showed it."""
    connection, alerts = await session.connection(), table_of(AlertStanding)
    inputs = await load_inputs(connection, [indicator], horizons)
    for row in alert_rows(inputs[indicator], [report], shown_below):
        before = (await connection.execute(select(alerts).where(alerts.c.report_id == report))).one_or_none()
        if before is not None:
            row["confirmed"] |= before.confirmed
            row["ended"] = {each: row["ended"].get(each, 0) | before.ended.get(each, 0) for each in before.ended | row["ended"]}
        await connection.execute(delete(alerts).where(alerts.c.report_id == report))
        await execute_direct(connection, insert_into(alerts), row)


# Without the ORM, which would double the cost of each statement.
_projections = table_of(IndicatorProjection)
_DELETE = delete(_projections).where(_projections.c.indicator_id.in_(bindparam("ids", expanding=True)))
_TAKE = _DELETE.returning(*_projections.c)


async def replace_rows(session: AsyncSession, ids: Collection[UUID], rows: Sequence[dict[str, Any]]) -> None:
    """Replace the rows of some indicators."""
    connection = await session.connection()
    for some in chunks(ids):
        await execute_direct(connection, _DELETE, {"ids": some})
    if rows:
        await execute_direct(connection, insert_into(_projections), rows)


async def _take_rows(connection: AsyncConnection, ids: Collection[UUID], before: Statements) -> dict[UUID, list[Row]]:
    """Delete the rows of some indicators and return them, after other statements."""
    found: dict[UUID, list[Row]] = {each: [] for each in ids}
    for some in chunks(ids):
        for row in (await execute_together(connection, [*before, (_TAKE, {"ids": some})])).mappings():
            found[row["indicator_id"]].append(row)
        before = ()
    return found
