"""Imported once by the process that `tests.support.forking` forks: the command, and an application that has answered its first requests."""

import asyncio
import gc
import multiprocessing
import os
import tempfile
from collections.abc import Sequence

import httpx
import uvicorn._subprocess
import uvicorn.loops.uvloop
import uvicorn.protocols.http.httptools_impl
import uvloop  # noqa: F401 - uvicorn would import it at its start
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from app import cli, main
from app.settings import Settings, get_settings
from app.storage.migrations import migrate, required_schema_revision
from app.webhooks import cosigning


def _build() -> FastAPI:
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


def run_command(arguments: Sequence[str]) -> None:
    """Run `lifeline` in this process, with the application that is built already; raises SystemExit."""
    get_settings.cache_clear()
    # A test of a thousand checkpoints cannot wait a minute for each.
    cosigning.INTERVAL_SECONDS = float(os.environ.get("TEST_COSIGNING_SECONDS", cosigning.INTERVAL_SECONDS))
    build, this_process = main.create_app, os.getpid()

    def create_app() -> FastAPI:
        # A worker of `--workers` builds its own, because metrics of several workers are kept otherwise.
        if os.getpid() != this_process:
            get_settings.cache_clear()
            return build()
        _app.state.settings = get_settings()
        return _app

    main.create_app = create_app
    # Workers are forked too, where uvicorn would start Python for each.
    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]
    cli.cli(list(arguments))


_app = _build()
required_schema_revision()
# A run that looked through all of this for garbage would copy it.
gc.collect()
gc.freeze()
