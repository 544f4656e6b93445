"""Progress state of a calibration: steps of trials in, counts per table line and time left out.

Independent of the terminal; `api.cli.calibrate` feeds it and `api.cli.progress` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from catalog.records import Label, Phase, Scenario

Kind = Literal["waiting", "started", "finished", "present", "skipped", "failed"]
SETTLED: tuple[Kind, ...] = ("finished", "present", "skipped", "failed")


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of state of one trial; a line of ``calibrate --json``. Never holds a text.

    Attributes:
        variant: Further difference between trials, e.g. ``length-sorted``.
        done: Trials settled so far, of `total`.
        estimated_s: Planned seconds of the trial.
        estimated_j: Upper bound of the joules of its chip.
        joules_per_1000: Gross joules per 1,000 texts; `label` says how they were obtained.
        flags: Warnings about the row.
        left_s: Estimated seconds left of the whole calibration.
        place: The hardware, in a fleet; `node` the machine that runs the trial.
    """

    kind: Kind
    candidate: str
    workload: str
    device: str
    phase: Phase
    scenario: Scenario
    precision: str
    batch_size: float | None = None
    rate_per_s: float | None = None
    variant: str | None = None
    done: int = 0
    total: int = 0
    estimated_s: float = 0.0
    estimated_j: float | None = None
    accuracy: float | None = None
    joules_per_1000: float | None = None
    label: Label | None = None
    seconds_per_1000: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    left_s: float | None = None
    place: str | None = None
    node: str | None = None

    @property
    def choice(self) -> str:
        """Phase and serving configuration in words: ``offline 32 fp32``, ``train``."""
        if self.phase != "inference":
            return self.phase
        batch = "" if self.scenario == "single" else f"{self.batch_size or 0:g}"
        rate = "" if self.rate_per_s is None else f"at {self.rate_per_s:g}/s"
        words = (self.scenario, batch, rate, self.precision, self.variant or "")
        return " ".join(word for word in words if word)


class Line(msgspec.Struct, kw_only=True):
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
    shown: Step | None = None

    @property
    def state(self) -> Kind:
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

    def __init__(self, waiting: Sequence[Step]) -> None:
        self.total, self.done, self.measured = len(waiting), 0, 0
        self.lines: dict[tuple[str, str], Line] = {}
        for step in waiting:
            self._line(step).total += 1
        self._left_s = sum(step.estimated_s for step in waiting)
        self._planned_s = self._took_s = 0.0
        self._began: tuple[float, float] | None = None

    def _line(self, step: Step) -> Line:
        """The line of a step."""
        key = (step.candidate, step.workload)
        return self.lines.setdefault(key, Line(candidate=key[0], workload=key[1]))

    def take(self, step: Step, now_s: float) -> None:
        """Counts a step at `now_s`, seconds of a monotonic clock."""
        line = self._line(step)
        if step.kind == "started":
            line.running, self._began = step.choice, (now_s, step.estimated_s)
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


def _usual(step: Step) -> bool:
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


def _first_open(states: Sequence[Kind]) -> int:
    """Index of the first waiting line; of the last line where none waits."""
    return states.index("waiting") if "waiting" in states else len(states) - 1
