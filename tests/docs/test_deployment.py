"""The files of docs/deployment: each is valid and names what exists, and its nginx does what the page says before a real server."""

import asyncio
import configparser
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.settings import Settings
from tests.docs.pages import DOCS, block
from tests.docs.shell import COMPOSE, check_lifeline
from tests.support.compose import NameServer, Stack
from tests.support.factories import report, seed
from tests.support.processes import Server, free_port

FILES = DOCS / "deployment"
NGINX = (FILES / "nginx.conf").read_text(encoding="utf-8")
NGINX_OF_ONE = block(DOCS / "deployment.md", "nginx")
ALERTS: dict[str, Any] = yaml.safe_load((FILES / "alerts.yml").read_text(encoding="utf-8"))
# Series that Prometheus makes itself.
OF_PROMETHEUS = {"up"}


def test_compose_file_names_services_and_settings_that_exist() -> None:
    services = COMPOSE["services"]
    (alias,) = re.findall(r"set \$instances http://(\w+):8000;", NGINX)
    proxied = {name for name, each in services.items() if alias in str(each.get("networks"))}
    assert proxied == {name for name, each in services.items() if "lifeline serve" in each.get("command", "")} == {"one", "two"}
    for each in services.values():
        assert set(each.get("depends_on", ())) <= services.keys()
        for volume in each.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (FILES / source).exists()
        if str(each.get("command", "")).startswith("lifeline "):
            check_lifeline(each["command"].split()[1:])
    hosts = set()
    environment = dict(services["one"]["environment"])
    # Uvicorn's setting: without it all clients have the address of the proxy, and share its limit.
    assert environment.pop("FORWARDED_ALLOW_IPS") == "*"
    assert {"LIFELINE_SESSION_SECRET", "LIFELINE_KEY_HASH_SECRET"} <= environment.keys()
    settings = {name.removeprefix("LIFELINE_").lower(): value for name, value in environment.items()}
    assert settings.keys() <= Settings.model_fields.keys()
    for _, shown, _ in Settings(**settings).shown():
        hosts |= set(re.findall(r"(\w+):5432", shown))
    assert hosts == {"primary", "replica"} <= services.keys()
    assert all(each["stop_grace_period"] == "40s" for name, each in services.items() if name in ("one", "two"))


def test_compose_primary_waits_for_replica_only_after_its_set_up(tmp_path: Path) -> None:
    # The command line also counts while the image makes the database, when no replica exists: the primary would wait for one forever.
    assert "command" not in COMPOSE["services"]["primary"]
    script = COMPOSE["configs"]["replication"]["content"].replace("$$", "$")
    subprocess.run(["/bin/sh", "-e", "-c", script], env={"PGDATA": str(tmp_path)}, check=True)
    assert (tmp_path / "postgresql.conf").read_text() == "synchronous_standby_names = '*'\n"
    assert (tmp_path / "pg_hba.conf").read_text() == "host replication all all scram-sha-256\n"
    # The replica copies these settings, and must not wait for a replica once it is promoted.
    assert "echo \"synchronous_standby_names = ''\" >>" in COMPOSE["services"]["replica"]["command"][-1]


def test_systemd_units_run_commands_that_exist(tmp_path: Path) -> None:
    units = sorted(FILES.glob("lifeline*"))
    assert [each.name for each in units] == ["lifeline-nightly.service", "lifeline-nightly.timer", "lifeline.service"]
    for each in units:
        text = each.read_text(encoding="utf-8")
        commands = re.findall(r"^Exec\w+=(.*)$", text, re.MULTILINE)
        for words in re.findall(r"/opt/lifeline/bin/lifeline ([a-z ]+)", "\n".join(commands)):
            check_lifeline(words.split(), complete=False)
        if each.suffix == ".service":
            assert "lifeline" in commands[0]
            # Both work on the same files.
            assert re.findall(r"^(User=.*|DynamicUser=.*|Environment\w*=.*|WorkingDirectory=.*)$", text, re.MULTILINE) == [
                "User=lifeline",
                "DynamicUser=yes",
                "WorkingDirectory=/var/lib/lifeline",
                "Environment=LIFELINE_DATABASE_URL=sqlite:////var/lib/lifeline/lifeline.db",
                "EnvironmentFile=-/etc/lifeline/environment",
            ]
        copy = text.replace("/opt/lifeline/bin/lifeline", "/bin/true").replace("postgresql.service", "")
        (tmp_path / each.name).write_text(copy, encoding="utf-8")
    if (analyze := shutil.which("systemd-analyze")) is not None:
        copies = [tmp_path / each.name for each in units]
        done = subprocess.run([analyze, "verify", "--man=no", *copies], capture_output=True, text=True, check=False)
        assert not [line for line in done.stderr.splitlines() if "lifeline" in line], done.stderr


