"""Non-interference: two ledgers that differ only above a clearance get the same responses below it, byte for byte.

Every path and format of the OpenAPI document is compared, headers, the stream and webhook deliveries included. Identifiers and times
are predictable, and those of hidden records come from another sequence, so that nothing else differs. TEST_FULL=1 tries forty
times as many examples.
"""

import asyncio
import contextlib
import itertools
import random
import re
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from app.access.principal import Scope
from app.board.endpoints import router as board
from app.domain.tlp import Label
from app.reference.schemas import SourceIn
from app.reference.service import add_source
from app.settings import Settings
from app.storage.database import Database
from tests.access.observed_service import HIDDEN_STEPS, PAGES, VISIBLE_STEPS, WATCHED, Clock, ObservedService
from tests.support.factories import report, seed
from tests.support.fixtures import FULL
from tests.support.servers import new_key
from tests.webhooks.conftest import Receiver, run_receiver

pytestmark = pytest.mark.starts_early

EXAMPLES = 40 if FULL else 1
# Shrinking a failure takes minutes.
PHASES = tuple(Phase) if FULL else (Phase.generate,)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock and source of identifiers of the service."""
    clock = Clock()
    monkeypatch.setattr("app.domain.identifiers.time_ns", lambda: int(clock.now().timestamp() * 1_000_000_000))
    monkeypatch.setattr("app.domain.identifiers.urandom", clock.urandom)
    for name in (
        "app.ledger.appender", "app.reports.validation", "app.reports.labels", "app.access.idempotency", "app.reference.service",
        "app.indicators.queries", "app.indicators.past", "app.situations.endpoints",
        "app.webhooks.service", "app.webhooks.leases", "app.webhooks.dispatcher",
    ):  # fmt: skip
        with contextlib.suppress(AttributeError):
            monkeypatch.setattr(f"{name}.utc_now", clock.now)
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
        await add_source(session, SourceIn.model_validate(nurse))


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


async def run(
    app: FastAPI,
    url: str,
    steps: list[Any],
    clock: Clock,
    keys: tuple[str, ...],
    hidden: list[tuple[str, str]] | None,
    receiver: Receiver,
) -> tuple[list[Any], list[tuple[str, str]]]:
    """Run the steps and return what is observed, and the hidden reports.

    Given the hidden reports of another run, leave out the hidden steps, and request those reports, too.
    """
    app.state.settings = Settings(
        database_url=url, database_pool_size=3, rate_limit=None, rate_limit_anonymous=None, access_log=False, webhook_allow_private=True
    )
    clock.counts, clock.ticks, clock.hidden = {False: itertools.count(1), True: itertools.count(1)}, 0, False
    async with LifespanManager(app):
        service = ObservedService(app, *keys)
        for number, (is_hidden, report_body, amendment) in enumerate(steps):
            # The title makes it a statement of its own, because one that was posted under a visible label is not hidden.
            body = report_body | {"provenance": {"title": f"hidden {number}"}} if amendment == "below" else report_body
            clock.hidden = is_hidden
            if not is_hidden:
                clock.ticks += 1
            if hidden is None or not is_hidden:
                await service.step(is_hidden, body, amendment)
            clock.hidden = False
            if amendment == "below":
                clock.ticks += 1
                await service.correct_below(report_body, number, as_report=hidden is not None)
        if hidden is not None:
            service.hidden = hidden
        await service.deliver(receiver)
        # Without hidden reports, the other reader gets the same responses as the watcher.
        return await service.observe(other_first=hidden is None), service.hidden


async def test_hidden_steps_change_no_byte_of_any_response_below(
    new_database: Callable[[], str], engine: str, clock: Clock, built_app: FastAPI, receiver: Receiver
) -> None:
    template = new_database()
    await _seed(template)
    keys = (
        await new_key(template, clearance=WATCHED, organisation="visible"),
        await new_key(template, clearance=Label.RED, organisation="hidden"),
        await new_key(template, Scope.READ, clearance=WATCHED),
        await new_key(template, Scope.READ, clearance=Label.RED),
    )
    loop = asyncio.get_running_loop()

    # In every example, however few there are.
    corrected_below = [(True, report(sensitivity="amber", source="nurse", value={"people": 3}), "below")]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(VISIBLE_STEPS, min_size=2, max_size=5), st.lists(HIDDEN_STEPS, min_size=2, max_size=5), st.randoms(use_true_random=False)
    )
    def compare(visible: list[Any], hidden: list[Any], chance: random.Random) -> None:
        steps = [*visible, *hidden, *corrected_below]
        chance.shuffle(steps)

        async def run_both() -> tuple[list[Any], list[Any]]:
            one, other = [await _copy(template, engine) for _ in range(2)]
            with_hidden, hidden_reports = await run(built_app, one, steps, clock, keys, None, receiver)
            without, _ = await run(built_app, other, steps, clock, keys, hidden_reports, receiver)
            return without, with_hidden

        without, with_hidden = asyncio.run_coroutine_threadsafe(run_both(), loop).result()
        assert len(without) == len(with_hidden)
        for one, other in zip(without, with_hidden, strict=True):
            assert one == other

    await asyncio.to_thread(compare)


def test_every_page_of_the_board_is_compared(built_app: FastAPI) -> None:
    """The OpenAPI document does not contain them."""
    compared = {re.sub(r"oldtown", "{slug}", path.partition("?")[0]) for path in PAGES}
    pages = {
        each.path for each in board.routes if isinstance(each, APIRoute) and "GET" in each.methods and not each.path.startswith("/assets/")
    }
    assert compared == pages
