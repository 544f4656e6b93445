"""Recording and replay of measurement windows: readings in, a JSON Lines file out, and back.

The file holds one window per line, in the order of measurement::

    {"version": 1, "meter": "nvml+rapl", "least_s": 2.0, "seconds": 30.01,
     "components": {"gpu": [2413.2, "measured"], ...}, "absent": {"dram": "why"},
     "flags": ["throttled"], "context": {"gpu_temperature_c": 61, ...},
     "raw": {"gpu": {...}, "cpu": [...], "dram": [...]}}

``raw`` holds the raw counter values, so that changes of the arithmetic can be tried on old windows:
for ``gpu`` the argument of `calibration.meters.nvml.reading_from_raw` (``seconds``, ``counter_mj``,
``power_s_w``), for ``cpu`` and ``dram`` that of `calibration.meters.rapl.component_j`. The file
holds no host name and no text of a data set.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from calibration.meters.meter import Meter, Reading
from catalog.records import Label

RECORDING_VERSION = 1


class RecordedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a recording; `seconds` is the time between `start` and `stop`."""

    version: int
    meter: str
    least_s: float
    seconds: float
    components: dict[str, tuple[float, Label]]
    absent: dict[str, str] = {}
    flags: tuple[str, ...] = ()
    context: dict[str, Any] = {}
    raw: dict[str, Any] = {}

    def reading(self) -> Reading:
        """The reading of the recorded window."""
        return Reading(
            self.components,
            absent=self.absent,
            flags=self.flags,
            context=self.context,
            raw=self.raw,
        )


def load_windows(path: Path) -> list[RecordedWindow]:
    """The windows of a recording.

    Raises:
        ValueError: A line is not a recorded window; the message names file and line.
        OSError: The file cannot be read.
    """
    windows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            window = msgspec.json.decode(line, type=RecordedWindow)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path}:{number}: is no recorded window: {error}") from error
        if window.version != RECORDING_VERSION:
            raise ValueError(
                f"{path}:{number}: version {window.version}; {RECORDING_VERSION} is read"
            )
        windows.append(window)
    if not windows:
        raise ValueError(f"{path}: holds no window")
    return windows


class ReplayMeter:
    """Returns given readings in order, then repeats the last one; for tests and replays."""

    def __init__(
        self,
        readings: Iterable[Reading | Mapping[str, tuple[float, Label]]],
        *,
        name: str = "replay",
    ) -> None:
        self.name, self.min_window_s = name, 0.0
        self._readings = [r if isinstance(r, Reading) else Reading(r) for r in readings]
        self.has_counter = any(r.measured_j() is not None for r in self._readings)
        self.windows = 0

    @classmethod
    def load(cls, path: Path) -> ReplayMeter:
        """A meter named ``replay:<meter>`` that replays a recording.

        Raises:
            ValueError: The file holds no windows.
            OSError: The file cannot be read.
        """
        windows = load_windows(path)
        return cls([w.reading() for w in windows], name=f"replay:{windows[0].meter}")

    def start(self) -> None:
        """Does nothing."""

    def stop(self) -> Reading:
        """The next recorded reading."""
        self.windows += 1
        return self._readings[min(self.windows, len(self._readings)) - 1]


class RecordingMeter:
    """Forwards another meter's readings and appends each window to a file.

    Args:
        meter: The meter to record.
        path: JSON Lines file to append to; its folder is created.
    """

    def __init__(self, meter: Meter, path: Path) -> None:
        self.name, self.has_counter, self.min_window_s = (
            meter.name,
            meter.has_counter,
            meter.min_window_s,
        )
        self._meter, self._path, self._begin = meter, path, 0.0
        path.parent.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Begins a window."""
        self._meter.start()
        self._begin = time.perf_counter()

    def stop(self) -> Reading:
        """Ends the window and appends it to the file.

        Raises:
            OSError: The file cannot be written.
        """
        seconds = time.perf_counter() - self._begin
        reading = self._meter.stop()
        line = {
            "version": RECORDING_VERSION,
            "meter": self.name,
            "least_s": self.min_window_s,
            "seconds": round(seconds, 6),
            **msgspec.structs.asdict(reading),
        }
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        return reading
