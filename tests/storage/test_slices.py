"""Slices of long work give way to writes."""

import asyncio
from contextlib import suppress

import pytest

from app.storage import slices
from app.storage.slices import before_slices, end_slice


async def test_slice_waits_for_a_write_that_began_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MAX_WRITE_PAUSE_SECONDS", 60)
    written = asyncio.Event()

    async def write() -> None:
        with before_slices():
            # Its own slices wait for nothing.
            async with asyncio.timeout(30):
                await end_slice(1)
            await written.wait()

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.01)
    slice_ = asyncio.create_task(end_slice(1))
    await asyncio.sleep(0.02)
    assert not slice_.done()
    written.set()
    await asyncio.wait_for(asyncio.gather(writing, slice_), 30)


async def test_slice_waits_for_no_write_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MAX_WRITE_PAUSE_SECONDS", 0.02)

    async def write() -> None:
        with before_slices():
            await asyncio.sleep(60)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await end_slice(1)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
