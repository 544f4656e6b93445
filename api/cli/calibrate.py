"""The commands `calibrate` and `doctor`: the only module that imports the benchmark suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from rich.console import Console
from rich.text import Text

from api.cli import summary as summaries
from api.cli import terminal
from api.cli.context import load_snapshot, open_store
from api.cli.progress import Watch
from calibration import suite
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.store.database import Store

Asked = dict[str, list[str]]
"""Workloads, devices and candidates that a calibration's results are about."""
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
    counters = [found.what for found in findings if found.counter and found.ok]
    if as_json:
        terminal.print_json(findings)
        return bool(counters)
    terminal.print_table(
        "What can be measured here",
        ("", "what", "found", "remedy"),
        [
            ("yes" if found.ok else "no", found.what, found.detail, found.remedy or "")
            for found in findings
        ],
        under=("found", "remedy"),
    )
    nothing = "Energy: no counter can be read here; accuracy and runtime can, joules are estimates."
    Console().print(f"Energy: read by {', '.join(counters)}." if counters else nothing)
    return bool(counters)


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


def accuracy_probing(
    snapshot: Snapshot,
    workloads: Sequence[str],
    profile: str,
    data: Path | None,
    models: Path | None,
) -> dict[str, Any]:
    """Options of a plan that measures accuracy probes; unusable texts end the command.

    A doubtful window is not measured again: accuracies do not depend on the load.
    """
    from advisor.accuracy.predictor import bundled

    probing = suite.accuracy_probes
    try:
        texts = probing.sound_texts(snapshot, workloads, data)
    except suite.WorkloadError as error:
        terminal.fail(str(error), terminal.BAD_DATA)
    able = probing.encoders(snapshot.candidates, models)
    chosen = [
        name
        for each in texts.values()
        for name in bundled().choose_probes(each.workload, list(able), probing.MOST)
    ]
    declared = probing.probes(snapshot.candidates, list(dict.fromkeys(chosen)))
    options: dict[str, Any] = {"texts": texts, "declared": declared}
    if profile in suite.PROFILES:
        options["profile"] = msgspec.structs.replace(suite.PROFILES[profile], retries=0)
    return options


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
        terminal.print_json(body)
    else:
        summaries.print_plan(_planned(plan.trials), plan.profile.name)


def _planned(trials: Iterable[suite.Trial]) -> list[suite.Event]:
    """Trials as events: ``present`` where the catalog has the row, else ``waiting``."""
    return [suite.Event.of(each, "present" if each.present else "waiting") for each in trials]


def _run(
    measure: Callable[[Watch], tuple[suite.Summary, Asked]],
    heading: dict[str, Any],
    store: Store,
    *,
    log: Path | None,
    as_json: bool,
) -> int:
    """Measures under a watch, logs and prints the summary, and returns the exit code.

    Args:
        measure: Measures and says what the results are about.
        heading: First line of the log.
        store: Where rows go.
        log: File that JSON lines are appended to; default: a new one beside the catalog.
        as_json: JSON lines on stdout, one for each step, the summary last.
    """
    file = log or summaries.default_log(store)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        out = file.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        terminal.fail(f"the log {file} cannot be written: {error.strerror}", terminal.USAGE)
    try:
        with out, Watch(out, Console(stderr=True), as_json=as_json) as watch:
            watch.log(heading)
            measured, asked = measure(watch)
            summary = summaries.summarise(measured, asked, watch.settled, file)
            watch.log(summary)
    except (suite.BusyError, suite.fleet.FleetError) as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted before anything was measured", terminal.INTERRUPTED)
    if as_json:
        terminal.print_json(summary)
    else:
        summaries.print_summary(summary)
    if measured.interrupted:
        return terminal.INTERRUPTED
    return terminal.SKIPPED if measured.skipped or measured.failed else 0


