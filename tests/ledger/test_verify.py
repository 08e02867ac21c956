"""`lifeline verify` finds and names everything that is altered in the database, and exits with code 1."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from app.domain.tlp import LABELS, Label
from app.ledger.models import HASH_COLUMNS, SEQ_COLUMNS
from app.operations.verify import KnownHead, load_heads, open_snapshot, read_heads, verify_all
from app.operations.verify_derived import verify_derived
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.locks import locked_ledger
from tests.support.servers import execute_sql_async, invoke

# Statements of SQL by what they alter, each with the pattern of the problem to be reported.
ENTRY_14 = r"entry 14 \(report, report [0-9a-f-]{36}\): the entry, its report or its place in the chain was altered"
COLUMNS_14 = r"entry 14 .*the columns of its report do not agree"
PROJECTION = r"indicator [0-9a-f-]{36}: the stored documents differ"
SET_VALUE = 'UPDATE report SET value = \'{"concept": "trapped", "people": %s}\' WHERE global_seq = 14'
SET_LEAF = "UPDATE ledger_entry SET leaf_%s = (SELECT leaf_red FROM ledger_entry WHERE global_seq = 15) WHERE global_seq = %s"
TAMPERED: dict[str, tuple[list[str], str]] = {
    "a value": ([SET_VALUE % "290001"], ENTRY_14),
    "a value that its kind does not accept": ([SET_VALUE % "-1"], ENTRY_14),
    "a number that JSON cannot carry": ([SET_VALUE % "99999999999999999"], ENTRY_14),
    "an unknown kind": (["UPDATE report SET kind = 'other' WHERE global_seq = 14"], ENTRY_14),
    "the quote": (["UPDATE report SET quote = 'other words' WHERE global_seq = 14"], ENTRY_14),
    "the relaying sources": (["UPDATE report SET via = '[\"nobody\"]' WHERE global_seq = 14"], ENTRY_14),
    "the credibility": (["UPDATE report SET credibility = 1 WHERE global_seq = 14"], ENTRY_14),
    "the source": (["UPDATE report SET source_id = (SELECT id FROM source WHERE slug = 'army') WHERE global_seq = 14"], ENTRY_14),
    "the submitted time": (["UPDATE report SET stated_text = '2016-07-27' WHERE global_seq = 14"], ENTRY_14),
    "the indexed time": (
        ["UPDATE report SET stated_at = (SELECT stated_at FROM report WHERE global_seq = 19) WHERE global_seq = 14"],
        COLUMNS_14,
    ),
    "the fingerprint": (["UPDATE report SET fingerprint = 'f' WHERE global_seq = 14"], COLUMNS_14),
    "the date of a first grade": (
        ["UPDATE source_grade SET effective_from = '2026-12-02 00:00:00' WHERE global_seq = 0"],
        r"source agency: its grade since entry 0 is not what the ledger says",
    ),
    "the head deleted": (["DELETE FROM ledger_head"], r"head: the row of ledger_head that names the last entry is missing"),
    "the current label": (
        ["UPDATE report SET level = 1 WHERE global_seq = 14"],
        r"report [0-9a-f-]{36}: its label is not the one that the ledger gives it",
    ),
    "the recording organisation": (["UPDATE report SET recorded_by = 'another' WHERE global_seq = 14"], ENTRY_14),
    "a reason": (["UPDATE ledger_entry SET reason = 'no reason' WHERE global_seq = 16"], r"entry 16 \(correction, .*was altered"),
    "a hash": (
        [
            "UPDATE ledger_entry SET hash_amber = hash_red WHERE global_seq = 13",
            "UPDATE ledger_entry SET hash_amber = 'f' WHERE global_seq = 13",
        ],
        r"entry 13 .*was altered",
    ),
    "a leaf": ([SET_LEAF % ("amber", 14)], ENTRY_14),
    "a later leaf": ([SET_LEAF % ("red", 19)], r"entry 19 .*was altered"),
    "a salt": (["UPDATE ledger_entry SET salt = '0' WHERE global_seq = 14"], ENTRY_14),
    "an invented node": (
        ["INSERT INTO ledger_node (clearance, height, number, hash) SELECT 4, 1, 0, leaf_red FROM ledger_entry WHERE global_seq = 13"],
        r"tree of red: its node 0 at height 1 is not that of its entries",
    ),
    "a deleted entry": (["DELETE FROM ledger_entry WHERE global_seq = 17"], r"entry 17: missing from the ledger"),
    "the last entry deleted": (
        ["DELETE FROM ledger_entry WHERE global_seq = 20"],
        r"head: it names entry 20 as the last, but the ledger ends at entry 19",
    ),
    "an entry and its report deleted": (
        [
            "DELETE FROM indicator_projection",
            "DELETE FROM alert_standing WHERE report_id = (SELECT id FROM report WHERE global_seq = 19)",
            "UPDATE ledger_entry SET report_id = (SELECT id FROM report WHERE global_seq = 15) WHERE global_seq = 20",
            "DELETE FROM ledger_entry WHERE global_seq = 19",
            "DELETE FROM report WHERE global_seq = 19",
        ],
        r"entry 19: missing from the ledger",
    ),
    "a report without an entry": (["DELETE FROM ledger_entry WHERE global_seq = 14"], r"report [0-9a-f-]{36}: no entry records it"),
    "swapped order": (
        [
            "UPDATE ledger_entry SET global_seq = -1 WHERE global_seq = 13",
            "UPDATE ledger_entry SET global_seq = 13 WHERE global_seq = 14",
            "UPDATE ledger_entry SET global_seq = 14 WHERE global_seq = -1",
        ],
        r"entry 13 .*its place in the chain was altered",
    ),
    "a stored document": (["UPDATE indicator_projection SET document = replace(document, '300000', '300001')"], PROJECTION),
    "a filter column of a stored document": (["UPDATE indicator_projection SET agreement = 'single'"], PROJECTION),
    "a revision": (["UPDATE indicator_projection SET revision_red = 1"], PROJECTION),
    "a deleted document": (["DELETE FROM indicator_projection"], PROJECTION),
    "the current grade": (
        ["UPDATE source_grade SET reliability = 'A' WHERE global_seq = 18"],
        r"source monitor: its grade since entry 18 is not",
    ),
    "a past grade": (
        ["UPDATE source_grade SET reliability = 'A' WHERE global_seq = 0 AND source_id = (SELECT id FROM source WHERE slug = 'monitor')"],
        r"source monitor: its grade since entry 0 is not",
    ),
    "a deleted grade": (["DELETE FROM source_grade WHERE global_seq = 18"], r"source .*: its grade since entry 18 is missing"),
    "the first grade of a preferred source": (
        ["UPDATE source_grade SET reliability = 'E' WHERE source_id = (SELECT id FROM source WHERE slug = 'envoy')"],
        PROJECTION,
    ),
    "the head's number": (["UPDATE ledger_head SET global_seq = 21"], r"head: it names entry 21 as the last"),
    "the head's hash": (["UPDATE ledger_head SET hash_green = hash_clear, seq_green = 1"], r"head: seq or hash of green"),
    "a removed supersession": (
        ["UPDATE report SET superseded_from_level = NULL, ended_global_seq = NULL WHERE global_seq = 13"],
        r"report [0-9a-f-]{36}: its status is not the one that the ledger gives it",
    ),
    "an invented retraction": (
        ["UPDATE report SET retracted_from_level = 0, ended_global_seq = 19 WHERE global_seq = 14"],
        r"report [0-9a-f-]{36}: its status is not the one that the ledger gives it",
    ),
    "the report that a correction supersedes": (
        ["UPDATE report SET supersedes = (SELECT id FROM report WHERE global_seq = 14) WHERE global_seq = 16"],
        r"entry 16 \(correction\): its columns do not agree",
    ),
    "the indicator that a correction leaves": (
        ["UPDATE ledger_entry SET from_indicator_id = indicator_id WHERE global_seq = 16"],
        r"entry 16 \(correction\): its columns do not agree",
    ),
    "the index of sources": (
        ["DELETE FROM indicator_source WHERE first_global_seq = 14"],
        r"indicator [0-9a-f-]{36}: the index of its sources",
    ),
    "a party to the conflict": (["UPDATE source SET party_to_conflict = true"], PROJECTION),
    "the places that contain a place": (
        ["DELETE FROM place_ancestor WHERE ancestor_id <> place_id"],
        r"place [0-9a-f-]{36}: the places that contain it are not those of its parent",
    ),
    "an index of named sources": (
        ["DELETE FROM indicator_source WHERE facet = '~named'"],
        r"indicator [0-9a-f-]{36}: the index of its sources",
    ),
    "the extents of a place": (
        ["UPDATE extent SET west = -1"],
        r"place country: its extents are not those of the geometry that entry 1 recorded",
    ),
    "the text of a place": (
        ["UPDATE record_text SET text = 'x'"],
        r"place oldtown: the text that searches read is not that of the names that entry 2 recorded",
    ),
    "an entry without its route": (["DELETE FROM route WHERE slug = 'south-road'"], r"entry 12 \(route\): its record is missing"),
    **{
        f"the {what} of a {statement.split()[1]}": ([statement], f"{record} not as entry {entry} recorded it")
        for what, statement, record, entry in (
            ("name", "UPDATE place SET name = 'Country' WHERE slug = 'oldtown'", "place oldtown: name", 2),
            ("names", "UPDATE place SET names = '{\"ar\": \"x\"}' WHERE slug = 'oldtown'", "place oldtown: names", 2),
            ("parent", "UPDATE place SET parent_id = NULL", "place oldtown: parent", 2),
            ("end", "UPDATE place SET valid_to = '2016-12-22' WHERE slug = 'oldtown'", "place oldtown: valid_to", 2),
            ("code", "UPDATE place_code SET code = 'SY03'", "place oldtown: codes", 2),
            ("organisation", "UPDATE source SET organisation = 'another' WHERE slug = 'agency'", "source agency: organisation", 3),
            ("first grade", "UPDATE source_grade SET reliability = 'A' WHERE global_seq = 0", "source agency: first_reliability", 3),
            ("geometry", 'UPDATE route SET geometry = \'{"type": "Point", "coordinates": [37, 36]}\'', "route north-road: geometry", 11),
        )
    },
}
# The same, for what is derived from the ledger beside the documents.
DERIVED: dict[str, tuple[list[str], str]] = {
    "the text of a report": (
        ["UPDATE report_text SET text = 'few' WHERE global_seq = 14"],
        r"report [0-9a-f-]{36}: the text that searches",
    ),
    "a missing text": (["DELETE FROM report_text WHERE global_seq = 19"], r"report [0-9a-f-]{36}: the text that searches read"),
    "a text of no report": (["UPDATE report_text SET global_seq = 99 WHERE global_seq = 19"], r"entry 99: searches read a text of it"),
    "an extent of no record": (
        [f"UPDATE extent SET record_id = '{'0' * 32}' WHERE record_id = (SELECT id FROM place WHERE slug = 'country')"],
        r"record 0{8}-[0-]*: there is none, but extent has rows of it",
    ),
    "the subject of an indicator": (
        ["UPDATE indicator SET subject = 'water' WHERE subject = 'food'"],
        r"indicator [0-9a-f-]{36}: its kind, place or subject was altered",
    ),
    "the filter key of an indicator": (
        [f"UPDATE {table} SET filter_key = 'water' WHERE filter_key = 'food'" for table in ("indicator", "indicator_projection")],
        r"indicator [0-9a-f-]{36}: its filter_key is not that of its reports",
    ),
    "an alert": (["UPDATE alert_standing SET confirmed = 31 - confirmed"], r"report [0-9a-f-]{36}: its alert is not what the ledger said"),
    "what an alert ended": (["UPDATE alert_standing SET ended = '{\"x\": 31}'"], r"report [0-9a-f-]{36}: its alert is not what"),
    "an alert that is none": (["UPDATE alert_standing SET ended = '[1]'"], r"report [0-9a-f-]{36}: its alert is not what"),
    "a missing alert": (["DELETE FROM alert_standing"], r"report [0-9a-f-]{36}: its alert is not what the ledger said"),
    "an alert of a report without alerts": (
        ["INSERT INTO alert_standing SELECT id, false, 31, '{}' FROM report WHERE kind = 'trapped_population'"],
        r"report [0-9a-f-]{36}: it has an alert, but is of no kind with alerts",
    ),
}


@pytest.fixture
async def ledger(client: httpx.AsyncClient, reference: Reference) -> None:
    """Record eight entries: 1 to 3 reports, 4 a correction, 5 a retraction, 6 a grade, 7 a report, 8 an outcome."""
    resupplied = {"state": "resupplied", "in_days_min": None, "in_days_max": None}
    bodies = (
        report(value={"people": 280000}),
        report(value={"people": 290000}, source="monitor", provenance={"quote": "many", "via": ["outlet"]}),
        report("supply_runout", resupplied, source="army", stated_at="2016-07-30"),
    )
    reports = [(await client.post("/v1/reports", json=body)).json() for body in bodies]
    corrected = report(value={"people": 300000}, source="envoy", reason="misread")
    responses = [
        await client.post(f"/v1/reports/{reports[0]['id']}/correction", json=corrected),
        await client.post(f"/v1/reports/{reports[2]['id']}/retraction", json={"reason": "withdrawn"}),
        await client.post("/v1/sources/monitor/grades", json={"reliability": "D", "reason": "was wrong"}),
        await client.post("/v1/reports", json=report("supply_runout", resupplied, stated_at="2016-07-29")),
    ]
    outcome = {"outcome": "averted", "reason": "a convoy", "report": responses[3].json()["id"]}
    responses.append(await client.post(f"/v1/indicators/{responses[3].json()['indicator']}/outcome", json=outcome))
    assert [response.status_code for response in responses] == [201] * 5


async def verify(settings: Settings, *options: str | Path, **more: str) -> tuple[int, str]:
    """Return the exit code and the output of the command with these options and further settings."""
    result = await asyncio.to_thread(invoke, "verify", *map(str, options), database_url=settings.database_url, **more)
    return result.exit_code, result.output


# Alterations of what an earlier run verified, which `--since` does not look at again.
EARLIER = {
    *("a value", "a value that its kind does not accept", "a number that JSON cannot carry", "an unknown kind", "the quote"),
    *(
        "the relaying sources",
        "the credibility",
        "the source",
        "the submitted time",
        "the indexed time",
        "the fingerprint",
        "the current label",
    ),
    *(
        "the recording organisation",
        "a hash",
        "a leaf",
        "a salt",
        "a report without an entry",
        "swapped order",
        "an entry without its route",
        "the extents of a place",
        "the text of a place",
    ),
    *(what for what, (_, pattern) in TAMPERED.items() if pattern.endswith("recorded it")),
}


async def heads_at(database: Database, global_seq: int) -> list[KnownHead]:
    """Return the heads of all clearances after an entry, as an earlier run would have written them."""
    columns = (*SEQ_COLUMNS, *HASH_COLUMNS)
    async with database.reader.connect() as connection:
        row = (await connection.exec_driver_sql(f"SELECT {', '.join(columns)} FROM ledger_entry WHERE global_seq = {global_seq}")).one()
    return [KnownHead(clearance=label, seq=row[level], hash=row[len(LABELS) + level]) for level, label in enumerate(LABELS)]


async def test_verify_derived_names_each_row_that_does_not_follow(settings: Settings, database: Database, ledger: None) -> None:
    sqlite = settings.database_url.startswith("sqlite")
    free = "PRAGMA defer_foreign_keys = ON" if sqlite else "SET session_replication_role = replica"
    async with database.writer.connect() as connection:
        assert [problem async for problem in verify_derived(connection, settings.horizons)] == []
        await connection.rollback()
        for what, (statements, pattern) in DERIVED.items():
            async with connection.begin() as transaction:
                for statement in (free, *statements):
                    await connection.exec_driver_sql(statement)
                # All of them are part of the whole verification.
                check = verify_all if what == "the text of a report" else verify_derived
                problems = [problem async for problem in check(connection, settings.horizons)]
                await transaction.rollback()
            assert any(re.match(pattern, problem) for problem in problems), (what, problems)


@mostly_sqlite
async def test_verify_finds_and_names_each_alteration(
    settings: Settings, database: Database, ledger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each alteration is verified and rolled back in a transaction of its own, on the same ledger."""
    intact = (0, "The ledger and every stored indicator are as they were written.\n")
    assert await verify(settings) == intact
    # Tested above, and half of the time.
    monkeypatch.setattr("app.operations.verify.verify_derived", lambda *_: _no_problem())
    sqlite = settings.database_url.startswith("sqlite")
    free = "PRAGMA defer_foreign_keys = ON" if sqlite else "SET session_replication_role = replica"
    missed = []
    heads = await heads_at(database, 15)
    async with database.writer.connect() as connection:
        for what, (statements, pattern) in TAMPERED.items():
            async with connection.begin() as transaction:
                for statement in (free, *statements):
                    await connection.exec_driver_sql(statement)
                problems = [problem async for problem in verify_all(connection, settings.horizons)]
                later = [problem async for problem in verify_all(connection, settings.horizons, heads)] if sqlite else []
                await transaction.rollback()
            if sqlite and any(re.match(pattern, problem) for problem in later) is (what in EARLIER):
                missed.append("\n".join([f"{what}, since entry 15:", *later]))
            if not any(re.match(pattern, problem) for problem in problems):
                missed.append("\n".join([f"{what}:", *problems]))
    assert not missed, "\n\n".join(missed)
    monkeypatch.undo()
    assert await verify(settings) == intact


