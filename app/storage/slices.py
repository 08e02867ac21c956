"""Long work in slices: between two of them other requests get their turn, and the work is counted for its request.

A write waits for the database some twenty times; a slice in each of these pauses would make it ten times as long.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# A pass of the event loop that is shorter than this has run nothing else.
IDLE_SECONDS = 0.0005
MAX_PAUSE_SECONDS = 0.05
# How long a slice waits for writes, and how old a write is at most that it waits for: an import may take a minute.
MAX_WRITE_PAUSE_SECONDS = 0.25
WRITE_POLL_SECONDS = 0.002


class Work:
    """The work of one request that its URL does not tell, in indicators assessed."""

    def __init__(self) -> None:
        self.done = 0


_current: ContextVar[Work | None] = ContextVar("work", default=None)


def begin_work() -> Work:
    """Count the work of the current request and of the tasks that it starts from now on."""
    work = Work()
    _current.set(work)
    return work


# When the writes of this process began, by their task.
_writes: dict[asyncio.Task[Any] | None, float] = {}


@contextmanager
def before_slices() -> Iterator[None]:
    """Let slices of other tasks wait for the write of the current one."""
    task = asyncio.current_task()
    _writes[task] = time.monotonic()
    try:
        yield
    finally:
        del _writes[task]


def _is_written() -> bool:
    since, task = time.monotonic() - MAX_WRITE_PAUSE_SECONDS, asyncio.current_task()
    return any(began > since for other, began in _writes.items() if other is not task)


async def end_slice(work: int) -> None:
    """Count a slice of work, and let other tasks run until the event loop has nothing else to do, for MAX_PAUSE_SECONDS at most.

    Wait also until no write is being made, for MAX_WRITE_PAUSE_SECONDS at most.
    """
    if (current := _current.get()) is not None:
        current.done += work
    clock = asyncio.get_running_loop().time
    deadline = clock() + MAX_PAUSE_SECONDS
    while True:
        before = clock()
        await asyncio.sleep(0)
        if clock() - before < IDLE_SECONDS or clock() >= deadline:
            break
    deadline = clock() + MAX_WRITE_PAUSE_SECONDS
    while _is_written() and clock() < deadline:  # noqa: ASYNC110 - of many writes, which may begin meanwhile
        await asyncio.sleep(WRITE_POLL_SECONDS)
