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

from catalog.doubt import DOUBTS, SUITE
from catalog.records import Measurement, moment

if TYPE_CHECKING:
    import sqlalchemy as sa

ALL = 2**63 - 1
"""Above every id."""
_FIRST, _MOST = 500, 20_000
"""Rows fetched at once: few at first, as a reader may want no more, then twice as many."""
_ALIKE = 8
"""Values of a chunk's column are shared where each occurs in that many rows or more."""
_SAMPLE = 1000
"""Cells that are looked at to tell."""


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


class Heads(msgspec.Struct, kw_only=True):
    """What tells rows apart, without what they say; see `Stored`.

    Attributes:
        newest: Of each setup, by its hash: whether the row that stands is sound, its moment and
            id; sound rows go before doubtful ones (`catalog.doubt`), a later row wins a tie.
    """

    newest: dict[str, tuple[bool, float, int]]
    last: int
    last_digest: str = ""
    count: int = 0
    total: int = 0


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


def _chunks(result: sa.CursorResult[Any]) -> Iterator[Sequence[Any]]:
    """Rows of a result, a few first and then more and more at once."""
    size = _FIRST
    while chunk := result.fetchmany(size):
        yield chunk
        size = min(2 * size, _MOST)


def read_heads(result: sa.CursorResult[Any], after: int) -> Heads:
    """Which rows are the newest of their setups, and the sum of all digests.

    Args:
        result: Rows of id, setup, digest, `measured_at`, source and flags in the order of ids.
        after: The id before the first of them.
    """
    found, doubted = Heads(newest={}, last=after), frozenset(DOUBTS)
    newest, total = found.newest, 0
    with deferred_collection():
        for chunk in _chunks(result):
            for id_, setup, digest, at, source, flags in chunk:
                total += int(digest, 16)
                sound = source != SUITE or not flags or doubted.isdisjoint(flags.split(";"))
                rank = (sound, moment(at), id_)
                before = newest.get(setup)
                if before is None or rank >= before:
                    newest[setup] = rank
            found.count += len(chunk)
            found.last, found.last_digest = chunk[-1][0], chunk[-1][2]
    found.total = total % 2**256
    return found


def _shared(column: Sequence[Any], known: dict[Any, Any]) -> Sequence[Any]:
    """A column whose equal values are one object, if a sample of it says there are many."""
    sample = column[:: 1 + len(column) // _SAMPLE]
    if len(set(sample)) * _ALIKE > len(sample):
        return column
    return [*map(known.setdefault, column, column)]


def _flags(column: Sequence[Any]) -> list[tuple[str, ...]]:
    """The cells of `flags` as tuples."""
    made = {text: tuple(text.split(";")) if text else () for text in set(column)}
    return [made[text] for text in column]


def read_rows(
    result: sa.CursorResult[Any], names: Sequence[str]
) -> Iterator[tuple[int, Measurement]]:
    """Table rows as records, each with its id.

    Args:
        result: Rows of id and the fields `names`.
        names: Fields of `Measurement`.
    """
    known: dict[str, dict[Any, Any]] = {name: {} for name in names}
    for chunk in _chunks(result):
        ids, *columns = zip(*chunk, strict=True)
        given = {
            name: _flags(column) if name == "flags" else _shared(column, known[name])
            for name, column in zip(names, columns, strict=True)
            if column.count(None) < len(column)
        }
        fields = tuple(given)
        for id_, cells in zip(ids, zip(*given.values(), strict=True), strict=True):
            yield id_, Measurement(**dict(zip(fields, cells, strict=True)))
