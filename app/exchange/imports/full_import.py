"""Imports a full export, whose hash chain is verified before anything is written, and whose records keep their identifiers."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import IO, Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.kinds import KINDS
from app.domain.tlp import Label
from app.exchange.exports.full_export import VERSION
from app.exchange.imports.column_mapping import ParsedRow
from app.exchange.imports.file_readers import read_batches, read_documents
from app.exchange.imports.results import ImportContent, ImportOut, Progress
from app.exchange.imports.tables import UnreadableFile
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.entry_schema import KNOWN_TYPES, parse_entry
from app.exchange.replication.reference import parse_record
from app.http.content_negotiation import Format
from app.http.problems import FieldProblem, field_problems
from app.ledger.hash_chain import GENESIS, canonical_json, chain_hash
from app.ledger.models import REFERENCE_TYPES
from app.ledger.queries import STATEMENT_TYPES
from app.reports.references import FieldErrors
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database

BATCH_SIZE = 500
# Fields of a change that are not part of the hashed entry.
_NOT_HASHED = frozenset({"record", "seq", "hash", "redacted"})


def is_full_export(file: IO[bytes], format_: Format) -> bool:
    """Return whether the first record says that the file is a full export."""
    _, document = next(read_documents(file, format_), (0, None)) if format_ is Format.NDJSON else (0, None)
    return isinstance(document, dict) and document.get("record") == "export"


class _Head(BaseModel):
    clearance: Label
    seq: int
    hash: str


class _ExportVerifier:
    """Verifies that the records of an export are complete and in order."""

    def __init__(self) -> None:
        self.head: _Head | None = None
        self._seq = 0
        self._hash = GENESIS

    def check(self, record: Mapping[str, Any]) -> str | None:
        """Return what is wrong with the next record; None if it follows from those before."""
        if self.head is None:
            if record.get("record") != "export" or record.get("version") != VERSION:
                raise UnreadableFile(f"The file is not a full export of version {VERSION}.")
            try:
                self.head = _Head.model_validate(record)
            except ValidationError as error:
                problem = field_problems(error)[0]
                raise UnreadableFile(f"The file is not a full export of version {VERSION}: {problem.pointer} {problem.detail}.") from None
        elif record.get("record") == "change":
            self._seq += 1
            hash_ = record.get("hash")
            # An entry that was redacted after it was written cannot be hashed again: its hash is accepted.
            expected = hash_ if record.get("redacted") and isinstance(hash_, str) else self._hash_of(record)
            follows = expected is not None and (record.get("seq"), hash_) == (self._seq, expected)
            # The next entry is compared with this one, so that one error is reported once.
            self._seq = record["seq"] if isinstance(record.get("seq"), int) else self._seq
            self._hash = hash_ if isinstance(hash_, str) else self._hash
            if not follows:
                return "the entry was altered: its seq or hash does not follow from the entries before"
        else:
            return "the type of the record is unknown: it has to be export or change"
        return None

    def _hash_of(self, change: Mapping[str, Any]) -> str | None:
        entry = {name: each for name, each in change.items() if name not in _NOT_HASHED}
        try:
            return chain_hash(self._hash, canonical_json(entry))
        except ValueError:
            # A number or text that cannot be written as canonical JSON.
            return None

    def missing(self) -> str | None:
        """Return what is missing after the last record; None if the export is complete."""
        assert self.head is not None
        if (self._seq, self._hash) == (self.head.seq, self.head.hash):
            return None
        return f"the export is incomplete: it ends at entry {self._seq} of {self.head.seq}"


@dataclass(frozen=True)
class FullImport:
    """Imports a full export through an applier for its entries."""

    file: IO[bytes]
    database: Database
    applier: EntryApplier
    settings: Settings
    on_progress: Progress = lambda _: None

    async def dry_run(self) -> ImportOut:
        """Verify the export and each record by itself; existing records count as added."""
        result = ImportOut(holds=ImportContent.EXPORT)
        verifier = _ExportVerifier()
        last = ParsedRow(0, {})
        async for batch in read_batches(self._read_records(), BATCH_SIZE, self.on_progress):
            await asyncio.to_thread(self._check, batch, verifier, result)
            last = batch[-1]
        if verifier.head is None:
            raise UnreadableFile("The file is empty.")
        result.clearance = verifier.head.clearance.value
        result.created = result.added.total()
        if (missing := verifier.missing()) is not None:
            result.reject([last.locate(FieldProblem(pointer="", detail=missing))])
        return result

    def _read_records(self) -> Iterator[ParsedRow]:
        for line, document in read_documents(self.file, Format.NDJSON):
            if not isinstance(document, dict):
                raise UnreadableFile(f"Line {line} of the export is not a JSON object.")
            yield ParsedRow(line, document)

    def _check(self, batch: Sequence[ParsedRow], verifier: _ExportVerifier, result: ImportOut) -> None:
        for record in batch:
            result.rows += 1
            errors: FieldErrors = []
            if (problem := verifier.check(record.body)) is not None:
                errors = [FieldProblem(pointer="", detail=problem)]
            elif record.body["record"] == "change":
                errors = self._check_change(record.body, result)
            result.reject(record.locate(each) for each in errors)

    def _check_change(self, change: Mapping[str, Any], result: ImportOut) -> FieldErrors:
        entry = parse_entry(change)
        if isinstance(entry, list):
            return entry
        if entry.type not in KNOWN_TYPES or (entry.report is not None and entry.report.kind not in KINDS):
            result.unknown[entry.type] += 1
            return []
        result.added[entry.type] += 1
        if entry.type in REFERENCE_TYPES:
            parsed = parse_record(entry)
            return parsed if isinstance(parsed, list) else []
        checked = validate(entry.statement, self.settings) if entry.type in STATEMENT_TYPES else []
        return checked if isinstance(checked, list) else []

    async def write(self, transaction: AsyncSession | None = None) -> ImportOut:
        """Import a file without problems in its dry run, in a transaction for each batch unless one is given."""
        result = ImportOut(holds=ImportContent.EXPORT, written=True)
        self.applier.start_file()
        async for batch in read_batches(self._read_records(), BATCH_SIZE, self.on_progress):
            async with nullcontext(transaction) if transaction else self.database.write() as session:
                await self._apply(session, [each for each in batch if each.body["record"] == "change"], result)
            result.rows += len(batch)
        result.created = result.added.total()
        return result

    async def _apply(self, session: AsyncSession, changes: Sequence[ParsedRow], result: ImportOut) -> None:
        applied = await self.applier.apply(session, [each.body for each in changes])
        result.added += applied.added
        result.existing += applied.existing
        result.conflicts += applied.conflicts
        result.unknown += applied.unknown
        for at, errors in applied.refused:
            result.reject(changes[at].locate(each) for each in errors)
