"""Large answers: let through as they come, in memory that does not grow, one moment for all of it."""

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
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeKey
from tests.support.servers import execute_sql

LONG = "word " * 400

Seen = Callable[[dict[str, Any]], Awaitable[None]]


async def ask(app: Application, path: str, query: str, seen: Seen, **headers: str) -> None:
    """A GET straight to the application, whose messages are seen one by one; a client library would gather them."""
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
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "server": ("lifeline.test", 80),
        "client": ("127.0.0.1", 1),
    }
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            # Nothing more comes from this client.
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, seen)  # type: ignore[arg-type]


def into(messages: list[dict[str, Any]]) -> Seen:
    """Keeps the messages."""

    async def seen(message: dict[str, Any]) -> None:
        messages.append(message)

    return seen


async def clone(database: Database, first: int, last: int) -> None:
    """Many reports beside the one that there is, numbered from `first` to before `last`, put in by hand."""
    reports, changes = table_of(Report), table_of(LedgerEntry)
    async with database.write() as session:
        connection = await session.connection()
        row = dict((await connection.execute(select(*reports.c).order_by(reports.c.global_seq).limit(1))).mappings().one())
        rows = [row | {"global_seq": at, "id": UUID(int=row["id"].int + (at << 64))} for at in range(first, last)]
        for start in range(0, len(rows), 500):
            await connection.execute(insert(reports), rows[start : start + 500])
        change = {
            "global_seq": last,
            "type": "grade",
            "level": 0,
            "redacted_below": 0,
            "recorded_at": row["recorded_at"],
            "recorded_by": "test",
        }
        await connection.execute(insert(changes), [change])


@pytest.fixture
async def key(client: httpx.AsyncClient, reference: Reference, make_key: MakeKey) -> str:
    """The key of a reader of a ledger with one report, a long one."""
    assert (await client.post("/v1/reports", json=report(provenance={"quote": LONG}))).status_code == 201
    return await make_key(clearance=Label.RED)


