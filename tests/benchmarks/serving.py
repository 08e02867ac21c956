"""The measured processes, each on one core: three servers on the same uvicorn, and the load generator."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import environment, free_port

START_SECONDS = 60.0


def cores() -> tuple[int, int]:
    """Return the core of the servers and that of the load generator (the same on a machine with one core)."""
    free = sorted(os.sched_getaffinity(0))
    return free[0], free[-1]


def _pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def uvicorn(application: str, *, core: int, ready: str, **variables: str) -> Iterator[tuple[int, int]]:
    """Serve an ASGI application on a core with one worker; yields its port and process id."""
    command = [sys.executable, "-m", "uvicorn", application, "--no-access-log", "--no-server-header"]
    command += ["--log-level", "warning", *([] if application.endswith(":app") else ["--factory"])]
    with _served(command, core=core, ready=ready, **variables) as served:
        yield served


@contextmanager
def lifeline(*, core: int, ready: str, **variables: str) -> Iterator[tuple[int, int]]:
    """Serve Lifeline on a core as its own command does, with one worker; yields its port and process id."""
    with _served([sys.executable, "-m", "app.cli", "serve"], core=core, ready=ready, **variables) as served:
        yield served


@contextmanager
def _served(command: list[str], *, core: int, ready: str, **variables: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [*command, "--port", str(port)]
    process = subprocess.Popen(command, env=environment() | variables, stdout=subprocess.DEVNULL, preexec_fn=_pinned(core))  # noqa: PLW1509 - no threads run here
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, f"{command} did not start"
            assert time.monotonic() < deadline, f"{command} is not ready"
            try:
                httpx.get(f"http://127.0.0.1:{port}{ready}")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(40)


def processor_seconds(pid: int) -> float:
    """Return the processor seconds of a process, which a busy machine does not distort."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Load:
    """The load generator."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(
        self, port: int, requests: Sequence[bytes], *, status: int, seconds: float, connections: int = 4, cycle: bool = True
    ) -> dict[str, Any]:
        """Run a job; return the number of answers, the seconds, the bytes, and median and 99th percentile of the waits in seconds."""
        job = {
            "port": port,
            "requests": [base64.b64encode(each).decode() for each in requests],
            "cycle": cycle,
            "connections": connections,
            "seconds": seconds,
            "status": status,
        }
        self.start(job)
        result = self.result()
        assert "error" not in result, result["error"]
        return result

    def start(self, job: dict[str, Any]) -> None:
        """Start a job."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Wait for the result of the job."""
        assert self._process.stdout is not None
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result


@contextmanager
def load_generator(core: int, module: str = "tests.benchmarks.load") -> Iterator[Load]:
    """Run the load generator, a module that reads jobs, on a core."""
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_pinned(core))  # noqa: PLW1509
    try:
        yield Load(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


def request(target: str, *, body: bytes | None = None, **headers: str) -> bytes:
    """Return a raw HTTP/1.1 request; header names have `_` for `-`."""
    lines = [f"{'GET' if body is None else 'POST'} {target} HTTP/1.1", "host: 127.0.0.1", "user-agent: benchmark"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")
