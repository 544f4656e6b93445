"""The commands about this machine; the one place that reaches the benchmark suite."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console

from api import calibrated, planned, terminal
from api.course import Course, Kind, Step
from api.progress import JsonLines, Listener, LiveTable, LogFile, PlainLines
from calibration import suite
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.store import Store

THIS: dict[str, Literal["cpu", "gpu"] | None] = {"this": None, "this-cpu": "cpu", "this-gpu": "gpu"}
"""Names of this machine in a question -> the chip that is meant; its GPU, else its CPU."""


def this_device(snapshot: Snapshot, name: str = "this") -> str | Device:
    """This machine's device: by name where the catalog has it, else its record."""
    device = suite.this_device(snapshot, THIS[name])
    return device.name if device.name in snapshot.devices else device


def say_diagnosis(
    snapshot: Snapshot, data: Path | None, models: Path | None, *, as_json: bool
) -> bool:
    """Tells what can be measured here; whether a hardware counter is readable."""
    findings = suite.diagnose(snapshot, data=data, models=models)
    if as_json:
        terminal.say_json(findings)
    else:
        terminal.table(
            "What can be measured here",
            ("", "what", "found", "remedy"),
            (
                ("yes" if found.ok else "no", found.what, found.detail, found.remedy or "")
                for found in findings
            ),
        )
    return any(found.counter and found.ok for found in findings)


def make_plan(snapshot: Snapshot, **asked: Any) -> suite.Plan:
    """A calibration plan; texts or options that cannot be used end the command."""
    try:
        return suite.plan(snapshot, **asked)
    except suite.WorkloadError as error:
        terminal.fail(str(error), terminal.BAD_DATA)
    except suite.PlanError as error:
        terminal.fail(str(error), terminal.USAGE)


def say_plan(plan: suite.Plan, *, as_json: bool) -> None:
    """What would be measured and about how long it takes."""
    if as_json:
        body = {
            "profile": plan.profile.name,
            "estimated_s": plan.estimated_s,
            "estimated_j": plan.estimated_j,
            "pending": len(plan.pending),
            "trials": plan.trials,
        }
        terminal.say_json(msgspec.to_builtins(body))
    else:
        steps = [_step(trial, "present" if trial.present else "waiting") for trial in plan.trials]
        planned.say(steps, plan.profile.name)


def _step(trial: suite.Trial, kind: Kind, **more: Any) -> Step:
    """A trial as a step of the course."""
    return Step(
        kind=kind,
        candidate=trial.candidate,
        workload=trial.workload,
        device=trial.device,
        phase=trial.phase,
        scenario=trial.scenario,
        precision=trial.precision,
        batch_size=trial.batch_size,
        rate_per_s=trial.rate_per_s,
        variant=trial.repeat_group,
        estimated_s=trial.estimated_s,
        estimated_j=trial.estimated_j,
        **more,
    )


def _shown(plan: suite.Plan, course: Course, as_json: bool) -> Listener:
    """What the person or the program that asked is shown."""
    console = Console(stderr=True)
    if as_json:
        return JsonLines()
    if console.is_terminal:
        return LiveTable(console, course, f"calibrating, {plan.profile.name} profile")
    return PlainLines(console)


def _log(file: Path, plan: suite.Plan) -> LogFile:
    """The log file with its heading; ends the command where it cannot be written."""
    try:
        log = LogFile(file)
    except OSError as error:
        terminal.fail(f"the log {file} cannot be written: {error.strerror}", terminal.USAGE)
    log.write(
        f"profile {plan.profile.name}, {len(plan.pending)} of {len(plan.trials)} trials to "
        f"measure, seed {plan.seed}, on {', '.join(plan.devices)}"
    )
    return log


def _measure(
    plan: suite.Plan, store: Store, course: Course, listeners: Sequence[Listener]
) -> suite.Summary:
    """Runs a plan; every listener hears each step after the course has counted it."""

    def hear(event: suite.Event) -> None:
        now_s = time.monotonic()
        told = {name: getattr(event, name) for name in _TOLD}
        step = _step(event.trial, event.kind, **told)
        course.take(step, now_s)
        step = msgspec.structs.replace(step, left_s=round(course.left_s(now_s), 1))
        for listener in listeners:
            listener.take(step)

    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        return suite.calibrate(plan, store, on_event=hear)


_TOLD = (
    *("done", "total", "reason"),
    *("accuracy", "joules_per_1000", "label", "seconds_per_1000"),
)


def calibrate(plan: suite.Plan, store: Store, *, log: Path | None, as_json: bool) -> int:
    """Measures what a plan lacks, tells what came of it and returns the exit code.

    Args:
        plan: What to measure.
        store: Where rows go.
        log: File the course is appended to; default: a new one beside the catalog.
        as_json: JSON lines on stdout, one for each step, the summary last.
    """
    file = log or calibrated.new_log(store)
    book, course = _log(file, plan), Course([_step(trial, "waiting") for trial in plan.trials])
    try:
        summary = _measure(plan, store, course, [book, _shown(plan, course, as_json)])
    except suite.BusyError as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted before anything was measured", terminal.INTERRUPTED)
    ended = _ended(plan, summary, file)
    book.write(calibrated.sentence(ended))
    if as_json:
        terminal.say_json(ended)
    else:
        calibrated.say(ended)
    if summary.interrupted:
        return terminal.INTERRUPTED
    return terminal.SKIPPED if summary.skipped or summary.failed else 0


def _ended(plan: suite.Plan, summary: suite.Summary, log: Path) -> calibrated.Ended:
    """A summary with the fronts of what was measured, the plot drawn beside the log."""
    lost = tuple(
        calibrated.Lost(candidate=candidate, workload=workload, reason=reason)
        for (candidate, workload), reason in summary.reasons.items()
    )
    found = calibrated.found(list(plan.texts), list(plan.devices), list(plan.candidates))
    counts = msgspec.structs.asdict(summary) | {"reasons": lost}
    plot = calibrated.draw(found, summary.run_id, log.parent)
    return calibrated.Ended(**counts, results=found, log=str(log), plot=plot)


def counter_readable() -> bool:
    """Whether this machine has an energy counter that can be read."""
    return suite.counter_readable()
