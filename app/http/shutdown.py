"""Act on the signal to shut down before the server waits for its connections."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_shutdown_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` on SIGTERM, SIGINT and SIGHUP, then the handler that was set before; SIGHUP, from a terminal that closes, is a SIGTERM.

    A server handles the signal by waiting until its streams end, so they have to be ended first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    if previous[signal.SIGHUP] is signal.SIG_IGN:
        # `nohup` starts a process that outlives its terminal.
        del previous[signal.SIGHUP]

    def handle(number: int, frame: FrameType | None) -> None:
        act()
        number = signal.SIGTERM if number == signal.SIGHUP else number
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
