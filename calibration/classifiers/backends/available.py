"""Availability of serving backends: a backend and a kind of device in, what is missing out."""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Sequence

from catalog.errors import UnknownNameError, install_command
from catalog.records import BACKENDS, Kind

_PACKAGES: dict[str, dict[str, str]] = {
    "onnxruntime": {"onnxruntime": "onnxruntime", "onnx": "onnx"},
    "openvino": {"openvino": "openvino", "onnx": "onnx"},
    "vllm": {"vllm": "vllm"},
    "int4": {"bitsandbytes": "bitsandbytes"},
}
"""Backend or number format -> import name -> distribution of what it needs beside PyTorch."""
_INSTALL = {
    "onnxruntime": install_command("calibration"),
    "openvino": install_command("calibration"),
    "vllm": "pip install vllm",
    "int4": "pip install bitsandbytes",
}
_CUDA_PROVIDER = "CUDAExecutionProvider"


def distributions(backend: str) -> tuple[str, ...]:
    """Distributions whose version affects the energy on a backend, or in number format int4."""
    return tuple(_PACKAGES.get(backend, {}).values())


def missing(backend: str, kind: Kind = "cpu") -> str | None:
    """Why a backend cannot run here, with the install command; ``None`` if it can.

    Args:
        backend: One of `catalog.records.BACKENDS`, or the number format ``int4``.
        kind: Kind of the device it is to run on.
    """
    absent = [
        name
        for module, name in _PACKAGES.get(backend, {}).items()
        if importlib.util.find_spec(module) is None
    ]
    if absent:
        return f"{', '.join(absent)} not installed; {_INSTALL[backend]}"
    if backend == "onnxruntime" and kind == "gpu":
        import onnxruntime

        if _CUDA_PROVIDER not in onnxruntime.get_available_providers():
            return "this onnxruntime has no CUDA provider; pip install onnxruntime-gpu"
    return None


def matching(globs: Sequence[str]) -> frozenset[str]:
    """Backends that match any glob.

    Raises:
        UnknownNameError: A glob matches none.
    """
    found: set[str] = set()
    for glob in globs:
        names = fnmatch.filter(BACKENDS, glob)
        if not names:
            raise UnknownNameError("backend", glob, BACKENDS)
        found |= {*names}
    return frozenset(found)
