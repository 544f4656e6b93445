"""Meter of a whole machine: NVML and RAPL counters, CodeCarbon for components without a counter.

Joules from a hardware counter are ``measured``, joules from an assumed power ``modelled``. A
component that could not be read is absent, never 0.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.meters import nvml
from calibration.meters.codecarbon import CodeCarbonMeter
from calibration.meters.meter import CounterMeter, Meter, NullMeter, Reading
from calibration.meters.nvml import NvmlMeter
from calibration.meters.rapl import POWERCAP, RaplMeter, Zone, rapl_zones
from calibration.meters.replay import RecordingMeter, ReplayMeter
from catalog.records import Device, Label

__all__ = [
    "CodeCarbonMeter",
    "MachineMeter",
    "Meter",
    "NullMeter",
    "NvmlMeter",
    "RaplMeter",
    "Reading",
    "RecordingMeter",
    "ReplayMeter",
    "Zone",
    "counter_readable",
    "meter_for",
    "meter_name",
    "rapl_zones",
]

RECORDING_VARIABLE = "JOULEWISE_WINDOWS"
"""Environment variable: path of a file to which each window's raw values are appended."""


class MachineMeter:
    """Several counter meters in one window, with CodeCarbon in parallel.

    CodeCarbon's joules fill components that have no counter. For the others they are kept as a
    cross-check, ``codecarbon_j`` in the reading's context; they never replace a counter's value,
    not even one that failed in this window.

    Args:
        parts: Counter meters for disjoint components; started in this order and stopped in
            reverse, so that the last one's window is the tightest.
        fallback: CodeCarbon's meter, or ``None``.
        wanted: Components that belong to a window of the device.
    """

    def __init__(
        self, parts: Sequence[CounterMeter], fallback: Meter | None, wanted: frozenset[str]
    ) -> None:
        self._parts, self._fallback = [part for part in parts if part.has_counter], fallback
        self._uncounted = wanted - _covered_components(parts)
        self._absent = {n: why for part in parts for n, why in part.absent.items() if n in wanted}
        self.name = _combined_name(parts, wanted, fallback is not None)
        self.has_counter = bool(self._parts) or bool(fallback and fallback.has_counter)
        others = [fallback] if fallback and self._uncounted else []
        self.min_window_s = max(
            (part.min_window_s for part in [*self._parts, *others]), default=0.0
        )

    def start(self) -> None:
        """Begins a window, the slowest meter first."""
        if self._fallback:
            self._fallback.start()
        for part in self._parts:
            part.start()

    def stop(self) -> Reading:
        """Joules by component since `start`."""
        readings = [part.stop() for part in reversed(self._parts)]
        modelled = self._fallback.stop() if self._fallback else Reading({})
        components: dict[str, tuple[float, Label]] = {}
        absent = dict(self._absent)
        context: dict[str, Any] = {}
        raw: dict[str, Any] = {}
        for reading in readings:
            components |= reading.components
            absent |= reading.absent
            context |= reading.context
            raw |= {"gpu": reading.raw} if "counter_mj" in reading.raw else reading.raw
        cross_check: dict[str, float] = {}
        for name, (joules, label) in modelled.components.items():
            if name in self._uncounted:
                components[name] = (joules, label)
            else:
                cross_check[name] = joules
        if cross_check:
            context["codecarbon_j"] = cross_check
        flags = {flag for reading in readings for flag in reading.flags}
        if not _covered_components(self._parts) <= components.keys():
            flags.add("counter-failed")
        missing = {name: why for name, why in absent.items() if name not in components}
        return Reading(
            components, absent=missing, flags=tuple(sorted(flags)), context=context, raw=raw
        )


def _covered_components(parts: Sequence[CounterMeter]) -> frozenset[str]:
    """Components that any of the counter meters reads."""
    return frozenset().union(*(part.covers for part in parts))


def _combined_name(parts: Sequence[CounterMeter], wanted: frozenset[str], fallback: bool) -> str:
    """Names of the working counters, plus CodeCarbon if it fills a component."""
    names = [part.name for part in parts if part.has_counter]
    if fallback and wanted - _covered_components(parts):
        names.append("codecarbon")
    return "+".join(names) or "none"


def _device_components(device: Device) -> frozenset[str]:
    """Components of a device's window: those of scope ``host``."""
    return frozenset({"cpu", "dram", *(["gpu"] if device.kind == "gpu" else [])})


def _gpu_counters(device: Device, lib: Any) -> list[CounterMeter]:
    """The counter meter of a GPU, readable or not; none for other devices."""
    return [NvmlMeter(lib)] if device.kind == "gpu" else []


def meter_for(
    device: Device,
    *,
    library: Callable[[], Any] = nvml.load_pynvml,
    powercap: Path = POWERCAP,
    environment: Mapping[str, str] = os.environ,
) -> Meter:
    """The best available meter for a device: counters first.

    Args:
        device: Decides whether a GPU belongs to the window.
        library: Returns pynvml, a test double, or ``None``.
        powercap: Folder of the RAPL domains.
        environment: If it holds `RECORDING_VARIABLE`, windows are recorded to that file.

    Returns:
        A `MachineMeter` if a counter is readable; else CodeCarbon; else a `NullMeter`.
    """
    rapl = RaplMeter(powercap)
    parts = [*_gpu_counters(device, library() if device.kind == "gpu" else None), rapl]
    codecarbon = _codecarbon_meter(device, rapl.refused)
    meter: Meter
    if any(part.has_counter for part in parts):
        meter = MachineMeter(parts, codecarbon, _device_components(device))
    else:
        meter = codecarbon or NullMeter()
    file = environment.get(RECORDING_VARIABLE)
    return RecordingMeter(meter, Path(file)) if file else meter


def _codecarbon_meter(device: Device, refused: frozenset[str]) -> CodeCarbonMeter | None:
    """CodeCarbon's meter if it is installed; components that RAPL refused are not trusted."""
    if importlib.util.find_spec("codecarbon") is None:
        return None
    try:
        trusted = frozenset({"cpu", "dram", "gpu"}) - refused
        return CodeCarbonMeter(gpu=device.kind == "gpu", trusted=trusted)
    except ImportError:
        return None


def meter_name(
    device: Device, *, library: Callable[[], Any] = nvml.load_pynvml, powercap: Path = POWERCAP
) -> str:
    """Name of the meter `meter_for` would return, without CodeCarbon's start-up of seconds."""
    gpu = _gpu_counters(device, library() if device.kind == "gpu" else None)
    parts = [*gpu, RaplMeter(powercap)]
    return _combined_name(
        parts, _device_components(device), importlib.util.find_spec("codecarbon") is not None
    )


def counter_readable() -> bool:
    """Whether any hardware energy counter (RAPL or NVML) is readable on this machine."""
    return RaplMeter().has_counter or NvmlMeter(nvml.load_pynvml()).has_counter
