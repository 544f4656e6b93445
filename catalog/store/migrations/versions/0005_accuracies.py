"""Results of accuracy that came without a measurement, as rows of their own.

Those beside a measurement stay in its row, and become evidence from there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEEDED = ("candidate", "workload", "regime", "source")
_TEXTS = (
    "numeric_format", "precision", "other_metrics", "n_test_basis", "split", "contamination",
    "tier", "run_id", "citation", "reference", "licence", "protocol", "model_revision",
    "measured_at", "notes",
)  # fmt: skip
_NUMBERS = ("samples_per_label", "accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd")


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "accuracy",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _NEEDED),
        *(sa.Column(name, sa.Text()) for name in _TEXTS),
        *(sa.Column(name, sa.Double()) for name in _NUMBERS),
        *(sa.Column(name, sa.BigInteger()) for name in ("n_train", "n_draws", "n_test")),
        sa.Column("self_reported", sa.Boolean()),
    )


def downgrade() -> None:
    """Drops the table.

    Raises:
        RuntimeError: Results are there that stand nowhere else: export them first.
    """
    if rows := op.get_bind().execute(sa.text("SELECT count(*) FROM accuracy")).scalar():
        raise RuntimeError(f"{rows} accuracies that came without a measurement would be lost")
    op.drop_table("accuracy")
