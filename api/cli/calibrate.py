"""The commands about this machine; the one place that reaches the benchmark suite."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import msgspec
from rich.console import Console

from api.cli import planned, tabular, terminal
from api.cli import summary as calibrated
from api.cli.course import Course, Kind, Step
from api.cli.fleet import FleetCourse, FleetTable
from api.cli.progress import JsonLines, Listener, LiveTable, LogFile, PlainLines
from api.cli.results import Result
from calibration import suite
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.store.database import Store

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
        tabular.show(
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


def _log(file: Path, heading: str) -> LogFile:
    """The log file with its heading; ends the command where it cannot be written."""
    try:
        log = LogFile(file)
    except OSError as error:
        terminal.fail(f"the log {file} cannot be written: {error.strerror}", terminal.USAGE)
    log.write(heading)
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
    *("accuracy", "joules_per_1000", "label", "seconds_per_1000", "flags"),
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
    heading = (
        f"profile {plan.profile.name}, {len(plan.pending)} of {len(plan.trials)} trials to "
        f"measure, seed {plan.seed}, on {', '.join(plan.devices)}"
    )
    book, course = _log(file, heading), Course([_step(trial, "waiting") for trial in plan.trials])
    try:
        summary = _measure(plan, store, course, [book, _shown(plan, course, as_json)])
    except suite.BusyError as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted before anything was measured", terminal.INTERRUPTED)
    found = calibrated.found(list(plan.texts), list(plan.devices), list(plan.candidates))
    return _end(summary, found, book, file, as_json=as_json)


def _end(
    summary: suite.Summary, found: Sequence[Result], book: LogFile, log: Path, *, as_json: bool
) -> int:
    """Tells what came of a calibration, with the plot beside the log; returns the exit code."""
    lost = tuple(
        calibrated.Lost(candidate=candidate, workload=workload, reason=reason)
        for (candidate, workload), reason in summary.reasons.items()
    )
    counts = msgspec.structs.asdict(summary) | {"reasons": lost}
    plot = calibrated.draw(found, summary.run_id, log.parent)
    ended = calibrated.Ended(**counts, results=tuple(found), log=str(log), plot=plot)
    book.write(calibrated.sentence(ended))
    if as_json:
        terminal.say_json(ended)
    else:
        calibrated.say(ended)
    if summary.interrupted:
        return terminal.INTERRUPTED
    return terminal.SKIPPED if summary.skipped or summary.failed else 0


def fleet_request(snapshot: Snapshot, **asked: Any) -> suite.fleet.Request:
    """What every machine of a fleet is asked; options that cannot be used end the command."""
    try:
        return suite.fleet.request(snapshot, **asked)
    except suite.PlanError as error:
        terminal.fail(str(error), terminal.USAGE)


class _Ear:
    """Hears a fleet and tells it on to listeners, after the course has counted it."""

    def __init__(self, course: FleetCourse, listeners: Sequence[Listener]) -> None:
        self._course, self._listeners = course, listeners
        self.joined: list[suite.fleet.Joined] = []

    def hear(self, heard: suite.fleet.Heard) -> None:
        """Takes whatever the fleet tells."""
        if isinstance(heard, suite.Event):
            self._step(heard)
        elif isinstance(heard, suite.fleet.Joined):
            self.joined.append(heard)
            waiting = [_step(trial, "waiting", place=heard.place) for trial in heard.trials]
            self._course.join(heard.place, waiting)
        else:
            for listener in self._listeners:
                listener.note(heard.said)

    def _step(self, event: suite.Event) -> None:
        """A step of a trial."""
        now_s = time.monotonic()
        told = {name: getattr(event, name) for name in (*_TOLD, "place", "node")}
        step = _step(event.trial, event.kind, **told)
        self._course.take(step, now_s)
        step = msgspec.structs.replace(step, left_s=round(self._course.left_s(now_s), 1))
        for listener in self._listeners:
            listener.take(step)

    def names(self, field: str) -> list[str]:
        """Devices or workloads of all hardware that has joined."""
        return list(dict.fromkeys(name for each in self.joined for name in getattr(each, field)))


def _fleet_shown(course: FleetCourse, as_json: bool) -> Listener:
    """What the person or the program that asked for a fleet is shown."""
    console = Console(stderr=True)
    if as_json:
        return JsonLines()
    return FleetTable(console, course) if console.is_terminal else PlainLines(console)


def calibrate_fleet(
    address: str,
    asked: suite.fleet.Request,
    snapshot: Snapshot,
    store: Store,
    *,
    log: Path | None,
    as_json: bool,
    factor: float,
    machines: int,
    per_hardware: int,
) -> int:
    """Measures on every machine of a scheduler and returns the exit code.

    Args:
        address: Of the Dask scheduler.
        asked: What is measured on each hardware.
        snapshot: The catalog as it is.
        store: Where rows go.
        log: See `calibrate`; likewise `as_json`.
        as_json: JSON lines on stdout.
        factor: Times its forecast that a trial may take.
        machines: How many must have joined before it may end.
        per_hardware: How often each hardware is measured.
    """
    file, course = log or calibrated.new_log(store), FleetCourse()
    book = _log(file, f"profile {asked.profile.name}, seed {asked.seed}, fleet at {address}")
    listeners = [book, _fleet_shown(course, as_json)]
    ear, patience = _Ear(course, listeners), suite.fleet.Patience(factor=factor)
    try:
        with ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(listener)
            summary = suite.fleet.calibrate(
                address,
                asked,
                snapshot,
                store,
                machines=machines,
                per_hardware=per_hardware,
                patience=patience,
                hear=ear.hear,
            )
    except (suite.BusyError, suite.fleet.FleetError) as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted before anything was measured", terminal.INTERRUPTED)
    measured = list(dict.fromkeys(t.candidate for each in ear.joined for t in each.trials))
    found = calibrated.found(ear.names("workloads"), ear.names("devices"), measured)
    return _end(summary, found, book, file, as_json=as_json)


def say_fleet_plan(
    address: str,
    asked: suite.fleet.Request,
    snapshot: Snapshot,
    store: Store,
    *,
    as_json: bool,
    machines: int,
    per_hardware: int,
) -> None:
    """What would be measured on each hardware; see `calibrate_fleet`."""
    ear = _Ear(FleetCourse(), [] if as_json else [PlainLines(Console(stderr=True))])
    try:
        suite.fleet.calibrate(
            address,
            asked,
            snapshot,
            store,
            measuring=False,
            machines=machines,
            per_hardware=per_hardware,
            hear=ear.hear,
        )
    except (suite.BusyError, suite.fleet.FleetError) as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    if as_json:
        terminal.say_json(msgspec.to_builtins({"hardware": ear.joined}))
    for joined in [] if as_json else ear.joined:
        waiting = [_step(t, "present" if t.present else "waiting") for t in joined.trials]
        planned.say(waiting, f"{joined.place}, {asked.profile.name}")


def counter_readable() -> bool:
    """Whether this machine has an energy counter that can be read."""
    return suite.counter_readable()
