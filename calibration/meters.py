"""Meters: joules of one window per component, each with its label.

A meter that reads a hardware counter says ``measured``; one that assumes a power says
``modelled``. A component nobody read is absent, never 0. Meters on the counters themselves
(NVML total energy, RAPL) fit the same two calls.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from calibration.probe import gpus
from catalog.records import Device, Label

_JOULES_PER_KWH = 3.6e6
_POWERCAP = Path("/sys/class/powercap")


class Reading(msgspec.Struct, frozen=True):
    """Joules and label by component (``gpu``, ``cpu``, ``dram`` ...); empty where none was read."""

    components: Mapping[str, tuple[float, Label]]

    def measured_j(self) -> float | None:
        """The sum of what counters read; ``None`` without any."""
        read = [joules for joules, label in self.components.values() if label == "measured"]
        return sum(read) if read else None


class Meter(Protocol):
    """Reads the energy of a window.

    Attributes:
        name: Which meter it is; goes into every row.
        counts: Whether at least one component comes from a hardware counter.
        least_s: Seconds below which its reading of a window is noise.
    """

    name: str
    counts: bool
    least_s: float

    def start(self) -> None:
        """Begins a window."""

    def stop(self) -> Reading:
        """Ends the window begun last."""


class NullMeter:
    """Reads nothing: time is measured, energy stays missing."""

    name = "none"
    counts = False
    least_s = 0.0

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> Reading:
        """No component."""
        return Reading({})


class ReplayMeter:
    """Gives out recorded readings in order, then the last one again; for tests and replays."""

    def __init__(self, readings: Iterable[Mapping[str, tuple[float, Label]]]) -> None:
        self.name, self.least_s = "replay", 0.0
        self._readings = [Reading(reading) for reading in readings]
        self.counts = any(r.measured_j() is not None for r in self._readings)
        self.windows = 0

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> Reading:
        """The next recorded reading."""
        self.windows += 1
        return self._readings[min(self.windows, len(self._readings)) - 1]


class CodeCarbonMeter:
    """CodeCarbon's offline tracker: the fallback where no counter is read directly.

    Writes no file, asks no network, logs nothing. What it takes from RAPL, the Windows energy
    meter or NVML is ``measured``; CPU load or TDP times a constant and the constant watts of
    RAM are ``modelled``.

    Args:
        gpu: Whether the GPU's energy belongs to the window; only NVML's first GPU is read.
        every_s: Seconds between its own readings. The time a reading takes is missing from the
            next one (a quarter of a 5 s window was lost on a busy machine), so they are few, yet
            often enough that RAPL cannot wrap around twice in between.
    """

    def __init__(self, *, gpu: bool = False, every_s: float = 60.0) -> None:
        # It logs at import and in its constructor, before a level can be handed over.
        logging.getLogger("codecarbon").disabled = True
        self.name = "codecarbon"
        self.least_s = 1.0
        self._gpu, self._every_s = gpu, every_s
        self._tracker: Any = None
        self.start()  # looks for hardware once, seconds that belong to no window
        self.stop()
        self.counts = "measured" in self._labels.values()

    def start(self) -> None:
        """Starts a tracker; the hardware found by the first one is reused."""
        from codecarbon import OfflineEmissionsTracker

        self._tracker = OfflineEmissionsTracker(
            country_iso_code="USA",  # for its carbon figure alone, which is not used
            measure_power_secs=self._every_s,
            output_methods=[],
            log_level="critical",
            tracking_mode="machine",
            gpu_ids=[0] if self._gpu else None,
            force_cpu_power=None,
            force_ram_power=None,
            pue=1.0,
            allow_multiple_runs=True,
        )
        self._tracker.start()

    def stop(self) -> Reading:
        """Joules since `start`, by component."""
        self._tracker.stop()
        data = getattr(self._tracker, "final_emissions_data", None)  # it swallows its errors
        self._labels = _labels(getattr(self._tracker, "_hardware", ()))
        if data is None:
            return Reading({})
        joules = {
            "cpu": data.cpu_energy * _JOULES_PER_KWH,
            "dram": data.ram_energy * _JOULES_PER_KWH,
            **({"gpu": data.gpu_energy * _JOULES_PER_KWH} if self._gpu else {}),
        }
        return Reading(
            {part: (j, self._labels.get(part, "modelled")) for part, j in joules.items() if j > 0}
        )


def _labels(hardware: Iterable[Any]) -> dict[str, Label]:
    """Labels of CodeCarbon's parts, by the way it says it tracks each."""
    found: dict[str, Label] = {}
    for part in hardware:
        kind = type(part).__name__
        if kind == "CPU":
            counter = getattr(part, "_mode", None) in ("intel_rapl", "windows_emi")
            found["cpu"] = "measured" if counter else "modelled"
        elif kind == "GPU":
            found["gpu"] = "measured"
    return found


def meter_for(device: Device) -> Meter:
    """The best meter there is here for a device: CodeCarbon, or none without the library."""
    if importlib.util.find_spec("codecarbon") is None:
        return NullMeter()
    try:
        return CodeCarbonMeter(gpu=device.kind == "gpu")
    except ImportError:
        return NullMeter()


def meter_name() -> str:
    """The name `meter_for` would give, without starting the meter."""
    return "none" if importlib.util.find_spec("codecarbon") is None else "codecarbon"


class Zone(msgspec.Struct, frozen=True):
    """One RAPL domain of powercap: its folder, its own name and whether it can be read."""

    path: str
    name: str
    readable: bool


def rapl_zones(root: Path = _POWERCAP) -> Iterator[Zone]:
    """The RAPL domains below `root`, readable or not."""
    for folder in sorted(root.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text(encoding="ascii").strip()
        except OSError:
            name = folder.name
        try:
            (folder / "energy_uj").read_bytes()
        except OSError:
            yield Zone(str(folder), name, readable=False)
        else:
            yield Zone(str(folder), name, readable=True)


def counter_readable() -> bool:
    """Whether any hardware energy counter can be read here (RAPL package or NVML)."""
    packages = (zone for zone in rapl_zones() if zone.name.startswith("package"))
    return any(zone.readable for zone in packages) or any(g.total_energy_counter for g in gpus())
