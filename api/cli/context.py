"""Settings, store, snapshot and estimator of one command, opened on first use."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.estimator.estimator import Estimator
    from advisor.recommend.query import Query
    from api.service.settings import Settings
    from catalog.records import Device
    from catalog.snapshot import Snapshot
    from catalog.store.database import Store


@functools.cache
def settings() -> Settings:
    """Settings from the environment; read once per process."""
    from api.service.settings import Settings

    return Settings()


def open_store() -> Store:
    """The store of the configured catalog; creates nothing."""
    from catalog.store.database import Store

    return Store(settings().catalog)


def load_snapshot() -> Snapshot:
    """The current catalog; the bundled figures alone where no database exists yet."""
    from catalog import snapshot
    from catalog.store.location import is_absent

    return snapshot.load(None if is_absent(settings().catalog) else open_store())


def load_estimator(snapshot: Snapshot) -> Estimator:
    """The configured estimator, updated with the runs in the catalog.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    from advisor.estimator import estimator

    return estimator.load(settings().estimator).informed(snapshot)


def resolve_device(name: str | None, snapshot: Snapshot) -> str | Device | None:
    """Name or record of a device; ``this``, ``this-cpu`` and ``this-gpu`` are detected.

    Args:
        name: As on the command line; ``None`` means any device.
        snapshot: Catalog that may hold the detected device.
    """
    if name not in ("this", "this-cpu", "this-gpu"):
        return name
    from api.cli import calibrate

    return calibrate.this_device(snapshot, name)


def resolve_query(asked: Mapping[str, Any], snapshot: Snapshot) -> Query:
    """The question of a command's options, on this machine where its device is ``this``."""
    import msgspec

    from advisor.recommend.query import query_of

    query = query_of(asked)
    if not isinstance(query.device, str):
        return query
    return msgspec.structs.replace(query, device=resolve_device(query.device, snapshot))
