"""Read CAP messages from the ledger: each report, correction, retraction, reinstatement and label of a kind with alerts.

Each message is made from one entry, and has an identifier of its own, by the entries on its report that the clearance sees. It refers to
the messages that are in force for the clearance when it is sent (`_Sent`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, timezone
from itertools import chain
from operator import itemgetter
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, literal, not_, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import AlertStanding
from app.domain.kinds import KINDS
from app.domain.tlp import LABELS
from app.domain.view import View
from app.exchange.alerts.cap import AlertStatement, Message
from app.http.localization import localization_for
from app.ledger.models import LedgerEntry, seq_column
from app.reference.models import Place, Source
from app.reference.names import in_language, names_by_slug
from app.reference.queries import place_geometries, places_by_id, sources_by_id
from app.reports.models import Report
from app.situations.wording import Wording
from app.storage.paging import chunks, fetch_page
from app.storage.types import table_of

ALERTING = sorted(name for name, kind in KINDS.items() if kind.has_alerts)
CANCEL, REINSTATED = "-cancel", "-reinstated"
# Credibility 6: cannot be judged.
UNJUDGED = 6

_OLD = table_of(Report).alias("old")
_OLD_STANDING = table_of(AlertStanding).alias("old_standing")

_type, _redacted_below = col(LedgerEntry.type), col(LedgerEntry.redacted_below)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message of a report to a clearance; `alerts` tells whether it says that there is something to act on, which later ones end.

    `hidden` tells whether the clearance does not see the report any more.
    """

    seq: int
    identifier: str
    suffix: str
    at: datetime
    retracts: bool
    alerts: bool
    hidden: bool


def _is_raised(level: int) -> ColumnElement[bool]:
    to_label = table_of(LedgerEntry).c.detail["sensitivity"].as_string()
    # Written out, because SQLite uses the index of labels for no parameter.
    return and_(_type == text("'label'"), _redacted_below > level, to_label.not_in(LABELS[: level + 1]))


