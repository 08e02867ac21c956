"""Paths without parameters are found in a table, before the framework asks each router in turn."""

from collections.abc import Sequence

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


class LiteralPaths(BaseRoute):
    """All GETs of such paths as one route, to stand before all others; what it does not know they are asked for."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._found: dict[str, RouteContext] = {}
        for context in iter_route_contexts(routes):
            path = context.path
            if path is not None and "{" not in path and context.methods == {"GET"}:
                self._found.setdefault(path, context)

    def knows(self, path: str) -> bool:
        """Whether that path is one of them."""
        return path in self._found

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As the framework asks."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return Match.NONE, {}
        context = self._found.get(scope["path"])
        if context is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": context.endpoint, "route": context, "path_params": {}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route that was found."""
        await scope["route"].app(scope, receive, send)
