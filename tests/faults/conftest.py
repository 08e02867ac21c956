"""The application on a database that faults are put into, without a restart of it."""

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
    """Starts the application on a database, with settings; gives a client with the key, or every scope. `through` is where it connects."""

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
