"""Work that is cheaper together: while one batch runs, what arrives meanwhile waits for the next; what arrives alone runs at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.storage.database_errors import UNAVAILABLE, classify_database_error

T = TypeVar("T")
R = TypeVar("R")


class Deferred:
    """In place of a result: the item has to run in the next batch, because it depends on another of this one."""


DEFERRED = Deferred()


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T, R]):
    item: T
    weight: int
    context: Context
    answer: asyncio.Future[R]


class Batches(Generic[T, R]):
    """Runs items of many callers in batches, one at a time, each in the order of arrival.

    `run` calls the function that it gets for the items, as late as it can, and returns a result, an exception or DEFERRED for each; the
    first is never deferred. If it raises, each item runs again by itself, so that one that fails fails alone; if the database does not
    answer, all fail at once. A batch has one item of any weight, or several that weigh `max_weight` together at most. It runs in a task
    of its own: a caller that goes away takes no other down.
    """

    def __init__(self, run: Callable[[Callable[[], list[T]]], Awaitable[Sequence[R | Exception | Deferred]]], *, max_weight: int) -> None:
        self._run = run
        self._max_weight = max_weight
        self._queue: deque[_Waiting[T, R]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of items that wait for a batch."""
        return len(self._queue)

    async def submit(self, item: T, weight: int = 1) -> R:
        """Run an item in the next batch and return its result, or raise its exception."""
        waiting: _Waiting[T, R] = _Waiting(item, weight, copy_context(), asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._start()
        return await waiting.answer

    def _start(self) -> None:
        if self._task is None and self._queue:
            self._task = asyncio.create_task(self._next(), context=self._queue[0].context)

    async def _next(self) -> None:
        try:
            await self._run_batch()
        finally:
            self._task = None
            self._start()

    async def _run_batch(self) -> None:
        before, batch = list(self._queue), list[_Waiting[T, R]]()

        def take() -> list[T]:
            if not batch:
                batch.extend(self._take())
            return [each.item for each in batch]

        try:
            results = await self._run(take)
        except Exception as error:  # noqa: BLE001 - each caller gets it
            if len(batch) > 1 and classify_database_error(error) is not UNAVAILABLE:
                for each in batch:
                    await self._run_alone(each)
                return
            # Items that waited as long as the batch did not have to wait for the same error again.
            for each in batch or before:
                _answer(each, error)
            self._queue = deque(each for each in self._queue if not each.answer.done())
            return
        deferred = []
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, Deferred):
                deferred.append(each)
            else:
                _answer(each, result)
        self._queue.extendleft(reversed(deferred))

    async def _run_alone(self, waiting: _Waiting[T, R]) -> None:
        try:
            (result,) = await self._run(lambda: [waiting.item])
            assert not isinstance(result, Deferred)
            _answer(waiting, result)
        except Exception as error:  # noqa: BLE001 - its caller gets it
            _answer(waiting, error)

    def _take(self) -> list[_Waiting[T, R]]:
        taken: list[_Waiting[T, R]] = []
        weight = 0
        while self._queue and (not taken or weight + self._queue[0].weight <= self._max_weight):
            waiting = self._queue.popleft()
            # Its caller may have gone away.
            if not waiting.answer.done():
                taken.append(waiting)
                weight += waiting.weight
        return taken


def _answer(waiting: _Waiting[T, R], result: R | Exception) -> None:
    if waiting.answer.done():
        return
    if isinstance(result, Exception):
        waiting.answer.set_exception(result)
    else:
        waiting.answer.set_result(result)