def _select_messages(level: int, *, hidden: bool = False) -> Select[Any]:
    """Select the ledger entries that may be messages at a clearance, with their report and the report that it supersedes.

    Of a report that the clearance does not see any more, only the raised label is one, unless `hidden` ones are asked for, too.
    """
    position, raised = seq_column(level), _is_raised(level)
    # To readers who now see its report, a lowered label is the report itself.
    lowered = and_(_type == "label", _redacted_below > level, not_(raised))
    return (
        select(
            *table_of(Report).c,
            position.label("seq"),
            col(LedgerEntry.type).label("change"),
            col(LedgerEntry.reason),
            _redacted_below,
            col(LedgerEntry.recorded_at).label("sent"),
            _OLD.c.id.label("old_id"),
            col(AlertStanding.confirmed),
            col(AlertStanding.ended),
            raised.label("raised"),
        )
        .select_from(table_of(LedgerEntry))
        .join(Report, col(Report.id) == col(LedgerEntry.report_id))
        .outerjoin(_OLD, _OLD.c.id == col(Report.supersedes))
        .outerjoin(AlertStanding, col(AlertStanding.report_id) == col(Report.id))
        .outerjoin(_OLD_STANDING, _OLD_STANDING.c.report_id == _OLD.c.id)
        .where(
            position.is_not(None),
            or_(literal(hidden), col(Report.level) <= level, raised),
            or_(
                col(AlertStanding.cancels).is_(False)
                & (_type.in_(("report", "correction", "retraction", "reinstatement")) | lowered | raised),
                # A report that ended an alert without one of its own cancels it where it is confirmed.
                col(AlertStanding.cancels).is_(True)
                & (col(AlertStanding.confirmed).bitwise_and(1 << level) != 0)
                & (_type.in_(("report", "correction")) | lowered),
                # An alert that is corrected to what calls for none has to be cancelled.
                _OLD_STANDING.c.cancels.is_(False)
                & (_OLD.c.level <= level)
                & ((_type == "correction") & (_redacted_below <= level) | lowered),
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
    shown = _select_messages(view.level).where(col(Report.level) <= view.level, *where)
    # No reader must learn what a report was about whose label was raised, and each reader who has its alert must learn that it ended.
    hidden = _select_messages(view.level).where(_is_raised(view.level), col(Report.level) > view.level)
    found: list[tuple[int, Message]] = []
    more = True
    # Some entries are no messages: a page with gaps would show that reports are out of sight.
    while more and len(found) <= limit:
        pages = [
            await fetch_page(connection, each, key="seq", after=before, limit=limit + 1, level=view.level, descending=True)
            for each in (shown, hidden)
        ]
        rows = sorted(chain(*(page for page, _, _ in pages)), key=itemgetter("seq"), reverse=True)
        found += await _build_messages(connection, rows[: limit + 1], view, lang)
        more = len(rows) > limit + 1 or any(last is not None for _, last, _ in pages)
        before = rows[limit]["seq"] if len(rows) > limit else None
        revision = pages[0][2]
    return [each for _, each in found[:limit]], found[limit - 1][0] if len(found) > limit else None, revision


async def get_message(connection: AsyncConnection, identifier: str, view: View, lang: str | None = None) -> Message | None:
    """Return a message by its identifier, None if none is visible at this level."""
    try:
        report = UUID(identifier[:36])
    except ValueError:
        return None
    sent = (await _sent_messages(connection, {report}, view.level)).get(report, [])
    seqs = [each.seq for each in sent if each.identifier == identifier.lower()]
    statement = _select_messages(view.level).where(col(Report.id) == report, seq_column(view.level).in_(seqs))
    rows = (await connection.execute(statement)).mappings().all() if seqs else []
    return next((each for _, each in await _build_messages(connection, rows, view, lang)), None)


async def _build_messages(connection: AsyncConnection, rows: Sequence[Any], view: View, lang: str | None) -> list[tuple[int, Message]]:
    """Return the messages of some entries, each with the position of its entry."""
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
    named = {each for row in rows for each in (row["id"], row["old_id"], *_ended_by(row, view.level)) if each is not None}
    sent = await _sent_messages(connection, named, view.level)
    superseded = await _superseded_at(connection, [row["id"] for row in rows if row["raised"]], view.level)
    messages = []
    words = Wording(localization_for(lang))
    for row in rows:
        if row["raised"]:
            own = next((each for each in sent[row["id"]] if each.seq == row["seq"]), None)
            if own is not None and superseded.get(row["id"], own.seq) >= own.seq:
                messages.append((own.seq, _hidden_message(own, sent[row["id"]], view.level, words)))
            continue
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
        messages.append((row["seq"], _message(row, statement, sent, view.level, words, confirmed=confirmed)))
    return [(seq, each) for seq, each in messages if each is not None]


def _ended_by(row: Any, level: int) -> list[UUID]:
    return [UUID(each) for each, levels in (row["ended"] or {}).items() if levels >> level & 1]


async def _sent_messages(connection: AsyncConnection, reports: Collection[UUID], level: int) -> dict[UUID, list[_Sent]]:
    """Return all messages of some reports, oldest first."""
    statement: Any = _select_messages(level, hidden=True).with_only_columns(
        *(col(Report.id), seq_column(level).label("seq"), _type.label("change"), col(LedgerEntry.recorded_at)),
        *(col(AlertStanding.cancels), _is_raised(level).label("raised"), (col(Report.level) > level).label("hidden")),
    )
    sent: dict[UUID, list[_Sent]] = {}
    for some in chunks(reports):
        for entry in await connection.execute(statement.where(col(Report.id).in_(some)).order_by("seq")):
            earlier = sent.setdefault(entry.id, [])
            # A report that was out of sight for a while is no news to those who have its message.
            if entry.change == "label" and (not entry.raised if earlier and not earlier[-1].retracts else entry.raised):
                continue
            retracts = entry.change == "retraction" or entry.raised
            suffix = CANCEL if retracts else REINSTATED if earlier else ""
            number = 1 + sum(each.suffix == suffix for each in earlier)
            identifier = f"{entry.id}{suffix}" + (f"-{number}" if number > 1 else "")
            alerts = entry.cancels is False and not retracts
            earlier.append(_Sent(entry.seq, identifier, suffix, entry.recorded_at, retracts, alerts, entry.hidden))
    return sent


async def _superseded_at(connection: AsyncConnection, reports: Collection[UUID], level: int) -> dict[UUID, int]:
    """Return the positions of the entries that told a clearance that others supersede some reports."""
    tells = or_(and_(_type == "correction", _redacted_below <= level), _type == "label")
    position = func.min(seq_column(level))
    statement = select(col(Report.supersedes), position).join(LedgerEntry, col(LedgerEntry.report_id) == col(Report.id)).where(tells)
    found: dict[UUID, int] = {}
    for some in chunks(reports):
        rows = await connection.execute(statement.where(col(Report.supersedes).in_(some)).group_by(col(Report.supersedes)))
        found |= {report: seq for report, seq in rows if report is not None and seq is not None}
    return found


def _in_force(sent: Sequence[_Sent], seq: int, *, hidden: bool = False) -> list[tuple[str, datetime]]:
    """Return the identifier and time of the message of a report that was in force before an entry, if any was; none of a hidden one."""
    last = [each for each in sent if each.seq < seq][-1:]
    return [(each.identifier, each.at) for each in last if each.alerts and (hidden or not each.hidden)]


def _hidden_message(own: _Sent, sent: Sequence[_Sent], level: int, words: Wording) -> Message | None:
    """Return the end of the alert of a report whose label was raised, with nothing of what it said; None if none was in force."""
    references = _in_force(sent, own.seq, hidden=True)
    note = words.locale.gettext("This alert is no longer shown: do not act on it.")
    return Message(own.identifier, "Cancel", own.at, LABELS[level], note, references, None, True, True) if references else None


def _message(
    row: Any, statement: AlertStatement | None, sent: Mapping[UUID, Sequence[_Sent]], level: int, words: Wording, *, confirmed: bool
) -> Message | None:
    """Return the message of an entry; None for one that tells the clearance nothing: no alert, and none in force that it could end."""
    own = next((each for each in sent[row["id"]] if each.seq == row["seq"]), None)
    if own is None:
        return None
    knows_old = row["change"] == "label" or (row["change"] == "correction" and level >= row["redacted_below"])
    corrected = _in_force(sent.get(row["old_id"], []), own.seq) if knows_old else []
    ended = [each for report in _ended_by(row, level) for each in _in_force(sent.get(report, []), own.seq)]
    references = [*corrected, *sorted(ended, key=lambda pair: pair[1])]
    type_: Literal["Alert", "Update", "Cancel"] = "Update" if references else "Alert"
    note = None
    if own.retracts:
        type_, references, note = "Cancel", _in_force(sent[row["id"]], own.seq), row["reason"]
    elif row["change"] == "reinstatement" or (corrected and row["change"] == "correction"):
        note = row["reason"]
    if statement is None:
        state = KINDS[row["kind"]].state(KINDS[row["kind"]].value_model.model_validate(row["value"]))
        said = words.locale.comma.join(words.label(each, row["kind"]) for each in (row["kind"], state) if each)
        type_, note = "Cancel", note or words.locale.gettext("Ended by a later report: %(said)s") % {"said": said}
    if type_ == "Cancel" and not references:
        return None
    # A correction to what calls for no alert only ends what was sent.
    confirmed = confirmed or statement is None
    judged = row["credibility"] != UNJUDGED
    return Message(own.identifier, type_, own.at, LABELS[row["level"]], note, references, statement, judged, confirmed)
