"""Tables of a catalog's database, as the newest migration leaves them."""

from __future__ import annotations

import sqlalchemy as sa

from catalog.accuracy import Accuracy
from catalog.predictions import Predictions
from catalog.records import Measurement
from catalog.store.record_table import table

metadata = sa.MetaData()
measurement = table(
    "measurement",
    Measurement,
    metadata,
    sa.Column("setup", sa.String(64), nullable=False),
    sa.Column("sound", sa.Boolean(), nullable=False),
    sa.Column("moment", sa.Double(), nullable=False),
)
"""`setup` is a hash of the fields of `SetupKey`; `sound` and `moment` rank the rows of one, as
`catalog.doubt.standing` does."""
sa.Index(
    "ix_measurement_newest",
    measurement.c.setup,
    measurement.c.sound.desc(),
    measurement.c.moment.desc(),
    measurement.c.id.desc(),
)
prediction = table("prediction", Predictions, metadata, needed=("split",))
accuracy = table("accuracy", Accuracy, metadata)
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
    sa.Column("n_rows", sa.BigInteger, nullable=False),
    sa.Column("digest_sum", sa.String(64), nullable=False),
)
"""One row; `n_rows` counts measurements, `digest_sum` is the sum of their digests modulo 2**256."""
