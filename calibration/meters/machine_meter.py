"""The machine's meter: counters first, CodeCarbon for what no counter reads.

A meter that reads a hardware counter says ``measured``; one that assumes a power says
``modelled``. A component nobody read is absent, never 0. NVML and RAPL live in modules of their
own; here they are put together for a device.
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
"""Environment variable: a file to which every window's raw counter values are appended."""


class MachineMeter:
    """Counters of several parts of a machine in one window, and CodeCarbon beside them.

    CodeCarbon's joules fill components that no counter reads here. For the others they are the
    second opinion, kept as ``codecarbon_j`` in the reading's context; they never replace what a
    counter read, nor what a counter failed to read in this window.

    Args:
        parts: Counter meters, each for components of its own; begun in this order and ended
            in reverse, so the last one's window is the tightest.
        fallback: CodeCarbon's meter, or ``None``.
        wanted: Components a window of this device consists of.
    """

    def __init__(
        self, parts: Sequence[CounterMeter], fallback: Meter | None, wanted: frozenset[str]
    ) -> None:
        self._parts, self._fallback = [part for part in parts if part.has_counter], fallback
        self._unread = wanted - _covered_components(parts)
        self._why = {n: why for part in parts for n, why in part.absent.items() if n in wanted}
        self.name = _combined_name(parts, wanted, fallback is not None)
        self.has_counter = bool(self._parts) or bool(fallback and fallback.has_counter)
        others = [fallback] if fallback and self._unread else []
        self.min_window_s = max(
            (part.min_window_s for part in [*self._parts, *others]), default=0.0
        )

    def start(self) -> None:
        """Begins a window, the slow starters first."""
        if self._fallback:
            self._fallback.start()
        for part in self._parts:
            part.start()

    def stop(self) -> Reading:
        """Joules by component since `start`."""
        read = [part.stop() for part in reversed(self._parts)]
        opinion = self._fallback.stop() if self._fallback else Reading({})
        components: dict[str, tuple[float, Label]] = {}
        absent = dict(self._why)
        context: dict[str, Any] = {}
        raw: dict[str, Any] = {}
        for reading in read:
            components |= reading.components
            absent |= reading.absent
            context |= reading.context
            raw |= {"gpu": reading.raw} if "counter_mj" in reading.raw else reading.raw
        second = {n: part[0] for n, part in opinion.components.items() if n not in self._unread}
        components |= {n: part for n, part in opinion.components.items() if n in self._unread}
        if second:
            context["codecarbon_j"] = second
        flags = {flag for reading in read for flag in reading.flags}
        if not _covered_components(self._parts) <= components.keys():
            flags.add("counter-failed")
        missing = {name: why for name, why in absent.items() if name not in components}
        return Reading(
            components, absent=missing, flags=tuple(sorted(flags)), context=context, raw=raw
        )


def _covered_components(parts: Sequence[CounterMeter]) -> frozenset[str]:
    """Components any of the counters reads."""
    return frozenset().union(*(part.covers for part in parts))


def _combined_name(parts: Sequence[CounterMeter], wanted: frozenset[str], fallback: bool) -> str:
    """Counters that read, and CodeCarbon only where it fills a component."""
    names = [part.name for part in parts if part.has_counter]
    if fallback and wanted - _covered_components(parts):
        names.append("codecarbon")
    return "+".join(names) or "none"


def _device_components(device: Device) -> frozenset[str]:
    """Components around a device: those of scope ``host``."""
    return frozenset({"cpu", "dram", *(["gpu"] if device.kind == "gpu" else [])})


def _gpu_counters(device: Device, lib: Any) -> list[CounterMeter]:
    """The counter meter of a GPU, whether it can read or not."""
    return [NvmlMeter(lib)] if device.kind == "gpu" else []


def meter_for(
    device: Device,
    *,
    library: Callable[[], Any] = nvml.load_pynvml,
    powercap: Path = POWERCAP,
    environment: Mapping[str, str] = os.environ,
) -> Meter:
    """The best meter there is here for a device: counters first.

    Args:
        device: Decides whether a GPU belongs to the window.
        library: Gives pynvml or a stand-in.
        powercap: Where the RAPL domains are.
        environment: With `RECORDING` set, windows are recorded there.

    Returns:
        A `HostMeter` where a counter is readable; else CodeCarbon; else one that reads nothing.
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
    """CodeCarbon's meter, where the library is there; what RAPL refused it may not read either."""
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
    """The name `meter_for` would give, without starting CodeCarbon, which takes seconds."""
    gpu = _gpu_counters(device, library() if device.kind == "gpu" else None)
    parts = [*gpu, RaplMeter(powercap)]
    return _combined_name(
        parts, _device_components(device), importlib.util.find_spec("codecarbon") is not None
    )


def counter_readable() -> bool:
    """Whether any hardware energy counter can be read here (RAPL or NVML)."""
    return RaplMeter().has_counter or NvmlMeter(nvml.load_pynvml()).has_counter
