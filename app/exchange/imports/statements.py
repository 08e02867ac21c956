"""Imports statements from a file as `POST /v1/reports` records them: one that is recorded already is not added again."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal
from app.exchange.imports.column_mapping import NOT_STANDING, ParsedRow, is_known_header, map_columns, parse_row
from app.exchange.imports.file_readers import TABULAR, read_batches, read_documents, read_tables
from app.exchange.imports.reference_lookup import ReferenceLookup, substitute_slugs
from app.exchange.imports.results import MAX_SHOWN_REPORTS, ImportContent, ImportOut, Progress
from app.exchange.imports.tables import UnreadableFile, choose_tables, detect_header
from app.http.content_negotiation import Format
from app.http.problems import FieldProblem
from app.reports.queries import find_by_fingerprint
from app.reports.references import FieldErrors, references_in
from app.reports.service import record_reports
from app.reports.validation import ResolvedReport, ValidatedReport, resolve_references, validate
from app.settings import Settings
from app.storage.database import Database

T = TypeVar("T")

BATCH_SIZE = 500
# Fields of a report that the service adds; a list as served has them, a report that is sent does not.
_ADDED = frozenset({"id", "seq", "indicator", "recorded_at", "recorded_by", "drafted_by", "status", "supersedes", "links", "amended"})


@dataclass(frozen=True)
class StatementImport:
    """Imports a file of statements, of a workbook only the `sheet` if one is named.

    `defaults` fill the fields kind, place, source, stated_at and sensitivity that the file does not have.
    """

    file: IO[bytes]
    format_: Format
    database: Database
    caller: Principal
    settings: Settings
    defaults: Mapping[str, str] = field(default_factory=dict)
    on_progress: Progress = lambda _: None
    sheet: str | None = None

    async def dry_run(self) -> ImportOut:
        """Validate every row, and return what `write` would record."""
        result = ImportOut(holds=ImportContent.STATEMENTS)
        seen: set[str] = set()
        async for rows, reports in self._valid_batches(result):
            async with AsyncSession(self.database.reader) as session:
                resolved = await resolve_references(session, self.caller, reports, self.settings)
                fingerprints = {each.fingerprint for each in resolved if isinstance(each, ResolvedReport)}
                same = await find_by_fingerprint(await session.connection(), fingerprints, self.caller.level)
            accepted = _accept(rows, resolved, result)
            _show(rows, reports, accepted, result)
            new = fingerprints - {each for each, found in same.items() if found.standing is not None} - seen
            # `write` does not recognise what an earlier batch recorded above the caller's clearance.
            seen |= {each.fingerprint for _, each in accepted if each.level <= self.caller.level}
            result.created += len(new)
            result.existing += len(accepted) - len(new)
        return result

    async def write(self, transaction: AsyncSession | None = None) -> ImportOut:
        """Record the valid rows, in a transaction for each batch unless one is given."""
        result = ImportOut(holds=ImportContent.STATEMENTS, written=True)
        async for rows, reports in self._valid_batches(result):
            async with nullcontext(transaction) if transaction else self.database.write() as session:
                outcomes, _ = await record_reports(session, self.caller, reports, self.settings)
            accepted = _accept(rows, outcomes, result)
            _show(rows, reports, accepted, result)
            created = sum(each.created for _, each in accepted)
            result.created += created
            result.existing += len(accepted) - created
        return result

    async def _valid_batches(self, result: ImportOut) -> AsyncIterator[tuple[list[ParsedRow], list[ValidatedReport]]]:
        lookup = ReferenceLookup(self.caller)
        async for batch in read_batches(self._read_rows(result), BATCH_SIZE, self.on_progress):
            async with self.database.read() as connection:
                compared = [text for row in batch for text, _ in row.other_places.values()]
                await lookup.load(connection, [reference for row in batch for reference in references_in(row.body)], compared)
            result.rows += len(batch)
            valid = _accept(batch, [self._validate(row, lookup) for row in batch], result)
            yield [row for row, _ in valid], [report for _, report in valid]

    def _read_rows(self, result: ImportOut) -> Iterator[ParsedRow]:
        if self.format_ not in TABULAR:
            if self.sheet is not None:
                raise UnreadableFile("Only a workbook has sheets: name none for this file.")
            for number, document in read_documents(self.file, self.format_):
                yield self._document_row(number, document)
            return
        has_columns, tried = False, "the file, which has no rows"
        for table in choose_tables(read_tables(self.file, self.format_), self.sheet, result.note):
            header = detect_header(table.rows, is_known_header)
            if header.headers[:2] == ["record", "version"]:
                raise UnreadableFile("A full export can be imported as NDJSON only: write it with `lifeline export FILE.ndjson`.")
            mapping = map_columns(header)
            unread = mapping.unread if mapping.fields else [f"sheet {table.name}"] if any(header.headers) and table.name else []
            result.unread_columns += [each for each in unread if each not in result.unread_columns]
            if not mapping.fields:
                tried = header.describe(table.name)
                continue
            has_columns = True
            rows = header.shown_rows(result.note, table)
            yield from (parse_row(mapping, row, table.name, self.defaults) for row in rows)
        if not has_columns:
            raise UnreadableFile(
                f"No column is known in {tried}: name the columns by fields such as place or people_low, or by HXL hashtags."
            )

    def _document_row(self, number: int, document: Any) -> ParsedRow:
        if isinstance(document, UnreadableFile):
            return ParsedRow(number, {}, [FieldProblem(pointer=document.pointer, detail=str(document))])
        if not isinstance(document, dict):
            return ParsedRow(number, {}, [FieldProblem(pointer="", detail="must be a JSON object")])
        if "recorded_at" not in document:
            return ParsedRow(number, {**self.defaults, **document})
        body = {name: value for name, value in document.items() if name not in _ADDED and value is not None}
        problems = [] if document.get("status") in (None, "standing") else [NOT_STANDING]
        return ParsedRow(number, {**self.defaults, **body}, problems)

    def _validate(self, row: ParsedRow, lookup: ReferenceLookup) -> ValidatedReport | FieldErrors:
        problems = [*row.problems, *substitute_slugs(row.body, lookup)]
        place = str(row.body.get("place", ""))
        for index, (text, must_be_known) in row.other_places.items():
            if (detail := lookup.contradiction(place, text, must_be_known=must_be_known)) is not None:
                problems.append(FieldProblem(pointer="/place", detail=detail))
                row.place_column = index
                break
        problems += row.resolve_local_times(lookup.places[place].timezone if place in lookup.places else "UTC")
        report = validate(row.body, self.settings)
        if not problems:
            return report
        fields = {_field(each) for each in problems}
        if isinstance(report, ValidatedReport) or "" in fields:
            return problems
        # An error in a field that could not be read, or in none, may only follow from the problems.
        return problems + [each for each in report if _field(each) not in {"", *fields}]


def _accept(rows: Sequence[ParsedRow], outcomes: Sequence[T | FieldErrors], result: ImportOut) -> list[tuple[ParsedRow, T]]:
    """Return the rows with an outcome other than errors, and reject the others."""
    accepted = []
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, list):
            result.refused += 1
            result.reject(row.locate(each) for each in outcome)
        else:
            accepted.append((row, outcome))
    return accepted


def _show(
    rows: Sequence[ParsedRow], reports: Sequence[ValidatedReport], accepted: Sequence[tuple[ParsedRow, Any]], result: ImportOut
) -> None:
    """Add the first reports of accepted rows to the result, as they would be sent."""
    kept = {id(row) for row, _ in accepted}
    for row, report in zip(rows, reports, strict=True):
        if id(row) in kept and len(result.shown) < MAX_SHOWN_REPORTS:
            result.shown.append(report.report.model_dump(mode="json", exclude={"value"}) | {"value": row.body["value"]})


def _field(problem: FieldProblem) -> str:
    return problem.pointer.split("/")[1] if problem.pointer else ""