async def _no_problem() -> AsyncIterator[str]:
    for problem in ():
        yield problem


async def test_verify_names_each_altered_entry_once(settings: Settings, ledger: None) -> None:
    await execute_sql_async(settings.database_url, "UPDATE report SET title = 'another' WHERE global_seq IN (14, 19)")
    code, output = await verify(settings)
    assert code == 1
    *_, last = lines = output.splitlines()
    assert [line.split(" (")[0] for line in lines if "chain" in line] == ["entry 14", "entry 19"]
    assert last == f"{len(lines) - 1} problems found."


@mostly_sqlite
async def test_verify_fails_for_a_single_problem(settings: Settings, ledger: None) -> None:
    await execute_sql_async(settings.database_url, *TAMPERED["the head's number"][0])
    code, output = await verify(settings)
    assert (code, output.splitlines()[1:]) == (1, ["1 problem found."])


async def test_verify_neither_waits_for_writers_nor_stops_them(
    client: httpx.AsyncClient, settings: Settings, database: Database, ledger: None
) -> None:
    async with locked_ledger(settings.database_url):
        # On SQLite only the note that it ran waits, at its end, and is left out then.
        assert (await verify(settings, database_lock_timeout_seconds="0.5"))[0] == 0
    async with open_snapshot(settings) as connection:
        before = await load_heads(connection)
        for people in range(3):
            # On SQLite the snapshot would time out if this waited for the end of it.
            assert (await client.post("/v1/reports", json=report(value={"people": people}, source="outlet"))).status_code == 201
        assert [problem async for problem in verify_all(connection, settings.horizons)] == []
        assert await load_heads(connection) == before
    assert (await client.get("/v1/ledger/head")).json()["seq"] == before[-1].seq + 3


