"""Settings, store and snapshot of one command, opened when it asks for them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.estimator.estimator import Estimator
    from api.service.settings import Settings
    from catalog.records import Device
    from catalog.snapshot import Snapshot
    from catalog.store.database import Store


@functools.cache
def settings() -> Settings:
    """The environment's settings; read once, as a command runs once."""
    from api.service.settings import Settings

    return Settings()


def opened_store() -> Store:
    """The catalog's database; nothing is created."""
    from catalog.store.database import Store

    return Store(settings().catalog)


def opened_snapshot() -> Snapshot:
    """The catalog as it is now; where nothing was ever stored, no database is opened."""
    from catalog import snapshot
    from catalog.store.location import is_absent

    return snapshot.load(None if is_absent(settings().catalog) else opened_store())


def opened_estimator(snapshot: Snapshot) -> Estimator:
    """The estimator, informed by the catalog's own runs.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    from advisor.estimator import estimator

    return estimator.load(settings().estimator).informed(snapshot)


def asked_device(name: str | None, snapshot: Snapshot) -> str | Device | None:
    """A device by name; ``this`` is the machine the command runs on, or one of its chips."""
    if name not in ("this", "this-cpu", "this-gpu"):
        return name
    from api.cli import calibrate as machine

    return machine.this_device(snapshot, name)
