"""Two ledgers that differ only above a clearance answer alike below it: every address and format, to the byte, headers and stream included,
and what webhooks are sent.

Which addresses there are is read from the OpenAPI document. Identifiers and times are made predictable here, and what is hidden
draws its own, so that nothing else can differ. LIFELINE_TEST_FULL=1 tries forty times as many.
"""

import asyncio
import contextlib
import itertools
import random
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from app.access import keys as access_service
from app.board.endpoints import router as board
from app.changes.queries import CHANGE_CURSORS
from app.domain.tlp import LABELS, Label
from app.reference import service as reference_service
from app.reference.schemas import SourceIn
from app.reference.service import add_source
from app.reports import labels as reports_labels
from app.reports import service as reports_service
from app.settings import Settings
from app.storage.database import Database
from app.webhooks import leases
from app.webhooks import service as webhooks_service
from tests.support.factories import report, seed
from tests.support.fixtures import FULL
from tests.support.servers import new_key
from tests.webhooks.conftest import Receiver, run_receiver, until

pytestmark = pytest.mark.starts_early

EXAMPLES = 40 if FULL else 1
# Making a failure smaller takes minutes: only where there is time.
PHASES = tuple(Phase) if FULL else (Phase.generate,)
WATCHED = 1  # The reader is cleared for green.

VISIBLE, HIDDEN = Label.GREEN, (Label.AMBER, Label.AMBER_STRICT, Label.RED)

NOWHERE = "00000000-0000-7000-8000-000000000000"
# The stream has no end, and the metrics tell of the process too: both are looked at by themselves.
APART = ("/v1/stream", "/metrics")
# Lists by their filters, times and pages; what is wrong; the pages of the board, in other words and at another time.
FILTERED = (
    "/v1/changes?limit=2", "/v1/changes?place=oldtown", "/v1/changes.csv?place=country",
    "/v1/warnings?within_days=3650&as_of=2016-08-01", "/v1/warnings.csv?within_days=3650&as_of=2016-08-01",
    "/v1/situations/oldtown?as_of=2016-07-20", "/v1/situations.geojson?as_of=2016-07-20", "/v1/indicators?as_of=2016-07-20",
    "/v1/indicators.csv?known_at=2026-11-24T09:00:05Z", "/v1/reports?known_at=2026-11-24T09:00:05Z", "/v1/indicators?agreement=contested",
    "/v1/indicators?source=nurse", "/v1/reports.ndjson?source=agency&limit=1", "/v1/reports?updated_since=2026-11-24T09:00:03Z",
    "/v1/indicators?stale=true", "/v1/indicators?bbox=36,35,38,37", "/v1/reports?status=superseded", "/v1/alerts?limit=1",
    "/ogc/collections/indicators/items?bbox=36,35,38,37&limit=1", "/ogc/collections/routes/items?bbox=36,35,38,37",
    "/ogc/collections/indicators/items?datetime=../2016-07-20T00:00:00Z", "/openapi.json", "/docs", "/v1/nothing", "/v1/me?bad=1",
)  # fmt: skip
PAGES = ("/", "/?as_of=2016-07-20&lang=fr", "/places/oldtown", "/embed/oldtown", "/sign-in")


@dataclass
class Clock:
    """A clock and a maker of identifiers with one sequence for what is visible and another for what is hidden."""

    hidden: bool = False
    counts: dict[bool, Iterator[int]] = field(default_factory=lambda: {False: itertools.count(1), True: itertools.count(1)})
    ticks: int = 0

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 9, tzinfo=UTC) + timedelta(seconds=self.ticks)

    def uuid7(self) -> UUID:
        number = next(self.counts[self.hidden])
        millis = int(self.now().timestamp() * 1000)
        return UUID(int=millis << 80 | 0x7 << 76 | 0b10 << 62 | self.hidden << 40 | number)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (access_service, reference_service, reports_service, reports_labels, webhooks_service):
        monkeypatch.setattr(module, "uuid7", clock.uuid7)
    monkeypatch.setattr("app.webhooks.dispatcher.acquire_lease", partial(leases.acquire_lease, new_id=clock.uuid7))
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
    async with run_receiver() as made:
        yield made


KINDS = st.sampled_from(["trapped_population", "supply_runout", "route_closure"])
SOURCES = st.sampled_from(["agency", "envoy", "monitor", "army", "nurse"])


