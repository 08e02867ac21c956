"""The verifier of the documentation accepts what the service serves, and nothing else, without anything of the project."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings

from tests.docs.pages import DOCS, block
from tests.ledger import test_policy
from tests.support.processes import Server

CODE = block(DOCS / "verifying.md", "python", "verify")
REPORT = "/v1/reports/01900000-0000-7000-8004-000000000007"


@pytest.fixture(scope="module")
def verifier() -> dict[str, Any]:
    """Return the names that the program defines."""
    names: dict[str, Any] = {"__name__": "verify"}
    exec(CODE, names)  # noqa: S102 - the page's own code
    return names


def test_verifier_imports_nothing_of_the_project() -> None:
    imported = {each.module or "" for each in ast.walk(ast.parse(CODE)) if isinstance(each, ast.ImportFrom)}
    imported |= {name.name for each in ast.walk(ast.parse(CODE)) if isinstance(each, ast.Import) for name in each.names}
    assert {each.partition(".")[0] for each in imported} == {"base64", "hashlib", "json", "sys", "cryptography"}


def test_verifier_accepts_a_served_proof_and_refuses_another_entry(demo: Server, tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text(CODE, encoding="utf-8")
    vkey = httpx.get(f"{demo.url}/v1/ledger/head").json()["vkey"]
    (tmp_path / "policy.txt").write_text(f"log {vkey}\nquorum none\n")
    for name in ("proof", "entry"):
        (tmp_path / name).write_bytes(httpx.get(f"{demo.url}{REPORT}.tlog-{name}").raise_for_status().content)
    # Isolated, and in a folder of its own, so that the project cannot be imported.
    command = [sys.executable, "-I", "verify.py", "proof", "entry", "policy.txt"]
    proved = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    # The reference data of the demo comes first; other tests may have added to its ledger.
    assert proved.returncode == 0, proved.stderr
    assert re.fullmatch(r"Proved: entry 24 of \d+ in demo\.lifeline\.example/clear\.", proved.stdout.splitlines()[0])
    entry = (tmp_path / "entry").read_bytes()
    (tmp_path / "entry").write_bytes(entry.replace(b'"credibility":', b'"credibility": '))
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, "Not proved: the entry is not in the ledger that was signed.\n")


PROVED = test_policy.proof("bc"), test_policy.ENTRIES[1]


@given(test_policy.changes(PROVED))
@example((PROVED[0][:-1], PROVED[1]))
@settings(max_examples=300)
def test_verifier_refuses_a_proof_or_entry_with_any_byte_changed(verifier: dict[str, Any], files: tuple[bytes, bytes]) -> None:
    policy = (test_policy.POLICY % "most").encode()
    assert verifier["verify"](*PROVED, policy) == ("example.org/log", 2, 4)
    with pytest.raises((verifier["NotProved"], ValueError)):
        verifier["verify"](*files, policy)


@pytest.mark.parametrize(("cosigners", "quorum", "proved"), [("a", "some", True), ("c", "some", False), ("ab", "most", False)])
def test_verifier_asks_for_the_quorum(verifier: dict[str, Any], cosigners: str, quorum: str, proved: bool) -> None:
    arguments = test_policy.proof(cosigners), test_policy.ENTRIES[1], (test_policy.POLICY % quorum).encode()
    if proved:
        assert verifier["verify"](*arguments)[1] == 2
    else:
        with pytest.raises(verifier["NotProved"], match="too few witnesses"):
            verifier["verify"](*arguments)
