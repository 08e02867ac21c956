"""Large lists: streamed in constant memory, as of one state, and visibly incomplete when they are cut off."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest
import zstandard
from sqlalchemy import insert, select

from app.domain.tlp import Label
from app.exchange.exports import streaming
from app.exchange.exports.geojson import GeoJsonRenderer
from app.exchange.exports.hxl_csv import CsvRenderer
from app.exchange.exports.rendering import NdjsonRenderer, Renderer, RowGeometry
from app.exchange.exports.tables import REPORTS
from app.exchange.exports.xlsx import XlsxRenderer
from app.http import response_buffer
from app.ledger.models import LedgerEntry
from app.main import Application
from app.reports.models import Report
from app.storage.database import Database
from app.storage.types import table_of
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeKey, mostly_sqlite
from tests.support.servers import execute_sql

LONG = "word " * 400

OnMessage = Callable[[dict[str, Any]], Awaitable[None]]


async def send_get(app: Application, path: str, query: str, on_message: OnMessage, **headers: str) -> None:
    """Send a GET to the application and receive its messages one by one, which a client library would join."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": headers.pop("method", "GET"),
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"lifeline.test"), *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())],
        "server": ("lifeline.test", 80),
        "client": ("127.0.0.1", 1),
    }
    received = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            # The client stays connected and sends nothing more.
            await asyncio.Event().wait()
        received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, on_message)  # type: ignore[arg-type]


def append_to(messages: list[dict[str, Any]]) -> OnMessage:
    async def on_message(message: dict[str, Any]) -> None:
        messages.append(message)

    return on_message


async def clone(database: Database, first: int, last: int) -> None:
    """Copy the first report by SQL; the copies have the numbers from `first` to before `last` after the reference data."""
    reports, changes = table_of(Report), table_of(LedgerEntry)
    async with database.write() as session:
        connection = await session.connection()
        row = dict((await connection.execute(select(*reports.c).order_by(reports.c.global_seq).limit(1))).mappings().one())
        rows = [row | {"global_seq": at, "id": UUID(int=row["id"].int + (at << 64))} for at in range(SEEDED + first, SEEDED + last)]
        for start in range(0, len(rows), 500):
            await connection.execute(insert(reports), rows[start : start + 500])
        change = {
            "global_seq": SEEDED + last,
            "type": "grade",
            "level": 0,
            "redacted_below": 0,
            "salt": "0" * 32,
            "recorded_at": row["recorded_at"],
            "recorded_by": "test",
            "actor_hash": b"0" * 32,
        }
        await connection.execute(insert(changes), [change])


