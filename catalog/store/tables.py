"""Tables of a catalog's database, as the newest migration leaves them."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from catalog.records import Measurement
from catalog.store import accuracy_table
from catalog.store import prediction_table as predictiontable

metadata = sa.MetaData()


def _type_of(field: msgspec.structs.FieldInfo) -> Any:
    """The column type of one field of `Measurement`."""
    text = str(field.type)
    if "float" in text:
        return sa.Double()
    return sa.BigInteger() if "int" in text else sa.Text()


measurement = sa.Table(
    "measurement",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),
    sa.Column("setup", sa.String(64), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False),
    *(
        sa.Column(field.name, _type_of(field), nullable=not field.required)
        for field in msgspec.structs.fields(Measurement)
    ),
)
declaration = sa.Table(
    "declaration",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.Text(), primary_key=True),
    sa.Column("record", sa.Text(), nullable=False),
)
token = sa.Table(
    "token",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("created_at", sa.Text(), nullable=False),
    sa.Column("revoked_at", sa.Text()),
)
catalog_version = sa.Table(
    "catalog_version",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)
prediction = predictiontable.table(metadata)
accuracy = accuracy_table.table(metadata)
