"""The serving backend of a measurement, part of its setup."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; hashes of rows without a backend stay as they are."""
    op.add_column("measurement", sa.Column("backend", sa.Text()))


def downgrade() -> None:
    """Drops the column; rows with a backend go with it, as their keys hold it."""
    op.execute("DELETE FROM measurement WHERE backend IS NOT NULL")
    op.drop_column("measurement", "backend")
