"""GPUs visible to CUDA in this process, mapped to NVML handles.

CUDA renumbers GPUs by ``CUDA_VISIBLE_DEVICES``, NVML does not. `lib` is the pynvml module or a test
double with the same functions and ``NVMLError``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec


class VisibleGpu(msgspec.Struct, frozen=True):
    """One GPU that CUDA shows to this process.

    Attributes:
        handle: NVML handle of the GPU or of its MIG instance.
        whole: NVML handle of the whole GPU, the only one with energy and power.
        uuid: UUID of the whole GPU; empty if NVML reports none.
        mig: Whether it is a MIG slice, whose energy reading includes other slices.
    """

    handle: Any
    whole: Any
    uuid: str
    mig: bool


def nvml_query(lib: Any, function: str, *arguments: object) -> Any:
    """Result of an NVML function; ``None`` if it fails or the library lacks it."""
    try:
        return getattr(lib, function)(*arguments)
    except (AttributeError, lib.NVMLError):
        return None


def decode_name(name: object) -> str:
    """A name as text; older NVML bindings return bytes."""
    return name.decode() if isinstance(name, bytes) else str(name)


def _uuid(lib: Any, handle: Any) -> str:
    """UUID of a handle; empty if there is none."""
    found = nvml_query(lib, "nvmlDeviceGetUUID", handle)
    return "" if found is None else decode_name(found)


def _whole_gpu(lib: Any, handle: Any) -> VisibleGpu:
    """A GPU by its handle; if MIG is enabled, CUDA uses its first slice."""
    modes = nvml_query(lib, "nvmlDeviceGetMigMode", handle)
    return VisibleGpu(handle, handle, _uuid(lib, handle), bool(modes and modes[0] == 1))


def _mig_slice(lib: Any, handles: list[Any], token: str) -> VisibleGpu | None:
    """A MIG instance by ``MIG-<uuid>`` or, before driver 470, ``MIG-GPU-<uuid>/<gi>/<ci>``."""
    handle = nvml_query(lib, "nvmlDeviceGetHandleByUUID", token)
    whole = (
        nvml_query(lib, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle) if handle else None
    )
    if whole is None:
        parent = _gpu_by_uuid(lib, handles, token.removeprefix("MIG-").split("/")[0])
        return None if parent is None else VisibleGpu(parent.whole, parent.whole, parent.uuid, True)
    return VisibleGpu(handle, whole, _uuid(lib, whole), True)


def _gpu_by_uuid(lib: Any, handles: list[Any], token: str) -> VisibleGpu | None:
    """A GPU by its UUID or an unambiguous prefix of it."""
    if not token.startswith("GPU-"):
        return None
    found = [handle for handle in handles if _uuid(lib, handle).startswith(token)]
    return _whole_gpu(lib, found[0]) if len(found) == 1 else None


def _resolve_token(lib: Any, handles: list[Any], token: str) -> VisibleGpu | None:
    """The GPU named by one entry of ``CUDA_VISIBLE_DEVICES``; ``None`` if there is none."""
    if token.startswith("MIG-"):
        return _mig_slice(lib, handles, token)
    if not token.isdecimal():
        return _gpu_by_uuid(lib, handles, token)
    index = int(token)
    return _whole_gpu(lib, handles[index]) if index < len(handles) else None


def visible_gpus(lib: Any, environment: Mapping[str, str] = os.environ) -> list[VisibleGpu]:
    """The GPUs CUDA shows to this process, in CUDA's order, with NVML handles.

    ``CUDA_VISIBLE_DEVICES`` may hold indices, UUIDs (or prefixes of them) and MIG UUIDs. As in
    CUDA, entries from the first invalid one on are ignored, and an empty value hides every GPU.
    Indices are taken in NVML's (PCI) order; see `order_ambiguous`.
    """
    count = nvml_query(lib, "nvmlDeviceGetCount") or 0
    handles = [nvml_query(lib, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    value = environment.get("CUDA_VISIBLE_DEVICES")
    tokens = [str(index) for index in range(count)] if value is None else value.split(",")
    found: list[VisibleGpu] = []
    for token in tokens:
        gpu = _resolve_token(lib, handles, token.strip())
        if gpu is None or gpu.handle is None:
            break
        found.append(gpu)
    return found


def order_ambiguous(lib: Any, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether CUDA may number the GPUs differently from NVML.

    CUDA puts the fastest GPU first unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``; for GPUs of one model
    that is NVML's order. UUIDs are unambiguous.
    """
    if environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return False
    if environment.get("CUDA_VISIBLE_DEVICES", "0").startswith(("GPU-", "MIG-")):
        return False
    count = nvml_query(lib, "nvmlDeviceGetCount") or 0
    handles = [nvml_query(lib, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    return (
        len({decode_name(nvml_query(lib, "nvmlDeviceGetName", handle)) for handle in handles}) > 1
    )
