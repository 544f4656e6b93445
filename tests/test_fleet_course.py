"""Tests of `api.cli.fleet`: one line for each hardware of a fleet, side by side."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from api.cli.fleet import FleetCourse, FleetTable
from calibration.records import Event


def step(place: str, kind: Any = "waiting", candidate: str = "bow-logistic", **more: Any) -> Event:
    """A trial of 10 s on some hardware."""
    return Event(
        kind=kind, candidate=candidate, workload="sst2", device=place, phase="inference",
        scenario="offline", backend="sklearn", precision="fp64", batch_size=32.0, estimated_s=10.0,
        place=place, **more,
    )  # fmt: skip


def two() -> FleetCourse:
    """One machine with two trials, another one with one."""
    course = FleetCourse()
    course.join("NVIDIA A30", [step("NVIDIA A30"), step("NVIDIA A30", candidate="minilm")])
    course.join("AMD EPYC", [step("AMD EPYC")])
    return course


def test_machines_work_side_by_side() -> None:
    """Trials add up, seconds do not: what takes longest is what is left."""
    course = two()
    assert (course.done, course.total, course.left_s(0)) == (0, 3, 20)
    course.take(step("AMD EPYC", "started", node="n1"), 0)
    course.take(step("AMD EPYC", "finished", node="n1", accuracy=0.8), 5)
    assert (course.done, course.left_s(5)) == (1, 20)


def test_the_table_has_a_line_for_each_hardware() -> None:
    """With its machine, what runs there, the last figures, what was lost, and notices above."""
    course, out = two(), io.StringIO()
    console = Console(file=out, width=180, force_terminal=True, color_system=None)
    with FleetTable(console, course) as table:
        table.note("node-3 is left out: [no texts]")
        for told in (
            step("AMD EPYC", "started", node="n1"),
            step("AMD EPYC", "finished", node="n1", accuracy=0.8),
            step("NVIDIA A30", "failed", reason="out of memory"),
            step("NVIDIA A30", "started", candidate="minilm", node="n2"),
        ):
            course.take(told, 0)
            table.take(told)
    said = out.getvalue()
    assert "node-3 is left out: [no texts]" in said
    assert "NVIDIA A30: bow-logistic on sst2, offline 32 fp64: out of memory" in said
    shown = said[said.rindex("fleet: 2 of 3 trials") :].splitlines()
    epyc = next(line for line in shown if "AMD EPYC" in line)
    assert "n1" in epyc
    assert "1/1" in epyc
    assert "bow-logistic: accuracy" in epyc
    a30 = next(line for line in shown if "NVIDIA A30" in line)
    assert "n2" in a30
    assert "minilm on sst2, offline 32 fp64" in a30
    assert "1/2" in a30
