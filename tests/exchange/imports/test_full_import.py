"""A full export imported into an empty Lifeline gives the same assessments; an altered one is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.access.principal import Scope
from app.cli.exchange import author_for
from app.domain.tlp import Label
from app.exchange.exports.full_export import write_full_export
from app.exchange.imports.full_import import FullImport, is_full_export
from app.exchange.imports.results import ImportOut
from app.exchange.replication.apply import EntryApplier
from app.http.content_negotiation import Format
from app.ledger.hash_chain import GENESIS, canonical_json, chain_hash
from app.reference.models import SourceGrade
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.exchange.imports.files import NDJSON, send
from tests.exchange.replication.test_follower import pull, upstream
from tests.exchange.stored_state import stored_assessments, verification_problems
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, MakeKey, mostly_sqlite, sqlite_only
from tests.support.servers import client_for, new_key

Record = dict[str, Any]


async def import_file(path: Path, url: str, *, dry_run: bool = False) -> ImportOut:
    settings = Settings(database_url=url)
    async with Database(settings) as database:
        with path.open("rb") as file:
            assert is_full_export(file, Format.NDJSON)
            importer = FullImport(file, database, EntryApplier(author_for, settings), settings)
            checked = await importer.dry_run()
            return checked if dry_run or checked.problem_count else await importer.write()


async def export_to(path: Path, database: Database) -> list[Record]:
    """Write a full export, and return its records."""
    await write_full_export(database, path, Label.RED, lambda _: None)
    return read(path)


def read(path: Path) -> list[Record]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def chained(records: Sequence[Record]) -> bytes:
    """Return an export of these records with hashes that follow, as anyone can write one."""
    seq, hash_, lines = 0, GENESIS, []
    for record in records[1:]:
        line = record
        if record.get("record") == "change":
            seq += 1
            hash_ = chain_hash(
                hash_, canonical_json({name: each for name, each in record.items() if name not in ("record", "seq", "hash")})
            )
            line = {**record, "seq": seq, "hash": hash_}
        lines.append(line)
    return b"".join(orjson.dumps(each) + b"\n" for each in ({**records[0], "seq": seq, "hash": hash_}, *lines))


def relabelled(records: Sequence[Record], label: str) -> bytes:
    """Return the same export with every report under one label."""
    return chained([{**each, "report": {**each["report"], "sensitivity": label}} if each.get("report") else each for each in records])


async def test_full_import_gives_the_same_assessments(
    database: Database, database_url: str, filled: dict[str, Any], tmp_path: Path, new_empty_database: Callable[[], str]
) -> None:
    expected = await stored_assessments(database_url)
    assert len(expected) > 5
    path = tmp_path / "out.ndjson"
    await export_to(path, database)
    copy, untouched = new_empty_database(), new_empty_database()
    result = await import_file(path, copy)
    assert (result.problems, result.written) == ([], True)
    assert await stored_assessments(copy) == expected
    assert await verification_problems(copy) == []
    again = await import_file(path, copy)
    assert (again.added, again.existing) == ({}, sum(result.added.values()))
    assert await stored_assessments(copy) == expected
    checked = await import_file(path, untouched, dry_run=True)
    assert (checked.problems, checked.written, checked.added) == ([], False, result.added)
    assert await stored_assessments(untouched) == []


@sqlite_only
async def test_full_import_takes_what_was_observed_after_its_statement(
    client: httpx.AsyncClient,
    database: Database,
    reference: Reference,
    tmp_path: Path,
    new_empty_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the other Lifeline recorded it, perhaps with another zone for the place."""
    with monkeypatch.context() as lenient:
        lenient.setattr("app.reports.validation._late_observations", lambda *_: {})
        body = report(stated_at="2016-07-28", observed_to="2016-07-29")
        assert (await client.post("/v1/reports", json=body)).status_code == 201
    await export_to(tmp_path / "out.ndjson", database)
    result = await import_file(tmp_path / "out.ndjson", new_empty_database())
    assert (result.problems, result.added["report"]) == ([], 1)


