"""The rate at which texts arrive, for rows of scenario ``server``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; hashes of rows without a rate stay as they are."""
    op.add_column("measurement", sa.Column("rate_per_s", sa.Double()))


def downgrade() -> None:
    """Drops the column; rows of a rate go with it, as their keys hold it."""
    op.execute("DELETE FROM measurement WHERE rate_per_s IS NOT NULL")
    op.drop_column("measurement", "rate_per_s")
