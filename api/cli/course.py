"""Progress state of a calibration: steps of trials in, counts per table line and time left out.

Independent of the terminal; `api.cli.calibrate` feeds it and `api.cli.progress` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the service runs without the package `calibration`
    from calibration.records import Event, EventKind

SETTLED: tuple[EventKind, ...] = ("finished", "present", "skipped", "failed")


@dataclass(kw_only=True)
class Line:
    """One candidate on one workload with counts of its trials.

    Attributes:
        shown: The step whose figures are displayed: the usual batch where it is measured,
            else the latest inference.
    """

    candidate: str
    workload: str
    total: int = 0
    done: int = 0
    running: str | None = None
    reason: str | None = None
    failed: bool = False
    shown: Event | None = None

    @property
    def state(self) -> EventKind:
        """State of the line as a whole."""
        if self.running is not None:
            return "started"
        if self.failed:
            return "failed"
        if self.reason is not None and self.shown is None:
            return "skipped"
        return "finished" if self.done == self.total else "waiting"


class Course:
    """All lines of a calibration in running order, with the time left.

    Args:
        waiting: One step for each planned trial, in order.
    """

    def __init__(self, waiting: Sequence[Event]) -> None:
        self.total, self.done, self.measured = len(waiting), 0, 0
        self.lines: dict[tuple[str, str], Line] = {}
        for step in waiting:
            self._line(step).total += 1
        self._left_s = sum(step.estimated_s for step in waiting)
        self._planned_s = self._took_s = 0.0
        self._began: tuple[float, float] | None = None

    def _line(self, step: Event) -> Line:
        """The line of a step."""
        key = (step.candidate, step.workload)
        return self.lines.setdefault(key, Line(candidate=key[0], workload=key[1]))

    def take(self, step: Event, now_s: float) -> None:
        """Counts a step at `now_s`, seconds of a monotonic clock."""
        line = self._line(step)
        if step.kind == "started":
            line.running, self._began = step.choice, (now_s, step.estimated_s)
            return
        if step.kind == "delayed":
            line.running = f"{step.choice}: {step.reason}"
            return
        line.running, line.done, self.done = None, line.done + 1, self.done + 1
        self._left_s -= step.estimated_s
        if step.kind == "finished":
            self.measured += 1
            self._clocked(now_s)
        if step.kind in ("skipped", "failed"):
            line.reason, line.failed = step.reason or "?", step.kind == "failed"
        elif step.phase == "inference" and (line.shown is None or not _usual(line.shown)):
            line.shown = step
        self._began = None

    def _clocked(self, now_s: float) -> None:
        """Adds planned and actual seconds of a measured trial to the pace."""
        if self._began is not None:
            began_s, planned_s = self._began
            self._took_s += now_s - began_s
            self._planned_s += planned_s

    def left_s(self, now_s: float) -> float:
        """Seconds left: the planned ones times actual over planned seconds of measured trials."""
        pace = self._took_s / self._planned_s if self._planned_s else 1.0
        left = max(0.0, self._left_s) * pace
        if self._began is not None:
            began_s, planned_s = self._began
            left -= min(now_s - began_s, planned_s * pace)
        return max(0.0, left)


def _usual(step: Event) -> bool:
    """Whether a step is the offline batch of 32, by which lines are compared."""
    return step.scenario == "offline" and step.batch_size == 32 and step.variant is None


def window(lines: Sequence[Line], rows: int) -> tuple[int, int]:
    """Slice of the lines that fits on `rows` screen rows, the running line near its middle."""
    if len(lines) <= rows:
        return 0, len(lines)
    states = [line.state for line in lines]
    at = states.index("started") if "started" in states else _first_open(states)
    first = min(max(0, at - rows // 2), len(lines) - rows)
    return first, first + rows


def _first_open(states: Sequence[EventKind]) -> int:
    """Index of the first waiting line; of the last line where none waits."""
    return states.index("waiting") if "waiting" in states else len(states) - 1
