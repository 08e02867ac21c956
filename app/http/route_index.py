"""Routes are found by the first two parts of a path, before the framework asks each router in turn, twice over for each that is nested."""

from collections.abc import Sequence
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

# Of `/v1/indicators/{id}` the first two.
PREFIX_SEGMENTS = 2


class RouteIndex(BaseRoute):
    """All routes as one, to stand before all others. What it does not know, such as 404 and 405, they are asked for."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._literal: dict[tuple[str, str], RouteContext] = {}
        self._others: dict[tuple[str, ...], list[RouteContext]] = {}
        for context in iter_route_contexts(routes):
            path, methods = context.path, context.methods
            # A mount or a route without methods is the framework's.
            if path is None or methods is None or "path_regex" not in vars(context.original_route):
                continue
            if "{" not in path:
                for method in methods:
                    self._literal.setdefault((method, path), context)
            elif "{" not in "".join(parts := _first(path)) and len(parts) == PREFIX_SEGMENTS:
                self._others.setdefault(parts, []).append(context)

    def template(self, scope: Scope) -> str | None:
        """The template of the route that is taken, such as `/v1/places/{slug}`; None where the table knows none."""
        context, _ = self._find(scope)
        return None if context is None else context.path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As the framework asks."""
        if scope["type"] != "http":
            return Match.NONE, {}
        context, parameters = self._find(scope)
        if context is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": context.endpoint, "route": context, "path_params": parameters}

    def _find(self, scope: Scope) -> tuple[RouteContext | None, dict[str, Any]]:
        path, method = scope["path"], scope["method"]
        if (literal := self._literal.get((method, path))) is not None:
            return literal, {}
        for context in self._others.get(_first(path), ()):
            if method in (context.methods or ()) and (found := context.path_regex.match(path)) is not None:
                return context, {name: context.param_convertors[name].convert(value) for name, value in found.groupdict().items()}
        return None, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route that was found."""
        await scope["route"].app(scope, receive, send)


def _first(path: str) -> tuple[str, ...]:
    return tuple(path.split("/", PREFIX_SEGMENTS + 1)[1 : PREFIX_SEGMENTS + 1])
