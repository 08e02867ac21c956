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


def once(name: str, make: Callable[[], object]) -> None:
    """Have something made, unless another process of this run made it already."""
    with (shared() / f"{name}.made").open("a") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        if not os.fstat(made.fileno()).st_size:
            make()
            made.write("made")


@contextmanager
def first_alone(name: str) -> Iterator[None]:
    """The first process of this run goes through the block alone, then the others go together."""
    with (shared() / f"{name}.begun").open("a") as begun:
        fcntl.flock(begun, fcntl.LOCK_EX)
        if os.fstat(begun.fileno()).st_size:
            fcntl.flock(begun, fcntl.LOCK_UN)
        else:
            begun.write("begun")
            begun.flush()
        yield


def begin_run() -> IO[str]:
    """Say that the run goes on, until the file is closed or the process ends, however it does."""
    running = (shared() / "running").open("w")
    fcntl.flock(running, fcntl.LOCK_EX)
    return running


class Run:
    """The run, seen by a process that is to end with it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is what `shared` gives in the processes of the run."""
        self._running = (folder / "running").open()

    def is_over(self) -> bool:
        """Whether nobody says any more that it goes on."""
        with suppress(BlockingIOError):
            fcntl.flock(self._running, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        return False
