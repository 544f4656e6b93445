"""How the course of a calibration is told: a live table, plain lines, JSON lines, a log file."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from api.cli.course import Course, Kind, Line, Step, window
from api.pages import wording as view

_MARK: dict[Kind, str] = {
    "waiting": "[dim]·[/]",
    "started": "[bold cyan]▸[/]",
    "finished": "[green]✓[/]",
    "skipped": "[yellow]–[/]",
    "failed": "[red]✗[/]",
}
_AROUND = 5
"""Rows of a screen that title, header and the last lines take."""


def duration(seconds: float) -> str:
    """About how long: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def figures(step: Step) -> str:
    """A step's accuracy, energy, time and doubts in words; only those that are there."""
    found = []
    if step.accuracy is not None:
        found.append(f"accuracy {view.accuracy(step.accuracy)}")
    if step.joules_per_1000 is not None:
        found.append(f"{view.number(step.joules_per_1000)} J per 1,000 texts {step.label}")
    if step.seconds_per_1000 is not None:
        found.append(f"{view.number(step.seconds_per_1000)} s per 1,000")
    if step.flags:
        found.append(f"but {' and '.join(step.flags)}")
    return ", ".join(found)


def sentence(step: Step) -> str:
    """A step as one plain line."""
    where = f"{step.place}: " if step.place else ""
    said = f"{where}{step.candidate} on {step.workload}, {step.choice}: {step.kind}"
    told = step.reason or figures(step)
    return f"{said}, {told}" if told else said


class Listener:
    """Is told each step, within a ``with`` block; this one keeps it to itself."""

    def __enter__(self) -> Self:
        """Begins to tell."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends telling."""

    def take(self, step: Step) -> None:
        """Hears of a step that the course has counted."""

    def note(self, said: str) -> None:
        """Hears something about a machine of a fleet."""


class PlainLines(Listener):
    """One line for each settled trial, for logs of other programs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def take(self, step: Step) -> None:
        """Prints what was settled and what is left."""
        if step.kind in ("started", "present"):
            return
        left = f"; about {duration(step.left_s)} left" if step.left_s else ""
        line = f"{step.done}/{step.total} {sentence(step)}{left}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def note(self, said: str) -> None:
        """Prints it."""
        self._console.print(said, markup=False, highlight=False, soft_wrap=True)


class JsonLines(Listener):
    """One JSON object per step on stdout."""

    def take(self, step: Step) -> None:
        """Writes the step."""
        self._write(step)

    def note(self, said: str) -> None:
        """Writes it as an object of kind ``notice``."""
        self._write({"kind": "notice", "said": said})

    @staticmethod
    def _write(what: Step | dict[str, str]) -> None:
        """One line."""
        sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
        sys.stdout.flush()


class LogFile(Listener):
    """What happened, with times in UTC, appended to a file; opened anew for each line.

    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("a").close()

    def write(self, said: str) -> None:
        """Appends one line."""
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        with self._file.open("a", encoding="utf-8") as out:
            out.write(f"{now} {' '.join(said.split())}\n")

    def take(self, step: Step) -> None:
        """Appends the step."""
        self.write(f"{step.done}/{step.total} {sentence(step)}")

    def note(self, said: str) -> None:
        """Appends it."""
        self.write(said)


class LiveTable(Listener):
    """The table that moves: one row for each candidate on each workload."""

    def __init__(self, console: Console, course: Course, title: str) -> None:
        self._console, self._course, self._title = console, course, title
        self._lost: set[tuple[str, str]] = set()
        self._live = Live(
            console=console, get_renderable=self.table, refresh_per_second=2, transient=False
        )

    def __enter__(self) -> Self:
        """Begins to draw."""
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draws a last time and leaves the table on the screen."""
        self._live.__exit__(kind, error, trace)

    def take(self, step: Step) -> None:
        """Says above the table why something was skipped; the rest is drawn by itself."""
        pair = (step.candidate, step.workload)
        if step.kind in ("skipped", "failed") and pair not in self._lost:
            self._lost.add(pair)
            lost = f"{step.candidate} on {step.workload}: {step.reason}"
            self._console.print(f"[yellow]{step.kind}[/] {escape(lost)}", soft_wrap=True)

    def table(self) -> Table:
        """The table as it stands."""
        course = self._course
        done = f"{course.done} of {course.total} trials"
        left = course.left_s(time.monotonic())
        rest = f", about {duration(left)} left" if left >= 1 else ", nearly done"
        rest = rest if course.done < course.total else ""
        lines = list(course.lines.values())
        first, last = window(lines, max(3, self._console.size.height - _AROUND))
        return _table(f"{self._title}: {done}{rest}", lines, first, last)


def _table(title: str, lines: Sequence[Line], first: int, last: int) -> Table:
    """Some of the lines, and how many there are above and below them."""
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
    """A line's cells behind its mark."""
    shown = line.shown
    said = line.running or line.reason or (shown.choice if shown else "")
    if shown is None:
        return (line.candidate, line.workload, f"{line.done}/{line.total}", "", "", "", said)
    joules = view.number(shown.joules_per_1000) if shown.joules_per_1000 is not None else "–"
    return (
        line.candidate,
        line.workload,
        f"{line.done}/{line.total}",
        view.accuracy(shown.accuracy),
        f"{joules} {shown.label}" if shown.label else joules,
        view.number(shown.seconds_per_1000),
        said,
    )
