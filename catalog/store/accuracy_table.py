"""Accuracies in the database: one row each, written once, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from catalog.accuracy import NOT_CONTENT, Accuracy, accuracy_digest, accuracy_key
from catalog.errors import ConflictError
from catalog.store import bulk

_FIELDS = [field.name for field in msgspec.structs.fields(Accuracy)]


def columns() -> list[sa.Column[Any]]:
    """Columns of the table but its id, key and digest."""
    kinds = {float: sa.Double, int: sa.BigInteger, bool: sa.Boolean}
    found = []
    for field in msgspec.structs.fields(Accuracy):
        plain = next((t for t in (float, int, bool) if field.type in (t, t | None)), str)
        kind = kinds.get(plain, sa.Text)
        found.append(sa.Column(field.name, kind(), nullable=not field.required))
    return found


def table(metadata: sa.MetaData) -> sa.Table:
    """Declares the table."""
    return sa.Table(
        "accuracy",
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        *columns(),
    )


def insert(connection: sa.Connection, where: sa.Table, given: Sequence[Accuracy]) -> int:
    """Writes the results that are not there and returns how many they were.

    Raises:
        ConflictError: A result is there, or twice among the given ones, with other content; each
            is named by its row among the given and by the columns that differ.
    """
    rows: dict[str, Accuracy] = {}
    conflicts = []
    for place, row in enumerate(given, start=1):
        before = rows.setdefault(accuracy_key(row), row)
        if accuracy_digest(before) != accuracy_digest(row):
            conflicts.append(_conflict(place, row, before, "in the same file"))
    if not rows:
        return 0
    there = _stored(connection, where, list(rows))
    places = {key: place for place, key in enumerate(map(accuracy_key, given), start=1)}
    conflicts += [
        _conflict(places[key], row, there[key], "in the catalog")
        for key, row in rows.items()
        if key in there and accuracy_digest(there[key]) != accuracy_digest(row)
    ]
    if conflicts:
        shown = "\n".join(f"  {conflict}" for conflict in conflicts[:50])
        raise ConflictError(
            f"{len(conflicts)} accuracy row(s) contradict a row with the same run, source, "
            f"candidate, regime and workload, nothing stored; give a new result a new run_id\n"
            f"{shown}"
        )
    new = [row for key, row in rows.items() if key not in there]
    if new:
        connection.execute(where.insert(), [_cells(row) for row in new])
    return len(new)


def _conflict(place: int, row: Accuracy, other: Accuracy, where: str) -> str:
    """One contradiction: the row and the columns with both values."""
    differ = [
        f"column {name!r}: {getattr(row, name)!r} here, {getattr(other, name)!r} {where}"
        for name in _FIELDS
        if name not in NOT_CONTENT and getattr(row, name) != getattr(other, name)
    ]
    return f"row {place}, {row.candidate} on {row.workload}: {'; '.join(differ)}"


def _cells(row: Accuracy) -> dict[str, Any]:
    """A result as a table row."""
    return {
        "key": accuracy_key(row),
        "digest": accuracy_digest(row),
        **{name: getattr(row, name) for name in _FIELDS},
    }


def _stored(connection: sa.Connection, where: sa.Table, keys: list[str]) -> dict[str, Accuracy]:
    """Those of `keys` that are stored."""
    found = {}
    for chunk in bulk.chunks(keys):
        query = sa.select(where.c.key, *(where.c[name] for name in _FIELDS))
        for key, *cells in connection.execute(query.where(where.c.key.in_(chunk))):
            found[key] = _record(cells)
    return found


def _record(cells: Sequence[Any]) -> Accuracy:
    """A table row as a result."""
    given = {n: cell for n, cell in zip(_FIELDS, cells, strict=True) if cell is not None}
    return Accuracy(**given)


def read(connection: sa.Connection, where: sa.Table) -> list[Accuracy]:
    """All results, oldest first."""
    query = sa.select(*(where.c[name] for name in _FIELDS)).order_by(where.c.id)
    return [_record(cells) for cells in connection.execute(query)]
