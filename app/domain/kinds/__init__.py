"""The list of kinds: a kind is registered by standing here, and nowhere else."""

from collections.abc import Mapping
from typing import Any

from app.domain.kinds.base import Kind
from app.domain.kinds.route_closure import RouteClosureKind
from app.domain.kinds.supply_runout import SupplyRunoutKind
from app.domain.kinds.trapped_population import TrappedPopulationKind

KINDS: Mapping[str, Kind[Any]] = {
    kind.name: kind
    for kind in (
        TrappedPopulationKind(),
        SupplyRunoutKind(),
        RouteClosureKind(),
    )
}
