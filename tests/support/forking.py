"""A process that has `lifeline` imported and its application built, and forks a run of it for each request: a start in milliseconds.

Each run is the real command in a process of its own, with arguments, settings and output of its own; only Python's start and the imports
were done before. `python -m tests.support.forking` is that process. It listens at a socket and forks itself for each
of them, to read one JSON object a line, and answer one a line.
"""

import asyncio
import atexit
import gc
import json
import multiprocessing
import os
import signal
import socket
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
from app.settings import Settings, get_settings
from app.storage.migrations import migrate, revision_at_head
from tests.support.once import once, run_is_over, shared

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.01
START_SECONDS = 90.0

# Kept, since Python complains of a process that is forgotten before its end.
_started: list[subprocess.Popen[bytes]] = []


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
    """The process that forks, seen from outside. Its runs end with this process, and it ends with the run of the tests."""

    def __init__(self, environment: dict[str, str], code: Path = ROOT, name: str = "forker") -> None:
        """`code` is the folder with the `app` to run, `name` is another for each of them."""
        self._address = shared() / f"{name}.socket"
        self._lock = threading.Lock()
        once(name, lambda: self._start(environment | {"PYTHONPATH": str(ROOT)}, code))
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(self._address))
        self._file = self._connection.makefile("rw")
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, environment: dict[str, str], code: Path) -> None:
        command = [sys.executable, "-m", "tests.support.forking", str(self._address)]
        process = subprocess.Popen(command, cwd=code, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _started.append(process)
        deadline = time.monotonic() + START_SECONDS
        while not self._address.exists():
            assert process.poll() is None, "it could not begin"
            assert time.monotonic() < deadline, f"not there after {START_SECONDS} seconds"
            time.sleep(POLL_SECONDS)

    def start(self, *arguments: str, environment: dict[str, str], output: Path) -> Forked:
        """Run `lifeline` with arguments and environment; what it prints is added to a file."""
        return Forked(self, self.ask(arguments=arguments, environment=environment, output=str(output)))

    def ask(self, **request: Any) -> Any:
        """Send a request; answers what it answers."""
        with self._lock:
            self._file.write(json.dumps(request) + "\n")
            self._file.flush()
            return json.loads(self._file.readline())

    def close(self) -> None:
        """Have its runs killed, and wait until they are told so."""
        atexit.unregister(self.close)
        self._connection.shutdown(socket.SHUT_WR)
        self._file.read()
        self._file.close()
        self._connection.close()


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


def _run(app: FastAPI, request: dict[str, Any]) -> int:
    """Be the run that is asked for; answers its exit code."""
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
    try:
        cli.cli(request["arguments"])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 1


def _serve(app: FastAPI, connection: socket.socket) -> None:
    """Fork and tell until there is nothing more to read, then end what still runs."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    running: set[int] = set()
    requests, answers = connection.makefile("r"), connection.makefile("w")
    # Who was killed does not read what he asked for.
    with suppress(ConnectionError):
        for line in requests:
            request = json.loads(line)
            answer: int | None
            if "poll" in request:
                pid, status = os.waitpid(request["poll"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
                running.discard(pid)
            elif (answer := os.fork()) == 0:
                code = 1
                try:
                    os.close(connection.fileno())
                    code = _run(app, request)
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            else:
                running.add(answer)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _listen(address: Path) -> None:
    """Fork for each that connects, until the run of the tests is over."""
    app = _built()
    revision_at_head()
    # Or each run would look through all of it, and so copy it.
    gc.collect()
    gc.freeze()
    # Nobody waits for those that are forked.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        unready = address.with_suffix(".unready")
        listening.bind(str(unready))
        listening.listen()
        listening.settimeout(1)
        unready.rename(address)
        while not run_is_over():
            with suppress(TimeoutError):
                connection, _ = listening.accept()
                if os.fork() == 0:
                    listening.close()
                    _serve(app, connection)
                    os._exit(0)
                connection.close()


if __name__ == "__main__":
    _listen(Path(sys.argv[1]))
