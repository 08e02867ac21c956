"""Change places, sources and routes by JSON Merge Patch (RFC 7396)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.assessment.models import StaleRecord
from app.http.problems import FieldProblem, Problem, invalid, invalid_field, validate_model
from app.ledger.appender import open_appender
from app.ledger.models import effective_detail
from app.reference.models import Extent, Place, PlaceAncestor, PlaceCode, RecordText, ReferenceModel, Route, Source, SourceGrade
from app.reference.queries import find_places, grade_in_force
from app.reference.rows import (
    Record,
    extent_rows,
    is_party_by_default,
    place_row,
    place_shape,
    route_record,
    route_row,
    source_record,
    source_row,
    text_rows,
    visible_record,
)
from app.reference.schemas import SCHEMAS, PlaceIn, RouteIn, SourceIn
from app.reference.service import (
    Container,
    append_version,
    code_rows,
    code_taken,
    existing_codes,
    load_containers,
    resolve_place,
)
from app.reference.suggestions import unknown_place
from app.reference.versions import Version, last_version
from app.storage.types import table_of

# Fields that no patch changes, with the reason.
FIXED = {
    "slug": "a slug never changes, because reports and links name it: create another record",
    "reliability": "a grade is dated: send it to POST /v1/sources/{slug}/grades",
    "first_reliability": "the first grade never changes: send a new one to POST /v1/sources/{slug}/grades",
    "id": "an identifier never changes",
}
_GRADE = select(grade_in_force()).select_from(Source).where(col(Source.id) == bindparam("id"))
INSIDE_ITSELF = "this is the place itself, or one inside it: send a place that is not"
UNPROTECTED = "a protected source stays protected, because readers have been shown its alias alone: send another alias, or leave it out"


async def change_record(session: AsyncSession, caller: Principal, model: ReferenceModel, identifier: UUID, patch: Any) -> bool:
    """Change an existing record, and return whether the patch changes anything.

    Fields that are sent back as the caller sees them stay unchanged.
    Raise 403 for a field that the caller does not see, 409 for the code of another place, 422 for a patch that leaves no valid record.
    """
    await open_appender(session)
    connection = await session.connection()
    version = await last_version(connection, identifier)
    old = version.record
    more = {} if model is not Source else {"reliability": await connection.scalar(_GRADE, {"id": identifier})}
    changes, problems = _changes(version, patch, caller, more)
    sent = {name: value for name, value in old.items() if value is not None and (name == "slug" or name not in FIXED)}
    # Whether a source is a party follows from a new type where it followed from the old one.
    if old.get("party_to_conflict") == is_party_by_default(old.get("type", "")) and "party_to_conflict" not in patch:
        sent.pop("party_to_conflict")
    for name in await _inherited(connection, old, changes["parent"]) if isinstance(changes.get("parent"), str) else ():
        if name not in patch:
            sent.pop(name, None)
    body, wrong = validate_model(SCHEMAS[version.type], merge_patch(sent, changes))
    problems += wrong
    for name in ("parent", "successor_of") if version.type == "place" else ():
        if isinstance(changes.get(name), str) and all(each.pointer != f"/{name}" for each in problems):
            problems += await unknown_place(connection, f"/{name}", changes[name], caller.level)
    if body is None or problems:
        raise invalid(problems)
    if old.get("alias") is not None and isinstance(body, SourceIn) and body.alias is None:
        raise invalid_field("/alias", UNPROTECTED)
    return await replace_record(session, caller, model, version, body)


async def replace_record(
    session: AsyncSession,
    caller: Principal,
    model: ReferenceModel,
    version: Version,
    body: PlaceIn | SourceIn | RouteIn,
    *,
    first_recorded_at: datetime | None = None,
    effective_from: datetime | None = None,
) -> bool:
    """Replace the current version of a record, whose slug and first grade stay; return whether anything changes.

    `first_recorded_at` is when another Lifeline recorded the change; `effective_from` is from when `party_to_conflict` counts, None for
    now. Raise 409 for the code of another place, 422 for an unknown place or one that would be inside itself.
    """
    appender = await open_appender(session)
    old, identifier = version.record, UUID(version.record["id"])
    if isinstance(body, PlaceIn):
        containers = await load_containers(await session.connection(), {body.parent, body.successor_of})
        new = await _place(await session.connection(), identifier, body, old, containers)
        row = place_row(new)
        row["parent_id"] = None if body.parent is None else containers[body.parent].path[-1]
        await _update_codes(session, identifier, old, new)
        if old["parent"] != new["parent"]:
            await _move(session, identifier, row["parent_id"])
    elif isinstance(body, SourceIn):
        new = source_record(identifier, body) | {"first_reliability": old["first_reliability"]}
        row = source_row(new)
    else:
        new = route_record(identifier, body)
        row = route_row(new)
    # A replicated change that changes nothing is recorded as well, because it decides which of other changes is the later one.
    if new == old and first_recorded_at is None:
        return False
    table, extents = table_of(model), table_of(Extent)
    await session.execute(update(table).where(table.c.id == identifier).values(row))
    if model is not Source and (old["geometry"], old.get("centroid")) != (new["geometry"], new.get("centroid")):
        await session.execute(delete(extents).where(extents.c.record_id == identifier))
        shape = new["geometry"] if model is Route else place_shape(new)
        if shape is not None:
            await session.execute(insert(extents), extent_rows(identifier, shape, is_route=model is Route))
    if text_rows(version.type, old) != (after := text_rows(version.type, new)):
        texts = table_of(RecordText)
        await session.execute(delete(texts).where(texts.c.record_id == identifier))
        await session.execute(insert(texts), after)
    party = new.get("party_to_conflict") if new.get("party_to_conflict") != old.get("party_to_conflict") else None
    detail = {} if party is None else effective_detail(effective_from, first_recorded_at, appender.recorded_at)
    entry = append_version(appender, caller, version.type, new, first_recorded_at, previous=version.global_seq, detail=detail)
    await appender.flush(session, [entry])
    if party is not None:
        since = {"effective_from": effective_from or appender.recorded_at, "party_to_conflict": party}
        await session.execute(insert(table_of(SourceGrade)), [{"source_id": identifier, "global_seq": entry.global_seq, **since}])
    if model in (Place, Source):
        stale = table_of(StaleRecord)
        await session.execute(delete(stale).where(stale.c.record_id == identifier))
        await session.execute(insert(stale), [{"record_id": identifier, "level": 0, "after": None}])
    return True


def merge_patch(target: Any, patch: Any) -> Any:
    """Return a document after a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _changes(version: Version, patch: Any, caller: Principal, more: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldProblem]]:
    """Return the fields of a patch that differ from what the caller sees, and what is wrong with those that never change.

    Raise 403 for a field that the caller does not see.
    """
    if not isinstance(patch, dict):
        raise invalid_field("", "must be a JSON object with the fields to change")
    type_, visible = version.type, visible_record(version.type, version.record, caller.level)
    redacted = visible.get("redacted", [])
    served = {**visible, **more, "redacted": redacted, "links": {"self": f"/v1/{type_}s/{visible['slug']}"}}
    changes = {name: value for name, value in patch.items() if name not in served or served[name] != value}
    fixed = [FieldProblem(pointer=f"/{name}", detail=detail) for name, detail in FIXED.items() if name in changes]
    if withheld := sorted(changes.keys() & set(redacted)):
        detail = f"The key is not cleared for {' and '.join(withheld)} of this {type_}, which takes the clearance amber."
        raise Problem(403, detail, kind="clearance")
    return {name: value for name, value in changes.items() if name not in FIXED}, fixed


