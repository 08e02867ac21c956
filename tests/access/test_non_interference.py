"""Non-interference: two ledgers that differ only above a clearance get the same responses below it, byte for byte.

Every operation of the OpenAPI document is compared, writes and formats, headers, metrics, limits, the stream and webhook deliveries
included, with every type of ledger entry. Times are predictable, and so are random bits, which depend on the request that draws them
alone. The longest runs on SQLite; TEST_FULL=1 tries forty times as many examples, on PostgreSQL too.
"""

import asyncio
import itertools
import random
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from app.access.keys import create_key
from app.access.principal import Principal, Scope
from app.board.endpoints import router as board
from app.domain.rates import Rate
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.exchange.replication.entry_schema import KNOWN_TYPES
from app.ledger.models import REFERENCE_TYPES
from app.reference import service as reference_service
from app.reference.schemas import SourceIn
from app.reference.service import add_source
from app.settings import Settings
from app.storage.database import Database
from app.webhooks.queue import enqueue_changes
from tests.access.observed_service import (
    BACKGROUND,
    HIDDEN,
    PAGES,
    POLLED,
    VISIBLE,
    WATCHED,
    WRITES,
    Body,
    Clock,
    ObservedService,
    Response,
    masked,
    statements,
)
from tests.ledger.helpers import signing_settings
from tests.support.factories import report, seed
from tests.support.fixtures import FULL, mostly_sqlite
from tests.support.servers import wait_until_following
from tests.webhooks.conftest import Receiver, run_receiver

pytestmark = pytest.mark.starts_early

EXAMPLES = 40 if FULL else 1
# Shrinking a failure takes minutes.
PHASES = tuple(Phase) if FULL else (Phase.generate,)
# Places where a report that was raised out of sight could show.
RAISED = (
    "/v1/indicators?include_empty=true", "/v1/reports", "/v1/reports?status=retracted", "/v1/situations", "/v1/warnings?unresolved=true",
    "/v1/sources/monitor/record", "/v1/sources/envoy/record", "/v1/indicators?known_at=2026-11-24T09:00:00Z", "/v1/changes.csv",
    "/v1/situations/country", "/v1/situations/oldtown/digest?since=2", "/v1/situations/oldtown/digest.txt?since=2016-07-01",
    "/v1/situations/oldtown/brief", "/ogc/collections", "/ogc/collections/trapped_population_point/items",
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock and source of random bits of the service."""
    clock = Clock()
    monkeypatch.setattr("app.domain.identifiers.time_ns", lambda: int(clock.time() * 1_000_000_000))
    monkeypatch.setattr("app.domain.identifiers.urandom", clock.random)
    # Each request draws its own bits, none for those after it.
    monkeypatch.setattr("app.domain.identifiers._POOL_BYTES", 10)
    monkeypatch.setattr("app.domain.identifiers._pool", bytearray())
    monkeypatch.setattr("secrets.token_bytes", clock.random)
    monkeypatch.setattr("secrets.token_urlsafe", lambda count: clock.random(count).hex())
    monkeypatch.setattr("app.http.rate_limit.time", SimpleNamespace(time=clock.time))
    # Reads of the audit log write what is buffered; a timer would do it at another time in each service.
    monkeypatch.setattr("app.access.audit.FLUSH_SECONDS", 1e6)
    # The test itself sends checkpoints, each time when it has done the same.
    monkeypatch.setattr("app.webhooks.cosigning.INTERVAL_SECONDS", 1e6)
    for module in [each for name, each in sys.modules.items() if name.startswith("app.")]:
        if getattr(module, "utc_now", None) is utc_now:
            monkeypatch.setattr(module, "utc_now", clock.now)

    async def enqueue(connection: Any, webhook: Any, *more: Any) -> None:
        with clock.draws_for(f"{BACKGROUND} of webhook {webhook['id']}"):
            await enqueue_changes(connection, webhook, *more)

    monkeypatch.setattr("app.webhooks.leases.enqueue_changes", enqueue)
    return clock


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Return a running receiver of webhooks."""
    async with run_receiver() as running:
        yield running


async def _seed(url: str) -> None:
    await seed(url)
    nurse = {"slug": "nurse", "name": "A nurse", "type": "witness", "alias": "A health worker", "organisation": "visible"}
    async with Database(Settings(database_url=url)) as database, database.write() as session:
        await add_source(session, Principal(0), SourceIn.model_validate(nurse))


_copies = itertools.count()


async def _copy(template: str, engine: str) -> str:
    """Return the URL of a copy of a database."""
    if engine == "sqlite":
        path = Path(template.removeprefix("sqlite:///"))
        copy = path.with_name(f"copy{next(_copies)}.db")
        await asyncio.to_thread(shutil.copy, path, copy)
        return f"sqlite:///{copy}"
    url = make_url(template)
    name = f"copy{next(_copies)}_{url.database}"
    connection = await asyncpg.connect(url.set(database="postgres").render_as_string(hide_password=False))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {url.database}")
    finally:
        await connection.close()
    return url.set(database=name).render_as_string(hide_password=False)


async def _new_keys(url: str) -> dict[str, str]:
    """Create the keys of the clients, each of a person of its own, and return their secrets."""
    made = {}
    async with Database(Settings(database_url=url)) as database, database.write() as session:
        for name in ("writer", "second", "hider", "second_hider", "revealer", "second_revealer", "watcher", "other"):
            scopes = [Scope.READ] if name in ("watcher", "other") else list(Scope)
            clearance = WATCHED if name in ("writer", "second", "watcher") else Label.RED
            key = await create_key(session, name=name, organisation="visible", person=name, scopes=scopes, clearance=clearance)
            made[name] = key[1]
    return made


Use = Callable[[ObservedService, ObservedService], Awaitable[None]]


class Twins:
    """Uses two copies of a database alike, one with what is hidden and one without."""

    def __init__(self, app: FastAPI, template: str, engine: str, clock: Clock, folder: Path) -> None:
        self.app, self.template, self.engine, self.clock, self.folder = app, template, engine, clock, folder
        self.keys: dict[str, str] = {}

    async def use(self, use: Use) -> tuple[ObservedService, ObservedService]:
        """Return both services after use; what is passed besides a service is the one with what is hidden."""
        services: list[ObservedService] = []
        for is_twin in (False, True):
            url = await _copy(self.template, self.engine)
            self.clock.ticks, self.clock.drawn = 0, {}
            reference_service._newest = UUID(int=0)
            (folder := self.folder / str(next(_copies))).mkdir()
            self.signing = await asyncio.to_thread(signing_settings, Settings(), folder)
            async with self._started(url, Rate(10**6, 86400)):
                services.append(ObservedService(self.app, self.clock, self.keys, is_twin=is_twin, share=int(self.engine == "sqlite")))
                await use(services[-1], services[0])
            async with self._started(url, Rate(3, 86400)):
                await services[-1].exceed_limits()
        return services[0], services[1]

    @asynccontextmanager
    async def _started(self, url: str, limit: Rate) -> AsyncIterator[None]:
        self.app.state.settings = Settings(
            database_url=url, database_pool_size=3, access_log=False, webhook_allow_private=True,
            rate_limit=limit, rate_limit_anonymous=limit,
            origin=self.signing.origin, signing_key_file=self.signing.signing_key_file,
        )  # fmt: skip
        async with LifespanManager(self.app):
            # Before, nothing is cached, and a cached response costs less.
            await wait_until_following(self.app.state.database)
            yield


@pytest.fixture
async def twins(new_database: Callable[[], str], engine: str, clock: Clock, built_app: FastAPI, tmp_path: Path) -> Twins:
    """Return what runs services on copies of a database with reference data and keys."""
    template = new_database()
    await _seed(template)
    made = Twins(built_app, template, engine, clock, tmp_path)
    made.keys = await _new_keys(template)
    return made


def assert_alike(one: Sequence[Response], other: Sequence[Response]) -> None:
    """Compare responses one by one, and show the parts that differ."""
    assert len(one) == len(other)
    for number, (each, twin) in enumerate(zip(one, other, strict=True)):
        differing = [pair for pair in zip(each, twin, strict=True) if pair[0] != pair[1]]
        shown = [
            [sorted(set(part) - set(rest)) for part, rest in (pair, pair[::-1])] if isinstance(pair[0], list) else pair
            for pair in differing
        ]
        assert not differing, f"response {number}, {each[:3]}: {shown}"


@mostly_sqlite
async def test_hidden_steps_change_no_byte_of_any_response_below(twins: Twins, receiver: Receiver) -> None:
    loop = asyncio.get_running_loop()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(statements(VISIBLE), min_size=4, max_size=4),
        st.lists(statements(HIDDEN), min_size=4, max_size=4),
        st.randoms(use_true_random=False),
    )
    def compare(visible: list[Body], hidden: list[Body], chance: random.Random) -> None:
        types: list[set[str]] = []
        order = list(range(len(ObservedService.STEPS)))
        chance.shuffle(order)

        async def use(service: ObservedService, with_hidden: ObservedService) -> None:
            await service.add_partners(receiver, Path(service.app.state.settings.signing_key_file).parent)
            await service.execute(order, visible, hidden, receiver)
            service.hidden = with_hidden.hidden
            await service.write_everything(with_hidden)
            await service.deliver(receiver)
            await service.read_everything()
            types.append(await service.hidden_types())

        one, other = asyncio.run_coroutine_threadsafe(twins.use(use), loop).result()
        assert_alike(one.responses, other.responses)
        # A new type of entry needs a step that draws it. Grades and reference data are public, and red sees each entry in full.
        assert types[0] >= KNOWN_TYPES - {"grade", "tombstone", "withheld", *REFERENCE_TYPES}

    await asyncio.to_thread(compare)


