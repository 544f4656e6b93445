"""Meter of a whole machine: its counters, and CodeCarbon for components without a counter.

Joules from a hardware counter are ``measured``, joules from an assumed power ``modelled``. A
component that could not be read is absent, never 0.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from calibration.hardware.amd_visibility import load_amdsmi
from calibration.meters import nvml
from calibration.meters.amd import AmdMeter
from calibration.meters.codecarbon import CodeCarbonMeter
from calibration.meters.jetson import I2C_DRIVERS, JetsonMeter
from calibration.meters.meter import CounterMeter, Meter, NullMeter, Reading, StreamMeter
from calibration.meters.nvml import NvmlMeter
from calibration.meters.powermetrics import PowermetricsMeter, powermetrics_command
from calibration.meters.rapl import POWERCAP, RaplMeter, Zone, rapl_zones
from calibration.meters.replay import RecordingMeter, ReplayMeter
from calibration.meters.wall import WallMeter
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
    "Sources",
    "Zone",
    "counter_readable",
    "meter_for",
    "meter_name",
    "rapl_zones",
]

RECORDING_VARIABLE = "JOULEWISE_WINDOWS"
"""Environment variable: path of a file to which each window's raw values are appended."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where counters are read; tests replace them.

    Attributes:
        pynvml: Returns pynvml, a test double, or ``None``.
        amdsmi: Returns amdsmi, a test double, or ``None``.
        powercap: Folder of the RAPL domains.
        i2c: Folder of the I2C drivers, among them those of Jetson's power monitors.
        powermetrics: Returns the command of powermetrics, empty where there is none.
        environment: Holds the settings of this process.
    """

    pynvml: Callable[[], Any] = nvml.load_pynvml
    amdsmi: Callable[[], Any] = load_amdsmi
    powercap: Path = POWERCAP
    i2c: Path = I2C_DRIVERS
    powermetrics: Callable[[], Sequence[str]] = powermetrics_command
    environment: Mapping[str, str] = msgspec.field(default_factory=lambda: os.environ)


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
        streams: Meters of further components that wait for their values; their windows are marked
            where those of `parts` begin and end.
    """

    def __init__(
        self,
        parts: Sequence[CounterMeter],
        fallback: Meter | None,
        wanted: frozenset[str],
        streams: Sequence[StreamMeter] = (),
    ) -> None:
        self._parts, self._fallback = [part for part in parts if part.has_counter], fallback
        self._streams = [stream for stream in streams if stream.has_counter]
        every: list[CounterMeter] = [*parts, *streams]
        wanted |= {name for stream in streams for name in stream.absent}
        self._uncounted = _uncounted_components(every, wanted)
        self._absent = {n: why for part in every for n, why in part.absent.items() if n in wanted}
        self.name = _combined_name(every, wanted, fallback is not None)
        self._counters: list[CounterMeter] = [*self._parts, *self._streams]
        self.has_counter = bool(self._counters) or bool(fallback and fallback.has_counter)
        others = [fallback] if fallback and self._uncounted else []
        self.min_window_s = max(
            (part.min_window_s for part in [*self._counters, *others]), default=0.0
        )

    def start(self) -> None:
        """Begins a window, the slowest meter first."""
        for stream in self._streams:
            stream.start()
        if self._fallback:
            self._fallback.start()
        for part in self._parts:
            part.start()
        for stream in self._streams:
            stream.mark()

    def stop(self) -> Reading:
        """Joules by component since `start`."""
        for stream in self._streams:
            stream.mark()
        readings = [part.stop() for part in reversed(self._parts)]
        modelled = self._fallback.stop() if self._fallback else Reading({})
        readings += [stream.stop() for stream in self._streams]
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
        if not _covered_components(self._counters) <= components.keys():
            flags.add("counter-failed")
        missing = {name: why for name, why in absent.items() if name not in components}
        return Reading(
            components, absent=missing, flags=tuple(sorted(flags)), context=context, raw=raw
        )


def _covered_components(parts: Sequence[CounterMeter]) -> frozenset[str]:
    """Components that any of the counter meters reads."""
    return frozenset().union(*(part.covers for part in parts))


def _uncounted_components(parts: Sequence[CounterMeter], wanted: frozenset[str]) -> frozenset[str]:
    """Wanted components that no counter meter reads; a board's rail feeds all of them."""
    covered = _covered_components(parts)
    return frozenset() if "board" in covered else wanted - covered - {"wall"}


def _combined_name(parts: Sequence[CounterMeter], wanted: frozenset[str], fallback: bool) -> str:
    """Names of the working counters, plus CodeCarbon if it fills a component."""
    names = [part.name for part in parts if part.has_counter]
    if fallback and _uncounted_components(parts, wanted):
        names.append("codecarbon")
    return "+".join(names) or "none"


def _device_components(device: Device) -> frozenset[str]:
    """Components of a device's window: those of scope ``host``."""
    return frozenset({"cpu", "dram", *(["gpu"] if device.kind == "gpu" else [])})


def _counters(
    device: Device, sources: Sources
) -> tuple[list[CounterMeter], list[StreamMeter], frozenset[str]]:
    """Counter meters of a device, readable or not; its streams; what RAPL found but refused."""
    environment = sources.environment
    wall: list[StreamMeter] = [each for each in [WallMeter(environment)] if each.present]
    board = JetsonMeter(sources.i2c)
    if board.has_counter:
        return [board], wall, frozenset()
    command = sources.powermetrics()
    if command:
        chips = frozenset({"cpu", *({"gpu"} if device.kind == "gpu" else ())})
        return [], [PowermetricsMeter(command, chips), *wall], frozenset()
    rapl = RaplMeter(sources.powercap)
    if device.kind != "gpu":
        return [rapl], wall, rapl.refused
    if device.vendor == "AMD":
        return [AmdMeter(sources.amdsmi(), environment=environment), rapl], wall, rapl.refused
    return [NvmlMeter(sources.pynvml()), rapl], wall, rapl.refused


def meter_for(device: Device, sources: Sources | None = None) -> Meter:
    """The best available meter for a device: counters first.

    Args:
        device: Decides whether a GPU belongs to the window, and whose.
        sources: Where counters are read. If its environment holds `RECORDING_VARIABLE`, windows
            are recorded to that file.

    Returns:
        A `MachineMeter` if a counter is readable; else CodeCarbon; else a `NullMeter`.
    """
    sources = sources or Sources()
    parts, streams, refused = _counters(device, sources)
    codecarbon = _codecarbon_meter(device, refused)
    meter: Meter
    if any(part.has_counter for part in [*parts, *streams]):
        meter = MachineMeter(parts, codecarbon, _device_components(device), streams)
    else:
        meter = codecarbon or NullMeter()
    file = sources.environment.get(RECORDING_VARIABLE)
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


def meter_name(device: Device, sources: Sources | None = None) -> str:
    """Name of the meter `meter_for` would return, without CodeCarbon's start-up of seconds."""
    parts, streams, _ = _counters(device, sources or Sources())
    return _combined_name(
        [*parts, *streams],
        _device_components(device),
        importlib.util.find_spec("codecarbon") is not None,
    )


def counter_readable() -> bool:
    """Whether any hardware energy counter or meter is readable on this machine."""
    sources = Sources()
    devices = (Device(name="", kind="gpu", vendor=vendor) for vendor in ("NVIDIA", "AMD"))
    return any(
        meter.has_counter
        for device in devices
        for meters in _counters(device, sources)[:2]
        for meter in meters
    )
