"""Proof that nothing in the ledger was altered, removed or reordered: the chain of each clearance is walked and hashed anew."""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.db import table_of
from app.labels import LABELS, TOP
from app.ledger.chain import GENESIS, Faces, entry, link, statement
from app.ledger.models import Change, Head, Report
from app.reference.models import Place, Source

STEP = 1000


def _entries(after: int) -> Select[Any]:
    changes, reports, regraded = table_of(Change), table_of(Report), table_of(Source).alias()
    return (
        select(
            *changes.c,
            *(each.label(f"report__{each.name}") for each in reports.c),
            col(Place.slug).label("place_slug"),
            col(Source.slug).label("source_slug"),
            regraded.c.slug.label("regraded"),
        )
        .select_from(changes)
        .outerjoin(reports, reports.c.number == changes.c.number)
        .outerjoin(Place, col(Place.id) == reports.c.place_id)
        .outerjoin(Source, col(Source.id) == reports.c.source_id)
        .outerjoin(regraded, regraded.c.id == changes.c.source_id)
        .where(changes.c.number > after)
        .order_by(changes.c.number)
        .limit(STEP)
    )


async def verify_chain(connection: AsyncConnection) -> AsyncIterator[str]:
    """Walk the ledger from its first entry; yields one line for each thing that is not as it was written."""
    number = 0
    seq = [0] * len(LABELS)
    hashes = [GENESIS] * len(LABELS)
    while rows := (await connection.execute(_entries(number))).mappings().all():
        for row in rows:
            change, found = _split(row)
            if change.number != number + 1:
                yield f"change {number + 1}: missing from the ledger"
            number = change.number
            for problem in _check(change, found, row, seq, hashes):
                yield problem
    head = (await connection.execute(select(*table_of(Head).c))).mappings().one()
    if head["number"] != number:
        yield f"head: says that the last change is {head['number']}, the ledger ends at {number}"
    for level, label in enumerate(LABELS):
        if (head[f"seq_{label}"] or 0, head[f"hash_{label}"] or GENESIS) != (seq[level], hashes[level]):
            yield f"head: seq or hash of {label} is not that of the last entry"
    orphans = select(col(Report.number), col(Report.id)).where(
        col(Report.number).not_in(select(col(Change.number)).where(col(Change.type).in_(BRINGING)))
    )
    for orphan in await connection.execute(orphans.order_by(col(Report.number))):
        yield f"report {orphan.id}: no change brought it"


BRINGING = ("report", "correction")


def _split(row: Any) -> tuple[Change, Report | None]:
    change = Change(**{each.name: row[each.name] for each in table_of(Change).c})
    if row["report__id"] is None:
        return change, None
    return change, Report(**{each.name: row[f"report__{each.name}"] for each in table_of(Report).c})


def _check(change: Change, report: Report | None, row: Any, seq: list[int], hashes: list[str]) -> list[str]:
    what = f"change {change.number} ({change.type}, report {change.report_id})"
    if change.type in BRINGING and report is None:
        return [f"{what}: its report is missing"]
    said = statement(report, row["place_slug"], row["source_slug"]) if report is not None and change.type in BRINGING else None
    problems = []
    if report is not None and said is not None and not (report.id == change.report_id and report.indicator_id == change.indicator_id):
        problems.append(f"{what}: its report is not the one that it brought")
    faces = Faces(entry(change, said, row["regraded"]), change.plain_below)
    altered = False
    for level in range(TOP + 1):
        stored = getattr(change, f"seq_{LABELS[level]}"), getattr(change, f"hash_{LABELS[level]}")
        if level < change.level:
            altered |= stored != (None, None)
            continue
        seq[level] += 1
        altered |= stored != (seq[level], link(hashes[level], faces.canonical(level)))
        # Going on from the stored values names each altered entry once, instead of all that follow it.
        seq[level] = stored[0] or seq[level]
        hashes[level] = stored[1] or hashes[level]
    if altered:
        problems.append(f"{what}: the entry or what it brought was altered, or its place in the chain")
    return problems
