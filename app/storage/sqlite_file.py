"""A SQLite file: readable by its owner alone, created only on purpose, and still the file that was opened first."""

import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from app.storage.private_files import create_private_file

SQLITE_MAGIC = b"SQLite format 3\0"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def sqlite_path(url: str) -> Path | None:
    """Return the file of a database URL; None for PostgreSQL."""
    # PostgreSQL's `host1:port1,host2:port2` is not for `make_url`, which takes what follows the first colon for a port.
    database = make_url(url).database if url.startswith("sqlite") else None
    return Path(database) if database else None


def audit_database_url(url: str) -> str:
    """Return the URL of SQLite's second file, for the audit log of reads: `lifeline.audit.db` beside `lifeline.db`."""
    stem, dot, suffix = url.rpartition(".")
    return f"{stem}.audit.{suffix}" if dot and "/" not in suffix else f"{url}.audit"


def exposed_files(path: Path) -> list[Path]:
    """Return the files of a database that others than their owner may use."""
    # SQLite gives its own files the permissions of the database file when it creates them.
    files = (path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))
    return [each for each in files if each.is_file() and each.stat().st_mode & OTHERS]


class SqliteFile:
    """A file that several engines of one process open."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path.absolute()
        self._create = create
        self._identity: tuple[int, int] | None = None

    def connect(self, **options: Any) -> sqlite3.Connection:
        """Open the file; raise sqlite3.OperationalError if it is missing, or another file than the one that was opened first."""
        if self._identity is not None:
            self.check()
        elif self._create:
            create_private_file(self.path)
        if self._identity is None:
            self._restrict()
        # Without `mode=rw` SQLite would create a missing file.
        connection: sqlite3.Connection = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, **options)
        self.check()
        return connection

    def _restrict(self) -> None:
        """Take the permissions of others from the files, if this process owns them and the path is not that of another file by mistake."""
        # Other users of a file keep the permissions that its owner gave them; `lifeline doctor` names such files.
        with suppress(OSError), self.path.open("rb") as file:
            if file.read(len(SQLITE_MAGIC)) in (SQLITE_MAGIC, b""):
                for each in exposed_files(self.path):
                    each.chmod(each.stat().st_mode & stat.S_IRWXU)

    def check(self) -> None:
        """Raise sqlite3.OperationalError if the path no longer names the file that was opened first.

        Otherwise this process would write to a file that no other process finds, or mix the logs of two files.
        """
        try:
            found = self.path.stat()
            identity = found.st_dev, found.st_ino
        except (FileNotFoundError, NotADirectoryError):
            identity = None
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            moved = sqlite3.OperationalError("the database file was moved or replaced")
            moved.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
            moved.sqlite_errorname = "SQLITE_READONLY_DBMOVED"
            raise moved
