"""Jetson meter: joules of the module or board from INA power monitors, through sysfs hwmon.

The INA3221 of Jetson boards gives volts and amperes of three labelled rails each (millivolts in
``in[1-3]_input``, milliamperes in ``curr[1-3]_input``; kernel.org, Documentation/hwmon/ina3221),
the INA238 of Thor microwatts in ``power1_input`` (Documentation/hwmon/ina238). There is no energy
counter: power is polled and integrated. Values are means over some 140 ms. A rail behind another
one is never added to it; see `BOARD_RAILS`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from calibration.meters.integration import PowerSample, integrated_j
from calibration.meters.meter import CounterError, Reading
from calibration.meters.nvml import cuda_synchronise
from calibration.meters.sampler import Sampler

I2C_DRIVERS = Path("/sys/bus/i2c/drivers")
MIN_WINDOW_S = 2.0
POLL_S = 0.1
BOARD_RAILS = (
    ("VDD_IN",),
    ("POM_5V_IN",),
    ("VIN",),
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
)
"""Rails that make up a board, the first complete set counts: the module's input (Orin Nano and NX,
Xavier NX, TX2; Nano), the developer kit's input (Thor), the two inputs of an AGX Orin module
behind its monitors, of which ``VIN_SYS_5V0`` feeds ``VDDQ_VDD2_1V8AO`` (NVIDIA Jetson Linux
Developer Guide r36.3, "Jetson Orin Nano Series, Jetson Orin NX Series and Jetson AGX Orin Series").
Which of the six rails of an AGX Xavier hold one another is not documented: none is added up."""


class Rail(msgspec.Struct, frozen=True):
    """One monitored rail: its label and the files whose values make its power.

    `power` holds microwatts; without it `volt` millivolts and `current` milliamperes.
    """

    label: str
    power: Path | None
    volt: Path
    current: Path

    def files(self) -> list[Path]:
        """The files to read."""
        return [self.power] if self.power else [self.volt, self.current]

    def watts(self) -> float | None:
        """Power of the rail in watts; ``None`` if it cannot be read or is negative."""
        values = [_read_number(file) for file in self.files()]
        known = [value for value in values if value is not None and value >= 0]
        return math.prod(known) / 1e6 if len(known) == len(values) else None


def _read_number(path: Path) -> int | None:
    """Integer in a file; ``None`` if it cannot be read."""
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return None


def _label(path: Path) -> str:
    """Label of a rail; empty if there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def rails(root: Path = I2C_DRIVERS) -> list[Rail]:
    """The labelled rails of INA3221 and INA238 monitors; an unlabelled INA238 is ``VIN``.

    Sums over channels (``in7_label``, ``curr4_input``) are no rails.
    """
    found = []
    for label in sorted(root.glob("ina3221/*/hwmon/hwmon*/in[123]_label")):
        number, folder = label.name[2], label.parent
        power = folder / f"power{number}_input"
        found.append(
            Rail(
                _label(label),
                power if power.exists() else None,
                folder / f"in{number}_input",
                folder / f"curr{number}_input",
            )
        )
    for power in sorted(root.glob("ina238/*/hwmon/hwmon*/power1_input")):
        folder = power.parent
        name = _label(folder / "label") or _label(folder / "power1_label") or "VIN"
        found.append(Rail(name, power, folder / "in1_input", folder / "curr1_input"))
    return [rail for rail in found if rail.label not in ("", "NC")]


def board_rails(found: list[Rail]) -> list[Rail]:
    """The rails whose sum is the module or board; empty if none is known to be."""
    by_label = {rail.label.upper(): rail for rail in found}
    complete = (names for names in BOARD_RAILS if all(name in by_label for name in names))
    return [by_label[name] for name in next(complete, ())]


class JetsonMeter:
    """Polls the board's rails in a window; component ``board``.

    Args:
        root: Folder of the I2C drivers.
        synchronise: Waits for the GPU; called at both ends of a window.
        clock: Seconds, monotonic.
        every_s: Seconds between samples.

    Attributes:
        present: Whether the machine has labelled rails.
        remedy: What makes the rails readable; ``None`` if they are or nothing would.
    """

    min_window_s = MIN_WINDOW_S

    def __init__(
        self,
        root: Path = I2C_DRIVERS,
        *,
        synchronise: Callable[[], None] = cuda_synchronise,
        clock: Callable[[], float] = time.perf_counter,
        every_s: float = POLL_S,
    ) -> None:
        self.name = "ina"
        self._synchronise, self._clock = synchronise, clock
        known = rails(root)
        self.present = bool(known)
        self.rails = board_rails(known)
        closed = [r for r in self.rails if any(_read_number(f) is None for f in r.files())]
        self.has_counter = bool(self.rails) and not closed
        self.covers = frozenset({"board"} if self.has_counter else ())
        self.remedy: str | None = None
        self.absent: Mapping[str, str] = {}
        if closed:
            files = " ".join(str(file) for rail in closed for file in rail.files())
            self.remedy = f"sudo chmod a+r {files}"
            names = ", ".join(rail.label for rail in closed)
            self.absent = {"board": f"rail {names} is not readable; {self.remedy}"}
        elif known and not self.rails:
            names = ", ".join(rail.label for rail in known)
            self.absent = {"board": f"none of the rails {names} is the whole board's"}
        self._samples: list[PowerSample] = []
        self._sampler = Sampler(every_s, self.sample)

    def sample(self) -> None:
        """Samples the sum of the rails; called by the background thread."""
        known = [watts for rail in self.rails if (watts := rail.watts()) is not None]
        complete = len(known) == len(self.rails) and sum(known) > 0
        self._samples.append((self._clock(), sum(known) if complete else None))

    def start(self) -> None:
        """Begins a window once the GPU is idle."""
        self._sampler.stop()
        self._synchronise()
        self._samples = []
        if self.has_counter:
            self.sample()
            self._sampler.start()

    def stop(self) -> Reading:
        """Joules of the board since `start`."""
        self._synchronise()
        self._sampler.stop()
        if not self.has_counter:
            return Reading({}, absent=self.absent)
        self.sample()
        begin = self._samples[0][0]
        names = [rail.label for rail in self.rails]
        power_s_w = [[round(at - begin, 4), watts] for at, watts in self._samples]
        raw = {"board": {"rails": names, "power_s_w": power_s_w}}
        try:
            joules = integrated_j(self._samples, f"power of {'+'.join(names)}")
        except CounterError as error:
            return Reading({}, absent={"board": str(error)}, raw=raw)
        return Reading({"board": (joules, "measured")}, raw=raw)
