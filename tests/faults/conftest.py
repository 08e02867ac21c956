"""The application on a database with faults, without restarting it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from app.settings import Settings
from tests.support.servers import new_key

Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serving(built_app: FastAPI) -> Serving:
    """Return a function that starts the application on a database and yields a client with the key, or with one with every scope.

    `through` is the URL that the application connects to, if it is another.
    """

    @asynccontextmanager
    async def serve(url: str, *, key: str | None = None, through: str | None = None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        key = key or await new_key(url)
        built_app.state.settings = Settings(
            database_url=through or url, **{"database_lock_timeout_seconds": 1, "database_pool_size": 3} | settings
        )
        transport = httpx.ASGITransport(built_app, raise_app_exceptions=False)
        async with (
            LifespanManager(built_app),
            httpx.AsyncClient(transport=transport, base_url="http://lifeline.test", headers={"Authorization": f"Bearer {key}"}) as client,
        ):
            yield client

    return serve
