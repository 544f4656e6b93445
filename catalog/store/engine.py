"""Database engines: a URL in, an SQLAlchemy engine with our settings out."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from catalog.errors import CatalogUnreadableError


def engine_of(url: str) -> sa.Engine:
    """An engine for a database URL; PostgreSQL through psycopg 3, SQLite in WAL mode.

    Raises:
        CatalogUnreadableError: The URL is malformed or of another database.
        ImportError: Its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
        parsed.get_dialect()
    except (sa.exc.ArgumentError, ValueError) as error:
        raise CatalogUnreadableError(
            "JOULEWISE_CATALOG is no database URL; use e.g. sqlite:////var/lib/joulewise.sqlite "
            "or postgresql://user@host/name"
        ) from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if (backend := parsed.get_backend_name()) not in ("sqlite", "postgresql"):
        raise CatalogUnreadableError(
            f"JOULEWISE_CATALOG names a {backend} database; allowed: sqlite, postgresql"
        )
    if backend == "postgresql":
        return sa.create_engine(parsed, pool_pre_ping=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: Any) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