def test_systemd_service_has_time_to_end_and_files_for_its_streams() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((FILES / "lifeline.service").read_text(encoding="utf-8"))
    service = unit["Service"]
    assert service["ExecStart"].startswith("/opt/lifeline/bin/lifeline serve")
    assert int(service["TimeoutStopSec"]) >= 40
    assert int(service["LimitNOFILE"]) > 2 * Settings().max_open_streams


def test_nightly_backup_is_a_command_that_works(tmp_path: Path) -> None:
    text = (FILES / "lifeline-nightly.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", text, re.MULTILINE)
    # As systemd reads it.
    shell = command.replace("$$", "$").replace("%%", "%").replace("/opt/lifeline/bin/lifeline", "echo")
    done = subprocess.run(["/bin/sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"backup backups/\d{8}T\d{6}\.lifeline\n", done.stdout)


def test_alert_rules_name_metrics_that_are_served(demo: Server) -> None:
    text = httpx.get(f"{demo.url}/metrics", headers={"Authorization": f"Bearer {demo.key}"}).text
    families = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    served = families | {f"{each}_bucket" for each in families} | OF_PROMETHEUS
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert len(rules) >= 8
    for rule in rules:
        named = set(re.findall(r"\b(?:up|lifeline_\w+|http_\w+|process_\w+)\b", rule["expr"]))
        assert named, rule
        assert named <= served, rule
        assert {"alert", "expr", "for", "labels", "annotations"} == rule.keys()
    assert set(re.findall(r"LIFELINE_([A-Z_]+)", str(ALERTS))) <= {name.upper() for name in Settings.model_fields}


def test_alert_rules_are_valid_for_prometheus() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus): the alert rules are not parsed by Prometheus")
    subprocess.run([promtool, "check", "rules", FILES / "alerts.yml"], check=True)


def test_proxies_let_imports_through() -> None:
    for text in (NGINX, NGINX_OF_ONE):
        (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", text)
        assert int(megabytes) * 2**20 >= Settings().max_import_bytes


def nginx_program() -> str:
    """Return nginx, or skip the test where it is missing."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light): the proxies of the documentation are not tried")
    return found


def write_config(folder: Path, servers: str) -> Path:
    """Write a whole configuration with some servers; return its path."""
    conf = folder / "nginx.conf"
    conf.write_text(
        f"user root;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{servers}\n}}\n"
    )
    return conf


def test_proxy_of_one_instance_is_valid_for_nginx(tmp_path: Path) -> None:
    nginx = nginx_program()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lifeline.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    (tmp_path / "lifeline.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    encoding, form, secret = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "lifeline.key").write_bytes(key.private_bytes(encoding, form, secret))
    servers = NGINX_OF_ONE.replace("/etc/ssl", str(tmp_path)).replace("listen 443 ssl", f"listen 127.0.0.1:{free_port()} ssl")
    conf = write_config(tmp_path, servers)
    done = subprocess.run([nginx, "-t", "-e", tmp_path / "error.log", "-c", conf], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def proxy_before(names: NameServer, folder: Path, *, instance_port: int = 8000) -> Iterator[str]:
    """Run nginx with docs/deployment/nginx.conf and a name server; yield its address."""
    nginx = nginx_program()
    port = free_port()
    text = NGINX.replace("127.0.0.11", names.at).replace("instances:8000", f"instances:{instance_port}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("/var/cache/nginx", str(folder / "cache"))
    (folder / "cache").mkdir()
    conf = write_config(folder, text)
    with subprocess.Popen([nginx, "-e", str(folder / "error.log"), "-c", str(conf)]) as process:
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture
def proxy(demo: Server, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Yield the address of nginx before a server with the demo data, and a key."""
    with NameServer("127.0.0.1") as names:
        names.names["instances"] = ["127.0.0.1"]
        with proxy_before(names, tmp_path, instance_port=int(demo.url.rpartition(":")[2])) as url:
            yield url, demo.key


def test_proxy_without_an_instance_sends_a_problem_document(tmp_path: Path) -> None:
    with NameServer("127.0.0.1") as names, proxy_before(names, tmp_path, instance_port=free_port()) as url:
        for path in ("/v1/indicators", "/v1/changes"):
            answer = httpx.get(f"{url}{path}")
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert (answer.headers["retry-after"], answer.json()["status"]) == ("2", 503)
            # At first there is no name, then one whose address refuses.
            names.names["instances"] = ["127.0.0.1"]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None
        try:
            httpx.get(f"http://127.0.0.1:{port}/health/live", timeout=10)
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("nginx does not answer")


def test_proxy_caches_public_answers_and_passes_through_the_others(proxy: tuple[str, str]) -> None:
    url, key = proxy
    with httpx.Client(base_url=url, timeout=30) as client:
        cached = []
        for _ in range(20):
            answer = client.get("/v1/indicators")
            assert answer.status_code == 200, answer.text
            cached.append(answer.headers["x-cache"])
        assert "HIT" in cached
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

        # A client cannot choose its address: the proxy replaces X-Forwarded-For.
        left = [_left(client.get("/v1/indicators", headers={**seen, "X-Forwarded-For": f"192.0.2.{each}"})) for each in range(3)]
        assert left[0] > left[1] > left[2]

        assert client.get("/metrics").status_code == 404
        assert client.get("/v1/changes", params={"after": "now", "wait": 1}).json()["items"] == []
        with client.stream("GET", "/v1/stream") as stream:
            assert next(stream.iter_lines()).startswith(("event: ready", "id:", "data:", "retry:"))


def _left(answer: httpx.Response) -> int:
    """Return the number of requests left, as the answer says."""
    (found,) = re.findall(r"r=(\d+)", answer.headers["ratelimit"])
    return int(found)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Return the services of the compose file, with a primary and its replica that run and have the schema."""
    # Not pytest's tmp_path, because as root its parents would be opened to a system user.
    with tempfile.TemporaryDirectory(prefix="lifeline-compose-") as folder, ExitStack() as running:
        found = Stack(Path(folder))
        running.enter_context(found.names)
        running.enter_context(found.postgres("primary"))
        running.enter_context(found.postgres("replica"))
        code, printed = found.lifeline("migrated", "migrate")
        assert code == 0, printed
        found.catch_up()
        yield found


class Clients:
    """Readers and writers behind the proxy; `statuses` counts what they are answered."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self.statuses: Counter[str] = Counter()
        self.polls = 0
        self.failed: list[str] = []
        self._numbers = itertools.count()
        self._stopping = False

    def client(self, *, key: bool = True) -> httpx.AsyncClient:
        """Return a client with the key, or an anonymous one."""
        headers = {"Authorization": f"Bearer {self._key}"} if key else {}
        return httpx.AsyncClient(base_url=self._url, headers=headers, timeout=40)

    async def _send(self, path: str, *, key: bool = True, post: bool = False, **query: Any) -> None:
        async with self.client(key=key) as client:
            while not self._stopping:
                number = next(self._numbers)
                body = report(stated_at=f"2016-07-{1 + number % 28:02}", value={"people": 1000 + number})
                answer = await (client.post(path, json=body) if post else client.get(path, params=query))
                self.statuses[f"{answer.request.method} {answer.status_code}"] += 1
                self.polls += key and path == "/v1/indicators"
                if answer.status_code >= 500:
                    self.failed.append(f"{answer.request.method} {path}: {answer.text}")
                await asyncio.sleep(0.005)

    async def during(self, change: Callable[[], Awaitable[None]]) -> None:
        """Read, wait for changes and write while something changes; every request must be answered."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self._send("/v1/reports", post=True))
            for key in (True, False):
                group.create_task(self._send("/v1/indicators", key=key))
            group.create_task(self._send("/v1/changes", after="now", wait=1))
            await change()
            self._stopping = True


async def test_compose_services_restart_and_fail_over_under_load(stack: Stack) -> None:  # noqa: PLR0915 - one story, since the services take long to start
    for command in (("doctor",), ("backup", str(stack.folder / "copy.lifeline")), ("verify",)):
        code, printed = await asyncio.to_thread(stack.lifeline, "one", *command)
        assert code == 0, printed
        assert stack.environment("primary")["POSTGRES_PASSWORD"] not in printed
    await seed(stack.environment("one")["LIFELINE_DATABASE_URL"])
    page = (DOCS / "deployment.md").read_text(encoding="utf-8")
    (create,) = re.findall(r"exec one lifeline (key create .*)", page)
    code, key = await asyncio.to_thread(stack.lifeline, "one", *shlex.split(create))
    assert code == 0, key

    instances = {name: stack.start(name) for name in ("one", "two")}

    async def ready(name: str) -> None:
        async with httpx.AsyncClient(base_url=f"http://{stack.addresses[name]}:8000") as client:
            for _ in range(3000):
                with suppress(httpx.TransportError):
                    if (await client.get("/health/ready")).status_code == 200:
                        return
                assert instances[name].poll() is None, (stack.folder / f"{name}.txt").read_text()
                await asyncio.sleep(0.01)

    async def roll() -> None:
        for name, old in list(instances.items()):
            await asyncio.sleep(0.2)
            old.terminate()
            await asyncio.to_thread(old.wait, 40)
            stack.forget(name)
            stack.move(name)
            instances[name] = stack.start(name)
            await ready(name)
            # As the page says: nginx counts whole seconds, so an answer that holds for one is used for nearly two.
            await asyncio.sleep(2.1)

    try:
        for name in instances:
            await ready(name)
        with proxy_before(stack.names, stack.folder) as url:
            clients = Clients(url, key.strip())
            await clients.during(roll)
            assert not clients.failed, (clients.failed, (stack.folder / "error.log").read_text())
            assert clients.statuses.keys() == {"GET 200", "POST 201"}, clients.statuses
            # All reads of the key by four processes and their successors are in one row of each hour.
            async with clients.client() as keyed:
                for _ in range(100):
                    # Each process writes its reads once a second.
                    await asyncio.sleep(0.1)
                    reads = (await keyed.get("/v1/audit", params={"action": "read", "limit": 1000})).json()["items"]
                    polled = [each["count"] for each in reads if each["target"] == "/v1/indicators"]
                    if sum(polled) >= clients.polls:
                        break
            assert len(polled) <= 2
            assert sum(polled) == clients.polls

            # As when the machine of the primary is lost: the second host of each URL answers at once, and writes go on once it is promoted.
            os.killpg(stack.servers["primary"].pid, signal.SIGKILL)
            async with clients.client(key=False) as anonymous, clients.client() as keyed:
                uncached = {"Lifeline-Revision": "1"}
                assert (await anonymous.get("/v1/reports", headers=uncached)).json()["items"]
                assert (await keyed.post("/v1/reports", json=report(stated_at="2016-07-29"))).status_code == 503
                promoted = stack.psql("replica", *re.findall(r"exec replica psql -U lifeline -c '(SELECT pg_promote\(\))'", page))
                assert promoted.stdout == "t\n", promoted
                for _ in range(200):
                    answer = await keyed.post("/v1/reports", json=report(stated_at="2016-07-29"))
                    if answer.status_code == 201:
                        break
                    await asyncio.sleep(0.05)
                assert answer.status_code == 201, answer.text
    finally:
        for each in instances.values():
            each.terminate()
