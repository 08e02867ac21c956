"""The endpoint that imports a file: `POST /v1/imports`."""

import asyncio
import hashlib
import tempfile
from dataclasses import replace
from functools import partial
from typing import IO, Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.audit import record_write
from app.access.dependencies import DatabaseDep, Reporter, SettingsDep, credential_revoked, credential_still_valid
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal, Scope
from app.domain.times import DateOrTime
from app.domain.tlp import Label
from app.exchange.imports.full_import import FullImport, is_full_export
from app.exchange.imports.results import ImportContent, ImportOut
from app.exchange.imports.statements import StatementImport
from app.exchange.imports.tables import UnreadableFile
from app.exchange.replication.apply import EntryApplier
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.openapi import IDEMPOTENT, WRITE_ERRORS
from app.http.problems import FieldProblem, Problem, invalid, invalid_field
from app.http.request_body import reject_content_encoding
from app.http.responses import JSON
from app.http.state import request_state
from app.indicators.schemas import KindName
from app.reference.schemas import Slug
from app.reports.examples import REPORTS
from app.reports.schemas import PlaceName

router = APIRouter(tags=["Reporting"])

_FORMATS = {MEDIA_TYPES[each].partition(";")[0]: each for each in (Format.CSV, Format.XLSX, Format.JSON, Format.NDJSON)}
_FORMATS["application/ndjson"] = Format.NDJSON
_ODS = "application/vnd.oasis.opendocument.spreadsheet"
_FORMATS[_ODS] = Format.XLSX
MAX_IN_MEMORY_BYTES = 1024 * 1024

_CSV = (
    "place,source,kind,stated_at,concept,people_low,people_high\r\n"
    "#loc+code+slug,#meta+source+code,#indicator+type,#date+reported,#indicator+definition,#affected+trapped+min,#affected+trapped+max\r\n"
    "aleppo-east,un-ocha,trapped_population,2016-07-25,trapped,250000,275000\r\n"
)
_REPORT = next(iter(REPORTS.values()))


class ImportOptions(BaseModel):
    """Options of an import, and fields that the file does not have."""

    sheet: str | None = Field(default=None, max_length=200, description="Sheet of a workbook to read; null for all that are not hidden.")
    dry_run: bool = Field(default=True, description="Validate the file and write nothing.")
    only_good: bool = Field(default=False, description="Record the valid rows even if others have problems.")
    kind: KindName | None = Field(default=None, description="Kind, in a file without it.")
    place: PlaceName | None = Field(default=None, description="Place, in a file without it: slug, `scheme:code` or exact name.")
    source: Slug | None = Field(default=None, description="Source, in a file without it.")
    stated_at: DateOrTime | None = Field(default=None, description="`stated_at`, in a file without it.")
    sensitivity: Label | None = Field(default=None, description="Label, in a file without it.")

    def defaults(self) -> dict[str, str]:
        """Return the fields of rows that leave them out."""
        given = self.model_dump(exclude={"dry_run", "only_good", "sheet"}, exclude_none=True)
        return {name: str(value) for name, value in given.items()}


_TEXT = {"type": "string"}
_BODY = IDEMPOTENT | {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {"type": "array", "items": {"type": "object"}},
                "examples": {"A list of reports": {"value": [_REPORT]}},
            },
            "text/csv": {
                "schema": _TEXT | {"contentMediaType": "text/csv"},
                "examples": {"A table with headers and HXL hashtags": {"value": _CSV}},
            },
            MEDIA_TYPES[Format.NDJSON]: {"schema": _TEXT},
            **{each: {"schema": _TEXT | {"contentMediaType": each}} for each in (MEDIA_TYPES[Format.XLSX], _ODS)},
        },
    },
}
_EXAMPLE = ImportOut(holds=ImportContent.STATEMENTS, rows=1, created=1, shown=[_REPORT]).model_dump(mode="json")
_RESPONSES = {200: {"content": {JSON: {"example": _EXAMPLE}}}, **WRITE_ERRORS}


@router.post("/imports", summary="Import a file", response_model=ImportOut, responses=_RESPONSES, openapi_extra=_BODY)
async def create_import(
    request: Request, caller: Reporter, database: DatabaseDep, settings: SettingsDep, options: Annotated[ImportOptions, Query()]
) -> Response:
    """Import statements (CSV with or without HXL hashtags, XLSX, ODS, JSON or NDJSON), or a full export of a Lifeline (NDJSON).

    `Content-Type` names the format. Columns are matched to fields by HXL hashtag or header.
    By default a dry run, which the audit log has, too: the result shows what would be written, and each problem with its row and column.
    With `dry_run=false` all rows are recorded, or none if one has a problem (422, which names each cell); with `only_good=true` the
    valid ones. The same file sent again adds nothing, as far as the key sees what it recorded. Requires the scope `report`; a full export
    also `curate`, since it has reference data, grades and amendments.
    Records keep the identifiers of the export, unless a record that the key may not see has the same one.
    """
    format_ = _format_of(request)
    with tempfile.SpooledTemporaryFile(MAX_IN_MEMORY_BYTES) as file:
        request_state(request.scope)["raw_body"] = await _receive(request, file, settings.max_import_bytes)
        try:
            is_export = await asyncio.to_thread(is_full_export, file, format_)
            needed = {Scope.REPORT, Scope.CURATE} if is_export else {Scope.REPORT}
            if missing := needed - caller.scopes:
                raise Problem(403, f"The key needs the scope {' and '.join(sorted(missing))} for this file.", kind="scope")
            all_or_nothing = is_export or not options.only_good
            importer: FullImport | StatementImport
            if is_export:
                importer = FullImport(file, database, EntryApplier(partial(_author_for, caller), settings, requester=caller), settings)
            else:
                importer = StatementImport(file, format_, database, caller, settings, options.defaults(), sheet=options.sheet)

            async def write(session: AsyncSession) -> WriteResult:
                # The dry run may have taken minutes.
                if not await credential_still_valid(caller, database):
                    raise credential_revoked()
                result = await importer.write(session)
                if all_or_nothing:
                    _raise_problems(result)
                return WriteResult(200, result.model_dump_json().encode())

            if options.dry_run:
                checked = await importer.dry_run()
                # It tells which statements are recorded, so who asks, and how often, is not only for the caller to know.
                async with database.write() as session:
                    await record_write(session, request, caller.actor, 200)
                return Response(checked.model_dump_json(), headers={"Cache-Control": "no-store"}, media_type=JSON)
            if all_or_nothing:
                _raise_problems(await importer.dry_run())
            return await idempotent_write(request, caller, write, long=True)
        except UnreadableFile as error:
            raise invalid_field(error.pointer, str(error)) from None


def _format_of(request: Request) -> Format:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _FORMATS:
        raise Problem(415, f"Send the file as one of {', '.join(_FORMATS)}.")
    reject_content_encoding(request)
    return _FORMATS[media_type]


async def _receive(request: Request, file: IO[bytes], max_bytes: int) -> bytes:
    """Write the body to a file, and return its SHA-256."""
    digest, length = hashlib.sha256(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > max_bytes:
            raise Problem(413, f"The file must not exceed {max_bytes} bytes.", headers={"Connection": "close"})
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    return digest.digest()


def _author_for(caller: Principal, organisation: str) -> Principal:
    """Return as whom an entry is recorded: only an administrator records for another organisation."""
    return replace(caller, organisation=organisation) if Scope.ADMIN in caller.scopes else caller


def _raise_problems(result: ImportOut) -> None:
    if result.problem_count:
        raise invalid(FieldProblem(pointer=each.location, detail=each.detail) for each in result.problems)
