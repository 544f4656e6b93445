"""Newest row of each setup: what is kept of a store in memory, and fast reading of its rows.

A catalog grows by measuring the same setups again. Of each setup the newest row is kept in
memory; the others are history, read when somebody asks for it. Rows are only ever added, so the
highest id pins what was read.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.doubt import standing
from catalog.records import Measurement, SetupKey

if TYPE_CHECKING:
    import sqlalchemy as sa

ALL = 2**63 - 1
"""Above every id."""
_CHUNK = 1000
"""Rows fetched at once."""
_SAMPLE, _ALIKE = 100, 8
"""Values of a chunk's column are shared where each occurs that often in a sample of it."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The newest row of each setup of a store, and what pins the rest of it.

    Attributes:
        rows: In the order of `ids`, which grow.
        last: Id of the last row, newest of its setup or not; 0 where there is none.
        last_digest: What that row says.
        count: All rows up to it.
        total: Sum of their digests modulo 2**256; their order has no say in it.
    """

    rows: tuple[Measurement, ...] = ()
    ids: tuple[int, ...] = ()
    last: int = 0
    last_digest: str = ""
    count: int = 0
    total: int = 0

    def digest(self) -> bytes:
        """Hash of everything all rows say."""
        return hashlib.sha256(b"%d %064x" % (self.count, self.total)).digest()


def newest(rows: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Of the rows of each setup the newest sound one, else the newest; a later row wins a tie."""
    found: dict[tuple[object, ...], Measurement] = {}
    for row in rows:
        setup = SetupKey.of(row)
        before = found.setdefault(setup, row)
        if before is not row and standing(row) >= standing(before):
            found[setup] = row
    return tuple(found.values())


@contextmanager
def deferred_collection() -> Iterator[None]:
    """Many lasting objects are made without the garbage collector looking through them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _shared(column: Sequence[Any], known: dict[Any, Any]) -> Sequence[Any]:
    """A column whose equal values are one object, if a sample of it says there are many."""
    if len(set(column[:_SAMPLE])) * _ALIKE > _SAMPLE:
        return column
    return [*map(known.setdefault, column, column)]


def read_rows(
    result: sa.CursorResult[Any], names: Sequence[str]
) -> Iterator[tuple[int, Measurement]]:
    """Table rows as records, each with its id.

    Args:
        result: Rows of id and the fields `names`.
        names: Fields of `Measurement`.
    """
    known: dict[str, dict[Any, Any]] = {name: {} for name in names}
    for chunk in result.partitions(_CHUNK):
        ids, *columns = zip(*chunk, strict=True)
        given = {
            name: _shared(column, known[name])
            for name, column in zip(names, columns, strict=True)
            if column.count(None) < len(column)
        }
        if flags := given.get("flags"):
            made = {text: tuple(text.split(";")) if text else () for text in set(flags)}
            given["flags"] = [made[text] for text in flags]
        for id_, cells in zip(ids, zip(*given.values(), strict=True), strict=True):
            yield id_, Measurement(**dict(zip(given, cells, strict=True)))
