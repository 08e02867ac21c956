"""A process that has `lifeline` imported and its application built, and forks a run of it for each request: a start in milliseconds.

Each run is the real command in a process of its own, with arguments, settings and output of its own; only Python's start and the imports
were done before. `python -m tests.forking` is that process: it reads one JSON object a line, and answers one a line.
"""

import asyncio
import atexit
import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn._subprocess
import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl
import uvloop  # noqa: F401 - imported before the fork, as what uvicorn would import at its start
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from app import cli, main
from app.migrations import migrate, revision_at_head
from app.settings import Settings, get_settings

ROOT = Path(__file__).parent.parent
POLL_SECONDS = 0.01


class Forked:
    """A run of `lifeline`, with what tests use of `subprocess.Popen`."""

    def __init__(self, forker: "Forker", pid: int) -> None:
        self._forker = forker
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._forker.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; answers the exit code."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and timeout is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("lifeline", timeout)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        # Until it is asked for, its number is nobody else's.
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Tell it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Forker:
    """The process that forks, seen from outside. It ends with this process, and its runs with it."""

    def __init__(self, environment: dict[str, str], code: Path = ROOT) -> None:
        """`code` is the folder with the `app` to run."""
        command = [sys.executable, "-m", "tests.forking"]
        environment = environment | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(command, cwd=code, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *arguments: str, environment: dict[str, str], output: Path) -> Forked:
        """Run `lifeline` with arguments and environment; what it prints is added to a file."""
        return Forked(self, self.ask(arguments=arguments, environment=environment, output=str(output)))

    def ask(self, **request: Any) -> Any:
        """Send a request; answers what it answers."""
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin
        assert self._process.stdout
        atexit.unregister(self.close)
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _built() -> FastAPI:
    """The application, with all done that the first requests would find undone."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/warm.db", access_log=False)
        migrate(settings)
        app = main.create_app(settings)

        async def warm() -> None:
            transport = httpx.ASGITransport(app)
            async with LifespanManager(app), httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as client:
                for path in ("/health/ready", "/v1/indicators"):
                    await client.get(path)
                await client.post("/v1/reports", json={})

        asyncio.run(warm())
    return app


def _run(app: FastAPI, request: dict[str, Any]) -> None:
    """Be the run that is asked for."""
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, (path, how) in enumerate(((os.devnull, os.O_RDONLY), (request["output"], os.O_WRONLY | os.O_APPEND | os.O_CREAT))):
        opened = os.open(path, how, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    get_settings.cache_clear()

    build = main.create_app

    def create_app() -> FastAPI:
        # One of several is built anew, with the settings that are for all of them: it says which it is in what it counts.
        if multiprocessing.parent_process():
            get_settings.cache_clear()
            return build()
        app.state.settings = get_settings()
        return app

    main.create_app = create_app
    # The processes of `--workers` are forked likewise, where uvicorn would start Python anew for each.
    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    code = 1
    try:
        cli.cli(request["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    """Fork and tell until there is nothing more to read, then end what still runs."""
    app = _built()
    revision_at_head()
    # Or each run would look through all of it, and so copy it.
    gc.collect()
    gc.freeze()
    running: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        answer: int | None
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
            running.discard(pid)
        elif (answer := os.fork()) == 0:
            _run(app, request)
        else:
            running.add(answer)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
