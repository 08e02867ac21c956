"""The committed OpenAPI document passes Redocly's recommended rules without an error or a warning."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "openapi" / "v1.json"
PACKAGE = "@redocly/cli@2.77.0"


def redocly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the linter from npm, from its cache if possible, without telemetry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing: install Node.js to lint the OpenAPI document")
    command = [npm, "exec", "--yes", "--prefer-offline", "--fetch-retries=0", f"--package={PACKAGE}", "--", "redocly", *arguments]
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    ran = subprocess.run(command, cwd=folder, env=dict(os.environ, **quiet), capture_output=True, text=True, timeout=90, check=False)
    if not ran.stdout and "npm error" in ran.stderr:
        pytest.skip(f"{PACKAGE} is not available, so the OpenAPI document is not linted: {ran.stderr.splitlines()[0]}")
    return ran


def test_committed_document_has_no_error_and_no_warning(tmp_path: Path) -> None:
    """A copy with a planted fault must have one error, otherwise the linter does not look."""
    faulty = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    del faulty["paths"]["/v1/me"]["get"]["operationId"]
    (tmp_path / "faulty.json").write_text(json.dumps(faulty), encoding="utf-8")
    ran = redocly(tmp_path, "lint", "--extends=recommended", "--format=json", str(DOCUMENT), "faulty.json")
    decoder = json.JSONDecoder()
    found, end = decoder.raw_decode(ran.stdout)
    problems = [(each["ruleId"], each["message"], each["location"][0].get("pointer")) for each in found["problems"]]
    assert problems == []
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}
    assert ran.returncode == 0
    planted, _ = decoder.raw_decode(ran.stdout[end:].lstrip())
    assert [each["ruleId"] for each in planted["problems"]] == ["operation-operationId"]
