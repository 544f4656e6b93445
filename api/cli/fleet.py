"""Progress of a fleet's calibration: counts by hardware and a live table of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from api.cli.course import Course
from api.cli.progress import Listener, duration, figures

if TYPE_CHECKING:
    from calibration.records import Event


class FleetCourse:
    """Counts and latest steps of the trials of each hardware; machines run in parallel."""

    def __init__(self) -> None:
        self.places: dict[str, Course] = {}
        self.running: dict[str, Event] = {}
        self.last: dict[str, Event] = {}
        self.lost: dict[str, int] = {}

    def join(self, place: str, waiting: Sequence[Event]) -> None:
        """Adds hardware with one waiting step for each of its trials."""
        self.places[place] = Course(waiting)

    def take(self, step: Event, now_s: float) -> None:
        """Counts a step at `now_s`, seconds of a monotonic clock."""
        place = step.place or ""
        self.places[place].take(step, now_s)
        if step.kind == "started":
            self.running[place] = step
            return
        self.running.pop(place, None)
        if step.kind == "finished":
            self.last[place] = step
        elif step.kind in ("skipped", "failed"):
            self.lost[place] = self.lost.get(place, 0) + 1

    @property
    def done(self) -> int:
        """Trials settled on all hardware."""
        return sum(course.done for course in self.places.values())

    @property
    def total(self) -> int:
        """Trials of all hardware that has joined."""
        return sum(course.total for course in self.places.values())

    def left_s(self, now_s: float) -> float:
        """Seconds left: the longest of all hardware."""
        return max((course.left_s(now_s) for course in self.places.values()), default=0.0)


class FleetTable(Listener):
    """A live table with one row for each hardware; notices about machines above it."""

    def __init__(self, console: Console, course: FleetCourse) -> None:
        self._console, self._course = console, course
        self._live = Live(
            console=console, get_renderable=self.table, refresh_per_second=2, transient=False
        )

    def __enter__(self) -> FleetTable:
        """Starts drawing."""
        self._live.__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        """Draws once more and leaves the table on the screen."""
        self._live.__exit__(*ended)  # type: ignore[arg-type]

    def take(self, step: Event) -> None:
        """Prints skipped and failed trials above the table."""
        if step.kind in ("skipped", "failed"):
            lost = f"{step.place}: {step.candidate} on {step.workload}, {step.choice}"
            self._console.print(
                f"[yellow]{step.kind}[/] {escape(f'{lost}: {step.reason}')}", soft_wrap=True
            )

    def note(self, said: str) -> None:
        """Prints a notice above the table."""
        self._console.print(f"[dim]{escape(said)}[/]", soft_wrap=True)

    def table(self) -> Table:
        """The table at this moment."""
        course, now_s = self._course, time.monotonic()
        left = course.left_s(now_s)
        rest = f", about {duration(left)} left" if course.done < course.total else ""
        grid = Table(
            title=f"fleet: {course.done} of {course.total} trials{rest}",
            title_justify="left", title_style="bold", box=None, pad_edge=False,
        )  # fmt: skip
        grid.add_column("")
        for name in ("hardware", "machine"):
            grid.add_column(name, no_wrap=True)
        for name in ("trials", "lost", "left"):
            grid.add_column(name, justify="right", no_wrap=True)
        for name in ("now", "last"):
            grid.add_column(name, no_wrap=True, overflow="ellipsis")
        for place in course.places:
            grid.add_row(*self._cells(place, now_s))
        return grid

    def _cells(self, place: str, now_s: float) -> tuple[str, ...]:
        """The row of one hardware."""
        course, running = self._course.places[place], self._course.running.get(place)
        last = self._course.last.get(place)
        over, lost = course.done == course.total, self._course.lost.get(place, 0)
        mark = "[green]✓[/]" if over else "[bold cyan]▸[/]" if running else "[dim]·[/]"
        at_work = running or last
        cells = (
            place,
            at_work.node or "" if at_work else "",
            f"{course.done}/{course.total}",
            f"{lost}" if lost else "",
            "" if over else duration(course.left_s(now_s)),
            f"{running.candidate} on {running.workload}, {running.choice}" if running else "",
            f"{last.candidate}: {figures(last)}" if last else "",
        )
        return (mark, *(escape(cell) for cell in cells))
