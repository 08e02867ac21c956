"""The README's deployment of two instances: its files are right, and its nginx does what it says in front of a real server."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.processes import free_port, serve_demo

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one fenced block of the README's deployment in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README[README.index("### On more than one machine") :], re.DOTALL)
    text: str = found
    return text


def test_compose_file_names_what_is_there() -> None:
    compose: dict[str, Any] = yaml.safe_load(block("yaml"))
    services = compose["services"]
    proxied = set(re.findall(r"server (\w+):8000;", block("nginx")))
    assert proxied == {name for name, each in services.items() if "lifeline serve" in each.get("command", "")} == {"one", "two"}
    for each in services.values():
        assert set(each.get("depends_on", ())) <= services.keys()
        for volume in each.get("volumes", ()):
            assert volume.startswith("./lifeline.conf:") or volume.partition(":")[0] in compose["volumes"]
    hosts = set()
    for name, value in services["one"]["environment"].items():
        field = name.removeprefix("LIFELINE_").lower()
        assert field in Settings.model_fields
        hosts |= set(re.findall(r"(\w+):5432", getattr(Settings(**{field: value}), field)))
    assert hosts == {"primary", "replica"} <= services.keys()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of the README's nginx before a server with the demo data, and a key."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light): the README's proxy is not tried")
    with serve_demo(tmp_path) as server:
        port, here = free_port(), server.url.removeprefix("http://")
        text = block("nginx").replace("one:8000", here).replace("two:8000", here)
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("/var/cache/nginx", str(tmp_path / "cache"))
        (tmp_path / "cache").mkdir()
        conf = tmp_path / "nginx.conf"
        conf.write_text(
            f"user root;\ndaemon off;\npid {tmp_path}/nginx.pid;\nerror_log {tmp_path}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
        )
        with subprocess.Popen([nginx, "-e", str(tmp_path / "error.log"), "-c", str(conf)]) as process:
            try:
                _wait_for(port, process)
                yield f"http://127.0.0.1:{port}", server.key
            finally:
                process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None
        try:
            httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=10)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("nginx does not answer")


def test_the_proxy_keeps_what_is_for_everybody_and_passes_on_the_rest(proxy: tuple[str, str]) -> None:
    url, key = proxy
    with httpx.Client(base_url=url, timeout=30) as client:
        kept = []
        for _ in range(20):
            answer = client.get("/v1/indicators")
            assert answer.status_code == 200, answer.text
            kept.append(answer.headers["x-cache"])
        assert "HIT" in kept
        assert client.get("/v1/indicators", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304

        mine = {"Authorization": f"Bearer {key}"}
        for _ in range(3):
            assert client.get("/v1/indicators", headers=mine).headers["x-cache"] == "BYPASS"
        seen = {"Lifeline-Revision": answer.headers["lifeline-revision"]}
        assert client.get("/v1/indicators", headers=seen).headers["x-cache"] == "BYPASS"
        page = client.get("/v1/indicators", params={"limit": 1}).json()
        assert client.get("/v1/indicators", params={"limit": 1, "cursor": page["next"]}).headers["x-cache"] == "BYPASS"

        assert client.get("/metrics").status_code == 404
        assert client.get("/v1/changes", params={"after": "now", "wait": 1}).json()["items"] == []
        with client.stream("GET", "/v1/stream") as stream:
            assert next(stream.iter_lines()).startswith(("event: ready", "id:", "data:", "retry:"))
