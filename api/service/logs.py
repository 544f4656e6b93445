"""Logs as one JSON object per line on stderr, without content of questions or uploads."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

LOGGER_NAME = "joulewise"


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON line: time, level, logger, message, extra fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line: dict[str, Any] = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def access_log(level: str) -> Callable[..., None]:
    """A function that writes one line per request; it does nothing at level ``warning``.

    It bypasses `logging`, whose record costs more than finding an answer.
    """
    if level != "info":
        return lambda **_: None

    def write(**fields: object) -> None:
        line = {
            "time": _stamp(time.time()),
            "level": "info",
            "logger": f"{LOGGER_NAME}.access",
            **fields,
        }
        sys.stderr.write(msgspec.json.encode(line).decode() + "\n")

    return write


def _stamp(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC to milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def configure(level: str) -> None:
    """Sends the loggers of Joulewise to stderr as JSON lines; others stay as they are.

    Args:
        level: ``info`` or ``warning``.
    """
    logger = logging.getLogger(LOGGER_NAME)
    logger.setLevel(level.upper())
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logger.handlers = [handler]