async def test_full_import_does_not_reveal_records_above_clearance(
    client: httpx.AsyncClient,
    make_client: MakeClient,
    database: Database,
    reference: Reference,
    tmp_path: Path,
    new_database: Callable[[], str],
) -> None:
    """A service with the same records above the clearance answers like an empty one: to a dry run, a write and a repetition."""
    arrived = {"state": "resupplied", "in_days_min": None, "in_days_max": None}
    supply, wrong, old = [
        (await client.post("/v1/reports", json=body)).json()
        for body in (
            report("supply_runout", sensitivity="red"),
            report("supply_runout", arrived, stated_at="2016-07-30", sensitivity="red"),
            report(source="envoy", sensitivity="red"),
        )
    ]
    outcome = {"outcome": "averted", "reason": "a convoy", "report": wrong["id"]}
    for path, body in (
        (f"/v1/indicators/{supply['indicator']}/outcome", outcome),
        (f"/v1/reports/{wrong['id']}/retraction", {"reason": "not so"}),
        (f"/v1/reports/{old['id']}/correction", report(source="envoy", place="country", sensitivity="red", reason="there")),
    ):
        assert (await client.post(path, json=body)).status_code == 201, path
    file = tmp_path / "out.ndjson"
    records = await export_to(file, database)

    async def post(by: httpx.AsyncClient, content: bytes, **query: Any) -> tuple[int, Record]:
        response = await send(by, content, NDJSON, **query)
        return response.status_code, response.json()

    async def responses(by: httpx.AsyncClient) -> list[Any]:
        found: list[Any] = []
        for label in ("red", "clear"):
            content = relabelled(records, label)
            found += [await post(by, content), await post(by, content, dry_run=False), await post(by, content, dry_run=False)]
        listed = (await by.get("/v1/reports")).json()
        differing = ("id", "indicator", "links", "supersedes", "recorded_at")
        found += [{name: value for name, value in each.items() if name not in differing} for each in listed["items"]]
        return [*found, listed["revision"]]

    admin = await make_client(clearance=Label.GREEN, organisation="below")
    with_hidden = await responses(admin)
    empty = new_database()
    secret = await new_key(empty, clearance=Label.GREEN, organisation="below")
    async with client_for(Settings(database_url=empty, rate_limit=None, rate_limit_anonymous=None), secret) as elsewhere:
        without = await responses(elsewhere)
    assert with_hidden == without
    assert [each[0] for each in without[:6]] == [200, 422, 422, 200, 200, 200]
    assert (without[4][1]["created"], without[5][1]["created"]) == (6, 0)
    # Grades are public, but not the real slugs of protected sources.
    await reference.add("sources", slug="nurse", name="A nurse", type="witness", alias="A health worker")
    assert (await client.post("/v1/sources/nurse/grades", json={"reliability": "A", "reason": "right"})).status_code == 201
    grade = (await export_to(file, database))[-1]
    guesses = [await post(admin, chained([records[0], grade | {"source": slug}]), dry_run=False) for slug in ("nurse", "nobody")]
    assert guesses[0] == guesses[1]
    assert guesses[0][0] == 422


@mostly_sqlite
async def test_full_import_by_one_key_does_not_lower_labels(
    client: httpx.AsyncClient, make_client: MakeClient, database: Database, reference: Reference, tmp_path: Path
) -> None:
    """A crafted export may claim that two keys agreed; only a service without the report accepts it."""
    hidden = (await client.post("/v1/reports", json=report(sensitivity="red"))).json()
    records = await export_to(tmp_path / "out.ndjson", database)
    lowered = {"type": "label", "report": None, "reason": "no more", "detail": {"sensitivity": "clear", "before": "red"}}
    content = chained([*records, records[-1] | lowered])
    curator = await make_client(Scope.READ, Scope.REPORT, Scope.CURATE, clearance=Label.RED, organisation="one")
    checked = await send(curator, content, NDJSON)
    assert checked.status_code == 200, checked.text
    assert (checked.json()["added"]["report"], checked.json()["added"]["label"]) == (1, 1)
    written = await send(curator, content, NDJSON, dry_run=False)
    assert written.status_code == 200, written.text
    assert (written.json()["added"], written.json()["otherwise"]) == ({}, 1)
    assert (await client.get(f"/v1/reports/{hidden['id']}")).json()["sensitivity"] == "red"


@mostly_sqlite
async def test_grade_in_a_file_counts_from_now_unless_its_source_came_too(
    app: FastAPI,
    client: httpx.AsyncClient,
    make_key: MakeKey,
    database: Database,
    database_url: str,
    reference: Reference,
    tmp_path: Path,
    new_empty_database: Callable[[], str],
) -> None:
    """A file may claim that a source was graded long ago; over HTTP and on the command line it changes no past assessment."""
    made = (await client.post("/v1/reports", json=report())).json()
    records = await export_to(tmp_path / "out.ndjson", database)
    (source,) = [each for each in records if each.get("type") == "source" and each["source"] == "agency"]

    def graded(slug: str, reliability: str, year: int) -> Record:
        detail = {"reliability": reliability, "before": "B"}
        entry = {"type": "grade", "source": slug, "report": None, "report_id": None, "indicator": None, "reason": "old", "detail": detail}
        return records[-1] | entry | {"recorded_at": f"{year}-01-01T00:00:00Z"}

    async def reliability(indicator: str, as_of: str | None) -> str:
        shown = await client.get(f"/v1/indicators/{indicator}", params={"as_of": as_of} if as_of else {})
        found: str = shown.json()["provenance"]["source"]["reliability"]
        return found

    over_http = chained([records[0], source, graded("agency", "E", 1990)])
    for added in ({"grade": 1}, {}):
        assert (await send(client, over_http, NDJSON, dry_run=False)).json()["added"] == added
    path = tmp_path / "again.ndjson"
    path.write_bytes(chained([records[0], graded("agency", "A", 1991)]))
    for added in ({"grade": 1}, {}):
        assert (await import_file(path, database_url)).added == added
    assert [await reliability(made["indicator"], at) for at in ("2016-08-01", None)] == ["B", "A"]
    entry = (await client.get("/v1/changes")).json()["items"][-1]
    assert entry["detail"]["first_recorded_at"] == "1991-01-01T00:00:00Z"
    assert entry["detail"]["effective_from"] == entry["recorded_at"]

    fresh = source | {"detail": {"record": source["detail"]["record"] | {"slug": "fresh", "id": str(UUID(int=7))}}}
    value = {"concept": "besieged", "people": 5}
    identifier = str(UUID(int=8))
    said = records[-1] | {
        "report_id": identifier,
        "report": records[-1]["report"] | {"id": identifier, "source": "fresh", "value": value},
    }
    both = chained([records[0], fresh, said, graded("fresh", "D", 1990), graded("fresh", "C", 2017)])
    assert (await send(client, both, NDJSON, dry_run=False)).json()["added"] == {"source": 1, "report": 1, "grade": 2}
    (indicator,) = [each["id"] for each in (await client.get("/v1/indicators")).json()["items"] if each["subject"] == "besieged"]
    assert [await reliability(indicator, at) for at in ("2016-08-01", None)] == ["D", "C"]
    assert await verification_problems(database_url) == []

    # A follower reproduces the service that imported the files.
    mirror = new_empty_database()
    async with upstream(app, await make_key(Scope.READ, clearance=Label.RED)) as lifeline:
        await pull(mirror, lifeline)
    in_force = [await _grades(url) for url in (database_url, mirror)]
    assert in_force[0] == in_force[1]
    assert len(in_force[0]) == 4
    assert await verification_problems(mirror) == []


