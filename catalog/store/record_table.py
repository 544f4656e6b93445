"""Tables of records that are written once and never changed: a column a field, a key, a digest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
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


def read(
    connection: sa.Connection, where: sa.Table, kind: type[_Record], *asked: sa.ColumnElement[bool]
) -> list[_Record]:
    """Records, oldest first; none where an older version made the catalog."""
    if not sa.inspect(connection).has_table(where.name):
        return []
    names = kind.__struct_fields__
    query = sa.select(*(where.c[name] for name in names)).where(*asked).order_by(where.c.id)
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
) -> int:
    """Writes the records that are not there and returns how many they were.

    Args:
        connection: In a transaction.
        where: The table.
        given: Records of one kind.
        key: Hash of what identifies a record.
        digest: Hash of what it says.

    Raises:
        ConflictError: A record is there, or twice among the given ones, with other content; each
            is named by its place among the given and by the columns that differ.
    """
    rows: dict[str, tuple[int, _Record]] = {}
    conflicts = []
    for place, row in enumerate(given, start=1):
        _, before = rows.setdefault(key(row), (place, row))
        if digest(before) != digest(row):
            conflicts.append(_conflict(place, row, before, "in the same file"))
    there = digests(connection, where, rows)
    for own, (place, row) in rows.items():
        if own in there and there[own] != digest(row):
            (other,) = read(connection, where, type(row), where.c.key == own)
            conflicts.append(_conflict(place, row, other, "in the catalog"))
    if conflicts:
        shown = "\n".join(f"  {conflict}" for conflict in conflicts[:50])
        raise ConflictError(
            f"{len(conflicts)} {where.name} row(s) contradict what is there under the same run, "
            "source, candidate and workload, nothing stored; give a new result a new run_id\n"
            f"{shown}"
        )
    new = [
        {"key": own, "digest": digest(row), **msgspec.structs.asdict(row)}
        for own, (_, row) in rows.items()
        if own not in there
    ]
    if new:
        connection.execute(where.insert(), new)
    return len(new)


def _conflict(place: int, row: Any, other: Any, where: str) -> str:
    """One contradiction: the record and its columns that differ, with both values."""
    differ = [
        f"column {name!r}: {mine!r:.60} here, {theirs!r:.60} {where}"
        for name in row.__struct_fields__
        if (mine := getattr(row, name)) != (theirs := getattr(other, name))
    ]
    return f"row {place}, {row.candidate} on {row.workload}: {'; '.join(differ)}"
