"""Swagger UI, served without the internet."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
_OPTIONS = {"tryItOutEnabled": True, "displayRequestDuration": True, "docExpansion": "list"}
# The key stays in the page's memory unless the reader asks for more; one that was kept before is removed.
_NOT_KEEPING = (
    b'<p class="swagger-ui wrapper" style="padding: .5rem 20px">Your key is forgotten when you close or reload this page. '
    b'<a href="?keep_key=true">Keep it in this browser</a></p><script>localStorage.removeItem("authorized")</script>'
)
_KEEPING = (
    b'<p class="swagger-ui wrapper" style="padding: .5rem 20px">Your key is kept in this browser, also for others who use it. '
    b'<a href="?">Forget it</a></p>'
)


def install(app: FastAPI) -> None:
    """Serve Swagger UI at /docs, with the files that the package fastapi-swagger carries."""
    files = resources.files("fastapi_swagger.resources")
    for name, media_type in _ASSETS.items():
        app.add_api_route(f"/docs/{name}", _asset_endpoint((files / name).read_bytes(), media_type), include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui(request: Request, keep_key: bool = False) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        page = get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{root}/docs/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs/favicon-32x32.png",
            swagger_ui_parameters=_OPTIONS | {"defaultModelsExpandDepth": 0, "persistAuthorization": keep_key},
        )
        page.body = bytes(page.body).replace(b"<body>", b"<body>" + (_KEEPING if keep_key else _NOT_KEEPING), 1)
        page.headers["Content-Length"] = str(len(page.body))
        scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
        hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each).digest()).decode()}'" for each in scripts)
        page.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        page.headers["Cache-Control"] = "public, no-cache"
        return page


def _asset_endpoint(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def asset() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "public, max-age=86400"})

    return asset
