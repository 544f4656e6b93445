"""Bulk insert: many rows by the fastest way of each database, in the caller's transaction."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

CHUNK = 10_000
"""Keys looked up, and rows written to SQLite, at once; SQLite takes 32,766 values."""
_T = TypeVar("_T")


def chunks(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Items in pieces a database takes as parameters of one statement."""
    rest = iter(items)
    while chunk := list(itertools.islice(rest, CHUNK)):
        yield chunk


def insert(
    connection: sa.Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Writes rows: COPY on PostgreSQL, one prepared statement for many rows on SQLite.

    Args:
        connection: In a transaction.
        table: Name of the table.
        columns: Names of its columns, in the order of the cells of `rows`.
        rows: Read once, as they are written.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        statement = f"COPY {table} ({names}) FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608
    for chunk in chunks(rows):
        connection.exec_driver_sql(statement, chunk)
