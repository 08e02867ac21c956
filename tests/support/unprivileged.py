"""Work as a user who is not root, because permissions do not bind root."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

NOBODY = 65534
T = TypeVar("T")


@contextmanager
def public_folder() -> Iterator[Path]:
    """Return a new folder that every user may enter, unlike those of pytest, and delete it at the end."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="lifeline-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(work: Callable[[], T]) -> T:
    """Return the result of work in a fork of this process, which is not root."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(work, sender))
    child.start()
    sender.close()
    try:
        result: T = receiver.recv()
    finally:
        child.join()
    return result


def _run(work: Callable[[], Any], sender: Any) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    sender.send(work())