@st.composite
def statements(draw: st.DrawFn, labels: tuple[Label, ...]) -> dict[str, Any]:
    """A report of one of these labels."""
    kind = draw(KINDS)
    value = {
        "trapped_population": {"people": draw(st.integers(0, 9)), "concept": draw(st.sampled_from(["trapped", "besieged"]))},
        "supply_runout": {"supply": draw(st.sampled_from(["food", "water"])), "in_days_min": 1, "in_days_max": draw(st.integers(1, 9))},
        "route_closure": {
            "status": draw(st.sampled_from(["open", "closed"])),
            "route": draw(st.sampled_from(["north-road", "south-road"])),
        },
    }[kind]
    return report(
        kind,
        value=value,
        source=draw(SOURCES),
        place=draw(st.sampled_from(["oldtown", "country"])),
        stated_at=f"2016-07-{draw(st.integers(1, 28)):02}",
        sensitivity=draw(st.sampled_from(labels)).value,
        provenance={"via": draw(st.sampled_from([[], ["nurse"]])), "credibility": draw(st.integers(1, 6))},
    )


AMENDMENTS = st.sampled_from(["none", "none", "correct", "retract", "raise", "outcome"])
VISIBLE_STEPS = st.tuples(st.just(False), statements((Label.CLEAR, VISIBLE)), AMENDMENTS)
# What is hidden may also amend what is visible, under a hidden label; and be corrected by what is visible, which then looks plain.
HIDDEN_AMENDMENTS = st.sampled_from(["none", "correct", "retract", "raise", "outcome", "over", "below"])
HIDDEN_STEPS = st.tuples(st.just(True), statements(HIDDEN), HIDDEN_AMENDMENTS)


