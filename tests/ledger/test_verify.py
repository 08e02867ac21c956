"""`lifeline verify`: whatever is changed past the service is found and named, with exit code 1."""

import asyncio
import re

import httpx
import pytest

from app.assessment.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.servers import execute_sql_async, invoke

# One statement by hand, and what the lines that name it have to match.
CHANGE_2 = r"change 2 \(report, report [0-9a-f-]{36}\): the entry or what it brought was altered"
BESIDE_2 = r"change 2 .*what is kept beside the report"
READING = r"indicator [0-9a-f-]{36}: the stored reading"
SAY = 'UPDATE report SET value = \'{"concept": "trapped", "people": %s}\' WHERE global_seq = 2'
TAMPERED: dict[str, tuple[list[str], str]] = {
    "a value": ([SAY % "290001"], CHANGE_2),
    "a value that no kind can read": ([SAY % "-1"], CHANGE_2),
    "a number that JSON cannot carry": ([SAY % "99999999999999999"], CHANGE_2),
    "an unknown kind": (["UPDATE report SET kind = 'other' WHERE global_seq = 2"], CHANGE_2),
    "the quote": (["UPDATE report SET quote = 'other words' WHERE global_seq = 2"], CHANGE_2),
    "the outlets": (["UPDATE report SET via = '[\"nobody\"]' WHERE global_seq = 2"], CHANGE_2),
    "the credibility": (["UPDATE report SET credibility = 1 WHERE global_seq = 2"], CHANGE_2),
    "the source": (["UPDATE report SET source_id = (SELECT id FROM source WHERE slug = 'army') WHERE global_seq = 2"], CHANGE_2),
    "the time as sent": (["UPDATE report SET stated_text = '2016-07-27' WHERE global_seq = 2"], CHANGE_2),
    "the time that is read": (
        ["UPDATE report SET stated_at = (SELECT stated_at FROM report WHERE global_seq = 7) WHERE global_seq = 2"],
        BESIDE_2,
    ),
    "the label in force": (
        ["UPDATE report SET level = 1 WHERE global_seq = 2"],
        r"report [0-9a-f-]{36}: its label is not the one that the ledger gives it",
    ),
    "who recorded it": (["UPDATE report SET recorded_by = 'another' WHERE global_seq = 2"], CHANGE_2),
    "a reason": (["UPDATE ledger_entry SET reason = 'no reason' WHERE global_seq = 4"], r"change 4 \(correction, .*was altered"),
    "a hash": (
        [
            "UPDATE ledger_entry SET hash_amber = hash_red WHERE global_seq = 1",
            "UPDATE ledger_entry SET hash_amber = 'f' WHERE global_seq = 1",
        ],
        r"change 1 .*was altered",
    ),
    "a deleted entry": (["DELETE FROM ledger_entry WHERE global_seq = 5"], r"change 5: missing from the ledger"),
    "the last entry deleted": (
        ["DELETE FROM ledger_entry WHERE global_seq = 8"],
        r"head: says that the last change is 8, the ledger ends at 7",
    ),
    "an entry and its report deleted": (
        ["DELETE FROM indicator_projection", "DELETE FROM ledger_entry WHERE global_seq = 7", "DELETE FROM report WHERE global_seq = 7"],
        r"change 7: missing from the ledger",
    ),
    "a report that no change brought": (["DELETE FROM ledger_entry WHERE global_seq = 2"], r"report [0-9a-f-]{36}: no change brought it"),
    "swapped order": (
        [
            "UPDATE ledger_entry SET global_seq = -1 WHERE global_seq = 1",
            "UPDATE ledger_entry SET global_seq = 1 WHERE global_seq = 2",
            "UPDATE ledger_entry SET global_seq = 2 WHERE global_seq = -1",
        ],
        r"change 1 .*was altered, or its place in the chain",
    ),
    "a stored document": (["UPDATE indicator_projection SET document = replace(document, '300000', '300001')"], READING),
    "a filter column of a stored reading": (["UPDATE indicator_projection SET agreement = 'single'"], READING),
    "a revision": (["UPDATE indicator_projection SET revision_red = 1"], READING),
    "a deleted reading": (["DELETE FROM indicator_projection"], READING),
    "the grade in force": (
        ["UPDATE source_grade SET reliability = 'A' WHERE global_seq = 6"],
        r"source monitor: its grade since change 6 is not",
    ),
    "a grade that was in force": (
        ["UPDATE source_grade SET reliability = 'A' WHERE global_seq = 0 AND source_id = (SELECT id FROM source WHERE slug = 'monitor')"],
        r"source monitor: its grade since change 0 is not",
    ),
    "a deleted grade": (["DELETE FROM source_grade WHERE global_seq = 6"], r"source .*: its grade since change 6 is missing"),
    "the first grade of a source that is read": (
        ["UPDATE source_grade SET reliability = 'E' WHERE source_id = (SELECT id FROM source WHERE slug = 'envoy')"],
        READING,
    ),
    "the head's number": (["UPDATE ledger_head SET global_seq = 9"], r"head: says that the last change is 9"),
    "the head's hash": (["UPDATE ledger_head SET hash_green = hash_clear, seq_green = 1"], r"head: seq or hash of green"),
    "an end undone": (
        ["UPDATE report SET superseded_from_level = NULL, ended_global_seq = NULL WHERE global_seq = 1"],
        r"report [0-9a-f-]{36}: the ledger ends it",
    ),
    "an end made up": (
        ["UPDATE report SET retracted_from_level = 0, ended_global_seq = 7 WHERE global_seq = 2"],
        r"report [0-9a-f-]{36}: the ledger does not end it as",
    ),
    "what a correction supersedes": (
        ["UPDATE report SET supersedes = (SELECT id FROM report WHERE global_seq = 2) WHERE global_seq = 4"],
        r"change 4 \(correction\): what is kept beside it",
    ),
    "the indicator that a correction left": (
        ["UPDATE ledger_entry SET from_indicator_id = indicator_id WHERE global_seq = 4"],
        r"change 4 \(correction\): what is kept",
    ),
    "the index of who spoke": (
        ["DELETE FROM indicator_source WHERE first_global_seq = 2"],
        r"indicator [0-9a-f-]{36}: the index of who spoke",
    ),
    "a party to the conflict": (["UPDATE source SET party_to_conflict = true"], READING),
}


