"""The plan of a calibration for people: grouped so that a whole suite fits on a screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.course import Step
from api.cli.progress import duration
from api.pages import wording as view

_COLUMNS = ("candidate", "precision", "batches", "sorted", "trials", "about", "at most")
_WIDE = 100
"""Least columns where no terminal says how many there are."""


def say(steps: Sequence[Step], profile: str) -> None:
    """One row for each candidate: over all its workloads what runs, how long, with which joules.

    Args:
        steps: Every planned trial, ``present`` or ``waiting``.
        profile: Name of the profile.
    """
    pending = [step for step in steps if step.kind == "waiting"]
    seconds = sum(step.estimated_s for step in pending)
    said = "nothing to measure, all is in the catalog" if not pending else "to measure, about"
    about = f" {duration(seconds)}{_least(joules(pending), ', ')}" if pending else ""
    by_name = attrgetter("candidate")
    groups = [list(group) for _, group in groupby(sorted(steps, key=by_name), key=by_name)]
    console = Console()
    console.width = console.width if console.is_terminal else max(console.width, _WIDE)
    title = f"{profile} profile: {len(pending)} of {len(steps)} trials {said}{about}"
    grid = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in _COLUMNS:
        grid.add_column(name, no_wrap=True)
    for group in groups:
        grid.add_row(*(escape(cell) for cell in _cells(group)))
    console.print(grid)
    for kind, name in (("workloads", "workload"), ("on", "device")):
        each = ", ".join(dict.fromkeys(getattr(step, name) for step in steps))
        console.print(f"[dim]{kind}: {escape(each)}[/]", soft_wrap=True)
    if pending and joules(pending) is None:
        console.print("[dim]joules: the chip's power is not known; state it with --tdp-w[/]")
    console.print("[dim]each candidate on each workload; --json lists every trial[/]")


def _cells(steps: Sequence[Step]) -> tuple[str, ...]:
    """One candidate's trials in a row; batch 1 is the scenario ``single``."""
    pending = [step for step in steps if step.kind == "waiting"]
    answers = [step for step in steps if step.phase == "inference"]
    plain = [step.batch_size for step in answers if step.variant is None]
    varied = [step.batch_size for step in answers if step.variant is not None]
    trials = f"{len(pending)} of {len(steps)}" if len(pending) < len(steps) else f"{len(steps)}"
    return (
        steps[0].candidate,
        " ".join(dict.fromkeys(step.precision for step in answers)),
        _sizes(plain),
        _sizes(varied) or "–",
        trials,
        duration(sum(step.estimated_s for step in pending)) if pending else "present",
        _said(joules(pending)) if pending else "",
    )


def joules(steps: Sequence[Step]) -> float | None:
    """Estimated joules of some trials together; ``None`` where one of them has none."""
    known = [step.estimated_j for step in steps if step.estimated_j is not None]
    return sum(known) if len(known) == len(steps) else None


def _said(joules: float | None) -> str:
    """Joules in the unit people read them in; a dash where nobody knows the chip's power."""
    if joules is None:
        return "–"
    for size, unit in ((3.6e6, "kWh"), (1e3, "kJ")):
        if joules >= size:
            return f"{view.number(joules / size)} {unit}"
    return f"{view.number(joules)} J"


def _least(joules: float | None, before: str) -> str:
    """An upper figure with what it is about, or nothing."""
    return "" if joules is None else f"{before}at most {_said(joules)} of the chip"


def _sizes(sizes: Sequence[float | None]) -> str:
    """Batch sizes, each once, smallest first."""
    return " ".join(f"{size:g}" for size in sorted({size for size in sizes if size is not None}))
