"""Which GPUs this process uses, as NVML knows them: CUDA renumbers, NVML does not.

`lib` is the pynvml module or a stand-in with the same functions and ``NVMLError``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec


class VisibleGpu(msgspec.Struct, frozen=True):
    """One GPU that CUDA shows to this process.

    Attributes:
        handle: NVML's handle of it, or of its MIG instance.
        whole: Handle of the whole GPU; energy and power exist only there.
        uuid: UUID of the whole GPU; empty where NVML does not say.
        mig: Whether it is a slice of a GPU, whose energy others share.
    """

    handle: Any
    whole: Any
    uuid: str
    mig: bool


def nvml_query(lib: Any, function: str, *arguments: object) -> Any:
    """What an NVML function answers; ``None`` where it fails or the library lacks it."""
    try:
        return getattr(lib, function)(*arguments)
    except (AttributeError, lib.NVMLError):
        return None


def decode_name(name: object) -> str:
    """Older NVML bindings answer bytes."""
    return name.decode() if isinstance(name, bytes) else str(name)


def _uuid(lib: Any, handle: Any) -> str:
    """A handle's UUID; empty where there is none."""
    found = nvml_query(lib, "nvmlDeviceGetUUID", handle)
    return "" if found is None else decode_name(found)


def _whole_gpu(lib: Any, handle: Any) -> VisibleGpu:
    """A GPU by its own handle; with MIG switched on CUDA takes the first slice of it."""
    modes = nvml_query(lib, "nvmlDeviceGetMigMode", handle)
    return VisibleGpu(handle, handle, _uuid(lib, handle), bool(modes and modes[0] == 1))


def _mig_slice(lib: Any, all_handles: list[Any], token: str) -> VisibleGpu | None:
    """A MIG instance by ``MIG-<uuid>`` or, before driver 470, ``MIG-GPU-<uuid>/<gi>/<ci>``."""
    handle = nvml_query(lib, "nvmlDeviceGetHandleByUUID", token)
    whole = (
        nvml_query(lib, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle) if handle else None
    )
    if whole is None:
        parent = _gpu_by_uuid(lib, all_handles, token.removeprefix("MIG-").split("/")[0])
        return None if parent is None else VisibleGpu(parent.whole, parent.whole, parent.uuid, True)
    return VisibleGpu(handle, whole, _uuid(lib, whole), True)


def _gpu_by_uuid(lib: Any, all_handles: list[Any], token: str) -> VisibleGpu | None:
    """A GPU by its UUID or an unambiguous beginning of it."""
    if not token.startswith("GPU-"):
        return None
    found = [handle for handle in all_handles if _uuid(lib, handle).startswith(token)]
    return _whole_gpu(lib, found[0]) if len(found) == 1 else None


def _resolve_token(lib: Any, all_handles: list[Any], token: str) -> VisibleGpu | None:
    """The GPU one entry of ``CUDA_VISIBLE_DEVICES`` names; ``None`` where it names none."""
    if token.startswith("MIG-"):
        return _mig_slice(lib, all_handles, token)
    if not token.isdecimal():
        return _gpu_by_uuid(lib, all_handles, token)
    index = int(token)
    return _whole_gpu(lib, all_handles[index]) if index < len(all_handles) else None


def visible_gpus(lib: Any, environment: Mapping[str, str] = os.environ) -> list[VisibleGpu]:
    """The GPUs CUDA shows to this process, in CUDA's order, as NVML knows them.

    ``CUDA_VISIBLE_DEVICES`` may hold indices, UUIDs (or their beginnings) and MIG UUIDs; like
    CUDA, entries after the first one that names nothing are ignored, and an empty value hides
    every GPU. Indices are taken in NVML's (PCI) order; see `order_unsure`.
    """
    count = nvml_query(lib, "nvmlDeviceGetCount") or 0
    handles = [nvml_query(lib, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    asked = environment.get("CUDA_VISIBLE_DEVICES")
    tokens = [str(index) for index in range(count)] if asked is None else asked.split(",")
    found: list[VisibleGpu] = []
    for token in tokens:
        gpu = _resolve_token(lib, handles, token.strip())
        if gpu is None or gpu.handle is None:
            break
        found.append(gpu)
    return found


def order_ambiguous(lib: Any, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether CUDA may number the GPUs otherwise than NVML does.

    CUDA puts the fastest first unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``; among GPUs of one model
    that is NVML's order. UUIDs are never in doubt.
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
