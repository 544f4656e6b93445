"""Progress of a calibration: trials of a pair in; steps, events and a summary out.

A pair is one candidate on one workload. The suite on this machine and the workers of a fleet share
this code; it depends on neither the catalog's store nor a terminal.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from calibration.classifiers.errors import CannotRunError
from calibration.measurement.attempts import Notice
from calibration.measurement.run import Run
from calibration.measurement.trial import SkippedTrial, measure_trials
from calibration.records import Event, EventKind, Trial
from catalog.doubt import DOUBTS
from catalog.energy import energy
from catalog.records import Device, Measurement, RunFile


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a calibration, in numbers of trials.

    Attributes:
        done: Measured and stored by this run.
        present: Already in the catalog.
        skipped: Could not run here.
        failed: Raised an error.
        reasons: Why trials were skipped or failed, by (candidate, workload).
        doubtful: Of those done and present, the ones that inform no estimate (`catalog.doubt`).
        interrupted: Whether Ctrl-C ended the run early; counted rows are stored.
    """

    run_id: str
    done: int
    present: int
    skipped: int
    failed: int
    reasons: dict[tuple[str, str], str]
    doubtful: int = 0
    interrupted: bool = False


def new_run_id() -> str:
    """A unique run name: UTC start time and a random part."""
    now = datetime.datetime.now(datetime.UTC)
    return f"calibration-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


class Progress:
    """Counts events and passes them to a callback; `total` may grow as a fleet adds trials."""

    def __init__(self, total: int, on_event: Callable[[Event], None]) -> None:
        self.on_event, self.total = on_event, total
        self.counts = {"finished": 0, "present": 0, "skipped": 0, "failed": 0}
        self.reasons: dict[tuple[str, str], str] = {}
        self.doubtful = 0

    def emit(self, kind: EventKind, trial: Trial, **details: Any) -> None:
        """Emits one event; kinds that settle a trial are counted in `done`."""
        if kind in self.counts:
            self.counts[kind] += 1
        self.doubtful += not set(DOUBTS).isdisjoint(details.get("flags", ()))
        done = sum(self.counts.values())
        self.on_event(Event.of(trial, kind, done=done, total=self.total, **details))

    def emit_unmeasured(
        self, kind: EventKind, trials: Sequence[Trial], reason: str, **where: str | None
    ) -> None:
        """Emits `kind` (skipped or failed) for the remaining trials of a pair.

        Args:
            kind: ``skipped`` or ``failed``.
            trials: Trials of one pair, at least one.
            reason: Why; recorded for the summary too.
            where: `place` and `node` of the events, in a fleet.
        """
        pair = (trials[0].candidate, trials[0].workload)
        located = f"{where['place']}: {reason}" if where.get("place") else reason
        before = self.reasons.get(pair)
        self.reasons[pair] = f"{before}; {located}" if before and where else located
        for trial in trials:
            self.emit(kind, trial, reason=reason, **where)

    def summary(self, run_id: str, *, interrupted: bool) -> Summary:
        """Summary of the events so far."""
        return Summary(
            run_id=run_id,
            done=self.counts["finished"],
            present=self.counts["present"],
            skipped=self.counts["skipped"],
            failed=self.counts["failed"],
            reasons=self.reasons,
            doubtful=self.doubtful,
            interrupted=interrupted,
        )


class TrialStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of measuring a pair; also the message a fleet's worker sends.

    Attributes:
        kind: New state of the trial.
        number: Index of the trial within the pair.
        rest: Whether all later trials of the pair are in the same state.
        reason: Why it was skipped or failed; never quotes a text.
        file: Row, predictions and new records of a finished trial, to be stored.
    """

    kind: EventKind
    number: int
    rest: bool = False
    reason: str | None = None
    file: RunFile | None = None


def measure_pair(run: Run, trials: Sequence[Trial]) -> Iterator[TrialStep]:
    """Measures the trials of one pair, training first.

    Errors of a candidate are yielded as ``skipped`` or ``failed`` steps, not raised.

    Args:
        run: The calibration run.
        trials: Trials of one candidate on one workload.
    """
    steps = measure_trials(run, trials)
    for number, _ in enumerate(trials):
        yield TrialStep(kind="started", number=number)
        try:
            row = next(steps)
            while isinstance(row, Notice):
                yield TrialStep(kind="delayed", number=number, reason=row.said)
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
    """A row with its predictions and the records the catalog lacks, for one transaction."""
    plan = run.plan
    return RunFile(
        measurements=(row,),
        devices=(plan.devices[row.device],) if row.device in plan.new_devices else (),
        workloads=(plan.texts[row.workload].workload,)
        if row.workload in plan.new_workloads
        else (),
        candidates=(plan.candidates[row.candidate],)
        if row.candidate in plan.new_candidates
        else (),
        predictions=run.predictions(row),
    )


DOUBTFUL_FLAGS = (*DOUBTS, "counter-failed", "shared-gpu", "suspect")
"""Flags of rows that are history (`catalog.doubt`) or to be used with care."""


def event_figures(devices: Mapping[str, Device], row: Measurement) -> dict[str, Any]:
    """Figures of a row for its event: the fields of `Event` from `accuracy` to `flags`."""
    kind = devices[row.device].kind
    used = energy(row, kind, "host") or energy(row, kind, "device")
    joules = used.value_j if used else None
    per_1000 = 1000 / row.n_items
    return {
        "accuracy": row.accuracy,
        "joules_per_1000": None if joules is None else joules * per_1000,
        "label": used.label if used else None,
        "seconds_per_1000": None if row.runtime_s is None else row.runtime_s * per_1000,
        "flags": tuple(sorted(set(row.flags).intersection(DOUBTFUL_FLAGS))),
    }


def _failure_reason(error: Exception, *, fitting: bool) -> str:
    """Reason of a failed trial: the error's class only, as its message may quote a text."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    return f"{'fitting' if fitting else 'inference'} failed with {type(error).__name__}"
