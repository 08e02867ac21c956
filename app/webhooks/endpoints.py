"""`/v1/webhooks`: create, list and delete webhooks, read their delivery logs."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.audit import record_write
from app.access.dependencies import DatabaseDep, SettingsDep, require
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal, Scope
from app.http.cursors import Cursor
from app.http.openapi import CURATE_ERRORS, IDEMPOTENT, SCOPED_LIST_ERRORS, SCOPED_READ_ERRORS, create_operation
from app.http.problems import FieldProblem, invalid
from app.http.query_params import Limit, PageCursor
from app.http.responses import json_response, page_response
from app.reference.suggestions import body_in_place, unknown_place
from app.storage.paging import current_revision
from app.webhooks import queries, service
from app.webhooks.events import MEDIA_TYPE
from app.webhooks.schemas import ChangeEvent, DeliveryOut, DeliveryPage, DeliveryStatus, WebhookCreated, WebhookIn, WebhookOut, WebhookPage
from app.webhooks.ssrf_guard import ForbiddenTarget, check_target

router = APIRouter(tags=["Webhooks"])
# Requests that Lifeline sends, for the OpenAPI document; serves nothing.
events = APIRouter()

WEBHOOK_CURSOR = Cursor("webhooks", UUID)
DELIVERY_CURSOR = Cursor("deliveries", int)

Subscriber = Annotated[Principal, Depends(require(Scope.READ))]
WebhookId = Annotated[UUID, Path(description="Webhook to read.", examples=["01900000-0000-7000-8006-000000000001"])]
DeletedId = Annotated[UUID, Path(description="Webhook to delete.", examples=["01900000-0000-7000-8006-000000000002"])]
DeliveryId = Annotated[UUID, Path(description="Delivery to repeat.", examples=["01900000-0000-7000-8007-000000000001"])]
# How long a new webhook waits for the check of its host; shorter than an attempt, because every attempt checks again.
MAX_RESOLVE_SECONDS = 3.0


@router.post("/webhooks", summary="Create a webhook", response_model=WebhookCreated, **create_operation(WebhookIn, responses=CURATE_ERRORS))
async def create_webhook(
    request: Request,
    caller: Subscriber,
    settings: SettingsDep,
    database: DatabaseDep,
    sent: Annotated[WebhookIn, Depends(body_in_place(WebhookIn, "place"))],
) -> Response:
    """Post every change that the key may see to a URL, as a CloudEvent, at least once. Needs the scope `read`.

    The body is `application/cloudevents+json`; `data` is the change as in `/v1/changes`. Where that needs a clearance above `green`,
    `data` has only `seq`, `type` and a link to the change. Types: `org.lifeline.report.recorded.v1`, `.report.corrected.v1`,
    `.report.retracted.v1`, `.report.reinstated.v1`, `.indicator.outcome.v1`, `.source.graded.v1`; ignore types that you do not know.

    Verify the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` with the `secret` (Standard Webhooks). Answer 2xx
    within 15 seconds, and ignore a `webhook-id` that you have processed. Other answers are retried for three days, after a random delay
    of up to 5 s, 20 s, 80 s, ..., 6 h, not before `Retry-After`. One request at a time, first attempts in the order of the ledger.

    The host must resolve to public addresses only; if it does not resolve yet, the webhook is created, and every attempt resolves it
    again. A webhook is disabled after five days without success, or by the answer 410. Deliveries stop when the key is revoked or
    expires. A webhook created with a token stops a day after the user's last token expired, and goes on when the user returns.
    """
    try:
        target = await check_target(sent.url, allow_private=settings.webhook_allow_private, seconds=MAX_RESOLVE_SECONDS)
    except ForbiddenTarget as forbidden:
        problem = FieldProblem(pointer="/url", detail=str(forbidden))
        async with database.read() as connection:
            raise invalid([problem, *await unknown_place(connection, "/place", sent.place, caller.level)]) from None

    async def write(session: AsyncSession) -> WriteResult:
        webhook = await service.add_webhook(session, caller, sent, str(target))
        served = await queries.get_webhook(await session.connection(), caller, webhook.id)
        body, replay_body = [orjson.dumps(served | {"secret": secret}) for secret in (webhook.secret, None)]
        return WriteResult(201, body, served["links"]["self"], replay_body)

    return await idempotent_write(request, caller, write)


@router.get("/webhooks", summary="List webhooks", response_model=WebhookPage, responses=SCOPED_LIST_ERRORS)
async def list_webhooks(
    request: Request, caller: Subscriber, database: DatabaseDep, cursor: PageCursor = None, limit: Limit = 100
) -> Response:
    """List the webhooks of the key's organisation at or below its clearance, oldest first. Needs the scope `read`."""
    after = WEBHOOK_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        items, last, revision = await queries.list_webhooks(connection, caller, after=after, limit=limit)
    next_cursor = WEBHOOK_CURSOR.encode(last, revision)
    return page_response(request, items, next_cursor=next_cursor, revision=revision, cacheable=False)


@router.get("/webhooks/{id}", summary="Get a webhook", response_model=WebhookOut, responses=SCOPED_READ_ERRORS)
async def get_webhook(request: Request, caller: Subscriber, database: DatabaseDep, id: WebhookId) -> Response:  # noqa: A002 - wire name
    """Return a webhook: how far it is queued, since when it fails, whether and why it is disabled. Needs the scope `read`."""
    async with database.read_latest() as connection:
        webhook = await queries.get_webhook(connection, caller, id)
        revision = await current_revision(connection, caller.level)
    return json_response(request, orjson.dumps(webhook), cacheable=False, revision=revision)


@router.delete("/webhooks/{id}", status_code=204, summary="Delete a webhook", response_class=Response, responses=SCOPED_READ_ERRORS)
async def delete_webhook(request: Request, caller: Subscriber, database: DatabaseDep, id: DeletedId) -> Response:  # noqa: A002 - wire name
    """Delete a webhook, its pending deliveries and its log. Needs the scope `read`."""
    async with database.write() as session:
        await service.remove_webhook(session, caller, id)
        await record_write(session, request, caller.actor, 204)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.get("/webhooks/{id}/deliveries", summary="List deliveries of a webhook", response_model=DeliveryPage, responses=SCOPED_READ_ERRORS)
async def list_webhook_deliveries(
    request: Request,
    caller: Subscriber,
    database: DatabaseDep,
    id: WebhookId,  # noqa: A002 - wire name
    status: Annotated[DeliveryStatus | None, Query(description="Only deliveries with this status.", examples=["pending"])] = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
) -> Response:
    """List the delivery log of a webhook, latest change first: delivered, pending and failed deliveries, with times and errors.

    Entries that are not pending are kept for 30 days, unless configured otherwise. Needs the scope `read`.
    """
    before = DELIVERY_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        await queries.get_webhook(connection, caller, id)
        items, last, revision = await queries.list_deliveries(connection, caller, id, status=status, before=before, limit=limit)
    next_cursor = DELIVERY_CURSOR.encode(last, revision)
    return page_response(request, items, next_cursor=next_cursor, revision=revision, cacheable=False)


@router.post(
    "/webhooks/{id}/deliveries/{delivery}/redelivery",
    status_code=202,
    summary="Deliver again",
    response_model=DeliveryOut,
    responses=SCOPED_READ_ERRORS,
    openapi_extra=IDEMPOTENT,
)
async def create_webhook_redelivery(
    request: Request,
    caller: Subscriber,
    id: WebhookId,  # noqa: A002 - wire name
    delivery: DeliveryId,
) -> Response:
    """Deliver again, now, with the same `webhook-id`, and enable a disabled webhook. Needs the scope `read`."""

    async def write(session: AsyncSession) -> WriteResult:
        await service.redeliver(session, caller, id, delivery)
        served = await queries.get_delivery(await session.connection(), id, delivery)
        return WriteResult(202, orjson.dumps(served))

    return await idempotent_write(request, caller, write)


@events.post(
    "change",
    operation_id="receive_change",
    status_code=204,
    summary="Receive a change",
    response_class=Response,
    responses={204: {"description": "Received; any 2xx will do."}, 410: {"description": "Send no more: the webhook is disabled."}},
)
async def receive_change(
    event: Annotated[ChangeEvent, Body(media_type=MEDIA_TYPE)],
    webhook_id: Annotated[str, Header(description="Identifier of the delivery, the same at every attempt.")],
    webhook_timestamp: Annotated[
        int, Header(description="When it was sent, in seconds since 1970; refuse what is older than five minutes.")
    ],
    webhook_signature: Annotated[str, Header(description="`v1,` and HMAC-SHA-256 in base64 (Standard Webhooks); several, by spaces.")],
) -> None:
    """Receive a change at the `url` of a webhook. Verify it with the `secret` of the webhook before you read it."""
