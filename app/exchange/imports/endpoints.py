"""`POST /v1/imports`: a file of statements, or a full export, looked at or taken in."""

import asyncio
import hashlib
import tempfile
from dataclasses import asdict, replace
from typing import IO, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import DatabaseDep, Reporter, SettingsDep, credential_revoked, credential_still_valid
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal, Scope
from app.domain.times import DateOrTime
from app.domain.tlp import Label
from app.exchange.imports.cells import UnreadableFile
from app.exchange.imports.full_import import FullImport, FullImportResult, is_full_export
from app.exchange.imports.statements import ImportResult, RowProblem, StatementImport
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.openapi import IDEMPOTENCY_KEY, WRITE_ERRORS
from app.http.problems import FieldProblem, Problem, invalid, invalid_field
from app.http.responses import JSON
from app.http.state import request_state
from app.indicators.schemas import KindName
from app.reference.schemas import Slug
from app.reports.schemas import PlaceName
from app.settings import Settings

router = APIRouter(tags=["Reporting"])

_READ = (Format.CSV, Format.XLSX, Format.JSON, Format.NDJSON)
_FORMATS = {MEDIA_TYPES[each].partition(";")[0]: each for each in _READ} | {"application/ndjson": Format.NDJSON}
_IN_MEMORY = 1024 * 1024


class RowProblemOut(BaseModel):
    """One thing wrong with one row."""

    row: int = Field(description="As a spreadsheet counts, from 1; of NDJSON the line, of a JSON list the position from 1.")
    column: str = Field(description="Header of the column, or the field.")
    cell: str | None = Field(description="Such as F17; null where no cell holds it.")
    sheet: str | None
    detail: str


class ImportOut(BaseModel):
    """What became of a file, or would become of it."""

    written: bool = Field(description="False for a dry run.")
    holds: Literal["statements", "export"] = Field(description="Rows of statements, or a full export of a Lifeline.")
    rows: int
    created: int = Field(description="Recorded, or to be recorded.")
    existing: int = Field(description="Recognised as recorded before. In a dry run of an export they are among `created`.")
    refused: int
    added: dict[str, int] = Field(description="Of an export: what `created` is made of.")
    unknown: dict[str, int] = Field(description="Of an export: entries of types that this version does not know.")
    otherwise: int = Field(description="Of an export: amendments that do not fit what stands here, and were left.")
    problem_count: int
    problems: list[RowProblemOut] = Field(description="The first 1,000.")
    unread_columns: list[str] = Field(description="Columns that match no field.")
    shown: list[dict[str, Any]] = Field(description="The first reports, as they are sent on.")


_CSV = (
    "place,source,kind,stated_at,concept,people_low,people_high\r\n"
    "#loc+code+slug,#meta+source+code,#indicator+type,#date+reported,#indicator+definition,#affected+trapped+min,#affected+trapped+max\r\n"
    "aleppo-east,un-ocha,trapped_population,2016-07-25,trapped,250000,275000\r\n"
)
_JSON = [
    {
        "kind": "supply_runout",
        "place": "aleppo-east",
        "source": "un-envoy-syria",
        "stated_at": "2016-07-28",
        "value": {"supply": "fuel", "in_days_min": 14, "in_days_max": 21, "relative_text": "two to three weeks"},
    }
]
_TEXT = {"type": "string"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"type": "array", "items": {"type": "object"}},
                "examples": {"A list of reports": {"value": _JSON}},
            },
            "text/csv": {"schema": _TEXT, "examples": {"A table with headers and HXL hashtags": {"value": _CSV}}},
            MEDIA_TYPES[Format.NDJSON]: {"schema": _TEXT},
            MEDIA_TYPES[Format.XLSX]: {"schema": _TEXT | {"contentMediaType": MEDIA_TYPES[Format.XLSX]}},
        },
    },
    "parameters": [IDEMPOTENCY_KEY],
}


async def _spool(request: Request, settings: Settings) -> tuple[IO[bytes], bytes]:
    """The body in a file that is in memory while it is small, and its digest. 408 where nothing more of it comes."""
    most = settings.max_import_bytes
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by whoever reads it
    digest, length = hashlib.sha256(), 0
    pieces = request.stream()
    try:
        # A large file takes its time over a bad link, so the bound is on silence.
        while (chunk := await asyncio.wait_for(anext(pieces, None), settings.body_timeout_seconds)) is not None:
            length += len(chunk)
            if length > most:
                raise Problem(413, f"A file may have {most} bytes at the most.", headers={"Connection": "close"})
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    except BaseException as error:
        # A sender who went away leaves no file behind either.
        file.close()
        if isinstance(error, TimeoutError):
            raise Problem(408, "The file did not arrive in time.", headers={"Connection": "close"}) from None
        raise
    return file, digest.digest()


