"""CodeCarbon as a meter: the marked fallback, and a second opinion beside counters."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from calibration.meters.meter import Reading
from catalog.records import Label

_JOULES_PER_KWH = 3.6e6


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
        trusted: Components whose counters it may read; of others, which our own reader refused as
            not all of their parts can be read, it keeps nothing.
    """

    def __init__(
        self,
        *,
        gpu: bool = False,
        every_s: float = 60.0,
        trusted: frozenset[str] = frozenset({"cpu", "dram", "gpu"}),
    ) -> None:
        # It logs at import and in its constructor, before a level can be handed over.
        logging.getLogger("codecarbon").disabled = True
        self.name = "codecarbon"
        self.min_window_s = 1.0
        self._gpu, self._every_s, self._trusted = gpu, every_s, trusted
        self._tracker: Any = None
        self._labels: dict[str, Label] = {}
        self.start()  # looks for hardware once, seconds that belong to no window
        self.stop()
        self.has_counter = "measured" in self._labels.values()

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
        return self._kept(joules)

    def _kept(self, joules: Mapping[str, float]) -> Reading:
        """What may be kept of its joules, labelled."""
        labels = {part: self._labels.get(part, "modelled") for part in joules}
        return Reading(
            {
                part: (j, labels[part])
                for part, j in joules.items()
                if j > 0 and (part in self._trusted or labels[part] == "modelled")
            }
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
