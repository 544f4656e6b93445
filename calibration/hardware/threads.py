"""CPU threads for inference: the machine's usable cores, and waits that do not spin.

A runtime is measured as one would deploy it: on all cores this process may use, and with threads
that sleep while they wait. OpenMP threads that spin keep a core busy for some time after their
work is done; of another library or process they would count as load.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from calibration.hardware.machine import detect_machine

PASSIVE_WAITS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Environment of OpenMP (GNU and LLVM) in which waiting threads sleep at once."""


def use_passive_waits(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets `PASSIVE_WAITS`, except what is set already; no effect once OpenMP is loaded."""
    for name, value in PASSIVE_WAITS.items():
        environment.setdefault(name, value)


def usable_cores() -> int:
    """Physical cores this process may run on, at least 1; ``OMP_NUM_THREADS`` where it is set.

    The second thread of a core adds little to matrix products, so that threads beyond the physical
    cores are not used.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdigit() and int(asked):
        return int(asked)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, detect_machine().cores))
