"""Webhooks reach no private network, neither when they are created nor when they are delivered to."""

import asyncio
import ipaddress
import socket
import ssl
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.settings import Settings
from app.webhooks.delivery import DeliveryResult, deliver, new_client
from app.webhooks.ssrf_guard import ForbiddenTarget, check_target, is_public, parse_url
from tests.webhooks.conftest import Receiver

ID = UUID("019f0000-0000-7000-8000-00000000000b")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.3.4", "172.31.255.255",  # noqa: S104 - not listened on
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "100::1",
    "2001:0:1::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1",
    "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
    "2002:808:808::",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_address_of_a_private_network_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://1.1.1.1/",
        "ftp://1.1.1.1/",
        "file:///etc/passwd",
        "//1.1.1.1/",
        "1.1.1.1",
        "https://",
        "https:///path",
        "https://user:password@1.1.1.1/",
        "https://1.1.1.1/#part",
        "https://1.1.1.1:0/",
        "https://1.1.1.1:99999/",
        "https://1.1.1.1\\@127.0.0.1/",
        "https://1.1.1.1/ x",
        "https://1.1.1.1/\r\nHost: other",
        "https://1.1.1.1/" + "x" * 2000,
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://0/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://receiver.localhost/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::127.0.0.1]/",
        "https://[fe80::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://a..b/",
    ],
)
async def test_target_that_is_no_public_https_url_is_forbidden(url: str) -> None:
    with pytest.raises(ForbiddenTarget):
        await check_target(url, allow_private=False, seconds=5)


@pytest.mark.parametrize("url", ["https://1.1.1.1/hook?a=b", "https://[2606:4700::1]:8443/hook"])
async def test_target_with_a_public_address_is_accepted(url: str) -> None:
    assert str(await check_target(url, allow_private=False, seconds=5)) == url


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *lookups: list[str]) -> list[str]:
    """Let names resolve to these addresses, one list a lookup, the last repeated, an empty one an error; return the names looked up."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        addresses = lookups[min(len(asked), len(lookups) - 1)]
        asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_AGAIN)
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def _deliver(client: httpx.AsyncClient, url: str, *, allow_private: bool) -> DeliveryResult:
    settings = Settings(webhook_timeout_seconds=5, webhook_allow_private=allow_private)
    return await deliver(client, url, ID, "{}", SECRET, settings)


async def test_unresolved_host_is_accepted_and_resolved_again_by_each_attempt(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """A bad link must neither lose a valid target nor let a forbidden one in."""
    url = receiver.url.replace("http://127.0.0.1", "https://later.example")
    asked = _resolve_to(monkeypatch, [], ["127.0.0.1"])
    assert str(await check_target(url, allow_private=False, seconds=5)) == url
    async with new_client() as client:
        result = await _deliver(client, url, allow_private=False)
        assert result == DeliveryResult(None, "not connected: the URL must resolve to public addresses only")
        asked = _resolve_to(monkeypatch, [])
        result = await _deliver(client, url, allow_private=False)
    assert result == DeliveryResult(None, "not connected: the URL has a host that does not resolve")
    assert asked == ["later.example"]
    assert receiver.requests == []


async def test_silent_name_server_delays_the_check_by_its_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert await check_target("https://silent.example/", allow_private=False, seconds=0.01)


async def test_host_with_one_private_address_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, ["1.1.1.1", "10.0.0.1"])
    with pytest.raises(ForbiddenTarget):
        await check_target("https://rebound.example/", allow_private=False, seconds=5)


async def test_host_that_turns_private_is_not_connected_to(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    _resolve_to(monkeypatch, ["1.1.1.1"], ["127.0.0.1"])
    url = receiver.url.replace("http://127.0.0.1", "https://rebound.example")
    await check_target(url, allow_private=False, seconds=5)
    async with new_client() as client:
        result = await _deliver(client, url, allow_private=False)
    assert result == DeliveryResult(None, "not connected: the URL must resolve to public addresses only")
    assert receiver.requests == []


async def test_attempt_resolves_once_and_sends_the_host_name(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    asked = _resolve_to(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    url = receiver.url.replace("127.0.0.1", "pinned.example")
    async with new_client() as client:
        result = await _deliver(client, url, allow_private=True)
    assert result == DeliveryResult(204, None)
    assert asked == ["pinned.example"]
    assert receiver.requests[0].headers["host"] == httpx.URL(url).netloc.decode()


async def test_attempt_tries_the_next_address(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    _resolve_to(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    async with new_client() as client:
        result = await _deliver(client, receiver.url.replace("127.0.0.1", "two.example"), allow_private=True)
    assert result == DeliveryResult(204, None)


async def test_tls_uses_the_host_name_at_the_resolved_address(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve_to(monkeypatch, ["127.0.0.1"])
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with new_client() as client:
        url = f"https://named.example:{server.sockets[0].getsockname()[1]}/"
        result = await _deliver(client, url, allow_private=True)
    server.close()
    assert names == ["named.example"]
    assert result == DeliveryResult(None, "no connection")


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_private_target_is_refused_at_creation_unless_allowed(client: httpx.AsyncClient, settings: Settings) -> None:
    assert (await client.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/"})).status_code == 201
    settings.webhook_allow_private = False
    for url in ("http://127.0.0.1:9/", "https://127.0.0.1:9/", "https://localhost/"):
        response = await client.post("/v1/webhooks", json={"url": url})
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/url"


def test_parsed_url_is_normalised_as_the_http_client_does() -> None:
    assert parse_url("https://EXAMPLE.org:443/a", allow_private=False) == httpx.URL("https://example.org/a")
