"""Start `lifeline` by a fork of a process that has it imported already: milliseconds instead of the seconds that imports take.

Python's own `forkserver` is that process. It is itself a fork of the test process, from before the first test, so that it imports nothing
again. It imports `tests.support.preloaded` when the first run is asked for, and forks itself for each run. A run is the real command in a
process of its own, with its own arguments, settings and output.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path

import pytest

_context = multiprocessing.get_context("forkserver")
_PRELOAD = ["tests.support.preloaded"]
# Python's own, before a test process changes it.
_GC_THRESHOLD = gc.get_threshold()
# prctl(2): the kernel sends this signal when the parent ends, so that no run outlives the tests.
_PR_SET_PDEATHSIG = 1


def start_fork_server() -> None:
    """Fork the process that is forked for each run. Later it would have what tests changed."""
    # It comes with the fork server, and has to be a new Python.
    resource_tracker.ensure_running()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(util, "spawnv_passfds", _fork)
        forkserver.ensure_running()


def _fork(_path: str, _arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """Do what `spawnv_passfds` does for `forkserver`, without a new Python."""
    if pid := os.fork():
        return pid
    try:
        _forget_tests(descriptors)
        # Most test processes that run one file need no server.
        select.select(descriptors, [], [])
        listener, alive = descriptors
        forkserver.main(listener, alive, _PRELOAD)
    finally:
        os._exit(1)


def _forget_tests(descriptors: Sequence[int]) -> None:
    """Undo what pytest did to the process, and close its files, because an open copy of a connection would keep that from ending."""
    for each in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
        if each > 2 and each not in descriptors:
            with suppress(OSError):
                os.close(each)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(at, mode, closefd=False) for at, mode in enumerate("rww"))
    sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
    logging.getLogger().handlers.clear()
    gc.set_threshold(*_GC_THRESHOLD)


class ForkedProcess:
    """A run of `lifeline`, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], output: Path) -> None:
        heeds_sighup = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        self._process = _context.Process(target=_run, args=(tuple(arguments), environment, str(output), heeds_sighup))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once the process has ended; TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired("lifeline", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended, which `poll` may see a moment late."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: Sequence[str], environment: dict[str, str], output: str, heeds_sighup: bool) -> None:
    """Be the run: exits with the command's exit code."""
    # Only this process has the command and its application imported.
    from tests.support.preloaded import run_command  # noqa: PLC0415

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As of the test now: the process that is forked may have been started under `nohup`.
    signal.signal(signal.SIGHUP, signal.SIG_DFL if heeds_sighup else signal.SIG_IGN)
    opened = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    run_command(arguments)
