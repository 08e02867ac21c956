"""Attacks: SQL injection, header injection, path traversal, framing, cross-origin reads."""

import itertools
from urllib.parse import quote

import httpx
import pytest
from asgi_lifespan import LifespanManager

from app.main import create_app
from app.settings import Settings
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import FULL, sqlite_only
from tests.support.openapi import DOCUMENT

INJECTIONS = (
    "' OR '1'='1",
    "1; DROP TABLE report; --",
    '" UNION SELECT secret_hash FROM api_key --',
    "%' ESCAPE '",
    "\\'; SELECT pg_sleep(9) --",
)


def parameters() -> list[tuple[str, str, str]]:
    """Return every GET operation with each of its parameters: path, name and place."""
    return [
        (path, each["name"], each["in"])
        for path, methods in DOCUMENT["paths"].items()
        for each in methods.get("get", {}).get("parameters", [])
        if each["in"] in ("query", "path", "header") and path != "/v1/stream"
    ]


async def test_sql_in_any_parameter_is_treated_as_text(client: httpx.AsyncClient, reference: Reference, engine: str) -> None:
    """It finds nothing or is rejected, and no response mentions the database."""
    made = (await client.post("/v1/reports", json=report())).json()
    wrong = []
    for number, (path, name, place) in enumerate(parameters()):
        # One injection for each parameter in turn, a different one on each engine.
        turn = number if engine == "sqlite" else number + 2
        for injection in INJECTIONS if FULL else (INJECTIONS[turn % len(INJECTIONS)],):
            filled = path.replace(f"{{{name}}}", quote(injection, safe=""))
            for other, value in (("{id}", made["id"]), ("{slug}", "agency"), ("{place}", "oldtown")):
                filled = filled.replace(other, value)
            headers = {name: injection} if place == "header" else {}
            answer = await client.get(filled, params={name: injection} if place == "query" else {}, headers=headers)
            # Responses repeat URLs, so they contain the injection itself, but no message of a database.
            leaked = any(each in answer.text.lower() for each in ("sqlite", "asyncpg", "syntax error", "sqlalchemy", "hmac:", "traceback"))
            if leaked or answer.status_code not in (200, 400, 404, 406, 422):
                wrong.append((path, name, injection, answer.status_code))
            if place == "query" and answer.status_code == 200 and "json" in answer.headers["content-type"] and answer.json().get("items"):
                wrong.append((path, name, injection, "found something"))
    assert not wrong
    body = report(provenance={"quote": INJECTIONS[1], "title": INJECTIONS[2]}, value={"people": 2})
    stored = (await client.post("/v1/reports", json=body)).json()
    assert (await client.get(f"/v1/reports/{stored['id']}")).json()["provenance"]["quote"] == INJECTIONS[1]
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 2


@sqlite_only
@pytest.mark.parametrize("sent", ["a\r\nX-Injected: 1", "a\nSet-Cookie: a=b", "\r\n\r\n<script>", "é\u2028x"])
async def test_line_break_in_a_parameter_adds_no_header(client: httpx.AsyncClient, reference: Reference, sent: str) -> None:
    """Values in `Link`, `Location` and errors are escaped."""
    for path in ("/v1/reports", "/v1/sources", "/v1/indicators"):
        answer = await client.get(path, params={"limit": "1", "cursor": sent, "source": sent, "place": sent})
        assert "x-injected" not in answer.headers
        assert "set-cookie" not in answer.headers
        for value in answer.headers.values():
            assert "\n" not in value
            assert "\r" not in value
    assert (await client.post("/v1/sources", json={"slug": sent, "name": "x", "type": "ngo"})).status_code == 422
    linked = await client.get("/v1/sources", params={"limit": "1"})
    assert linked.headers["link"].startswith("</v1/sources?limit=1&cursor=")


PATHS = (
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "..%5c..%5cwindows", "a%00b", "//evil.example",
    "%252e%252e", "agency/../../../etc/passwd", "agency%0d%0aX: 1", "AGENCY", "agency.", " agency", "агенство",
)  # fmt: skip


@sqlite_only
async def test_path_traversal_is_rejected(anonymous: httpx.AsyncClient, reference: Reference) -> None:
    for collection, path in itertools.product(("places", "sources", "routes"), PATHS):
        request = anonymous.build_request("GET", "http://lifeline.test/")
        request.url = request.url.copy_with(raw_path=f"/v1/{collection}/{quote(path, safe='%/. ')}".replace(" ", "%20").encode())
        answer = await anonymous.send(request)
        assert answer.status_code in (404, 422), request.url
        assert "root:" not in answer.text
        assert answer.headers["content-type"] == "application/problem+json", request.url
    for name in ("docs/../../pyproject.toml", "docs/%2e%2e/settings.py"):
        assert (await anonymous.get(f"/{name}")).status_code == 404


@sqlite_only
async def test_pages_have_a_strict_content_security_policy(anonymous: httpx.AsyncClient) -> None:
    page = await anonymous.get("/docs")
    policy = page.headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self' 'sha256-", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    data = await anonymous.get("/v1/places")
    assert data.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert (data.headers["x-content-type-options"], data.headers["referrer-policy"]) == ("nosniff", "no-referrer")


@sqlite_only
async def test_cross_origin_reads_need_the_setting(anonymous: httpx.AsyncClient, settings: Settings) -> None:
    headers = {"Origin": "https://there.example", "Access-Control-Request-Method": "GET"}
    assert "access-control-allow-origin" not in (await anonymous.get("/v1/places", headers=headers)).headers
    assert (await anonymous.options("/v1/places", headers=headers)).status_code == 405
    app = create_app(settings.model_copy(update={"cors_origins": ["https://there.example"]}))
    async with LifespanManager(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        for _ in range(2):
            answer = await client.get("/v1/places", headers=headers)
            assert answer.headers["access-control-allow-origin"] == "https://there.example"
            assert "access-control-allow-origin" not in (await client.get("/v1/places", headers={"Origin": "https://x.example"})).headers
        assert (await client.options("/v1/places", headers=headers)).status_code == 200