async def test_verify_since_a_checkpoint_verifies_what_came_after_it(
    client: httpx.AsyncClient, settings: Settings, ledger: None, tmp_path: Path
) -> None:
    checkpoint, again = tmp_path / "checkpoint.json", tmp_path / "again.json"
    intact = (0, "The ledger and every stored indicator are as they were written.\n")
    assert await verify(settings, "--checkpoint", checkpoint) == intact
    assert (await client.post("/v1/reports", json=report(source="outlet"))).status_code == 201
    assert await verify(settings, "--since", checkpoint, "--head", checkpoint, "--checkpoint", again) == intact
    assert [head.seq for head in read_heads(again)] == [head.seq + 1 for head in read_heads(checkpoint)]
    # An earlier entry was verified before, a later one was not.
    await execute_sql_async(settings.database_url, "UPDATE report SET title = 'another' WHERE global_seq = 14")
    assert await verify(settings, "--since", checkpoint) == intact
    await execute_sql_async(settings.database_url, "UPDATE report SET title = 'another' WHERE global_seq = 21")
    code, output = await verify(settings, "--since", checkpoint, "--checkpoint", tmp_path / "none.json")
    assert (code, output.count("chain was altered"), "entry 21" in output) == (1, 1, True)
    assert not (tmp_path / "none.json").exists(), "a checkpoint must have been verified"


