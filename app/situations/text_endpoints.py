"""`/v1/situations/{place}/digest` and `/brief`: what changed in a place, and a text about it, in four languages."""

import re
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, WithJsonSchema
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col
from typing_extensions import TypeAliasType

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.access.principal import Principal
from app.assessment.document import place_brief
from app.assessment.loading import load_reports
from app.domain.time_point import TimePoint
from app.domain.times import end_of, normalise, rfc3339
from app.domain.tlp import LABELS
from app.domain.view import View
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.lists import SUFFIX, format_schema, negotiate_format
from app.http.localization import Localization, choose_language, localization_for
from app.http.openapi import READ_ERRORS, Responses, problem_responses
from app.http.problems import invalid_field, not_found
from app.http.query_params import AsOf, KnownAt
from app.http.responses import json_response
from app.ledger.models import LedgerEntry, seq_column
from app.ledger.queries import resolve_time_point
from app.reference.names import Lang, localise
from app.reference.queries import find_places, places_by_id
from app.reference.records import PlaceRecord
from app.settings import Settings
from app.situations.brief import Brief, reports_behind
from app.situations.digest import Period, build_items, load_changes, shown_level
from app.situations.digest_words import digest_text, render_item
from app.situations.evidence import load_evidence, load_wording
from app.situations.schemas import Digest
from app.situations.service import basis_times
from app.situations.urgency import urgency
from app.situations.wording import tlp_text
from app.storage.paging import current_revision

router = APIRouter(tags=["Situations"])

TLP_HEADER = "Lifeline-TLP"
DIGEST_FORMATS = (Format.JSON, Format.TEXT)
BRIEF_FORMATS = (Format.MARKDOWN, Format.TEXT)
_MAX_REVISION_DIGITS = 15


def _since(text: str) -> str:
    return text if re.fullmatch(rf"\d{{1,{_MAX_REVISION_DIGITS}}}", text, re.ASCII) else normalise(text)


Place = Annotated[str, Path(max_length=100, description="Slug of a place, or `scheme:code`.", examples=["aleppo-east"])]
TextLang = Annotated[
    Lang,
    Query(description="Language of the text (`ar`, `en`, `es` or `fr`) and of names; else the best of `Accept-Language`.", examples=["ar"]),
]
Since = Annotated[
    str,
    AfterValidator(_since),
    WithJsonSchema({"type": "string", "examples": ["2016-07-28"]}),
    Query(
        max_length=40,
        description="A time of statements, of which a date means its end in UTC: what was said after it, up to `as_of`. Or the `revision` "
        "of an earlier response: what was recorded since.",
    ),
]


_FORMAT = "Format, in place of `Accept`; also as a suffix, such as `.txt`."
DigestFormatName = TypeAliasType("DigestFormatName", Annotated[str, format_schema(DIGEST_FORMATS)])
BriefFormatName = TypeAliasType("BriefFormatName", Annotated[str, format_schema(BRIEF_FORMATS)])
DigestFormat = Annotated[DigestFormatName | None, Query(max_length=32, description=_FORMAT)]
BriefFormat = Annotated[BriefFormatName | None, Query(max_length=32, description=_FORMAT)]
_DIGEST_EXAMPLE = """TLP:CLEAR
Eastern Aleppo: what changed from 6 Aug 2016 to 9 Aug 2016

- New \u2013 Ramouseh passage: restricted, passable by no one (Independent observers, 8 Aug 2016)...
"""
_BRIEF_EXAMPLE = """TLP:CLEAR

# Eastern Aleppo: situation on 1 Aug 2016

Level of urgency: Serious.

## Supplies

- Food: will run out between 11 Aug 2016 and 20 Aug 2016 [1]. One source. Said 7 days ago.

## Sources

1. UN relief chief and OCHA, 25 Jul 2016. Report 01900000-0000-7000-8004-000000000003.
"""


def _text(example: str) -> dict[str, Any]:
    return {"schema": {"type": "string"}, "example": example}


_BRIEF_RESPONSES: Responses = {200: {"content": {MEDIA_TYPES[each].partition(";")[0]: _text(_BRIEF_EXAMPLE) for each in BRIEF_FORMATS}}}
_DIGEST_RESPONSES: Responses = {200: {"content": {"text/plain": _text(_DIGEST_EXAMPLE)}}}
_TEXT_ERRORS = READ_ERRORS | problem_responses(406)


