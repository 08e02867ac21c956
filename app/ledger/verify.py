"""Proof that nothing in the ledger was altered, removed or reordered: the chain of each clearance is walked and hashed anew."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from rfc8785 import CanonicalizationError
from sqlalchemy import case, func, or_, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorSource
from app.domain.kinds import KINDS
from app.domain.times import start_of
from app.domain.tlp import LABELS, LEVELS, TOP, Label
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry, LedgerHead
from app.ledger.queries import STATEMENT_TYPES, decode_entry, load_aliases, select_entries
from app.reference.models import Source, SourceGrade
from app.reports.models import Report
from app.storage.types import table_of

BATCH_SIZE = 1000


class ChainVerifier:
    """Where a walk along the ledger stands: the last number, and seq and hash of each clearance."""

    def __init__(self) -> None:
        self.number = 0
        self.seq = [0] * len(LABELS)
        self.hashes = [GENESIS] * len(LABELS)
        # From which level on reports are superseded and retracted, and by which change last, by identifier.
        self.ends: dict[str, tuple[int | None, int | None, int]] = {}
        # The label now, the lowest that there was, and the one sent, of reports whose label was changed, by identifier.
        self.labels: dict[str, tuple[int, int, int]] = {}
        # The label that a superseded report had been moved to by then, by the number of the correction.
        self.labels_then: dict[int, int] = {}

    def check(self, change: LedgerEntry, report: Report | None, entry: dict[str, Any], aliases: Mapping[str, str]) -> list[str]:
        """Check one change; answers what is wrong with it."""
        problems = []
        what = f"change {change.global_seq} ({change.type}, report {change.report_id})"
        if change.global_seq != self.number + 1:
            problems.append(f"change {self.number + 1}: missing from the ledger")
        self.number = change.global_seq
        if change.type in STATEMENT_TYPES and report is None:
            problems.append(f"{what}: its report is missing")
        if self._altered(change, entry, aliases):
            problems.append(f"{what}: the entry or what it brought was altered, or its place in the chain")
        elif change.type in STATEMENT_TYPES and report is not None and not _consistent(change, report):
            problems.append(f"{what}: what is kept beside the report is not what the report says")
        if change.type == "label" and (report is None or not self._label(change, report)):
            problems.append(f"{what}: the label was not as it says before it")
        self._end(change)
        return problems

    def _label(self, change: LedgerEntry, report: Report) -> bool:
        detail = change.detail or {}
        new, before = LEVELS[Label(detail["sensitivity"])], LEVELS[Label(detail["before"])]
        now, lowest, sent = self.labels.get(str(report.id), (report.submitted_level,) * 3)
        self.labels[str(report.id)] = (new, min(lowest, new), sent)
        return now == before and (change.level, change.redacted_below) == (min(new, before), max(new, before))

    def _altered(self, change: LedgerEntry, entry: dict[str, Any], aliases: Mapping[str, str]) -> bool:
        faces = EntryViews(change, entry, aliases)
        altered = False
        for level in range(TOP + 1):
            stored = getattr(change, f"seq_{LABELS[level]}"), getattr(change, f"hash_{LABELS[level]}")
            if level < change.level:
                altered |= stored != (None, None)
                continue
            try:
                hashed = chain_hash(self.hashes[level], faces.canonical(level))
            except CanonicalizationError:
                # A number that JSON cannot carry: nothing that the service wrote.
                hashed = None
            altered |= stored != (self.seq[level] + 1, hashed)
            # Going on from the stored values names each altered entry once, instead of all that follow it.
            self.seq[level], self.hashes[level] = stored[0] or self.seq[level] + 1, stored[1] or hashed or GENESIS
        return altered

    def _end(self, change: LedgerEntry) -> None:
        if change.type == "retraction":
            superseded = self.ends.get(str(change.report_id), (None, None, 0))[0]
            self.ends[str(change.report_id)] = (superseded, change.level, change.global_seq)
        elif change.type == "correction" and change.detail is not None:
            before, retracted, _ = self.ends.get(change.detail["supersedes"], (None, None, 0))
            level = max(change.level, change.redacted_below)
            if change.detail["supersedes"] in self.labels:
                self.labels_then[change.global_seq] = self.labels[change.detail["supersedes"]][0]
            self.ends[change.detail["supersedes"]] = (level if before is None else min(before, level), retracted, change.global_seq)
        elif change.type == "label" and change.detail is not None and (old := change.detail.get("supersedes")):
            before, retracted, _ = self.ends.get(old, (None, None, 0))
            self.ends[old] = (change.level if before is None else min(before, change.level), retracted, change.global_seq)


def _consistent(change: LedgerEntry, report: Report) -> bool:
    kind = KINDS.get(report.kind)
    if kind is None:
        return False
    value = kind.value_model.model_validate(report.value)
    return (
        report.global_seq == change.global_seq
        and report.indicator_id == change.indicator_id
        and report.recorded_at == change.recorded_at
        and report.submitted_level == change.level
        and report.stated_at == start_of(report.stated_text)
        and report.filter_key == str(report.value[kind.filter_field])
        and report.facet == kind.facet(value)
    )


async def verify_sqlite_file(connection: AsyncConnection) -> AsyncIterator[str]:
    """Whether SQLite finds its file whole, and every row that another names there; PostgreSQL sees to both itself."""
    if connection.dialect.name != "sqlite":
        return
    try:
        for (found,) in await connection.exec_driver_sql("PRAGMA integrity_check(20)"):
            if found != "ok":
                yield f"file: {found}"
        for row in (await connection.exec_driver_sql("PRAGMA foreign_key_check")).mappings():
            yield f"file: row {row['rowid']} of {row['table']} names what is not in {row['parent']}"
    except DatabaseError as error:
        yield f"file: {error.orig}"


async def verify_chain(connection: AsyncConnection) -> AsyncIterator[str]:
    """Walk the ledger from its first entry; yields one line for each thing that is not as it was written."""
    walk = ChainVerifier()
    changes = table_of(LedgerEntry)
    while rows := (
        (
            await connection.execute(
                select_entries().where(changes.c.global_seq > walk.number).order_by(changes.c.global_seq).limit(BATCH_SIZE)
            )
        )
        .mappings()
        .all()
    ):
        read = [decode_entry(row) for row in rows]
        aliases = await load_aliases(connection, [entry for _, _, entry in read])
        for each in read:
            for problem in walk.check(*each, aliases):
                yield problem
    async for problem in _verify_head(connection, walk):
        yield problem
    async for problem in _verify_reports(connection, walk):
        yield problem
    async for problem in _verify_corrections(connection, walk):
        yield problem
    async for problem in _verify_grades(connection):
        yield problem
    async for problem in _verify_indicator_sources(connection):
        yield problem


async def _verify_head(connection: AsyncConnection, walk: ChainVerifier) -> AsyncIterator[str]:
    head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
    if head["global_seq"] != walk.number:
        yield f"head: says that the last change is {head['global_seq']}, the ledger ends at {walk.number}"
    for level, label in enumerate(LABELS):
        if (head[f"seq_{label}"] or 0, head[f"hash_{label}"] or GENESIS) != (walk.seq[level], walk.hashes[level]):
            yield f"head: seq or hash of {label} is not that of the last entry"


async def check_head(connection: AsyncConnection) -> str | None:
    """Whether the head is that of the last entry, which costs two steps into an index; what is wrong where it is not."""
    head = (await connection.execute(select(*table_of(LedgerHead).c))).mappings().one()
    changes = table_of(LedgerEntry).c
    for label in LABELS:
        seq, hash_ = changes[f"seq_{label}"], changes[f"hash_{label}"]
        last = (await connection.execute(select(seq, hash_).where(seq.is_not(None)).order_by(seq.desc()).limit(1))).one_or_none()
        if (head[f"seq_{label}"] or 0, head[f"hash_{label}"] or GENESIS) != (tuple(last) if last else (0, GENESIS)):
            return f"the head of {label} is not that of the last entry: run `lifeline verify`"
    return None


async def _verify_reports(connection: AsyncConnection, walk: ChainVerifier) -> AsyncIterator[str]:
    brought = select(col(LedgerEntry.global_seq)).where(col(LedgerEntry.type).in_(STATEMENT_TYPES))
    orphans = select(col(Report.id)).where(col(Report.global_seq).not_in(brought)).order_by(col(Report.global_seq))
    for orphan in (await connection.execute(orphans)).scalars():
        yield f"report {orphan}: no change brought it"
    columns = (col(Report.superseded_from_level), col(Report.retracted_from_level), col(Report.ended_global_seq))
    ended = select(col(Report.id), *columns).where(or_(*(each.is_not(None) for each in columns)))
    for row in await connection.execute(ended):
        if walk.ends.pop(str(row[0]), None) != tuple(row[1:]):
            yield f"report {row[0]}: the ledger does not end it as it is marked"
    labels = (col(Report.level), col(Report.lowest_level), col(Report.submitted_level))
    moved = select(col(Report.id), *labels).where(or_(labels[0] != labels[2], labels[1] != labels[2]))
    found = {str(row[0]): tuple(row[1:]) for row in await connection.execute(moved)}
    expected = {report: told for report, told in walk.labels.items() if len(set(told)) > 1}
    for report in sorted(found.keys() | expected.keys()):
        if found.get(report) != expected.get(report):
            yield f"report {report}: its label is not the one that the ledger gives it"
    for report in walk.ends:
        yield f"report {report}: the ledger ends it, but it is not marked so"


async def _verify_corrections(connection: AsyncConnection, walk: ChainVerifier) -> AsyncIterator[str]:
    """What is kept beside corrections of the report that they supersede, against that report."""
    changes, new, old = table_of(LedgerEntry), table_of(Report), table_of(Report).alias("old")
    corrections = (
        select(
            changes.c.global_seq,
            changes.c.detail,
            changes.c.redacted_below,
            changes.c.from_indicator_id,
            new.c.supersedes,
            new.c.indicator_id,
        )
        .add_columns(old.c.id.label("old"), old.c.submitted_level, old.c.indicator_id.label("old_indicator_id"))
        .select_from(changes)
        .join(new, new.c.global_seq == changes.c.global_seq)
        .outerjoin(old, old.c.id == new.c.supersedes)
        .where(or_(changes.c.type == "correction", new.c.supersedes.is_not(None), changes.c.from_indicator_id.is_not(None)))
    )
    for row in await connection.execute(corrections.order_by(changes.c.global_seq)):
        left = row.old_indicator_id if row.old_indicator_id != row.indicator_id else None
        said = (row.detail or {}).get("supersedes")
        level = walk.labels_then.get(row.global_seq, row.submitted_level)
        if (said, row.redacted_below, row.from_indicator_id) != (str(row.old), level, left):
            yield f"change {row.global_seq} (correction): what is kept beside it of the report that it supersedes was altered"


async def _verify_grades(connection: AsyncConnection) -> AsyncIterator[str]:
    """The grades by which readings are made, against the entries that set them; a source's first, against the one that followed it."""
    entries_: dict[tuple[Any, int], tuple[Any, str]] = {}
    first: dict[Any, str] = {}
    regraded = select(col(LedgerEntry.source_id), col(LedgerEntry.global_seq), col(LedgerEntry.detail), col(LedgerEntry.recorded_at)).where(
        col(LedgerEntry.type) == "grade"
    )
    for source, number, detail, recorded_at in await connection.execute(regraded.order_by(col(LedgerEntry.global_seq))):
        since = (detail or {}).get(FIRST_RECORDED_AT)
        entries_[source, number] = start_of(since) if since else recorded_at, (detail or {}).get("reliability", "")
        first.setdefault(source, (detail or {}).get("before", ""))
    grades = table_of(SourceGrade).c
    # The first holds from a time on that PostgreSQL's driver cannot read.
    in_force = case((grades.global_seq > 0, grades.effective_from)).label("since")
    kept = select(grades.source_id, grades.global_seq, grades.reliability, in_force, col(Source.slug)).join(
        Source, col(Source.id) == grades.source_id
    )
    for row in await connection.execute(kept.order_by(col(Source.slug), grades.global_seq)):
        if row.global_seq == 0:
            right = first.get(row.source_id, row.reliability) == row.reliability
        else:
            right = entries_.pop((row.source_id, row.global_seq), None) == (row.since, row.reliability)
        if not right:
            yield f"source {row.slug}: its grade since change {row.global_seq} is not what the ledger says"
    for source, number in entries_:
        yield f"source {source}: its grade since change {number} is missing"


async def _verify_indicator_sources(connection: AsyncConnection) -> AsyncIterator[str]:
    """The index of who spoke on what, by which readings find their statements."""
    names = ("indicator_id", "source_id", "facet", "level")
    reports, voices = table_of(Report), table_of(IndicatorSource)
    spoken = select(*(reports.c[name] for name in names), func.min(reports.c.global_seq))
    spoken = spoken.group_by(*(reports.c[name] for name in names))
    kept = select(*(voices.c[name] for name in names), voices.c.first_global_seq)
    # A label that moves leaves a voice behind and gives another, since that change: there, each has to have one at least.
    moved = select(col(LedgerEntry.indicator_id)).where(col(LedgerEntry.type) == "label")
    still, still_kept = spoken.where(reports.c.indicator_id.not_in(moved)), kept.where(voices.c.indicator_id.not_in(moved))
    heard = select(*(reports.c[name] for name in names)), select(*(voices.c[name] for name in names))
    wrong: set[Any] = set()
    for one, other in ((still, still_kept), (still_kept, still), heard):
        wrong |= {row.indicator_id for row in await connection.execute(one.except_(other))}
    for indicator in sorted(wrong):
        yield f"indicator {indicator}: the index of who spoke on it was altered"
