"""`/v1/webhooks`: where changes are posted to, and what came of it."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.audit import record_write
from app.access.dependencies import DatabaseDep, SettingsDep, require
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal, Scope
from app.http.cursors import Cursor
from app.http.openapi import IDEMPOTENCY_KEY, WRITE_ERRORS, body_schema, json_request_body, problems
from app.http.problems import invalid_field, not_found
from app.http.query_params import Limit, PageCursor
from app.http.request_body import validated_body
from app.http.responses import json_response, page_response
from app.storage.paging import revision_of
from app.webhooks import queries, service
from app.webhooks.schemas import DeliveryOut, DeliveryPage, DeliveryStatus, WebhookCreated, WebhookIn, WebhookOut, WebhookPage
from app.webhooks.ssrf_guard import ForbiddenTarget, check_target

router = APIRouter(tags=["Webhooks"])

WEBHOOK_CURSOR = Cursor("webhooks", UUID)
DELIVERY_CURSOR = Cursor("deliveries", int)

Subscriber = Annotated[Principal, Depends(require(Scope.READ))]
WebhookId = Annotated[UUID, Path(description="Identifier of the webhook.", examples=["01900000-0000-7000-8006-000000000001"])]
DeletedId = Annotated[UUID, Path(description="Identifier of the webhook.", examples=["01900000-0000-7000-8006-000000000002"])]
DeliveryId = Annotated[UUID, Path(description="Identifier of the delivery.", examples=["01900000-0000-7000-8007-000000000001"])]
# To be told of a private address is worth waiting for, but not for as long as a delivery would.
RESOLVE_TIMEOUT_SECONDS = 3.0
WEBHOOK_ERRORS = problems(401, 403, 404, 422, 503)


@router.post(
    "/webhooks",
    status_code=201,
    summary="Have changes posted to you",
    response_model=WebhookCreated,
    responses=WRITE_ERRORS | problems(409),
    openapi_extra=json_request_body(
        body_schema(WebhookIn),
        {
            "Everything, from now on": {"url": "https://receiver.invalid/lifeline"},
            "Supplies of a place and what is in it": {
                "url": "https://receiver.invalid/lifeline",
                "kind": "supply_runout",
                "place": "aleppo-east",
                "within": True,
                "after": "beginning",
            },
        },
    ),
)
async def create_webhook(
    request: Request, caller: Subscriber, settings: SettingsDep, sent: Annotated[WebhookIn, Depends(validated_body(WebhookIn))]
) -> Response:
    """Register a target: every change that the key may see is posted to it as a CloudEvent, at least once. Needs the scope `read`.

    The body of a delivery is `application/cloudevents+json`; `data` is the change as in `/v1/changes`, made when it was queued. Above
    `green` it is only `seq`, `type` and a link to fetch the change by. Types: `org.lifeline.report.recorded.v1`,
    `.report.corrected.v1`, `.report.retracted.v1`, `.indicator.outcome.v1`, `.source.graded.v1`; ignore those you do not know.

    Verify it by the headers `webhook-id`, `webhook-timestamp`, `webhook-signature` (Standard Webhooks) and the `secret`, which is shown
    this once: a request that is repeated with its `Idempotency-Key` gets the first answer without it. Answer 2xx in time, and drop a
    `webhook-id` that you have seen. Anything else is tried again after a random wait of up to 5 s, 20 s, 80 s, ..., 6 h, not before
    `Retry-After`, for three days. One request at a time, first attempts in the order of the ledger. The host must have public addresses
    only; one that no name server knows at the moment is accepted, since each attempt looks again (that of the examples never has an
    address). A target that takes nothing for five days, or answers 410, is disabled. A revoked or expired key ends its deliveries. For
    who comes with tokens of an issuer they end some hours after his last token, a day unless configured otherwise, and go on from
    there when he comes again.
    """
    try:
        target = await check_target(sent.url, allow_private=settings.webhook_allow_private, seconds=RESOLVE_TIMEOUT_SECONDS)
    except ForbiddenTarget as refused:
        raise invalid_field("/url", str(refused)) from None

    async def write(session: AsyncSession) -> WriteResult:
        webhook = await service.add_webhook(session, caller, sent, str(target))
        served = await queries.get_webhook(await session.connection(), caller, webhook.id)
        assert served is not None
        shown, remembered = [orjson.dumps(served | {"secret": secret}) for secret in (webhook.secret, None)]
        return WriteResult(201, shown, served["links"]["self"], remembered)

    return await idempotent_write(request, caller, write)


@router.get("/webhooks", summary="Who is told?", response_model=WebhookPage, responses=problems(401, 403, 422, 503))
async def list_webhooks(
    request: Request, caller: Subscriber, database: DatabaseDep, cursor: PageCursor = None, limit: Limit = 100
) -> Response:
    """The webhooks of the key's organisation, oldest first, those of a higher clearance left out. Needs the scope `read`."""
    after = WEBHOOK_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        items, last, revision = await queries.list_webhooks(connection, caller, after=after, limit=limit)
    documents = [orjson.dumps(item).decode() for item in items]
    return page_response(
        request, documents, next_cursor=WEBHOOK_CURSOR.encode(last, revision), revision=revision, private=True, cacheable=False
    )


