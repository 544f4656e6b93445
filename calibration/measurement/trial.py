"""Measurement of one pair's trials: a candidate and a workload in, one row per trial out.

The candidate is fitted once, scored once in each precision and measured once per scenario.
"""

from __future__ import annotations

import datetime
import functools
import gc
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from calibration.classifiers import build
from calibration.classifiers.decoding import decoding_of
from calibration.classifiers.errors import CannotRunError
from calibration.hardware import usage
from calibration.hardware.threads import usable_cores
from calibration.measurement.attempts import OTHER_LOAD_CORES, Notice, settled
from calibration.measurement.run import UNSCORED, Run, Score, halve
from calibration.measurement.server import SaturatedError, measure_server
from calibration.measurement.windows import WindowSummary, idle_watts, measure
from calibration.meters.meter import Meter, combined_context
from calibration.plan.fingerprint import context, dumps
from calibration.plan.trial_grid import AS_ARRIVED, halved_group
from calibration.records import Trial
from calibration.workloads.load import Texts
from catalog.records import Candidate, Label, Measurement

LONGEST_REPEATED_FIT_S = 60.0
"""Seconds of a fit above which it is not repeated at once for being doubtful."""


class SkippedTrial(msgspec.Struct, frozen=True):
    """A trial without a row, and the reason."""

    reason: str


@dataclass(frozen=True)
class FitResult:
    """A fitted classifier, with seconds and joules per fit.

    Attributes:
        fitted: The classifier.
        fits: Number of fits in the window.
        seconds: Mean seconds per fit.
        components: Mean joules per fit, and label, by component.
        flags: Flags of the classifier, such as ``not-converged``.
        meter_flags: The meter's flags of the window.
        context: The meter's context of the window.
        other_cores: Mean cores kept busy by other processes; ``None`` if unknown.
    """

    fitted: Any
    fits: int
    seconds: float
    components: Mapping[str, tuple[float, Label]]
    flags: tuple[str, ...]
    meter_flags: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    other_cores: float | None = None


def measure_fit(unfitted: Any, texts: Texts, meter: Meter) -> FitResult:
    """Fits once, or repeatedly until the window is long enough for the meter.

    A fit that does not converge is flagged, not an error.
    """
    fits, others = 0, usage.OtherLoad()
    meter.start()
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            while not fits or time.perf_counter() - begin < meter.min_window_s:
                unfitted.fit(texts.train, texts.train_labels)
                fits += 1
        seconds = time.perf_counter() - begin
    finally:
        reading = meter.stop()
    slow = any(each.category.__name__ == "ConvergenceWarning" for each in caught)
    return FitResult(
        fitted=unfitted,
        fits=fits,
        seconds=seconds / fits,
        components={name: (j / fits, label) for name, (j, label) in reading.components.items()},
        flags=("not-converged",) if slow else (),
        meter_flags=reading.flags,
        context=combined_context([reading], [fits], 1),
        other_cores=others.mean_cores(),
    )


def measure_trials(
    run: Run, trials: Sequence[Trial]
) -> Iterator[Measurement | SkippedTrial | Notice]:
    """Yields the rows of one pair, each as soon as it is measured.

    A trial that cannot be measured, although others of its pair can, yields a `SkippedTrial`; one
    that is doubtful yields a `Notice` before it is measured again.

    Args:
        run: The calibration run.
        trials: Trials of one candidate on one workload, the training trial first if there is one.

    Raises:
        CannotRunError: The candidate cannot run here.
        Exception: Whatever fitting or predicting raises.
    """
    first = trials[0]
    candidate, texts = run.plan.candidates[first.candidate], run.plan.texts[first.workload]
    device, profile = run.plan.devices[first.device], run.plan.profile
    meter = run.meter(device)
    gc.collect()
    build.use_cores(candidate)
    first_fit = first.phase != "inference"  # is measured, so no cached checkpoint may be reused
    unfitted = build.build(candidate, device.kind, run.plan.models, texts, not first_fit)
    training = measure_fit(unfitted, texts, meter)
    fitted, flags = training.fitted, training.flags
    shared = {
        "n_parameters": build.n_parameters(fitted, candidate),
        "idle_resident_w": idle_watts(meter, profile.idle_s),
    }
    if first_fit:
        n_items = build.n_training_texts(fitted, texts, candidate)

        def train_row(attempt: int) -> Measurement:
            again = training if attempt == 1 else measure_fit(unfitted, texts, meter)
            return _train_row(run, first, n_items, again, shared, attempt)

        short = training.seconds * training.fits <= LONGEST_REPEATED_FIT_S
        yield from settled(train_row, profile.retries if short else 0, profile.wait_s, run.patience)
    scored: dict[tuple[str, ...], Score | SkippedTrial] = {}
    for trial in trials[1:] if first_fit else trials:
        serving = (trial.backend, trial.precision, decoding_of(trial.repeat_group) or "")
        if serving not in scored:
            scored[serving] = _score_as_served(run, fitted, trial, texts, candidate)
        score = scored[serving]
        if isinstance(score, SkippedTrial):
            yield score
            continue
        row = functools.partial(_inference_row, run, trial, texts, fitted, score, flags, shared)
        try:
            yield from settled(row, profile.retries, profile.wait_s, run.patience)
        except SaturatedError:
            yield SkippedTrial(f"cannot keep up with {trial.rate_per_s:g} texts per second")


def _score_as_served(
    run: Run, fitted: Any, trial: Trial, texts: Texts, candidate: Candidate
) -> Score | SkippedTrial:
    """Loads the weights as a trial serves them and scores them; random weights have no score."""
    decoding = decoding_of(trial.repeat_group)
    try:
        build.serve(fitted, trial.precision, trial.backend, decoding)
    except CannotRunError as error:
        return SkippedTrial(str(error))
    return UNSCORED if candidate.features == "architecture" else run.score(fitted, trial, texts)


