"""The suite: what the command line calls to plan, measure and diagnose this machine.

Importing it is cheap and needs no benchmark library; those are imported by what uses them.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from calibration.candidates import CannotRunError
from calibration.doctor import Finding, diagnose
from calibration.lock import BusyError, measuring
from calibration.meters import counter_readable
from calibration.planning import plan
from calibration.plans import Plan, PlanError, Trial
from calibration.probe import this_device
from calibration.protocol import PROFILES, Profile
from calibration.tables import WorkloadError
from calibration.trials import Refused, Run, rows
from calibration.usage import other_load
from catalog.energy import energy
from catalog.records import SETUP, Label, Measurement, RunFile
from catalog.store import Store

__all__ = [
    "PROFILES",
    "BusyError",
    "Event",
    "Finding",
    "Plan",
    "PlanError",
    "Profile",
    "Summary",
    "Trial",
    "WorkloadError",
    "calibrate",
    "counter_readable",
    "diagnose",
    "plan",
    "this_device",
]

Outcome = Literal["started", "finished", "present", "skipped", "failed"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to a trial.

    Attributes:
        kind: ``present``: was in the catalog. ``skipped``: the candidate cannot run here
            (library or checkpoint missing). ``failed``: it broke while it ran.
        done: Trials settled so far, this one included unless it just started; of `total`.
        reason: Why it was skipped or failed; never quotes a text.
        joules_per_1000: Gross joules per 1,000 texts of everything the meter covers, where
            it covers the device; `label` says how they were obtained. Figures of a present
            trial are those of its stored row.
    """

    kind: Outcome
    trial: Trial
    done: int
    total: int
    reason: str | None = None
    accuracy: float | None = None
    joules_per_1000: float | None = None
    label: Label | None = None
    seconds_per_1000: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a calibration came to, counted in trials.

    Attributes:
        done: Rows measured and stored by this run.
        present: Were in the catalog before.
        skipped: Could not run here; `failed`: broke while running. `reasons` tells why, by
            (candidate, workload).
        interrupted: Whether Ctrl-C ended it early; the rows counted are stored.
    """

    run_id: str
    done: int
    present: int
    skipped: int
    failed: int
    reasons: dict[tuple[str, str], str]
    interrupted: bool = False


class _Progress:
    """Counts outcomes and tells them on."""

    def __init__(self, plan: Plan, on_event: Callable[[Event], None]) -> None:
        self.on_event, self.total = on_event, len(plan.trials)
        self.counts = {"finished": 0, "present": 0, "skipped": 0, "failed": 0}
        self.reasons: dict[tuple[str, str], str] = {}

    def tell(self, kind: Outcome, trial: Trial, **details: float | str | None) -> None:
        """One event; everything but a start settles its trial."""
        if kind != "started":
            self.counts[kind] += 1
        done = sum(self.counts.values())
        event = {"kind": kind, "trial": trial, "done": done, "total": self.total, **details}
        self.on_event(Event(**event))  # type: ignore[arg-type]

    def give_up(self, kind: Outcome, trials: Sequence[Trial], reason: str) -> None:
        """The rest of a pair that cannot be measured."""
        self.reasons[trials[0].candidate, trials[0].workload] = reason
        for trial in trials:
            self.tell(kind, trial, reason=reason)


def _ignore(_: Event) -> None:
    """Nobody listens."""


def _new_run(plan: Plan) -> Run:
    """A run with a name of its own, and what the machine was doing before it."""
    now = datetime.datetime.now(datetime.UTC)
    return Run(
        plan=plan,
        run_id=f"calibration-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        load_1m=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        other_cores=other_load(plan.profile.gate_s),
    )


def _file(plan: Plan, row: Measurement) -> RunFile:
    """A row with the records the catalog lacks, to be written in one piece."""
    return RunFile(
        measurements=(row,),
        devices=(plan.devices[row.device],) if row.device in plan.new_devices else (),
        workloads=(plan.texts[row.workload].workload,)
        if row.workload in plan.new_workloads
        else (),
    )


def _figures(plan: Plan, row: Measurement) -> dict[str, float | str | None]:
    """What a finished trial's event tells."""
    kind = plan.devices[row.device].kind
    used = energy(row, kind, "host") or energy(row, kind, "device")
    joules = used.value_j if used else None
    per_1000 = 1000 / row.n_items
    return {
        "accuracy": row.accuracy,
        "joules_per_1000": None if joules is None else joules * per_1000,
        "label": used.label if used else None,
        "seconds_per_1000": None if row.runtime_s is None else row.runtime_s * per_1000,
    }


def _broken(error: Exception, *, fitting: bool) -> str:
    """Why a trial broke; words of a library may quote a text, so its class must do."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    return f"{'fitting' if fitting else 'inference'} failed with {type(error).__name__}"


def _measure_pair(run: Run, trials: list[Trial], store: Store, progress: _Progress) -> None:
    """Measures the trials of one pair; each is in the store before the next one starts."""
    steps = rows(run, trials)
    for number, trial in enumerate(trials):
        progress.tell("started", trial)
        try:
            row = next(steps)
        except CannotRunError as error:
            return progress.give_up("skipped", trials[number:], str(error))
        except Exception as error:
            reason = _broken(error, fitting=number == 0)
            return progress.give_up("failed", trials[number:], reason)
        if isinstance(row, Refused):
            progress.give_up("skipped", [trial], row.reason)
            continue
        store.add(_file(run.plan, row))
        progress.tell("finished", trial, **_figures(run.plan, row))
    return None


def _tell_present(plan: Plan, store: Store, progress: _Progress) -> None:
    """Tells what is in the catalog already, with the figures of the newest row."""
    rows = {
        tuple(getattr(row, name) for name in SETUP): row
        for row in sorted(store.measurements(), key=lambda row: row.measured_at or "")
    }
    for trial in plan.trials:
        if trial.present:
            key = trial.key()
            row = rows.get(tuple(key.get(name) for name in SETUP))
            progress.tell("present", trial, **(_figures(plan, row) if row else {}))


def _measure_all(run: Run, store: Store, progress: _Progress) -> bool:
    """Tells what is there and measures the rest; false where Ctrl-C ended it."""
    try:
        _tell_present(run.plan, store, progress)
        for _, _, trials in run.plan.pairs():
            _measure_pair(run, trials, store, progress)
    except KeyboardInterrupt:
        return False
    return True


def calibrate(plan: Plan, store: Store, *, on_event: Callable[[Event], None] = _ignore) -> Summary:
    """Measures every pending trial of a plan and stores each row as soon as it is there.

    A kill loses at most the trial in hand; a new plan from the same catalog takes up the rest.
    Ctrl-C ends it after what is stored; the summary says so.

    Raises:
        BusyError: Another calibration measures on this machine.
        CatalogUnreadableError: The catalog cannot be written.
    """
    progress = _Progress(plan, on_event)
    with measuring():
        store.migrate()
        for name in plan.restated:
            store.redescribe(plan.devices[name])
        run = _new_run(plan)
        interrupted = not _measure_all(run, store, progress)
    counts = progress.counts
    return Summary(
        run_id=run.run_id,
        done=counts["finished"],
        present=counts["present"],
        skipped=counts["skipped"],
        failed=counts["failed"],
        reasons=progress.reasons,
        interrupted=interrupted,
    )
