"""A full export taken into an empty Lifeline gives the same readings, in every format that carries all; what is altered is told."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import orjson

from app.access.principal import Principal, Scope
from app.domain.tlp import TOP, Label
from app.exchange.exports.full_export import write_full_export
from app.exchange.imports.file_readers import format_of_path
from app.exchange.imports.full_import import FullImport, FullImportResult, is_full_export
from app.exchange.replication.apply import EntryApplier
from app.ledger.hash_chain import GENESIS, canonical_json, chain_hash
from app.settings import Settings
from app.storage.database import Database
from tests.exchange.readers import problems_of, readings_of
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient
from tests.support.servers import client_for, new_key


def teller(organisation: str) -> Principal:
    return Principal(level=TOP, organisation=organisation, scopes=frozenset({"report", "curate"}))


async def take_in(path: Path, url: str, *, dry: bool = False) -> FullImportResult:
    settings = Settings(database_url=url)
    database = Database(settings)
    try:
        with path.open("rb") as file:
            assert is_full_export(file, format_of_path(path))
            whole = FullImport(file, format_of_path(path), database, teller, settings)
            looked = await whole.dry_run()
            return looked if dry or looked.problem_count else await whole.write()
    finally:
        await database.close()


async def test_the_same_readings_in_every_format(
    database: Database, database_url: str, filled: dict[str, Any], tmp_path: Path, new_empty_database: Callable[[], str]
) -> None:
    expected = await readings_of(database_url)
    assert len(expected) > 5
    for ending in ("ndjson", "csv", "xlsx"):
        path = tmp_path / f"out.{ending}"
        await write_full_export(database, path, Label.RED, lambda _: None)
        second = new_empty_database()
        done = await take_in(path, second)
        assert (done.problems, done.written) == ([], True)
        assert await readings_of(second) == expected
    # Beyond the file's own format all is one: what was written verifies and is known when it comes again; a look writes nothing.
    assert await problems_of(second) == []
    again = await take_in(path, second)
    assert (again.added, again.existing) == ({}, sum(done.added.values()))
    assert await readings_of(second) == expected
    third = new_empty_database()
    looked = await take_in(path, third, dry=True)
    assert (looked.problems, looked.written, looked.added) == ([], False, done.added)
    assert await readings_of(third) == []


def relabelled(lines: list[dict[str, Any]], label: str) -> bytes:
    """The same export, had all of it been written under this label."""
    head, *others = lines
    hash_, changed = GENESIS, []
    for each in others:
        line = each
        if line["record"] == "change":
            entry = {name: value for name, value in line.items() if name not in ("record", "seq", "hash")}
            if entry["report"] is not None:
                entry["report"] = entry["report"] | {"sensitivity": label}
            hash_ = chain_hash(hash_, canonical_json(entry))
            line = {"record": "change", "seq": line["seq"], "hash": hash_, **entry}
        changed.append(line)
    return b"".join(orjson.dumps(each) + b"\n" for each in (head | {"hash": hash_}, *changed))


async def test_what_a_file_finds_here_above_the_key_that_sends_it_is_not_told(
    client: httpx.AsyncClient,
    make_client: MakeClient,
    database: Database,
    reference: Reference,
    tmp_path: Path,
    new_database: Callable[[], str],
) -> None:
    """A service that has all of it above the clearance answers as one that has nothing, to an admin too: dry, written, and sent again."""
    supply, wrong, old = [
        (await client.post("/v1/reports", json=body)).json()
        for body in (report("supply_runout", sensitivity="red"), report(sensitivity="red"), report(source="envoy", sensitivity="red"))
    ]
    outcome = {"outcome": "averted", "reason": "a convoy", "report": supply["id"]}
    for path, body in (
        (f"/v1/indicators/{supply['indicator']}/outcome", outcome),
        (f"/v1/reports/{wrong['id']}/retraction", {"reason": "not so"}),
        (f"/v1/reports/{old['id']}/correction", report(source="envoy", place="country", sensitivity="red", reason="there")),
    ):
        assert (await client.post(path, json=body)).status_code == 201, path
    path = tmp_path / "out.ndjson"
    await write_full_export(database, path, Label.RED, lambda _: None)
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]

    async def send(by: httpx.AsyncClient, content: bytes, query: str) -> tuple[int, dict[str, Any]]:
        answer = await by.post(f"/v1/imports{query}", content=content, headers={"Content-Type": "application/x-ndjson"})
        return answer.status_code, answer.json()

    async def answers(by: httpx.AsyncClient) -> list[Any]:
        found: list[Any] = []
        for label in ("red", "clear"):
            content = relabelled(lines, label)
            found += [await send(by, content, query) for query in ("", "?dry_run=false", "?dry_run=false")]
        listed = (await by.get("/v1/reports")).json()
        named = ("id", "indicator", "links", "supersedes", "recorded_at")
        found += [{name: value for name, value in each.items() if name not in named} for each in listed["items"]]
        return [*found, listed["revision"]]

    admin = await make_client(clearance=Label.GREEN, organisation="below")
    with_hidden = await answers(admin)
    empty = new_database()
    secret = await new_key(empty, clearance=Label.GREEN, organisation="below")
    async with client_for(Settings(database_url=empty, rate_limit=None, rate_limit_anonymous=None), secret) as elsewhere:
        without = await answers(elsewhere)
    assert with_hidden == without
    assert [each[0] for each in without[:6]] == [200, 422, 422, 200, 200, 200]
    assert (without[4][1]["created"], without[5][1]["created"]) == (6, 0)
    # Everybody is told of grades, not of the sources' own names.
    await reference.add("sources", slug="nurse", name="A nurse", type="witness", alias="A health worker")
    assert (await client.post("/v1/sources/nurse/grades", json={"reliability": "A", "reason": "right"})).status_code == 201
    await write_full_export(database, path, Label.RED, lambda _: None)
    grade = orjson.loads(path.read_bytes().splitlines()[-1]) | {"seq": 1}
    guesses = [
        await send(admin, relabelled([lines[0] | {"seq": 1}, grade | {"source": slug}], ""), "?dry_run=false")
        for slug in ("nurse", "nobody")
    ]
    assert guesses[0] == guesses[1]
    assert guesses[0][0] == 422


async def test_one_key_lowers_no_label_by_a_file(
    client: httpx.AsyncClient, make_client: MakeClient, database: Database, reference: Reference, tmp_path: Path
) -> None:
    """An export of one's own making may say that two others agreed; a service that has nothing yet takes it as it is."""
    hidden = (await client.post("/v1/reports", json=report(sensitivity="red"))).json()
    path = tmp_path / "out.ndjson"
    await write_full_export(database, path, Label.RED, lambda _: None)
    head, *others, brought = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    moved = {"type": "label", "report": None, "reason": "no more", "detail": {"sensitivity": "clear", "before": "red"}}
    entry = {name: each for name, each in brought.items() if name not in ("record", "seq", "hash")} | moved
    change = {"record": "change", "seq": 2, "hash": chain_hash(brought["hash"], canonical_json(entry)), **entry}
    lines = [head | {"seq": 2, "hash": change["hash"]}, *others, brought, change]
    path.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in lines))

    curator = await make_client(Scope.READ, Scope.REPORT, Scope.CURATE, clearance=Label.RED, organisation="one")
    sent = {"content": path.read_bytes(), "headers": {"Content-Type": "application/x-ndjson"}}
    looked = await curator.post("/v1/imports", **sent)
    assert looked.status_code == 200, looked.text
    assert (looked.json()["added"]["report"], looked.json()["added"]["label"]) == (1, 1)
    done = await curator.post("/v1/imports?dry_run=false", **sent)
    assert done.status_code == 200, done.text
    assert (done.status_code, done.json()["added"], done.json()["otherwise"]) == (200, {}, 1)
    assert (await client.get(f"/v1/reports/{hidden['id']}")).json()["sensitivity"] == "red"


