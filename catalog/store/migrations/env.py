"""Alembic's entry: runs migrations on the connection `catalog.store.database` hands over."""

from __future__ import annotations

from alembic import context

from catalog.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
