"""Webhooks and their delivery logs on the wire."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationInfo, field_validator
from typing_extensions import TypeAliasType

from app.changes.schemas import ChangeOut
from app.domain.times import Timestamp
from app.domain.tlp import Label
from app.http.lists import ListEnvelope
from app.indicators.schemas import KindName

WebhookStatus = TypeAliasType("WebhookStatus", Literal["active", "stopped", "disabled"])
WebhookStart = TypeAliasType("WebhookStart", Literal["now", "beginning"])
DeliveryStatus = TypeAliasType("DeliveryStatus", Literal["pending", "delivered", "failed"])


class WebhookIn(BaseModel):
    """A webhook to create."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2000, description="Where to post: https, a host with public addresses only, no credentials.")
    kind: KindName | None = Field(default=None, description="Only changes of this kind of indicator.")
    place: str | None = Field(default=None, max_length=100, description="Only changes at this place, a slug or `scheme:code`.")
    within: StrictBool = Field(default=False, description="With `place`: changes at its descendants too.")
    country: str | None = Field(default=None, pattern="^[A-Z]{3}$", description="Only changes in this country, ISO 3166-1 alpha-3.")
    after: WebhookStart = Field(default="now", description="`beginning` delivers the whole ledger first, `now` later changes only.")

    # Checked even if another field is wrong.
    @field_validator("within")
    @classmethod
    def _check_within(cls, within: bool, info: ValidationInfo) -> bool:
        if within and info.data.get("place", "") is None:
            raise ValueError("within needs a place: send place, or leave within out")
        return within


class WebhookLinks(BaseModel):
    """Links of a webhook."""

    self: str = Field(description="The webhook.")
    deliveries: str = Field(description="Its delivery log.")


class WebhookOut(BaseModel):
    """A webhook."""

    id: str = Field(description="Identifier, a UUID.")
    url: str = Field(description="Where changes are posted to.")
    kind: str | None = Field(description="Only changes of this kind are delivered; null for all.")
    place: str | None = Field(description="Only changes at this place are delivered; null for all.")
    within: bool = Field(description="Whether changes at descendants of `place` are delivered too.")
    country: str | None = Field(description="Only changes in this country are delivered, ISO 3166-1 alpha-3; null for all.")
    clearance: Label = Field(description="Clearance of the key that created it; deliveries hold nothing above it.")
    status: WebhookStatus = Field(description="`stopped`: its key was revoked or has expired. `disabled`: see `disabled_reason`.")
    seq: int = Field(description="Changes up to this `seq` are queued or filtered out; later ones follow.")
    created_at: Timestamp = Field(description="When it was created, UTC.")
    delivered_at: Timestamp | None = Field(description="Last successful delivery, UTC; null before the first.")
    failing_since: Timestamp | None = Field(description="First failure after the last success, UTC; null if the last attempt succeeded.")
    disabled_at: Timestamp | None = Field(description="When it was disabled, UTC; null if it is not.")
    disabled_reason: str | None = Field(description="Why it was disabled; null if it is not.")
    links: WebhookLinks = Field(description="Links of this webhook.")


class WebhookCreated(WebhookOut):
    """A new webhook, with its secret."""

    secret: str | None = Field(description="Key of the signatures (Standard Webhooks), shown only once: null in a replayed response.")


class WebhookPage(ListEnvelope[WebhookOut]):
    """A page of webhooks, oldest first."""


class DeliveryLinks(BaseModel):
    """Links of a delivery."""

    webhook: str = Field(description="Its webhook.")
    redelivery: str = Field(description="POST here to deliver again.")


class DeliveryOut(BaseModel):
    """A delivery, an entry of a webhook's log."""

    id: str = Field(description="Identifier; also the `webhook-id` of every attempt and the `id` of the event.")
    seq: int = Field(description="`seq` of the change in the ledger of the webhook's clearance.")
    type: str = Field(description="CloudEvents type of the event.")
    status: DeliveryStatus = Field(description="`pending`: due at `next_attempt_at`, after those before it. `failed`: no further attempt.")
    attempts: int = Field(description="Attempts since it was queued or since the last redelivery.")
    created_at: Timestamp = Field(description="When it was queued, UTC.")
    last_attempt_at: Timestamp | None = Field(description="Last attempt, UTC; null before the first.")
    next_attempt_at: Timestamp | None = Field(description="Next attempt, UTC; null after the last.")
    status_code: int | None = Field(description="HTTP status of the last attempt; null without a response.")
    error: str | None = Field(description="Error of the last attempt; null after a success.")
    links: DeliveryLinks = Field(description="Links of this delivery.")


class EventLinks(BaseModel):
    """Links of an event."""

    change: str = Field(description="The change in `/v1/changes`.")


class EventReference(BaseModel):
    """A change above `green`: fetch it with your key."""

    # Tells it apart from a change, which has these fields and more.
    model_config = ConfigDict(extra="forbid")

    seq: int = Field(description="Position of the change in the ledger of the webhook's clearance.")
    type: str = Field(description="Type of the change, as in `/v1/changes`.")
    links: EventLinks = Field(description="Links of the event.")


class EventChange(ChangeOut):
    """A change, as in `/v1/changes`."""

    links: EventLinks = Field(description="Links of the event.")


class ChangeEvent(BaseModel):
    """A change as a CloudEvent (CloudEvents 1.0, structured JSON)."""

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents.")
    id: str = Field(description="Identifier of the delivery, equal to `webhook-id`.")
    source: str = Field(description="Always `/v1/changes`.")
    type: str = Field(description="Type of the event, such as `org.lifeline.report.recorded.v1`. Ignore types that you do not know.")
    time: Timestamp = Field(description="When the change was recorded (UTC).")
    datacontenttype: Literal["application/json"] = Field(description="Media type of `data`.")
    data: EventChange | EventReference = Field(description="The change; where it needs a clearance above `green`, only a reference to it.")


class DeliveryPage(ListEnvelope[DeliveryOut]):
    """A page of a webhook's delivery log, latest change first."""
