"""Store, correct, confirm and reject drafts. Nothing of them is in the ledger before they are confirmed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.keys import UNKNOWN_PERSON, persons_of
from app.access.models import ApiKey
from app.access.principal import Principal
from app.domain.identifiers import uuid7
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import LABELS, Label
from app.drafts.models import Draft
from app.drafts.schemas import DraftStatus
from app.http.problems import Problem, invalid, not_found
from app.http.representations import matches_etag
from app.reference.queries import source_names
from app.reference.updates import merge_patch
from app.reports.queries import VisibleReport, find_relayed
from app.reports.references import FieldErrors
from app.reports.service import record_reports
from app.reports.validation import ResolvedReport, ValidatedReport, resolve_references, validate
from app.settings import Settings
from app.storage.database import Database
from app.storage.paging import fetch_page
from app.storage.types import row_from, table_of

DELETE_EVERY_SECONDS = 600


def _expired(settings: Settings) -> ColumnElement[bool]:
    return col(Draft.created_at) <= utc_now() - timedelta(days=settings.draft_days)


def _visible(caller: Principal, settings: Settings) -> list[ColumnElement[bool]]:
    return [col(Draft.level) <= caller.level, ~_expired(settings)]


async def add_draft(
    session: AsyncSession, caller: Principal, sent: ValidatedReport | FieldErrors, settings: Settings, identifier: UUID | None = None
) -> Draft:
    """Store a draft; raise 422 for a report that would not be recorded."""
    resolved = await _resolve(session, caller, sent, settings)
    draft = Draft(id=identifier or uuid7(), created_at=utc_now(), level=0, report={}, organisation="", persons=[])
    await _write(session, caller, draft, resolved)
    session.add(draft)
    await session.execute(delete(Draft).where(_expired(settings)))
    return draft


async def _resolve(session: AsyncSession, caller: Principal, sent: ValidatedReport | FieldErrors, settings: Settings) -> ResolvedReport:
    (resolved,) = await resolve_references(session, caller, [sent], settings)
    if isinstance(resolved, list):
        raise invalid(resolved)
    return resolved


async def _write(session: AsyncSession, caller: Principal, draft: Draft, resolved: ResolvedReport) -> None:
    body = resolved.report.model_dump(mode="json")
    body["source"] = resolved.source.slug
    body["provenance"] |= {"via": [each.slug for each in resolved.via], "origin": resolved.origin.slug if resolved.origin else None}
    draft.level = max(draft.level, resolved.level, Label.GREEN.level)
    draft.report = body | {"sensitivity": LABELS[draft.level].value}
    draft.organisation = caller.organisation or ""
    draft.persons = persons_of(await session.get_one(ApiKey, caller.key_id))


async def correct_draft(
    session: AsyncSession, caller: Principal, draft_id: UUID, patch: Any, settings: Settings, if_match: str | None
) -> Draft:
    """Change a draft by a merge patch; its label never falls.

    Raise 404, 409 for one that was decided, 412 for one that is no longer as `if_match` says, 422 for an invalid report.
    """
    draft = await _require_proposed(session, caller, draft_id, settings)
    report = await _report_as_read(session, caller, draft, settings, if_match)
    await _write(session, caller, draft, await _resolve(session, caller, validate(merge_patch(report, patch), settings), settings))
    return draft


async def _report_as_read(session: AsyncSession, caller: Principal, draft: Draft, settings: Settings, if_match: str | None) -> Any:
    (body,) = await draft_bodies(await session.connection(), [draft], caller.level, settings)
    if if_match is not None and not matches_etag(if_match, orjson.dumps(body)):
        raise Problem(412, "The draft has changed since you read it: read it again, and send its new ETag.", kind="changed")
    return body["report"]


async def confirm_draft(
    session: AsyncSession, caller: Principal, draft_id: UUID, settings: Settings, if_match: str | None
) -> VisibleReport:
    """Record a draft as a report, as if the caller had sent it.

    Raise as `correct_draft` does, and 403 for the person that wrote it where two are needed.
    """
    draft = await _require_proposed(session, caller, draft_id, settings)
    if settings.drafts_four_eyes:
        await _require_another_person(session, caller, draft)
    sent = validate(await _report_as_read(session, caller, draft, settings, if_match), settings)
    drafted = sent if isinstance(sent, list) else replace(sent, drafted_by=draft.organisation)
    ((recorded,), _) = await record_reports(session, caller, [drafted], settings, all_or_nothing=True, at_least=draft.level)
    if isinstance(recorded, list):
        raise invalid(recorded)
    draft.status, draft.decided_by, draft.report_id = "confirmed", caller.organisation, recorded.report.id
    return recorded


async def reject_draft(session: AsyncSession, caller: Principal, draft_id: UUID, reason: str, settings: Settings) -> Draft:
    """Reject a draft with a reason, which its author may do, too; raise 404, 409 for one that was decided."""
    draft = await _require_proposed(session, caller, draft_id, settings)
    draft.status, draft.decided_by, draft.reason = "rejected", caller.organisation, reason
    return draft


async def _require_another_person(session: AsyncSession, caller: Principal, draft: Draft) -> None:
    persons = set(persons_of(await session.get_one(ApiKey, caller.key_id)))
    if any(each.startswith(UNKNOWN_PERSON) for each in {*persons, *draft.persons}):
        detail = "Confirming a draft takes two persons, and the key that wrote it, or this one, names no person: use keys that name one."
        raise Problem(403, detail, kind="no-person")
    if not persons.isdisjoint(draft.persons):
        raise Problem(403, "Confirming a draft takes two persons: another person has to confirm what this one wrote.", kind="same-person")


async def _require_proposed(session: AsyncSession, caller: Principal, draft_id: UUID, settings: Settings) -> Draft:
    draft = (await session.scalars(select(Draft).where(col(Draft.id) == draft_id, *_visible(caller, settings)))).one_or_none()
    if draft is None:
        raise not_found("draft")
    if draft.status != "proposed":
        raise Problem(409, f"The draft is already {draft.status}.", kind="decided")
    return draft


async def load_draft(connection: AsyncConnection, caller: Principal, draft_id: UUID, settings: Settings) -> dict[str, Any]:
    """Return the body of a draft; raise 404 for one that the caller may not see, or that has expired."""
    rows = await connection.execute(select(table_of(Draft)).where(col(Draft.id) == draft_id, *_visible(caller, settings)))
    bodies = await draft_bodies(connection, [row_from(Draft, row) for row in rows.mappings()], caller.level, settings)
    if not bodies:
        raise not_found("draft")
    return bodies[0]


async def load_draft_page(
    connection: AsyncConnection, caller: Principal, settings: Settings, *, status: DraftStatus | None, after: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """Return a page of the drafts that the caller sees, oldest first, the last identifier if more follow, and the ledger's head."""
    statement = select(table_of(Draft)).where(*_visible(caller, settings), *([] if status is None else [col(Draft.status) == status]))
    rows, last, revision = await fetch_page(connection, statement, key="id", after=after, limit=limit, level=caller.level)
    return await draft_bodies(connection, [row_from(Draft, row) for row in rows], caller.level, settings), last, revision


