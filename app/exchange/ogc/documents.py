"""Documents of OGC API as JSON or as pages for people, with links and errors as the standard demands."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader

from app.http.content_negotiation import MEDIA_TYPES, Format, parse_accept
from app.http.problems import Problem, invalid_request
from app.http.responses import JSON, absolute_url, json_response
from app.http.state import app_state

GEOJSON = MEDIA_TYPES[Format.GEOJSON]
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
GREGORIAN = "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"
_PAGE = Environment(loader=PackageLoader("app.exchange.ogc", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True)


class OgcRoute(APIRoute):
    """Answers 400, not 422, to invalid requests and unknown parameters, as the standard demands (7.15.1, 7.15.8)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the base class."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, Problem) as error:
                problem = error if isinstance(error, Problem) else invalid_request(error)
                if problem.status != 422:
                    raise
                raise Problem(400, problem.detail, kind=problem.kind, title=problem.title, errors=problem.errors) from None

        return handler


def document_response(
    request: Request, f: str | None, content: dict[str, Any], media_type: str = JSON, revision: int | None = None, title: str = "Lifeline"
) -> Response:
    """Return a document as JSON or as a page, with links to itself and to the page."""
    accepted = parse_accept(request.headers.get("accept", "").encode("latin-1"))
    is_page = f == "html" or (f is None and accepted[:1] == (Format.HTML,))
    links = content["links"] = [each for each in content.get("links", []) if each["rel"] != "self"]
    for rel, name, type_ in (("self", "json", media_type), ("alternate", "html", "text/html")):
        query = urlencode([*((key, value) for key, value in request.query_params.multi_items() if key != "f"), ("f", name)])
        links.insert(0, link(request, f"{quote(request.scope['path'])}?{query}", rel, type_))
    body = _PAGE.get_template("page.html").render(document=content, title=title).encode() if is_page else orjson.dumps(content)
    # Without the response cache where absolute links depend on the host of the request.
    cacheable = app_state(request).settings.public_url is not None
    headers = {"Content-Crs": f"<{CRS84}>"} if media_type == GEOJSON else None
    used = MEDIA_TYPES[Format.HTML] if is_page else media_type
    return json_response(request, body, cacheable=cacheable, headers=headers, media_type=used, revision=revision)


def link(request: Request, path: str, rel: str, media_type: str, title: str | None = None) -> dict[str, str]:
    """Return a link with an absolute address."""
    made = {"href": absolute_url(request, path), "rel": rel, "type": media_type}
    return made if title is None else made | {"title": title}
