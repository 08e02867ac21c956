"""The registered kinds. To register a kind, add it to the tuple."""

from collections.abc import Mapping
from typing import Any

from app.domain.kinds.aid_delivery import AidDeliveryKind
from app.domain.kinds.base import Kind
from app.domain.kinds.population_movement import PopulationMovementKind
from app.domain.kinds.route_closure import RouteClosureKind
from app.domain.kinds.route_values import RouteDirections, RouteStatus
from app.domain.kinds.service_status import ServiceStatusKind
from app.domain.kinds.supply_runout import Imminence, SupplyRunoutKind
from app.domain.kinds.trapped_population import TrappedPopulationKind

__all__ = ["KINDS", "Imminence", "RouteDirections", "RouteStatus"]

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        TrappedPopulationKind(),
        SupplyRunoutKind(),
        RouteClosureKind(),
        AidDeliveryKind(),
        PopulationMovementKind(),
        ServiceStatusKind(),
    )
}
