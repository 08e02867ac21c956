"""Messages for operators: one line that names the fault of a database and its remedy."""

import os
import sqlite3
from pathlib import Path

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.storage.sqlite_file import sqlite_path

# Remedies by the beginning of PostgreSQL's SQLSTATE.
_BY_SQLSTATE = {
    "28": "correct the user and the password in LIFELINE_DATABASE_URL",
    "3D": "create it, or correct the name in LIFELINE_DATABASE_URL",
    "42501": "give the user of LIFELINE_DATABASE_URL the database and its schema",
    "42P01": "run `lifeline migrate` first",
    "25006": "name the primary in LIFELINE_DATABASE_URL",
    "55P03": "another process holds a lock; try again",
    "53": "free space, memory or connections on the server",
    "57": "wait until the server runs, and try again",
}


def explain_database_error(error: Exception, url: str) -> str:
    """Return what an error of the database, its driver, the network or another file means, without secrets."""
    found = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    path = sqlite_path(url)
    database = () if path is None else (path.absolute(), path.absolute().parent)
    if isinstance(found, OSError) and found.filename is not None and Path(found.filename).absolute() not in database:
        return f"{found.filename} cannot be read or written: {found.strerror}."
    reason = " ".join(str(found).split()) or type(found).__name__
    advice = _explain_sqlite(path, found) if path is not None else _explain_postgresql(found)
    if path is None and advice is not None:
        advice = f"{reason}: {advice}"
    return f"The database cannot be used: {advice or reason}."


def _explain_sqlite(path: Path, error: BaseException) -> str | None:
    if path.is_dir():
        return f"{path} is a folder: name a file in LIFELINE_DATABASE_URL, such as sqlite:///{path / 'lifeline.db'}"
    if not os.path.exists(path.absolute().parent):  # noqa: PTH110 - unlike Path.exists, false for a folder that this user may not enter
        return f"there is no folder {path.absolute().parent}, or this user may not enter it: correct LIFELINE_DATABASE_URL"
    if not os.path.lexists(path):
        return f"there is no file {path}: correct LIFELINE_DATABASE_URL. Run `lifeline migrate` if that has not been done"
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF == sqlite3.SQLITE_NOTADB:
        return f"{path} is not a SQLite database: correct LIFELINE_DATABASE_URL"
    if code & 0xFF == sqlite3.SQLITE_CORRUPT:
        return f"{path} is damaged: run `lifeline verify` for details, and restore a backup"
    if code & 0xFF == sqlite3.SQLITE_FULL:
        return f"the disk of {path} is full: make room"
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or isinstance(error, PoolTimeoutError):
        return f"another process holds the lock of {path}: try again"
    if code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
        return f"this user may not write to {path} or its folder, or their disk is read-only: run the command as the owner of the file"
    return None


def _explain_postgresql(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None) or ""
    if isinstance(error.__cause__, asyncpg.TargetServerAttributeNotMatched):
        return _BY_SQLSTATE["25006"]
    if isinstance(error, OSError):
        return "check that the server runs, and its host and port in LIFELINE_DATABASE_URL"
    return next((advice for start, advice in _BY_SQLSTATE.items() if state.startswith(start)), None)