def _measurement(
    run: Run,
    trial: Trial,
    flags: tuple[str, ...],
    meter_context: Mapping[str, Any],
    other_cores: float | None,
    overrides: dict[str, Any] | None,
    attempt: int,
    **values: Any,
) -> Measurement:
    """A row: the trial's setup, the run's shared fields and the measured values.

    Args:
        run: The run.
        trial: The planned trial.
        flags: Flags of classifier and window.
        meter_context: The meter's context of the window.
        other_cores: Mean cores kept busy by other processes; ``None`` if unknown.
        overrides: Fields in which the row differs from the plan.
        attempt: Number of the attempt, from 1.
        values: Measured fields.
    """
    device, plan = run.plan.devices[trial.device], run.plan
    load: dict[str, Any] = {"load_1m": run.load_1m, "threads": usable_cores()}
    load |= {"attempt": attempt} if attempt > 1 else {}
    if other_cores is not None:
        load["other_cores"] = round(other_cores, 2)
        flags = (*flags, "other-load") if other_cores > OTHER_LOAD_CORES else flags
    around = context(plan.profile, plan.seed, **load, **meter_context)
    return Measurement(
        **(trial.key() | (overrides or {})),
        run_id=run.run_id,
        flags=tuple(sorted(flags)),
        idle_w=run.idle_w(device),
        power_limit_w=trial.energy.get("power_limit_w"),
        fingerprint=dumps(trial.energy, around),
        meter=run.meter(device).name,
        measured_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **values,
    )


def _energy_fields(parts: Any) -> dict[str, float | Label]:
    """Joules and labels of the components as fields of a row."""
    return {
        field: value
        for name, (joules, label) in parts.items()
        for field, value in ((f"{name}_j", joules), (f"{name}_label", label))
    }


def _train_row(
    run: Run,
    trial: Trial,
    n_items: float,
    training: FitResult,
    shared: dict[str, float | None],
    attempt: int,
) -> Measurement:
    """The row of one fit, from raw texts to a fitted classifier, checkpoint loading included."""
    return _measurement(
        run,
        trial,
        (*training.flags, *training.meter_flags),
        training.context,
        training.other_cores,
        None,
        attempt,
        n_items=n_items,
        runtime_s=training.seconds,
        repeats=training.fits,
        **_energy_fields(training.components),
        **shared,
    )


def _measure_inference(
    run: Run, trial: Trial, texts: Texts, fitted: Any
) -> tuple[WindowSummary, int]:
    """Measures one trial, halving the batch size until memory suffices.

    Encoders halve their forward passes by themselves; the windows are then repeated with calls of
    that size.

    Returns:
        The summary of the windows, and the batch size used.

    Raises:
        MemoryError: A single text does not fit.
        SaturatedError: The candidate cannot keep up with the rate.
    """
    device = run.plan.devices[trial.device]
    meter = run.meter(device)
    size, profile = int(trial.batch_size or 1), run.plan.profile
    while True:
        size = min(size, build.halved_pass_size(fitted) or size)
        usage.reset_peak_memory(device.kind)
        try:
            if trial.rate_per_s is not None:
                found = measure_server(
                    fitted.predict, texts.test, trial.rate_per_s, size, profile, meter
                )
            else:
                by_length = trial.scenario == "offline" and trial.repeat_group != AS_ARRIVED
                found = measure(
                    fitted.predict, texts.test, size, profile, meter, by_length=by_length
                )
        except MemoryError:
            size = halve(size)
            continue
        if (build.halved_pass_size(fitted) or size) >= size:
            return found, size


def _halved_batch_fields(trial: Trial, size: int) -> dict[str, Any]:
    """Fields of a row measured with a smaller batch; its group separates it from planned rows."""
    planned = trial.batch_size or 1
    return {
        "batch_size": float(size),
        "repeat_group": halved_group(trial.repeat_group, planned),
        "notes": f"asked for batches of {planned:g}: out of memory above {size}",
    }


def _inference_row(
    run: Run,
    trial: Trial,
    texts: Texts,
    fitted: Any,
    score: Score,
    flags: tuple[str, ...],
    shared: dict[str, float | None],
    attempt: int,
) -> Measurement:
    """The row of one inference scenario."""
    others = usage.OtherLoad()
    found, size = _measure_inference(run, trial, texts, fitted)
    halved = size < (trial.batch_size or 1)
    flags += () if score.accuracy is not None else ("random-weights",)
    flags += ("unstable",) if found.unstable else ()
    flags += (AS_ARRIVED,) if trial.repeat_group == AS_ARRIVED else ()
    flags += ("batch-halved",) if halved else ()
    notes = {"notes": score.notes} if score.draws else {}
    return _measurement(
        run,
        trial,
        (*flags, *found.flags),
        dict(found.context) | ({"draws": score.draws} if score.draws else {}),
        others.mean_cores(),
        notes | (_halved_batch_fields(trial, size) if halved else {}),
        attempt,
        n_items=float(found.n_items),
        runtime_s=found.runtime_s,
        latency_p50_ms=found.latency_p50_ms,
        latency_p95_ms=found.latency_p95_ms,
        repeats=found.repeats,
        cv=found.cv,
        accuracy=score.accuracy,
        accuracy_split=None if score.accuracy is None else "test",
        macro_f1=score.macro_f1,
        n_test=None if score.accuracy is None else len(texts.test),
        tokens_mean=run.tokens_mean(texts, run.plan.candidates[trial.candidate]),
        peak_memory_mb=usage.peak_memory_mb(run.plan.devices[trial.device].kind),
        **_energy_fields(found.components),
        **shared,
    )
