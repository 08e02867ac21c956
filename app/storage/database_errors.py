"""Map errors of the database and its drivers to problem details."""

import errno
import logging

import asyncpg
from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.http.problems import RETRY_AFTER_SECONDS, Problem, _answer, _on_anything, log

UNAVAILABLE = Problem(503, "The database does not answer; try again.", headers={"Retry-After": RETRY_AFTER_SECONDS})


# An operator has to act before these go away, so clients are not to ask every two seconds.
STORAGE_FULL = Problem(507, "There is no space left to write to; nothing was written.", kind="storage-full", headers={"Retry-After": "30"})


READ_ONLY = Problem(503, "The database cannot be written to at present; reading goes on.", kind="read-only", headers={"Retry-After": "30"})


CORRUPT = Problem(503, "The database is damaged; its operator has to look at it.", kind="damaged", headers={"Retry-After": "60"})


# SQLite's result codes: busy, locked, no memory, interrupted, I/O error, cannot open, protocol; read-only; damaged, full, no database.
_SQLITE = {
    5: UNAVAILABLE,
    6: UNAVAILABLE,
    7: UNAVAILABLE,
    8: READ_ONLY,
    9: UNAVAILABLE,
    10: UNAVAILABLE,
    11: CORRUPT,
    13: STORAGE_FULL,
    14: UNAVAILABLE,
    15: UNAVAILABLE,
    26: CORRUPT,
}


# Those I/O errors of SQLite's that come of writing, syncing, cutting, deleting or opening a log: a file system that turned read-only.
_SQLITE_WRITING = (10 | 3 << 8, 10 | 4 << 8, 10 | 5 << 8, 10 | 6 << 8, 10 | 10 << 8)


# How SQLSTATE begins, the longest that fits first: the disk full, the rest of lacking resources; connections, credentials and the
# database itself gone; the operator; a lock not had in time; serialisation and deadlock; a standby, a transaction for reading.
_SQLSTATE = {
    "53100": STORAGE_FULL,
    "25006": READ_ONLY,
    "XX001": CORRUPT,
    "XX002": CORRUPT,
    "55P03": UNAVAILABLE,
    "08": UNAVAILABLE,
    "28": UNAVAILABLE,
    "3D": UNAVAILABLE,
    "40": UNAVAILABLE,
    "53": UNAVAILABLE,
    "57": UNAVAILABLE,
    "58": UNAVAILABLE,
}


def classify_database_error(error: BaseException) -> Problem | None:
    """What an error of the database, of its driver or of the network to it tells of the database's state; None for a mistake of ours.

    Drivers raise their own errors while they connect, SQLAlchemy's own afterwards.
    """
    found = error.orig if isinstance(error, DBAPIError) else error
    code, state = getattr(found, "sqlite_errorcode", None), getattr(found, "sqlstate", None)
    if code is not None:
        return READ_ONLY if code in _SQLITE_WRITING else _SQLITE.get(code & 0xFF)
    if state is not None:
        return next((problem for start, problem in _SQLSTATE.items() if state.startswith(start)), None)
    if isinstance(found, OSError):
        return STORAGE_FULL if found.errno in (errno.ENOSPC, errno.EDQUOT) else READ_ONLY if found.errno == errno.EROFS else UNAVAILABLE
    if isinstance(error, DBAPIError):
        return UNAVAILABLE if error.connection_invalidated or isinstance(error, InterfaceError) else None
    return UNAVAILABLE if isinstance(error, (PoolTimeoutError, asyncpg.InterfaceError)) else None


def is_conflict(error: DBAPIError) -> bool:
    """Whether the database undid a transaction because of another one, by deadlock or serialisation: it may be tried again."""
    return (getattr(error.orig, "sqlstate", None) or "").startswith("40")


async def _on_database_error(request: Request, error: Exception) -> Response:
    problem = classify_database_error(error)
    if problem is None:
        return await _on_anything(request, error)
    log.log(
        logging.ERROR if problem is CORRUPT else logging.WARNING, "database_unavailable", error=type(error).__name__, answer=problem.kind
    )
    return _answer(request, problem)


def install(app: FastAPI) -> None:
    """Answer the errors of the database and its drivers with problem documents."""
    for database_error in (DBAPIError, PoolTimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        app.add_exception_handler(database_error, _on_database_error)
