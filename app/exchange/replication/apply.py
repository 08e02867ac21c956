"""Entries of another Lifeline's ledger applied to this one, through the one door and with their identifiers.

A report, correction or retraction is known again by the report's identifier, an outcome or a grade by when it was first recorded. So
an entry that is applied twice, or that went from here and comes back round, adds nothing. `recorded_by` is kept; `recorded_at`
is this service's own, since that is when it came to know.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.identifiers import indicator_id
from app.domain.kinds import KINDS
from app.domain.times import rfc3339, start_of
from app.domain.tlp import LABELS, LEVELS, TOP, Label
from app.exchange.replication.entry_schema import ABOUT_REPORT, author_of, complete_entry, entry_errors, first_recorded, statement_of
from app.http.problems import FieldProblem, Problem, not_found, pointer
from app.ledger.models import FIRST_RECORDED_AT, LedgerEntry
from app.ledger.queries import STATEMENT_TYPES
from app.reference.queries import find_places, find_sources
from app.reports.amendments import record_grade, record_outcome
from app.reports.labels import replicate_label
from app.reports.queries import VisibleReport, find_by_fingerprint, find_by_identifier, find_visible_report, status_for
from app.reports.service import correct_report, record_reports, retract_report
from app.reports.validation import FieldErrors, ValidatedReport, resolve_references, validate
from app.settings import Settings

# An entry as `/v1/changes` serves it and as the full export has it.
Entry = Mapping[str, Any]
# Who is recorded as having sent what an organisation sent there.
AuthorFor = Callable[[str], Principal]

KNOWN_TYPES = frozenset({"report", "correction", "retraction", "outcome", "grade", "label", "tombstone", "withheld"})
# The reason of what comes from where no reason is told to this reader.
REASON_WITHHELD = "The reason is not told."


@dataclass(slots=True)
class ApplyResult:
    """What became of some entries: added, there already, of a type or kind that this version does not know, or held to be otherwise here.

    `refused` has the position of each entry that this service does not take, and why.
    """

    added: Counter[str] = field(default_factory=Counter)
    existing: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    refused: list[tuple[int, FieldErrors]] = field(default_factory=list)

    def add(self, other: "ApplyResult", offset: int = 0) -> None:
        """Count another lot, whose entries begin at a position."""
        self.added += other.added
        self.existing += other.existing
        self.unknown += other.unknown
        self.conflicts += other.conflicts
        self.refused += [(offset + at, wrong) for at, wrong in other.refused]


class EntryApplier:
    """Applies entries in order; one instance for all lots of one upstream.

    `teller` says as whom. `asker` is who is told what became of them, where somebody is: to him an entry that he may not see is one that
    is not here.
    """

    def __init__(self, author_for: AuthorFor, settings: Settings, requester: Principal | None = None) -> None:
        self._author_for = author_for
        self._requester = requester
        self._settings = settings
        # Indicators whose identifier is another here, since their place was added on both sides.
        self._indicators: dict[str, UUID] = {}
        # Reports that have another identifier here, since theirs is one that the asker is not to know of.
        self._renamed: dict[UUID, UUID] = {}
        # The last change before the first of these.
        self._head: int | None = None

    async def apply(self, session: AsyncSession, entries: Sequence[Entry]) -> ApplyResult:
        """Apply some entries in the session's transaction; none where one is not made as an entry is."""
        done = ApplyResult()
        done.refused = [(at, wrong) for at, each in enumerate(entries) if (wrong := entry_errors(each))]
        if done.refused:
            return done
        entries = [complete_entry(each) for each in entries]
        if self._head is None:
            self._head = await session.scalar(select(func.max(col(LedgerEntry.global_seq)))) or 0
        await self._translate(session, entries)
        at = 0
        while at < len(entries):
            entry = entries[at]
            run = at + 1
            if entry["type"] == "report":
                while run < len(entries) and entries[run]["type"] == "report" and author_of(entries[run]) == author_of(entry):
                    run += 1
                await self._reports(session, entries[at:run], at, done)
            elif entry["type"] == "withheld" or (entry["type"] in ABOUT_REPORT and entry["report_id"] is None):
                # Nothing is told of it any more.
                done.existing += 1
            elif entry["type"] in KNOWN_TYPES:
                await self._amendment(session, entry, at, done)
            else:
                done.unknown[entry["type"]] += 1
            at = run
        return done

    async def _reports(self, session: AsyncSession, entries: Sequence[Entry], offset: int, done: ApplyResult) -> None:
        sent: list[ValidatedReport | FieldErrors] = []
        identifiers: list[UUID] = []
        positions: list[int] = []
        for at, entry in enumerate(entries, offset):
            if entry["report"]["kind"] not in KINDS:
                done.unknown[entry["report"]["kind"]] += 1
                continue
            sent.append(validate(statement_of(entry), self._settings))
            identifiers.append(UUID(entry["report"]["id"]))
            positions.append(at)
        caller = self._author_for(author_of(entries[0]))
        outcomes, _ = await record_reports(session, caller, sent, self._settings, identifiers=identifiers, requester=self._requester)
        for at, identifier, outcome in zip(positions, identifiers, outcomes, strict=True):
            if isinstance(outcome, list):
                done.refused.append((at, _prefix_report(outcome)))
                continue
            self._map_identifier(identifier, outcome)
            if outcome.created:
                done.added["report"] += 1
            elif await self._declassify_reappeared(session, entries[at - offset], outcome.report.level):
                done.added["label"] += 1
            else:
                done.existing += 1

    async def _declassify_reappeared(self, session: AsyncSession, entry: Entry, level: int) -> bool:
        """Lower a label that was raised here only because the report had vanished there, where it shows again since."""
        label = Label(entry["report"]["sensitivity"])
        caller = self._author_for(author_of(entry))
        if not label.level < level <= caller.level:
            return False
        report, first = UUID(entry["report"]["id"]), first_recorded(entry)
        moved = select(col(LedgerEntry.detail)).where(col(LedgerEntry.report_id) == report, col(LedgerEntry.type) == "label")
        detail = await session.scalar(moved.order_by(col(LedgerEntry.global_seq).desc()).limit(1))
        vanished = (detail or {}).get(FIRST_RECORDED_AT)
        if vanished is None or start_of(vanished) >= first:
            return False
        if not await self._may_lower(session, caller, report):
            return False
        await replicate_label(session, caller, report, label, REASON_WITHHELD, self._settings, first_recorded_at=first)
        return True

    async def _amendment(self, session: AsyncSession, entry: Entry, at: int, done: ApplyResult) -> None:
        doing = {
            "correction": self._correction,
            "retraction": self._retraction,
            "outcome": self._outcome,
            "grade": self._grade,
            "label": self._label,
            "tombstone": self._label,
        }
        try:
            added = await doing[entry["type"]](session, entry)
        except Problem as problem:
            if problem.status == 409:
                # It was amended or graded otherwise here meanwhile: what stands here stays.
                done.conflicts += 1
                return
            wrong = problem.errors or [FieldProblem(pointer="", detail=problem.detail)]
            done.refused.append((at, _prefix_report(wrong) if entry["type"] == "correction" else wrong))
            return
        if added is None:
            done.unknown[entry["report"]["kind"]] += 1
        elif added:
            done.added[entry["type"]] += 1
        else:
            done.existing += 1

    async def _correction(self, session: AsyncSession, entry: Entry) -> bool | None:
        if entry["report"]["kind"] not in KINDS:
            return None
        caller = self._author_for(author_of(entry))
        new = UUID(entry["report"]["id"])
        old = self._local_identifier((entry["detail"] or {}).get("supersedes") or entry["report"]["id"])
        known, of_others = await find_by_identifier(await session.connection(), [new], self._requester or caller)
        if new in known:
            return False
        sent = validate(statement_of(entry), self._settings)
        if new in of_others and await self._is_recorded(session, caller, sent):
            return False
        superseded = await find_visible_report(await session.connection(), old, caller)
        if superseded is not None:
            level = max(superseded.report.level, LEVELS[Label(entry["report"]["sensitivity"])])
            as_there = replace(caller, level=min(caller.level, level))
            if status_for(superseded.report, as_there.level) == "standing":
                identifier = None if new in of_others else new
                made = await correct_report(
                    session, as_there, old, sent, entry["reason"] or REASON_WITHHELD, self._settings, identifier=identifier
                )
                self._map_identifier(new, made)
                return True
        # What it supersedes is not known here, or ended otherwise: it is still what its source says.
        return await self._record_as_new(session, caller, sent, new)

    async def _record_as_new(self, session: AsyncSession, caller: Principal, sent: ValidatedReport | FieldErrors, identifier: UUID) -> bool:
        (outcome,), _ = await record_reports(session, caller, [sent], self._settings, identifiers=[identifier], requester=self._requester)
        if isinstance(outcome, list):
            raise Problem(422, "The report is not right.", errors=outcome)
        self._map_identifier(identifier, outcome)
        return outcome.created

    async def _is_recorded(self, session: AsyncSession, caller: Principal, sent: ValidatedReport | FieldErrors) -> bool:
        """Whether a statement is recorded, as far as the asker may know, under an identifier of its own."""
        (checked,) = await resolve_references(session, caller, [sent], self._settings)
        if isinstance(checked, list):
            return False
        return bool(await find_by_fingerprint(await session.connection(), [checked.fingerprint], self._requester or caller))

    def _map_identifier(self, theirs: UUID, outcome: VisibleReport) -> None:
        if outcome.report.id != theirs:
            self._renamed[theirs] = outcome.report.id

    def _local_identifier(self, theirs: str) -> UUID:
        return self._renamed.get(UUID(theirs), UUID(theirs))

    async def _retraction(self, session: AsyncSession, entry: Entry) -> bool:
        caller = self._author_for(author_of(entry))
        report = self._local_identifier(entry["report_id"])
        known = await find_visible_report(await session.connection(), report, caller)
        if known is None:
            raise not_found("report")
        if known.report.retracted_from_level is not None:
            return False
        as_there = replace(caller, level=min(caller.level, known.report.level))
        await retract_report(session, as_there, report, entry["reason"], self._settings)
        return True

    async def _outcome(self, session: AsyncSession, entry: Entry) -> bool:
        indicator = self._indicators.get(entry["indicator"], UUID(entry["indicator"]))
        first = first_recorded(entry)
        caller = self._author_for(author_of(entry))
        if await _has(session, "outcome", first, col(LedgerEntry.indicator_id) == indicator, caller):
            return False
        await record_outcome(
            session,
            caller,
            indicator,
            outcome=entry["detail"]["outcome"],
            reason=entry["reason"],
            report_id=self._local_identifier(entry["report_id"]),
            settings=self._settings,
            first_recorded_at=first,
        )
        return True

    async def _grade(self, session: AsyncSession, entry: Entry) -> bool:
        first = first_recorded(entry)
        caller = self._author_for(author_of(entry))
        organisation = (self._requester or caller).organisation
        source = (await find_sources(await session.connection(), [entry["source"]], caller.level, organisation)).get(entry["source"])
        if source is not None and await _has(session, "grade", first, col(LedgerEntry.source_id) == source.id, caller):
            return False
        await record_grade(
            session,
            caller,
            entry["source"],
            reliability=entry["detail"]["reliability"],
            reason=entry["reason"],
            settings=self._settings,
            first_recorded_at=first,
        )
        return True

    async def _label(self, session: AsyncSession, entry: Entry) -> bool:
        """Move a label: what vanished there is seen here by the highest clearance alone, since which label it has now is not told."""
        caller = self._author_for(author_of(entry))
        report, first = self._local_identifier(entry["report_id"]), first_recorded(entry)
        label = Label(entry["detail"]["sensitivity"]) if entry["detail"] else LABELS[TOP]
        known = await find_visible_report(await session.connection(), report, caller)
        if known is None and entry["report"] is not None:
            sent = validate(statement_of(entry) | {"sensitivity": label.value}, self._settings)
            return await self._record_as_new(session, caller, sent, UUID(entry["report_id"]))
        if known is None or known.report.level == label.level:
            return False
        if await _has(session, "label", first, col(LedgerEntry.report_id) == report, caller):
            return False
        if label.level < known.report.level and not await self._may_lower(session, caller, report):
            raise Problem(409, "Lowering a label takes two different keys.", kind="same-key")
        await replicate_label(session, caller, report, label, entry["reason"] or REASON_WITHHELD, self._settings, first_recorded_at=first)
        return True

    async def _may_lower(self, session: AsyncSession, caller: Principal, report: UUID) -> bool:
        """Whether a label is lowered because entries say so: not by one key that sends them, unless they brought the report too.

        Whoever has such a key can write any entry; whoever runs the command is trusted with the whole database.
        """
        if caller.key_id is None:
            return True
        by_them = (col(LedgerEntry.global_seq) > self._head, col(LedgerEntry.key_id) == caller.key_id)
        brought = select(col(LedgerEntry.global_seq)).where(
            col(LedgerEntry.report_id) == report, col(LedgerEntry.type).in_(STATEMENT_TYPES), *by_them
        )
        return await session.scalar(brought.limit(1)) is not None

    async def _translate(self, session: AsyncSession, entries: Sequence[Entry]) -> None:
        """Learn which indicators have another identifier here."""
        about: dict[str, tuple[str, str, str]] = {}
        for entry in entries:
            for document in entry["documents"]:
                about[document["id"]] = (document["kind"], document["place"]["slug"], document["subject"])
            if entry.get("report") and entry["report"]["kind"] in KINDS:
                sent = validate(statement_of(entry), self._settings)
                if isinstance(sent, ValidatedReport):
                    about[entry["indicator"]] = (sent.report.kind, sent.report.place, KINDS[sent.report.kind].subject(sent.value))
        places = await find_places(await session.connection(), {place for _, place, _ in about.values()})
        for theirs, (kind, place, subject) in about.items():
            if place in places and (ours := indicator_id(kind, places[place].id, subject)) != UUID(theirs):
                self._indicators[theirs] = ours


def _prefix_report(wrong: FieldErrors) -> FieldErrors:
    return [FieldProblem(pointer=pointer(["report"]) + each.pointer, detail=each.detail) for each in wrong]


async def _has(session: AsyncSession, type_: str, first: datetime, about: ColumnElement[bool], caller: Principal) -> bool:
    """Whether a change that was first recorded then is here, as far as the caller may know: recorded here, or come from elsewhere."""
    where = col(LedgerEntry.type) == type_, col(LedgerEntry.level) <= caller.level, about
    rows = await session.execute(select(col(LedgerEntry.recorded_at), col(LedgerEntry.detail)).where(*where))
    return any(row.recorded_at == first or (row.detail or {}).get(FIRST_RECORDED_AT) == rfc3339(first) for row in rows)
