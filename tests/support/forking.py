"""Start `lifeline` by a fork of a process that has it imported already: milliseconds instead of the seconds that imports take.

Python's own `forkserver` is that process. It imports `tests.support.preloaded` once, and forks itself for each run. A run is the real
command in a process of its own, with its own arguments, settings and output.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.preloaded"])
# prctl(2): the kernel sends this signal when the parent ends, so that no run outlives the tests.
_PR_SET_PDEATHSIG = 1


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
