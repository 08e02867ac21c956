"""The heads of requests: limits on their time and size, and no room for request smuggling."""

import resource
from contextlib import suppress

import httpx
import orjson
import pytest

from app.http.header_timeout import MAX_HEAD_BYTES
from tests.http.conftest import RawServer

START = b"GET /v1/places HTTP/1.1\r\nHost: x\r\n"


def test_thousand_slow_heads_do_not_delay_others_and_are_closed(raw_server: RawServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 1200 if hard == resource.RLIM_INFINITY else min(1200, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    connections = [raw_server.connect() for _ in range(1000)]
    try:
        for connection in connections:
            connection.sendall(START + b"X-Slow: ")
        assert httpx.get(f"{raw_server.url}/v1/places", timeout=10).status_code == 200
        for connection in connections:
            # The server has closed it: there is nothing to read, or the connection was reset.
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("line", [b"X-Long: ", b"X: x\r\n"], ids=["one-line", "many-lines"])
def test_head_larger_than_the_limit_gets_400(raw_server: RawServer, line: bytes) -> None:
    """Sent to the byte, because the server resets a connection that it closes with bytes unread, and the response is lost."""
    filler = line * MAX_HEAD_BYTES if line.endswith(b"\n") else line + b"x" * MAX_HEAD_BYTES
    received = raw_server.send((START + filler)[: MAX_HEAD_BYTES + 1])
    assert received.startswith(b"HTTP/1.1 400 "), received
    assert b"too large" in received


def test_heads_of_one_connection_are_limited_one_by_one(raw_server: RawServer) -> None:
    start = START.replace(b"GET", b"HEAD")
    with raw_server.connect() as connection:
        for _ in range(3):
            connection.sendall(start + b"X-Long: " + b"x" * (MAX_HEAD_BYTES - len(start) - 100))
            connection.sendall(b"\r\n\r\n")
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += connection.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")


SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
FORMS: dict[str, bytes] = {
    "two-kinds-of-length": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two-lengths": b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n" + SMUGGLED,
    "list-of-lengths": b"Content-Length: 0, 40\r\n\r\n" + SMUGGLED,
    "signed-length": b"Content-Length: +40\r\n\r\n" + SMUGGLED,
    "unknown-coding": b"Transfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
    "two-codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space-before-colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "folded-line": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "negative-chunk-size": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + SMUGGLED,
    "nul-in-header": b"X: a\0b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "identity-and-chunked": b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "equal-lengths": b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "two-hosts": b"Host: y\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "two-credentials": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
}
HEADS = {
    "no-host": b"GET /v1/places HTTP/1.1\r\nX: x\r\n\r\n",
    "two-hosts": b"GET /v1/places HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
    "host-with-a-path": b"GET /v1/places HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "coding-in-http-1.0": b"POST /v1/reports HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "not-http": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_ambiguous_request_gets_400_and_no_second_response(raw_server: RawServer, form: str) -> None:
    received = raw_server.send(b"POST /v1/reports HTTP/1.1\r\nHost: x\r\n" + FORMS[form])
    assert_problem(received)
    assert b"smuggled" not in received


@pytest.mark.parametrize("head", HEADS)
def test_head_that_names_no_single_host_gets_400(raw_server: RawServer, head: str) -> None:
    assert_problem(raw_server.send(HEADS[head]))


def assert_problem(received: bytes) -> None:
    head, _, body = received.partition(b"\r\n\r\n")
    assert received.count(b"HTTP/1.1 ") == 1, received
    assert head.startswith(b"HTTP/1.1 400 "), received
    assert b"content-type: application/problem+json" in head
    assert b"x-request-id: " in head
    assert orjson.loads(body)["status"] == 400


def test_http_1_0_needs_no_host(raw_server: RawServer) -> None:
    assert raw_server.send(b"GET /v1/places HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_body_that_nothing_reads_ends_its_connection(raw_server: RawServer) -> None:
    with raw_server.connect() as connection:
        connection.sendall(b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        # A byte now and then does not keep it open.
        with suppress(ConnectionError):
            connection.sendall(b"x")
            while connection.recv(65536):
                pass
