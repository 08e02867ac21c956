"""A process that has the application built and forks a server of it for each port that it reads: a start in milliseconds.

Reads a port a line, answers the id of the process that serves there. Settings come from the environment.
"""

import asyncio
import gc
import os
import signal
import sys

import httpx
import uvicorn
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from app.main import create_app


async def _warm(app: FastAPI) -> None:
    """Have done what the first requests would find undone."""
    transport = httpx.ASGITransport(app)
    async with LifespanManager(app), httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as client:
        for path in ("/health/live", "/v1/indicators"):
            await client.get(path)
        await client.post("/v1/reports", json={})


def main() -> None:
    """Fork until there is nothing more to read."""
    # The dead are nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    app = create_app()
    asyncio.run(_warm(app))
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            uvicorn.run(app, host="127.0.0.1", port=int(line), access_log=False, log_level="warning")
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