@sqlite_only
async def test_verify_since_accepts_a_retraction_before_the_checkpoint(
    client: httpx.AsyncClient, settings: Settings, reference: Reference, tmp_path: Path
) -> None:
    """The retracted correction is not verified again, but the report that it superseded is."""
    checkpoint = tmp_path / "checkpoint.json"
    old = await post(client, **report())
    new = await post(client, f"/v1/reports/{old['id']}/correction", **report(value={"people": 1}, reason="misread"))
    await post(client, f"/v1/reports/{new['id']}/retraction", reason="withdrawn")
    assert (await verify(settings, "--checkpoint", checkpoint))[0] == 0
    await post(client, f"/v1/reports/{old['id']}/label", sensitivity="red", reason="too near")
    assert (await verify(settings, "--since", checkpoint))[0] == 0
    await execute_sql_async(settings.database_url, "UPDATE ledger_entry SET detail = '{}' WHERE type = 'label'")
    code, output = await verify(settings, "--since", checkpoint)
    assert code == 1
    assert "entry 16 (label, report " in output


@mostly_sqlite
async def test_verify_accepts_a_lowered_label_of_a_report_that_names_others(
    client: httpx.AsyncClient, make_client: MakeClient, settings: Settings, reference: Reference
) -> None:
    said = report(sensitivity="green", provenance={"via": ["outlet"], "origin": "envoy"})
    lowered = {"sensitivity": "clear", "reason": "public by now"}
    second = await make_client(clearance=Label.RED, organisation="second")
    proposal = (await client.post(f"/v1/reports/{(await post(client, **said))['id']}/label", json=lowered)).json()
    answer = await second.post(f"/v1/label-proposals/{proposal['id']}/confirmation", json={"reason": "agreed"})
    assert answer.json()["type"] == "label"
    code, output = await verify(settings)
    assert code == 0, output