class Service:
    """One service with its own database, told what each step says."""

    def __init__(self, app: FastAPI, writer: str, hider: str, watcher: str, other: str) -> None:
        self.transport = httpx.ASGITransport(app)
        self.document = app.openapi()
        self.writer, self.hider, self.watcher, self.other = (self.client(key) for key in (writer, hider, watcher, other))
        # What the writer below the clearance is answered.
        self.told: list[tuple[Any, ...]] = []
        self.public = self.client(None)
        # Reports with their indicators: those that were said openly, and those of the ledger with what is hidden.
        self.ids: list[tuple[str, str]] = []
        self.hidden: list[tuple[str, str]] = []
        self.webhook = NOWHERE

    def client(self, key: str | None) -> httpx.AsyncClient:
        # The same name for each request, which is made up and answered otherwise.
        headers = {"X-Request-ID": "the-same"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        return httpx.AsyncClient(transport=self.transport, base_url="http://lifeline.test", headers=headers)

    async def say(self, hidden: bool, body: dict[str, Any], amendment: str) -> None:
        writer = self.hider if hidden else self.writer
        made = await self.post(writer, "/v1/reports", body)
        assert made.status_code in (200, 201), made.text
        id_, indicator = made.json()["id"], made.json()["indicator"]
        known = id_ in dict(self.ids)
        if not known:
            (self.hidden if hidden else self.ids).append((id_, indicator))
        path, sent = f"/v1/reports/{id_}", body | {"reason": "misread", "stated_at": "2016-07-29"}
        if hidden and known and amendment in ("retract", "raise", "correct"):
            # It was said under a visible label before: amending that would not be hidden.
            amendment = "over"
        if amendment == "over" and self.ids:
            path = f"/v1/reports/{self.ids[-1][0]}"
        if amendment in ("correct", "over"):
            await self.post(writer, f"{path}/correction", sent)
        elif amendment == "retract":
            await self.post(writer, f"{path}/retraction", {"reason": "withdrawn"})
        elif amendment == "raise":
            await self.post(writer, f"{path}/label", {"sensitivity": "red", "reason": "names"})
        elif amendment == "outcome" and not (hidden and known):
            told = {"outcome": "averted", "reason": "a convoy", "report": id_}
            await self.post(writer, f"/v1/indicators/{indicator}/outcome", told)

    async def say_below(self, body: dict[str, Any], number: int, *, plainly: bool) -> None:
        """Tell openly, and of another place, what corrects the last hidden report: `plainly` where that was never said."""
        place = "country" if body["place"] == "oldtown" else "oldtown"
        sent = body | {"place": place, "sensitivity": "clear", "provenance": {"title": f"step {number}"}}
        if plainly:
            made = await self.post(self.hider, "/v1/reports", sent)
        else:
            made = await self.post(self.hider, f"/v1/reports/{self.hidden[-1][0]}/correction", sent | {"reason": "may be told"})
        assert made.status_code == 201, made.text
        self.ids.append((made.json()["id"], made.json()["indicator"]))

    async def notify(self, receiver: Receiver) -> None:
        """Have all that the watcher may see posted to him, and keep what came."""
        receiver.requests.clear()
        made = await self.watcher.post("/v1/webhooks", json={"url": receiver.url, "after": "beginning"})
        assert made.status_code == 201, made.text
        self.webhook = made.json()["id"]
        await receiver.wait_for_requests(len((await self.watcher.get("/v1/changes?limit=1000")).json()["items"]))

        async def all_written_down() -> bool:
            return not (await self.watcher.get(f"/v1/webhooks/{self.webhook}/deliveries?status=pending")).json()["items"]

        await until(all_written_down)
        self.told += [("a delivery", each.id, each.body) for each in receiver.requests]

    async def post(self, writer: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
        answer = await writer.post(path, json=body)
        if writer is self.writer:
            self.told.append((path, answer.status_code, sorted(answer.headers.multi_items()), answer.content))
        return answer

    def documented(self) -> Iterator[str]:
        """Every GET of the OpenAPI document, with all that its path can name, in every format that it comes in."""
        for path, operations in self.document["paths"].items():
            if "get" not in operations or path in APART:
                continue
            parameters = {each["name"]: each["schema"] for each in operations["get"].get("parameters", [])}
            # The first is what comes without asking.
            formats = parameters.get("format", {}).get("enum", [])[1:]
            for filled in self.filled(path):
                yield from (filled, *(f"{filled}?format={each}" for each in formats))

    def filled(self, path: str) -> list[str]:
        """The path with each of the records that it can name: some that are there, and one that is hidden, or nowhere where nothing is."""
        names = re.findall(r"{(\w+)}", path)
        reports, indicators = (dict.fromkeys(each) for each in zip(*self.ids[-2:], *self.hidden[-1:], strict=True))
        # A route that no line here knows fails the test: say what its path can name.
        values: dict[str, Iterable[str]] = {
            "/v1/reports": reports, "/v1/alerts": reports, "/v1/indicators": indicators, "/v1/situations": ("oldtown", "country"),
            "/v1/places": ("oldtown",), "/v1/sources": ("nurse", "agency"), "/v1/routes": ("north-road",),
            "/v1/webhooks": (self.webhook, NOWHERE), "/v1/keys": (NOWHERE,),
        }  # fmt: skip
        if path.startswith("/ogc/"):
            collections = ("indicators",) if "feature" in names else ("places", "routes", "indicators")
            named: dict[str, Iterable[str]] = {"collection": collections, "feature": indicators}
        else:
            named = dict.fromkeys(names, values["/".join(path.split("/")[:3])]) if names else {}
        every = itertools.product(*(named[name] for name in names))
        return [path.format(**dict(zip(names, each, strict=True))) for each in every]

    async def seen(self, *, other_first: bool) -> list[tuple[Any, ...]]:
        """Everything that the watcher and the public get, and what heads say then; a reader of another clearance may ask before them."""
        found = list(self.told)
        documented = list(self.documented())
        # Neither formats nor filters are others to those without a key.
        plain = [*(each for each in documented if "?format=" not in each), *PAGES]
        asked = [("GET", path, self.watcher) for path in (*documented, *FILTERED, *PAGES)]
        asked += [("GET", path, self.public) for path in plain]
        asked += [("HEAD", path, self.watcher) for path in (*plain, *FILTERED)]
        for method, path, reader in asked:
            if other_first and reader is self.watcher and method == "GET":
                await self.other.get(path)
            answer = await reader.request(method, path)
            assert answer.status_code < 500, (path, answer.text)
            found.append((method, path, answer.status_code, sorted(answer.headers.multi_items()), answer.content))
        # Beside how many ask, and how the process is, which is said of nobody's statements.
        metrics = (await self.public.get("/metrics")).text
        found.append(("/metrics", re.findall(r"^lifeline_(?!response_cache_hits).*", metrics, re.MULTILINE)))
        found.append(await self.streamed())
        return found

    async def streamed(self) -> tuple[Any, ...]:
        """The stream from its beginning, as far as the changes go."""
        page = (await self.watcher.get("/v1/changes?limit=1000")).json()
        key = self.watcher.headers["authorization"].encode()
        events = bytearray()
        enough = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            events.extend(message.get("body", b""))
            if events.count(b"event: ") > len(page["items"]):
                enough.set()

        scope = {
            "type": "http", "method": "GET", "path": "/v1/stream", "raw_path": b"/v1/stream", "root_path": "", "scheme": "http",
            "query_string": b"after=" + CHANGE_CURSORS[WATCHED].encode(0, 0).encode(), "client": ("127.0.0.1", 1),
            "server": ("lifeline.test", 80), "http_version": "1.1", "headers": [(b"host", b"lifeline.test"), (b"authorization", key)],
            "asgi": {"version": "3.0"}, "state": {},
        }  # fmt: skip
        async with asyncio.timeout(10):
            await self.transport.app(scope, receive, send)
        return "/v1/stream", bytes(events)


async def run(
    app: FastAPI,
    url: str,
    steps: list[Any],
    clock: Clock,
    keys: tuple[str, ...],
    hidden: list[tuple[str, str]] | None,
    receiver: Receiver,
) -> tuple[list[Any], list[tuple[str, str]]]:
    """What is seen after the steps, and what was hidden. Given what is hidden elsewhere, it asks for that, and the steps are left out."""
    app.state.settings = Settings(
        database_url=url, database_pool_size=3, rate_limit=None, rate_limit_anonymous=None, access_log=False, webhook_allow_private=True
    )
    clock.counts, clock.ticks, clock.hidden = {False: itertools.count(1), True: itertools.count(1)}, 0, False
    async with LifespanManager(app):
        service = Service(app, *keys)
        for number, (is_hidden, said, amendment) in enumerate(steps):
            # Said under a visible label before, it would not be hidden.
            body = said | {"provenance": {"title": f"hidden {number}"}} if amendment == "below" else said
            clock.hidden = is_hidden
            if not is_hidden:
                clock.ticks += 1
            if hidden is None or not is_hidden:
                await service.say(is_hidden, body, amendment)
            clock.hidden = False
            if amendment == "below":
                clock.ticks += 1
                await service.say_below(said, number, plainly=hidden is not None)
        if hidden is not None:
            service.hidden = hidden
        await service.notify(receiver)
        # Where nothing is hidden, the other sees what the watcher sees.
        return await service.seen(other_first=hidden is None), service.hidden


async def test_what_is_above_a_clearance_changes_no_byte_below_it(
    new_database: Callable[[], str], engine: str, clock: Clock, built_app: FastAPI, receiver: Receiver
) -> None:
    template = new_database()
    await _seed(template)
    keys = (
        await new_key(template, clearance=LABELS[WATCHED], organisation="visible"),
        await new_key(template, clearance=Label.RED, organisation="hidden"),
        await new_key(template, access_service.Scope.READ, clearance=LABELS[WATCHED]),
        await new_key(template, access_service.Scope.READ, clearance=Label.RED),
    )
    loop = asyncio.get_running_loop()

    # However few are tried, one of them has this.
    corrected_below = [(True, report(sensitivity="amber", source="nurse", value={"people": 3}), "below")]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=PHASES, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(VISIBLE_STEPS, min_size=2, max_size=5), st.lists(HIDDEN_STEPS, min_size=2, max_size=5), st.randoms(use_true_random=False)
    )
    def alike(visible: list[Any], hidden: list[Any], chance: random.Random) -> None:
        steps = [*visible, *hidden, *corrected_below]
        chance.shuffle(steps)

        async def both() -> tuple[list[Any], list[Any]]:
            one, other = [await _copy(template, engine) for _ in range(2)]
            with_hidden, secret = await run(built_app, one, steps, clock, keys, None, receiver)
            without, _ = await run(built_app, other, steps, clock, keys, secret, receiver)
            return without, with_hidden

        without, with_hidden = asyncio.run_coroutine_threadsafe(both(), loop).result()
        assert len(without) == len(with_hidden)
        for one, other in zip(without, with_hidden, strict=True):
            assert one == other

    await asyncio.to_thread(alike)


def test_no_address_of_the_board_is_left_out(built_app: FastAPI) -> None:
    """The OpenAPI document does not have them."""
    asked = {re.sub(r"oldtown", "{slug}", path.partition("?")[0]) for path in PAGES}
    shown = {
        each.path for each in board.routes if isinstance(each, APIRoute) and "GET" in each.methods and not each.path.startswith("/assets/")
    }
    assert asked == shown


async def _seed(url: str) -> None:
    await seed(url)
    database = Database(Settings(database_url=url))
    try:
        async with database.write() as session:
            nurse = {"slug": "nurse", "name": "A nurse", "type": "witness", "alias": "A health worker", "organisation": "visible"}
            await add_source(session, SourceIn.model_validate(nurse))
    finally:
        await database.close()


_made = itertools.count()


async def _copy(template: str, engine: str) -> str:
    if engine == "sqlite":
        path = Path(template.removeprefix("sqlite:///"))
        copy = path.with_name(f"copy{next(_made)}.db")
        await asyncio.to_thread(shutil.copy, path, copy)
        return f"sqlite:///{copy}"
    url = make_url(template)
    name = f"copy{next(_made)}_{url.database}"
    connection = await asyncpg.connect(url.set(database="postgres").render_as_string(hide_password=False))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {url.database}")
    finally:
        await connection.close()
    return url.set(database=name).render_as_string(hide_password=False)
