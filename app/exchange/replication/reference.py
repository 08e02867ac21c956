"""Applies the places, sources and routes of another Lifeline, with their identifiers, and the changes of these."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.assessment.stale import assess_stale
from app.exchange.replication.entry_schema import Entry
from app.exchange.replication.queries import first_recorded_of, is_recorded
from app.exchange.replication.results import ApplyResult
from app.http.problems import FieldProblem, Problem, field_problems
from app.ledger.models import LedgerEntry
from app.reference.models import MODELS
from app.reference.records import REVEAL_FROM
from app.reference.rows import is_restricted
from app.reference.schemas import SCHEMAS, PlaceIn, RouteIn, SourceIn
from app.reference.service import add_places, add_route, add_source
from app.reference.updates import INSIDE_ITSELF, replace_record
from app.reference.versions import last_version
from app.settings import Settings

# Fields that a service adds to what was sent.
_ADDED = frozenset({"id", "redacted", "first_reliability"})

Body = PlaceIn | SourceIn | RouteIn
# An entry with its record as it was sent, and its identifier.
_Sent = tuple[Entry, Body, UUID]


class _Conflict(Exception):
    """The record was changed in another way here: the change of this service stays."""


class _Served(BaseModel):
    id: UUID
    redacted: list[str] = []


def parse_record(entry: Entry) -> tuple[Body, UUID] | list[FieldProblem]:
    """Return the record of an entry as it was sent, with its identifier, or what is wrong with it by itself."""
    record: Mapping[str, Any] = entry.detail.record or {}
    body = {name: value for name, value in record.items() if name not in _ADDED and value is not None}
    try:
        served = _Served.model_validate(record)
        if "slug" in served.redacted:
            # A protected source: its slug here is its alias already.
            body.pop("alias", None)
        if record.get("first_reliability"):
            # Later grades are entries of the ledger.
            body["reliability"] = record["first_reliability"]
        return SCHEMAS[entry.type].model_validate(body), served.id
    except ValidationError as error:
        return _within_record(field_problems(error))


def _within_record(errors: Sequence[FieldProblem]) -> list[FieldProblem]:
    return [FieldProblem(pointer=f"/detail/record{each.pointer}", detail=each.detail) for each in errors]


async def apply_records(
    session: AsyncSession,
    caller: Principal,
    run: Sequence[tuple[int, Entry]],
    result: ApplyResult,
    settings: Settings,
    brought: set[str] | None,
) -> None:
    """Add or change the places, sources or routes of entries of one type; new ones together, which is many times as fast.

    `brought` has the slugs of the sources that came with one file, of which alone `party_to_conflict` counts from when it did there;
    None for entries that a Lifeline itself sent.
    """
    type_ = run[0][1].type
    parsed = [(at, entry, parse_record(entry)) for at, entry in run]
    known = await _existing(session, type_, [sent[1] for _, _, sent in parsed if not isinstance(sent, list)])
    new: dict[UUID, tuple[int, _Sent]] = {}
    for at, entry, sent in parsed:
        if isinstance(sent, list):
            result.refused.append((at, sent))
            continue
        body, identifier = sent
        if identifier not in known:
            known.add(identifier)
            new[identifier] = at, (entry, body, identifier)
            continue
        if identifier in new:
            await _add(session, caller, list(new.values()), result, brought)
            new.clear()
        since = None if brought is not None and body.slug not in brought else entry
        try:
            changed = await _change(session, caller, (entry, body, identifier), settings, since)
            result.added[type_] += changed
            result.existing += not changed
        except _Conflict:
            result.conflicts += 1
        except Problem as problem:
            if problem.status == 409 or any(each.detail == INSIDE_ITSELF for each in problem.errors or []):
                # A code or a parent that cannot be beside what was changed here.
                result.conflicts += 1
                continue
            result.refused.append((at, _within_record(problem.errors or [FieldProblem(pointer="", detail=problem.detail)])))
    if new:
        await _add(session, caller, list(new.values()), result, brought)


async def _existing(session: AsyncSession, type_: str, ids: Sequence[UUID]) -> set[UUID]:
    identifier = col(MODELS[type_].id)
    return set((await session.execute(select(identifier).where(identifier.in_(ids)))).scalars())


async def _add(
    session: AsyncSession, caller: Principal, new: Sequence[tuple[int, _Sent]], result: ApplyResult, brought: set[str] | None
) -> None:
    """Add new records of one type, parents before their children; those whose slug exists are counted as existing."""
    type_, sent = new[0][1][0].type, [each for _, each in new]
    places = [(body, identifier) for _, body, identifier in sent if isinstance(body, PlaceIn)]
    first_recorded = {identifier: entry.first_recorded_at for entry, _, identifier in sent}
    outcomes: list[bool | FieldProblem] = await add_places(session, caller, places, first_recorded) if places else []
    for _, body, identifier in sent:
        try:
            if isinstance(body, SourceIn):
                await add_source(session, caller, body, identifier, first_recorded[identifier])
                outcomes.append(True)
            elif isinstance(body, RouteIn):
                await add_route(session, caller, body, identifier, first_recorded[identifier])
                outcomes.append(True)
        except Problem:
            # The only one: its slug exists.
            outcomes.append(False)
    for (at, (_, body, _)), outcome in zip(new, outcomes, strict=True):
        if isinstance(outcome, FieldProblem):
            result.refused.append((at, _within_record([outcome])))
        elif outcome:
            result.added[type_] += 1
            if brought is not None and type_ == "source":
                brought.add(body.slug)
        else:
            result.existing += 1


async def _change(session: AsyncSession, caller: Principal, sent: _Sent, settings: Settings, since: Entry | None) -> bool:
    """Replace a record as another Lifeline did; return whether that changed anything here.

    Raise _Conflict for a record that was changed here later, or that the caller does not see in full.
    """
    entry, body, identifier = sent
    version = await last_version(await session.connection(), identifier)
    if version.record["slug"] != body.slug:
        # This service knows more than the entry shows.
        return False
    if await is_recorded(session, caller, entry, entry.type, col(LedgerEntry.record_id) == identifier):
        return False
    hidden = caller.level < REVEAL_FROM and is_restricted(version.type, version.record)
    if hidden or await first_recorded_of(session, version.global_seq) > entry.first_recorded_at:
        raise _Conflict
    effective_from = None if since is None else since.effective_from
    first = entry.first_recorded_at
    changed = await replace_record(
        session, caller, MODELS[entry.type], version, body, first_recorded_at=first, effective_from=effective_from
    )
    await assess_stale(session, settings.horizons, identifier)
    return changed
