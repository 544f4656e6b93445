"""Device page: a device in, its specs with sources and the width of estimates there out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from advisor.estimator.estimator import Estimator, Setup
from advisor.estimator.setup import CALIBRATION, source_of_team
from catalog.hardware.device_defaults import completed
from catalog.records import SCOPES, Basis, Device, Scope

SPECS = (
    ("tdp_w", "Thermal design power", "W"),
    ("power_max_w", "Highest sustained power", "W"),
    ("idle_w", "Idle power", "W"),
    ("cores", "Cores or multiprocessors", ""),
    ("memory_gb", "Memory", "GB"),
    ("bandwidth_gbs", "Memory bandwidth", "GB/s"),
    ("peak_fp32_tflops", "Peak fp32", "TFLOP/s"),
    ("peak_fp16_tflops", "Peak fp16, tensor units", "TFLOP/s"),
    ("peak_int8_tops", "Peak int8", "TOP/s"),
    ("year", "Year", ""),
)
STATUS = {
    "verified": "read in the source",
    "read": "read in the source",
    "derived": "derived from the source",
    "partly": "read in the source in part",
    "unverified": "copied from the source, not checked again",
    "probed": "read on a calibrated machine",
    "asked": "as given in the question",
    "default": "not known: a default of its class",
    "not found": "not known",
    "missing": "not known",
}
_SPEC_ALIASES = {"memory_bandwidth_gbs": "bandwidth_gbs"}
_PART = re.compile(r";\s+(?![^(]*\))")
_NOTE = re.compile(r"(derived|not re-read[^:]*): ([a-z0-9_, ]+?)(?: \((.*)\))?$", re.DOTALL)


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a data sheet; `value` is ``None`` where no source states it."""

    words: str
    unit: str
    value: float | None
    status: str
    source: str | None


class EstimateWidth(msgspec.Struct, frozen=True, kw_only=True):
    """Width of the 90 % interval of an estimate on the device, high over low end.

    Attributes:
        source: Source whose software runs; ``None`` is one the estimator does not know.
        known: Width where the runtime is measured; `unknown` where it is estimated too.
    """

    source: str | None
    scope: Scope
    known: float
    known_basis: Basis
    unknown: float
    unknown_basis: Basis


def _notes(source: str) -> dict[str, tuple[str, str | None]]:
    """Spec -> status and source, for specs that a device's source names one by one."""
    found: dict[str, tuple[str, str | None]] = {}
    for part in _PART.split(source):
        if part.startswith("idle:"):
            found["idle_w"] = ("verified", part.removeprefix("idle:").strip())
        elif note := _NOTE.match(part):
            status = "derived" if note[1] == "derived" else "unverified"
            for name in note[2].replace(" ", "").split(","):
                found[_SPEC_ALIASES.get(name, name)] = (status, note[3])
    return found


def general_source(device: Device) -> str:
    """A device's source without the notes about single specs."""
    parts = _PART.split(device.source or "")
    return "; ".join(p for p in parts if not p.startswith("idle:") and not _NOTE.match(p))


def other_names(device: Device) -> list[str]:
    """A device's aliases without those that differ from its name in case alone."""
    known = {alias.casefold(): alias for alias in reversed(device.aliases)}
    known.pop(device.name.casefold(), None)
    return [alias for alias in device.aliases if known.get(alias.casefold()) == alias]


def specs(device: Device) -> list[Spec]:
    """Every spec of a device with its source and how far that was checked, in `SPECS` order.

    Memory, TDP and idle power that no source states are defaults of its class, shown as such.
    """
    notes = _notes(device.source or "")
    # "derived" and "partly" of a whole record mean the specs its notes name, not the others.
    general = "verified" if device.status in ("derived", "partly") and notes else device.status
    filled = completed(device)
    found = []
    for name, words, unit in SPECS:
        value = getattr(device, name)
        if name in filled.defaults:
            rule = f"{filled.device_class.device_class}: {filled.device_class.rule}"
            usual = float(f"{filled.defaults[name]:.3g}")
            default = Spec(words=words, unit=unit, value=usual, status="default", source=rule)
            found.append(default)
            continue
        status, source = notes.get(name, (general or "unverified", None))
        found.append(
            Spec(
                words=words,
                unit=unit,
                value=value,
                status="missing" if value is None else status,
                source=None if value is None else source,
            )
        )
    return found


def unknown_user(device: Device, estimator: Estimator, sources: Iterable[str]) -> str:
    """Users whose setups are estimated without a known source, in words.

    Args:
        device: Where it would run.
        estimator: The estimator in service.
        sources: Sources that measured the device.
    """
    if source_of_team(estimator.home.get(device.name, "")) == CALIBRATION:
        return "you, on the machine that was calibrated"
    return "anybody else, you included" if any(sources) else "anybody"


def estimate_widths(
    device: Device, estimator: Estimator, sources: Iterable[str]
) -> list[EstimateWidth]:
    """Interval widths of estimates for a MiniLM-sized encoder (22.7 M parameters) at batch 32.

    Args:
        device: Where it would run.
        estimator: The estimator in service.
        sources: Sources that measured the device. Calibrations are left out: a setup without a
            known source is treated like one of the calibrated host.
    """
    found = []
    for source in (*(name for name in sources if name != CALIBRATION), None):
        for scope in SCOPES[:2]:
            timed = Setup(
                device=device,
                n_parameters=22.7e6,
                runtime_s=1e-3,
                batch_size=32,
                tokens=32,
                scope=scope,
                source=source,
            )
            (known,) = estimator.predict([timed])
            (unknown,) = estimator.predict([msgspec.structs.replace(timed, runtime_s=None)])
            ends = known.energy_j, unknown.energy_j
            factors = [(e.high or 1) / (e.low or 1) for e in ends]
            found.append(
                EstimateWidth(
                    source=source,
                    scope=scope,
                    known=factors[0],
                    known_basis=ends[0].basis,
                    unknown=factors[1],
                    unknown_basis=ends[1].basis,
                )
            )
    return found
