"""A full export taken in: reference data and every entry of the ledger, with their identifiers.

The hashes are walked on the way, so that a file that is altered or not whole is told before anything is written. What is here already
is known by its identifier: a run that was cut off is run again, and goes on where it stopped.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.principal import Principal
from app.domain.kinds import KINDS
from app.domain.tlp import Label
from app.exchange.exports.full_export import VERSION
from app.exchange.imports.cells import Cell, Row, UnreadableFile, cell_text
from app.exchange.imports.file_readers import read_documents, read_tables
from app.exchange.imports.reference import MODELS, add_reference, reference_errors
from app.exchange.imports.statements import TABULAR, Progress, RowProblem
from app.exchange.replication.apply import KNOWN_TYPES, ApplyResult, AuthorFor, EntryApplier
from app.exchange.replication.entry_schema import complete_entry, entry_errors, statement_of
from app.http.content_negotiation import Format
from app.http.problems import FieldProblem, field_problems
from app.ledger.hash_chain import GENESIS, canonical_json, chain_hash
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database

BATCH_SIZE = 500
MOST_PROBLEMS = 1000
_BESIDE_ENTRY = frozenset({"record", "seq", "hash", "redacted"})


@dataclass(frozen=True, slots=True)
class _Record:
    """One record, and where it stands: its row, and its sheet in a workbook."""

    row: int
    sheet: str | None
    content: dict[str, Any]


@dataclass(slots=True)
class FullImportResult:
    """What became of a full export. `added` counts by record and type of change; `unknown` what this version does not know.

    `otherwise` are amendments that do not fit what stands here. `clearance` is that of the export.
    """

    written: bool = False
    clearance: str = ""
    rows: int = 0
    added: Counter[str] = field(default_factory=Counter)
    existing: int = 0
    conflicts: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    problem_count: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    def reject(self, at: _Record, wrong: Sequence[FieldProblem]) -> None:
        """Count what is wrong with a record."""
        self.problem_count += len(wrong)
        found = [RowProblem(at.row, each.pointer, each.detail, None, at.sheet) for each in wrong]
        self.problems += found[: MOST_PROBLEMS - len(self.problems)]

    def count(self, lot: Sequence[_Record], applied: ApplyResult) -> None:
        """Count what became of some entries."""
        self.added += applied.added
        self.existing += applied.existing
        self.conflicts += applied.conflicts
        self.unknown += applied.unknown
        for at, wrong in applied.refused:
            self.reject(lot[at], wrong)


def is_full_export(file: IO[bytes], format_: Format) -> bool:
    """Whether a file is a full export: its first record says so."""
    try:
        if format_ is Format.XLSX:
            # A workbook is closed as soon as nobody holds its tables.
            tables = read_tables(file, format_)
            first = next(tables)
            return first.name == SHEETS["export"] and _begins_export(next(first.rows))
        if format_ is Format.CSV:
            return _begins_export(next(next(read_tables(file, format_)).rows))
        if format_ is Format.NDJSON:
            _, document = next(read_documents(file, format_))
            return isinstance(document, dict) and document.get("record") == "export"
    except (StopIteration, UnreadableFile):
        pass
    return False


def _begins_export(row: Row) -> bool:
    return [*row.cells][:2] == [each.header for each in COLUMNS["export"][:2]]


def _records(file: IO[bytes], format_: Format) -> Iterator[_Record]:
    if format_ not in TABULAR:
        for number, document in read_documents(file, format_):
            if not isinstance(document, dict):
                raise UnreadableFile(f"Line {number} of the export is not a JSON object.")
            yield _Record(number, None, document)
        return
    for table in read_tables(file, format_):
        heading = next(table.rows, None)
        if heading is None:
            continue
        headers = [cell_text(each) for each in heading.cells]
        next(table.rows, None)
        for row in table.rows:
            texts = [_exact(each) for each in row.cells]
            try:
                content = restore(headers, [*texts, *[""] * (len(headers) - len(texts))])
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                at = f"Row {row.number}" + (f" of the sheet {table.name}" if table.name else "")
                raise UnreadableFile(f"{at} is no record of a full export that this version knows: {error}.") from None
            yield _Record(row.number, table.name, content)


def _exact(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell_text(cell)


class _Head(BaseModel):
    clearance: Label
    seq: int
    hash: str


class _Walk:
    """The chain of the export, record by record."""

    def __init__(self) -> None:
        self.head: _Head | None = None
        self._seq = 0
        self._hash = GENESIS

    def step(self, at: _Record) -> str | None:
        """What is wrong with the next record as part of the whole; None where it fits."""
        content = at.content
        if self.head is None:
            if content.get("record") != "export" or content.get("version") != VERSION:
                raise UnreadableFile(f"This is no full export of version {VERSION}.")
            try:
                self.head = _Head.model_validate(content)
            except ValidationError as error:
                wrong = field_problems(error)[0]
                raise UnreadableFile(f"This is no full export of version {VERSION}: {wrong.pointer} {wrong.detail}.") from None
        elif content.get("record") == "change":
            self._seq += 1
            given = content.get("hash")
            # What was withheld since it was written cannot be hashed any more: its hash is taken as given.
            expected = given if content.get("redacted") and isinstance(given, str) else self._link(content)
            fits = expected is not None and (content.get("seq"), given) == (self._seq, expected)
            # The next is held against this one, so that one fault is told once.
            self._seq = content["seq"] if isinstance(content.get("seq"), int) else self._seq
            self._hash = given if isinstance(given, str) else self._hash
            if not fits:
                return "the entry is not the one that was written: its number or hash does not follow from those before"
        elif not isinstance(content.get("record"), str) or content["record"] not in MODELS:
            return "this is no record of a full export that this version knows"
        return None

    def _link(self, content: Mapping[str, Any]) -> str | None:
        entry = {name: each for name, each in content.items() if name not in _BESIDE_ENTRY}
        try:
            return chain_hash(self._hash, canonical_json(entry))
        except ValueError:
            # A number or a text that no JSON of ours has.
            return None

    def end(self) -> str | None:
        """What is missing at the end; None where the export is whole."""
        assert self.head is not None
        if (self._seq, self._hash) == (self.head.seq, self.head.hash):
            return None
        return f"the export is not whole: it ends at {self._seq} of {self.head.seq} entries"


class FullImport:
    """A full export in a file. `teller` says as whom its entries are recorded, `asker` who is told what became of them, as in `Applier`."""

    def __init__(
        self,
        file: IO[bytes],
        format_: Format,
        database: Database,
        author_for: AuthorFor,
        settings: Settings,
        *,
        requester: Principal | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self._file = file
        self._format = format_
        self._database = database
        self._applier = EntryApplier(author_for, settings, requester)
        self._settings = settings
        self._progress = progress

    async def dry_run(self) -> FullImportResult:
        """Walk the whole file and check each record by itself. Nothing is written, and what is here already is not looked at."""
        restored = FullImportResult()
        walk = _Walk()
        records = _records(self._file, self._format)
        last = _Record(0, None, {})
        while lot := await asyncio.to_thread(lambda: list(islice(records, BATCH_SIZE))):
            await asyncio.to_thread(self._look, lot, walk, restored)
            last = lot[-1]
            self._progress(len(lot))
        if walk.head is None:
            raise UnreadableFile("The file is empty.")
        restored.clearance = walk.head.clearance.value
        if (missing := walk.end()) is not None:
            restored.reject(last, [FieldProblem(pointer="", detail=missing)])
        return restored

    def _look(self, lot: Sequence[_Record], walk: _Walk, restored: FullImportResult) -> None:
        for at in lot:
            restored.rows += 1
            if (altered := walk.step(at)) is not None:
                restored.reject(at, [FieldProblem(pointer="", detail=altered)])
                continue
            record = at.content["record"]
            if record == "change" and (wrong := entry_errors(at.content)):
                restored.reject(at, wrong)
            elif record == "change":
                entry = complete_entry(at.content)
                type_, report = entry["type"], entry["report"]
                if type_ not in KNOWN_TYPES or (report and report["kind"] not in KINDS):
                    restored.unknown[type_] += 1
                    continue
                restored.added[type_] += 1
                if report and type_ in ("report", "correction") and isinstance(sent := validate(statement_of(entry), self._settings), list):
                    restored.reject(at, sent)
            elif record in MODELS:
                restored.added[record] += 1
                restored.reject(at, reference_errors(record, at.content))

    async def write(self, transaction: AsyncSession | None = None) -> FullImportResult:
        """Take in a file that `look` found right. A transaction for each lot, unless one is given."""
        restored = FullImportResult(written=True)
        records = _records(self._file, self._format)
        orphans: list[_Record] = []
        while lot := await asyncio.to_thread(lambda: list(islice(records, BATCH_SIZE))):
            restored.clearance = restored.clearance or lot[0].content["clearance"]
            if transaction is not None:
                await self._take(transaction, lot, orphans, restored)
            else:
                async with self._database.write() as session:
                    await self._take(session, lot, orphans, restored)
            self._progress(len(lot))
        for at in orphans:
            restored.reject(at, [FieldProblem(pointer="/parent", detail="there is no such place")])
        return restored

    async def _take(self, session: AsyncSession, lot: Sequence[_Record], orphans: list[_Record], restored: FullImportResult) -> None:
        restored.rows += len(lot)
        # A place that was added beneath one that came from elsewhere may stand before it: it waits for its parent.
        named = [*orphans, *(each for each in lot if each.content["record"] in MODELS)]
        orphans.clear()
        answers = await add_reference(session, [(each.content["record"], each.content) for each in named])
        for at, answer in zip(named, answers, strict=True):
            if isinstance(answer, FieldProblem) and answer.pointer == "/parent":
                orphans.append(at)
            elif isinstance(answer, FieldProblem):
                restored.reject(at, [answer])
            elif answer:
                restored.added[at.content["record"]] += 1
            else:
                restored.existing += 1
        entries = [each for each in lot if each.content["record"] == "change"]
        restored.count(entries, await self._applier.apply(session, [each.content for each in entries]))
