"""Problem documents for errors of the database and its drivers."""

import errno
import logging
import sqlite3

import asyncpg
from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.http.problems import RETRY_AFTER_SECONDS, Problem, log, on_unexpected_error, problem_response

UNAVAILABLE = Problem(503, "The database does not answer; try again.", headers={"Retry-After": RETRY_AFTER_SECONDS})
# These last until an operator acts, so clients should not retry every two seconds.
STORAGE_FULL = Problem(507, "The disk is full; nothing was written.", kind="storage-full", headers={"Retry-After": "30"})
READ_ONLY = Problem(503, "The database is read-only at present; reading works.", kind="read-only", headers={"Retry-After": "30"})
MOVED = Problem(
    503, "The database file was moved or replaced; its operator has to put it back.", kind="moved", headers={"Retry-After": "30"}
)
CORRUPT = Problem(503, "The database is damaged; its operator has to repair it.", kind="damaged", headers={"Retry-After": "60"})

# By SQLite result code: 5 BUSY, 6 LOCKED, 7 NOMEM, 8 READONLY, 9 INTERRUPT, 10 IOERR, 11 CORRUPT, 13 FULL, 14 CANTOPEN, 15 PROTOCOL,
# 26 NOTADB.
_SQLITE = {8: READ_ONLY, 11: CORRUPT, 13: STORAGE_FULL, 26: CORRUPT} | dict.fromkeys((5, 6, 7, 9, 10, 14, 15), UNAVAILABLE)
# IOERR when SQLite writes, syncs, truncates, deletes or opens a journal: the file system has become read-only.
_SQLITE_WRITE_ERRORS = (10 | 3 << 8, 10 | 4 << 8, 10 | 5 << 8, 10 | 6 << 8, 10 | 10 << 8)
# By the beginning of the SQLSTATE; the first that fits. 53100 disk full, 25006 read-only transaction, XX001 and XX002 corrupted data or
# index, 55P03 lock not available, 08 connection, 28 authorization, 3D no such database, 40 rollback, 53 resources, 57 operator, 58 system.
_SQLSTATE = {"53100": STORAGE_FULL, "25006": READ_ONLY, "XX001": CORRUPT, "XX002": CORRUPT} | dict.fromkeys(
    ("55P03", "08", "28", "3D", "40", "53", "57", "58"), UNAVAILABLE
)

# Errors of SQLAlchemy, the drivers and the network.
DATABASE_ERRORS = (
    *(DBAPIError, PoolTimeoutError, sqlite3.Error, OSError),
    *(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
)


def classify_database_error(error: BaseException) -> Problem | None:
    """Return the problem that an error of the database, its driver or the network stands for; None for an error in this program.

    Drivers raise their own errors while they connect, and SQLAlchemy's afterwards.
    """
    found = error.orig if isinstance(error, DBAPIError) else error
    code, state = getattr(found, "sqlite_errorcode", None), getattr(found, "sqlstate", None)
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return MOVED
    if code is not None:
        return READ_ONLY if code in _SQLITE_WRITE_ERRORS else _SQLITE.get(code & 0xFF)
    if state is not None:
        return next((problem for start, problem in _SQLSTATE.items() if state.startswith(start)), None)
    if isinstance(found, OSError):
        return STORAGE_FULL if found.errno in (errno.ENOSPC, errno.EDQUOT) else READ_ONLY if found.errno == errno.EROFS else UNAVAILABLE
    if isinstance(error, DBAPIError):
        return UNAVAILABLE if error.connection_invalidated or isinstance(error, InterfaceError) else None
    return UNAVAILABLE if isinstance(error, (PoolTimeoutError, asyncpg.InterfaceError)) else None


def is_conflict(error: DBAPIError) -> bool:
    """Return whether a deadlock or serialisation failure rolled back a transaction, so that a retry may succeed."""
    return (getattr(error.orig, "sqlstate", None) or "").startswith("40")


async def _on_database_error(request: Request, error: Exception) -> Response:
    problem = classify_database_error(error)
    if problem is None:
        return await on_unexpected_error(request, error)
    level = logging.ERROR if problem in (CORRUPT, MOVED) else logging.WARNING
    log.log(level, "database_unavailable", error=type(error).__name__, problem=problem.kind)
    return problem_response(request, problem)


def install(app: FastAPI) -> None:
    """Answer errors of the database and its drivers with problem documents."""
    for database_error in DATABASE_ERRORS:
        app.add_exception_handler(database_error, _on_database_error)
