"""The commands `calibrate` and `doctor`: the only module that imports the benchmark suite."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from rich.console import Console

from api.cli import summary as summaries
from api.cli import terminal
from api.cli.context import load_snapshot, open_store
from api.cli.course import Course
from api.cli.fleet import FleetCourse, FleetTable
from api.cli.progress import JsonLines, Listener, LiveTable, LogFile, PlainLines, Settled
from api.cli.results import WorkloadResult, serving_comparisons
from calibration import suite
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.store.database import Store

THIS: dict[str, Literal["cpu", "gpu"] | None] = {"this": None, "this-cpu": "cpu", "this-gpu": "gpu"}
"""Names of this machine in a question -> kind of chip; ``None`` is its GPU, else its CPU."""


def has_texts(workload: str, data: Path | None) -> bool:
    """Whether the texts of a workload are on this machine."""
    return suite.has_texts(workload, data)


class FleetOptions(NamedTuple):
    """The options of ``calibrate --scheduler``.

    Attributes:
        scheduler: Address of the Dask scheduler.
        machines: How many must have joined before the command may end.
        per_hardware: How often each hardware is measured.
    """

    scheduler: str
    machines: int
    per_hardware: int


def this_device(snapshot: Snapshot, name: str = "this") -> str | Device:
    """This machine's device: its name where the catalog has it, else its detected record."""
    device = suite.this_device(snapshot, THIS[name])
    return device.name if device.name in snapshot.devices else device


def counter_readable() -> bool:
    """Whether this machine has an energy counter that can be read."""
    return suite.counter_readable()


def print_diagnosis(
    snapshot: Snapshot, data: Path | None, models: Path | None, *, as_json: bool
) -> bool:
    """Prints what can be measured here; returns whether a hardware counter is readable."""
    findings = suite.diagnose(snapshot, data=data, models=models)
    if as_json:
        terminal.print_json(findings)
    else:
        terminal.print_table(
            "What can be measured here",
            ("", "what", "found", "remedy"),
            (
                ("yes" if found.ok else "no", found.what, found.detail, found.remedy or "")
                for found in findings
            ),
        )
    return any(found.counter and found.ok for found in findings)


def prepare_process() -> None:
    """Sets how this process's threads wait; to be called before a benchmark library is loaded."""
    suite.use_passive_waits()


def make_plan(snapshot: Snapshot, **options: Any) -> suite.CalibrationPlan:
    """A calibration plan; unusable texts or options end the command."""
    try:
        return suite.plan(snapshot, **options)
    except suite.WorkloadError as error:
        terminal.fail(str(error), terminal.BAD_DATA)
    except suite.PlanError as error:
        terminal.fail(str(error), terminal.USAGE)


def print_plan(plan: suite.CalibrationPlan, *, as_json: bool) -> None:
    """Prints the trials of a plan with estimated seconds and joules."""
    if as_json:
        body = {
            "profile": plan.profile.name,
            "estimated_s": plan.estimated_s,
            "estimated_j": plan.estimated_j,
            "pending": len(plan.pending),
            "trials": plan.trials,
        }
        terminal.print_json(msgspec.to_builtins(body))
    else:
        summaries.print_plan(_planned(plan.trials), plan.profile.name)


def _planned(trials: Sequence[suite.Trial]) -> list[suite.Event]:
    """Trials as events: ``present`` where the catalog has the row, else ``waiting``."""
    return [suite.Event.of(trial, "present" if trial.present else "waiting") for trial in trials]


def _record(
    event: suite.Event, course: Course | FleetCourse, listeners: Sequence[Listener]
) -> None:
    """Counts an event in `course`, then sends it to the listeners with the remaining seconds."""
    now_s = time.monotonic()
    course.take(event, now_s)
    event = msgspec.structs.replace(event, left_s=round(course.left_s(now_s), 1))
    for listener in listeners:
        listener.take(event)


def _open_log(file: Path, heading: str) -> LogFile:
    """The log file with its heading; ends the command where it cannot be written."""
    try:
        log = LogFile(file)
    except OSError as error:
        terminal.fail(f"the log {file} cannot be written: {error.strerror}", terminal.USAGE)
    log.write(heading)
    return log


def calibrate(plan: suite.CalibrationPlan, store: Store, *, log: Path | None, as_json: bool) -> int:
    """Measures the pending trials of a plan, prints the summary and returns the exit code.

    Args:
        plan: What to measure.
        store: Where rows go.
        log: File the progress is appended to; default: a new one beside the catalog.
        as_json: JSON lines on stdout, one for each step, the summary last.
    """
    file, console = log or summaries.default_log(store), Console(stderr=True)
    heading = (
        f"profile {plan.profile.name}, {len(plan.pending)} of {len(plan.trials)} trials to "
        f"measure, seed {plan.seed}, on {', '.join(plan.devices)}"
    )
    log_file = _open_log(file, heading)
    course = Course([suite.Event.of(trial, "waiting") for trial in plan.trials])
    shown: Listener = PlainLines(console)
    if as_json:
        shown = JsonLines()
    elif console.is_terminal:
        shown = LiveTable(console, course, f"calibrating, {plan.profile.name} profile")
    listeners = (log_file, Settled(), shown)
    try:
        with ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(listener)
            measured = suite.calibrate(
                plan, store, on_event=lambda event: _record(event, course, listeners)
            )
    except suite.BusyError as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted before anything was measured", terminal.INTERRUPTED)
    found = summaries.catalog_results(list(plan.texts), list(plan.devices), list(plan.candidates))
    return _finish(measured, found, listeners, file, as_json=as_json)


