"""Rows out of the store, fast and small: what many rows say alike is one object in memory.

Rows are only ever added, so the highest id read pins what was read.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.records import Measurement

if TYPE_CHECKING:
    import sqlalchemy as sa

_CHUNK = 20_000
_ALIKE = 8
"""Values of a chunk's column are shared where each stands in that many rows or more."""
_SAMPLE = 1000
"""Cells that are looked at to tell."""


class Stored(msgspec.Struct, frozen=True):
    """Rows in the order of their ids.

    Attributes:
        last: Id of the last row, 0 where there is none.
    """

    rows: list[Measurement]
    last: int


@contextmanager
def collected_later() -> Iterator[None]:
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
    sample = column[:: 1 + len(column) // _SAMPLE]
    if len(set(sample)) * _ALIKE > len(sample):
        return column
    return [*map(known.setdefault, column, column)]


def _flags(column: Sequence[Any]) -> list[tuple[str, ...]]:
    """The cells of `flags` as tuples."""
    made = {text: tuple(text.split(";")) if text else () for text in set(column)}
    return [made[text] for text in column]


def read_rows(result: sa.CursorResult[Any], names: Sequence[str]) -> Stored:
    """Table rows as records.

    Args:
        result: Rows of id and the fields `names`.
        names: Fields of `Measurement`.
    """
    rows: list[Measurement] = []
    last = 0
    known: dict[str, dict[Any, Any]] = {name: {} for name in names}
    with collected_later():
        for chunk in result.partitions(_CHUNK):
            last = chunk[-1][0]
            columns = dict(zip(names, list(zip(*chunk, strict=True))[1:], strict=True))
            given = {
                name: _flags(column) if name == "flags" else _shared(column, known[name])
                for name, column in columns.items()
                if column.count(None) < len(column)
            }
            fields = tuple(given)
            rows += [
                Measurement(**dict(zip(fields, cells, strict=True)))
                for cells in zip(*given.values(), strict=True)
            ]
    return Stored(rows, last)