async def test_raised_report_leaves_no_trace_of_what_it_stated(twins: Twins) -> None:
    types: list[set[str]] = []

    async def use(service: ObservedService, _: ObservedService) -> None:
        await service.record(service.writer, report(source="agency", provenance={}))
        ended = await service.raise_out_of_sight()
        alert = f"/v1/alerts/{service.visible[-1][0]}.cap"
        for path in (*POLLED, *RAISED, "/v1/alerts", alert, f"/v1/indicators?as_of=2016-08-03&known_at={ended}"):
            await service.ask(service.watcher, "GET", path)
        types.append({each["type"] for each in (await service.watcher.get("/v1/changes")).json()["items"]})

    one, other = await twins.use(use)
    assert_alike([masked(each) for each in one.responses], [masked(each) for each in other.responses])
    assert types[0] >= {"tombstone", "withheld", "grade"}


def test_every_write_of_the_openapi_document_is_drawn(built_app: FastAPI) -> None:
    writes = {
        (method.upper(), path)
        for path, each in built_app.openapi()["paths"].items()
        for method in each
        if method not in ("get", "parameters")
    }
    assert writes == set(WRITES)


def test_every_page_of_the_board_is_compared(built_app: FastAPI) -> None:
    """The OpenAPI document does not contain them."""
    compared = {re.sub(r"oldtown", "{slug}", path.partition("?")[0]) for path in PAGES}
    pages = {
        each.path for each in board.routes if isinstance(each, APIRoute) and "GET" in each.methods and not each.path.startswith("/assets/")
    }
    assert compared == pages
