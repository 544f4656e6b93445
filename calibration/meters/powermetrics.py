"""Powermetrics meter: joules of CPU, GPU and neural engine of a Mac from Apple's estimator.

``powermetrics --format plist`` prints one property list a sample, each of the time since the one
before (``elapsed_ns``). On Apple silicon its ``processor`` holds ``cpu_energy``, ``gpu_energy`` and
``ane_energy`` in millijoules, or ``cpu_power``, ``gpu_power`` and ``ane_power`` in milliwatts; on
Intel ``package_joules`` or ``package_watts`` of the whole package. It needs the superuser. The
manual page (powermetrics(1)) calls its powers estimates that serve no comparison between devices:
they are firmware's, as those of RAPL's first generation were. Memory is not among them.
"""

from __future__ import annotations

import os
import platform
import plistlib
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from calibration.meters.integration import joules_between
from calibration.meters.meter import CounterError, Reading
from calibration.meters.stream import CommandStream, wait_until
from catalog.records import Label

REMEDY = (
    "run joulewise with sudo, or allow it without password by a line of sudoers: "
    "USER ALL=(root) NOPASSWD: /usr/bin/powermetrics"
)
MIN_WINDOW_S = 2.0
SAMPLE_MS = 200
_ARGUMENTS = ("--samplers", "cpu_power,gpu_power,thermal", "--format", "plist")
_ENDS_WITH = b"</plist>"
_KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cpu", ("cpu", "package")),
    ("gpu", ("gpu",)),
    ("npu", ("ane",)),
)
"""Components and the names they go by."""
_WAIT_S = 5.0


class Sample(msgspec.Struct, frozen=True):
    """One property list: seconds it covers, joules by component, whether the Mac is throttled."""

    seconds: float
    joules: Mapping[str, float]
    throttled: bool = False


def powermetrics_command() -> list[str]:
    """The command with which this process may run powermetrics; empty on other systems."""
    if platform.system() != "Darwin" or shutil.which("powermetrics") is None:
        return []
    return ["powermetrics"] if os.geteuid() == 0 else ["sudo", "-n", "powermetrics"]


def parse_sample(text: bytes) -> Sample:
    """The sample of one property list; a leading NUL, which separates them, is ignored.

    Raises:
        ValueError: It is no property list, or states no time or no component.
    """
    try:
        found = plistlib.loads(text.strip(b"\0 \n"))
        seconds, processor = found["elapsed_ns"] / 1e9, found["processor"]
    except Exception as error:  # plistlib raises several kinds
        raise ValueError(f"powermetrics printed no sample: {error!r}") from error
    energies = {"gpu_energy": found.get("gpu", {}).get("gpu_energy")} | processor
    joules = {
        component: value
        for component, names in _KEYS
        if (value := _joules(energies, names, seconds)) is not None
    }
    if not joules or seconds <= 0:
        raise ValueError("powermetrics printed neither energy nor power of CPU, GPU or package")
    return Sample(seconds, joules, found.get("thermal_pressure", "Nominal") not in ("Nominal", ""))


def _joules(processor: Mapping[str, Any], names: Sequence[str], seconds: float) -> float | None:
    """Joules of one component in a sample; ``None`` if it is not printed or negative."""
    for name in names:
        for key, factor in (
            (f"{name}_energy", 1e-3),
            (f"{name}_joules", 1.0),
            (f"{name}_power", 1e-3 * seconds),
            (f"{name}_watts", seconds),
        ):
            value = processor.get(key)
            if isinstance(value, int | float) and value >= 0:
                return value * factor
    return None


