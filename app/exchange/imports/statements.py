"""Statements out of somebody's file: read lot by lot, checked row by row, and recorded through the one door.

The same file sent again adds nothing, since a statement that is recorded already is recognised. So what was cut off is run again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Caller
from app.domain.kinds import KINDS
from app.exchange.imports.column_mapping import ColumnMapping, map_columns, parse_row
from app.exchange.imports.file_readers import UnreadableFile, cell_reference, read_documents, read_tables
from app.exchange.imports.header_detection import detect_header
from app.exchange.imports.reference_lookup import ReferenceLookup, references_in, substitute_slugs
from app.http.content_negotiation import Format
from app.http.problems import FieldProblem
from app.reports.queries import find_by_fingerprint
from app.reports.service import record_reports
from app.reports.validation import ResolvedReport, ValidatedReport, resolve_references, validate
from app.settings import Settings
from app.storage.database import Database

BATCH_SIZE = 500
MAX_PROBLEMS = 1000
MAX_SHOWN_REPORTS = 20
TABULAR = frozenset({Format.CSV, Format.XLSX})
# Fields of a report as served that are not sent.
_SERVED = frozenset({"id", "seq", "indicator", "recorded_at", "recorded_by", "status", "supersedes", "links", "amended"})
_NOT_STANDING = "is not standing where it comes from: a full export carries corrections and retractions"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing wrong with one row: the row's number, the column by its header or field, and the cell where there is one."""

    row: int
    column: str
    detail: str
    cell: str | None = None
    sheet: str | None = None


@dataclass(slots=True)
class ImportResult:
    """What became of a file, or would become of it.

    `written` is False for a dry run, and where something wrong kept everything out. `created` and `existing` are rows recorded and
    recognised, or to be. `problems` are the first thousand, `problem_count` is how many there are. `shown` are the first reports.
    """

    written: bool = False
    rows: int = 0
    created: int = 0
    existing: int = 0
    refused: int = 0
    problem_count: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    unread_columns: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, problems: Sequence[RowProblem]) -> None:
        """Count a row that is refused, with what is wrong with it."""
        self.refused += 1
        self.problem_count += len(problems)
        self.problems += problems[: MAX_PROBLEMS - len(self.problems)]


@dataclass(slots=True)
class _StatementRow:
    """One row read: the report that it tells, and where its fields stand in the file."""

    row: int
    body: Any
    wrong: list[FieldProblem] = field(default_factory=list)
    sheet: str | None = None
    match: ColumnMapping | None = None
    place_at: int | None = None

    def problem(self, wrong: FieldProblem) -> RowProblem:
        """Where in the file something is wrong."""
        if self.match is None:
            return RowProblem(self.row, wrong.pointer, wrong.detail)
        at = self.place_at if wrong.pointer == "/place" and self.place_at is not None else self.match.column_of(wrong.pointer)
        if at is None:
            return RowProblem(self.row, wrong.pointer.strip("/").replace("/", "."), wrong.detail, None, self.sheet)
        header = self.match.headers[at] or wrong.pointer.strip("/").replace("/", ".")
        return RowProblem(self.row, header, wrong.detail, cell_reference(at, self.row), self.sheet)


def _read(file: IO[bytes], format_: Format, defaults: dict[str, str], imported: ImportResult) -> Iterator[_StatementRow]:
    if format_ not in TABULAR:
        for number, document in read_documents(file, format_):
            yield _document(number, document, defaults)
        return
    read_any = False
    for table in read_tables(file, format_):
        heading = detect_header(table.rows)
        found = map_columns(heading)
        unread = found.unread if found.fields else [f"sheet {table.name}"] if any(heading.headers) and table.name else []
        imported.unread_columns += [each for each in unread if each not in imported.unread_columns]
        if not found.fields:
            continue
        read_any = True
        for row in heading.rows:
            if any(each not in (None, "") for each in row.cells):
                told = parse_row(found, row.cells, defaults)
                read = _StatementRow(row.number, told.body, told.problems, table.name, found, told.place_column)
                if told.superseded:
                    read.wrong.append(FieldProblem(pointer="/status", detail=_NOT_STANDING))
                yield read
    if not read_any:
        raise UnreadableFile("The file has no column that is known, neither by its header nor by an HXL hashtag.")


