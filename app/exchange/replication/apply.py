"""Applies ledger entries of another Lifeline to this one, as if they were sent, with their identifiers.

A report, correction or retraction is recognised by the identifier of its report, another entry by when it was first recorded. So an entry
that is applied twice, or that returns to where it came from, adds nothing. `recorded_by` is kept; `recorded_at` is new, because it is
when this service learned of the entry.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.domain.tlp import LABELS, MAX_LEVEL, Label
from app.exchange.replication.entry_schema import Entry, parse_entry
from app.exchange.replication.judgements import JudgementApplier
from app.exchange.replication.queries import Amendment, amendments_of, is_recorded, is_stated
from app.exchange.replication.reference import apply_records
from app.exchange.replication.results import ApplyResult, AuthorFor, within_report
from app.http.problems import FieldProblem, Problem
from app.ledger.models import REFERENCE_TYPES, LedgerEntry
from app.reference.queries import find_places, find_sources
from app.reports.amendments import record_grade, record_outcome, reinstate_report
from app.reports.labels import replicate_label
from app.reports.models import Report
from app.reports.queries import find_by_identifier, find_relayed, find_visible_report, require_visible_report
from app.reports.references import FieldErrors
from app.reports.schemas import GradeIn, OutcomeIn
from app.reports.service import correct_report, record_reports, retract_report
from app.reports.validation import ValidatedReport, validate
from app.settings import Settings

# Types of entries that are applied together.
_TOGETHER = {each: each for each in ("report", *REFERENCE_TYPES)}


class EntryApplier:
    """Applies all entries of an upstream in order. For `requester`, the key that sent them, entries above its clearance are absent."""

    def __init__(self, author_for: AuthorFor, settings: Settings, requester: Principal | None = None) -> None:
        self._author_for, self._requester, self._settings = author_for, requester, settings
        # Identifiers of the upstream that differ here: of indicators whose place was added on both sides,
        # and of reports whose identifier belongs to a report that the requester must not know of.
        self._local_identifiers: dict[UUID, UUID] = {}
        # The head of the ledger before the first of these entries.
        self._head: int | None = None
        # The lowest level that later entries may give to the reports that these entries brought.
        self._lowest: dict[UUID, int] = {}
        # The sources that came with the entries in one file, by slug.
        self.brought_sources: set[str] = set()
        self._from_file = False

    def start_file(self) -> None:
        """Expect all entries from one file, from its beginning: grades count from now, except those of sources that it brings."""
        self._from_file, self._head = True, None
        self._lowest.clear()
        self.brought_sources.clear()

    async def apply(self, session: AsyncSession, entries: Sequence[Mapping[str, Any]]) -> ApplyResult:
        """Apply entries in the transaction of the session; none of them if one is invalid."""
        result = ApplyResult()
        parsed = [parse_entry(each) for each in entries]
        result.refused = [(at, each) for at, each in enumerate(parsed) if isinstance(each, list)]
        if result.refused:
            return result
        valid = [(at, each) for at, each in enumerate(parsed) if isinstance(each, Entry)]
        if self._head is None:
            self._head = await session.scalar(select(func.max(col(LedgerEntry.global_seq)))) or 0
        await self._map_indicators(session, [each for _, each in valid])
        applicable = [(at, each) for at, each in valid if result.expects(each)]
        # Adjacent reports, or places, of one organisation are recorded together, which is many times as fast.
        for (type_, organisation), run in groupby(applicable, lambda item: (_TOGETHER.get(item[1].type), item[1].recorded_by)):
            caller = self._author_for(organisation)
            if type_ == "report":
                await self._record(session, caller, list(run), result)
            elif type_ is not None:
                await apply_records(session, caller, list(run), result, self._settings, self.brought_sources if self._from_file else None)
            else:
                for at, entry in run:
                    await self._amend(session, caller, at, entry, result)
        return result

    async def _map_indicators(self, session: AsyncSession, entries: Iterable[Entry]) -> None:
        subjects: dict[UUID, tuple[str, str, str]] = {}
        for entry in entries:
            for document in entry.documents:
                subjects[document.id] = (document.kind, document.place, document.subject)
            sent = validate(entry.statement, self._settings) if entry.report else []
            if entry.indicator is not None and isinstance(sent, ValidatedReport):
                subjects[entry.indicator] = (sent.report.kind, sent.report.place, KINDS[sent.report.kind].subject(sent.value))
        places = await find_places(await session.connection(), {place for _, place, _ in subjects.values()})
        for theirs, (kind, place, subject) in subjects.items():
            if place in places:
                self._map(theirs, indicator_id(kind, places[place].id, subject))

    async def _record(self, session: AsyncSession, caller: Principal, run: Sequence[tuple[int, Entry]], result: ApplyResult) -> None:
        """Record reports together, but one that repeats another of them after that one."""
        some: list[tuple[int, Entry]] = []
        for at, entry in run:
            if any(earlier.report and earlier.report.id == entry.relays for _, earlier in some):
                await self._record_together(session, caller, some, result)
                some = []
            some.append((at, entry))
        await self._record_together(session, caller, some, result)

    async def _validate(
        self, session: AsyncSession, caller: Principal, entries: Sequence[Entry], label: Label | None = None
    ) -> list[ValidatedReport | FieldErrors]:
        """Validate the reports of entries; they repeat reports under the identifiers of this service, and only such as exist here."""
        relayed = {self._local(entry.relays) for entry in entries if entry.relays is not None}
        known = await find_relayed(await session.connection(), relayed, caller.level) if relayed else {}
        reports = []
        for entry in entries:
            body = entry.statement | ({"sensitivity": label.value} if label else {})
            if entry.relays is not None:
                relays = self._local(entry.relays)
                _, level = known.get(relays, (None, MAX_LEVEL + 1))
                # A label that was raised here meanwhile is stricter than that of the repetition.
                body["provenance"] = body["provenance"] | {"relays": relays if level <= Label(body["sensitivity"]).level else None}
            sent = validate(body, self._settings)
            reports.append(sent if isinstance(sent, list) else replace(sent, drafted_by=entry.report.drafted_by if entry.report else None))
        return reports

    async def _record_together(
        self, session: AsyncSession, caller: Principal, run: Sequence[tuple[int, Entry]], result: ApplyResult
    ) -> None:
        reports = await self._validate(session, caller, [entry for _, entry in run])
        identifiers = [entry.report.id for _, entry in run if entry.report is not None]
        outcomes, _ = await record_reports(session, caller, reports, self._settings, identifiers=identifiers, before_import=self._head)
        for (at, entry), identifier, outcome in zip(run, identifiers, outcomes, strict=True):
            if isinstance(outcome, list):
                result.refused.append((at, within_report(outcome)))
                continue
            self._map(identifier, outcome.report.id)
            if outcome.created:
                result.added["report"] += 1
                self._note_brought(caller, entry, outcome.report)
            elif await self._declassify_reappeared(session, caller, entry, outcome.report.level):
                result.added["label"] += 1
            else:
                result.existing += 1

    def _map(self, theirs: UUID, ours: UUID) -> None:
        if ours != theirs:
            self._local_identifiers[theirs] = ours

    def _local(self, theirs: UUID | None) -> UUID:
        assert theirs is not None
        return self._local_identifiers.get(theirs, theirs)

    async def _declassify_reappeared(self, session: AsyncSession, caller: Principal, entry: Entry, level: int) -> bool:
        """Lower a label that was raised here because the report disappeared from the upstream, where it has reappeared."""
        assert entry.report is not None
        report, label = entry.report.id, entry.report.sensitivity
        if not label.level < level <= caller.level:
            return False
        last = (await amendments_of(session, caller, report, "label"))[-1:]
        undone = any(each.from_elsewhere and each.first_recorded_at < entry.first_recorded_at for each in last)
        if not undone or not self._brought(caller, report, label):
            return False
        await replicate_label(session, caller, report, label, entry.reason, self._settings, first_recorded_at=entry.first_recorded_at)
        return True

    def _note_brought(self, caller: Principal, entry: Entry, recorded: Report, lowest: int = 0) -> None:
        assert entry.report is not None
        # Without a key nothing is noted, because a follower runs for ever.
        if caller.key_id is not None:
            self._lowest[recorded.id] = lowest if recorded.level == entry.report.sensitivity.level else recorded.level

    def _brought(self, caller: Principal, report: UUID, label: Label) -> bool:
        """Return whether entries may lower a label: not if one key sends them, which can write any, unless they brought the report."""
        return caller.key_id is None or self._lowest.get(report, MAX_LEVEL) <= label.level

    async def _amend(self, session: AsyncSession, caller: Principal, at: int, entry: Entry, result: ApplyResult) -> None:
        apply = {
            "correction": self._correct,
            **dict.fromkeys(("retraction", "reinstatement"), self._withdraw),
            "outcome": self._add_outcome,
            **JudgementApplier(self._settings, self._local).by_type,
            "grade": self._add_grade,
            **dict.fromkeys(("label", "tombstone"), self._change_label),
        }[entry.type]
        try:
            added = await apply(session, caller, entry)
        except Problem as problem:
            if problem.status == 409:
                # Amended in another way here: the amendment of this service stays.
                result.conflicts += 1
            else:
                errors = problem.errors or [FieldProblem(pointer="", detail=problem.detail)]
                result.refused.append((at, within_report(errors) if entry.type == "correction" else errors))
            return
        result.added.update([entry.type] * added)
        result.existing += not added

    async def _correct(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        assert entry.report is not None
        connection, identifier = await session.connection(), entry.report.id
        visible, hidden = await find_by_identifier(connection, [identifier], caller.level)
        if identifier in visible:
            return False
        (sent,) = await self._validate(session, caller, [entry])
        if identifier in hidden and await is_stated(session, caller, sent, self._settings):
            return False
        old = self._local(entry.detail.supersedes or identifier)
        superseded = await find_visible_report(connection, old, caller)
        if superseded is not None:
            author = replace(caller, level=min(caller.level, max(superseded.report.level, entry.report.sensitivity.level)))
            standing = await find_visible_report(connection, old, author)
            kept = None if identifier in hidden else identifier
            # A withdrawn report is superseded as well; otherwise both would count once it is reinstated.
            withdrawn = kept and standing and standing.status == "retracted" and standing.report.superseded_from_level is None
            if withdrawn or (standing is not None and standing.status == "standing"):
                corrected = await correct_report(session, author, old, sent, entry.reason, self._settings, identifier=kept)
                self._map(identifier, corrected.report.id)
                self._note_brought(caller, entry, corrected.report, self._lowest.get(old, superseded.report.level))
                return True
        # The old report is unknown here, or superseded: the new one is still what its source says.
        at_least = 0 if superseded is None else self._lowest.get(old, superseded.report.level)
        return await self._record_as_new(session, caller, entry, sent, at_least)

    async def _record_as_new(
        self, session: AsyncSession, caller: Principal, entry: Entry, sent: ValidatedReport | FieldErrors, at_least: int = 0
    ) -> bool:
        assert entry.report is not None
        (outcome,), _ = await record_reports(
            session, caller, [sent], self._settings, identifiers=[entry.report.id], before_import=self._head, at_least=at_least
        )
        if isinstance(outcome, list):
            raise Problem(422, "The report is not valid.", errors=outcome)
        self._map(entry.report.id, outcome.report.id)
        if outcome.created:
            self._note_brought(caller, entry, outcome.report, at_least)
        return outcome.created

    async def _withdraw(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        """Retract or reinstate a report, unless what was first recorded later, here or elsewhere, decides already."""
        identifier, is_retraction = self._local(entry.report_id), entry.type == "retraction"
        visible = await require_visible_report(await session.connection(), identifier, caller)
        first = None if entry.recorded_at is None else entry.first_recorded_at
        known = await amendments_of(session, caller, identifier, "retraction", "reinstatement")
        is_known = first is not None and known and Amendment(first, is_retraction) <= known[-1]
        if is_known or (first is None and visible.report.retracted_from_level is not None):
            return False
        # One that changes nothing here is recorded as well, because its time decides which of the later ones counts.
        author = replace(caller, level=min(caller.level, visible.report.level))
        change = retract_report if is_retraction else reinstate_report
        await change(session, author, identifier, entry.reason, self._settings, first, replicated=True)
        return True

    async def _add_outcome(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        indicator = self._local(entry.indicator)
        assert entry.detail.outcome is not None
        if await is_recorded(session, caller, entry, "outcome", col(LedgerEntry.indicator_id) == indicator):
            return False
        sent = OutcomeIn(outcome=entry.detail.outcome, reason=entry.reason, report=self._local(entry.report_id))
        await record_outcome(session, caller, indicator, sent, self._settings, entry.first_recorded_at)
        return True

    async def _add_grade(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        assert entry.source is not None
        assert entry.detail.reliability is not None
        organisation = (self._requester or caller).organisation
        source = (await find_sources(await session.connection(), [entry.source], caller.level, organisation)).get(entry.source)
        if source is not None and await is_recorded(session, caller, entry, "grade", col(LedgerEntry.source_id) == source.id):
            return False
        sent = GradeIn(reliability=entry.detail.reliability, reason=entry.reason)
        since = None if self._from_file and entry.source not in self.brought_sources else entry.effective_from
        await record_grade(session, caller, entry.source, sent, self._settings, entry.first_recorded_at, since)
        return True

    async def _change_label(self, session: AsyncSession, caller: Principal, entry: Entry) -> bool:
        """Apply a label change. A tombstone does not carry the new label, so the report becomes `red` here."""
        identifier, label = self._local(entry.report_id), entry.detail.sensitivity or LABELS[MAX_LEVEL]
        visible = await find_visible_report(await session.connection(), identifier, caller)
        if visible is None and entry.report is not None:
            (sent,) = await self._validate(session, caller, [entry], label)
            return await self._record_as_new(session, caller, entry, sent)
        if visible is None or visible.report.level == label.level:
            return False
        first, known = entry.first_recorded_at, await amendments_of(session, caller, identifier, "label")
        later = [each for each in known if each.first_recorded_at > first]
        # Since it was raised there, two persons agreed to lower this label, or a stricter one.
        lowered = entry.detail.sensitivity and any(each.lowers_from >= label.level for each in later)
        if lowered or any(each.first_recorded_at == first for each in known):
            return False
        if label.level < visible.report.level:
            # Two persons lowered another label than the one that this service has, unless it has that one from there.
            other = entry.detail.before != LABELS[visible.report.level] and not (known and known[-1].from_elsewhere)
            if later or other or not self._brought(caller, identifier, label):
                raise Problem(409, "Lowering a label takes two persons.", kind="same-person")
        await replicate_label(session, caller, identifier, label, entry.reason, self._settings, first_recorded_at=first)
        return True
