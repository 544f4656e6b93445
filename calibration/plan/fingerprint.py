"""Fingerprint of a trial: what moves its energy, and the context worth remembering.

The part under ``energy`` decides whether a stored row still holds; the rest is context. Both
are stored as one JSON text of less than 2,000 characters, with no host name and no text in it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from typing import Any

import msgspec

from calibration.classifiers.build import libraries
from calibration.hardware.machine import Machine
from calibration.records import PROTOCOL_VERSION, Profile
from catalog.records import Candidate, Device
from catalog.registry.architectures import ARCHITECTURES


def version(distribution: str) -> str | None:
    """The installed version of a distribution, read without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _minor(distribution: str) -> str | None:
    """Major and minor version: a patch release is taken not to move energy."""
    found = version(distribution)
    return ".".join(found.split(".")[:2]) if found else None


def energy_part(
    machine: Machine, device: Device, candidate: Candidate, sha256: str, meter: str
) -> dict[str, Any]:
    """What a stored row must agree in so that it need not be measured again.

    Args:
        machine: Where it runs.
        device: The chip of it that runs the candidate.
        candidate: Its declaration; names the libraries that count and the checkpoint.
        sha256: Of the workload's data.
        meter: Name of the meter: a better one makes old figures stale.
    """
    gpu = machine.gpus[0] if device.kind == "gpu" and machine.gpus else None
    part = {
        "protocol": PROTOCOL_VERSION,
        "device": device.name,
        "cpu": machine.cpu,
        "gpu": gpu.name if gpu else None,
        "driver": gpu.driver if gpu else None,
        "power_limit_w": gpu.power_limit_w if gpu else None,
        "governor": machine.governor,
        "hypervisor": machine.hypervisor,
        "libraries": {name: _minor(name) for name in libraries(candidate)},
        "checkpoint": candidate.revision,
        "recipe": _recipe(candidate),
        "data": sha256,
        "meter": meter,
    }
    return {name: value for name, value in part.items() if value is not None}


def _recipe(candidate: Candidate) -> str | None:
    """A short hash of how a model is trained or asked; ``None`` where that is all in its name."""
    training = msgspec.structs.asdict(candidate.training) if candidate.training else None
    if candidate.features == "architecture":
        shapes = ARCHITECTURES[candidate.head or ""]
        return hashlib.sha256(msgspec.json.encode(shapes)).hexdigest()[:16]
    head = candidate.head if candidate.prompt else None
    settings: tuple[Any, ...] = (training, candidate.prompt, head)
    if candidate.samples_per_label is not None:
        settings = (*settings, candidate.samples_per_label)
    if not any(settings):
        return None
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:16]


def context(profile: Profile, seed: int, **seen: Any) -> dict[str, Any]:
    """What is remembered beside it: profile, seed, versions, load of others."""
    versions = {name: version(name) for name in ("joulewise", "numpy", "codecarbon")}
    return {
        "profile": profile.name,
        "window_s": profile.window_s,
        "repeats": profile.repeats,
        "seed": seed,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "code": {name: number for name, number in versions.items() if number},
        **seen,
    }


def dumps(energy: dict[str, Any], around: dict[str, Any]) -> str:
    """Both parts as the text that is stored."""
    return json.dumps({"energy": energy, "context": around}, sort_keys=True, ensure_ascii=False)


def holds(stored: str | None, energy: dict[str, Any], profile: Profile) -> bool:
    """Whether a stored row spares a new measurement.

    It does if what moves energy is the same and it was taken at least as long and as often.
    """
    try:
        found = json.loads(stored or "{}")
        around = found.get("context", {})
        long_enough = around.get("window_s", 0) >= profile.window_s
        return bool(
            found.get("energy") == energy
            and long_enough
            and around.get("repeats", 0) >= profile.repeats
        )
    except (ValueError, AttributeError, TypeError):
        return False
