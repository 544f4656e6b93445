"""Tests of `course` and `progress`: what became of each trial, time left, what is shown."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from api.cli import summary
from api.cli.course import Course, Line, window
from api.cli.progress import LiveTable, LogFile, PlainLines, duration, sentence
from calibration.records import Event


def step(kind: Any = "waiting", **values: Any) -> Event:
    """The offline trial of one candidate, planned for 10 s."""
    given: dict[str, Any] = {
        "candidate": "bow-logistic",
        "workload": "sst2",
        "device": "CPU",
        "phase": "inference",
        "scenario": "offline",
        "backend": "sklearn",
        "precision": "fp64",
        "batch_size": 32.0,
        "estimated_s": 10.0,
    }
    return Event(kind=kind, **(given | values))


SINGLE = {"scenario": "single", "batch_size": 1.0}
OTHER = {"candidate": "tfidf-word-logistic"}


def test_a_line_counts_its_trials_and_shows_the_usual_batch() -> None:
    """Figures of batch 32 stand for a candidate once they are there, whatever comes later."""
    course = Course([step(**SINGLE), step(), step(variant="length-sorted"), step(**OTHER)])
    (line, other) = course.lines.values()
    course.take(step("started", **SINGLE), 0)
    assert (line.state, line.running, other.state) == ("started", "single fp64", "waiting")
    course.take(step("finished", **SINGLE, accuracy=0.8), 10)
    assert line.shown is not None
    assert line.shown.scenario == "single"
    course.take(step("finished", accuracy=0.81), 20)
    course.take(step("finished", variant="length-sorted", accuracy=0.82), 30)
    assert (line.state, line.done, line.total) == ("finished", 3, 3)
    assert line.shown.accuracy == 0.81
    assert (course.done, course.total, course.measured) == (3, 4, 3)


def test_what_cannot_run_settles_its_trials_with_the_reason() -> None:
    """A skipped line is told from a failed one; both leave nothing to wait for."""
    course = Course([step(), step(**OTHER)])
    course.take(step("skipped", reason="no checkpoint"), 0)
    course.take(step("failed", **OTHER, reason="out of memory"), 0)
    assert [line.state for line in course.lines.values()] == ["skipped", "failed"]
    assert [line.reason for line in course.lines.values()] == ["no checkpoint", "out of memory"]
    assert course.left_s(0) == 0


def test_time_left_follows_the_plan_and_learns_from_the_clock() -> None:
    """Planned seconds at first; trials that take twice as long double what is left."""
    trials = [step(), step(**OTHER), step(candidate="third")]
    course = Course(trials)
    assert course.left_s(0) == 30
    course.take(step("started"), 100)
    assert course.left_s(104) == pytest.approx(26)
    assert course.left_s(200) == pytest.approx(20)  # late, but the others are still to come
    course.take(step("finished"), 120)
    assert course.left_s(120) == pytest.approx(40)
    course.take(step("started", **OTHER), 120)
    assert course.left_s(130) == pytest.approx(30)
    course.take(step("skipped", **OTHER, reason="x"), 130)
    assert course.left_s(130) == pytest.approx(20)  # a skip teaches nothing about speed


def test_present_trials_take_no_time_and_keep_their_figures() -> None:
    """What the catalog has counts as done and is shown."""
    course = Course([step(estimated_s=0.0), step(**OTHER)])
    course.take(step("present", estimated_s=0.0, accuracy=0.7), 0)
    line = next(iter(course.lines.values()))
    assert (line.state, line.done, course.left_s(0), course.measured) == ("finished", 1, 10, 0)
    assert line.shown is not None
    assert line.shown.accuracy == 0.7


@pytest.mark.parametrize(
    ("running", "rows", "expected"),
    [(0, 10, (0, 10)), (50, 10, (45, 55)), (99, 10, (90, 100)), (3, 200, (0, 100))],
)
def test_a_long_suite_scrolls_with_the_running_line(
    running: int, rows: int, expected: tuple[int, int]
) -> None:
    """As many lines as fit, the running one among them."""
    lines = [Line(candidate=str(n), workload="w", total=1) for n in range(100)]
    for line in lines[:running]:
        line.done = 1
    lines[running].running = "train"
    assert window(lines, rows) == expected
    lines[running].running = None
    first, last = window(lines, rows)
    assert first <= running < last


def test_the_table_fits_the_screen_and_says_what_is_hidden() -> None:
    """On 20 rows a suite of 60 candidates is cut, with the count of lines above and below."""
    course = Course([step(candidate=f"candidate-{n}") for n in range(60)])
    for n in range(30):
        course.take(step("finished", candidate=f"candidate-{n}", accuracy=0.8), n)
    course.take(step("started", candidate="candidate-30"), 30)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=20)
    with console.capture() as shown:
        console.print(LiveTable(console, course, "calibrating").table())
    text = shown.get()
    assert len(text.splitlines()) <= 20
    assert "candidate-30 " in text
    assert "30 of 60 trials" in text
    above = int(text.split(" more above")[0].split()[-1].split("m")[-1])
    below = int(text.split(" more below")[0].split()[-1])
    assert above + below == 60 - text.count("candidate-")


def test_joules_stand_with_their_label() -> None:
    """No joule is told without how it was obtained, in the table, in lines and in the log."""
    done = step("finished", accuracy=0.8, joules_per_1000=2.5, label="modelled", done=1, total=1)
    course = Course([step()])
    course.take(done, 1)
    console = Console(file=io.StringIO(), width=120)
    with console.capture() as shown:
        console.print(LiveTable(console, course, "t").table())
    assert "2.50 modelled" in shown.get()
    assert "2.50 J per 1,000 texts modelled" in sentence(done)
    doubtful = msgspec.structs.replace(done, flags=("other-load", "unstable"))
    assert sentence(doubtful).endswith("but other-load and unstable")


def test_plain_lines_tell_what_was_settled_and_what_is_left() -> None:
    """One line per settled trial without any control character."""
    out = io.StringIO()
    lines = PlainLines(Console(file=out, width=40))
    lines.take(step("started", total=2))
    lines.take(step("finished", accuracy=0.812, done=1, total=2, left_s=600.0))
    lines.take(step("skipped", reason="[no] checkpoint", done=2, total=2))
    assert out.getvalue().splitlines() == [
        "1/2 bow-logistic on sst2, offline 32 fp64: finished, accuracy 0.812; about 10 min left",
        "2/2 bow-logistic on sst2, offline 32 fp64: skipped, [no] checkpoint",
    ]


def test_the_log_has_a_time_on_each_line_and_grows(tmp_path: Path) -> None:
    """Lines are appended, also by a second run; a newline never splits one."""
    file = tmp_path / "deep" / "run.log"
    LogFile(file).take(step("skipped", reason="a\nb"))
    LogFile(file).write("again")
    first, second = file.read_text().splitlines()
    assert first.endswith("skipped, a b")
    assert second.endswith("Z again")
    assert first[4] == first[7] == "-"


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (89, "89 s"), (300, "5 min"), (11_100, "3 h 05 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    """Seconds, minutes, hours."""
    assert duration(seconds) == said


def test_what_was_measured_in_part_is_not_called_skipped() -> None:
    """A trial that was refused leaves the others of its line standing, and its reason."""
    course = Course([step(), step(scenario="server", rate_per_s=500.0)])
    course.take(step("finished", accuracy=0.8), 0)
    course.take(step("skipped", scenario="server", rate_per_s=500.0, reason="too fast"), 0)
    (line,) = course.lines.values()
    assert (line.state, line.reason) == ("finished", "too fast")
    assert "server 32 at 500/s fp64" in sentence(step(scenario="server", rate_per_s=500.0))


def test_a_plan_is_one_row_per_candidate_with_time_and_joules(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Workloads, precisions, batches and orders are gathered; joules are an upper figure."""
    steps = [
        step(workload=workload, precision=precision, batch_size=batch, variant=variant, **more)
        for workload in ("sst2", "agnews")
        for precision, batch, variant, more in (
            ("fp32", 1.0, None, {"scenario": "single", "estimated_j": 4000.0}),
            ("fp32", 32.0, "length-sorted", {"estimated_j": 1000.0}),
            ("int8", 8.0, None, {"estimated_j": 1000.0}),
        )
    ]
    summary.print_plan([*steps, step(**OTHER), step("present", **OTHER)], "standard")
    out = capsys.readouterr().out
    lines = {cells[0]: cells for line in out.splitlines() if (cells := line.split("  "))}
    shown = [cell.strip() for cell in lines["bow-logistic"] if cell.strip()]
    assert shown == ["bow-logistic", "fp32 int8", "1 8", "32", "6", "60 s", "12.0 kJ"]
    assert "1 of 2" in out
    assert "7 of 8 trials to measure, about 70 s" in out
    assert "workloads: sst2, agnews" in out
    assert summary.total_joules(steps) == 12_000
    assert summary.total_joules([*steps, step()]) is None
