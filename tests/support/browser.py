"""A real Chromium, and pages that report outside requests and errors."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Playwright, Request, Response, sync_playwright
from playwright.sync_api import Error as PlaywrightError

# The headless shell renders pages like the others with half the processor time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is missing: install it (Debian: apt-get install chromium-headless-shell) to run the browser tests"
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
# Features that cost time and change nothing on a page.
ARGUMENTS += ["--in-process-gpu", "--renderer-process-limit=1", "--disable-site-isolation-trials"]
ARGUMENTS += ["--disable-smooth-scrolling", "--disable-lcd-text"]
# No host name resolves, because there is no internet.
ARGUMENTS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
# Some tests cause error responses and cut connections on purpose; the browser logs these.
EXPECTED = ("Failed to load resource",)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium until the end of the block."""
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        yield browser
        browser.close()


def _launch(playwright: Playwright) -> Browser:
    """Start the browser, once more if it crashes: on a loaded machine, one of some hundred starts ends in a segmentation fault."""
    try:
        return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    except PlaywrightError:
        return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@contextmanager
def visit(browser: Browser, base_url: str, *, refused: tuple[str, ...] = ("/v1/",), **options: Any) -> Iterator[Page]:
    """Open a page in a new profile; at the end assert that it requested nothing outside the service and that nothing failed.

    `refused` holds path prefixes whose responses may be errors.
    """
    context = browser.new_context(base_url=base_url, locale="en-GB", **options)
    context.set_default_timeout(30_000)
    page = context.new_page()
    elsewhere: list[str] = []
    wrong: list[str] = []

    def is_elsewhere(request: Request) -> bool:
        return urlsplit(request.url).netloc != urlsplit(base_url).netloc and not request.url.startswith(("data:", "blob:"))

    def is_wrong(answer: Response) -> bool:
        return answer.status >= 400 and not urlsplit(answer.url).path.startswith(refused)

    context.on("request", lambda request: elsewhere.append(request.url) if is_elsewhere(request) else None)
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("response", lambda answer: wrong.append(f"{answer.status} {answer.url}") if is_wrong(answer) else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert elsewhere == []
    assert [line for line in wrong if not line.startswith(EXPECTED)] == []


class Relay:
    """A TCP relay to a server on 127.0.0.1 that can be cut and restored, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self.mend()

    @property
    def url(self) -> str:
        """Return the address of the relay."""
        return f"http://127.0.0.1:{self.port}"

    def mend(self) -> None:
        """Accept connections."""
        self._run(self._listen())

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        self._run(self._stop())

    def close(self) -> None:
        """Stop the thread."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        there_reader, there_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer))
        self._writers -= {writer, there_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with suppress(OSError, RuntimeError):
            writer.close()
