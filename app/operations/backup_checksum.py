"""The seal of a backup: a digest of all that its SQLite file holds, kept in the file itself.

The chain proves the statements. The seal proves the rest as well, such as keys, webhooks and the audit log, against a file that was
damaged where it lay. It is no proof against somebody who can write to the file: he can seal it anew.
"""

import sqlite3
from hashlib import sha256

_TABLE = "backup_seal"


def write_checksum(connection: sqlite3.Connection) -> None:
    """Put the digest into the file, in place of one that it may have."""
    connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
    digest = _digest(connection)
    connection.execute(f"CREATE TABLE {_TABLE} (sha256 TEXT NOT NULL)")
    connection.execute(f"INSERT INTO {_TABLE} VALUES (?)", (digest,))  # noqa: S608 - a fixed name
    connection.commit()


def verify_checksum(connection: sqlite3.Connection) -> str | None:
    """Take the seal off a file that is to be restored; what is wrong with the file, None when nothing.

    Backups of versions before there were seals have none. Raises `sqlite3.DatabaseError` where the file cannot be read.
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        return str(found)
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_TABLE,)).fetchone():
        return None
    sealed = connection.execute(f"SELECT sha256 FROM {_TABLE}").fetchall()  # noqa: S608 - a fixed name
    connection.execute(f"DROP TABLE {_TABLE}")
    connection.commit()
    return None if sealed == [(_digest(connection),)] else "it is not as it was written"


def _digest(connection: sqlite3.Connection) -> str:
    """SHA-256, in hexadecimal, of the schema and of every row of every table, as SQLite's values in the order of the file."""
    found = sha256()
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
    # Text may be damaged so that it is none.
    before, connection.text_factory = connection.text_factory, bytes
    for type_, name, sql in schema:
        found.update(f"{type_} {name} {sql}\n".encode())
        if type_ == "table":
            quoted = name.replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{quoted}" NOT INDEXED'):  # noqa: S608 - its own names
                found.update(repr(row).encode())
    connection.text_factory = before
    return found.hexdigest()