def _format(request: Request) -> Format:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _FORMATS:
        raise Problem(415, f"Send the file as one of {', '.join(_FORMATS)}.")
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # What is never inflated cannot be a bomb.
        raise Problem(415, "Send the file as it is, without Content-Encoding.", headers={"Accept-Encoding": "identity"})
    return _FORMATS[media_type]


@router.post("/imports", summary="Take in a file", response_model=ImportOut, responses=WRITE_ERRORS, openapi_extra=_BODY)
async def post_import(
    request: Request,
    caller: Reporter,
    database: DatabaseDep,
    settings: SettingsDep,
    dry_run: Annotated[bool, Query(description="Only say what would be written.")] = True,
    only_good: Annotated[bool, Query(description="Record the rows that are right, rather than nothing when one is wrong.")] = False,
    kind: Annotated[KindName | None, Query(description="The kind of rows that do not say.")] = None,
    place: Annotated[PlaceName | None, Query(description="The place of rows that do not say: slug, `scheme:code` or exact name.")] = None,
    source: Annotated[Slug | None, Query(description="The source of rows that do not say.")] = None,
    stated_at: Annotated[DateOrTime | None, Query(description="When rows that do not say were stated.")] = None,
    sensitivity: Annotated[Label | None, Query(description="The label of rows that do not say.")] = None,
) -> Response:
    """CSV with or without HXL hashtags, XLSX, JSON or NDJSON, by `Content-Type`; columns are matched by hashtag or header.

    A dry run unless `dry_run=false`: nothing is written, and what would be is said, row by row where something is wrong. Then all
    rows are recorded or, when one is wrong, none (422, each problem at its cell); with `only_good=true` those that are right. The same
    file sent again adds nothing. Needs the scope `report`; a full export of another Lifeline, which brings reference data, grades and
    amendments with it, needs `report` and `curate`. Its identifiers are kept, but for those of records here that the key may not see:
    these count as not there, and are given anew.
    """
    format_ = _format(request)
    given = {"kind": kind, "place": place, "source": source, "stated_at": stated_at, "sensitivity": sensitivity}
    defaults = {name: str(value) for name, value in given.items() if value is not None}
    file, request_state(request.scope)["raw_body"] = await _spool(request, settings)
    with file:
        whole = await asyncio.to_thread(is_full_export, file, format_)
        needed = {Scope.REPORT, Scope.CURATE} if whole else {Scope.REPORT}
        if missing := needed - caller.scopes:
            raise Problem(403, f"The key needs the scope {' and '.join(sorted(missing))} for this file.", kind="scope")
        reader: FullImport | StatementImport
        if whole:
            reader = FullImport(file, format_, database, lambda organisation: _as(caller, organisation), settings, requester=caller)
        else:
            reader = StatementImport(file, format_, database, caller, settings, defaults=defaults)

        async def write(session: AsyncSession) -> WriteResult:
            # To look at the file may have taken minutes.
            if not await credential_still_valid(caller, database):
                raise credential_revoked()
            done = await reader.write(session)
            if not (only_good and isinstance(done, ImportResult)):
                _must_be_right(done)
            return WriteResult(200, _served(done))

        try:
            if dry_run:
                return Response(_served(await reader.dry_run()), headers={"Cache-Control": "no-store"}, media_type=JSON)
            if not only_good or whole:
                _must_be_right(await reader.dry_run())
            return await idempotent_write(request, caller, write)
        except UnreadableFile as error:
            raise invalid_field("", str(error)) from None


def _as(caller: Principal, organisation: str) -> Principal:
    """Who is recorded: only an administrator records in the name of another organisation."""
    return replace(caller, organisation=organisation) if Scope.ADMIN in caller.scopes else caller


def _must_be_right(found: ImportResult | FullImportResult) -> None:
    if found.problem_count:
        raise invalid(FieldProblem(pointer=place_of(each), detail=each.detail) for each in found.problems)


def place_of(problem: RowProblem) -> str:
    """Where something is wrong, as a spreadsheet writes it (`Sheet1!F17`), else the row and the field (`17/value/people`)."""
    if problem.cell is None:
        where = f"{problem.row}{problem.column}" if problem.column.startswith("/") else f"{problem.row} {problem.column}".strip()
    else:
        where = problem.cell
    return where if problem.sheet is None else f"{problem.sheet}!{where}"


def _served(done: ImportResult | FullImportResult) -> bytes:
    found = asdict(done)
    if isinstance(done, FullImportResult):
        found |= {
            # `asdict` makes another thing of a Counter.
            "added": dict(done.added),
            "unknown": dict(done.unknown),
            "holds": "export",
            "rows": done.rows,
            "created": sum(done.added.values()),
            "refused": 0,
            "unread_columns": [],
            "shown": [],
        }
    else:
        found |= {"holds": "statements", "added": {}, "unknown": {}, "otherwise": 0}
    return orjson.dumps({name: found[name] for name in ImportOut.model_fields})
