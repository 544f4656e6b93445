"""Rank of a measurement among those of its setup, and the sum of all digests, kept by writers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from catalog.records import moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DOUBTS = ("other-load", "throttled", "unstable")
_CHUNK = 10_000


def upgrade() -> None:
    """Adds the columns and fills them from the rows there are."""
    op.add_column("measurement", sa.Column("sound", sa.Boolean(), nullable=False,
                                           server_default=sa.true()))  # fmt: skip
    op.add_column("measurement", sa.Column("moment", sa.Double(), nullable=False,
                                           server_default="0"))  # fmt: skip
    op.add_column("catalog_version", sa.Column("n_rows", sa.BigInteger(), nullable=False,
                                               server_default="0"))  # fmt: skip
    op.add_column("catalog_version", sa.Column("digest_sum", sa.String(64), nullable=False,
                                               server_default="0"))  # fmt: skip
    bind = op.get_bind()
    doubted = sa.text(
        "UPDATE measurement SET sound = :no WHERE source = 'calibration' AND ';' || flags || ';' "
        "LIKE '%;' || :flag || ';%'"
    ).bindparams(sa.bindparam("no", False, type_=sa.Boolean()))
    for flag in _DOUBTS:
        bind.execute(doubted, {"flag": flag})
    some = sa.text("SELECT id, digest, measured_at FROM measurement WHERE id > :after "
                   "ORDER BY id LIMIT :chunk")  # fmt: skip
    dated = sa.text("UPDATE measurement SET moment = :moment WHERE id = :id")
    count = total = after = 0
    while rows := bind.execute(some, {"after": after, "chunk": _CHUNK}).all():
        bind.execute(dated, [{"id": id_, "moment": moment(at)} for id_, _, at in rows])
        count, after = count + len(rows), rows[-1][0]
        total += sum(int(digest, 16) for _, digest, _ in rows)
    summed = sa.text("UPDATE catalog_version SET n_rows = :count, digest_sum = :total")
    bind.execute(summed, {"count": count, "total": f"{total % 2**256:064x}"})
    op.drop_index("ix_measurement_setup", "measurement")
    newest = [sa.text(column) for column in ("setup", "sound DESC", "moment DESC", "id DESC")]
    op.create_index("ix_measurement_newest", "measurement", newest)


def downgrade() -> None:
    """Drops the columns; what they hold follows from the rows."""
    op.drop_index("ix_measurement_newest", "measurement")
    op.create_index("ix_measurement_setup", "measurement", ["setup"])
    for table, columns in {
        "catalog_version": ("n_rows", "digest_sum"),
        "measurement": ("sound", "moment"),
    }.items():
        for column in columns:
            op.drop_column(table, column)
