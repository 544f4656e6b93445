"""The serving backend of a measurement, part of its setup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EAGER = "backend IS NULL OR backend IN ('sklearn', 'torch')"
"""Rows whose keys hold no backend: see `catalog.records.EAGER_BACKENDS`."""


def upgrade() -> None:
    """Adds the column; keys of rows without a backend stay as they are."""
    op.add_column("measurement", sa.Column("backend", sa.Text()))


def downgrade() -> None:
    """Drops the column.

    Raises:
        RuntimeError: Rows of other backends than sklearn and torch are there, whose keys hold it:
            export and delete them first.
    """
    count = sa.text(f"SELECT count(*) FROM measurement WHERE NOT ({_EAGER})")  # noqa: S608
    if rows := op.get_bind().execute(count).scalar():
        raise RuntimeError(f"{rows} rows of other backends than sklearn and torch would be lost")
    op.drop_column("measurement", "backend")
