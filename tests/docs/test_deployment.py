"""The README's deployment of two instances: its files are right, and its nginx does what it says in front of a real server."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.settings import Settings
from tests.support.processes import free_port, serve_demo

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one fenced block of the README's deployment in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README[README.index("### On more than one machine") :], re.DOTALL)
    text: str = found
    return text


def test_compose_file_names_what_is_there() -> None:
    compose: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:\?\}", "x" * 40, block("yaml")))
    services = compose["services"]
    proxied = set(re.findall(r"server (\w+):8000;", block("nginx")))
    assert proxied == {name for name, each in services.items() if "lifeline serve" in each.get("command", "")} == {"one", "two"}
    for each in services.values():
        assert set(each.get("depends_on", ())) <= services.keys()
        for volume in each.get("volumes", ()):
            assert volume.startswith("./lifeline.conf:") or volume.partition(":")[0] in compose["volumes"]
    hosts = set()
    environment = dict(services["one"]["environment"])
    # Uvicorn's: without it all readers are one address, that of the proxy, and share its limit.
    assert environment.pop("FORWARDED_ALLOW_IPS") == "*"
    assert "LIFELINE_SESSION_SECRET" in environment, "each instance would seal its cookies in its own way"
    for name, value in environment.items():
        field = name.removeprefix("LIFELINE_").lower()
        assert field in Settings.model_fields
        hosts |= set(re.findall(r"(\w+):5432", str(getattr(Settings(**{field: value}), field))))
    assert hosts == {"primary", "replica"} <= services.keys()
    assert all(each["stop_grace_period"] == "40s" for name, each in services.items() if name in ("one", "two"))


def test_the_primary_is_set_up_before_it_waits_for_a_replica(tmp_path: Path) -> None:
    compose: dict[str, Any] = yaml.safe_load(block("yaml"))
    # What stands in the command holds while the image makes the database too, when no replica can be there: it would wait for ever.
    assert "command" not in compose["services"]["primary"]
    script = compose["configs"]["replication"]["content"].replace("$$", "$")
    subprocess.run(["/bin/sh", "-e", "-c", script], env={"PGDATA": str(tmp_path)}, check=True)
    assert (tmp_path / "postgresql.conf").read_text() == "synchronous_standby_names = '*'\n"
    assert (tmp_path / "pg_hba.conf").read_text() == "host replication all all scram-sha-256\n"
    # The replica is a copy of it with all its settings, but waits for nobody once it is promoted.
    assert "echo \"synchronous_standby_names = ''\" >>" in compose["services"]["replica"]["command"][-1]


def test_the_proxy_lets_imports_through() -> None:
    # That of one instance, and that of two.
    found = re.findall(r"client_max_body_size (\d+)m;", README)
    assert len(found) == README.count("```nginx") == 2
    assert all(int(megabytes) * 2**20 >= Settings().max_import_bytes for megabytes in found)


@contextmanager
def proxy_before(here: str, folder: Path) -> Iterator[str]:
    """The address of the README's nginx before a server at `here`."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light): the README's proxy is not tried")
    port = free_port()
    text = block("nginx").replace("one:8000", here).replace("two:8000", here)
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("/var/cache/nginx", str(folder / "cache"))
    (folder / "cache").mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(
        f"user root;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
    )
    with subprocess.Popen([nginx, "-e", str(folder / "error.log"), "-c", str(conf)]) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of the README's nginx before a server with the demo data, and a key."""
    with serve_demo(tmp_path) as server, proxy_before(server.url.removeprefix("http://"), tmp_path) as url:
        yield url, server.key


def test_where_no_instance_answers_the_proxy_says_so_as_lifeline_would(tmp_path: Path) -> None:
    with proxy_before(f"127.0.0.1:{free_port()}", tmp_path) as url:
        for path in ("/v1/indicators", "/v1/changes"):
            answer = httpx.get(f"{url}{path}")
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert (answer.headers["retry-after"], answer.json()["status"]) == ("2", 503)


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

        for at in ("/", "/places/aleppo-east"):
            assert {client.get(at, headers={"Cookie": "lifeline_session=x"}).headers["x-cache"] for _ in range(2)} == {"BYPASS"}

        # Who says that he is somebody else has no more than the address that he comes from.
        left = [_left(client.get("/v1/indicators", headers={**seen, "X-Forwarded-For": f"192.0.2.{each}"})) for each in range(3)]
        assert left[0] > left[1] > left[2]

        assert client.get("/metrics").status_code == 404
        assert client.get("/v1/changes", params={"after": "now", "wait": 1}).json()["items"] == []
        with client.stream("GET", "/v1/stream") as stream:
            assert next(stream.iter_lines()).startswith(("event: ready", "id:", "data:", "retry:"))


def _left(answer: httpx.Response) -> int:
    """How many requests the reader has left, by the answer."""
    (found,) = re.findall(r"r=(\d+)", answer.headers["ratelimit"])
    return int(found)
