"""Verify that nothing in the ledger was altered, removed or reordered, by hashing the chain of each clearance again."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rfc8785 import CanonicalizationError
from sqlalchemy import Select, String, cast, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import Indicator, IndicatorSource
from app.domain.kinds import KINDS
from app.domain.times import end_of, start_of
from app.domain.tlp import LABELS, MAX_LEVEL
from app.ledger.appender import HEAD_ID
from app.ledger.evidence import EVIDENCE, NAMED, OUTCOMES, evidence_changes, select_evidence_sources
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import HASH_COLUMNS, JUDGEMENT, JUDGEMENT_TYPES, LEAF_COLUMNS, REFERENCE_TYPES, SEQ_COLUMNS, LedgerEntry, LedgerHead
from app.ledger.queries import STATEMENT_TYPES, decode_entry, load_aliases, load_head, select_entries
from app.ledger.verify_actors import verify_actors, verify_proposals
from app.ledger.verify_reference import is_of_its_record, verify_reference
from app.ledger.verify_reports import verify_corrections, verify_reports
from app.ledger.verify_trees import verify_trees
from app.reference.models import Source
from app.reports.models import Report, fingerprint_of
from app.storage.types import table_of

BATCH_SIZE = 1000


@dataclass(slots=True)
class ChainVerifier:
    """Checks entries one after the other, from the end of what is verified: its last entry, and each clearance's position and hash."""

    global_seq: int = 0
    seq: list[int] = field(default_factory=lambda: [0] * len(LABELS))
    hashes: list[str] = field(default_factory=lambda: [GENESIS] * len(LABELS))

    def check(self, entry: LedgerEntry, report: Report | None, body: dict[str, Any], aliases: Mapping[str, str]) -> list[str]:
        """Return the problems of the next entry."""
        problems = []
        what = f"entry {entry.global_seq} ({entry.type}, report {entry.report_id})"
        if entry.global_seq != self.global_seq + 1:
            problems.append(f"entry {self.global_seq + 1}: missing from the ledger")
        self.global_seq = entry.global_seq
        if entry.report_id is not None and report is None:
            problems.append(f"{what}: its report is missing")
        if self._altered(entry, body, aliases):
            problems.append(f"{what}: the entry, its report or its place in the chain was altered")
        elif entry.type in STATEMENT_TYPES and report is not None and not _columns_agree(entry, report, body["report"]):
            problems.append(f"{what}: the columns of its report do not agree with its content")
        elif entry.type in REFERENCE_TYPES and not is_of_its_record(entry):
            problems.append(f"{what}: its columns do not agree with its record")
        elif entry.judgement_id != _judgement_of(entry):
            problems.append(f"{what}: its columns do not agree with its judgement")
        return problems

    def _altered(self, entry: LedgerEntry, body: dict[str, Any], aliases: Mapping[str, str]) -> bool:
        views = EntryViews(entry, body, aliases)
        altered = False
        for level in range(MAX_LEVEL + 1):
            stored = [getattr(entry, names[level]) for names in (SEQ_COLUMNS, HASH_COLUMNS, LEAF_COLUMNS)]
            if level < entry.level:
                altered |= stored != [None, None, None]
                continue
            expected = leaf = None
            # Of what JSON cannot carry, or of no record, which the service never writes.
            with suppress(CanonicalizationError, KeyError, TypeError, AttributeError):
                expected, leaf = chain_hash(self.hashes[level], views.canonical(level)), views.leaf(level)
            altered |= stored != [self.seq[level] + 1, expected, leaf]
            # Continue from the stored values; otherwise every entry after an altered one would be reported.
            self.seq[level], self.hashes[level] = stored[0] or self.seq[level] + 1, stored[1] or expected or GENESIS
        return altered


def _judgement_of(entry: LedgerEntry) -> UUID | None:
    """Return which judgement an entry that was not altered is about."""
    return UUID((entry.detail or {})[JUDGEMENT]["id"]) if entry.type in JUDGEMENT_TYPES else None


def _columns_agree(entry: LedgerEntry, report: Report, body: Mapping[str, Any]) -> bool:
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
        and report.fingerprint
        == fingerprint_of(body["source"], report.kind, body["place"], kind.subject(value), report.stated_text, report.value, report.url)
    )


async def verify_chain(
    connection: AsyncConnection, verifier: ChainVerifier | None = None, hashing_key: bytes | None = None
) -> AsyncIterator[str]:
    """Yield the problems of the entries that follow, and of what they say in other tables."""
    verifier = verifier or ChainVerifier()
    since, sizes = verifier.global_seq, list(verifier.seq)
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
        verify_trees(connection, sizes, verifier.seq),
        verify_reports(connection, since),
        verify_corrections(connection, since),
        verify_reference(connection, since),
        _verify_indicator_sources(connection, since),
        verify_actors(connection, since, hashing_key),
        verify_proposals(connection, since, hashing_key),
    ):
        async for problem in check:
            yield problem


async def _verify_head(connection: AsyncConnection, verifier: ChainVerifier) -> AsyncIterator[str]:
    head = (await connection.execute(select(*table_of(LedgerHead).c).where(col(LedgerHead.id) == HEAD_ID))).mappings().one_or_none()
    if head is None:
        yield "head: the row of ledger_head that names the last entry is missing"
        return
    if head["global_seq"] != verifier.global_seq:
        yield f"head: it names entry {head['global_seq']} as the last, but the ledger ends at entry {verifier.global_seq}"
    for level, label in enumerate(LABELS):
        if (head[SEQ_COLUMNS[level]] or 0, head[HASH_COLUMNS[level]] or GENESIS) != (verifier.seq[level], verifier.hashes[level]):
            yield f"head: seq or hash of {label} is not that of the last entry"