class PowermetricsMeter:
    """Runs powermetrics over a window; components ``cpu``, ``gpu`` and ``npu`` as asked for.

    Args:
        command: Program and leading arguments; empty where there is none.
        wanted: Components to report.
        clock: Seconds, monotonic.
        wait_s: Longest wait for a sample, in seconds.

    Attributes:
        present: Whether powermetrics is there.
        remedy: How to make it readable; ``None`` if it is.
    """

    min_window_s = MIN_WINDOW_S

    def __init__(
        self,
        command: Sequence[str],
        wanted: frozenset[str] = frozenset({"cpu"}),
        *,
        clock: Callable[[], float] = time.perf_counter,
        wait_s: float = _WAIT_S,
    ) -> None:
        self.name, self.present = "powermetrics", bool(command)
        self._command = [*command, *_ARGUMENTS, "--sample-rate", str(SAMPLE_MS)]
        self._clock, self._wait_s = clock, wait_s
        self._samples: list[tuple[float, Sample]] = []
        self._error: str | None = None
        self._marks: list[float] = []
        self.absent: Mapping[str, str] = {}
        self.covers: frozenset[str] = frozenset()
        if command:
            try:
                self.covers = frozenset(self._first().joules) & wanted
            except ValueError as error:
                self.absent = dict.fromkeys(sorted(wanted), f"{error}; {REMEDY}")
        self.has_counter = bool(self.covers)
        self.remedy = None if self.has_counter else REMEDY
        self._stream = CommandStream([*self._command, "--buffer-size", "0"], _ENDS_WITH, self._take)

    def _first(self) -> Sample:
        """One sample, to tell which components there are.

        Raises:
            ValueError: powermetrics may not be run or prints no sample.
        """
        try:
            ran = subprocess.run(  # noqa: S603
                [*self._command, "--sample-count", "1"],
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=self._wait_s,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ValueError(f"powermetrics cannot be run: {error}") from error
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip().splitlines()
            raise ValueError(f"powermetrics cannot be run: {said[-1] if said else 'no message'}")
        return parse_sample(ran.stdout)

    def _take(self, text: bytes) -> None:
        """Keeps one sample with the time of its arrival; called by the stream's thread."""
        arrived = self._clock()
        try:
            self._samples.append((arrived, parse_sample(text)))
        except ValueError as error:
            self._error = str(error)

    def start(self) -> None:
        """Starts powermetrics and waits for its first sample."""
        self._samples, self._error, self._marks = [], None, []
        if self.has_counter:
            self._stream.start()
            wait_until(lambda: bool(self._samples or self._why()), self._wait_s)

    def mark(self) -> None:
        """Notes the begin of the window, at the next call its end."""
        self._marks.append(self._clock())

    def _why(self) -> str | None:
        """What is wrong with the stream or a sample of it."""
        return self._error or self._stream.failure

    def stop(self) -> Reading:
        """Joules by component in the window, once a sample after its end has come."""
        if not self.has_counter:
            return Reading({}, absent=self.absent)
        begin, end = self._marks[0], self._marks[-1]
        wait_until(
            lambda: bool(self._why() or (self._samples and self._samples[-1][0] >= end)),
            self._wait_s,
        )
        self._stream.stop()
        if self._why():
            return Reading({}, absent=dict.fromkeys(sorted(self.covers), self._why() or ""))
        raw = {
            "window_s": [0.0, round(end - begin, 6)],
            "samples": [
                [round(at - begin, 6), each.seconds, dict(each.joules), each.throttled]
                for at, each in self._samples
            ],
        }
        return reading_from_raw(raw, self.covers)


def reading_from_raw(raw: Mapping[str, Any], covers: frozenset[str]) -> Reading:
    """The reading computed from a window's raw values.

    Args:
        raw: ``window_s`` (begin and end) and ``samples`` (seconds of arrival, seconds covered,
            joules by component, whether throttled).
        covers: Components to report; one that did not move is absent, never 0.
    """
    components: dict[str, tuple[float, Label]] = {}
    absent = {}
    begin, end = raw["window_s"]
    for part in sorted(covers):
        total, series = 0.0, []
        for at, _, joules, _ in raw["samples"]:
            total += joules.get(part, 0.0)
            series.append((at, total))
        try:
            if any(part not in joules for _, _, joules, _ in raw["samples"]):
                raise CounterError(f"powermetrics left out {part} in a sample")
            value = joules_between(series, begin, end, f"powermetrics' {part} energy")
        except CounterError as error:
            absent[part] = str(error)
        else:
            components[part] = (value, "measured")
    hot = any(throttled for at, _, _, throttled in raw["samples"] if begin <= at <= end)
    return Reading(
        components,
        absent=absent,
        flags=("throttled",) if hot else (),
        raw={"powermetrics": raw},
    )
