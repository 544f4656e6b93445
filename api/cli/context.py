"""Settings, store, snapshot and estimator of one command, opened on first use."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.estimator.estimator import Estimator
    from api.service.settings import Settings
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
    from catalog.snapshot import Snapshot

    return Snapshot.load(settings().catalog)


def load_estimator(snapshot: Snapshot) -> Estimator:
    """The configured estimator, updated with the runs in the catalog.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    from advisor.estimator import estimator

    return estimator.load(settings().estimator).informed(snapshot)
