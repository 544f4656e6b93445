"""Resource usage: cores busy with other processes, free and peak memory of host or GPU."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

from calibration.hardware.machine import read_system_file


def _busy_seconds() -> float | None:
    """CPU seconds of all processes since boot; ``None`` on systems other than Linux."""
    first = read_system_file(Path("/proc/stat")).split("\n", 1)[0].split()
    if first[:1] != ["cpu"]:
        return None
    user, nice, system, _idle, _iowait, irq, softirq = (int(part) for part in first[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds of this process and its descendants, the finished ones that were waited for too.

    A worker pool or a meter's helper of ours is no other load. Outside Linux only this process
    and its finished children.
    """
    ticks: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        fields = read_system_file(entry).rpartition(")")[2].split()
        if len(fields) > 14:  # a process that just ended leaves nothing
            ticks[int(entry.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    if os.getpid() not in ticks:
        return sum(os.times()[:4])
    own, waiting = 0.0, [os.getpid()]
    while waiting:
        one = waiting.pop()
        own += ticks[one][1]
        waiting += [pid for pid, (parent, _) in ticks.items() if parent == one]
    return own / os.sysconf("SC_CLK_TCK")


def n_cores() -> int:
    """Cores this process may use, hyperthreads counted."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class OtherLoad:
    """Cores kept busy by other processes since this object was created.

    This process and its descendants do not count.
    """

    def __init__(self) -> None:
        self._at, self._busy, self._own = time.perf_counter(), _busy_seconds(), _own_seconds()

    def mean_cores(self) -> float | None:
        """Mean number of cores, this process excluded; ``None`` on systems other than Linux."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        others = busy - self._busy - (_own_seconds() - self._own)
        return max(0.0, others) / max(time.perf_counter() - self._at, 1e-9)


def load_1m() -> float | None:
    """Load average of the last minute; ``None`` on Windows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _torch_cuda() -> Any:
    """Module ``torch.cuda``; ``None`` without torch or a GPU."""
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda if torch.cuda.is_available() else None


def free_memory_gb(kind: str) -> float | None:
    """Free memory in GB (1e9 bytes); ``None`` if unknown.

    For ``gpu`` that of the current CUDA device, else Linux's available memory.
    """
    if kind == "gpu":
        cuda = _torch_cuda()
        return cuda.mem_get_info()[0] / 1e9 if cuda is not None else None
    found = re.search(r"MemAvailable:\s*(\d+) kB", read_system_file(Path("/proc/meminfo")))
    return int(found[1]) * 1024 / 1e9 if found else None


def reset_peak_memory(kind: str) -> None:
    """Resets the peak that `peak_memory_mb` reads, before a trial.

    Args:
        kind: Kind of device the trial runs on.
    """
    if kind == "gpu":
        if (cuda := _torch_cuda()) is not None:
            cuda.reset_peak_memory_stats()
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb(kind: str) -> float | None:
    """Peak memory in MB (1e6 bytes) since `reset_peak_memory`; ``None`` if unknown.

    For ``gpu`` torch's allocations on the current device: weights and activations, without the
    CUDA context and the allocator's reserve. Else the resident memory of this process, on systems
    other than Linux since the process started.
    """
    if kind == "gpu":
        cuda = _torch_cuda()
        return (cuda.max_memory_allocated() / 1e6 or None) if cuda is not None else None
    found = re.search(r"VmHWM:\s*(\d+) kB", read_system_file(Path("/proc/self/status")))
    if found:
        return int(found[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6