def _document(number: int, document: Any, defaults: dict[str, str]) -> _StatementRow:
    if isinstance(document, UnreadableFile):
        return _StatementRow(number, {}, [FieldProblem(pointer="", detail=str(document))])
    if not isinstance(document, dict):
        return _StatementRow(number, {}, [FieldProblem(pointer="", detail="must be a JSON object")])
    served = "recorded_at" in document
    body = {name: value for name, value in document.items() if not (served and (name in _SERVED or value is None))}
    read = _StatementRow(number, defaults | body)
    if served and document.get("status") not in (None, "standing"):
        read.wrong.append(FieldProblem(pointer="/status", detail=_NOT_STANDING))
    return read


Progress = Callable[[int], None]
Record = Callable[[Sequence[ValidatedReport]], Awaitable[int]]


class StatementImport:
    """A file of statements. `defaults` fill fields that its rows do not have: kind, place, source, stated_at, sensitivity."""

    def __init__(
        self,
        file: IO[bytes],
        format_: Format,
        database: Database,
        caller: Caller,
        settings: Settings,
        *,
        defaults: dict[str, str] | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self._file = file
        self._format = format_
        self._database = database
        self._caller = caller
        self._settings = settings
        self._defaults = defaults or {}
        self._progress = progress

    async def dry_run(self) -> ImportResult:
        """Check every row, and say what would be written. Nothing is."""
        imported = ImportResult()
        seen: set[str] = set()
        async for sent in self._lots(imported):
            async with AsyncSession(self._database.reader) as session:
                checked = [
                    each
                    for each in await resolve_references(session, self._caller, sent, self._settings)
                    if isinstance(each, ResolvedReport)
                ]
                prints = {each.fingerprint for each in checked}
                known = set(await find_by_fingerprint(await session.connection(), prints, self._caller))
            new = prints - known - seen
            seen |= new
            imported.created += len(new)
            imported.existing += len(checked) - len(new)
        return imported

    async def write(self, transaction: AsyncSession | None = None) -> ImportResult:
        """Record the rows that are right. A transaction of its own for each lot, unless one is given."""
        imported = ImportResult(written=True)
        async for sent in self._lots(imported):
            if transaction is not None:
                created = await self._record(transaction, sent)
            else:
                async with self._database.write() as session:
                    created = await self._record(session, sent)
            imported.created += created
            imported.existing += len(sent) - created
        return imported

    async def _record(self, session: AsyncSession, sent: Sequence[ValidatedReport]) -> int:
        outcomes, _ = await record_reports(session, self._caller, sent, self._settings)
        return sum(not isinstance(each, list) and each.created for each in outcomes)

    async def _lots(self, imported: ImportResult) -> AsyncIterator[list[ValidatedReport]]:
        """The reports that are right, some at a time; those that are not are counted."""
        names = ReferenceLookup(self._caller)
        rows = _read(self._file, self._format, self._defaults, imported)
        while lot := await asyncio.to_thread(lambda: list(islice(rows, BATCH_SIZE))):
            async with self._database.read() as connection:
                await names.load(connection, [(what, text) for each in lot for _, what, text in _sought(each)])
            yield self._check(lot, names, imported)
            self._progress(len(lot))

    def _check(self, lot: Sequence[_StatementRow], names: ReferenceLookup, imported: ImportResult) -> list[ValidatedReport]:
        good = []
        for read in lot:
            imported.rows += 1
            wrong = read.wrong + substitute_slugs(read.body, _references(read.body), names)
            if not wrong:
                sent = validate(read.body, self._settings)
                if isinstance(sent, ValidatedReport):
                    good.append(sent)
                    if len(imported.shown) < MAX_SHOWN_REPORTS:
                        imported.shown.append(sent.report.model_dump(mode="json", exclude={"value"}) | {"value": read.body["value"]})
                    continue
                wrong = sent
            else:
                wrong += _additional_errors(read, wrong, self._settings)
            imported.reject([read.problem(each) for each in wrong])
        return good


def _additional_errors(read: _StatementRow, wrong: Sequence[FieldProblem], settings: Settings) -> list[FieldProblem]:
    """What else is wrong with a row of which some cells cannot be read: only in parts of which all can, since the rest may follow."""
    if not isinstance(read.body, dict) or any(each.pointer == "" for each in wrong):
        return []
    parts = {each.pointer.split("/")[1] for each in wrong}
    sent = validate(read.body, settings)
    return [] if isinstance(sent, ValidatedReport) else [each for each in sent if each.pointer and each.pointer.split("/")[1] not in parts]


def _references(body: dict[str, Any]) -> dict[str, str]:
    kind = body.get("kind")
    return dict(KINDS[kind].references) if isinstance(kind, str) and kind in KINDS else {}


def _sought(read: _StatementRow) -> list[tuple[tuple[str, ...], str, str]]:
    return references_in(read.body, _references(read.body))
