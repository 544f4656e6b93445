"""Accuracies as rows of their own, moved out of the measurements."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from catalog import reference_data
from catalog.accuracies import JOINED, from_measurement
from catalog.records import Candidate, Measurement
from catalog.store import accuracy_table

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, Any] = {
    "accuracy": sa.Double(),
    "accuracy_split": sa.Text(),
    "macro_f1": sa.Double(),
    "n_test": sa.BigInteger(),
    "contamination": sa.Text(),
}
_CHUNK = 10_000


def upgrade() -> None:
    """Creates the table, moves what measurements say, and hashes those rows without it."""
    from catalog.store.hashes import digest_of

    connection = op.get_bind()
    metadata = sa.MetaData()
    accuracy = accuracy_table.table(metadata)
    accuracy.create(connection)
    fields = [field.name for field in msgspec.structs.fields(Measurement)]
    there = {column["name"] for column in sa.inspect(connection).get_columns("measurement")}
    names = [name for name in fields if name in there]
    old = sa.table("measurement", *(sa.column(name) for name in ("id", "digest", *names)))
    candidates = reference_data.candidates() | _declared(connection)
    has = old.c.accuracy.is_not(None) | old.c.macro_f1.is_not(None) | old.c.n_test.is_not(None)
    has |= old.c.contamination.is_not(None) | old.c.accuracy_split.is_not(None)
    last = 0
    while rows := connection.execute(
        sa.select(*(old.c[name] for name in ("id", *names)))
        .where(has, old.c.id > last)
        .order_by(old.c.id)
        .limit(_CHUNK)
    ).all():
        last = rows[-1][0]
        results, digests = [], []
        for id_, *cells in rows:
            given = {n: c for n, c in zip(names, cells, strict=True) if c is not None}
            given["flags"] = tuple(given["flags"].split(";")) if "flags" in given else ()
            row = Measurement(**given)
            digests.append({"at": id_, "now": digest_of(row)})
            if result := from_measurement(row, candidates.get(row.candidate)):
                setup = f"{row.device}, {row.scenario}, batch {row.batch_size}, {row.repeat_group}"
                results.append((result, setup))
        accuracy_table.insert_beside(connection, accuracy, results)
        place: Any = sa.bindparam("at")
        connection.execute(
            sa.update(old).where(old.c.id == place).values(digest=sa.bindparam("now")), digests
        )
    for name in JOINED:
        op.drop_column("measurement", name)
    if last:  # whoever has read the rows reads them again
        connection.execute(sa.text("UPDATE catalog_version SET version = version + 1"))


def _declared(connection: sa.Connection) -> dict[str, Candidate]:
    """Candidates that the catalog itself describes."""
    rows = connection.execute(
        sa.text("SELECT name, record FROM declaration WHERE kind = 'candidate'")
    )
    return {name: msgspec.json.decode(record, type=Candidate) for name, record in rows}


def downgrade() -> None:
    """Moves the accuracies of measurements back; results without a measurement go."""
    for name, kind in _COLUMNS.items():
        op.add_column("measurement", sa.Column(name, kind))
    connection = op.get_bind()
    connection.execute(
        sa.text(
            "UPDATE measurement SET (accuracy, accuracy_split, macro_f1, n_test, contamination) = "
            "(SELECT a.accuracy, a.split, a.macro_f1, a.n_test, a.notes FROM accuracy a "
            "WHERE a.run_id = measurement.run_id AND a.source = measurement.source "
            "AND a.candidate = measurement.candidate AND a.workload = measurement.workload "
            "AND COALESCE(a.precision, '') = COALESCE(measurement.precision, '') LIMIT 1) "
            "WHERE phase = 'inference'"
        )
    )
    op.drop_table("accuracy")
