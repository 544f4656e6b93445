"""Listeners that show the progress of a calibration: live table, plain and JSON lines, log file."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from api.cli.course import Course, Line, window
from api.pages import wording

if TYPE_CHECKING:
    from calibration.records import Event, EventKind

_MARK: dict[EventKind, str] = {
    "waiting": "[dim]·[/]",
    "started": "[bold cyan]▸[/]",
    "finished": "[green]✓[/]",
    "skipped": "[yellow]–[/]",
    "failed": "[red]✗[/]",
}
_RESERVED_ROWS = 5
"""Screen rows taken by title, header and the last lines."""


def duration(seconds: float) -> str:
    """A rounded duration: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def figures(step: Event) -> str:
    """Accuracy, energy, time and flags of a step in words, without the missing ones."""
    found = []
    if step.accuracy is not None:
        found.append(f"accuracy {wording.accuracy(step.accuracy)}")
    if step.joules_per_1000 is not None:
        found.append(f"{wording.number(step.joules_per_1000)} J per 1,000 texts {step.label}")
    if step.seconds_per_1000 is not None:
        found.append(f"{wording.number(step.seconds_per_1000)} s per 1,000")
    if step.flags:
        found.append(f"but {' and '.join(step.flags)}")
    return ", ".join(found)


def sentence(step: Event) -> str:
    """A step as one plain line."""
    where = f"{step.place}: " if step.place else ""
    text = f"{where}{step.candidate} on {step.workload}, {step.choice}: {step.kind}"
    detail = step.reason or figures(step)
    return f"{text}, {detail}" if detail else text


class Listener:
    """Base of all listeners: receives each step within a ``with`` block and ignores it."""

    def __enter__(self) -> Self:
        """Starts listening."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops listening."""

    def take(self, step: Event) -> None:
        """Receives a step after the course has counted it."""

    def note(self, message: str) -> None:
        """Receives a notice about a machine of a fleet."""


class Settled(Listener):
    """Keeps every settled step, for the summary."""

    def __init__(self) -> None:
        self.steps: list[Event] = []

    def take(self, step: Event) -> None:
        """Keeps a step that is not just started."""
        if step.kind != "started":
            self.steps.append(step)


class PlainLines(Listener):
    """One line for each settled trial, for logs of other programs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def take(self, step: Event) -> None:
        """Prints a settled step and the remaining time."""
        if step.kind in ("started", "present"):
            return
        left = f"; about {duration(step.left_s)} left" if step.left_s else ""
        line = f"{step.done}/{step.total} {sentence(step)}{left}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """Prints it."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


class JsonLines(Listener):
    """One JSON object for each step on stdout."""

    def take(self, step: Event) -> None:
        """Writes the step."""
        self._write(step)

    def note(self, message: str) -> None:
        """Writes it as an object of kind ``notice``."""
        self._write({"kind": "notice", "said": message})

    @staticmethod
    def _write(record: Event | dict[str, str]) -> None:
        """Writes one line and flushes it."""
        sys.stdout.write(msgspec.json.encode(record).decode() + "\n")
        sys.stdout.flush()


class LogFile(Listener):
    """Log lines with UTC times appended to a file, which is opened for each line.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("a").close()

    def write(self, message: str) -> None:
        """Appends one line."""
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        with self._file.open("a", encoding="utf-8") as out:
            out.write(f"{now} {' '.join(message.split())}\n")

    def take(self, step: Event) -> None:
        """Appends the step."""
        self.write(f"{step.done}/{step.total} {sentence(step)}")

    def note(self, message: str) -> None:
        """Appends it."""
        self.write(message)


class LiveTable(Listener):
    """A live table: one row for each candidate on each workload."""

    def __init__(self, console: Console, course: Course, title: str) -> None:
        self._console, self._course, self._title = console, course, title
        self._lost: set[tuple[str, str]] = set()
        self._live = Live(
            console=console, get_renderable=self.table, refresh_per_second=2, transient=False
        )

    def __enter__(self) -> Self:
        """Starts drawing."""
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draws once more and leaves the table on the screen."""
        self._live.__exit__(kind, error, trace)

    def take(self, step: Event) -> None:
        """Prints above the table why a trial was skipped or failed, once per line of the table."""
        pair = (step.candidate, step.workload)
        if step.kind in ("skipped", "failed") and pair not in self._lost:
            self._lost.add(pair)
            lost = f"{step.candidate} on {step.workload}: {step.reason}"
            self._console.print(f"[yellow]{step.kind}[/] {escape(lost)}", soft_wrap=True)

    def table(self) -> Table:
        """The table at this moment."""
        course = self._course
        done = f"{course.done} of {course.total} trials"
        left = course.left_s(time.monotonic())
        rest = f", about {duration(left)} left" if left >= 1 else ", nearly done"
        rest = rest if course.done < course.total else ""
        lines = list(course.lines.values())
        first, last = window(lines, max(3, self._console.size.height - _RESERVED_ROWS))
        return _table(f"{self._title}: {done}{rest}", lines, first, last)


def _table(title: str, lines: Sequence[Line], first: int, last: int) -> Table:
    """Lines `first` to `last`, with a caption that counts those above and below."""
    above, below = first, len(lines) - last
    hidden = [f"{above} more above"] * bool(above) + [f"{below} more below"] * bool(below)
    grid = Table(
        title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False,
        caption=", ".join(hidden) or None, caption_justify="left",
    )  # fmt: skip
    grid.add_column("")
    grid.add_column("candidate", no_wrap=True)
    grid.add_column("workload", no_wrap=True)
    for name in ("trials", "accuracy", "J per 1,000", "s per 1,000"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True, overflow="ellipsis")
    for line in lines[first:last]:
        grid.add_row(_MARK[line.state], *(escape(cell) for cell in _cells(line)))
    return grid


def _cells(line: Line) -> tuple[str, ...]:
    """A line's cells after its mark."""
    shown = line.shown
    status = line.running or line.reason or (shown.choice if shown else "")
    if shown is None:
        return (line.candidate, line.workload, f"{line.done}/{line.total}", "", "", "", status)
    joules = wording.number(shown.joules_per_1000) if shown.joules_per_1000 is not None else "–"
    return (
        line.candidate,
        line.workload,
        f"{line.done}/{line.total}",
        wording.accuracy(shown.accuracy),
        f"{joules} {shown.label}" if shown.label else joules,
        wording.number(shown.seconds_per_1000),
        status,
    )
