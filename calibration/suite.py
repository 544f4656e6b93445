"""The suite: what the command line calls to plan, measure and diagnose this machine.

Importing it is cheap and needs no benchmark library; those are imported by what uses them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from calibration.doctor import Finding, diagnose
from calibration.fleet import client as fleet
from calibration.hardware.lock import BusyError, measurement_lock
from calibration.hardware.machine import this_device
from calibration.hardware.threads import use_passive_waits
from calibration.hardware.usage import load_1m
from calibration.measurement.progress import (
    Progress,
    Summary,
    event_figures,
    measure_pair,
    new_run_id,
)
from calibration.measurement.run import Run
from calibration.meters.machine_meter import counter_readable
from calibration.plan import accuracy_probes
from calibration.plan.calibration_plan import CalibrationPlan, PlanError, row_of, stored_rows
from calibration.plan.planner import plan
from calibration.records import PROFILES, Event, Profile, Trial
from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import has_texts
from catalog import snapshot
from catalog.store.database import Store

__all__ = [
    "PROFILES",
    "BusyError",
    "CalibrationPlan",
    "Event",
    "Finding",
    "PlanError",
    "Profile",
    "Summary",
    "Trial",
    "WorkloadError",
    "accuracy_probes",
    "calibrate",
    "counter_readable",
    "diagnose",
    "fleet",
    "has_texts",
    "plan",
    "this_device",
    "use_passive_waits",
]


def _ignore(_: Event) -> None:
    """Listener that does nothing."""


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Yields what raises ``KeyboardInterrupt`` again where a Ctrl-C came and was swallowed.

    It is raised wherever the process is: in the import of a compiled module it may come out as an
    ``ImportError``, in a finaliser it is only printed. Handlers of other programs stay.
    """
    came = False

    def note(_signal: int, _frame: FrameType | None) -> NoReturn:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread, which alone gets signals
        yield check
        return
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _measure_pair(
    run: Run, trials: list[Trial], store: Store, progress: Progress, check: Callable[[], None]
) -> None:
    """Measures the trials of one pair; each is in the store before the next one starts.

    After each step `check` ends it where Ctrl-C came: what came of the trial is not its own doing.
    """
    for step in measure_pair(run, trials):
        check()
        trial = trials[step.number]
        if step.kind in ("started", "delayed"):
            progress.emit(step.kind, trial, reason=step.reason)
        elif step.file is not None:
            store.add(step.file)
            progress.emit(
                "finished", trial, **event_figures(run.plan.devices, *step.file.measurements)
            )
        else:
            lost = trials[step.number :] if step.rest else [trial]
            progress.emit_unmeasured(step.kind, lost, step.reason or "?")


def _tell_present(plan: CalibrationPlan, store: Store, progress: Progress) -> None:
    """Tells what is in the catalog already, with the figures of the current row."""
    stored = stored_rows(snapshot.load(store))
    for trial in plan.trials:
        if trial.present:
            row = row_of(trial, stored)
            progress.emit("present", trial, **(event_figures(plan.devices, row) if row else {}))


def _measure_all(run: Run, store: Store, progress: Progress) -> bool:
    """Tells what is there and measures the rest; false where Ctrl-C ended it."""
    try:
        with _interrupts() as check:
            _tell_present(run.plan, store, progress)
            for _, _, trials in run.plan.pairs():
                _measure_pair(run, trials, store, progress, check)
    except KeyboardInterrupt:
        return False
    return True


def calibrate(
    plan: CalibrationPlan, store: Store, *, on_event: Callable[[Event], None] = _ignore
) -> Summary:
    """Measures every pending trial of a plan and stores each row as soon as it is there.

    A kill loses at most the trial in hand; a new plan from the same catalog takes up the rest.
    Ctrl-C ends it after what is stored; the summary says so.

    Raises:
        BusyError: Another calibration measures on this machine.
        CatalogUnreadableError: The catalog cannot be written.
    """
    progress = Progress(len(plan.trials), on_event)
    with measurement_lock():
        store.migrate()
        for name in plan.restated:
            store.replace_device(plan.devices[name])
        run = Run(plan=plan, run_id=new_run_id(), load_1m=load_1m())
        interrupted = not _measure_all(run, store, progress)
    return progress.summary(run.run_id, interrupted=interrupted)