@pytest.mark.parametrize("coding", ["", "gzip", "zstd"])
async def test_what_grows_too_large_comes_in_pieces(
    app: Application, database: Database, key: str, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", 20_000)
    await clone(database, 2, 201)
    messages: list[dict[str, Any]] = []
    bearer = {"authorization": f"Bearer {key}"}
    await ask(app, "/v1/reports.ndjson", "", into(messages), accept_encoding=coding, **bearer)
    start, *parts = messages
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert b"etag" not in headers
    assert b"content-length" not in headers
    assert headers.get(b"content-encoding", b"") == coding.encode()
    assert [each["more_body"] for each in parts] == [True] * (len(parts) - 1) + [False]
    body = b"".join(each["body"] for each in parts)
    plain = gzip.decompress(body) if coding == "gzip" else zstandard.ZstdDecompressor().decompressobj().decompress(body) if coding else body
    assert len({json.loads(line)["id"] for line in plain.splitlines()}) == 200
    messages.clear()
    await ask(app, "/v1/reports.ndjson", "", into(messages), method="HEAD", accept_encoding=coding, **bearer)
    assert [each.get("body", b"") for each in messages] == [b"", b""]
    assert messages[0]["status"] == 200
    small: list[dict[str, Any]] = []

    async def kept(message: dict[str, Any]) -> None:
        small.append(message)

    await ask(app, "/v1/reports.ndjson", "limit=2", kept, accept_encoding=coding, **bearer)
    assert b"etag" in dict(small[0]["headers"])


async def test_memory_does_not_grow_with_the_rows(app: Application, database: Database, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", 20_000)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 50)
    peaks: list[int] = []
    sizes: list[int] = []
    for first, last in ((2, 150), (150, 600)):
        await clone(database, first, last)
        size = 0

        async def seen(message: dict[str, Any]) -> None:
            nonlocal size
            size += len(message.get("body", b""))

        tracemalloc.start()
        await ask(app, "/v1/reports.ndjson", "", seen, authorization=f"Bearer {key}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(size)
    assert sizes[1] - sizes[0] > 1_000_000
    assert peaks[1] - peaks[0] < 500_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: CsvRenderer("reports", REPORTS),
        lambda: GeoJsonRenderer("reports", REPORTS, as_of=None, revision=1),
        lambda: XlsxRenderer("reports", REPORTS),
    ],
)
def test_a_renderer_keeps_nothing_of_what_it_rendered(make: Callable[[], Renderer]) -> None:
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
    # Two hundred records more, of more than 2,000 bytes each.
    assert peaks[1] - peaks[0] < 100_000


@pytest.fixture(params=[0, 1_000_000])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes of an answer that are held back, where pages are of two rows."""
    most: int = request.param
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", most)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 2)
    return most


async def test_an_export_that_breaks_off_is_not_taken_for_whole(
    app: Application, database: Database, key: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held back it is a problem like every other; once bytes are out, the last piece never comes."""
    await clone(database, 2, 6)
    messages: list[dict[str, Any]] = []

    async def gone(*_: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(streaming.asyncio, "to_thread", gone)
    with pytest.raises(RuntimeError):
        await ask(app, "/v1/reports.csv", "", into(messages), authorization=f"Bearer {key}")
    if held:
        assert messages[0]["status"] == 500
        assert dict(messages[0]["headers"])[b"content-type"] == b"application/problem+json"
        assert json.loads(messages[1]["body"])["status"] == 500
    else:
        assert [each.get("more_body") for each in messages] == [None, True][: len(messages)]


async def test_an_export_breaks_off_when_its_key_is_revoked(
    app: Application, database: Database, key: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the next page is read: nothing of it leaves, and what has left does not look whole. Held back it is a 401."""
    await clone(database, 2, 7)
    messages: list[dict[str, Any]] = []
    render = NdjsonRenderer.page
    revoked: list[str] = []

    def revoke_after(self: NdjsonRenderer, documents: Sequence[str], spots: Sequence[RowGeometry]) -> bytes:
        if not revoked:
            revoked.append(key)
            execute_sql(app.state.settings.database_url, "UPDATE api_key SET revoked_at = CURRENT_TIMESTAMP")
        return render(self, documents, spots)

    monkeypatch.setattr(NdjsonRenderer, "page", revoke_after)
    await ask(app, "/v1/reports.ndjson", "", into(messages), authorization=f"Bearer {key}")
    body = b"".join(each.get("body", b"") for each in messages)
    if held:
        assert messages[0]["status"] == 401
        assert json.loads(body)["type"] == "urn:lifeline:problem:key"
    else:
        assert len(body.splitlines()) == 2, "the page that was read before, and no other"
        assert all(each["more_body"] for each in messages[1:]), "the last piece never comes"


async def test_what_is_recorded_meanwhile_is_not_in_it(
    app: Application, client: httpx.AsyncClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports, and the marks on them, as they stood when the export began; the next one has the rest."""
    monkeypatch.setattr(response_buffer, "MAX_BUFFERED_BYTES", 0)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 2)
    ids = [(await client.post("/v1/reports", json=report(source=source))).json()["id"] for source in ("envoy", "monitor", "army")]
    body = b""
    added = ""

    async def seen(message: dict[str, Any]) -> None:
        nonlocal body, added
        body += message.get("body", b"")
        if body and not added:
            added = (await client.post("/v1/reports", json=report(source="rebels"))).json()["id"]
            assert (await client.post(f"/v1/reports/{ids[-1]}/retraction", json={"reason": "wrong"})).status_code == 201

    await ask(app, "/v1/reports.ndjson", "", seen, authorization=f"Bearer {key}")
    rows = [json.loads(line) for line in body.splitlines()]
    assert [each["id"] for each in rows][1:] == ids
    assert {each["status"] for each in rows} == {"standing"}
    later = [json.loads(line) for line in (await client.get("/v1/reports.ndjson")).content.splitlines()]
    assert [each["id"] for each in later][1:] == [*ids, added]
    assert later[3]["status"] == "retracted"
