"""Values of aid deliveries, as reported and as assessed. Pure."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.values import AccessConstraint, Day, People, SupplyType, Value, field_error

DeliveryStage = TypeAliasType(
    "DeliveryStage",
    Literal[
        "requested", "approved", "planned", "under_way", "denied", "cancelled", "turned_back", "attacked", "partly_delivered", "delivered"
    ],
)
ARRIVED = frozenset({"partly_delivered", "delivered"})
FAILED = frozenset({"attacked", "turned_back", "denied", "cancelled"})
# Stages that have happened when they are reported; other days may lie ahead.
HAPPENED = ARRIVED | {"attacked", "turned_back"}


class AidDelivery(Value):
    """How far one operation to deliver aid has come."""

    operation: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9-]{1,64}$",
            description="Slug of the operation, chosen by reporters, such as `un-convoy-2016-07`: a-z, 0-9 and -, at most 64 characters. "
            "Reports with the same slug are about the same operation.",
        ),
    ]
    stage: DeliveryStage = Field(description="How far the operation has come. The last six are ends.")
    on_earliest: Day | None = Field(default=None, description="First day on which it happened, or is to happen.")
    on_latest: Day | None = Field(
        default=None,
        description="Last day on which it happened, or is to happen; of `turned_back`, `attacked`, `partly_delivered` and `delivered` with "
        "`on_earliest` alone that of the statement.",
    )
    planned_for: People | None = Field(default=None, description="Number of persons that the aid is for.")
    supplies: tuple[SupplyType, ...] | None = Field(default=None, description="What is delivered; null if not said.")
    removed: tuple[SupplyType, ...] | None = Field(
        default=None, description="What was taken off the convoy; null if not said, `[]` if the source says that nothing was."
    )
    route: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None = Field(default=None, description="Slug of the route that it takes.")
    cause: AccessConstraint | None = Field(
        default=None, description="Type of access constraint that stopped, delayed or reduced it, by OCHA's framework."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.on_earliest and self.on_latest and self.on_earliest > self.on_latest:
            raise field_error("on_earliest", "on_earliest must not be after on_latest")
        for name in ("supplies", "removed"):
            named = getattr(self, name) or ()
            if len(set(named)) != len(named):
                raise field_error(name, "name each supply once")
        if self.stage == "requested" and self.removed:
            raise field_error("removed", "must be empty if the stage is requested: nothing was taken off yet")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """Return the first and last day on which it happened, or is to happen; None is an open end."""
        return self.on_earliest, self.on_latest


class AidDeliveryReading(BaseModel):
    """How far one operation to deliver aid has come, assessed; null where no report leads."""

    operation: str = Field(description="Slug of the operation.")
    stage: DeliveryStage | None = Field(
        description="The worst end that stands; without an end that failed, how far it has come; null if a delivery is only claimed."
    )
    on_earliest: Day | None = Field(
        description="First day on which the reports of this stage agree, else that of the preferred one; null if not known."
    )
    on_latest: Day | None = Field(description="Last day by the same reports; null if not known.")
    planned_for: int | None = Field(description="Number of persons that the aid is for; null if no report says.")
    supplies: tuple[SupplyType, ...] | None = Field(description="What is delivered; null if no report says.")
    removed: tuple[SupplyType, ...] | None = Field(description="What was taken off the convoy; null if no report says.")
    route: str | None = Field(description="Slug of the route; null if no report says.")
    cause: AccessConstraint | None = Field(description="Type of access constraint, by the reports of this stage; null if none names one.")
    last_delivery: Day | None = Field(
        description="Last day of the delivery, else that of the first report that has said since that it arrived, also where that is past "
        "its horizon now; null if none did."
    )
    denied_since: Day | None = Field(description="First day on which a report that stands says `denied`; null unless that leads.")
    followed_since: Day | None = Field(description="Day of the first report on the operation; null if none leads.")
