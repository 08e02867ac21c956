"""The access log and the request identifier."""

import io
import re

import httpx
import pytest

from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import mostly_sqlite, sqlite_only
from tests.support.telemetry import access_log_lines


@mostly_sqlite
async def test_access_log_has_one_line_per_request_without_secrets(
    client: httpx.AsyncClient, reference: Reference, access_log: io.StringIO
) -> None:
    body = report(sensitivity="red", provenance={"quote": "a restricted quote"})
    made = await client.post("/v1/reports", json=body, headers={"X-Request-ID": "from-a-proxy.1"})
    assert made.headers["x-request-id"] == "from-a-proxy.1"
    listed = await client.get("/v1/indicators?place=oldtown")
    for path in (f"/v1/reports/{made.json()['id']}", "/v1/places/a-secret-place", "/a-secret-path"):
        await client.get(path)
    await client.get("/health/live")
    output = access_log.getvalue()
    lines = access_log_lines(output)
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/v1/reports", 201),
        ("GET", "/v1/indicators", 200),
        ("GET", "/v1/reports/{id}", 200),
        ("GET", "/v1/places/{slug}", 404),
        ("GET", "none", 404),
    ]
    assert lines[0]["request_id"] == "from-a-proxy.1"
    assert lines[1]["request_id"] == listed.headers["x-request-id"]
    # The revision after a write.
    assert [line["revision"] for line in lines[:3]] == [listed.json()["revision"]] * 3 == [SEEDED + 1] * 3
    assert re.fullmatch(r"[0-9a-f-]{36}", lines[0]["key_id"])
    assert all(line["duration_ms"] > 0 and line["level"] == "info" and line["timestamp"].endswith("Z") for line in lines)
    key = client.headers["authorization"].removeprefix("Bearer ")
    for restricted in (key, "restricted quote", "oldtown", "a-secret", made.json()["id"], made.json()["indicator"]):
        assert restricted not in output


@sqlite_only
@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, 'a"b', "<script>"])
async def test_invalid_request_id_is_replaced(anonymous: httpx.AsyncClient, sent: str) -> None:
    answer = await anonymous.get("/v1/indicators", headers={"X-Request-ID": sent})
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", answer.headers["x-request-id"])


@sqlite_only
async def test_every_response_has_one_id_of_its_own(anonymous: httpx.AsyncClient) -> None:
    first = await anonymous.get("/v1/indicators", headers={"X-Request-ID": "mine"})
    again = await anonymous.get("/v1/indicators", headers={"X-Request-ID": "yours"})
    assert [each.headers["x-request-id"] for each in (first, again)] == ["mine", "yours"]
    assert again.headers["etag"] == first.headers["etag"]
    seen = []
    for path, status, headers in (
        ("/v1/indicators", 200, {}),
        ("/v1/indicators", 304, {"If-None-Match": first.headers["etag"]}),
        ("/v1/places/none", 404, {}),
        ("/v1/me", 401, {"Authorization": "Bearer ll_wrong"}),
        ("/v1/indicators?bad=1", 422, {}),
        ("/" + "x" * 9000, 414, {}),
        ("/v1/indicators", 400, {"Host": "two, hosts"}),
        ("/health/live", 200, {}),
        ("/", 200, {}),
    ):
        answer = await anonymous.get(path, headers=headers)
        assert answer.status_code == status, path
        seen += answer.headers.get_list("x-request-id")
    assert len(seen) == len(set(seen)) == 9
