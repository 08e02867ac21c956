"""Batches: what arrives while one runs waits for the next, without a timer."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy.exc import OperationalError

from app.storage.batches import DEFERRED, Batches, Deferred


class Runs:
    """Records the batches that it runs, each until it is let go on."""

    def __init__(self, fail: Callable[[list[int]], Exception | None] = lambda _: None) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self._fail = fail

    async def __call__(self, take: Callable[[], list[int]]) -> Sequence[int | Exception | Deferred]:
        items = take()
        self.batches.append(items)
        await self.go.wait()
        if (error := self._fail(items)) is not None:
            raise error
        return [DEFERRED if each in items[:at] else each * 10 for at, each in enumerate(items)]


async def test_batch_takes_what_waits_up_to_its_weight_in_order() -> None:
    runs = Runs()
    batches: Batches[int, int] = Batches(runs, max_weight=4)
    sent = [asyncio.create_task(batches.submit(1))]
    await asyncio.sleep(0.001)
    # The first did not wait for another.
    assert runs.batches == [[1]]
    sent += [asyncio.create_task(batches.submit(each, weight)) for each, weight in ((2, 1), (3, 1), (2, 1), (5, 9), (6, 2), (7, 2), (8, 1))]
    await asyncio.sleep(0.001)
    runs.go.set()
    assert await asyncio.gather(*sent) == [10, 20, 30, 20, 50, 60, 70, 80]
    # The second 2 depends on the first one; 5 is too heavy for company.
    assert runs.batches == [[1], [2, 3, 2], [2], [5], [6, 7], [8]]


async def test_batch_that_fails_runs_one_by_one() -> None:
    runs = Runs(lambda items: ValueError(3) if 3 in items else None)
    runs.go.set()
    batches: Batches[int, int] = Batches(runs, max_weight=4)
    results = await asyncio.gather(*(batches.submit(each) for each in (1, 2, 3, 4)), return_exceptions=True)
    assert [each if isinstance(each, int) else type(each) for each in results] == [10, 20, ValueError, 40]
    assert runs.batches == [[1, 2, 3, 4], [1], [2], [3], [4]]


async def test_batch_without_an_answer_of_the_database_fails_at_once() -> None:
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    runs = Runs(lambda _: OperationalError("BEGIN", {}, busy))
    batches: Batches[int, int] = Batches(runs, max_weight=4)
    sent = [asyncio.create_task(batches.submit(each)) for each in range(3)]
    await asyncio.sleep(0.001)
    runs.go.set()
    for each in sent:
        with pytest.raises(OperationalError):
            await each
    assert runs.batches == [[0, 1, 2]]


async def test_batch_goes_on_when_callers_go_away() -> None:
    runs = Runs()
    batches: Batches[int, int] = Batches(runs, max_weight=4)
    sent = [asyncio.create_task(batches.submit(each)) for each in range(4)]
    await asyncio.sleep(0.001)
    later = [asyncio.create_task(batches.submit(each)) for each in (5, 6)]
    await asyncio.sleep(0.001)
    for gone in (sent[0], later[0]):
        gone.cancel()
    await asyncio.sleep(0.001)
    runs.go.set()
    assert await asyncio.gather(*sent[1:], later[1]) == [10, 20, 30, 60]
    # The one that went away before its batch began was left out.
    assert runs.batches == [[0, 1, 2, 3], [6]]
