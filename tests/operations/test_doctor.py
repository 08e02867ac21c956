"""`lifeline doctor`: exit code 1 and a line for each check that fails."""

import re
from pathlib import Path

import pytest

from app.settings import Settings
from tests.support.servers import execute_sql, invoke


def test_doctor_on_a_healthy_service_passes_every_check(database_url: str, engine: str) -> None:
    invoke("demo", database_url=database_url)
    result = invoke("doctor", database_url=database_url)
    assert result.exit_code == 0, result.output
    checks = [line.split()[:2] for line in result.output.splitlines() if "LIFELINE_" not in line]
    disk = [["ok", "disk"]] if engine == "sqlite" else []
    assert checks == [["ok", "configuration"], *disk, *(["ok", each] for each in ("database", "schema", "clock", "ledger"))]
    assert "48 entries" in result.output


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


def test_doctor_shows_each_setting_and_its_origin_without_secrets(tmp_path: Path) -> None:
    given = {
        "database_url": "postgresql://lifeline:hidden-one@127.0.0.1:1,127.0.0.1:2/none?sslpassword=hidden-two",
        "session_secret": "hidden-three" * 3,
        "key_hash_secret": "hidden-four" * 3,
        "rate_limit": "off",
        "horizon_days": '{"supply_runout": 30}',
    }
    output = invoke("doctor", **given).output
    shown = {name: (origin, value) for origin, name, value in re.findall(r"^(\w+) +LIFELINE_(\w+)=(.*)$", output, re.MULTILINE)}
    assert shown.keys() == {name.upper() for name in Settings.model_fields}
    assert {name.lower() for name, (origin, _) in shown.items() if origin == "environment"} == given.keys()
    assert {origin for origin, _ in shown.values()} == {"environment", "default"}
    assert shown["DATABASE_URL"][1] == "postgresql://lifeline:***@127.0.0.1:1,127.0.0.1:2/none?sslpassword=***"
    assert (shown["SESSION_SECRET"][1], shown["KEY_HASH_SECRET"][1], shown["OIDC_ISSUER"][1]) == ("(secret)", "(secret)", "(not set)")
    assert (shown["RATE_LIMIT"][1], shown["HORIZON_DAYS"][1]) == ("off", '{"supply_runout": 30}')
    assert "hidden" not in output
