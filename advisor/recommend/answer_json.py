"""Two ways to write one answer: as records for programs, or straight to JSON.

Both fill in the same places of the same answer, so they cannot tell different things; the JSON
is put together from offers that were encoded once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar, cast

import msgspec

from advisor.recommend.constraints import FLOOR
from advisor.recommend.group import Pool
from advisor.recommend.query import Query
from advisor.recommend.records import Missing, Option, Recommendation, Rejected, Shortfall

Place = tuple[Pool, int]
"""An offer: its pool and its place there."""
AnyShortfall = TypeVar("AnyShortfall", bound=Shortfall)
_ENCODER = msgspec.json.Encoder()
_QUOTED = _ENCODER.encode(FLOOR)
_FLOOR_JSON = _QUOTED[1:-1]
QUERY = "\x01"
_OPEN = b'{"query":'
_HEAD = _OPEN + _ENCODER.encode(QUERY)


class Writer(Protocol):
    """Writes the parts of an answer."""

    def query(self, _query: Query, /) -> Query:
        """The question."""

    def option(self, place: Place, missing: Missing | None = None) -> Option:
        """One offer, in a nearest miss with what it misses."""

    def options(self, places: Iterable[Place]) -> tuple[Option, ...]:
        """A list of offers."""

    def rejected(self, entries: Sequence[Rejected]) -> tuple[Rejected, ...]:
        """Why others lost."""


class Records:
    """Writes records.

    Args:
        floor: Of the question.
    """

    def __init__(self, floor: float) -> None:
        self._floor = floor

    def query(self, query: Query) -> Query:
        """See `Writer`."""
        return query

    def option(self, place: Place, missing: Missing | None = None) -> Option:
        """See `Writer`."""
        pool, at = place
        found = pool.option(at)
        if missing is None:
            return found
        also = tuple(self._stated(each) for each in missing.also)
        missing = msgspec.structs.replace(self._stated(missing), also=also)
        return msgspec.structs.replace(found, missing=missing)

    def _stated(self, short: AnyShortfall) -> AnyShortfall:
        """A shortfall with the floor of the question."""
        return msgspec.structs.replace(short, asked=self._floor) if short.asked == FLOOR else short

    def options(self, places: Iterable[Place]) -> tuple[Option, ...]:
        """See `Writer`."""
        return tuple(pool.option(at) for pool, at in places)

    def rejected(self, entries: Sequence[Rejected]) -> tuple[Rejected, ...]:
        """See `Writer`."""
        shown = f"{self._floor:g}"
        return tuple(
            msgspec.structs.replace(entry, detail=entry.detail.replace(FLOOR, shown))
            if FLOOR in entry.detail
            else entry
            for entry in entries
        )


class Encoded:
    """Writes JSON: msgspec copies what is encoded already; question and floor are left open.

    Attributes:
        longest: Entries of the longest list so far.
    """

    def __init__(self) -> None:
        self.longest = 0

    def query(self, _query: Query) -> Query:
        """See `Writer`."""
        return cast("Query", QUERY)

    def option(self, place: Place, missing: Missing | None = None) -> Option:
        """See `Writer`."""
        pool, at = place
        if missing is not None:
            return msgspec.structs.replace(pool.option(at), missing=missing)
        return cast("Option", msgspec.Raw(pool.encoded(at)))

    def options(self, places: Iterable[Place]) -> tuple[Option, ...]:
        """See `Writer`."""
        parts = [pool.encoded(at) for pool, at in places]
        self.longest = max(self.longest, len(parts))
        joined = b",".join(parts)
        return cast("tuple[Option, ...]", msgspec.Raw(b"[" + joined + b"]"))

    def rejected(self, entries: Sequence[Rejected]) -> tuple[Rejected, ...]:
        """See `Writer`."""
        self.longest = max(self.longest, len(entries))
        return tuple(entries)


class Template(msgspec.Struct, frozen=True, gc=False):
    """An answer whose question and floor are left open.

    Attributes:
        parts: JSON after the question; between any two stands the floor, as a number in its own
            right where `numbers` says so, else as `:g` inside a sentence.
        size: Bytes of the parts.
    """

    parts: tuple[bytes, ...]
    numbers: tuple[bool, ...]
    size: int


def template(answer: Recommendation) -> Template:
    """The JSON of an answer written by `Encoded`, question and floor left open."""
    tail = _ENCODER.encode(answer)[len(_HEAD) :]
    parts: list[bytes] = []
    numbers: list[bool] = []
    for at, stretch in enumerate(tail.split(_QUOTED)):
        pieces = stretch.split(_FLOOR_JSON)
        numbers += [True] * (at > 0) + [False] * (len(pieces) - 1)
        parts += pieces
    return Template(tuple(parts), tuple(numbers), len(tail))


def filled(form: Template, query: Query) -> bytes:
    """A template as the answer to a question."""
    pieces = [_OPEN, _ENCODER.encode(query), form.parts[0]]
    if form.numbers:
        number, plain = _ENCODER.encode(query.min_acc), f"{query.min_acc:g}".encode()
        for part, is_number in zip(form.parts[1:], form.numbers, strict=True):
            pieces.append(number if is_number else plain)
            pieces.append(part)
    return b"".join(pieces)


class Templates:
    """Templates by what they are for, the least recently used forgotten first.

    Args:
        most: Bytes kept at most.
    """

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._kept: OrderedDict[Hashable, Template] = OrderedDict()

    def get(self, key: Hashable) -> Template | None:
        """A template that is kept."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Hashable, form: Template) -> None:
        """Keeps a template."""
        before = self._kept.get(key)
        self._held += form.size - (before.size if before else 0)
        self._kept[key] = form
        while self._held > self._most:
            _, forgotten = self._kept.popitem(last=False)
            self._held -= forgotten.size
