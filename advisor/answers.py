"""Two ways to write one answer: as records for programs, or straight to JSON.

Both fill in the same places of the same answer, so they cannot tell different things; the JSON
is put together from offers that were encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import msgspec

from advisor.pools import Pool
from advisor.ranking import FLOOR
from advisor.records import Missing, Option, Rejected

Place = tuple[Pool, int]
"""An offer: its pool and its place there."""
_ENCODER = msgspec.json.Encoder()
_FLOOR_JSON = _ENCODER.encode(FLOOR)[1:-1]


class Writer(Protocol):
    """Writes the parts of an answer."""

    def option(self, place: Place, missing: Missing | None = None) -> Option:
        """One offer, in a nearest miss with what it misses."""

    def options(self, places: Iterable[Place]) -> tuple[Option, ...]:
        """A list of offers."""

    def rejected(self, entries: Sequence[Rejected], floor: float) -> tuple[Rejected, ...]:
        """Entries with the floor filled in."""


class Records:
    """Writes records."""

    def option(self, place: Place, missing: Missing | None = None) -> Option:
        """See `Writer`."""
        pool, at = place
        found = pool.option(at)
        return found if missing is None else msgspec.structs.replace(found, missing=missing)

    def options(self, places: Iterable[Place]) -> tuple[Option, ...]:
        """See `Writer`."""
        return tuple(pool.option(at) for pool, at in places)

    def rejected(self, entries: Sequence[Rejected], floor: float) -> tuple[Rejected, ...]:
        """See `Writer`."""
        shown = f"{floor:g}"
        return tuple(
            msgspec.structs.replace(entry, detail=entry.detail.replace(FLOOR, shown))
            if FLOOR in entry.detail
            else entry
            for entry in entries
        )


class Encoded:
    """Writes JSON: msgspec copies what is encoded already into the answer."""

    def __init__(self) -> None:
        self._entries: dict[Rejected, bytes] = {}

    def option(self, place: Place, missing: Missing | None = None) -> Option:
        """See `Writer`."""
        pool, at = place
        if missing is not None:
            return msgspec.structs.replace(pool.option(at), missing=missing)
        return cast("Option", msgspec.Raw(pool.encoded(at)))

    def options(self, places: Iterable[Place]) -> tuple[Option, ...]:
        """See `Writer`."""
        joined = b",".join([pool.encoded(at) for pool, at in places])
        return cast("tuple[Option, ...]", msgspec.Raw(b"[" + joined + b"]"))

    def rejected(self, entries: Sequence[Rejected], floor: float) -> tuple[Rejected, ...]:
        """See `Writer`."""
        joined = _ENCODER.encode(entries).replace(_FLOOR_JSON, f"{floor:g}".encode())
        return cast("tuple[Rejected, ...]", msgspec.Raw(joined))


def encode(answer: object) -> bytes:
    """An answer as JSON."""
    return _ENCODER.encode(answer)