@mostly_sqlite
@pytest.mark.parametrize("clearance", [Label.CLEAR, Label.AMBER_STRICT])
async def test_verify_head_of_an_auditor_must_be_in_the_history(
    make_client: MakeClient, settings: Settings, ledger: None, tmp_path: Path, clearance: Label
) -> None:
    """An intruder who shortens or rewrites the whole ledger leaves it consistent in itself."""
    auditor = await make_client(clearance=clearance)
    kept = (await auditor.get("/v1/ledger/head")).json()
    kept_file = tmp_path / "head.json"
    other = "this ledger has another hash there; an entry up to it was altered, or the head is of another ledger"
    write = partial(asyncio.to_thread, kept_file.write_text)
    await write(json.dumps(kept))
    assert (await auditor.post("/v1/reports", json=report(source="outlet", sensitivity="clear"))).status_code == 201
    assert (await verify(settings, "--head", kept_file, "--since", kept_file))[0] == 0
    for seq, hash_, problem in (
        (kept["seq"] + 2, kept["hash"], f"this ledger ends at {kept['seq'] + 1}; entries were removed, or the head is of another ledger"),
        (kept["seq"], kept["hash"][::-1], other),
        (0, kept["hash"], other),
    ):
        await write(json.dumps(kept | {"seq": seq, "hash": hash_}))
        code, output = await verify(settings, "--head", kept_file, "--since", kept_file)
        assert code == 1
        assert output.splitlines()[:2] == [f"head of {clearance.value} at {seq}: {problem}"] * 2, output


