"""Tables of records that are written once and never changed: a column a field, a key, a digest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from catalog.errors import ConflictError
from catalog.store import bulk

_KINDS: dict[type, type[sa.types.TypeEngine[Any]]] = {
    float: sa.Double,
    int: sa.BigInteger,
    bool: sa.Boolean,
    bytes: sa.LargeBinary,
}
_SHOWN = 50
"""Conflicts that a message names."""
_Record = TypeVar("_Record", bound=msgspec.Struct)


def table(
    name: str,
    kind: type[msgspec.Struct],
    metadata: sa.MetaData,
    *more: sa.schema.SchemaItem,
    needed: Collection[str] = (),
) -> sa.Table:
    """Declares the table of a kind of record.

    Args:
        name: Name of the table.
        kind: The record.
        metadata: Where it belongs.
        more: Further columns and indexes.
        needed: Fields that are never missing although they have a default.
    """
    columns = []
    for field in msgspec.structs.fields(kind):
        plain = next((t for t in _KINDS if field.type in (t, t | None)), str)
        nullable = not field.required and field.name not in needed
        columns.append(sa.Column(field.name, _KINDS.get(plain, sa.Text)(), nullable=nullable))
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        *columns,
        *more,
    )


def digests(connection: sa.Connection, where: sa.Table, keys: Iterable[str]) -> dict[str, str]:
    """Digests of those of `keys` that are stored, by key."""
    found: dict[str, str] = {}
    for some in bulk.chunks(keys):
        query = sa.select(where.c.key, where.c.digest).where(where.c.key.in_(some))
        for key, digest in connection.execute(query):
            found[key] = digest
    return found


def read(connection: sa.Connection, where: sa.Table, kind: type[_Record]) -> list[_Record]:
    """All records, oldest first; none where an older version made the catalog."""
    if not sa.inspect(connection).has_table(where.name):
        return []
    names = kind.__struct_fields__
    query = sa.select(*(where.c[name] for name in names)).order_by(where.c.id)
    return [
        kind(**{n: cell for n, cell in zip(names, cells, strict=True) if cell is not None})
        for cells in connection.execute(query)
    ]


def insert(
    connection: sa.Connection,
    where: sa.Table,
    given: Sequence[_Record],
    key: Callable[[_Record], str],
    digest: Callable[[_Record], str],
    more: Callable[[_Record], Mapping[str, Any]] = lambda _: {},
) -> list[str]:
    """Writes the records that are not there and returns their digests.

    Args:
        connection: In a transaction.
        where: The table.
        given: Records of one kind.
        key: Hash of what identifies a record.
        digest: Hash of what it says.
        more: Cells of further columns.

    Raises:
        ConflictError: A record is there, or twice among the given ones, with other content; each
            is named by its place among the given and by the columns that differ.
    """
    rows: dict[str, tuple[int, _Record, str]] = {}
    twice = []
    for place, row in enumerate(given, start=1):
        said = digest(row)
        before = rows.setdefault(key(row), (place, row, said))
        if before[2] != said:
            twice.append((place, row, before[1]))
    there = digests(connection, where, rows)
    changed = [(*rows[own][:2], own) for own, said in there.items() if said != rows[own][2]]
    if twice or changed:
        faults = [_differing(place, row, _cells(first)) for place, row, first in twice[:_SHOWN]]
        for place, row, own in changed[:_SHOWN]:
            stored = connection.execute(sa.select(where).where(where.c.key == own)).mappings().one()
            faults.append(_differing(place, row, dict(stored)))
        which = (
            "are there already with other content"
            if changed
            else "of the file itself have another row of the same run and setup beside them"
        )
        raise ConflictError(
            f"{len(twice) + len(changed)} {where.name} row(s) {which}, nothing stored; give a new "
            "result a new run_id\n" + "\n".join(faults[:_SHOWN])
        )
    new = {own: (row, said) for own, (_, row, said) in rows.items() if own not in there}
    made = ({"key": k, "digest": d, **_cells(row), **more(row)} for k, (row, d) in new.items())
    if first := next(made, None):
        cells = (tuple(row.values()) for row in itertools.chain([first], made))
        bulk.insert(connection, where.name, [*first], cells)
    return [said for _, said in new.values()]


def _cells(row: msgspec.Struct) -> dict[str, Any]:
    """A record as a table row holds it; tuples are joined with ``;``."""
    return {
        name: (";".join(cell) or None) if type(cell) is tuple else cell
        for name, cell in msgspec.structs.asdict(row).items()
    }


def _differing(place: int, row: Any, other: Mapping[str, Any]) -> str:
    """One contradiction: the record and its columns that differ, with both values."""
    differ = [
        f"column {name!r}: {cell!r:.60} here, {other[name]!r:.60} before"
        for name, cell in _cells(row).items()
        if cell != other[name]
    ]
    return (
        f"  row {place}, run_id {row.run_id!r}, {row.candidate} on {row.workload}: "
        f"{'; '.join(differ)}"
    )
