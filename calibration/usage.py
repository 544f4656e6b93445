"""What is in use right now: cores by others, memory by this process. No psutil is needed."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from pathlib import Path

from calibration.probe import read_small


def _busy_seconds() -> float | None:
    """CPU seconds all cores have been busy since boot; ``None`` off Linux."""
    first = read_small(Path("/proc/stat")).split("\n", 1)[0].split()
    if first[:1] != ["cpu"]:
        return None
    user, nice, system, _idle, _iowait, irq, softirq = (int(part) for part in first[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def other_load(seconds: float) -> float:
    """Cores that others keep busy, seen while this process sleeps for `seconds`.

    The load average lags by a minute and would count our own work before; it serves only
    where ``/proc/stat`` is missing.
    """
    before = _busy_seconds()
    if before is None:
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    start = time.perf_counter()
    time.sleep(seconds)
    after = _busy_seconds() or before
    return max(0.0, after - before) / (time.perf_counter() - start)


def load_1m() -> float | None:
    """The load average of the last minute; ``None`` on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def free_memory_gb(kind: str) -> float | None:
    """Memory that is free for a model, 1e9 bytes; ``None`` where nobody says.

    On a GPU that of the current device, else what Linux counts as available.
    """
    if kind == "gpu":
        try:
            import torch
        except ImportError:
            return None
        return torch.cuda.mem_get_info()[0] / 1e9 if torch.cuda.is_available() else None
    found = re.search(r"MemAvailable:\s*(\d+) kB", read_small(Path("/proc/meminfo")))
    return int(found[1]) * 1024 / 1e9 if found else None


def reset_peak_memory() -> None:
    """Lets Linux forget this process's peak, so that the next one is a candidate's own."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process since `reset_peak_memory`, 1e6 bytes.

    Off Linux it is the peak since the process began; ``None`` where nobody says.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", read_small(Path("/proc/self/status")))
    if found:
        return int(found[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6