async def check_head(connection: AsyncConnection) -> AsyncIterator[str]:
    """Yield where the head does not match the last entries, which costs one index lookup per clearance."""
    heads = [await load_head(connection, level) for level in range(len(LABELS))]
    last = (await connection.execute(select(func.max(col(LedgerEntry.global_seq))))).scalar_one() or 0
    ends = ChainVerifier(last, [each["seq"] for each in heads], [each["hash"] for each in heads])
    async for problem in _verify_head(connection, ends):
        yield problem


def indicators_changed_since(since: int) -> Select[Any]:
    """Select the indicators whose reports, outcomes, labels or sources' grades later entries changed; an indicator may come twice."""
    entries, sources = table_of(LedgerEntry).c, table_of(IndicatorSource).c
    graded = select(entries.source_id).where(entries.global_seq > since, entries.source_id.is_not(None))
    changed = (
        select(entries.indicator_id).where(entries.global_seq > since, entries.indicator_id.is_not(None)),
        select(entries.from_indicator_id).where(entries.global_seq > since, entries.from_indicator_id.is_not(None)),
        select(sources.indicator_id).where(sources.source_id.in_(graded)),
        select(col(Indicator.id)).where(col(Indicator.place_id).in_(select(entries.record_id).where(entries.global_seq > since))),
        select(evidence_changes().where(entries.global_seq > since).subquery().c.indicator_id),
    )
    return select(union_all(*changed).subquery().c[0])


async def _verify_indicator_sources(connection: AsyncConnection, since: int) -> AsyncIterator[str]:
    reports, sources, names = table_of(Report), table_of(IndicatorSource), ("indicator_id", "source_id", "facet", "level")
    from_reports, stored = [reports.c[name] for name in names], [sources.c[name] for name in names]
    of_reports, of_evidence = sources.c.facet.not_in((EVIDENCE, NAMED)), sources.c.facet == EVIDENCE
    # A changed label leaves the row of the old level behind and adds one from the label change on, so compare these without numbers.
    relabelled = select(col(LedgerEntry.indicator_id)).where(col(LedgerEntry.type) == "label")
    expected_rows = select(*from_reports, func.min(reports.c.global_seq)).group_by(*from_reports)
    expected_rows = expected_rows.where(reports.c.indicator_id.not_in(relabelled))
    stored_rows = select(*stored, sources.c.first_global_seq).where(sources.c.indicator_id.not_in(relabelled), of_reports)
    expected_pairs, stored_pairs = select(*from_reports), select(*stored).where(of_reports)
    expected_evidence, stored_evidence = select_evidence_sources(), select(*stored, sources.c.first_global_seq).where(of_evidence)
    if since:
        changed = indicators_changed_since(since)
        expected_rows, expected_pairs = (each.where(reports.c.indicator_id.in_(changed)) for each in (expected_rows, expected_pairs))
        expected_evidence = expected_evidence.where(OUTCOMES.c.indicator_id.in_(changed))
        stored_rows, stored_pairs, stored_evidence = (
            each.where(sources.c.indicator_id.in_(changed)) for each in (stored_rows, stored_pairs, stored_evidence)
        )
    differences = (
        *(expected_rows.except_(stored_rows), stored_rows.except_(expected_rows), expected_pairs.except_(stored_pairs)),
        *(expected_evidence.except_(stored_evidence), stored_evidence.except_(expected_evidence)),
    )
    altered = {row.indicator_id for difference in differences for row in await connection.execute(difference)}
    altered |= await _with_altered_names(connection, since)
    for indicator in sorted(altered):
        yield f"indicator {indicator}: the index of its sources was altered"


async def _with_altered_names(connection: AsyncConnection, since: int) -> set[UUID]:
    """Return the indicators whose index of the sources that reports name beside their own is not as the reports say."""
    reports, rows = table_of(Report).c, table_of(IndicatorSource).c
    ids = {row.slug: row.id for row in await connection.execute(select(col(Source.slug), col(Source.id)))}
    naming = select(reports.indicator_id, reports.via, reports.origin, reports.level, reports.global_seq).order_by(reports.global_seq)
    naming = naming.where(or_(reports.origin.is_not(None), cast(reports.via, String) != "[]"))
    indexed = select(rows.indicator_id, rows.source_id, rows.level, rows.first_global_seq).where(rows.facet == NAMED)
    if since:
        changed = indicators_changed_since(since)
        naming, indexed = naming.where(reports.indicator_id.in_(changed)), indexed.where(rows.indicator_id.in_(changed))
    expected: dict[tuple[UUID, UUID | None, int], int] = {}
    for row in await connection.execute(naming):
        for slug in {*row.via, row.origin} - {None}:
            expected.setdefault((row.indicator_id, ids.get(slug), row.level), row.global_seq)
    stored = {tuple(row[:3]): row.first_global_seq for row in await connection.execute(indexed)}
    relabelled = select(col(LedgerEntry.indicator_id)).where(col(LedgerEntry.type) == "label")
    unsure = set((await connection.execute(relabelled)).scalars())
    # A lowered label leaves the row of the old level behind.
    differing = {key for key in stored if stored[key] != expected.get(key) and key[0] not in unsure}
    return {key[0] for key in (expected.keys() - stored.keys()) | differing}