@sqlite_only
def test_verify_with_a_file_that_is_no_head_names_the_fields(database_url: str, tmp_path: Path) -> None:
    file, head = tmp_path / "head.json", {"clearance": "red", "seq": 1, "hash": "f" * 64}
    for text in ("", "[]", '{"seq": 1}', json.dumps(head | {"seq": -1}), json.dumps(head | {"hash": "f"}), "\0\xff"):
        file.write_text(text)
        refused = invoke("verify", "--head", str(file), database_url=database_url)
        assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1), refused.output
        assert f"{file} is not a head of a ledger: it must have the fields of /v1/ledger/head, such as" in refused.stderr
    missing = invoke("verify", "--since", str(tmp_path / "none"), database_url=database_url)
    assert (missing.exit_code, missing.stderr) == (1, f"{tmp_path / 'none'} cannot be read or written: No such file or directory.\n")


async def test_verify_accepts_an_empty_ledger(settings: Settings, database: Database, tmp_path: Path) -> None:
    assert (await verify(settings, "--checkpoint", tmp_path / "first.json"))[0] == 0
    assert (await verify(settings, "--since", tmp_path / "first.json", "--head", tmp_path / "first.json"))[0] == 0


@sqlite_only
async def test_verify_names_a_missing_row_of_a_single_row_table(database_url: str) -> None:
    for table in ("ledger_head", "audit_head", "server_secret"):
        await execute_sql_async(database_url, f"DELETE FROM {table}")
        verified = await asyncio.to_thread(invoke, "verify", database_url=database_url)
        assert (verified.exit_code, f"row of {table}" in verified.output, "Traceback" in verified.output) == (1, True, False)
