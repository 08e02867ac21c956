"""`lifeline key`; the tests of rotation and of the audit log are in tests/access."""

import re

import pytest
from click.testing import Result

from tests.cli.conftest import KEY_PATTERN, Run, error_line
from tests.support.fixtures import mostly_sqlite
from tests.support.servers import query_rows


def _create(run: Run, *options: str) -> Result:
    return run("key", "create", "--name", "field desk", "--org", "my-ngo", "--scope", "read", "--scope", "report", *options)


@mostly_sqlite
def test_key_create_prints_the_secret_and_list_never(run: Run, database_url: str) -> None:
    created = _create(run, "--clearance", "amber", "--expires", "2099-12-31")
    assert created.exit_code == 0
    secret = created.stdout.removesuffix("\n")
    assert re.fullmatch(KEY_PATTERN, secret)
    listed = run("key", "list").output
    assert secret not in listed
    for shown in ("field desk", "my-ngo", "read report", "amber", "2099-12-31T23:59:59+00:00"):
        assert shown in listed.splitlines()[-1]
    # Only a hash is stored.
    stored = [str(value) for row in query_rows(database_url, "SELECT * FROM api_key") for value in row]
    assert not [value for value in stored if secret in value]


@mostly_sqlite
def test_key_revoke_revokes_a_key_and_names_an_unknown_one(run: Run) -> None:
    _create(run)
    identifier = run("key", "list").output.splitlines()[-1].split()[0]
    assert run("key", "revoke", identifier).output == f"Revoked {identifier}.\n"
    assert re.search(rf"{identifier}.*\d{{4}}-\d\d-\d\dT", run("key", "list").output)
    unknown = "01900000-0000-7000-8000-000000000000"
    assert error_line(run("key", "revoke", unknown)) == f"There is no key {unknown}."
    assert error_line(run("key", "revoke", "nonsense")) == "There is no key nonsense."


@mostly_sqlite
@pytest.mark.parametrize("expires", ["31.12.2099", "2099-02-30", "soon"])
def test_key_create_with_an_invalid_date_names_the_format(run: Run, expires: str) -> None:
    assert "2026-12-31" in error_line(_create(run, "--expires", expires))
    assert "my-ngo" not in run("key", "list").output


@mostly_sqlite
@pytest.mark.parametrize(("option", "value"), [("--scope", "everything"), ("--clearance", "secret")])
def test_key_create_with_an_unknown_scope_or_clearance_fails(run: Run, option: str, value: str) -> None:
    result = _create(run, option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert value in result.stderr
