"""Logs as one JSON object per line on stderr; what somebody asked or sent never stands in them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

ROOT = "joulewise"


class JsonLines(logging.Formatter):
    """A record as one line: time, level, logger, message, the fields it carries, a traceback."""

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


def access(level: str) -> Callable[..., None]:
    """What writes one line per request, or nothing at level ``warning``.

    It goes past `logging`, whose record costs more than finding an answer.
    """
    if level != "info":
        return lambda **_: None

    def write(**fields: object) -> None:
        line = {"time": _stamp(time.time()), "level": "info", "logger": f"{ROOT}.access", **fields}
        sys.stderr.write(msgspec.json.encode(line).decode() + "\n")

    return write


def _stamp(seconds: float) -> str:
    """ISO 8601 in UTC to milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def configure(level: str) -> None:
    """Sends our own loggers to stderr as JSON lines; others are left as they are.

    Args:
        level: ``info`` has a line per request, ``warning`` has not.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(level.upper())
    logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.handlers = [handler]