async def _grades(url: str) -> list[tuple[Any, ...]]:
    """Return the later grades of all sources, with the times from which they count."""
    grades = table_of(SourceGrade).c
    statement = select(grades.effective_from, grades.reliability).where(grades.global_seq > 0).order_by(grades.global_seq)
    async with Database(Settings(database_url=url)) as database, database.read() as connection:
        return [tuple(row) for row in await connection.execute(statement)]


@sqlite_only
async def test_full_import_of_altered_or_incomplete_file_is_refused(
    client: httpx.AsyncClient, database: Database, filled: dict[str, Any], tmp_path: Path
) -> None:
    records = await export_to(tmp_path / "out.ndjson", database)
    at = next(at for at, each in enumerate(records) if each.get("type") == "report")
    altered = [*records[:at], records[at] | {"recorded_by": "someone"}, *records[at + 1 :]]
    for changed, row, detail in ((altered, at + 1, "the entry was altered"), (records[:-1], len(records) - 1, "the export is incomplete")):
        content = b"".join(orjson.dumps(each) + b"\n" for each in changed)
        (problem,) = (await send(client, content, NDJSON)).json()["problems"]
        assert (problem["row"], problem["detail"].partition(":")[0]) == (row, detail)
        assert (await send(client, content, NDJSON, dry_run=False)).status_code == 422


@mostly_sqlite
async def test_full_import_names_the_line_of_invalid_records(
    client: httpx.AsyncClient, database: Database, filled: dict[str, Any], tmp_path: Path
) -> None:
    """Valid hashes alone do not make a valid export."""
    records = await export_to(tmp_path / "out.ndjson", database)
    first: dict[str, int] = {}
    for at, each in enumerate(records):
        first.setdefault(each["type"] if each["record"] == "change" else each["record"], at)
    changes: list[tuple[str, Record, str]] = [
        ("report", {"report": None}, "/report"),
        ("report", {"report": {"id": "x", "kind": "new", "sensitivity": "clear"}}, "/report/id"),
        ("report", {"report": {"id": str(UUID(int=1)), "kind": ["a"], "sensitivity": "clear"}}, "/report/kind"),
        ("report", {"recorded_at": "yesterday"}, "/recorded_at"),
        ("report", {"recorded_by": 5}, "/recorded_by"),
        ("report", {"documents": 5}, "/documents"),
        ("correction", {"detail": {"supersedes": 7}}, "/detail/supersedes"),
        ("retraction", {"report_id": "x"}, "/report_id"),
        ("retraction", {"reason": "a\0b"}, "/reason"),
        ("outcome", {"detail": {}}, "/detail/outcome"),
        ("grade", {"detail": {"reliability": "G"}}, "/detail/reliability"),
        ("place", {"detail": {"record": {"id": "x", "slug": "a", "name": "A"}}}, "/detail/record/id"),
        ("place", {"detail": {"record": {"id": str(UUID(int=1)), "slug": "A", "name": "A"}}}, "/detail/record/slug"),
        ("source", {"detail": {"record": {"id": str(UUID(int=1)), "redacted": 5}}}, "/detail/record/redacted"),
        ("source", {"detail": None}, "/detail/record"),
        ("route", {"record": ["route"]}, ""),
        ("export", {"clearance": None}, ""),
    ]
    for type_, change, pointer in changes:
        content = chained([each | (change if at == first[type_] else {}) for at, each in enumerate(records)])
        response = await send(client, content, NDJSON)
        assert response.status_code == (422 if type_ == "export" else 200), response.text
        if type_ != "export":
            problems = {each["row"]: each["column"] for each in response.json()["problems"]}
            assert problems == {first[type_] + 1: pointer}, (type_, change)
