"""Logs: one JSON object a line on standard error. No secrets, no bodies, no local variables of a traceback."""

import logging
import sys

import structlog


def configure_logs() -> None:
    """Set up the process's logs; calling it again changes nothing."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
