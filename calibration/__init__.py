"""How it is measured: hardware, meters, workloads, classifiers, plan, measurement, suite.

`calibrate` does what the command of this name does and returns a record.

Imports only `catalog` of ours. Heavy libraries (torch, transformers, codecarbon, pynvml) are
imported where they are used, so that a machine without them can still be described.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibration.measurement.progress import Summary
    from calibration.records import Event
    from catalog import Device, Store

__all__ = ["calibrate", "this_device"]


def calibrate(
    *,
    store: Store | None = None,
    on_event: Callable[[Event], None] | None = None,
    **options: Any,
) -> Summary:
    """Measures this machine and appends to the catalog; a second call measures what is missing.

    Args:
        store: The catalog; default: the one ``JOULEWISE_CATALOG`` names.
        on_event: Called for each trial that starts, ends or is skipped.
        options: Of `calibration.plan.planner.plan`: `workloads`, `candidates`, `profile`,
            `probing`, `rates` ...

    Raises:
        BusyError: Another calibration measures on this machine.
        UnknownNameError: Unknown workload, candidate or profile.
        WorkloadError: Texts that cannot be used.
        PlanError: An option that cannot be.
        CatalogUnreadableError: The catalog cannot be read or written.
    """
    from calibration import suite
    from catalog import Snapshot, Store

    known = store or Store(os.environ.get("JOULEWISE_CATALOG") or None)
    plan = suite.plan(Snapshot.load(known), **options)
    return suite.calibrate(plan, known, on_event=on_event or (lambda _: None))


def this_device(store: Store | None = None) -> Device:
    """The chip of this machine that answers a question about ``this``: its GPU, else its CPU."""
    from calibration import suite
    from catalog import Snapshot

    return suite.this_device(Snapshot.load(store))
