"""Wall meter: a file or command that prints watts or joules with time in, joules of the plug out.

`VARIABLE` names a file to which a logger appends, or a command that prints; one line a reading::

    2026-03-01T12:00:00.5Z 143.2        # ISO 8601 (without offset: local time) and watts
    1772366400.5 143.2 W                # seconds since 1970 and watts
    1772366401.5 52817.4 J              # seconds since 1970 and cumulative joules

Values are separated by blanks, commas or semicolons; empty lines and those with ``#`` are skipped.
Times are those of this machine's clock. Watts are integrated by the trapezoidal rule, joules are
subtracted; between two readings both are linear.
"""

from __future__ import annotations

import datetime
import math
import re
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from calibration.meters.integration import cumulative_j, joules_between
from calibration.meters.meter import CounterError, Reading
from calibration.meters.stream import CommandStream, FileStream, Stream, wait_until

VARIABLE = "JOULEWISE_WALL_METER"
"""Environment variable: path of a file, or a command with its arguments."""
REMEDY = (
    f"set {VARIABLE} to a file or command with lines 'TIME WATTS' or 'TIME JOULES J' "
    "(TIME: ISO 8601 or seconds since 1970) to measure at the plug"
)
MIN_WINDOW_S = 10.0
"""Plug meters tell a new value about every second."""
MAX_GAP_S = 5.0
"""Longest gap between two readings, in seconds."""
_WAIT_S = 8.0
"""Seconds to wait for a first reading, and for one after the end of a window."""
_EARLIEST_S = 1e9
"""Smaller seconds are no time since 1970 but a clock of the meter's own."""

Unit = Literal["W", "J"]


def parse_line(text: str) -> tuple[float, float, Unit] | None:
    """Seconds since 1970, value and unit of one line; ``None`` for an empty line or comment.

    Raises:
        ValueError: The line is no reading; the message says what came and what is allowed.
    """
    words = re.split(r"[\s,;]+", text.partition("#")[0].strip())
    if words == [""]:
        return None
    unit = words.pop() if words[-1] in ("W", "J") else "W"
    try:
        value, when = float(words[-1]), _seconds(" ".join(words[:-1]))
    except (ValueError, IndexError):
        raise ValueError(
            f"line {text.strip()[:60]!r} is no reading; allowed: 'TIME WATTS', 'TIME WATTS W' or "
            "'TIME JOULES J' with TIME as ISO 8601 or seconds since 1970"
        ) from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{unit}: {value:g} is not allowed; allowed: numbers from 0")
    if not when >= _EARLIEST_S:
        raise ValueError(f"time: {when:g} is not allowed; allowed: ISO 8601 or seconds since 1970")
    return when, value, "J" if unit == "J" else "W"


def _seconds(text: str) -> float:
    """Seconds since 1970 of a time."""
    try:
        return float(text)
    except ValueError:
        return datetime.datetime.fromisoformat(text).timestamp()


class WallMeter:
    """Reads a plug meter over a window; component ``wall``.

    Args:
        environment: Holds `VARIABLE`; without it there is no meter.
        clock: Seconds since 1970.
        wait_s: Longest wait for a reading before or after a window, in seconds.

    Attributes:
        present: Whether a meter is configured.
        detail: What was found, for people.
    """

    min_window_s = MIN_WINDOW_S

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
        wait_s: float = _WAIT_S,
    ) -> None:
        self.name = "wall"
        self._source, self._clock, self._wait_s = environment.get(VARIABLE, ""), clock, wait_s
        self._readings: list[tuple[float, float]] = []
        self._unit: Unit | None = None
        self._error: str | None = None
        self._marks: list[float] = []
        self._stream = self._open() if self._source.strip() else None
        self.present = self._stream is not None
        self.detail = f"{VARIABLE} is not set"
        self.absent: Mapping[str, str] = {}
        if self._stream is not None:
            self._check(self._stream)
        self.has_counter = self.present and not self.absent
        self.covers = frozenset({"wall"} if self.has_counter else ())

    def _open(self) -> Stream:
        """The stream of a file if there is one of that name, else of a command."""
        path = Path(self._source).expanduser()
        if path.is_file():
            return FileStream(path, self._take)
        return CommandStream(shlex.split(self._source), b"\n", self._take)

    def _check(self, stream: Stream) -> None:
        """Takes one reading, to tell whether the meter works."""
        stream.start()
        wait_until(self._first_or_failure, self._wait_s)
        stream.stop()
        why = self._why(stream) or (None if self._readings else "gave no reading")
        if not why and self._clock() - self._readings[-1][0] > 60:
            why = "gave no reading of the last minute"
        self.absent = {"wall": f"{VARIABLE}: {why}"} if why else {}
        value = f"{self._readings[-1][1]:g} {self._unit}" if self._readings else ""
        self.detail = self.absent.get("wall") or f"{self._source}: last reading {value}"

    def _first_or_failure(self) -> bool:
        """Whether there is a reading, or will be none."""
        return bool(self._readings or self._error or (self._stream and self._stream.failure))

    def _why(self, stream: Stream) -> str | None:
        """What is wrong with the stream or a line of it."""
        return self._error or stream.failure

    def _take(self, line: bytes) -> None:
        """Keeps the reading of one line; called by the stream's thread."""
        try:
            found = parse_line(line.decode(errors="replace"))
            if found is None:
                return
            when, value, unit = found
            if self._unit not in (None, unit):
                raise ValueError(f"unit: {unit} after {self._unit}; allowed: one of both")
        except ValueError as error:
            self._error = str(error)
            return
        self._unit = unit
        if not self._readings or when > self._readings[-1][0]:
            self._readings.append((when, value))
        elif when < self._readings[-1][0]:
            self._error = f"time: {when:.1f} after {self._readings[-1][0]:.1f}; it must not go back"

    def start(self) -> None:
        """Opens the stream and waits for its first reading."""
        if self._stream is None or not self.has_counter:
            return
        self._readings, self._unit, self._error, self._marks = [], None, None, []
        self._stream.start()
        wait_until(self._first_or_failure, self._wait_s)

    def mark(self) -> None:
        """Notes the begin of the window, at the next call its end."""
        self._marks.append(self._clock())

    def stop(self) -> Reading:
        """Joules of the plug in the window, once the meter gave a reading after its end."""
        if self._stream is None or not self.has_counter:
            return Reading({}, absent=self.absent)
        stream, begin, end = self._stream, self._marks[0], self._marks[-1]
        wait_until(
            lambda: bool(self._why(stream) or (self._readings and self._readings[-1][0] >= end)),
            self._wait_s,
        )
        stream.stop()
        why = self._why(stream)
        if why:
            return Reading({}, absent={"wall": f"{VARIABLE}: {why}"})
        raw = {
            "unit": self._unit,
            "window_s": [0.0, round(end - begin, 6)],
            "readings": [[round(at - begin, 6), value] for at, value in self._readings],
        }
        return reading_from_raw(raw)


def reading_from_raw(raw: Mapping[str, Any]) -> Reading:
    """The reading computed from a window's raw values.

    Args:
        raw: ``unit`` (``W`` or ``J``), ``window_s`` (begin and end) and ``readings`` (seconds and
            value in that unit).
    """
    readings = [(at, value) for at, value in raw["readings"]]
    series = readings if raw["unit"] == "J" else cumulative_j(readings)
    begin, end = raw["window_s"]
    try:
        joules = joules_between(series, begin, end, "wall meter", MAX_GAP_S)
    except CounterError as error:
        return Reading({}, absent={"wall": str(error)}, raw={"wall": raw})
    return Reading({"wall": (joules, "measured")}, raw={"wall": raw})
