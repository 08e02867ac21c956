"""A receiver of webhooks on 127.0.0.1 that does as it is told, and settings that let webhooks point there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from standardwebhooks import Webhook as Signer

from app.settings import Settings

HANG = "hang"
CLOSE = "close"
MID_BODY = "mid-body"
OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def http_response(status: int, *headers: str, body: bytes = b"") -> bytes:
    """The bytes of an answer."""
    head = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    received_at: datetime

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The event, which has to be as its headers say."""
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
    """What came, and how the next requests are answered: by what `says` gives, then by 204."""

    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    respond: Callable[[ReceivedRequest], bytes | str] = lambda _: OK
    # Requests are answered while it is set.
    answering: asyncio.Event = field(default_factory=_set)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def respond_with(self, *answers: bytes | str) -> None:
        """Answer so, one after another, then by 204."""
        left = iter(answers)
        self.respond = lambda _: next(left, OK)

    def seqs(self) -> list[int]:
        """The seqs, as they came."""
        return [each.seq for each in self.requests]

    async def wait_until(self, condition: Callable[[], bool], seconds: float = 40) -> None:
        """Wait until a condition on what came holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def wait_for_requests(self, count: int) -> None:
        """Wait for so many requests."""
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
        got = ReceivedRequest(lines[0].split(" ")[1], headers, body, datetime.now(UTC))
        said = self.respond(got)
        self.requests.append(got)
        self._arrived.set()
        await self.answering.wait()
        if said == HANG:
            await reader.read()
            return False
        if said == CLOSE:
            return False
        if said == MID_BODY:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so mu")
            await writer.drain()
            return False
        assert isinstance(said, bytes)
        writer.write(said)
        await writer.drain()
        return True


@asynccontextmanager
async def run_receiver() -> AsyncIterator[Receiver]:
    """A receiver, listening while the block runs."""
    made = Receiver()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield made
    finally:
        server.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver, listening."""
    async with run_receiver() as made:
        yield made


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings with a schedule that tests can wait for, and patience with a receiver on a busy machine."""
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
    """Registers the receiver, by the client given or the one that may everything."""

    async def register(by: httpx.AsyncClient = client, **more: Any) -> dict[str, Any]:
        answer = await by.post("/v1/webhooks", json={"url": receiver.url, **more})
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == answer.json()["links"]["self"]
        made: dict[str, Any] = answer.json()
        return made

    return register


async def delivery_log(client: httpx.AsyncClient, webhook: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    """A webhook's log."""
    answer = await client.get(webhook["links"]["deliveries"], params=params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 40) -> None:
    """Wait until something holds that has to be asked for."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is asked for has no event to wait for
            await asyncio.sleep(0.02)


def verify(webhook: dict[str, Any], got: ReceivedRequest) -> None:
    """Check a request's signature as a receiver does."""
    Signer(webhook["secret"]).verify(got.body, got.headers)
