"""What becomes of trials: one pair measured step by step, each step counted and told on.

The same steps serve the suite on this machine and a worker of a fleet; neither the catalog nor
a terminal is known here.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from calibration.classifiers.build import CannotRunError
from calibration.measurement.run import Run
from calibration.measurement.trial import SkippedTrial, measure_trials
from calibration.plan.plans import Trial
from catalog.energy import energy
from catalog.records import Device, Label, Measurement, RunFile

EventKind = Literal["started", "finished", "present", "skipped", "failed"]


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
        flags: What is doubtful about the row.
        place: The hardware it belongs to, in a fleet; `node` the machine at work.
    """

    kind: EventKind
    trial: Trial
    done: int
    total: int
    reason: str | None = None
    accuracy: float | None = None
    joules_per_1000: float | None = None
    label: Label | None = None
    seconds_per_1000: float | None = None
    flags: tuple[str, ...] = ()
    place: str | None = None
    node: str | None = None


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


def new_run_id() -> str:
    """A name for a run: when it began, and a random part."""
    now = datetime.datetime.now(datetime.UTC)
    return f"calibration-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


class Progress:
    """Counts outcomes and tells them on; `total` grows where more trials turn up."""

    def __init__(self, total: int, on_event: Callable[[Event], None]) -> None:
        self.on_event, self.total = on_event, total
        self.counts = {"finished": 0, "present": 0, "skipped": 0, "failed": 0}
        self.reasons: dict[tuple[str, str], str] = {}

    def emit(self, kind: EventKind, trial: Trial, **details: Any) -> None:
        """One event; everything but a start settles its trial."""
        if kind != "started":
            self.counts[kind] += 1
        done = sum(self.counts.values())
        event = {"kind": kind, "trial": trial, "done": done, "total": self.total, **details}
        self.on_event(Event(**event))

    def emit_unmeasured(
        self, kind: EventKind, trials: Sequence[Trial], reason: str, **where: str | None
    ) -> None:
        """The rest of a pair that cannot be measured."""
        pair = (trials[0].candidate, trials[0].workload)
        said = f"{where['place']}: {reason}" if where.get("place") else reason
        before = self.reasons.get(pair)
        self.reasons[pair] = f"{before}; {said}" if before and where else said
        for trial in trials:
            self.emit(kind, trial, reason=reason, **where)

    def summary(self, run_id: str, *, interrupted: bool) -> Summary:
        """What it came to."""
        return Summary(
            run_id=run_id,
            done=self.counts["finished"],
            present=self.counts["present"],
            skipped=self.counts["skipped"],
            failed=self.counts["failed"],
            reasons=self.reasons,
            interrupted=interrupted,
        )


class TrialStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of measuring a pair.

    Attributes:
        kind: What became of trial `number` of the pair.
        rest: Whether every later trial of the pair shares its fate.
        reason: Why it was skipped or failed; never quotes a text.
        file: What is to be stored of a finished one.
    """

    kind: EventKind
    number: int
    rest: bool = False
    reason: str | None = None
    file: RunFile | None = None


def measure_pair(run: Run, trials: Sequence[Trial]) -> Iterator[TrialStep]:
    """Measures the trials of one pair, training first; a broken candidate is told, not raised."""
    steps = measure_trials(run, trials)
    for number, _ in enumerate(trials):
        yield TrialStep(kind="started", number=number)
        try:
            row = next(steps)
        except CannotRunError as error:
            yield TrialStep(kind="skipped", number=number, rest=True, reason=str(error))
            return
        except Exception as error:
            reason = _failure_reason(error, fitting=number == 0)
            yield TrialStep(kind="failed", number=number, rest=True, reason=reason)
            return
        if isinstance(row, SkippedTrial):
            yield TrialStep(kind="skipped", number=number, reason=row.reason)
        else:
            yield TrialStep(kind="finished", number=number, file=_run_file(run, row))


def _run_file(run: Run, row: Measurement) -> RunFile:
    """A row with its answers and the records the catalog lacks, to be written in one piece."""
    plan = run.plan
    return RunFile(
        measurements=(row,),
        devices=(plan.devices[row.device],) if row.device in plan.new_devices else (),
        workloads=(plan.texts[row.workload].workload,)
        if row.workload in plan.new_workloads
        else (),
        predictions=run.predictions(row),
    )


DOUBTFUL_FLAGS = ("counter-failed", "other-load", "shared-gpu", "suspect", "throttled", "unstable")
"""Flags of a row that is to be measured again, or read with care."""


def event_figures(devices: Mapping[str, Device], row: Measurement) -> dict[str, Any]:
    """What a finished trial's event tells."""
    kind = devices[row.device].kind
    used = energy(row, kind, "host") or energy(row, kind, "device")
    joules = used.value_j if used else None
    per_1000 = 1000 / row.n_items
    return {
        "accuracy": row.accuracy,
        "joules_per_1000": None if joules is None else joules * per_1000,
        "label": used.label if used else None,
        "seconds_per_1000": None if row.runtime_s is None else row.runtime_s * per_1000,
        "flags": tuple(flag for flag in row.flags if flag in DOUBTFUL_FLAGS),
    }


def _failure_reason(error: Exception, *, fitting: bool) -> str:
    """Why a trial broke; words of a library may quote a text, so its class must do."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    return f"{'fitting' if fitting else 'inference'} failed with {type(error).__name__}"