@pytest.fixture
async def ledger(client: httpx.AsyncClient, reference: Reference) -> None:
    """Eight changes of every type: 1 to 3 reports, 4 a correction, 5 a retraction, 6 a grade, 7 a report, 8 an outcome."""
    bodies = (
        report(value={"people": 280000}),
        report(value={"people": 290000}, source="monitor", provenance={"quote": "many", "via": ["outlet"]}),
        report("route_closure", source="army"),
    )
    made = [(await client.post("/v1/reports", json=body)).json() for body in bodies]
    corrected = report(value={"people": 300000}, source="envoy", reason="misread")
    answers = [
        await client.post(f"/v1/reports/{made[0]['id']}/correction", json=corrected),
        await client.post(f"/v1/reports/{made[2]['id']}/retraction", json={"reason": "withdrawn"}),
        await client.post("/v1/sources/monitor/grades", json={"reliability": "D", "reason": "was wrong"}),
        await client.post("/v1/reports", json=report("supply_runout", stated_at="2016-07-29")),
    ]
    outcome = {"outcome": "averted", "reason": "a convoy", "report": answers[0].json()["id"]}
    answers.append(await client.post(f"/v1/indicators/{answers[3].json()['indicator']}/outcome", json=outcome))
    assert [answer.status_code for answer in answers] == [201] * 5


async def verify(settings: Settings) -> tuple[int, str]:
    """Exit code and all that the command printed."""
    result = await asyncio.to_thread(invoke, "verify", database_url=settings.database_url)
    return result.exit_code, result.output


async def test_each_change_by_hand_is_found_and_named(settings: Settings, database: Database, ledger: None) -> None:
    """One after the other on the same ledger, each looked at within a transaction of its own and rolled back."""
    whole = (0, "The ledger and every reading are as they were written.\n")
    assert await verify(settings) == whole
    sqlite = settings.database_url.startswith("sqlite")
    free = "PRAGMA defer_foreign_keys = ON" if sqlite else "SET session_replication_role = replica"
    unlike = []
    async with database.writer.connect() as connection:
        for what, (statements, pattern) in TAMPERED.items():
            async with connection.begin() as transaction:
                for statement in (free, *statements):
                    await connection.exec_driver_sql(statement)
                problems = [problem async for problem in verify_all(connection, settings)]
                await transaction.rollback()
            if not any(re.match(pattern, problem) for problem in problems):
                unlike.append("\n".join([f"{what}:", *problems]))
    assert not unlike, "\n\n".join(unlike)
    assert await verify(settings) == whole


async def test_each_altered_entry_is_named_once_and_no_other(settings: Settings, ledger: None) -> None:
    await execute_sql_async(settings.database_url, "UPDATE report SET title = 'another' WHERE global_seq IN (2, 7)")
    code, output = await verify(settings)
    assert code == 1
    *_, last = lines = output.splitlines()
    assert [line.split(" (")[0] for line in lines if "chain" in line] == ["change 2", "change 7"]
    assert last == f"{len(lines) - 1} problems found."


async def test_one_problem_is_enough_to_fail(settings: Settings, ledger: None) -> None:
    await execute_sql_async(settings.database_url, *TAMPERED["the head's number"][0])
    code, output = await verify(settings)
    assert (code, output.splitlines()[1:]) == (1, ["1 problem found."])


async def test_an_empty_ledger_is_whole(settings: Settings, database: Database) -> None:
    assert (await verify(settings))[0] == 0
