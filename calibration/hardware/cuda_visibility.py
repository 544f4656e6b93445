"""Which GPUs this process uses, as NVML knows them: CUDA renumbers, NVML does not.

`lib` is the pynvml module or a stand-in with the same functions and ``NVMLError``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec


class Visible(msgspec.Struct, frozen=True):
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


def ask(lib: Any, function: str, *arguments: object) -> Any:
    """What an NVML function answers; ``None`` where it fails or the library lacks it."""
    try:
        return getattr(lib, function)(*arguments)
    except (AttributeError, lib.NVMLError):
        return None


def decoded(name: object) -> str:
    """Older NVML bindings answer bytes."""
    return name.decode() if isinstance(name, bytes) else str(name)


def _uuid(lib: Any, handle: Any) -> str:
    """A handle's UUID; empty where there is none."""
    found = ask(lib, "nvmlDeviceGetUUID", handle)
    return "" if found is None else decoded(found)


def _whole(lib: Any, handle: Any) -> Visible:
    """A GPU by its own handle; with MIG switched on CUDA takes the first slice of it."""
    modes = ask(lib, "nvmlDeviceGetMigMode", handle)
    return Visible(handle, handle, _uuid(lib, handle), bool(modes and modes[0] == 1))


def _slice(lib: Any, all_handles: list[Any], token: str) -> Visible | None:
    """A MIG instance by ``MIG-<uuid>`` or, before driver 470, ``MIG-GPU-<uuid>/<gi>/<ci>``."""
    handle = ask(lib, "nvmlDeviceGetHandleByUUID", token)
    whole = ask(lib, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle) if handle else None
    if whole is None:
        parent = _by_uuid(lib, all_handles, token.removeprefix("MIG-").split("/")[0])
        return None if parent is None else Visible(parent.whole, parent.whole, parent.uuid, True)
    return Visible(handle, whole, _uuid(lib, whole), True)


def _by_uuid(lib: Any, all_handles: list[Any], token: str) -> Visible | None:
    """A GPU by its UUID or an unambiguous beginning of it."""
    if not token.startswith("GPU-"):
        return None
    found = [handle for handle in all_handles if _uuid(lib, handle).startswith(token)]
    return _whole(lib, found[0]) if len(found) == 1 else None


def _resolved(lib: Any, all_handles: list[Any], token: str) -> Visible | None:
    """The GPU one entry of ``CUDA_VISIBLE_DEVICES`` names; ``None`` where it names none."""
    if token.startswith("MIG-"):
        return _slice(lib, all_handles, token)
    if not token.isdecimal():
        return _by_uuid(lib, all_handles, token)
    index = int(token)
    return _whole(lib, all_handles[index]) if index < len(all_handles) else None


def visible(lib: Any, environment: Mapping[str, str] = os.environ) -> list[Visible]:
    """The GPUs CUDA shows to this process, in CUDA's order, as NVML knows them.

    ``CUDA_VISIBLE_DEVICES`` may hold indices, UUIDs (or their beginnings) and MIG UUIDs; like
    CUDA, entries after the first one that names nothing are ignored, and an empty value hides
    every GPU. Indices are taken in NVML's (PCI) order; see `order_unsure`.
    """
    count = ask(lib, "nvmlDeviceGetCount") or 0
    handles = [ask(lib, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    asked = environment.get("CUDA_VISIBLE_DEVICES")
    tokens = [str(index) for index in range(count)] if asked is None else asked.split(",")
    found: list[Visible] = []
    for token in tokens:
        gpu = _resolved(lib, handles, token.strip())
        if gpu is None or gpu.handle is None:
            break
        found.append(gpu)
    return found


def order_unsure(lib: Any, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether CUDA may number the GPUs otherwise than NVML does.

    CUDA puts the fastest first unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``; among GPUs of one model
    that is NVML's order. UUIDs are never in doubt.
    """
    if environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return False
    if environment.get("CUDA_VISIBLE_DEVICES", "0").startswith(("GPU-", "MIG-")):
        return False
    count = ask(lib, "nvmlDeviceGetCount") or 0
    handles = [ask(lib, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    return len({decoded(ask(lib, "nvmlDeviceGetName", handle)) for handle in handles}) > 1
