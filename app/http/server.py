"""Run Uvicorn so that a restart behind a proxy loses no request.

When a listening socket is closed, the kernel resets the connections that wait there for a worker, and a proxy does not send a POST again.
So new connections are kept out first, those that wait are accepted, and only then the socket is closed.
"""

import asyncio
import ctypes
import signal
import socket
import struct
import sys
import time
from contextlib import suppress

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS, Multiprocess

# Seconds in which waiting connections are accepted.
ACCEPT_SECONDS = 0.05
# Linux: attach a filter to a socket, here one instruction that lets 0 bytes in. Clients try again after a second, and are refused then.
SO_ATTACH_FILTER = 26
REJECT_ALL = struct.pack("HBBI", 6, 0, 0, 0)


def keep_out_new_connections(descriptor: int) -> None:
    """Let the kernel drop what arrives at a listening socket; connections that wait there stay. Works on Linux only."""
    instructions = ctypes.create_string_buffer(REJECT_ALL)
    if sys.platform == "linux":
        with socket.socket(fileno=socket.dup(descriptor)) as same, suppress(OSError):
            same.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(instructions)))


class DrainingServer(Server):
    """A single process."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept what waits, then shut down."""
        for listener in (each for server in self.servers for each in server.sockets):
            keep_out_new_connections(listener.fileno())
        await asyncio.sleep(ACCEPT_SECONDS)
        await super().shutdown(sockets)


class DrainingSupervisor(Multiprocess):
    """Worker processes. Their supervisor closes its copy of the socket first; otherwise connections would wait on it unanswered."""

    def handle_hup(self) -> None:
        """Shut down as on SIGTERM, because the terminal was closed; Uvicorn would restart the workers."""
        self.handle_term()

    def terminate_all(self) -> None:
        """Let the workers accept what waits, then close the socket and terminate them."""
        for listener in self.sockets:
            keep_out_new_connections(listener.fileno())
        time.sleep(ACCEPT_SECONDS)
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def run(config: Config) -> None:
    """Serve until a signal ends the process; exits with Uvicorn's code if the application does not start."""
    with suppress(KeyboardInterrupt):
        if config.workers > 1:
            if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
                # `nohup` starts processes that outlive their terminal; the workers inherit that only without a handler here.
                SIGNALS.pop(signal.SIGHUP)
            DrainingSupervisor(config, [config.bind_socket()]).run()
            return
        server = DrainingServer(config)
        server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)
