"""Keep the documents of indicators as of every time: a step for each time from which a clearance is served another one.

Without a limit to what is recorded, an assessment as of a time changes only where a report is stated, where the evidence of an outcome
is, where a judgement is recorded, and where a grade of a source comes into force.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col
from zstandard import DICT_TYPE_RAWCONTENT, ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

from app.assessment.document import with_revision
from app.assessment.inputs import AssessmentInputs
from app.assessment.models import IndicatorProjection, IndicatorStep
from app.domain.times import rfc3339
from app.ledger.models import LedgerEntry, effective_since
from app.reference.models import MIN_EFFECTIVE_FROM, SourceGrade
from app.reports.models import Report
from app.storage.direct import execute_direct
from app.storage.paging import chunks, in_values
from app.storage.types import table_of

_STEPS = table_of(IndicatorStep)
_PROJECTIONS = table_of(IndicatorProjection)
_FILTERED = ("state", "agreement", "preferred_source_id", "preferred_grade_rank", "warning_day", "stale_after")
_BEFORE_CHANGE, _AFTER_CHANGE = '"recorded_at":"{}",', '"assessment":{'

# Parts that many documents have, so that a stored one takes half. They must not change: no stored one can be read without them.
_COMMON = (
    b'"url":"https://www.","title":null,"quote":null,"language":"en","licence":null},"sensitivity":"codes":[{"scheme":"pcode","code":""}],'
    b'"country":"","value":{"due":"2016-08-"},"agreement":"contested","consistent","single","stated_at":"2016-07-28T00:00:00Z","stale_after"'
    b':"2016-08-27T23:59:59.999999Z","assessment":{"method":"envelope/2","policy":null,"reports":1,"sources":1,"origins":1,"preferred":'
    b'"","basis":{},"spread":1.0,"newest_at":"2016-07-28T00:00:00Z","newest_sound_at":"2016-07-28T00:00:00Z"},"provenance":{"report":"01",'
    b'"source":{"slug":"","name":"","type":"ngo","reliability":"B","party_to_conflict":false},"stated_at":"2016-07-28T00:00:00Z","via":[],'
    b'"directness":"direct","origin":null,"method":"key_informant","credibility":2,"url":null,"title":null,"quote":null,"language":null,'
    b'"licence":null},"sensitivity":"clear","redacted":[],"links":{"self":"/v1/indicators/","history":"/v1/indicators//history","reports":'
    b'"/v1/reports?indicator="}}{"id":"01","kind":"","subject":"","place":{"slug":"","name":"","codes":[],"country":"'
)
_dictionary = ZstdCompressionDict(_COMMON, dict_type=DICT_TYPE_RAWCONTENT)
_compressor = ZstdCompressor(level=5, dict_data=_dictionary, write_checksum=False, write_dict_id=False)
_decompressor = ZstdDecompressor(dict_data=_dictionary)

Row = Mapping[Any, Any]
Change = tuple[UUID, int, LedgerEntry]


def _content(row: Row) -> str:
    """Return the document of a projection row without the time of the last change."""
    document: str = row["document"]
    return document.replace(_BEFORE_CHANGE.format(rfc3339(row["recorded_at"])), "", 1)


def stored_content(stored: bytes) -> str:
    """Return the document of a step without the last change to the indicator."""
    return _decompressor.decompress(stored).decode()


# Days that follow each other share most of their steps, so a slider reads one step again and again; this is about 10 MB.
@lru_cache(maxsize=4096)
def _around_change(stored: bytes) -> tuple[str, str]:
    before, mark, after = stored_content(stored).partition(_AFTER_CHANGE)
    return before, mark + after


def complete(stored: bytes, recorded_at: datetime, revision: int) -> str:
    """Return the document of a step with the last change to the indicator."""
    before, after = _around_change(stored)
    return with_revision(before + _change(recorded_at) + after, revision)


@lru_cache(maxsize=4096)
def _change(recorded_at: datetime) -> str:
    return _BEFORE_CHANGE.format(rfc3339(recorded_at))


def seen_at(rows: Iterable[Row], content: Callable[[Row], str] = _content) -> dict[int, tuple[Any, ...]]:
    """Return what each clearance sees of the rows of an indicator, as of one time: the document, and what lists filter by."""
    seen = ((row, (content(row), *(row[name] for name in _FILTERED))) for row in rows)
    return {level: shown for row, shown in seen for level in range(row["min_clearance"], row["max_clearance"] + 1)}


def step_rows(rows: Sequence[Row], since: datetime, before: Mapping[int, tuple[Any, ...]], from_level: int = 0) -> list[dict[str, Any]]:
    """Return the steps to store for the projection rows of an indicator as of a time. Pure.

    One is stored for each run of clearances from `from_level` on that see the same, and other than `before`.
    """
    found: list[dict[str, Any]] = []
    seen = seen_at(rows)
    for level, shown in sorted(seen.items()):
        if level < from_level or before.get(level) == shown:
            continue
        if found and found[-1]["max_clearance"] == level - 1 and seen[level - 1] == shown:
            found[-1]["max_clearance"] = level
        else:
            stored = {"document": _compressor.compress(shown[0].encode()), **dict(zip(_FILTERED, shown[1:], strict=True))}
            levels = {"min_clearance": level, "max_clearance": level}
            found.append({"indicator_id": rows[0]["indicator_id"], "since": since, **levels, **stored})
    return found


async def new_steps(
    connection: AsyncConnection,
    changes: Sequence[Change],
    inputs: Mapping[UUID, AssessmentInputs],
    stored: Mapping[UUID, Sequence[Row]],
    made: Mapping[UUID, Sequence[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """Return the steps of reports and grades that come last, and note from when on the steps of other indicators must be made again.

    `stored` has the projection rows before the changes, and `made` those after, in which it is noted.
    """
    moved = await _moved(connection, changes, inputs)
    sources = {each for indicator, move in moved.items() if move.may_follow(stored[indicator]) for each in move.sources}
    grades = {row[0]: row[1] for row in await execute_direct(connection, _LAST_GRADES, {"ids": in_values(sources)})} if sources else {}
    steps: list[dict[str, Any]] = []
    for indicator, move in moved.items():
        old = stored[indicator]
        kept_until, newest = (old[0]["kept_until"], old[0]["newest_step"]) if old else (None, None)
        later = [each for each in (newest, *(grades.get(source) for source in move.sources)) if each is not None and each > move.since]
        replaced = newest == move.since
        level = 0 if replaced else move.from_level
        new = made[indicator] if move.adds and kept_until is None and not later else []
        if new and all(each["agreement"] for each in new if each["max_clearance"] >= level):
            if replaced:
                await connection.execute(delete(_STEPS).where(_STEPS.c.indicator_id == indicator, _STEPS.c.since == newest))
            steps += step_rows(new, move.since, {} if replaced else seen_at(old), level)
            kept = {"kept_until": None, "newest_step": move.since}
        else:
            kept = {"kept_until": min(move.since, kept_until or move.since), "newest_step": None}
        for row in made[indicator]:
            row.update(kept)
    return steps


@dataclass(slots=True)
class _Move:
    """From when on, and for which clearances, changes move the assessments of an indicator.

    They add one step if nothing that the indicator rests on is dated later: neither its newest step nor a grade of these `sources`.
    """

    since: datetime
    from_level: int
    adds: bool
    sources: set[UUID]

    def may_follow(self, old: Sequence[Row]) -> bool:
        """Return whether one step is enough as far as the projection rows before the changes tell."""
        return self.adds and not (old and (old[0]["kept_until"] or (old[0]["newest_step"] or self.since) > self.since))


_LAST_GRADES = (
    select(col(SourceGrade.source_id), func.max(col(SourceGrade.effective_from)))
    .where(col(SourceGrade.source_id).in_(bindparam("ids", expanding=True)))
    .group_by(col(SourceGrade.source_id))
)
_old = table_of(Report).alias("old")
_STATED = (
    select(col(Report.id), func.coalesce(case((_old.c.stated_at < col(Report.stated_at), _old.c.stated_at)), col(Report.stated_at)))
    .outerjoin(_old, _old.c.id == col(Report.supersedes))
    .where(col(Report.id).in_(bindparam("ids", expanding=True)))
)


async def _moved(connection: AsyncConnection, changes: Sequence[Change], inputs: Mapping[UUID, AssessmentInputs]) -> dict[UUID, _Move]:
    said = {each.id: each for own in inputs.values() for each in own.statements}
    judged = {each.id: each.recorded_at for own in inputs.values() for each in own.judgements}
    amended = {entry.report_id for _, _, entry in changes if entry.report_id and (entry.type != "report" or entry.report_id not in said)}
    # A correction also moves what the report that it supersedes moved.
    stated = {row[0]: row[1] for some in chunks(amended) for row in await connection.execute(_STATED, {"ids": some})}
    found: dict[UUID, _Move] = {}
    for indicator, level, entry in changes:
        if entry.type == "grade" and entry.source_id is not None:
            move = _Move(effective_since(entry.detail or {}, entry.recorded_at), level, True, {entry.source_id})
        elif entry.judgement_id in judged:
            move = _Move(judged[entry.judgement_id], level, False, set())
        elif entry.report_id in stated or entry.report_id is None:
            move = _Move(MIN_EFFECTIVE_FROM if entry.report_id is None else stated[entry.report_id], level, False, set())
        else:
            report = said[entry.report_id]
            move = _Move(report.stated_at, level, True, {report.source.id, *([report.origin.id] if report.origin else ())})
        if (other := found.get(indicator)) is not None:
            move = _Move(min(move.since, other.since), 0, False, set())
        found[indicator] = move
    return found