@router.get("/webhooks/{id}", summary="One webhook", response_model=WebhookOut, responses=WEBHOOK_ERRORS)
async def get_webhook(
    request: Request,
    caller: Subscriber,
    database: DatabaseDep,
    id: WebhookId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """How a webhook stands: how far it is queued, since when it fails, whether it was disabled and why. Needs the scope `read`."""
    async with database.read_latest() as connection:
        found = await queries.get_webhook(connection, caller, id)
        revision = await revision_of(connection, caller.level)
    if found is None:
        raise not_found("webhook")
    return json_response(request, orjson.dumps(found), private=True, cacheable=False, revision=revision)


@router.delete("/webhooks/{id}", status_code=204, summary="Be told no more", response_class=Response, responses=WEBHOOK_ERRORS)
async def delete_webhook(
    request: Request,
    caller: Subscriber,
    database: DatabaseDep,
    id: DeletedId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Delete a webhook, what was still to be delivered, and its log. Needs the scope `read`."""
    async with database.write() as session:
        await service.remove_webhook(session, caller, id)
        record_write(session, request, caller.actor, 204)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.get("/webhooks/{id}/deliveries", summary="What came of it?", response_model=DeliveryPage, responses=WEBHOOK_ERRORS)
async def list_webhook_deliveries(
    request: Request,
    caller: Subscriber,
    database: DatabaseDep,
    id: WebhookId,  # noqa: A002 - the field's name on the wire
    status: Annotated[DeliveryStatus | None, Query(description="Only those that stand so.", examples=["pending"])] = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
) -> Response:
    """The log of a webhook, latest change first: what was delivered, what is to be tried again and when, what failed and why.

    Needs the scope `read`. What is done is kept for 30 days, unless configured otherwise.
    """
    before = DELIVERY_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        if await queries.get_webhook(connection, caller, id) is None:
            raise not_found("webhook")
        items, last, revision = await queries.list_deliveries(connection, caller, id, status=status, before=before, limit=limit)
    documents = [orjson.dumps(item).decode() for item in items]
    return page_response(
        request, documents, next_cursor=DELIVERY_CURSOR.encode(last, revision), revision=revision, private=True, cacheable=False
    )


@router.post(
    "/webhooks/{id}/deliveries/{delivery}/redelivery",
    status_code=202,
    summary="Send it again",
    response_model=DeliveryOut,
    responses=WEBHOOK_ERRORS,
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def create_webhook_redelivery(
    request: Request,
    caller: Subscriber,
    id: WebhookId,  # noqa: A002 - the field's name on the wire
    delivery: DeliveryId,
) -> Response:
    """Send a delivery again, now, under the same `webhook-id` and with the same body. Needs the scope `read`.

    Sets a disabled webhook going again, from where it stopped: what came in the meantime follows.
    """

    async def write(session: AsyncSession) -> WriteResult:
        await service.redeliver(session, caller, id, delivery)
        served = await queries.get_delivery(await session.connection(), id, delivery)
        return WriteResult(202, orjson.dumps(served))

    return await idempotent_write(request, caller, write)
