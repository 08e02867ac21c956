"""Read CAP messages from the ledger: each report, correction, retraction and reinstatement of a kind with alerts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import AlertStanding
from app.domain.kinds import KINDS
from app.domain.tlp import LABELS
from app.domain.view import View
from app.exchange.alerts.cap import AlertStatement, Message
from app.ledger.models import LedgerEntry, seq_column
from app.reference.models import Place, Source
from app.reference.names import in_language, names_by_slug
from app.reference.queries import place_geometries, places_by_id, sources_by_id
from app.reports.models import Report
from app.storage.paging import chunks, fetch_page
from app.storage.types import table_of

ALERTING = sorted(name for name, kind in KINDS.items() if kind.has_alerts)
CANCEL, REINSTATED = "-cancel", "-reinstated"
_TYPES = {CANCEL: ("retraction",), REINSTATED: ("reinstatement",), "": ("report", "correction")}
# Credibility 6: cannot be judged.
UNJUDGED = 6

_OLD = table_of(Report).alias("old")
_OLD_STANDING = table_of(AlertStanding).alias("old_standing")


def _select_messages(level: int) -> Select[Any]:
    """Select the ledger entries that are messages at a clearance, with their report and the report that it supersedes."""
    position = seq_column(level)
    return (
        select(
            *table_of(Report).c,
            position.label("seq"),
            col(LedgerEntry.type).label("change"),
            col(LedgerEntry.reason),
            col(LedgerEntry.redacted_below),
            col(LedgerEntry.recorded_at).label("sent"),
            _OLD.c.id.label("old_id"),
            _OLD_STANDING.c.cancels.is_(False).label("old_alert"),
            _OLD.c.level.label("old_level"),
            _OLD.c.recorded_at.label("old_recorded_at"),
            col(AlertStanding.confirmed),
            col(AlertStanding.ended),
        )
        .select_from(table_of(LedgerEntry))
        .join(Report, col(Report.id) == col(LedgerEntry.report_id))
        .outerjoin(_OLD, _OLD.c.id == col(Report.supersedes))
        .outerjoin(AlertStanding, col(AlertStanding.report_id) == col(Report.id))
        .outerjoin(_OLD_STANDING, _OLD_STANDING.c.report_id == _OLD.c.id)
        .where(
            position.is_not(None),
            col(Report.level) <= level,
            or_(
                col(AlertStanding.cancels).is_(False) & col(LedgerEntry.type).in_(("report", "correction", "retraction", "reinstatement")),
                # A report that ended an alert without one of its own cancels it where it is confirmed.
                col(AlertStanding.cancels).is_(True)
                & (col(AlertStanding.confirmed).bitwise_and(1 << level) != 0)
                & col(LedgerEntry.type).in_(("report", "correction")),
                # An alert that is corrected to what calls for none has to be cancelled.
                _OLD_STANDING.c.cancels.is_(False) & (col(LedgerEntry.type) == "correction") & (col(LedgerEntry.redacted_below) <= level),
            ),
        )
    )


async def list_messages(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    view: View,
    *,
    before: int | None,
    limit: int,
    lang: str | None = None,
) -> tuple[list[Message], int | None, int]:
    """Return a page of messages on the reports that match `where`, newest first; the last seq if there are more; the head of the ledger."""
    statement = _select_messages(view.level).where(*where)
    rows, last, revision = await fetch_page(connection, statement, key="seq", after=before, limit=limit, level=view.level, descending=True)
    return await _build_messages(connection, rows, view, lang), last, revision


async def get_message(connection: AsyncConnection, identifier: str, view: View, lang: str | None = None) -> Message | None:
    """Return a message by its identifier, None if none is visible at this level."""
    suffix = next(each for each in _TYPES if identifier.endswith(each))
    try:
        report = UUID(identifier.removesuffix(suffix))
    except ValueError:
        return None
    statement = _select_messages(view.level).where(col(Report.id) == report, col(LedgerEntry.type).in_(_TYPES[suffix]))
    rows = (await connection.execute(statement.order_by(col(LedgerEntry.global_seq).desc()).limit(1))).mappings().all()
    return (await _build_messages(connection, rows[:1], view, lang))[0] if rows else None


async def _build_messages(connection: AsyncConnection, rows: Sequence[Any], view: View, lang: str | None) -> list[Message]:
    known = await sources_by_id(connection, {row["source_id"] for row in rows})
    sources = {id_: each.visible_at(view.level) for id_, each in known.items()}
    places = await places_by_id(connection, {row["place_id"] for row in rows})
    slugs = {each.slug for each in places.values()}
    geometries = await place_geometries(connection, slugs)
    if lang is not None:
        of_places = await names_by_slug(connection, Place, slugs)
        of_sources = await names_by_slug(connection, Source, {each.slug for each in sources.values()})
        places = {id_: replace(each, name=in_language(each.name, of_places.get(each.slug, {}), lang)) for id_, each in places.items()}
        sources = {id_: replace(each, name=in_language(each.name, of_sources.get(each.slug, {}), lang)) for id_, each in sources.items()}
    ended = await _ended_messages(connection, rows, view.level)
    messages = []
    for row in rows:
        place = places[row["place_id"]]
        kind = KINDS[row["kind"]]
        value = kind.value_model.model_validate(row["value"])
        alert = kind.alert(value, row["sent"].date()) if kind.has_alerts else None
        confirmed = bool((row["confirmed"] or 0) >> view.level & 1)
        statement = None
        if alert is not None:
            if alert.response == "AllClear" and not confirmed:
                alert = replace(alert, response="Monitor", urgency="Unknown")
            # The last day is over when it has ended everywhere on earth.
            last_day = min(alert.last_day or date.min, date.max - timedelta(days=1))
            last = datetime.combine(last_day, time(23, 59, 59), timezone(-timedelta(hours=12)))
            statement = AlertStatement(
                kind=row["kind"],
                indicator=str(row["indicator_id"]),
                alert=alert,
                value=row["value"],
                stated_at=row["stated_at"],
                expires=max(row["effective_at"] + kind.horizon_of(value, view.horizons[row["kind"]]), last),
                credibility=row["credibility"],
                quote=row["quote"],
                url=row["url"],
                source=sources[row["source_id"]],
                place=place,
                geometry=geometries.get(place.slug),
            )
        messages.append(_message(row, statement, ended[row["id"]], view.level, confirmed=confirmed))
    return messages


async def _ended_messages(connection: AsyncConnection, rows: Sequence[Any], level: int) -> dict[UUID, list[tuple[str, datetime]]]:
    """Return the identifier and time of the messages that each report ended, oldest first, of those that this level sees."""
    ended = {row["id"]: [UUID(each) for each, levels in (row["ended"] or {}).items() if levels >> level & 1] for row in rows}
    sent: dict[UUID, datetime] = {}
    for some in chunks({each for ids in ended.values() for each in ids}):
        seen = _select_messages(level).where(col(Report.id).in_(some), col(LedgerEntry.type).in_(("report", "correction")))
        sent |= {row.id: row.sent for row in await connection.execute(seen)}
    return {each: sorted(((str(x), sent[x]) for x in ids if x in sent), key=lambda pair: pair[1]) for each, ids in ended.items()}


def _state(row: Any) -> str:
    return str(row["value"].get(KINDS[row["kind"]].status_field or "")).replace("_", " ")


def _message(row: Any, statement: AlertStatement | None, ended: Sequence[tuple[str, datetime]], level: int, *, confirmed: bool) -> Message:
    identifier, note = str(row["id"]), None
    references = list(ended)
    type_: Literal["Alert", "Update", "Cancel"] = "Update" if ended else "Alert"
    if row["change"] == "retraction":
        identifier, type_, references, note = f"{identifier}{CANCEL}", "Cancel", [(identifier, row["recorded_at"])], row["reason"]
    elif row["change"] == "reinstatement":
        identifier, note = f"{identifier}{REINSTATED}", row["reason"]
    elif row["change"] == "correction" and level >= row["redacted_below"] and row["old_alert"]:
        type_, references = "Cancel" if statement is None else "Update", [(str(row["old_id"]), row["old_recorded_at"]), *ended]
        # The reason may describe the old report, whose label may have been raised above this level since.
        note = row["reason"] if row["old_level"] <= level else None
    elif statement is None:
        type_, note = "Cancel", f"Ended by a later report: {KINDS[row['kind']].title}, {_state(row)}"
    # A correction to what calls for no alert only ends what was sent.
    confirmed = confirmed or statement is None
    judged = row["credibility"] != UNJUDGED
    return Message(identifier, type_, row["sent"], LABELS[row["level"]], note, references, statement, judged, confirmed)
