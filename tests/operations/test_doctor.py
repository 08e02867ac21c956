"""`lifeline doctor`: what is not well is named, with exit code 1."""

from pathlib import Path

import pytest

from tests.support.servers import execute_sql, invoke


def test_all_is_well(database_url: str, engine: str) -> None:
    invoke("demo", database_url=database_url)
    found = invoke("doctor", database_url=database_url)
    assert found.exit_code == 0, found.output
    told = [line.split()[:2] for line in found.output.splitlines()]
    disk = [["ok", "disk"]] if engine == "sqlite" else []
    assert told == [["ok", "configuration"], *disk, *(["ok", each] for each in ("database", "schema", "clock", "ledger"))]
    assert "17 entries" in found.output


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("UPDATE alembic_version SET version_num = '2000_before'", "schema"),
        ("UPDATE ledger_head SET recorded_at = '2099-01-01 00:00:00'", "clock"),
        ("UPDATE ledger_head SET hash_green = 'f'", "ledger"),
    ],
)
def test_what_is_not_well_is_named(database_url: str, statement: str, line: str) -> None:
    execute_sql(database_url, statement)
    found = invoke("doctor", database_url=database_url)
    assert found.exit_code == 1
    assert [each.split()[1] for each in found.output.splitlines() if each.startswith("FAILED")] == [line]


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    gone = "The database does not answer"
    for url, seen in (("postgresql://nobody:a-password@127.0.0.1:1/none", gone), (f"sqlite:///{tmp_path}/x.db", "there is no file")):
        found = invoke("doctor", database_url=url, public_clearance="green")
        assert found.exit_code == 1
        assert f"FAILED  database       {seen}" in found.output
        assert "FAILED  configuration" in found.output
        assert "a-password" not in found.output
