"""Webhooks on the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from app.domain.tlp import Label
from app.indicators.schemas import KindName

WebhookStatus = Literal["active", "stopped", "disabled"]
DeliveryStatus = Literal["pending", "delivered", "failed"]

_ID = "01900000-0000-7000-8006-000000000001"
_DELIVERY = "01900000-0000-7000-8007-000000000001"

_EXAMPLE: dict[str, JsonValue] = {
    "id": _ID,
    "url": "https://receiver.invalid/lifeline",
    "kind": "supply_runout",
    "place": "aleppo-east",
    "within": True,
    "country": None,
    "clearance": "green",
    "status": "active",
    "seq": 16,
    "created_at": "2026-11-24T09:00:00Z",
    "delivered_at": None,
    "failing_since": None,
    "disabled_at": None,
    "disabled_reason": None,
    "links": {"self": f"/v1/webhooks/{_ID}", "deliveries": f"/v1/webhooks/{_ID}/deliveries"},
}


class WebhookIn(BaseModel):
    """A webhook as registered."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(max_length=2000, description="Where to post: https, a host with public addresses only, no credentials.")]
    kind: Annotated[KindName | None, Field(description="Only changes of this kind of indicator.")] = None
    place: Annotated[str | None, Field(max_length=100, description="Slug of a place, or `scheme:code`; matching is exact.")] = None
    within: Annotated[StrictBool, Field(description="With `place`: its descendants too.")] = False
    country: Annotated[str | None, Field(pattern="^[A-Z]{3}$", description="ISO 3166-1 alpha-3.")] = None
    after: Annotated[
        Literal["now", "beginning"], Field(description="Whether to start at the head of the ledger, or to send all of it first.")
    ] = "now"

    @model_validator(mode="after")
    def _place_to_be_within(self) -> "WebhookIn":
        if self.within and self.place is None:
            raise PydanticCustomError("value_error", "needs a place", {"field": "within"})
        return self


class WebhookLinks(BaseModel):
    """Where to go from a webhook."""

    self: str
    deliveries: str


class WebhookOut(BaseModel):
    """A webhook as served."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str
    url: str
    kind: str | None
    place: str | None
    within: bool
    country: str | None
    clearance: Label = Field(description="That of the key when it was registered; deliveries hold nothing above it.")
    status: WebhookStatus = Field(description="`stopped`: its key was revoked or has expired. `disabled`: see `disabled_reason`.")
    seq: int = Field(description="How far in the ledger it is queued: what comes later is still to come.")
    created_at: str
    delivered_at: str | None = Field(description="Last success.")
    failing_since: str | None = Field(description="First failure after the last success.")
    disabled_at: str | None
    disabled_reason: str | None
    links: WebhookLinks


class WebhookCreated(WebhookOut):
    """A webhook as answered to its registration: the one time that the secret is shown."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}]})

    secret: str | None = Field(
        description="What deliveries are signed with (Standard Webhooks). Keep it: it is shown this once, and null where the request is "
        "repeated with its `Idempotency-Key`."
    )


class _Page(BaseModel):
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    as_of: None = None
    revision: int = Field(description="Head of the ledger as this reader sees it.")


class WebhookPage(_Page):
    """Webhooks, oldest first."""

    items: list[WebhookOut]


class DeliveryLinks(BaseModel):
    """Where to go from a delivery."""

    webhook: str
    redelivery: str


class DeliveryOut(BaseModel):
    """One entry of a webhook's log."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _DELIVERY,
                    "seq": 17,
                    "type": "org.lifeline.report.recorded.v1",
                    "status": "pending",
                    "attempts": 2,
                    "created_at": "2026-11-24T09:05:00Z",
                    "last_attempt_at": "2026-11-24T09:05:03Z",
                    "next_attempt_at": "2026-11-24T09:05:17Z",
                    "status_code": 503,
                    "error": "the receiver answered 503",
                    "links": {"webhook": f"/v1/webhooks/{_ID}", "redelivery": f"/v1/webhooks/{_ID}/deliveries/{_DELIVERY}/redelivery"},
                }
            ]
        }
    )

    id: str = Field(description="Also the `webhook-id` of every attempt and the `id` of the event.")
    seq: int = Field(description="Of the change, in the ledger of the webhook's clearance.")
    type: str = Field(description="CloudEvents type.")
    status: DeliveryStatus
    attempts: int = Field(description="Since it was queued, or since a redelivery was asked for.")
    created_at: str
    last_attempt_at: str | None
    next_attempt_at: str | None
    status_code: int | None = Field(description="What the receiver answered last, if it did.")
    error: str | None = Field(description="What went wrong last, in words.")
    links: DeliveryLinks


class DeliveryPage(_Page):
    """A webhook's log, latest change first."""

    items: list[DeliveryOut]
