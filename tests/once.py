"""What the processes of one run of the tests share: the first that asks for it makes it, the others wait for it."""

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


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
