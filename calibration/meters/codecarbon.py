"""CodeCarbon meter: labelled joules by component, for components that no counter reads."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from calibration.meters.meter import Reading
from catalog.records import Label

_JOULES_PER_KWH = 3.6e6


class CodeCarbonMeter:
    """CodeCarbon's offline tracker as a meter: no file, no network, no log.

    Joules from RAPL, the Windows energy meter or NVML are ``measured``. Joules derived from CPU
    load, TDP or a constant RAM power are ``modelled``.

    Args:
        gpu: Whether to read the GPU (NVML's first one only).
        every_s: Seconds between CodeCarbon's samples. The time a sample takes is missing from the
            next one (a quarter of a 5 s window was lost on a busy machine), so samples are rare,
            yet frequent enough that RAPL cannot wrap around twice between two.
        trusted: Components whose counter values are kept. The others are dropped: `RaplMeter` found
            that only some of their parts are readable, so that a sum would be too low.
    """

    def __init__(
        self,
        *,
        gpu: bool = False,
        every_s: float = 60.0,
        trusted: frozenset[str] = frozenset({"cpu", "dram", "gpu"}),
    ) -> None:
        # CodeCarbon logs at import and in its constructor, before a level can be set.
        logging.getLogger("codecarbon").disabled = True
        self.name = "codecarbon"
        self.min_window_s = 1.0
        self._gpu, self._every_s, self._trusted = gpu, every_s, trusted
        self._tracker: Any = None
        self._labels: dict[str, Label] = {}
        self.start()  # detects hardware once, which takes seconds, outside of any window
        self.stop()
        self.has_counter = "measured" in self._labels.values()

    def start(self) -> None:
        """Begins a window; the hardware detected by the first tracker is reused."""
        from codecarbon import OfflineEmissionsTracker

        self._tracker = OfflineEmissionsTracker(
            country_iso_code="USA",  # affects the carbon figure only, which is not used
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
        """Joules since `start`, by component; empty if the tracker failed."""
        self._tracker.stop()
        data = getattr(
            self._tracker, "final_emissions_data", None
        )  # absent after an error, which it swallows
        self._labels = _labels(getattr(self._tracker, "_hardware", ()))
        if data is None:
            return Reading({})
        joules = {
            "cpu": data.cpu_energy * _JOULES_PER_KWH,
            "dram": data.ram_energy * _JOULES_PER_KWH,
            **({"gpu": data.gpu_energy * _JOULES_PER_KWH} if self._gpu else {}),
        }
        return self._labelled(joules)

    def _labelled(self, joules: Mapping[str, float]) -> Reading:
        """Labelled joules above zero, counters that are not trusted left out."""
        labels = {part: self._labels.get(part, "modelled") for part in joules}
        return Reading(
            {
                part: (j, labels[part])
                for part, j in joules.items()
                if j > 0 and (part in self._trusted or labels[part] == "modelled")
            }
        )


def _labels(hardware: Iterable[Any]) -> dict[str, Label]:
    """Label of each component, from CodeCarbon's own hardware objects."""
    found: dict[str, Label] = {}
    for part in hardware:
        kind = type(part).__name__
        if kind == "CPU":
            counter = getattr(part, "_mode", None) in ("intel_rapl", "windows_emi")
            found["cpu"] = "measured" if counter else "modelled"
        elif kind == "GPU":
            found["gpu"] = "measured"
    return found