def _finish(
    measured: suite.Summary,
    found: Sequence[WorkloadResult],
    listeners: tuple[LogFile, Settled, Listener],
    log: Path,
    *,
    as_json: bool,
) -> int:
    """Writes the plot beside the log, prints the summary and returns the exit code."""
    log_file, settled, _ = listeners
    served = serving_comparisons(settled.steps)
    lost = tuple(
        summaries.NotMeasured(candidate=candidate, workload=workload, reason=reason)
        for (candidate, workload), reason in measured.reasons.items()
    )
    counts = msgspec.structs.asdict(measured) | {"reasons": lost}
    plot = summaries.write_plot(found, measured.run_id, log.parent)
    summary = summaries.CalibrationSummary(
        **counts, results=tuple(found), log=str(log), plot=plot, serving=served or msgspec.UNSET
    )
    log_file.write(summaries.sentence(summary))
    if as_json:
        terminal.print_json(summary)
    else:
        summaries.print_summary(summary)
    if measured.interrupted:
        return terminal.INTERRUPTED
    return terminal.SKIPPED if measured.skipped or measured.failed else 0


def run_fleet(
    fleet: FleetOptions, options: dict[str, Any], *, plan: bool, log: Path | None, as_json: bool
) -> int:
    """Plans or measures on every machine of a scheduler and returns the exit code.

    Args:
        fleet: Scheduler and machines.
        options: What to measure on each hardware; unusable ones end the command.
        plan: Whether only the plan is printed.
        log: See `calibrate`.
        as_json: JSON lines on stdout.
    """
    snapshot, store = load_snapshot(), open_store()
    try:
        request = suite.fleet.request(snapshot, **options)
    except suite.PlanError as error:
        terminal.fail(str(error), terminal.USAGE)
    given = (fleet.scheduler, request, snapshot, store)
    machines, per_hardware = fleet.machines, fleet.per_hardware
    if plan:
        print_fleet_plan(*given, machines=machines, per_hardware=per_hardware, as_json=as_json)
        return 0
    return calibrate_fleet(
        *given,
        machines=machines,
        per_hardware=per_hardware,
        log=log,
        as_json=as_json,
    )


class _FleetProgress:
    """Progress of a fleet: hears its messages, counts them and passes them to listeners."""

    def __init__(self, course: FleetCourse, listeners: Sequence[Listener]) -> None:
        self._course, self._listeners = course, listeners
        self.joined: list[suite.fleet.Joined] = []

    def hear(self, message: suite.fleet.Heard) -> None:
        """Takes an event of a trial, the arrival of hardware or a notice."""
        if isinstance(message, suite.Event):
            _record(message, self._course, self._listeners)
        elif isinstance(message, suite.fleet.Joined):
            self.joined.append(message)
            place = message.place
            waiting = [suite.Event.of(each, "waiting", place=place) for each in message.trials]
            self._course.join(place, waiting)
        else:
            for listener in self._listeners:
                listener.note(message.said)

    def names(self, field: str) -> list[str]:
        """Devices or workloads of all hardware that has joined."""
        return list(dict.fromkeys(name for each in self.joined for name in getattr(each, field)))


def calibrate_fleet(
    address: str,
    request: suite.fleet.Request,
    snapshot: Snapshot,
    store: Store,
    *,
    log: Path | None,
    as_json: bool,
    machines: int,
    per_hardware: int,
) -> int:
    """Measures on every machine of a scheduler and returns the exit code.

    Args:
        address: Of the Dask scheduler.
        request: What is measured on each hardware.
        snapshot: The catalog as it is.
        store: Where rows go.
        log: See `calibrate`; likewise `as_json`.
        as_json: JSON lines on stdout.
        machines: How many must have joined before it may end.
        per_hardware: How often each hardware is measured.
    """
    file, course = log or summaries.default_log(store), FleetCourse()
    console = Console(stderr=True)
    heading = f"profile {request.profile.name}, seed {request.seed}, fleet at {address}"
    log_file = _open_log(file, heading)
    shown: Listener = PlainLines(console)
    if as_json:
        shown = JsonLines()
    elif console.is_terminal:
        shown = FleetTable(console, course)
    listeners = (log_file, Settled(), shown)
    progress = _FleetProgress(course, listeners)
    try:
        with ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(listener)
            measured = suite.fleet.calibrate(
                address,
                request,
                snapshot,
                store,
                machines=machines,
                per_hardware=per_hardware,
                hear=progress.hear,
            )
    except (suite.BusyError, suite.fleet.FleetError) as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted before anything was measured", terminal.INTERRUPTED)
    candidates = list(dict.fromkeys(t.candidate for each in progress.joined for t in each.trials))
    found = summaries.catalog_results(
        progress.names("workloads"), progress.names("devices"), candidates
    )
    return _finish(measured, found, listeners, file, as_json=as_json)


def print_fleet_plan(
    address: str,
    request: suite.fleet.Request,
    snapshot: Snapshot,
    store: Store,
    *,
    as_json: bool,
    machines: int,
    per_hardware: int,
) -> None:
    """Prints what would be measured on each hardware; see `calibrate_fleet`."""
    listeners = [] if as_json else [PlainLines(Console(stderr=True))]
    progress = _FleetProgress(FleetCourse(), listeners)
    try:
        suite.fleet.calibrate(
            address,
            request,
            snapshot,
            store,
            measuring=False,
            machines=machines,
            per_hardware=per_hardware,
            hear=progress.hear,
        )
    except (suite.BusyError, suite.fleet.FleetError) as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    if as_json:
        terminal.print_json(msgspec.to_builtins({"hardware": progress.joined}))
        return
    for joined in progress.joined:
        summaries.print_plan(_planned(joined.trials), f"{joined.place}, {request.profile.name}")