async def draft_bodies(connection: AsyncConnection, drafts: Sequence[Draft], level: int, settings: Settings) -> list[dict[str, Any]]:
    """Return the JSON bodies of drafts as a clearance sees them: protected sources under their aliases, no hidden report repeated."""
    provenances = [draft.report["provenance"] for draft in drafts]
    named = {draft.report["source"] for draft in drafts} | {slug for each in provenances for slug in [*each["via"], each["origin"]]} - {
        None
    }
    slugs = {slug: each.visible_at(level)[0] for slug, each in (await source_names(connection, named)).items()}
    relayed = await find_relayed(connection, {UUID(each["relays"]) for each in provenances if each["relays"]}, level)
    return [_body(draft, slugs, {str(each) for each in relayed}, settings) for draft in drafts]


def _body(draft: Draft, slugs: dict[str, str], relayed: set[str], settings: Settings) -> dict[str, Any]:
    provenance = dict(draft.report["provenance"])
    provenance["via"] = [slugs[each] for each in provenance["via"]]
    provenance["origin"] = provenance["origin"] and slugs[provenance["origin"]]
    provenance["relays"] = provenance["relays"] if provenance["relays"] in relayed else None
    path = f"/v1/drafts/{draft.id}"
    links = {"self": path, "confirmation": f"{path}/confirmation", "rejection": f"{path}/rejection"}
    return {
        "id": str(draft.id),
        "status": draft.status,
        "report": draft.report | {"source": slugs[draft.report["source"]], "provenance": provenance},
        "drafted_by": draft.organisation,
        "created_at": rfc3339(draft.created_at),
        "expires_at": rfc3339(draft.created_at + timedelta(days=settings.draft_days)),
        "decided_by": draft.decided_by,
        "reason": draft.reason,
        "links": links | ({"report": f"/v1/reports/{draft.report_id}"} if draft.report_id else {}),
    }


@contextlib.asynccontextmanager
async def deleting_expired(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Delete expired drafts from time to time, also while no other is made."""

    async def run() -> None:
        while True:
            await asyncio.sleep(DELETE_EVERY_SECONDS)
            with contextlib.suppress(SQLAlchemyError, OSError):
                async with database.writer.begin() as connection:
                    await connection.execute(delete(Draft).where(_expired(settings)))

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
