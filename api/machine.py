"""The commands about this machine; the one place that reaches the benchmark suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api import terminal, view
from calibration import suite
from catalog.records import Device
from catalog.snapshot import Snapshot
from catalog.store import Store


def this_device(snapshot: Snapshot) -> str | Device:
    """This machine's device: by name where the catalog has it, else its record."""
    device = suite.this_device(snapshot)
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
    """A calibration plan; texts that cannot be used end the command."""
    try:
        return suite.plan(snapshot, **asked)
    except suite.WorkloadError as error:
        terminal.fail(str(error), terminal.BAD_DATA)


def say_plan(plan: suite.Plan, *, as_json: bool) -> None:
    """What would be measured and about how long it takes."""
    if as_json:
        body = {
            "profile": plan.profile.name,
            "estimated_s": plan.estimated_s,
            "pending": len(plan.pending),
            "trials": plan.trials,
        }
        terminal.say_json(msgspec.to_builtins(body))
        return
    terminal.table(
        f"{len(plan.pending)} of {len(plan.trials)} trials, about {plan.estimated_s / 60:.0f} min",
        ("candidate", "workload", "device", "phase", "scenario", "batch", "about"),
        (
            (
                trial.candidate,
                trial.workload,
                trial.device,
                trial.phase,
                trial.scenario,
                view.count(trial.batch_size),
                "present" if trial.present else f"{trial.estimated_s:.0f} s",
            )
            for trial in plan.trials
        ),
    )


def _measure(plan: suite.Plan, store: Store) -> suite.Summary:
    """Runs a plan under a progress bar on stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("calibrating", total=len(plan.trials))

        def show(event: suite.Event) -> None:
            trial = event.trial
            name = escape(f"{trial.candidate} on {trial.workload}, {trial.phase}")
            bar.update(task, completed=event.done, description=name)
            if event.kind == "finished" and not bar.console.is_terminal:
                bar.console.print(f"{event.done}/{event.total} {name} {escape(trial.scenario)}")
            if event.kind in ("skipped", "failed"):
                bar.console.print(f"[yellow]{event.kind}[/] {name}: {escape(event.reason or '?')}")

        return suite.calibrate(plan, store, on_event=show)


def calibrate(plan: suite.Plan, store: Store, *, as_json: bool) -> int:
    """Measures what a plan lacks, tells what came of it and returns the exit code."""
    try:
        summary = _measure(plan, store)
    except suite.BusyError as error:
        terminal.fail(str(error), terminal.NOT_MEASURABLE)
    except KeyboardInterrupt:
        terminal.fail("interrupted; finished trials are kept, run it again to go on", 130)
    if as_json:
        body = msgspec.structs.asdict(summary)
        body["reasons"] = [
            {"candidate": candidate, "workload": workload, "reason": reason}
            for (candidate, workload), reason in summary.reasons.items()
        ]
        terminal.say_json(body)
    else:
        Console().print(
            f"{summary.run_id}: {summary.done} measured, {summary.present} present, "
            f"{summary.skipped} skipped, {summary.failed} failed"
        )
    return terminal.SKIPPED if summary.skipped or summary.failed else 0


def counter_readable() -> bool:
    """Whether this machine has an energy counter that can be read."""
    return suite.counter_readable()
