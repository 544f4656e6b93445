"""Settings, store and snapshot of one command, opened when it asks for them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.estimator import Estimator
    from api.settings import Settings
    from catalog.snapshot import Snapshot
    from catalog.store import Store


@functools.cache
def settings() -> Settings:
    """The environment's settings; read once, as a command runs once."""
    from api.settings import Settings

    return Settings()


def opened_store() -> Store:
    """The catalog's database; nothing is created."""
    from catalog.store import Store

    return Store(settings().catalog)


def opened_snapshot() -> Snapshot:
    """The catalog as it is now; where nothing was ever stored, no database is opened."""
    from catalog import snapshot
    from catalog.location import is_absent

    return snapshot.load(None if is_absent(settings().catalog) else opened_store())


def opened_estimator(snapshot: Snapshot) -> Estimator:
    """The estimator, informed by the catalog's own runs.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    from advisor import estimator

    return estimator.load(settings().estimator).informed(snapshot)
