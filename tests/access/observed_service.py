"""A service that executes steps and is then read completely, with predictable identifiers and times; for the test of non-interference."""

import asyncio
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from hypothesis import strategies as st

from app.changes.queries import CHANGE_CURSORS
from app.domain.tlp import Label
from tests.support.factories import report
from tests.webhooks.conftest import Receiver, until

WATCHED = Label.GREEN
VISIBLE, HIDDEN = Label.GREEN, (Label.AMBER, Label.AMBER_STRICT, Label.RED)

UNKNOWN = "00000000-0000-7000-8000-000000000000"
# Read separately: the stream does not end, and the metrics count the requests themselves.
READ_SEPARATELY = ("/v1/stream", "/metrics")
# Lists with filters, times and pages; errors; and the pages of the board, also in another language and at another time.
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
    """A clock and a source of identifiers, with one sequence for visible records and another for hidden ones."""

    hidden: bool = False
    counts: dict[bool, Iterator[int]] = field(default_factory=lambda: {False: itertools.count(1), True: itertools.count(1)})
    ticks: int = 0

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 9, tzinfo=UTC) + timedelta(seconds=self.ticks)

    def urandom(self, count: int) -> bytes:
        return (self.hidden << 40 | next(self.counts[self.hidden])).to_bytes(count, "big")


KINDS = st.sampled_from(["trapped_population", "supply_runout", "route_closure"])
SOURCES = st.sampled_from(["agency", "envoy", "monitor", "army", "nurse"])


@st.composite
def statements(draw: st.DrawFn, labels: tuple[Label, ...]) -> dict[str, Any]:
    """Draw a report with one of the labels."""
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
# "over" corrects a visible report under a hidden label; "below" is corrected by a visible report, which must look like a new one.
HIDDEN_AMENDMENTS = st.sampled_from(["none", "correct", "retract", "raise", "outcome", "over", "below"])
HIDDEN_STEPS = st.tuples(st.just(True), statements(HIDDEN), HIDDEN_AMENDMENTS)


