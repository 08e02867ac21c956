"""A webhook receiver on 127.0.0.1 with configurable responses, and settings that allow it as a target."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook as Signer

from app.settings import Settings
from tests.support.factories import report
from tests.support.openapi import DOCUMENT

# The `webhooks` of the OpenAPI document.
EVENTS = Draft202012Validator(
    DOCUMENT["webhooks"]["change"]["post"]["requestBody"]["content"]["application/cloudevents+json"]["schema"]
    | {"components": DOCUMENT["components"]}
)
HANG = "hang"
CLOSE = "close"
MID_BODY = "mid-body"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def http_response(status: int, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a response."""
    head = [f"HTTP/1.1 {status} Status", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as received."""

    path: str
    headers: dict[str, str]
    body: bytes
    received_at: datetime

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """Return the event, checked against the headers."""
        assert self.headers["content-type"] == "application/cloudevents+json"
        event: dict[str, Any] = orjson.loads(self.body)
        assert event["id"] == self.id
        assert event["specversion"] == "1.0"
        return event

    @property
    def seq(self) -> int:
        seq: int = self.event["data"]["seq"]
        return seq


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Receiver:
    """Keeps the requests that it receives; `respond` gives the response to each, by default 204."""

    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    respond: Callable[[ReceivedRequest], bytes | str] = lambda _: OK
    # While cleared, no request is answered.
    answering: asyncio.Event = field(default_factory=_set)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def respond_with(self, *planned: bytes | str) -> None:
        """Respond with these, one after another, then with 204."""
        responses = iter(planned)
        self.respond = lambda _: next(responses, OK)

    def seqs(self) -> list[int]:
        """Return the seqs in the order of arrival."""
        return [each.seq for each in self.requests]

    async def wait_until(self, condition: Callable[[], bool], seconds: float = 40) -> None:
        """Wait until a condition on the received requests holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def wait_for_requests(self, count: int) -> None:
        """Wait for this many requests."""
        await self.wait_until(lambda: len(self.requests) >= count)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while await self._serve(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        request = ReceivedRequest(lines[0].split(" ")[1], headers, body, datetime.now(UTC))
        response = self.respond(request)
        self.requests.append(request)
        self._arrived.set()
        await self.answering.wait()
        if response == HANG:
            await reader.read()
            return False
        if response == CLOSE:
            return False
        if response == MID_BODY:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut of")
            await writer.drain()
            return False
        assert isinstance(response, bytes)
        writer.write(response)
        await writer.drain()
        return True


@asynccontextmanager
async def run_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver until the end of the block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with run_receiver() as running:
        yield running


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with short retry delays, and a timeout that a busy machine keeps."""
    return Settings(
        database_url=database_url,
        database_pool_size=3,
        webhook_allow_private=True,
        webhook_timeout_seconds=10,
        webhook_retry_base_seconds=0.05,
    )


Register = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def register(client: httpx.AsyncClient, receiver: Receiver) -> Register:
    """Return a function that creates a webhook for the receiver."""

    async def register(by: httpx.AsyncClient = client, **more: Any) -> dict[str, Any]:
        response = await by.post("/v1/webhooks", json={"url": receiver.url, **more})
        assert response.status_code == 201, response.text
        webhook: dict[str, Any] = response.json()
        assert response.headers["location"] == webhook["links"]["self"]
        return webhook

    return register


async def post_report(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    """Record a report; return it as stored."""
    response = await client.post("/v1/reports", json=report(**more))
    assert response.status_code == 201, response.text
    stored: dict[str, Any] = response.json()
    return stored


async def delivery_log(client: httpx.AsyncClient, webhook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    """Return the delivery log of a webhook, latest change first."""
    response = await client.get(webhook["links"]["deliveries"], params=params)
    assert response.status_code == 200, response.text
    items: list[dict[str, Any]] = response.json()["items"]
    return items


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    """Poll until a condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the condition has no event to wait for
            await asyncio.sleep(0.02)


async def wait_for_statuses(client: httpx.AsyncClient, webhook: dict[str, Any], *statuses: str) -> list[dict[str, Any]]:
    """Wait until the delivery log has entries with these statuses; return it."""

    async def reached() -> bool:
        return [item["status"] for item in await delivery_log(client, webhook)] == list(statuses)

    await until(reached)
    return await delivery_log(client, webhook)


async def wait_until_disabled(client: httpx.AsyncClient, webhook: dict[str, Any]) -> dict[str, Any]:
    """Wait until a webhook is disabled; return it."""

    async def disabled() -> bool:
        return bool((await client.get(webhook["links"]["self"])).json()["status"] == "disabled")

    await until(disabled)
    found: dict[str, Any] = (await client.get(webhook["links"]["self"])).json()
    return found


def verify(webhook: dict[str, Any], request: ReceivedRequest) -> None:
    """Verify the signature of a request as a receiver does."""
    Signer(webhook["secret"]).verify(request.body, request.headers)