def calibrate(plan: suite.CalibrationPlan, store: Store, *, log: Path | None, as_json: bool) -> int:
    """Measures the pending trials of a plan; see `_run`."""

    def measure(watch: Watch) -> tuple[suite.Summary, Asked]:
        watch.join("", [suite.Event.of(trial, "waiting") for trial in plan.trials])
        measured = suite.calibrate(plan, store, on_event=watch.take)
        return measured, {
            "workloads": [*plan.texts],
            "devices": [*plan.devices],
            "candidates": [*plan.candidates],
        }

    heading = {
        "kind": "plan",
        "profile": plan.profile.name,
        "pending": len(plan.pending),
        "total": len(plan.trials),
        "seed": plan.seed,
        "devices": [*plan.devices],
    }
    return _run(measure, heading, store, log=log, as_json=as_json)


def calibrate_fleet(
    start: Callable[..., suite.Summary],
    request: suite.fleet.Request,
    store: Store,
    *,
    log: Path | None,
    as_json: bool,
) -> int:
    """Measures `request` on every machine of a scheduler; see `_run`.

    Args:
        start: `suite.fleet.calibrate` that only lacks who hears of it.
        request: What is measured on each hardware.
        store: See `_run`; likewise `log` and `as_json`.
        log: File that JSON lines are appended to.
        as_json: JSON lines on stdout.
    """

    def measure(watch: Watch) -> tuple[suite.Summary, Asked]:
        joined: list[suite.fleet.Joined] = []

        def hear(message: suite.fleet.Heard) -> None:
            if isinstance(message, suite.Event):
                watch.take(message)
            elif isinstance(message, suite.fleet.Joined):
                joined.append(message)
                watch.join(
                    message.place, [suite.Event.of(trial, "waiting") for trial in message.trials]
                )
            else:
                watch.note(message.said)

        measured = start(hear=hear)
        trials = [trial for each in joined for trial in each.trials]
        return measured, {
            "workloads": [*dict.fromkeys(name for each in joined for name in each.workloads)],
            "devices": [*dict.fromkeys(name for each in joined for name in each.devices)],
            "candidates": [*dict.fromkeys(trial.candidate for trial in trials)],
        }

    heading = {"kind": "plan", "profile": request.profile.name, "seed": request.seed}
    return _run(measure, heading, store, log=log, as_json=as_json)


def print_fleet_plan(
    start: Callable[..., suite.Summary], request: suite.fleet.Request, *, as_json: bool
) -> None:
    """Prints what would be measured on each hardware; see `calibrate_fleet`."""
    joined: list[suite.fleet.Joined] = []
    console = Console(stderr=True, quiet=as_json)

    def hear(message: suite.fleet.Heard) -> None:
        if isinstance(message, suite.fleet.Joined):
            joined.append(message)
        elif isinstance(message, suite.fleet.Notice):
            console.print(Text(message.said), soft_wrap=True)

    try:
        start(hear=hear, measuring=False)
    except (suite.BusyError, suite.fleet.FleetError) as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    if as_json:
        return terminal.print_json({"hardware": joined})
    for each in joined:
        summaries.print_plan(_planned(each.trials), f"{each.place}, {request.profile.name}")
    return None


def run_fleet(
    fleet: FleetOptions, options: dict[str, Any], *, plan: bool, log: Path | None, as_json: bool
) -> int:
    """Plans or measures on every machine of a scheduler and returns the exit code.

    Args:
        fleet: Scheduler and machines.
        options: What to measure on each hardware; unusable ones end the command.
        plan: Whether only the plan is printed.
        log: See `_run`; likewise `as_json`.
        as_json: JSON lines on stdout.
    """
    snapshot, store = load_snapshot(), open_store()
    try:
        request = suite.fleet.request(snapshot, **options)
    except suite.PlanError as error:
        terminal.fail(str(error), terminal.USAGE)
    start = partial(
        suite.fleet.calibrate, fleet.scheduler, request, snapshot, store,
        machines=fleet.machines, per_hardware=fleet.per_hardware,
    )  # fmt: skip
    if plan:
        print_fleet_plan(start, request, as_json=as_json)
        return 0
    return calibrate_fleet(start, request, store, log=log, as_json=as_json)
