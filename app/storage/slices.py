"""Long work in slices: between two of them other requests get their turn, and the work is counted for its request."""

import asyncio
from contextvars import ContextVar

# A pass of the event loop that is shorter than this has run nothing else.
IDLE_SECONDS = 0.0005
MAX_PAUSE_SECONDS = 0.05


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


async def end_slice(work: int) -> None:
    """Count a slice of work, and let other tasks run until the event loop has nothing else to do, for MAX_PAUSE_SECONDS at most."""
    if (current := _current.get()) is not None:
        current.done += work
    clock = asyncio.get_running_loop().time
    deadline = clock() + MAX_PAUSE_SECONDS
    while True:
        before = clock()
        await asyncio.sleep(0)
        if clock() - before < IDLE_SECONDS or clock() >= deadline:
            return
