"""The closed-loop load generator: keep-alive connections that send the next request once answered, in a process of its own.

Reads one job a line on standard input and writes one result a line on standard output, both as JSON:

    {"port": 8000, "requests": [...], "cycle": true, "connections": 8, "seconds": 0.5, "status": 200}
    {"answers": 5120, "seconds": 0.5, "bytes": 1234, "median": 0.0008, "p99": 0.002}

Requests are raw HTTP/1.1 as Base64. Without `cycle` each is sent once, and the run ends early when none is left. When the time is up,
the run sends no more and waits for open answers: `seconds` includes the last answer.
"""

import asyncio
import base64
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvloop


class _Run:
    """State that the connections of one job share."""

    def __init__(self, job: dict[str, Any]) -> None:
        raw = [base64.b64decode(each) for each in job["requests"]]
        self.requests: Iterator[bytes] = itertools.cycle(raw) if job["cycle"] else iter(raw)
        self.status = str(job["status"]).encode()
        self.start = time.perf_counter()
        self.end = self.start + job["seconds"]
        self.answers = 0
        self.bytes = 0
        self.last = self.start
        self.waits: list[float] = []
        self.error: str | None = None


class Answers(asyncio.Protocol):
    """A keep-alive connection that reads answers one at a time; each must have a Content-Length."""

    # Whether bodies are kept for `on_answer`.
    keeps_body = False

    def __init__(self) -> None:
        self._head = b""
        self._left = -1
        self._body: list[bytes] = []
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Read a head, a piece of a body, or both."""
        if self._left < 0:
            head = self._head + data
            end = head.find(b"\r\n\r\n")
            if end < 0:
                self._head = head
                return
            if not self.on_head(head, end):
                return
            at = head.find(b"content-length: ", 0, end)
            length = int(head[at + 16 : head.index(b"\r\n", at)]) if at >= 0 else 0
            self._left = length - (len(head) - end - 4)
            self._head = b""
            data = head[end + 4 :] if self.keeps_body else b""
        else:
            self._left -= len(data)
        if self.keeps_body:
            self._body.append(data)
        if self._left <= 0:
            self._left = -1
            body, self._body = b"".join(self._body), []
            self.on_answer(body)

    def on_head(self, head: bytes, end: int) -> bool:
        """Handle a head that ends at `end`; return False to read no further."""
        raise NotImplementedError

    def on_answer(self, body: bytes) -> None:
        """Handle a complete answer."""
        raise NotImplementedError


class _Connection(Answers):
    def __init__(self, run: _Run, done: asyncio.Future[None]) -> None:
        super().__init__()
        self._run = run
        self._done = done
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._ask()

    def _ask(self) -> None:
        request = next(self._run.requests, None)
        now = time.perf_counter()
        if request is None or now > self._run.end:
            self._finish()
            return
        assert self.transport is not None
        self._sent = now
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._run.bytes += len(data)
        super().data_received(data)

    def on_head(self, head: bytes, end: int) -> bool:  # noqa: ARG002 - the status is enough
        if head[9:12] == self._run.status:
            return True
        self._run.error = head[:2000].decode("latin-1")
        self._finish()
        return False

    def on_answer(self, body: bytes) -> None:  # noqa: ARG002 - needs nothing of it
        now = time.perf_counter()
        self._run.answers += 1
        self._run.last = now
        self._run.waits.append(now - self._sent)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._run.error = self._run.error or f"the connection was lost: {exc}"
            self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)
        if self.transport is not None:
            self.transport.close()


async def _work(job: dict[str, Any]) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    run = _Run(job)
    ends = [loop.create_future() for _ in range(job["connections"])]
    await asyncio.gather(*(loop.create_connection(lambda done=done: _Connection(run, done), "127.0.0.1", job["port"]) for done in ends))
    await asyncio.gather(*ends)
    if run.error is not None:
        return {"error": run.error}
    waits = sorted(run.waits)
    found = {"median": statistics.median(waits), "p99": waits[int(len(waits) * 0.99)]}
    return {"answers": run.answers, "seconds": run.last - run.start, "bytes": run.bytes} | found


def main() -> None:
    """Do jobs until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(uvloop.run(_work(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
