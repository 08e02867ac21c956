"""`/v1/alerts`: an Atom feed of CAP 1.2 messages."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field
from sqlmodel import col
from typing_extensions import TypeAliasType

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.domain.view import View
from app.exchange.alerts.atom import render_feed
from app.exchange.alerts.cap import render
from app.exchange.alerts.service import ALERTING, get_message, list_messages
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.cursors import Cursor
from app.http.lists import ListFilters, negotiate_format
from app.http.openapi import READ_ERRORS, problem_responses
from app.http.problems import not_found
from app.http.responses import absolute_url, json_response, next_url
from app.reference.names import Lang
from app.reference.queries import place_conditions
from app.reference.suggestions import require_known_filters
from app.reports.models import Report
from app.storage.paging import current_revision

router = APIRouter(tags=["Alerts"])

ALERT_CURSOR = Cursor("alerts", int)

AlertKind: Any = TypeAliasType("AlertKind", Literal[tuple(ALERTING)])
_CAP_EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>0198...</identifier><sender>lifeline</sender>...</alert>
"""
_ATOM_EXAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><id>https://lifeline.example.org/v1/alerts</id><title>Lifeline alerts</title>...</feed>
"""
_ATOM: dict[str, Any] = {"schema": {"type": "string"}, "example": _ATOM_EXAMPLE}
_CAP: dict[str, Any] = {"schema": {"type": "string"}, "example": _CAP_EXAMPLE}
_FEED_RESPONSES = READ_ERRORS | problem_responses(406) | {200: {"content": {MEDIA_TYPES[Format.ATOM]: _ATOM}}}
_ID = (
    "Identifier of a report, of which it is the first message that you see; with the suffix `-cancel`, the message of its retraction; with "
    "`-reinstated`, that of its undoing. Later ones of the same report are numbered: `-cancel-2`."
)
_CAP_RESPONSES = READ_ERRORS | {200: {"content": {MEDIA_TYPES[Format.CAP]: _CAP}}}


class AlertFilters(ListFilters):
    """Filters of the list of alerts."""

    kind: Annotated[AlertKind, Field(description="Only alerts of this kind.")] = None
    lang: Lang = None


@router.get("/alerts", summary="List alerts", response_class=Response, responses=_FEED_RESPONSES)
async def list_alerts(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    filters: Annotated[AlertFilters, Query()],
) -> Response:
    """List CAP 1.2 messages as an Atom feed, newest first: an Alert for a report, an Update for a correction, a Cancel for a retraction.

    A report that ended earlier ones is an Update of their messages. A Cancel without content ends the alert of a report that a raised label
    hides, whatever the filters. Each entry links to its message, whose absolute address is its `id`;
    the link `next` leads to older ones.
    """
    negotiate_format(request, [Format.ATOM], None)
    where = place_conditions(Report.place_id, filters.place, within=filters.within, country=filters.country)
    if filters.kind is not None:
        where.append(col(Report.kind) == filters.kind)
    before = ALERT_CURSOR.decode(filters.cursor)
    view = View(caller.level, horizons=settings.horizons)
    async with database.snapshot() as connection:
        messages, last, revision = await list_messages(connection, where, view, before=before, limit=filters.limit, lang=filters.lang)
        if not any(each.statement for each in messages):
            await require_known_filters(connection, filters, caller.level)
    feed = absolute_url(request, "/v1/alerts")
    older = absolute_url(request, next_url(request, ALERT_CURSOR.encode(last, revision))) if last is not None else None
    body = render_feed(messages, url=feed, query=request.url.query, next_url=older, sender=settings.cap_sender, lang=filters.lang)
    cacheable = settings.public_url is not None
    return json_response(request, body, cacheable=cacheable, media_type=MEDIA_TYPES[Format.ATOM], revision=revision)


@router.get("/alerts/{id}.cap", summary="Get an alert as CAP 1.2", response_class=Response, responses=_CAP_RESPONSES)
async def get_alert(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Annotated[str, Path(max_length=60, description=_ID, examples=["01900000-0000-7000-8004-000000000001"])],  # noqa: A002 - wire name
    lang: Lang = None,
) -> Response:
    """Return a CAP 1.2 message: Restricted if the report is not labelled `clear`; Actual if it is sound, stood when it was recorded, and
    its credibility can be judged, else Draft. All-clear only if the assessment then said so, too.
    """
    async with database.snapshot() as connection:
        message = await get_message(connection, id, View(caller.level, horizons=settings.horizons), lang)
        revision = await current_revision(connection, caller.level)
    if message is None:
        raise not_found("alert")
    body = render(message, settings.cap_sender)
    return json_response(request, body, media_type=MEDIA_TYPES[Format.CAP], revision=revision)