@pytest.fixture
async def key(client: httpx.AsyncClient, reference: Reference, make_key: MakeKey) -> str:
    """Return a key for a ledger with one long report."""
    assert (await client.post("/v1/reports", json=report(provenance={"quote": LONG}))).status_code == 201
    return await make_key(clearance=Label.RED)


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
async def test_large_list_is_streamed_without_etag(
    app: Application, database: Database, key: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", 20_000)
    await clone(database, 2, 201)
    messages: list[dict[str, Any]] = []
    bearer = {"authorization": f"Bearer {key}"}
    await send_get(app, "/v1/reports.ndjson", "", append_to(messages), accept_encoding=encoding, **bearer)
    start, *parts = messages
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert b"etag" not in headers
    assert b"content-length" not in headers
    assert headers.get(b"content-encoding", b"") == encoding.encode()
    assert [each["more_body"] for each in parts] == [True] * (len(parts) - 1) + [False]
    body = b"".join(each["body"] for each in parts)
    plain = (
        gzip.decompress(body) if encoding == "gzip" else zstandard.ZstdDecompressor().decompressobj().decompress(body) if encoding else body
    )
    assert len({json.loads(line)["id"] for line in plain.splitlines()}) == 200
    messages.clear()
    await send_get(app, "/v1/reports.ndjson", "", append_to(messages), method="HEAD", accept_encoding=encoding, **bearer)
    assert [each.get("body", b"") for each in messages] == [b"", b""]
    assert messages[0]["status"] == 200
    small: list[dict[str, Any]] = []
    await send_get(app, "/v1/reports.ndjson", "limit=2", append_to(small), accept_encoding=encoding, **bearer)
    assert b"etag" in dict(small[0]["headers"])


async def test_streaming_memory_does_not_grow_with_the_rows(
    app: Application, database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", 20_000)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 50)
    peaks: list[int] = []
    sizes: list[int] = []
    for first, last in ((2, 150), (150, 600)):
        await clone(database, first, last)
        size = 0

        async def on_message(message: dict[str, Any]) -> None:
            nonlocal size
            size += len(message.get("body", b""))

        tracemalloc.start()
        await send_get(app, "/v1/reports.ndjson", "", on_message, authorization=f"Bearer {key}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(size)
    assert sizes[1] - sizes[0] > 1_000_000
    assert peaks[1] - peaks[0] < 500_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: CsvRenderer("reports", REPORTS),
        lambda: GeoJsonRenderer("reports", REPORTS, None, 1),
        lambda: XlsxRenderer("reports", REPORTS),
    ],
)
def test_renderer_memory_does_not_grow_with_the_pages(make: Callable[[], Renderer]) -> None:
    document = json.dumps(report(id="1", provenance={"quote": LONG}))
    peaks = []
    for pages in (5, 15):
        renderer = make()
        tracemalloc.start()
        renderer.begin()
        for _ in range(pages):
            renderer.page([document] * 20, [RowGeometry(None)] * 20)
        for _ in renderer.end():
            pass
        renderer.close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The second run has 200 more records of over 2,000 bytes each.
    assert peaks[1] - peaks[0] < 100_000


@pytest.fixture(params=[0, 1_000_000])
def buffered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Set how many bytes of a response are buffered, and pages of two rows."""
    most: int = request.param
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", most)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 2)
    return most


@mostly_sqlite
async def test_list_cut_off_by_an_error_is_not_complete(
    app: Application, database: Database, key: str, buffered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A buffered response becomes a 500; a streamed one never gets its last chunk."""
    await clone(database, 2, 6)
    messages: list[dict[str, Any]] = []

    async def gone(*_: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(streaming.asyncio, "to_thread", gone)
    with pytest.raises(RuntimeError):
        await send_get(app, "/v1/reports.csv", "", append_to(messages), authorization=f"Bearer {key}")
    if buffered:
        assert messages[0]["status"] == 500
        assert dict(messages[0]["headers"])[b"content-type"] == b"application/problem+json"
        assert json.loads(messages[1]["body"])["status"] == 500
    else:
        assert [each.get("more_body") for each in messages] == [None, True][: len(messages)]


@mostly_sqlite
async def test_list_is_cut_off_when_its_key_is_revoked(
    app: Application, database: Database, key: str, buffered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further page is sent, and the response never looks complete; a buffered one becomes a 401."""
    await clone(database, 2, 7)
    messages: list[dict[str, Any]] = []
    render = NdjsonRenderer.page
    revoked: list[str] = []

    def revoke_after(self: NdjsonRenderer, documents: Sequence[str], geometries: Sequence[RowGeometry]) -> bytes:
        if not revoked:
            revoked.append(key)
            execute_sql(app.state.settings.database_url, "UPDATE api_key SET revoked_at = CURRENT_TIMESTAMP")
        return render(self, documents, geometries)

    monkeypatch.setattr(NdjsonRenderer, "page", revoke_after)
    await send_get(app, "/v1/reports.ndjson", "", append_to(messages), authorization=f"Bearer {key}")
    body = b"".join(each.get("body", b"") for each in messages)
    if buffered:
        assert messages[0]["status"] == 401
        assert json.loads(body)["type"] == "urn:lifeline:problem:key"
    else:
        assert len(body.splitlines()) == 2, "only the page that was read before"
        assert all(each["more_body"] for each in messages[1:]), "the last chunk never comes"


async def test_list_leaves_out_what_is_recorded_while_it_streams(
    app: Application, client: httpx.AsyncClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports and their status are as of the first page; the next list has the rest."""
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", 0)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 2)
    ids = [(await client.post("/v1/reports", json=report(source=source))).json()["id"] for source in ("envoy", "monitor", "army")]
    body = b""
    added = ""

    async def on_message(message: dict[str, Any]) -> None:
        nonlocal body, added
        body += message.get("body", b"")
        if body and not added:
            added = (await client.post("/v1/reports", json=report(source="rebels"))).json()["id"]
            assert (await client.post(f"/v1/reports/{ids[-1]}/retraction", json={"reason": "wrong"})).status_code == 201

    await send_get(app, "/v1/reports.ndjson", "", on_message, authorization=f"Bearer {key}")
    rows = [json.loads(line) for line in body.splitlines()]
    assert [each["id"] for each in rows][1:] == ids
    assert {each["status"] for each in rows} == {"standing"}
    later = [json.loads(line) for line in (await client.get("/v1/reports.ndjson")).content.splitlines()]
    assert [each["id"] for each in later][1:] == [*ids, added]
    assert later[3]["status"] == "retracted"
