"""Index of routes by the start of the path, because FastAPI asks each router in turn, twice for each nested one."""

from collections.abc import Sequence
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

# `/v1/indicators/{id}` is indexed by `v1` and `indicators`.
PREFIX_SEGMENTS = 2


class RouteIndex(BaseRoute):
    """A route in front of all others that finds them by index; where it finds none, as for 404 and 405, they are asked in turn."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._literal: dict[tuple[str, str], RouteContext] = {}
        self._by_prefix: dict[tuple[str, ...], list[RouteContext]] = {}
        for context in iter_route_contexts(routes):
            path, methods = context.path, context.methods
            # Mounts and routes without methods are left to FastAPI.
            if path is None or methods is None or "path_regex" not in vars(context.original_route):
                continue
            if "{" not in path:
                for method in methods:
                    self._literal.setdefault((method, path), context)
            elif "{" not in "".join(prefix := _prefix(path)) and len(prefix) == PREFIX_SEGMENTS:
                self._by_prefix.setdefault(prefix, []).append(context)

    def template(self, scope: Scope) -> str | None:
        """Return the template of the route of a request, such as `/v1/places/{slug}`; None where the index has none."""
        context, _ = self._find(scope)
        return None if context is None else context.path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the index has the route of a request, and the route for its scope."""
        if scope["type"] != "http":
            return Match.NONE, {}
        context, parameters = self._find(scope)
        if context is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": context.endpoint, "route": context, "path_params": parameters}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the route that was found."""
        await scope["route"].app(scope, receive, send)

    def _find(self, scope: Scope) -> tuple[RouteContext | None, dict[str, Any]]:
        path, method = scope["path"], scope["method"]
        if (literal := self._literal.get((method, path))) is not None:
            return literal, {}
        for context in self._by_prefix.get(_prefix(path), ()):
            if method in (context.methods or ()) and (found := context.path_regex.match(path)) is not None:
                return context, {name: context.param_convertors[name].convert(value) for name, value in found.groupdict().items()}
        return None, {}


def _prefix(path: str) -> tuple[str, ...]:
    return tuple(path.split("/", PREFIX_SEGMENTS + 1)[1 : PREFIX_SEGMENTS + 1])
