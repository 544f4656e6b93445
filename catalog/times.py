"""When something was measured, as a number."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime


@functools.lru_cache(100_000)
def moment(text: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 date or time; UTC where it states no zone."""
    if text is None:
        return -math.inf
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
