"""Verify that nothing in the ledger was altered, removed or reordered, by hashing the chain of each clearance again."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from rfc8785 import CanonicalizationError
from sqlalchemy import case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorSource
from app.domain.kinds import KINDS
from app.domain.times import end_of, start_of
from app.domain.tlp import LABELS, LEVELS, MAX_LEVEL, Label
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import FIRST_RECORDED_AT, HASH_COLUMNS, SEQ_COLUMNS, LedgerEntry, LedgerHead
from app.ledger.queries import STATEMENT_TYPES, decode_entry, load_aliases, load_head, select_entries
from app.reference.models import Source, SourceGrade
from app.reports.models import Report
from app.storage.types import table_of

BATCH_SIZE = 1000


class ChainVerifier:
    """Checks entries one after the other, and derives from them what the `report` table should hold."""

    def __init__(self) -> None:
        self.global_seq = 0
        self.seq = [0] * len(LABELS)
        self.hashes = [GENESIS] * len(LABELS)
        # By report: the levels from which it is superseded and retracted, and the last entry that changed either.
        self.terminations: dict[str, tuple[int | None, int | None, int]] = {}
        # By report with a changed label: its current, lowest and submitted level.
        self.labels: dict[str, tuple[int, int, int]] = {}
        # By `global_seq` of a correction: the level of the superseded report at that time, if its label had changed.
        self.superseded_levels: dict[int, int] = {}

    def check(self, entry: LedgerEntry, report: Report | None, body: dict[str, Any], aliases: Mapping[str, str]) -> list[str]:
        """Return the problems of the next entry."""
        problems = []
        what = f"entry {entry.global_seq} ({entry.type}, report {entry.report_id})"
        if entry.global_seq != self.global_seq + 1:
            problems.append(f"entry {self.global_seq + 1}: missing from the ledger")
        self.global_seq = entry.global_seq
        if entry.type in STATEMENT_TYPES and report is None:
            problems.append(f"{what}: its report is missing")
        if self._altered(entry, body, aliases):
            problems.append(f"{what}: the entry, its report or its place in the chain was altered")
        elif entry.type in STATEMENT_TYPES and report is not None and not _columns_agree(entry, report):
            problems.append(f"{what}: the columns of its report do not agree with its content")
        if entry.type == "label" and (report is None or not self._label_follows(entry, report)):
            problems.append(f"{what}: it does not start from the label that the report had")
        self._record_termination(entry)
        return problems

    def _label_follows(self, entry: LedgerEntry, report: Report) -> bool:
        detail = entry.detail or {}
        new, before = LEVELS[Label(detail["sensitivity"])], LEVELS[Label(detail["before"])]
        current, lowest, submitted = self.labels.get(str(report.id), (report.submitted_level,) * 3)
        self.labels[str(report.id)] = (new, min(lowest, new), submitted)
        return current == before and (entry.level, entry.redacted_below) == (min(new, before), max(new, before))

    def _altered(self, entry: LedgerEntry, body: dict[str, Any], aliases: Mapping[str, str]) -> bool:
        views = EntryViews(entry, body, aliases)
        altered = False
        for level in range(MAX_LEVEL + 1):
            stored = getattr(entry, SEQ_COLUMNS[level]), getattr(entry, HASH_COLUMNS[level])
            if level < entry.level:
                altered |= stored != (None, None)
                continue
            try:
                expected = chain_hash(self.hashes[level], views.canonical(level))
            except CanonicalizationError:
                # A number that JSON cannot carry, which the service never writes.
                expected = None
            altered |= stored != (self.seq[level] + 1, expected)
            # Continue from the stored values; otherwise every entry after an altered one would be reported.
            self.seq[level], self.hashes[level] = stored[0] or self.seq[level] + 1, stored[1] or expected or GENESIS
        return altered

    def _record_termination(self, entry: LedgerEntry) -> None:
        detail = entry.detail or {}
        report = str(entry.report_id) if entry.type == "retraction" else detail.get("supersedes")
        if report is None:
            return
        superseded, retracted, _ = self.terminations.get(report, (None, None, 0))
        if entry.type == "retraction":
            self.terminations[report] = (superseded, entry.level, entry.global_seq)
            return
        level = entry.level
        if entry.type == "correction":
            level = max(level, entry.redacted_below)
            if report in self.labels:
                self.superseded_levels[entry.global_seq] = self.labels[report][0]
        self.terminations[report] = (level if superseded is None else min(superseded, level), retracted, entry.global_seq)


def _columns_agree(entry: LedgerEntry, report: Report) -> bool:
    kind = KINDS.get(report.kind)
    if kind is None:
        return False
    value = kind.value_model.model_validate(report.value)
    return (
        report.global_seq == entry.global_seq
        and report.indicator_id == entry.indicator_id
        and report.recorded_at == entry.recorded_at
        and report.submitted_level == entry.level
        and report.stated_at == start_of(report.stated_text)
        and report.effective_at == (end_of(report.observed_to) if report.observed_to else start_of(report.stated_text))
        and report.endless == kind.is_endless(value)
        and report.filter_key == str(report.value[kind.filter_field])
        and report.facet == kind.facet(value)
    )


async def verify_chain(connection: AsyncConnection) -> AsyncIterator[str]:
    """Yield the problems of the ledger, from its first entry on, and of the tables that follow from it."""
    verifier = ChainVerifier()
    global_seq = table_of(LedgerEntry).c.global_seq
    batches = select_entries().order_by(global_seq).limit(BATCH_SIZE)
    while rows := (await connection.execute(batches.where(global_seq > verifier.global_seq))).mappings().all():
        decoded = [decode_entry(row) for row in rows]
        aliases = await load_aliases(connection, [body for _, _, body in decoded])
        for each in decoded:
            for problem in verifier.check(*each, aliases):
                yield problem
    for check in (
        _verify_head(connection, verifier),
        _verify_reports(connection, verifier),
        _verify_corrections(connection, verifier),
        _verify_grades(connection),
        _verify_indicator_sources(connection),
    ):
        async for problem in check:
            yield problem


async def _verify_head(connection: AsyncConnection, verifier: ChainVerifier) -> AsyncIterator[str]:
    head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
    if head["global_seq"] != verifier.global_seq:
        yield f"head: it names entry {head['global_seq']} as the last, but the ledger ends at entry {verifier.global_seq}"
    for level, label in enumerate(LABELS):
        if (head[SEQ_COLUMNS[level]] or 0, head[HASH_COLUMNS[level]] or GENESIS) != (verifier.seq[level], verifier.hashes[level]):
            yield f"head: seq or hash of {label} is not that of the last entry"


async def check_head(connection: AsyncConnection) -> str | None:
    """Return the problem if the head does not match the last entries, which costs one index lookup per clearance."""
    head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
    for level, label in enumerate(LABELS):
        last = await load_head(connection, level)
        if (head[SEQ_COLUMNS[level]] or 0, head[HASH_COLUMNS[level]] or GENESIS) != (last["seq"], last["hash"]):
            return f"the head of {label} is not that of the last entry: run `lifeline verify`"
    return None


async def _verify_reports(connection: AsyncConnection, verifier: ChainVerifier) -> AsyncIterator[str]:
    recorded = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.type).in_(STATEMENT_TYPES))
    orphans = select(col(Report.id)).where(col(Report.global_seq).not_in(recorded)).order_by(col(Report.global_seq))
    for orphan in (await connection.execute(orphans)).scalars():
        yield f"report {orphan}: no entry records it"
    columns = table_of(Report).c
    ended = (columns.superseded_from_level, columns.retracted_from_level, columns.ended_global_seq)
    labels = (columns.level, columns.lowest_level, columns.submitted_level)
    relabelled = {report: levels for report, levels in verifier.labels.items() if len(set(levels)) > 1}
    for name, selected, where, expected in (
        ("status", ended, or_(*(column.is_not(None) for column in ended)), verifier.terminations),
        ("label", labels, or_(labels[0] != labels[2], labels[1] != labels[2]), relabelled),
    ):
        found = {str(row[0]): tuple(row[1:]) for row in await connection.execute(select(columns.id, *selected).where(where))}
        for report in sorted(found.keys() | expected.keys()):
            if found.get(report) != expected.get(report):
                yield f"report {report}: its {name} is not the one that the ledger gives it"


async def _verify_corrections(connection: AsyncConnection, verifier: ChainVerifier) -> AsyncIterator[str]:
    entries, new, old = table_of(LedgerEntry), table_of(Report), table_of(Report).alias("old")
    corrections = (
        select(*(entries.c[name] for name in ("global_seq", "detail", "redacted_below", "from_indicator_id")))
        .add_columns(new.c.supersedes, new.c.indicator_id)
        .add_columns(old.c.id.label("old"), old.c.submitted_level, old.c.indicator_id.label("old_indicator_id"))
        .select_from(entries)
        .join(new, new.c.global_seq == entries.c.global_seq)
        .outerjoin(old, old.c.id == new.c.supersedes)
        .where(or_(entries.c.type == "correction", new.c.supersedes.is_not(None), entries.c.from_indicator_id.is_not(None)))
    )
    for row in await connection.execute(corrections.order_by(entries.c.global_seq)):
        left = row.old_indicator_id if row.old_indicator_id != row.indicator_id else None
        supersedes = (row.detail or {}).get("supersedes")
        level = verifier.superseded_levels.get(row.global_seq, row.submitted_level)
        if (supersedes, row.redacted_below, row.from_indicator_id) != (str(row.old), level, left):
            yield f"entry {row.global_seq} (correction): its columns do not agree with the report that it supersedes"


async def _verify_grades(connection: AsyncConnection) -> AsyncIterator[str]:
    entries: dict[tuple[Any, int], tuple[Any, str]] = {}
    first: dict[Any, str] = {}
    columns = (col(LedgerEntry.source_id), col(LedgerEntry.global_seq), col(LedgerEntry.detail), col(LedgerEntry.recorded_at))
    regrading = select(*columns).where(col(LedgerEntry.type) == "grade").order_by(col(LedgerEntry.global_seq))
    for source, number, detail, recorded_at in await connection.execute(regrading):
        since = (detail or {}).get(FIRST_RECORDED_AT)
        entries[source, number] = start_of(since) if since else recorded_at, (detail or {}).get("reliability", "")
        first.setdefault(source, (detail or {}).get("before", ""))
    grades = table_of(SourceGrade).c
    # NULL for the first grade, whose `effective_from` PostgreSQL's driver cannot read.
    since_column = case((grades.global_seq > 0, grades.effective_from)).label("since")
    stored = select(grades.source_id, grades.global_seq, grades.reliability, since_column, col(Source.slug))
    stored = stored.join(Source, col(Source.id) == grades.source_id).order_by(col(Source.slug), grades.global_seq)
    for row in await connection.execute(stored):
        if row.global_seq == 0:
            agrees = first.get(row.source_id, row.reliability) == row.reliability
        else:
            agrees = entries.pop((row.source_id, row.global_seq), None) == (row.since, row.reliability)
        if not agrees:
            yield f"source {row.slug}: its grade since entry {row.global_seq} is not what the ledger says"
    for source, number in entries:
        yield f"source {source}: its grade since entry {number} is missing"


async def _verify_indicator_sources(connection: AsyncConnection) -> AsyncIterator[str]:
    reports, sources, names = table_of(Report), table_of(IndicatorSource), ("indicator_id", "source_id", "facet", "level")
    from_reports, stored = [reports.c[name] for name in names], [sources.c[name] for name in names]
    # A changed label leaves the row of the old level behind and adds one from the label change on, so compare these without numbers.
    relabelled = select(col(LedgerEntry.indicator_id)).where(col(LedgerEntry.type) == "label")
    expected_rows = select(*from_reports, func.min(reports.c.global_seq)).group_by(*from_reports)
    expected_rows = expected_rows.where(reports.c.indicator_id.not_in(relabelled))
    stored_rows = select(*stored, sources.c.first_global_seq).where(sources.c.indicator_id.not_in(relabelled))
    differences = (
        expected_rows.except_(stored_rows),
        stored_rows.except_(expected_rows),
        select(*from_reports).except_(select(*stored)),
    )
    altered = {row.indicator_id for difference in differences for row in await connection.execute(difference)}
    for indicator in sorted(altered):
        yield f"indicator {indicator}: the index of its sources was altered"
