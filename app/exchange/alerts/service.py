"""Alerts read out of the ledger: each report, correction and retraction of a kind that has alerts, as a CAP message."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.inputs import horizon_of
from app.domain.kinds import KINDS
from app.domain.kinds.base import Alert
from app.domain.tlp import LABELS
from app.exchange.alerts.cap import Message, Statement
from app.ledger.models import LedgerEntry
from app.reference.queries import place_geometries, places_by_id, sources_by_id
from app.reports.models import Report
from app.settings import Settings
from app.storage.types import table_of

ALERTING = sorted(name for name, kind in KINDS.items() if kind.has_alerts)
CANCEL = "-cancel"
# Nobody has judged how credible it is.
UNJUDGED = 6

_OLD = table_of(Report).alias("old")


def _messages(level: int) -> Select[Any]:
    """The changes that are messages for a clearance, each with the report that it is about and the one that this supersedes."""
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"]
    return (
        select(
            *table_of(Report).c,
            position.label("seq"),
            col(LedgerEntry.type).label("change"),
            col(LedgerEntry.reason),
            col(LedgerEntry.redacted_below),
            col(LedgerEntry.recorded_at).label("sent"),
            _OLD.c.id.label("old_id"),
            _OLD.c.kind.label("old_kind"),
            _OLD.c.level.label("old_level"),
            _OLD.c.recorded_at.label("old_recorded_at"),
        )
        .select_from(table_of(LedgerEntry))
        .join(Report, col(Report.id) == col(LedgerEntry.report_id))
        .outerjoin(_OLD, _OLD.c.id == col(Report.supersedes))
        .where(
            position.is_not(None),
            col(Report.level) <= level,
            or_(
                col(Report.kind).in_(ALERTING) & col(LedgerEntry.type).in_(("report", "correction", "retraction")),
                # What was an alert and is corrected into something that is none has to be withdrawn.
                _OLD.c.kind.in_(ALERTING) & (col(LedgerEntry.type) == "correction") & (col(LedgerEntry.redacted_below) <= level),
            ),
        )
    )


async def list_messages(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    *,
    before: int | None,
    limit: int,
    level: int,
    settings: Settings,
) -> tuple[list[Message], int | None]:
    """A page of messages, newest first, and the seq to go on before when there are more. `where` holds conditions on reports."""
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"]
    statement = _messages(level).where(*where).order_by(position.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(position < before)
    rows = (await connection.execute(statement)).mappings().all()
    messages = await _read(connection, rows[:limit], level, settings)
    return messages, rows[limit - 1]["seq"] if len(rows) > limit else None


async def get_message(connection: AsyncConnection, identifier: str, *, level: int, settings: Settings) -> Message | None:
    """One message by its identifier; None when there is none that this level may see."""
    cancels = identifier.endswith(CANCEL)
    try:
        report = UUID(identifier.removesuffix(CANCEL))
    except ValueError:
        return None
    types = ("retraction",) if cancels else ("report", "correction")
    statement = _messages(level).where(col(Report.id) == report, col(LedgerEntry.type).in_(types))
    rows = (await connection.execute(statement)).mappings().all()
    return (await _read(connection, rows[:1], level, settings))[0] if rows else None


async def _read(connection: AsyncConnection, rows: Sequence[Any], level: int, settings: Settings) -> list[Message]:
    sources = await sources_by_id(connection, {row["source_id"] for row in rows})
    places = await places_by_id(connection, {row["place_id"] for row in rows})
    shapes = await place_geometries(connection, {each.slug for each in places.values()})
    messages = []
    for row in rows:
        place = places[row["place_id"]]
        alert = _alert(row)
        about = None
        if alert is not None:
            about = Statement(
                kind=row["kind"],
                indicator=str(row["indicator_id"]),
                alert=alert,
                value=row["value"],
                stated_at=row["stated_at"],
                expires=row["stated_at"] + horizon_of(row["kind"], settings),
                credibility=row["credibility"],
                quote=row["quote"],
                url=row["url"],
                source=sources[row["source_id"]].visible_at(level),
                place=place,
                geometry=shapes.get(place.slug),
            )
        messages.append(_message(row, about, level))
    return messages


def _alert(row: Any) -> Alert | None:
    kind = KINDS[row["kind"]]
    return kind.alert(kind.value_model.model_validate(row["value"]), row["sent"].date()) if kind.has_alerts else None


def _message(row: Any, about: Statement | None, level: int) -> Message:
    identifier = str(row["id"])
    label, judged = LABELS[row["level"]], row["credibility"] != UNJUDGED
    if row["change"] == "retraction":
        refers_to = (identifier, row["recorded_at"])
        return Message(f"{identifier}{CANCEL}", "Cancel", row["sent"], label, row["reason"], refers_to, about, judged)
    if row["change"] == "correction" and level >= row["redacted_below"] and row["old_kind"] in ALERTING:
        refers_to = (str(row["old_id"]), row["old_recorded_at"])
        type_: Any = "Update" if about is not None else "Cancel"
        # Why it was corrected may tell of what was raised above this reader since.
        reason = row["reason"] if row["old_level"] <= level else None
        return Message(identifier, type_, row["sent"], label, reason, refers_to, about, judged)
    return Message(identifier, "Alert", row["sent"], label, None, None, about, judged)
