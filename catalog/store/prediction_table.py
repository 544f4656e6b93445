"""Table of predictions: one row each, written with the run they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from catalog.errors import ConflictError
from catalog.predictions import Predictions
from catalog.store import bulk

_FIELDS = [field.name for field in msgspec.structs.fields(Predictions)]


def table(metadata: sa.MetaData) -> sa.Table:
    """Declares the table."""
    fields = msgspec.structs.fields(Predictions)
    return sa.Table(
        "prediction",
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        *(
            sa.Column(
                field.name,
                sa.LargeBinary() if field.type is bytes else sa.Text(),
                nullable=field.default is None,
            )
            for field in fields
        ),
    )


def insert(connection: sa.Connection, where: sa.Table, given: Sequence[Predictions]) -> int:
    """Writes those that are not there and returns how many they were.

    Raises:
        ConflictError: The same key is there with other content.
    """
    rows = {each.key(): each for each in given}
    if not rows:
        return 0
    there: dict[str, str] = {}
    for keys in bulk.chunks(rows):
        known = sa.select(where.c.key, where.c.digest).where(where.c.key.in_(keys))
        for key, digest in connection.execute(known):
            there[key] = digest
    for key, each in rows.items():
        if there.get(key, each.digest()) != each.digest():
            raise ConflictError(
                f"predictions of {each.candidate!r} on {each.workload!r} in run {each.run_id!r} "
                "are there with other content, nothing stored; give a new run a new run_id"
            )
    new = [
        {"key": key, "digest": each.digest(), **{name: getattr(each, name) for name in _FIELDS}}
        for key, each in rows.items()
        if key not in there
    ]
    if new:
        connection.execute(where.insert(), new)
    return len(new)


def read(connection: sa.Connection, where: sa.Table) -> list[Predictions]:
    """All of them, oldest first."""
    query = sa.select(*(where.c[name] for name in _FIELDS)).order_by(where.c.id)
    return [
        Predictions(**dict(zip(_FIELDS, cells, strict=True))) for cells in connection.execute(query)
    ]
