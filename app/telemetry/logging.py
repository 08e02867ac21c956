"""Logs: one JSON object a line on standard error. No secrets, no bodies, no local variables of a traceback, no words of an error."""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any

import structlog

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def format_exception_location(error: BaseException | None, seen: frozenset[int] = frozenset()) -> str:
    """Where in the code an error came from, of what sort it is, and the database's code of it.

    Not what it says: a driver or a validator quotes the row or the value that it refuses, which may be restricted.
    """
    if error is None or id(error) in seen:
        return ""
    seen |= {id(error)}
    before = format_exception_location(error.__cause__ or (None if error.__suppress_context__ else error.__context__), seen)
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    sort = f"{type(error).__module__}.{type(error).__qualname__}{f' {code}' if code else ''}\n"
    inner = "".join(format_exception_location(each, seen) for each in error.exceptions) if isinstance(error, BaseExceptionGroup) else ""
    return f"{before}{''.join(traceback.format_tb(error.__traceback__))}{sort}{inner}"


def _exception(exc_info: ExcInfo) -> str:
    return format_exception_location(exc_info[1])


_PROCESSORS: list[Any] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.ExceptionRenderer(_exception),
]


def configure_logging() -> None:
    """Set up the process's logs; calling it again changes nothing."""
    structlog.configure(
        processors=[*_PROCESSORS, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def stdlib_formatter() -> logging.Formatter:
    """What libraries log by Python's `logging`, as the same lines."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_PROCESSORS],
    )


# For the server, which sets it up in each of its processes: in the form of `logging.config.dictConfig`.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "app.telemetry.logging.stdlib_formatter"}},
    "handlers": {"standard_error": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["standard_error"], "level": "WARNING"},
    "loggers": {"uvicorn": {"level": "INFO"}},
}
