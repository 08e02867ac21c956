"""`lifeline serve`, `demo` and `openapi`."""

import json
import re
import time
import tomllib
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import uvicorn
import uvloop
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.benchmarks.load_command import load_command
from tests.cli.conftest import KEY_PATTERN, Run
from tests.support.fixtures import mostly_sqlite
from tests.support.processes import ROOT, serve
from tests.support.servers import invoke, query_rows, wait_if_window_ends_within

pytestmark = pytest.mark.starts_early


def test_serve_uses_uvloop_and_httptools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[uvicorn.Config] = []
    monkeypatch.setattr("app.cli.serve.run_server", configs.append)
    # Without a secret, `serve` would put a random one into this process's environment.
    result = invoke("serve", database_url=f"sqlite:///{tmp_path}/x.db", session_secret="s" * 32)
    assert result.exit_code == 0, result.output
    (config,) = configs
    factory = config.get_loop_factory()
    assert factory is not None
    with closing(factory()) as loop:
        assert isinstance(loop, uvloop.Loop)
    assert isinstance(config.http, type)
    assert issubclass(config.http, HttpToolsProtocol)


def test_serve_dependencies_have_no_reloader_and_no_websockets() -> None:
    locked = {each["name"] for each in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]}
    assert {"uvicorn", "uvloop", "httptools"} <= locked
    assert not {"watchfiles", "websockets"} & locked


def test_demo_loads_once_and_prints_a_new_secret_each_time(run: Run, database_url: str) -> None:
    first, second = run("demo").output, run("demo").output
    assert "Loaded Aleppo, July to December 2016." in first
    assert "The database has reports already: nothing was loaded." in second
    secrets = [re.findall(KEY_PATTERN, each) for each in (first, second)]
    assert [len(each) for each in secrets] == [1, 1]
    assert secrets[0] != secrets[1]
    # The second run rotates the key of the first.
    assert query_rows(database_url, "SELECT count(*) FROM api_key WHERE name = 'demo'") == [(1,)]
    # The reports of the demo, and one restricted report with a label proposal.
    assert query_rows(database_url, "SELECT count(*) FROM report") == [(24,)]
    assert "Reassessed 13 indicators." in run("migrate", "--reassess").output


@mostly_sqlite
def test_demo_on_a_database_with_reports_creates_no_key(run: Run, database_url: str) -> None:
    assert invoke("--reports", "20", command=load_command, database_url=database_url).exit_code == 0
    output = run("demo").output
    assert "nothing was loaded" in output
    assert not re.findall(KEY_PATTERN, output)
    assert query_rows(database_url, "SELECT count(*) FROM api_key") == [(0,)]


def test_openapi_writes_the_document(tmp_path: Path, built_app: FastAPI) -> None:
    path = tmp_path / "new folder" / "v1.json"
    assert invoke("openapi", str(path)).exit_code == 0
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(built_app.openapi()))


def test_serve_demo_prints_addresses_and_key_and_workers_share_limits(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    # From the source tree, so that the command and its workers start a new Python, as for a user.
    with serve(tmp_path, "--demo", "--workers", "2", code=ROOT, database_url=url, rate_limit_anonymous="30/minute") as server:
        paths = re.findall(r"http://localhost:\d+(/\S+)", server.output.read_text())
        assert paths == ["/v1/indicators", "/docs"]
        headers = {"Authorization": f"Bearer {server.key}"}
        while server.output.read_text().count("Application startup complete") < 2:
            time.sleep(0.05)
        wait_if_window_ends_within(10)
        # The first request with a key counts for its address, because the key is unknown until then.
        added = httpx.post(f"{server.url}/v1/places", headers=headers, json={"slug": "somewhere", "name": "Somewhere"})
        assert added.status_code == 201
        # Each request opens its own connection, so that both workers get some; together they allow 30.
        statuses = [httpx.get(f"{server.url}{paths[number % 2]}").status_code for number in range(45)]
    assert (statuses.count(200), statuses.count(429)) == (29, 16)
