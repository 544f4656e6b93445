"""Progress of a calibration: steps in; lines, bars with the time left and a JSON log out."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from api.pages import wording

if TYPE_CHECKING:  # the service runs without the package `calibration`
    from calibration.records import Event

_STYLE = {"finished": "green", "delayed": "dim", "skipped": "yellow", "failed": "red"}
"""Colour of the word for what became of a trial."""


def duration(seconds: float) -> str:
    """A rounded duration: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def sentence(step: Event) -> str:
    """A step as one plain line: setup, what became of it, its reason or figures."""
    where = f"{step.place}: " if step.place else ""
    found = [] if step.accuracy is None else [f"accuracy {wording.accuracy(step.accuracy)}"]
    if step.joules_per_1000 is not None:
        found.append(f"{wording.number(step.joules_per_1000)} J per 1,000 texts {step.label}")
    if step.seconds_per_1000 is not None:
        found.append(f"{wording.number(step.seconds_per_1000)} s per 1,000")
    if step.flags:
        found.append(f"but {' and '.join(step.flags)}")
    detail = step.reason or ", ".join(found)
    text = f"{where}{step.candidate} on {step.workload}, {step.choice}: {step.kind}"
    return f"{text}, {detail}" if detail else text


class Course:
    """Trials of one machine: counts, the one that runs, and the time left.

    Args:
        waiting: One step for each planned trial, with its planned seconds.
    """

    def __init__(self, waiting: Sequence[Event]) -> None:
        self.total, self.done, self.lost = len(waiting), 0, 0
        self.running: Event | None = None
        self._left_s = sum(step.estimated_s for step in waiting)
        self._planned_s = self._took_s = self._began_s = 0.0

    def take(self, step: Event, now_s: float) -> None:
        """Counts a step at `now_s`, seconds of a monotonic clock."""
        if step.kind == "started":
            self._began_s = now_s
        if step.kind in ("started", "delayed"):
            self.running = step
            return
        if step.kind == "finished" and self.running is not None:
            self._took_s += now_s - self._began_s
            self._planned_s += step.estimated_s
        self.lost += step.kind in ("skipped", "failed")
        self.done, self.running = self.done + 1, None
        self._left_s -= step.estimated_s

    def left_s(self, now_s: float) -> float:
        """Seconds left: the planned ones times actual over planned seconds of measured trials."""
        pace = self._took_s / self._planned_s if self._planned_s else 1.0
        left = max(0.0, self._left_s) * pace
        if self.running is not None:
            left -= min(now_s - self._began_s, self.running.estimated_s * pace)
        return max(0.0, left)


class _Now(ProgressColumn):
    """Time left, losses and the running trial of a bar's course, cut at the terminal's edge."""

    def __init__(self) -> None:
        super().__init__(Column(ratio=1, no_wrap=True, overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        """What stands behind the bar at this moment."""
        course: Course = task.fields["course"]
        parts = [f"{course.lost} lost"] * bool(course.lost)
        if course.done < course.total:
            left_s = course.left_s(time.monotonic())
            parts.insert(0, f"about {duration(left_s)} left" if left_s >= 1 else "nearly done")
        if (step := course.running) is not None:
            where = f"{step.node}: " if step.node else ""
            parts.append(f"{where}{step.candidate} on {step.workload}, {step.choice}")
        return Text("; ".join(parts))


class Watch:
    """Shows a calibration while it runs and logs it; used in a ``with`` block.

    People get a line for each settled trial, at a terminal with a bar for each machine below;
    programs get JSON lines. The log is the same JSON lines, each with its time.

    Args:
        log: Open file for the log.
        console: Where lines and bars go.
        as_json: JSON lines on stdout instead.

    Attributes:
        courses: Progress by place; one machine alone has the place ``""``.
        settled: Every step but started and delayed ones, for the summary.
    """

    def __init__(self, log: TextIO, console: Console, *, as_json: bool) -> None:
        self.courses: dict[str, Course] = {}
        self.settled: list[Event] = []
        self._log, self._as_json = log, as_json
        self._told: set[tuple[str | None, ...]] = set()
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(12), MofNCompleteColumn(), _Now(),
            console=console, expand=True, refresh_per_second=2,
            disable=as_json or not console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Self:
        """Starts drawing."""
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Draws once more and leaves the bars on the screen."""
        self._bars.stop()

    def join(self, place: str, waiting: Sequence[Event]) -> None:
        """Adds a machine with one waiting step for each of its trials."""
        self.courses[place] = course = Course(waiting)
        self._bars.add_task(place or "calibrating", total=len(waiting), course=course)

    def take(self, step: Event) -> None:
        """Counts, logs and shows a step, with the seconds left on the slowest machine."""
        now_s, place = time.monotonic(), step.place or ""
        self.courses[place].take(step, now_s)
        left_s = max(course.left_s(now_s) for course in self.courses.values())
        step = msgspec.structs.replace(step, left_s=round(left_s, 1))
        self.log(step, shown=self._as_json)
        number = self._bars.task_ids[[*self.courses].index(place)]
        self._bars.update(number, completed=self.courses[place].done)
        if step.kind not in ("started", "delayed"):
            self.settled.append(step)
        if not self._as_json and step.kind not in ("started", "present"):
            self._tell(step)

    def _tell(self, step: Event) -> None:
        """Prints a step; trials of a candidate that are lost for one reason are told once."""
        lost = (step.place, step.candidate, step.workload, step.reason)
        if step.kind in ("skipped", "failed") and lost in self._told:
            return
        self._told.add(lost)
        left = f"; about {duration(step.left_s)} left" if step.left_s else ""
        text = Text(f"{step.done}/{step.total} {sentence(step)}{left}")
        text.highlight_words([f": {step.kind}"], _STYLE.get(step.kind, ""))
        self._print(text)

    def note(self, said: str) -> None:
        """Logs and shows a notice about a machine of a fleet."""
        self.log({"kind": "notice", "said": said}, shown=self._as_json)
        if not self._as_json:
            self._print(Text(said, "dim"))

    def _print(self, text: Text) -> None:
        """Prints above the bars: broken between words at a terminal, as one line elsewhere."""
        console = self._bars.console
        console.print(text, soft_wrap=not console.is_terminal)

    def log(self, record: Any, *, shown: bool = False) -> None:
        """Writes a record as a line of the log and, if `shown`, as a line on stdout."""
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        timed = {"at": now, **msgspec.to_builtins(record)}
        self._log.write(msgspec.json.encode(timed).decode() + "\n")
        if shown:
            sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
            sys.stdout.flush()
