"""The checksum of a backup: a digest of everything that its SQLite file holds, stored in the file.

The hash chain protects reports. The checksum also covers keys, webhooks and the audit log, and detects damage of the stored file.
It does not protect against an attacker who can write to the file, and then update the checksum.
"""

import sqlite3
from hashlib import sha256

CHECKSUM_TABLE = "backup_checksum"
# `lifeline verify` on the backup itself writes there.
_UNCHECKED = ("operation_run",)


def write_checksum(connection: sqlite3.Connection) -> None:
    """Store the digest of a file in it."""
    connection.execute(f"DROP TABLE IF EXISTS {CHECKSUM_TABLE}")
    digest = _digest(connection)
    connection.execute(f"CREATE TABLE {CHECKSUM_TABLE} (sha256 TEXT NOT NULL)")
    connection.execute(f"INSERT INTO {CHECKSUM_TABLE} VALUES (?)", (digest,))  # noqa: S608 - a fixed name
    connection.commit()


def verify_checksum(connection: sqlite3.Connection) -> str | None:
    """Return what is wrong with a file, None if nothing, and remove its checksum; a file without one is checked by SQLite only.

    Raises sqlite3.DatabaseError if the file cannot be read.
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        return str(found)
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (CHECKSUM_TABLE,)).fetchone():
        return None
    stored = connection.execute(f"SELECT sha256 FROM {CHECKSUM_TABLE}").fetchall()  # noqa: S608 - a fixed name
    connection.execute(f"DROP TABLE {CHECKSUM_TABLE}")
    connection.commit()
    return None if stored == [(_digest(connection),)] else "its checksum does not match"


def _digest(connection: sqlite3.Connection) -> str:
    """Return the SHA-256, in hexadecimal, of the schema and of the rows of every table, in the order of the file."""
    digest = sha256()
    schema = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name").fetchall()
    # Bytes, because damaged text may not be UTF-8.
    text_factory, connection.text_factory = connection.text_factory, bytes
    for type_, name, sql in schema:
        digest.update(f"{type_} {name} {sql}\n".encode())
        if type_ == "table" and name not in _UNCHECKED:
            quoted = name.replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{quoted}" NOT INDEXED'):  # noqa: S608 - its own names
                digest.update(repr(row).encode())
    connection.text_factory = text_factory
    return digest.hexdigest()
