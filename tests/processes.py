"""Real servers: `lifeline serve` in processes of their own, on 127.0.0.1, ended by their own ids."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 90.0


@dataclass(slots=True)
class Server:
    """One running server; `printed` is the file that it writes to."""

    url: str
    process: subprocess.Popen[bytes]
    printed: Path

    @property
    def key(self) -> str:
        """The key that `--demo` printed."""
        found = re.search(r"ll_[A-Za-z0-9_-]{32,}", self.printed.read_text())
        assert found, self.printed.read_text()
        return found[0]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with Lifeline's settings replaced by these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIFELINE_")}
    return kept | {f"LIFELINE_{name.upper()}": value for name, value in settings.items()}


@contextmanager
def serve(folder: Path, *options: str, code: Path | None = None, port: int | None = None, **settings: str) -> Iterator[Server]:
    """Run `lifeline serve` with settings such as `database_url=...` until the end of the block, unless it ended before.

    `code` is the folder with the `app` to run, where that is not this one.
    """
    port = port or free_port()
    printed = folder / f"serve-{port}.txt"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), *options]
    with printed.open("ab") as output:
        process = subprocess.Popen(command, cwd=code, env=environment(**settings), stdout=output, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", process, printed)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.printed.read_text()
        try:
            if httpx.get(f"{server.url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready after {START_SECONDS} seconds: {server.printed.read_text()}")


@contextmanager
def serve_demo(folder: Path) -> Iterator[Server]:
    """A server with the demo data on a SQLite file of its own."""
    with serve(folder, "--demo", database_url=f"sqlite:///{folder / 'demo.db'}") as server:
        yield server
