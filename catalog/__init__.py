"""What is known: records, declarations, bundled figures and the store.

The lowest package: it imports none of the others. Finding out what a machine is and how
a number is taken belongs to `calibration`; what follows from the numbers to `advisor`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.quantity import Quantity
    from catalog.records import Candidate, Device, Measurement, SetupKey, Workload
    from catalog.snapshot import Snapshot
    from catalog.store.database import Store

_ROOMS = {
    "Candidate": "catalog.records",
    "Device": "catalog.records",
    "Measurement": "catalog.records",
    "Quantity": "catalog.quantity",
    "SetupKey": "catalog.records",
    "Snapshot": "catalog.snapshot",
    "Store": "catalog.store.database",
    "Workload": "catalog.records",
}
__all__ = [
    "Candidate",
    "Device",
    "Measurement",
    "Quantity",
    "SetupKey",
    "Snapshot",
    "Store",
    "Workload",
]


def __getattr__(name: str) -> Any:
    """The names of `__all__`, loaded when they are asked for: a store's libraries are heavy."""
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'catalog' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion offers."""
    return __all__
