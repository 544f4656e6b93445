"""First tables: measurements, declarations, tokens and the version that grows with each write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TEXT = (
    *("host", "precision", "repeat_group", "phase", "scenario"),
    *("gpu_label", "cpu_label", "dram_label", "npu_label", "board_label", "wall_label"),
    *("total_scope", "total_label", "accuracy_split", "contamination", "flags", "fingerprint"),
    *("meter", "citation", "reference", "licence", "measured_at", "notes"),
)
_WHOLE = ("n_devices", "n_nodes", "n_active_devices", "repeats", "n_test")
_NUMBER = (
    *("batch_size", "runtime_s", "latency_p50_ms", "latency_p95_ms"),
    *("gpu_j", "cpu_j", "dram_j", "npu_j", "board_j", "wall_j"),
    *("total_j", "total_low_j", "total_high_j", "idle_w", "idle_resident_w", "power_limit_w"),
    *("tokens_mean", "n_parameters", "flops_per_item", "peak_memory_mb", "cv"),
    *("accuracy", "macro_f1"),
)


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "measurement",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("setup", sa.String(64), nullable=False, index=True),
        sa.Column("digest", sa.String(64), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("run_id", "source", "workload", "candidate", "device")
        ),
        sa.Column("n_items", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Text()) for name in _TEXT),
        *(sa.Column(name, sa.BigInteger()) for name in _WHOLE),
        *(sa.Column(name, sa.Double()) for name in _NUMBER),
    )
    op.create_table(
        "declaration",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("record", sa.Text(), nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.Text()),
    )
    version = op.create_table(
        "catalog_version",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(version, [{"id": 1, "version": 0}])


def downgrade() -> None:
    """Drops the tables."""
    for name in ("catalog_version", "token", "declaration", "measurement"):
        op.drop_table(name)
