"""`lifeline doctor`: exit code 1 and a line for each check that fails."""

from pathlib import Path

import pytest

from tests.support.servers import execute_sql, invoke


def test_doctor_on_a_healthy_service_passes_every_check(database_url: str, engine: str) -> None:
    invoke("demo", database_url=database_url)
    result = invoke("doctor", database_url=database_url)
    assert result.exit_code == 0, result.output
    checks = [line.split()[:2] for line in result.output.splitlines()]
    disk = [["ok", "disk"]] if engine == "sqlite" else []
    assert checks == [["ok", "configuration"], *disk, *(["ok", each] for each in ("database", "schema", "clock", "ledger"))]
    assert "17 entries" in result.output


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE alembic_version SET version_num = '2000_before'", "schema"),
        ("UPDATE ledger_head SET recorded_at = '2099-01-01 00:00:00'", "clock"),
        ("UPDATE ledger_head SET hash_green = 'f'", "ledger"),
    ],
)
def test_doctor_names_the_check_that_fails(database_url: str, statement: str, check: str) -> None:
    execute_sql(database_url, statement)
    result = invoke("doctor", database_url=database_url)
    assert result.exit_code == 1
    assert [line.split()[1] for line in result.output.splitlines() if line.startswith("FAILED")] == [check]


def test_doctor_without_a_database_checks_the_configuration(tmp_path: Path) -> None:
    unreachable = "postgresql://nobody:a-password@127.0.0.1:1/none"
    for url, detail in ((unreachable, "The database does not answer"), (f"sqlite:///{tmp_path}/x.db", "there is no file")):
        result = invoke("doctor", database_url=url, public_clearance="green")
        assert result.exit_code == 1
        assert f"FAILED  database       {detail}" in result.output
        assert "FAILED  configuration" in result.output
        assert "a-password" not in result.output