@router.get("/situations/{place}/digest" + SUFFIX, include_in_schema=False)
@router.get(
    "/situations/{place}/digest",
    summary="Get what changed in a place",
    response_model=Digest,
    responses=_TEXT_ERRORS | _DIGEST_RESPONSES,
)
async def get_digest(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    place: Place,
    since: Since,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    lang: TextLang = None,
    format: DigestFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Get what is new, corrected, withdrawn, overtaken, newly contested, moved later without a delivery, or silent, since a time or a
    revision.

    Only changes that the caller sees, in the last 1,000 reports of the period at most (`cut`; the text says so). As JSON, or as text to
    paste into a situation report; the header `Lifeline-TLP` has the label of what is shown.
    """
    format_ = negotiate_format(request, DIGEST_FORMATS, format)
    locale, names = _language(request, lang)
    async with database.snapshot() as connection:
        view, found = await _find(connection, caller, settings, place, as_of, known_at)
        revision = await current_revision(connection, caller.level)
        period = await _period(connection, view, since, revision)
        before, after = [await load_evidence(connection, found.id, each) for each in (period.before, period.after)]
        changes = await load_changes(connection, after, period)
        items = build_items(before, after, changes, period)
        said = [each for item in items for each in item.reports]
        words = await load_wording(connection, found, after.values(), said, view, lang=names, locale=locale)
        (named,) = await localise(connection, [orjson.dumps({"place": place_brief(found)}).decode()], names, view.time_point)
    level = shown_level(items, before)
    if format_ is Format.TEXT:
        title = locale.gettext("%(place)s: what changed from %(since)s to %(day)s")
        if period.after_revision is not None:
            title = locale.gettext("%(place)s: what was recorded since revision %(revision)s")
        first, last = (locale.point(rfc3339(each)) for each in (period.since, view.at))
        shown = {"place": words.name("place", found.slug, found.name), "since": first, "day": last, "revision": period.after_revision}
        body = digest_text(f"{tlp_text(LABELS[level])}\n{title % shown}", items, words, cut=changes.cut).encode()
    else:
        body = orjson.dumps(
            orjson.loads(named)
            | {
                "since": rfc3339(period.since),
                "since_revision": period.after_revision,
                "as_of": rfc3339(view.at),
                "revision": revision,
                "cut": changes.cut,
                "items": [render_item(each, words) for each in items],
                "links": {"situation": f"/v1/situations/{found.slug}"},
            }
        )
    return _respond(request, body, format_, level, locale, lang, revision)


@router.get("/situations/{place}/brief" + SUFFIX, include_in_schema=False)
@router.get(
    "/situations/{place}/brief", summary="Get a brief on a place", response_class=Response, responses=_TEXT_ERRORS | _BRIEF_RESPONSES
)
async def get_brief(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    place: Place,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    lang: TextLang = None,
    format: BriefFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Get the situation of a place as text with numbered citations, to paste into a situation report.

    Ranges are shown as claims, with how the sources agree and how old each figure is; no figure is without the report that says it. The
    first line and the header `Lifeline-TLP` have the label of what is shown.
    """
    format_ = negotiate_format(request, BRIEF_FORMATS, format)
    locale, names = _language(request, lang)
    async with database.snapshot() as connection:
        view, found = await _find(connection, caller, settings, place, as_of, known_at)
        evidence = await load_evidence(connection, found.id, view)
        visible = {each.id: each for of in evidence.values() for each in of.inputs.statements if each.level <= view.level}
        others = reports_behind(evidence.values()) - visible.keys()
        outside = await load_reports(connection, others, view.time_point)
        visible |= {id_: each for id_, each in outside.items() if each.level <= view.level}
        documents = [orjson.loads(each.document()) for each in evidence.values()]
        words = await load_wording(
            connection, found, evidence.values(), visible.values(), view, lang=names, locale=locale, markdown=format_ is Format.MARKDOWN
        )
        times = await basis_times(connection, documents)
        revision = await current_revision(connection, caller.level)
    brief = Brief(place_brief(found), evidence, visible, urgency(documents, view.at, times), view, known_at, words)
    text, level = brief.render()
    return _respond(request, text.encode(), format_, level, locale, lang, revision)


def _language(request: Request, lang: str | None) -> tuple[Localization, str | None]:
    """Return the language of texts, and that of names: None where the client names no language."""
    chosen = choose_language(lang and lang.partition("-")[0], None, request.headers.get("accept-language", ""))
    return localization_for(chosen), lang or (chosen if "accept-language" in request.headers else None)


async def _find(
    connection: AsyncConnection, caller: Principal, settings: Settings, place: str, as_of: str | None, known_at: str | None
) -> tuple[View, PlaceRecord]:
    if (found := (await find_places(connection, [place])).get(place)) is None:
        raise not_found("place")
    view = View(caller.level, await resolve_time_point(connection, as_of, known_at), settings.horizons)
    return view, (await places_by_id(connection, [found.id], view.time_point))[found.id]


async def _period(connection: AsyncConnection, view: View, since: str, revision: int) -> Period:
    if not since.isdecimal():
        if (time := end_of(since)) > view.at:
            raise invalid_field("?since", f"must not be after as_of, {rfc3339(view.at)}: send an earlier time, such as 2016-07-28")
        return Period(replace(view, time_point=TimePoint(time, view.time_point.through_global_seq)), view, time)
    if int(since) > revision:
        raise invalid_field(
            "?since", f"must not be above the newest revision, {revision}: send an earlier one, or a day such as 2016-07-28"
        )
    seq = seq_column(view.level)
    last = select(col(LedgerEntry.global_seq), col(LedgerEntry.recorded_at)).where(seq <= int(since)).order_by(seq.desc()).limit(1)
    row = (await connection.execute(last)).one_or_none()
    through, time = (row.global_seq, row.recorded_at) if row else (0, view.at)
    if view.time_point.through_global_seq is not None:
        through = min(through, view.time_point.through_global_seq)
    return Period(replace(view, time_point=TimePoint(view.time_point.as_of, through)), view, min(time, view.at), int(since))


def _respond(request: Request, body: bytes, format_: Format, level: int, locale: Localization, lang: str | None, revision: int) -> Response:
    headers = {TLP_HEADER: tlp_text(LABELS[level]), "Content-Language": locale.language, "Vary": "Accept-Language"}
    # The key of the response cache has no `Accept-Language`.
    cacheable = lang is not None and lang.partition("-")[0] == locale.language
    media_type = MEDIA_TYPES[format_]
    return json_response(request, body, headers=headers, cacheable=cacheable, media_type=media_type, revision=revision)
