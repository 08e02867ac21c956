"""The README's tour prints what the README says, against a real server with the demo data."""

import doctest
import json
import re
import shlex
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.support.processes import serve_demo

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _tour() -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for command, expected in re.findall(r"^\$ (.*?)\n(.*?)(?=^\$ |\Z)", block, re.DOTALL | re.MULTILINE):
            steps.append((command, expected))
    return steps


def _curl(client: httpx.Client, command: str, key: str) -> str:
    """What a shell would print for `curl`, with or without `| python3 -m json.tool`."""
    command, _, pipe = command.partition(" | ")
    words = iter(shlex.split(command.replace("$KEY", key))[1:])
    method, url, headers, body = "GET", "", {}, None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word != "-s":
            url = word
    answer = client.request(method, url.removeprefix("http://localhost:8000"), headers=headers, content=body)
    assert pipe in ("", "python3 -m json.tool")
    return json.dumps(answer.json(), indent=4, ensure_ascii=False) if pipe else answer.text


def test_tour(tmp_path: Path) -> None:
    steps = _tour()
    assert len(steps) >= 6
    with serve_demo(tmp_path) as server, httpx.Client(base_url=server.url) as client:
        for command, expected in steps:
            printed = _curl(client, command, server.key)
            if not doctest.OutputChecker().check_output(expected, printed + "\n", LOOSELY):
                pytest.fail(f"$ {command}\nsays in the README:\n{expected}\nprints:\n{printed}")


def test_python_tour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, expected = re.findall(r"```python\n(from app.client import.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)[0]
    with serve_demo(tmp_path) as server:
        exec(code.replace("http://localhost:8000", server.url), {"KEY": server.key})  # noqa: S102 - the README's own code
    assert capsys.readouterr().out == expected


def test_every_setting_is_listed_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `LIFELINE_{name.upper()}` \| (.+?) \|", README, re.MULTILINE)
        assert row, f"LIFELINE_{name.upper()} is missing from the README"
        default = field.get_default(call_default_factory=True)
        shown = row[1].strip("`")
        assert shown in (("the same", "none") if default is None else (str(default).removesuffix(".0"),)), name
