"""Real servers: `lifeline serve` in processes of their own, on 127.0.0.1."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.support.forking import ForkedProcess

ROOT = Path(__file__).parents[2]
START_SECONDS = 90.0
# Either kind of process has what tests use.
Process = subprocess.Popen[bytes] | ForkedProcess


@dataclass(slots=True)
class Server:
    """One running server; it writes to the file `output`."""

    url: str
    process: Process
    output: Path

    @property
    def key(self) -> str:
        """Return the key that `--demo` printed."""
        found = re.search(r"ll_[A-Za-z0-9_-]{32,}", self.output.read_text())
        assert found, self.output.read_text()
        return found[0]


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment with Lifeline's settings replaced by these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIFELINE_")}
    return kept | {f"LIFELINE_{name.upper()}": value for name, value in settings.items()}


def start(*arguments: str, output: Path, code: Path | None = None, **settings: str) -> Process:
    """Start `lifeline` with arguments and settings such as `database_url=...`; what it prints is appended to a file.

    `code` is a folder with another `app` to run: then Python starts there, instead of a fork.
    """
    if code is None:
        return ForkedProcess(arguments, environment(**settings), output)
    command = [sys.executable, "-m", "app.cli", *arguments]
    with output.open("ab") as opened:
        return subprocess.Popen(command, cwd=code, env=environment(**settings), stdout=opened, stderr=subprocess.STDOUT)


@contextmanager
def serve(folder: Path, *options: str, code: Path | None = None, port: int | None = None, **settings: str) -> Iterator[Server]:
    """Run `lifeline serve` with settings such as `database_url=...` until the end of the block; `code` as in `start`."""
    port = port or free_port()
    printed = folder / f"serve-{port}.txt"
    process = start("serve", "--port", str(port), *options, output=printed, code=code, **settings)
    server = Server(f"http://127.0.0.1:{port}", process, printed)
    try:
        _wait_until_ready(server, port)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: Server, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.output.read_text()
        # The standard library's client starts fastest, and this loop runs while the server needs the processor.
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise AssertionError(f"not ready after {START_SECONDS} seconds: {server.output.read_text()}")


@contextmanager
def serve_demo(folder: Path, template: Path) -> Iterator[Server]:
    """Run a server with the demo data on a SQLite file of its own, a copy of one that has them already."""
    shutil.copy(template, folder / "demo.db")
    with serve(folder, "--demo", database_url=f"sqlite:///{folder / 'demo.db'}") as server:
        yield server
