"""An offer as people and programs read it: an `Option` with its figures, origin and warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.estimator.estimator import Prediction
from advisor.recommend.messages import figure
from advisor.recommend.options import Z90, Offer, Served, least_devices
from advisor.recommend.published import evidence_of, memory_gb
from advisor.recommend.records import (
    Accuracy,
    EnergyPer1000,
    Option,
    Provenance,
    RuntimePer1000,
    WarningCode,
)
from catalog.energy import energy
from catalog.evidence import Evidence, across_task
from catalog.intervals import wilson
from catalog.records import Device, Measurement
from catalog.snapshot import Snapshot
from catalog.staleness import newest_of

STALE: WarningCode = "stale-measurement"
UNCOUNTED: WarningCode = "devices-unstated"
UNSTABLE_CV = 0.05
"""Spread of repeats above which a row is called unstable."""
_FLAG_WARNINGS: dict[str, WarningCode] = {
    "idle-devices-in-total": "idle-devices-counted",
    "startup-in-window": "startup-in-window",
    "unstable": "unstable",
    "suspect": "unstable",
    "other-load": "other-load",
    "accuracy-suspect": "accuracy-suspect",
    "accuracy-other-device": "accuracy-other-device",
}


def _accuracy(row: Measurement, snapshot: Snapshot) -> Accuracy | None:
    """What the evidence says, else a row's own accuracy with its 90 % Wilson interval."""
    if row.accuracy is None:
        return None
    known = evidence_of(snapshot, row)
    if known is not None:
        return _of_evidence(known, snapshot)
    low, high = (None, None) if row.n_test is None else wilson(row.accuracy, row.n_test, 0.9)
    return Accuracy(
        value=row.accuracy, low=low, high=high, n_test=row.n_test, split=row.accuracy_split
    )


def _of_evidence(known: Evidence, snapshot: Snapshot) -> Accuracy:
    """Evidence as it is shown, with the candidate's accuracy across the task."""
    workload = snapshot.workloads[known.workload]
    across = snapshot.accuracies.values(workload.task, workload.language)
    return Accuracy(
        value=known.value,
        low=known.low,
        high=known.high,
        basis=known.basis,
        n_test=known.n_test,
        split=known.split,
        regime=known.regime,
        samples_per_label=known.samples_per_label,
        n_train=known.n_train,
        source=", ".join(known.sources),
        reference=known.reference,
        across_task=across_task(across.get(known.candidate, {})),
        warnings=known.warnings,
    )


def _provenance(row: Measurement) -> Provenance:
    """Where a row's figures were taken."""
    return Provenance(
        source=row.source,
        reference=row.reference,
        measured_at=row.measured_at,
        citation=row.citation,
        licence=row.licence,
        meter=row.meter,
        host=row.host,
        run_id=row.run_id,
        notes=row.notes,
    )


def runtime(row: Measurement, prediction: Prediction | None) -> RuntimePer1000 | None:
    """Seconds per 1,000 texts: measured, else estimated, else missing."""
    if row.runtime_s is not None:
        seconds, half = 1000 * row.runtime_s / row.n_items, Z90 * (row.cv or 0.0)
        low, high = seconds * math.exp(-half), seconds * math.exp(half)
        return RuntimePer1000(value=seconds, low=low, high=high, basis="measured")
    if prediction is None or prediction.runtime_s.value is None:
        return None
    guess = prediction.runtime_s
    return RuntimePer1000(
        value=1000 * (guess.value or 0.0),
        low=1000 * (guess.low or 0.0),
        high=1000 * (guess.high or 0.0),
        basis=guess.basis,
    )


def _warnings(
    row: Measurement, joules: EnergyPer1000, prediction: Prediction | None
) -> tuple[WarningCode, ...]:
    """What is doubtful about an option."""
    codes: list[WarningCode] = [_FLAG_WARNINGS[f] for f in row.flags if f in _FLAG_WARNINGS]
    if row.scenario == "unstated":
        codes.append("scenario-unstated")
    if row.contamination:
        codes.append("accuracy-contaminated")
    if joules.basis == "measured" and joules.value is None:
        codes.append("energy-bound")
    if joules.basis == "measured" and joules.value is not None and row.cv is None:
        codes.append("spread-unstated")
    if row.cv is not None and row.cv > UNSTABLE_CV:
        codes.append("unstable")
    if joules.label == "mixed":
        codes.append("energy-mixed")
    if prediction is not None:
        codes += ["device-specs-assumed"] if prediction.assumed_power else []
        codes += ["out-of-range"] if prediction.outside else []
        codes += [] if prediction.known_device else ["device-not-calibrated"]
    return tuple(sorted(set(codes)))


def _doubts(offer: Offer) -> tuple[WarningCode, ...]:
    """What is doubtful about an offer, of one worked out for a rate also what its work is."""
    served = offer.served
    if served is None:
        return _warnings(offer.row, offer.energy, offer.prediction)
    work = served.work
    own = _warnings(work.row, work.energy, work.prediction)
    return tuple(sorted({*own, *served.codes}))


def _stale(offer: Offer, snapshot: Snapshot) -> bool:
    """Whether an offer rests on a row of its machine that changed since."""
    if offer.row.fingerprint is None or not offer.ran_there:
        return False
    return bool(newest_of(snapshot).changes(offer.row))