def rewritten(lines: Sequence[dict[str, Any]]) -> bytes:
    """An export of these records with hashes that follow, as anybody can make them."""
    seq, before = 0, GENESIS
    for each in lines:
        if each.get("record") == "change":
            seq += 1
            before = chain_hash(
                before, canonical_json({name: value for name, value in each.items() if name not in ("record", "seq", "hash")})
            )
            each |= {"seq": seq, "hash": before}
    lines[0].update(seq=seq, hash=before)
    return b"".join(orjson.dumps(each) + b"\n" for each in lines)


async def test_records_that_are_not_made_as_an_export_has_them(
    client: httpx.AsyncClient, database: Database, filled: dict[str, Any], tmp_path: Path
) -> None:
    """Each is told at its line, and none is an error of the service: hashes alone do not make an export."""
    path = tmp_path / "out.ndjson"
    await write_full_export(database, path, Label.RED, lambda _: None)
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    first: dict[str, int] = {}
    for at, each in enumerate(lines):
        first.setdefault(each.get("type", each["record"]) if each["record"] == "change" else each["record"], at)
    spoilt: list[tuple[str, dict[str, Any], str]] = [
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
        ("place", {"id": "x"}, "/id"),
        ("source", {"redacted": 5}, "/redacted"),
        ("route", {"record": ["route"]}, ""),
        ("export", {"clearance": None}, ""),
    ]
    for what, change, pointer in spoilt:
        content = rewritten([dict(each) | (change if at == first[what] else {}) for at, each in enumerate(lines)])
        answer = await client.post("/v1/imports", content=content, headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code == (422 if what == "export" else 200), answer.text
        if what != "export":
            told = {each["row"]: each["column"] for each in answer.json()["problems"]}
            assert told == {first[what] + 1: pointer}, (what, change)


async def test_entries_that_are_made_otherwise_are_refused_whole(database: Database) -> None:
    """A follower takes them from another service, without a file that was looked at before."""
    entry = {"type": "retraction", "report_id": None, "recorded_by": "one"}
    async with database.write() as session:
        done = await EntryApplier(teller, Settings()).apply(session, [entry, entry | {"type": "grade", "source": "agency"}])
    told = [(at, [each.pointer for each in wrong]) for at, wrong in done.refused]
    assert told == [(1, ["/detail/reliability", "/reason", "/recorded_at"])]
    assert (done.existing, done.added) == (0, {})