class ObservedService:
    """One service with its own database. The watcher is cleared for WATCHED; the hider writes what the watcher must not see."""

    def __init__(self, app: FastAPI, writer: str, hider: str, watcher: str, other: str) -> None:
        self.transport = httpx.ASGITransport(app)
        self.document = app.openapi()
        self.writer, self.hider, self.watcher, self.other = (self.client(key) for key in (writer, hider, watcher, other))
        self.public = self.client(None)
        # Responses to the writer, who is cleared like the watcher, and deliveries to the watcher's webhook.
        self.responses: list[tuple[Any, ...]] = []
        # Reports with their indicators: the visible ones, and the hidden ones of the service that has them.
        self.visible: list[tuple[str, str]] = []
        self.hidden: list[tuple[str, str]] = []
        self.webhook = UNKNOWN

    def client(self, key: str | None) -> httpx.AsyncClient:
        # The same identifier for each request, because responses repeat it.
        headers = {"X-Request-ID": "the-same"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        return httpx.AsyncClient(transport=self.transport, base_url="http://lifeline.test", headers=headers)

    async def step(self, hidden: bool, body: dict[str, Any], amendment: str) -> None:
        """Post a report and amend it."""
        writer = self.hider if hidden else self.writer
        answer = await self.post(writer, "/v1/reports", body)
        assert answer.status_code in (200, 201), answer.text
        id_, indicator = answer.json()["id"], answer.json()["indicator"]
        is_visible = id_ in dict(self.visible)
        if not is_visible:
            (self.hidden if hidden else self.visible).append((id_, indicator))
        path, correction = f"/v1/reports/{id_}", body | {"reason": "misread", "stated_at": "2016-07-29"}
        if hidden and is_visible and amendment in ("retract", "raise", "correct"):
            # The statement was already posted under a visible label: amending it would be visible.
            amendment = "over"
        if amendment == "over" and self.visible:
            path = f"/v1/reports/{self.visible[-1][0]}"
        if amendment in ("correct", "over"):
            await self.post(writer, f"{path}/correction", correction)
        elif amendment == "retract":
            await self.post(writer, f"{path}/retraction", {"reason": "withdrawn"})
        elif amendment == "raise":
            await self.post(writer, f"{path}/label", {"sensitivity": "red", "reason": "names"})
        elif amendment == "outcome" and not (hidden and is_visible):
            outcome = {"outcome": "averted", "reason": "a convoy", "report": id_}
            await self.post(writer, f"/v1/indicators/{indicator}/outcome", outcome)

    async def correct_below(self, body: dict[str, Any], number: int, *, as_report: bool) -> None:
        """Correct the last hidden report by a visible one at another place; `as_report` without the hidden one, as a new report."""
        place = "country" if body["place"] == "oldtown" else "oldtown"
        visible = body | {"place": place, "sensitivity": "clear", "provenance": {"title": f"step {number}"}}
        if as_report:
            answer = await self.post(self.hider, "/v1/reports", visible)
        else:
            answer = await self.post(self.hider, f"/v1/reports/{self.hidden[-1][0]}/correction", visible | {"reason": "public now"})
        assert answer.status_code == 201, answer.text
        self.visible.append((answer.json()["id"], answer.json()["indicator"]))

    async def deliver(self, receiver: Receiver) -> None:
        """Deliver every change that the watcher may see to the watcher's webhook, and keep the deliveries."""
        receiver.requests.clear()
        answer = await self.watcher.post("/v1/webhooks", json={"url": receiver.url, "after": "beginning"})
        assert answer.status_code == 201, answer.text
        self.webhook = answer.json()["id"]
        await receiver.wait_for_requests(len((await self.watcher.get("/v1/changes?limit=1000")).json()["items"]))

        async def all_recorded() -> bool:
            return not (await self.watcher.get(f"/v1/webhooks/{self.webhook}/deliveries?status=pending")).json()["items"]

        await until(all_recorded)
        self.responses += [("a delivery", each.id, each.body) for each in receiver.requests]

    async def post(self, writer: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
        answer = await writer.post(path, json=body)
        if writer is self.writer:
            self.responses.append((path, answer.status_code, sorted(answer.headers.multi_items()), answer.content))
        return answer

    def documented(self) -> Iterator[str]:
        """Yield every GET operation of the OpenAPI document with every record that its path can name, in every format."""
        for path, operations in self.document["paths"].items():
            if "get" not in operations or path in READ_SEPARATELY:
                continue
            parameters = {each["name"]: each["schema"] for each in operations["get"].get("parameters", [])}
            # The first is the default.
            formats = parameters.get("format", {}).get("enum", [])[1:]
            for filled in self.filled(path):
                yield from (filled, *(f"{filled}?format={each}" for each in formats))

    def filled(self, path: str) -> list[str]:
        """Fill a path with records: some visible ones, and a hidden one, which is unknown to the service without hidden reports."""
        names = re.findall(r"{(\w+)}", path)
        reports, indicators = (dict.fromkeys(each) for each in zip(*self.visible[-2:], *self.hidden[-1:], strict=True))
        # A new path fails here: add what it can name.
        values: dict[str, Iterable[str]] = {
            "/v1/reports": reports, "/v1/alerts": reports, "/v1/indicators": indicators, "/v1/situations": ("oldtown", "country"),
            "/v1/places": ("oldtown",), "/v1/sources": ("nurse", "agency"), "/v1/routes": ("north-road",),
            "/v1/webhooks": (self.webhook, UNKNOWN), "/v1/keys": (UNKNOWN,),
        }  # fmt: skip
        if path.startswith("/ogc/"):
            collections = ("indicators",) if "feature" in names else ("places", "routes", "indicators")
            named: dict[str, Iterable[str]] = {"collection": collections, "feature": indicators}
        else:
            named = dict.fromkeys(names, values["/".join(path.split("/")[:3])]) if names else {}
        every = itertools.product(*(named[name] for name in names))
        return [path.format(**dict(zip(names, each, strict=True))) for each in every]

    async def observe(self, *, other_first: bool) -> list[tuple[Any, ...]]:
        """Return every response to the watcher and to anonymous clients; a reader of another clearance may request each before."""
        found = list(self.responses)
        documented = list(self.documented())
        # Formats and filters do not depend on the clearance, so anonymous clients request neither.
        plain = [*(each for each in documented if "?format=" not in each), *PAGES]
        requests = [("GET", path, self.watcher) for path in (*documented, *FILTERED, *PAGES)]
        requests += [("GET", path, self.public) for path in plain]
        requests += [("HEAD", path, self.watcher) for path in (*plain, *FILTERED)]
        for method, path, reader in requests:
            if other_first and reader is self.watcher and method == "GET":
                await self.other.get(path)
            answer = await reader.request(method, path)
            assert answer.status_code < 500, (path, answer.text)
            found.append((method, path, answer.status_code, sorted(answer.headers.multi_items()), answer.content))
        # Without the metrics of requests and of the process, which reveal no report.
        metrics = (await self.public.get("/metrics")).text
        found.append(("/metrics", re.findall(r"^lifeline_(?!response_cache_hits).*", metrics, re.MULTILINE)))
        found.append(await self.stream())
        return found

    async def stream(self) -> tuple[Any, ...]:
        """Return the stream from its beginning to the last change."""
        page = (await self.watcher.get("/v1/changes?limit=1000")).json()
        key = self.watcher.headers["authorization"].encode()
        events = bytearray()
        complete = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await complete.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            events.extend(message.get("body", b""))
            if events.count(b"event: ") > len(page["items"]):
                complete.set()

        scope = {
            "type": "http", "method": "GET", "path": "/v1/stream", "raw_path": b"/v1/stream", "root_path": "", "scheme": "http",
            "query_string": b"after=" + CHANGE_CURSORS[WATCHED.level].encode(0, 0).encode(), "client": ("127.0.0.1", 1),
            "server": ("lifeline.test", 80), "http_version": "1.1", "headers": [(b"host", b"lifeline.test"), (b"authorization", key)],
            "asgi": {"version": "3.0"}, "state": {},
        }  # fmt: skip
        async with asyncio.timeout(10):
            await self.transport.app(scope, receive, send)
        return "/v1/stream", bytes(events)
