"""What the processes of one run of the tests share: the first that asks for it makes it, the others wait for it; and whether it goes on."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def shared() -> Path:
    """The folder of this run, which is deleted at its end."""
    return Path(tempfile.gettempdir())


@contextmanager
def first_alone(name: str) -> Iterator[bool]:
    """The first process of this run goes through the block alone, the others go together after it; each is told whether it is the first.

    One that fails in it was not the first.
    """
    with (shared() / f"{name}.made").open("a") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        first = not os.fstat(made.fileno()).st_size
        if not first:
            fcntl.flock(made, fcntl.LOCK_UN)
        yield first
        if first:
            made.write("made")


def once(name: str, make: Callable[[], object]) -> None:
    """Have something made, unless another process of this run made it already."""
    with first_alone(name) as first:
        if first:
            make()


def begin_run() -> IO[str]:
    """Say that the run goes on, until the file is closed or the process ends, however it does."""
    running = (shared() / "running").open("w")
    fcntl.flock(running, fcntl.LOCK_EX)
    return running


def run_is_over() -> bool:
    """Whether nobody says any more that it goes on."""
    # Its folder is deleted at its end.
    with suppress(FileNotFoundError), (shared() / "running").open() as running:
        try:
            fcntl.flock(running, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