def _second_opinion(row: Measurement, device: Device, joules: EnergyPer1000) -> float | None:
    """Modelled joules per 1,000 texts beside an estimate."""
    modelled = energy(row, device.kind, joules.scope)
    if modelled is None or modelled.label != "modelled" or modelled.value_j is None:
        return None
    return 1000 * modelled.value_j / row.n_items


def _energy_from(
    row: Measurement, joules: EnergyPer1000, prediction: Prediction | None, version: str
) -> str:
    """Who says the energy."""
    if joules.basis == "measured":
        return f"measured by {row.source}"
    if row.runtime_s is not None:
        return f"Joulewise estimator {version}, from the runtime measured by {row.source}"
    said = f"Joulewise estimator {version}; the setup was not run on this device"
    carried = prediction is not None and prediction.carried
    return f"{said}, what it needed on others counts" if carried else said


def _worked_out(served: Served, version: str) -> str:
    """Where energy at a rate that nobody measured comes from."""
    work, watts = served.work, served.watts
    joules, seconds = figure(work.joules), figure(1000 * (served.seconds.value or 0.0))
    batch = f"in batches of {figure(work.row.batch_size)}" if work.row.batch_size else "in batches"
    way = "one text at a time" if work.row.scenario == "single" else batch
    share = min(served.busy, 1.0)
    read = "" if "idle-assumed" in served.codes else " read in that run"
    return (
        f"worked out for {figure(served.rate_per_s)} texts per second: busy {share:.2%} of the "
        f"time, {way}, at {joules} J and {seconds} s per 1,000 texts "
        f"({_energy_from(work.row, work.energy, work.prediction, version)}); else waiting at "
        f"{figure(watts.value or 0.0)} W{read}"
    )


def _window(served: Served) -> RuntimePer1000:
    """Seconds in which 1,000 texts arrive, or are worked on where they come faster."""
    seconds = max(1000 / served.rate_per_s, 1000 * (served.seconds.value or 0.0))
    basis = served.work.energy.basis
    return RuntimePer1000(
        value=seconds,
        low=seconds,
        high=seconds,
        basis="estimated" if basis == "measured" else basis,
    )


def _count(value: float | None) -> float | int | None:
    """A batch size as a whole number where it is one."""
    return int(value) if value is not None and float(value).is_integer() else value


def size_of(row: Measurement, snapshot: Snapshot) -> float | None:
    """Parameters of a row's candidate: as declared, else the row's own."""
    candidate = snapshot.candidates.get(row.candidate)
    return (candidate.n_parameters if candidate else None) or row.n_parameters


def option(offer: Offer, snapshot: Snapshot, version: str) -> Option:
    """An offer as an option of an answer.

    Args:
        offer: The setup with its energy.
        snapshot: Where its candidate is declared.
        version: The estimator's, for the words about an estimate.
    """
    row, device, joules, served = offer.row, offer.device, offer.energy, offer.served
    candidate = snapshot.candidates.get(row.candidate)
    n_parameters = size_of(row, snapshot)
    fewest = least_devices(row, device, n_parameters)
    opinion = None if served is not None else _second_opinion(row, device, joules)
    codes = _doubts(offer)
    if _stale(offer if served is None else served.work, snapshot):
        codes = tuple(sorted({*codes, STALE}))
    if fewest is not None:
        codes = tuple(sorted({*codes, UNCOUNTED}))
    if opinion is not None and not (joules.low or 0.0) <= opinion <= (joules.high or math.inf):
        codes = tuple(sorted({*codes, "second-opinion-differs"}))
    return Option(
        candidate=row.candidate,
        family=candidate.family if candidate else "other",
        n_parameters=n_parameters,
        device=device.name,
        workload=row.workload,
        scenario=row.scenario,
        backend=row.backend,
        precision=row.precision,
        batch_size=_count(row.batch_size),
        variant=row.repeat_group,
        n_devices=row.n_devices,
        n_devices_at_least=fewest,
        accuracy=_accuracy(row, snapshot),
        energy_j_per_1000=joules,
        runtime_s_per_1000=runtime(row, offer.prediction) if served is None else _window(served),
        energy_from=_energy_from(row, joules, offer.prediction, version)
        if served is None
        else _worked_out(served, version),
        provenance=_provenance(row),
        rate_per_s=row.rate_per_s,
        latency_p95_ms=row.latency_p95_ms,
        peak_memory_mb=row.peak_memory_mb,
        memory_gb=row.peak_memory_mb / 1000 if row.peak_memory_mb else memory_gb(snapshot, row),
        second_opinion_j_per_1000=opinion,
        warnings=codes,
    )


def ran_there(option: Option) -> bool:
    """Whether a setup was run on the device it is offered for, and not brought to it."""
    runtime = option.runtime_s_per_1000
    timed = runtime is not None and runtime.basis == "measured"
    return timed or option.energy_j_per_1000.basis == "measured"


def rank(option: Option) -> tuple[float, float, str]:
    """Order of preference: least energy (a bound at its high end), then most accurate."""
    joules = option.energy_j_per_1000
    value = joules.value if joules.value is not None else joules.high
    accuracy = option.accuracy.value if option.accuracy else 0.0
    return (math.inf if value is None else value, -accuracy, option.candidate)


def front(options: Sequence[Option]) -> list[Option]:
    """Options that no other beats in both accuracy and energy, cheapest first."""
    best, kept = -1.0, []
    for option in sorted(options, key=rank):
        accuracy = option.accuracy.value if option.accuracy else None
        if accuracy is not None and accuracy > best:
            kept.append(option)
            best = accuracy
    return kept
