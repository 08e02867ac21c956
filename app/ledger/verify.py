"""Proof that nothing in the ledger was altered, removed or reordered: the chain of each clearance is walked and hashed anew."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from rfc8785 import CanonicalizationError
from sqlalchemy import case, func, or_, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import Voice
from app.domain.kinds import KINDS
from app.domain.times import instant
from app.domain.tlp import LABELS, LEVELS, TOP, Label
from app.ledger.hash_chain import GENESIS, Faces, link
from app.ledger.models import FIRST_RECORDED_AT, Change, Head
from app.ledger.queries import BRINGING, aliases_in, entries, read_entry
from app.reference.models import Source, SourceGrade
from app.reports.models import Report
from app.storage.types import table_of

STEP = 1000


class Walk:
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

    def step(self, change: Change, report: Report | None, entry: dict[str, Any], aliases: Mapping[str, str]) -> list[str]:
        """Check one change; answers what is wrong with it."""
        problems = []
        what = f"change {change.number} ({change.type}, report {change.report_id})"
        if change.number != self.number + 1:
            problems.append(f"change {self.number + 1}: missing from the ledger")
        self.number = change.number
        if change.type in BRINGING and report is None:
            problems.append(f"{what}: its report is missing")
        if self._altered(change, entry, aliases):
            problems.append(f"{what}: the entry or what it brought was altered, or its place in the chain")
        elif change.type in BRINGING and report is not None and not _consistent(change, report):
            problems.append(f"{what}: what is kept beside the report is not what the report says")
        if change.type == "label" and (report is None or not self._label(change, report)):
            problems.append(f"{what}: the label was not as it says before it")
        self._end(change)
        return problems

    def _label(self, change: Change, report: Report) -> bool:
        detail = change.detail or {}
        new, before = LEVELS[Label(detail["sensitivity"])], LEVELS[Label(detail["before"])]
        now, lowest, sent = self.labels.get(str(report.id), (report.level_sent,) * 3)
        self.labels[str(report.id)] = (new, min(lowest, new), sent)
        return now == before and (change.level, change.plain_below) == (min(new, before), max(new, before))

    def _altered(self, change: Change, entry: dict[str, Any], aliases: Mapping[str, str]) -> bool:
        faces = Faces(change, entry, aliases)
        altered = False
        for level in range(TOP + 1):
            stored = getattr(change, f"seq_{LABELS[level]}"), getattr(change, f"hash_{LABELS[level]}")
            if level < change.level:
                altered |= stored != (None, None)
                continue
            try:
                hashed = link(self.hashes[level], faces.canonical(level))
            except CanonicalizationError:
                # A number that JSON cannot carry: nothing that the service wrote.
                hashed = None
            altered |= stored != (self.seq[level] + 1, hashed)
            # Going on from the stored values names each altered entry once, instead of all that follow it.
            self.seq[level], self.hashes[level] = stored[0] or self.seq[level] + 1, stored[1] or hashed or GENESIS
        return altered

    def _end(self, change: Change) -> None:
        if change.type == "retraction":
            superseded = self.ends.get(str(change.report_id), (None, None, 0))[0]
            self.ends[str(change.report_id)] = (superseded, change.level, change.number)
        elif change.type == "correction" and change.detail is not None:
            before, retracted, _ = self.ends.get(change.detail["supersedes"], (None, None, 0))
            level = max(change.level, change.plain_below)
            if change.detail["supersedes"] in self.labels:
                self.labels_then[change.number] = self.labels[change.detail["supersedes"]][0]
            self.ends[change.detail["supersedes"]] = (level if before is None else min(before, level), retracted, change.number)
        elif change.type == "label" and change.detail is not None and (old := change.detail.get("supersedes")):
            before, retracted, _ = self.ends.get(old, (None, None, 0))
            self.ends[old] = (change.level if before is None else min(before, change.level), retracted, change.number)


def _consistent(change: Change, report: Report) -> bool:
    kind = KINDS.get(report.kind)
    if kind is None:
        return False
    value = kind.value_model.model_validate(report.value)
    return (
        report.number == change.number
        and report.indicator_id == change.indicator_id
        and report.recorded_at == change.recorded_at
        and report.level_sent == change.level
        and report.stated_at == instant(report.stated_text)
        and report.topic == str(report.value[kind.topic])
        and report.aspect == kind.aspect(value)
    )


async def verify_file(connection: AsyncConnection) -> AsyncIterator[str]:
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
    walk = Walk()
    changes = table_of(Change)
    while rows := (
        (await connection.execute(entries().where(changes.c.number > walk.number).order_by(changes.c.number).limit(STEP))).mappings().all()
    ):
        read = [read_entry(row) for row in rows]
        aliases = await aliases_in(connection, [entry for _, _, entry in read])
        for each in read:
            for problem in walk.step(*each, aliases):
                yield problem
    async for problem in _verify_head(connection, walk):
        yield problem
    async for problem in _verify_reports(connection, walk):
        yield problem
    async for problem in _verify_corrections(connection, walk):
        yield problem
    async for problem in _verify_grades(connection):
        yield problem
    async for problem in _verify_voices(connection):
        yield problem


async def _verify_head(connection: AsyncConnection, walk: Walk) -> AsyncIterator[str]:
    head = (await connection.execute(select(*table_of(Head).c))).mappings().one()
    if head["number"] != walk.number:
        yield f"head: says that the last change is {head['number']}, the ledger ends at {walk.number}"
    for level, label in enumerate(LABELS):
        if (head[f"seq_{label}"] or 0, head[f"hash_{label}"] or GENESIS) != (walk.seq[level], walk.hashes[level]):
            yield f"head: seq or hash of {label} is not that of the last entry"


async def end_of_chain(connection: AsyncConnection) -> str | None:
    """Whether the head is that of the last entry, which costs two steps into an index; what is wrong where it is not."""
    head = (await connection.execute(select(*table_of(Head).c))).mappings().one()
    changes = table_of(Change).c
    for label in LABELS:
        seq, hash_ = changes[f"seq_{label}"], changes[f"hash_{label}"]
        last = (await connection.execute(select(seq, hash_).where(seq.is_not(None)).order_by(seq.desc()).limit(1))).one_or_none()
        if (head[f"seq_{label}"] or 0, head[f"hash_{label}"] or GENESIS) != (tuple(last) if last else (0, GENESIS)):
            return f"the head of {label} is not that of the last entry: run `lifeline verify`"
    return None


async def _verify_reports(connection: AsyncConnection, walk: Walk) -> AsyncIterator[str]:
    brought = select(col(Change.number)).where(col(Change.type).in_(BRINGING))
    orphans = select(col(Report.id)).where(col(Report.number).not_in(brought)).order_by(col(Report.number))
    for orphan in (await connection.execute(orphans)).scalars():
        yield f"report {orphan}: no change brought it"
    columns = (col(Report.superseded_level), col(Report.retracted_level), col(Report.ended_number))
    ended = select(col(Report.id), *columns).where(or_(*(each.is_not(None) for each in columns)))
    for row in await connection.execute(ended):
        if walk.ends.pop(str(row[0]), None) != tuple(row[1:]):
            yield f"report {row[0]}: the ledger does not end it as it is marked"
    labels = (col(Report.level), col(Report.level_lowest), col(Report.level_sent))
    moved = select(col(Report.id), *labels).where(or_(labels[0] != labels[2], labels[1] != labels[2]))
    found = {str(row[0]): tuple(row[1:]) for row in await connection.execute(moved)}
    expected = {report: told for report, told in walk.labels.items() if len(set(told)) > 1}
    for report in sorted(found.keys() | expected.keys()):
        if found.get(report) != expected.get(report):
            yield f"report {report}: its label is not the one that the ledger gives it"
    for report in walk.ends:
        yield f"report {report}: the ledger ends it, but it is not marked so"


async def _verify_corrections(connection: AsyncConnection, walk: Walk) -> AsyncIterator[str]:
    """What is kept beside corrections of the report that they supersede, against that report."""
    changes, new, old = table_of(Change), table_of(Report), table_of(Report).alias("old")
    corrections = (
        select(changes.c.number, changes.c.detail, changes.c.plain_below, changes.c.from_indicator_id, new.c.supersedes, new.c.indicator_id)
        .add_columns(old.c.id.label("old"), old.c.level_sent, old.c.indicator_id.label("old_indicator_id"))
        .select_from(changes)
        .join(new, new.c.number == changes.c.number)
        .outerjoin(old, old.c.id == new.c.supersedes)
        .where(or_(changes.c.type == "correction", new.c.supersedes.is_not(None), changes.c.from_indicator_id.is_not(None)))
    )
    for row in await connection.execute(corrections.order_by(changes.c.number)):
        left = row.old_indicator_id if row.old_indicator_id != row.indicator_id else None
        said = (row.detail or {}).get("supersedes")
        level = walk.labels_then.get(row.number, row.level_sent)
        if (said, row.plain_below, row.from_indicator_id) != (str(row.old), level, left):
            yield f"change {row.number} (correction): what is kept beside it of the report that it supersedes was altered"


async def _verify_grades(connection: AsyncConnection) -> AsyncIterator[str]:
    """The grades by which readings are made, against the entries that set them; a source's first, against the one that followed it."""
    entries_: dict[tuple[Any, int], tuple[Any, str]] = {}
    first: dict[Any, str] = {}
    regraded = select(col(Change.source_id), col(Change.number), col(Change.detail), col(Change.recorded_at)).where(
        col(Change.type) == "grade"
    )
    for source, number, detail, recorded_at in await connection.execute(regraded.order_by(col(Change.number))):
        since = (detail or {}).get(FIRST_RECORDED_AT)
        entries_[source, number] = instant(since) if since else recorded_at, (detail or {}).get("reliability", "")
        first.setdefault(source, (detail or {}).get("before", ""))
    grades = table_of(SourceGrade).c
    # The first holds from a time on that PostgreSQL's driver cannot read.
    in_force = case((grades.number > 0, grades.effective_from)).label("since")
    kept = select(grades.source_id, grades.number, grades.reliability, in_force, col(Source.slug)).join(
        Source, col(Source.id) == grades.source_id
    )
    for row in await connection.execute(kept.order_by(col(Source.slug), grades.number)):
        if row.number == 0:
            right = first.get(row.source_id, row.reliability) == row.reliability
        else:
            right = entries_.pop((row.source_id, row.number), None) == (row.since, row.reliability)
        if not right:
            yield f"source {row.slug}: its grade since change {row.number} is not what the ledger says"
    for source, number in entries_:
        yield f"source {source}: its grade since change {number} is missing"


async def _verify_voices(connection: AsyncConnection) -> AsyncIterator[str]:
    """The index of who spoke on what, by which readings find their statements."""
    names = ("indicator_id", "source_id", "aspect", "level")
    reports, voices = table_of(Report), table_of(Voice)
    spoken = select(*(reports.c[name] for name in names), func.min(reports.c.number).label("number"))
    spoken = spoken.group_by(*(reports.c[name] for name in names))
    kept = select(*(voices.c[name] for name in names), voices.c.number)
    # A label that moves leaves a voice behind and gives another, since that change: there, each has to have one at least.
    moved = select(col(Change.indicator_id)).where(col(Change.type) == "label")
    still, still_kept = spoken.where(reports.c.indicator_id.not_in(moved)), kept.where(voices.c.indicator_id.not_in(moved))
    heard = select(*(reports.c[name] for name in names)), select(*(voices.c[name] for name in names))
    wrong: set[Any] = set()
    for one, other in ((still, still_kept), (still_kept, still), heard):
        wrong |= {row.indicator_id for row in await connection.execute(one.except_(other))}
    for indicator in sorted(wrong):
        yield f"indicator {indicator}: the index of who spoke on it was altered"