async def _inherited(connection: AsyncConnection, old: Record, parent: str) -> list[str]:
    """Return the fields that a place has as its parent had them, and that another parent gives it."""
    known = await find_places(connection, {parent, *([old["parent"]] if old["parent"] else [])})
    before, after = known.get(old["parent"]), known.get(parent)
    top = {"country": None, "timezone": "UTC"}
    return [name for name in top if getattr(after, name, None) and old.get(name) == (getattr(before, name) if before else top[name])]


async def _place(connection: AsyncConnection, identifier: UUID, body: PlaceIn, old: Record, containers: Mapping[str, Container]) -> Record:
    new = resolve_place(identifier, body, containers)
    if isinstance(new, FieldProblem):
        raise invalid([new])
    if body.parent is not None and identifier in containers[body.parent].path:
        raise invalid_field("/parent", INSIDE_ITSELF)
    if new["successor_of"] == new["slug"]:
        raise invalid_field("/successor_of", "a place takes the place of another, not of itself")
    added = {(code.scheme, code.code) for code in body.codes} - {(code["scheme"], code["code"]) for code in old["codes"]}
    if conflicts := sorted(await existing_codes(connection, added)):
        raise Problem(409, f"{code_taken(conflicts[0])}.", kind="exists")
    return new


async def _update_codes(session: AsyncSession, identifier: UUID, old: Record, new: Record) -> None:
    if old["codes"] != new["codes"]:
        codes = table_of(PlaceCode)
        await session.execute(delete(codes).where(codes.c.place_id == identifier))
        if new["codes"]:
            await session.execute(insert(codes), code_rows(identifier, new))


async def _move(session: AsyncSession, identifier: UUID, parent: UUID | None) -> None:
    """Replace the places that contain a place, and with it those that it contains, by a new parent and what contains that."""
    pairs = table_of(PlaceAncestor)
    inside, above = pairs.alias("inside"), pairs.alias("above")
    contained = select(inside.c.place_id).where(inside.c.ancestor_id == identifier)
    before = select(above.c.ancestor_id).where(above.c.place_id == identifier, above.c.ancestor_id != identifier)
    await session.execute(delete(pairs).where(pairs.c.place_id.in_(contained), pairs.c.ancestor_id.in_(before)))
    if parent is not None:
        added = select(above.c.ancestor_id, inside.c.place_id).join(inside, inside.c.ancestor_id == identifier)
        added = added.where(above.c.place_id == parent)
        await session.execute(insert(pairs).from_select(["ancestor_id", "place_id"], added))
