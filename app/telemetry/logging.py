"""Logs as one JSON object per line on standard error, without secrets, bodies, local variables and error messages."""

import logging
import sys
import traceback
from typing import Any

import structlog


def format_exception_location(error: BaseException | None, seen: frozenset[int] = frozenset()) -> str:
    """Return traceback, type and database error code of an exception and its causes, but no message, which may quote a restricted value."""
    if error is None or id(error) in seen:
        return ""
    seen |= {id(error)}
    cause = format_exception_location(error.__cause__ or (None if error.__suppress_context__ else error.__context__), seen)
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    type_ = f"{type(error).__module__}.{type(error).__qualname__}{f' {code}' if code else ''}\n"
    group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    members = "".join(format_exception_location(each, seen) for each in group)
    return f"{cause}{''.join(traceback.format_tb(error.__traceback__))}{type_}{members}"


_PROCESSORS: list[Any] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.ExceptionRenderer(lambda exc_info: format_exception_location(exc_info[1])),
]


def configure_logging() -> None:
    """Configure the logs of this process; may be called again."""
    structlog.configure(
        processors=[*_PROCESSORS, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def stdlib_formatter() -> logging.Formatter:
    """Return a formatter that writes the records of Python's `logging` as the same JSON."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_PROCESSORS],
    )


# For uvicorn, which passes it to `logging.config.dictConfig` in each worker process.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "app.telemetry.logging.stdlib_formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"uvicorn": {"level": "INFO"}},
}
