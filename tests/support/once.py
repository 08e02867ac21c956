"""Files and databases that the processes of one test run share: the first that needs one makes it, the others wait."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def shared() -> Path:
    """Return the folder of this test run; it is deleted at the end."""
    return Path(tempfile.gettempdir())


@contextmanager
def first_process(name: str) -> Iterator[bool]:
    """Let one process run the block first, alone, and the others after it; yields True to the first.

    A process that fails in the block does not count as the first.
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
    """Call `make`, unless another process of this test run has done so."""
    with first_process(name) as first:
        if first:
            make()
