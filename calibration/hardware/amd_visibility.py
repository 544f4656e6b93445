"""AMD GPUs visible to HIP in this process, mapped to AMD SMI handles.

HIP renumbers GPUs by environment variables, AMD SMI does not. `lib` is the amdsmi module or a test
double with the same functions and ``AmdSmiException``. Functions and fields are those of the AMD
SMI Python API (rocm.docs.amd.com/projects/amdsmi, reference/amdsmi-py-api; read at 7.0.2).

PyTorch for ROCm calls its devices ``cuda``, so that candidates run on an AMD GPU as on any other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

_NO_COUNTER = (0, 2**64 - 1)
"""Values of the accumulator where firmware has none: a second die reports 0, the kernel's
``gpu_metrics`` all bits set."""
_TWO_DIES = "MI250"
"""AMD Instinct MI250 and MI250X show each die as a GPU; the first of two reports both dies."""


class AmdGpu(msgspec.Struct, frozen=True):
    """One GPU that HIP shows to this process.

    Attributes:
        handle: AMD SMI handle of the GPU, partition or die.
        whole: Handle that reports energy and power, of the whole package.
        uuid: UUID as HIP prints it; empty if unknown.
        part: Whether it is a part (partition or die) of what `whole` reports.
    """

    handle: Any
    whole: Any
    uuid: str
    part: bool


def load_amdsmi() -> Any:
    """The initialised amdsmi module; ``None`` if it, the driver or a GPU is missing."""
    try:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            import amdsmi  # prints where libamd_smi.so is missing

            amdsmi.amdsmi_init()
    except Exception:  # ImportError, OSError, KeyError, AttributeError or AmdSmiException
        return None
    return amdsmi


def amdsmi_query(lib: Any, function: str, *arguments: object) -> Any:
    """Result of an AMD SMI function; ``None`` if it fails or the library lacks it."""
    try:
        return getattr(lib, function)(*arguments)
    except (AttributeError, TypeError, lib.AmdSmiException):  # signatures differ by release
        return None


def energy_ticks(lib: Any, handle: Any) -> tuple[int, float] | None:
    """The energy accumulator and its resolution in microjoules per tick; ``None`` without one.

    The field was called ``power`` before ROCm 6.2.
    """
    found = amdsmi_query(lib, "amdsmi_get_energy_count", handle) or {}
    ticks = found.get("energy_accumulator", found.get("power"))
    resolution_uj = found.get("counter_resolution")
    if not isinstance(ticks, int) or ticks in _NO_COUNTER:
        return None
    if not isinstance(resolution_uj, int | float) or not resolution_uj > 0:
        return None
    return ticks, float(resolution_uj)


def socket_power_w(lib: Any, handle: Any) -> float | None:
    """Average socket power in watts, current one where no average is given; ``None`` without any.

    Unsupported fields are ``"N/A"``; a second die reports 0.
    """
    found = amdsmi_query(lib, "amdsmi_get_power_info", handle) or {}
    fields = ("average_socket_power", "socket_power", "current_socket_power")
    watts = (found.get(field) for field in fields)
    return next((float(w) for w in watts if isinstance(w, int | float) and w > 0), None)


def market_name(lib: Any, handle: Any) -> str:
    """Marketing name of a GPU; empty if unknown."""
    found = (amdsmi_query(lib, "amdsmi_get_gpu_asic_info", handle) or {}).get("market_name")
    return found if isinstance(found, str) and found != "N/A" else ""


def _reports(lib: Any, handle: Any) -> bool:
    """Whether a handle has energy or power of its own."""
    return energy_ticks(lib, handle) is not None or socket_power_w(lib, handle) is not None


def _whole(lib: Any, handles: Sequence[Any], index: int) -> Any:
    """The handle that reports the energy of a GPU: itself, else its package's first one.

    Partitions of one package share domain, bus and device of their PCI address; dies of an MI250
    follow each other.
    """
    handle = handles[index]
    if _reports(lib, handle):
        return handle
    address = str(amdsmi_query(lib, "amdsmi_get_gpu_device_bdf", handle) or "").rpartition(".")[0]
    for other in handles[:index] if address else ():
        bdf = str(amdsmi_query(lib, "amdsmi_get_gpu_device_bdf", other) or "")
        if bdf.rpartition(".")[0] == address and _reports(lib, other):
            return other
    if index % 2 and _TWO_DIES in market_name(lib, handle):
        return handles[index - 1]
    return handle


def _gpu(lib: Any, handles: Sequence[Any], index: int) -> AmdGpu:
    """One GPU by its place in AMD SMI's list."""
    handle = handles[index]
    mode = amdsmi_query(lib, "amdsmi_get_gpu_compute_partition", handle)
    whole = _whole(lib, handles, index)
    partitioned = isinstance(mode, str) and mode not in ("", "N/A", "SPX")
    names = amdsmi_query(lib, "amdsmi_get_gpu_enumeration_info", handle) or {}
    return AmdGpu(
        handle=handle,
        whole=whole,
        uuid=str(names.get("hip_uuid") or ""),
        part=partitioned or whole is not handle or _TWO_DIES in market_name(lib, handle),
    )


def _hip_ids(lib: Any, handles: Sequence[Any]) -> list[int] | None:
    """HIP's numbers of all GPUs; ``None`` if AMD SMI does not tell one of them (ROCm < 6.4)."""
    found = [amdsmi_query(lib, "amdsmi_get_gpu_enumeration_info", h) or {} for h in handles]
    ids = [names.get("hip_id") for names in found]
    return [i for i in ids if isinstance(i, int)] if all(isinstance(i, int) for i in ids) else None


def _selected(gpus: list[AmdGpu], value: str) -> list[AmdGpu]:
    """GPUs named by indices or UUIDs; entries from the first invalid one on are ignored."""
    found: list[AmdGpu] = []
    for token in (part.strip() for part in value.split(",")):
        named = [gpu for gpu in gpus if token and gpu.uuid.lower() == token.lower()]
        if token.isdecimal() and int(token) < len(gpus):
            named = [gpus[int(token)]]
        if not named:
            break
        found += named
    return found


def amd_gpus(lib: Any, environment: Mapping[str, str] = os.environ) -> list[AmdGpu]:
    """The GPUs HIP shows to this process, in HIP's order.

    ``ROCR_VISIBLE_DEVICES`` (indices or UUIDs) selects first, then ``HIP_VISIBLE_DEVICES`` or,
    without it, ``CUDA_VISIBLE_DEVICES`` (rocm.docs.amd.com, "GPU isolation techniques").
    """
    handles = list(amdsmi_query(lib, "amdsmi_get_processor_handles") or []) if lib else []
    gpus = [_gpu(lib, handles, index) for index in range(len(handles))]
    ids = _hip_ids(lib, handles)
    if ids:
        gpus = [gpu for _, gpu in sorted(zip(ids, gpus, strict=True), key=lambda pair: pair[0])]
    hip = "HIP_VISIBLE_DEVICES" if "HIP_VISIBLE_DEVICES" in environment else "CUDA_VISIBLE_DEVICES"
    for variable in ("ROCR_VISIBLE_DEVICES", hip):
        if variable in environment:
            gpus = _selected(gpus, environment[variable])
    return gpus


def hip_order_ambiguous(lib: Any) -> bool:
    """Whether HIP may number GPUs of different models differently from AMD SMI."""
    handles = list(amdsmi_query(lib, "amdsmi_get_processor_handles") or []) if lib else []
    return _hip_ids(lib, handles) is None and len({market_name(lib, h) for h in handles}) > 1
