"""Retries, retry delays, the ETag cache and error responses, without a server."""

from pathlib import Path

import httpx
import pytest

from app.client import Lifeline, LifelineError
from app.client.calls import retry_delay

URL = "http://lifeline.test"


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.BASE_DELAY_SECONDS", 0.0)


class FailingTransport(httpx.BaseTransport):
    """Fails as often as told (None: the connection breaks), then answers; keeps the requests."""

    def __init__(self, *failures: int | None) -> None:
        self.failures = list(failures)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.failures:
            status = self.failures.pop(0)
            if status is None:
                raise httpx.ReadError("broken", request=request)
            return httpx.Response(status, headers={"Retry-After": "0"}, text="busy")
        if request.headers.get("If-None-Match") == '"one"':
            return httpx.Response(304)
        return httpx.Response(
            200, headers={"ETag": '"one"'}, json={"id": "1", "slug": "a", "name": "A", "items": [], "next": "c", "revision": 1}
        )


def test_list_given_to_send_is_refused_before_it_is_sent() -> None:
    transport = FailingTransport()
    with Lifeline(URL, transport=transport) as lifeline, pytest.raises(TypeError, match="send_all"):
        lifeline.send([{}])  # type: ignore[arg-type]
    assert not transport.requests


def test_failed_attempts_are_retried_with_one_idempotency_key() -> None:
    transport = FailingTransport(None, 503, 429, None)
    with Lifeline(URL, transport=transport) as lifeline:
        lifeline.send_all([{}])
    assert len({each.headers["Idempotency-Key"] for each in transport.requests}) == 1
    assert len(transport.requests) == 5
    with Lifeline(URL, transport=FailingTransport(None, None), attempts=2) as lifeline, pytest.raises(httpx.ReadError):
        lifeline.place("a")
    with Lifeline(URL, transport=FailingTransport(503, 503), attempts=2) as lifeline, pytest.raises(LifelineError, match="503"):
        lifeline.place("a")


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(200, text="<html>"), "200 The response is not one of Lifeline's API."),
        (httpx.Response(200, json=[1]), "200 The response is not one of Lifeline's API."),
        (httpx.Response(200, json={"slug": 5}), "200 The response is not one of Lifeline's API."),
        (httpx.Response(301, headers={"Location": "https://other.test/"}), "301 The service has moved to https://other.test/"),
    ],
)
def test_response_of_another_service_raises_an_error(response: httpx.Response, message: str) -> None:
    """For example the front page of a site, or a redirect from http to https, which would carry the key along."""
    with Lifeline(URL, transport=httpx.MockTransport(lambda _: response)) as lifeline, pytest.raises(LifelineError) as raised:
        lifeline.place("a")
    assert str(raised.value) == message


def test_repeated_get_sends_the_etag_of_the_cached_response() -> None:
    transport = FailingTransport()
    with Lifeline(URL, transport=transport) as lifeline:
        assert lifeline.place("a") == lifeline.place("a")
    assert [each.headers.get("If-None-Match") for each in transport.requests] == [None, '"one"']


def test_retry_delay_doubles_unless_the_service_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.calls.BASE_DELAY_SECONDS", 0.5)
    for attempt, ceiling in ((0, 0.5), (3, 4.0), (50, 60.0)):
        assert ceiling / 2 <= retry_delay(attempt, None) <= ceiling
    assert retry_delay(0, httpx.Response(429, headers={"Retry-After": "7"})) == 7
    assert retry_delay(0, httpx.Response(429, headers={"Retry-After": "7000"})) == 60


def test_client_imports_nothing_of_the_service() -> None:
    for path in (Path(__file__).parents[2] / "app" / "client").glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not line.startswith(("from app", "import app")), (path, line)
