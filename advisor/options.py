"""From catalog rows to options: which energy each setup carries, and where it came from.

First that exists: measured in the asked scope; the estimator applied to the runtime measured on
that device; the estimator with the runtime estimated too. Modelled joules stand beside an
estimate as a second opinion and are never ranked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from advisor.estimator import Estimator, Prediction
from advisor.intervals import wilson
from advisor.records import (
    Accuracy,
    EnergyPer1000,
    Option,
    Provenance,
    Query,
    RuntimePer1000,
    WarningCode,
)
from advisor.setups import from_measurement
from catalog.energy import Energy, energy
from catalog.records import SCOPES, Device, Measurement, Scope
from catalog.snapshot import Snapshot

_Z90 = 1.645
UNSTABLE_CV = 0.05
"""Spread of repeats above which a row is called unstable."""
CARRIED = 0.7
"""Share of a setup's own deviation (measured over estimated, elsewhere) that is carried to another
device: of 0, .3, .5, .7, .85 and 1 all between .5 and 1 do better than 0 on held-out devices."""
_FLAG_WARNINGS: dict[str, WarningCode] = {
    "idle-devices-in-total": "idle-devices-counted",
    "startup-in-window": "startup-in-window",
    "unstable": "unstable",
    "suspect": "unstable",
    "other-load": "other-load",
    "accuracy-suspect": "accuracy-suspect",
    "accuracy-other-device": "accuracy-other-device",
}


def _accuracy(row: Measurement) -> Accuracy | None:
    """A row's accuracy with its 95 % Wilson interval."""
    if row.accuracy is None:
        return None
    low, high = (None, None) if row.n_test is None else wilson(row.accuracy, row.n_test, 0.95)
    return Accuracy(
        value=row.accuracy, low=low, high=high, n_test=row.n_test, split=row.accuracy_split
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


def _measured(row: Measurement, joules: Energy, scope: Scope) -> EnergyPer1000:
    """A measured energy per 1,000 texts: 90 % of repeats lie in its interval, where stated.

    A published bound keeps its missing value and reaches from 0 to the bound.
    """
    per_1000 = 1000 / row.n_items
    value, low, high = joules.value_j, joules.low_j or 0.0, joules.high_j
    if value is not None and row.cv is not None:
        low, high = value * math.exp(-_Z90 * row.cv), value * math.exp(_Z90 * row.cv)
    return EnergyPer1000(
        value=None if value is None else value * per_1000,
        low=low * per_1000,
        high=None if high is None else high * per_1000,
        basis="measured",
        scope=scope,
        label=joules.label,
    )


def _estimated(prediction: Prediction, scope: Scope, shift: float, cv: float) -> EnergyPer1000:
    """An estimated energy per 1,000 texts.

    Args:
        prediction: The estimator's.
        scope: What it covers.
        shift: Log correction from the same setup measured elsewhere.
        cv: Spread of the runtime over repeats; widens the interval.
    """
    joules = prediction.energy_j
    value, high = joules.value or 0.0, joules.high or 0.0
    half = math.hypot(math.log(high / value), _Z90 * cv)
    value *= 1000 * math.exp(shift)
    return EnergyPer1000(
        value=value,
        low=value * math.exp(-half),
        high=value * math.exp(half),
        basis=joules.basis,
        scope=scope,
        label=None,
    )


def _runtime(row: Measurement, prediction: Prediction | None) -> RuntimePer1000 | None:
    """Seconds per 1,000 texts: measured, else estimated, else missing."""
    if row.runtime_s is not None:
        seconds, half = 1000 * row.runtime_s / row.n_items, _Z90 * (row.cv or 0.0)
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


def _second_opinion(row: Measurement, device: Device, joules: EnergyPer1000) -> float | None:
    """Modelled joules per 1,000 texts beside an estimate."""
    modelled = energy(row, device.kind, joules.scope)
    if modelled is None or modelled.label != "modelled" or modelled.value_j is None:
        return None
    return 1000 * modelled.value_j / row.n_items


def _energy_from(row: Measurement, joules: EnergyPer1000, version: str) -> str:
    """Who says the energy."""
    if joules.basis == "measured":
        return f"measured by {row.source}"
    if row.runtime_s is not None:
        return f"Joulewise estimator {version}, from the runtime measured by {row.source}"
    return f"Joulewise estimator {version}; the setup was not run on this device"


def _count(value: float | None) -> float | int | None:
    """A batch size as a whole number where it is one."""
    return int(value) if value is not None and float(value).is_integer() else value


def _option(
    row: Measurement,
    device: Device,
    snapshot: Snapshot,
    joules: EnergyPer1000,
    prediction: Prediction | None,
    version: str,
) -> Option:
    """A row (moved to `device`) as an option."""
    candidate = snapshot.candidates.get(row.candidate)
    opinion, codes = _second_opinion(row, device, joules), _warnings(row, joules, prediction)
    if opinion is not None and not (joules.low or 0.0) <= opinion <= (joules.high or math.inf):
        codes = tuple(sorted({*codes, "second-opinion-differs"}))
    return Option(
        candidate=row.candidate,
        family=candidate.family if candidate else "other",
        n_parameters=(candidate.n_parameters if candidate else None) or row.n_parameters,
        device=device.name,
        workload=row.workload,
        scenario=row.scenario,
        precision=row.precision,
        batch_size=_count(row.batch_size),
        variant=row.repeat_group,
        n_devices=row.n_devices,
        accuracy=_accuracy(row),
        energy_j_per_1000=joules,
        runtime_s_per_1000=_runtime(row, prediction),
        energy_from=_energy_from(row, joules, version),
        provenance=_provenance(row),
        latency_p95_ms=row.latency_p95_ms,
        peak_memory_mb=row.peak_memory_mb,
        second_opinion_j_per_1000=opinion,
        warnings=codes,
    )


def with_known_accuracy(rows: Sequence[Measurement]) -> list[Measurement]:
    """Rows of one workload; those without an accuracy take the candidate's from another device.

    What a model answers does not depend on the chip but for rounding, so the accuracy of the
    same candidate (in the same precision, where both state one) carries over, flagged.
    """
    known: dict[str, list[Measurement]] = {}
    for row in rows:
        if row.accuracy is not None:
            known.setdefault(row.candidate, []).append(row)

    def completed(row: Measurement) -> Measurement:
        same = [
            other
            for other in known.get(row.candidate, [])
            if not row.precision or not other.precision or other.precision == row.precision
        ]
        if row.accuracy is not None or not same:
            return row
        best = max(same, key=lambda other: (other.n_test or 0, other.measured_at or ""))
        elsewhere = ("accuracy-other-device",) if best.device != row.device else ()
        return msgspec.structs.replace(
            row,
            flags=(*row.flags, *elsewhere),
            **{name: getattr(best, name) for name in _ACCURACY},
        )

    return [completed(row) for row in rows]


_ACCURACY = ("accuracy", "accuracy_split", "macro_f1", "n_test", "contamination")


def measured_or_estimated(
    rows: Iterable[Measurement], snapshot: Snapshot, estimator: Estimator, query: Query
) -> list[Option]:
    """Options of rows on the devices they were taken on; rows without any energy drop out."""
    options: list[Option] = []
    pending: list[tuple[Measurement, Device]] = []
    for row in rows:
        device = snapshot.devices[row.device]
        joules = energy(row, device.kind, query.scope)
        if joules is not None and joules.label != "modelled":
            figure = _measured(row, joules, query.scope)
            options.append(_option(row, device, snapshot, figure, None, estimator.version))
        elif query.basis == "any" and (row.runtime_s is not None or _known_scope(row, device)):
            pending.append((row, device))
    shifts = [_conversion(row, device, snapshot, estimator) for row, device in pending]
    return options + _predicted(pending, snapshot, estimator, query, shifts)


def _known_scope(row: Measurement, device: Device) -> Scope | None:
    """The widest scope a row has a measured energy in."""
    for scope in reversed(SCOPES):
        joules = energy(row, device.kind, scope)
        if joules is not None and joules.value_j is not None and joules.label != "modelled":
            return scope
    return None


def _conversion(
    row: Measurement, device: Device, snapshot: Snapshot, estimator: Estimator
) -> float:
    """Log of measured over estimated joules in the scope a row was measured in; 0 without one.

    An estimate in another scope is corrected by it, so that conversion keeps what was measured.
    """
    scope = _known_scope(row, device)
    joules = energy(row, device.kind, scope) if scope else None
    if scope is None or joules is None or joules.value_j is None:
        return 0.0
    setup = from_measurement(row, device, snapshot.candidates.get(row.candidate), scope)
    expected = (estimator.estimate(setup).value or 1.0) * row.n_items
    return math.log(joules.value_j / expected)


def moved(
    rows: Sequence[Measurement],
    device: Device,
    snapshot: Snapshot,
    estimator: Estimator,
    query: Query,
) -> list[Option]:
    """Options of setups measured elsewhere, estimated (runtime too) for `device`.

    Only what a setup is moves over: candidate, precision, batch, tokens, accuracy. What was read
    on the other machine (runtime, latency, memory, idle watts) stays behind.
    """
    own_accuracy = sorted(rows, key=lambda row: "accuracy-other-device" not in row.flags)
    there = {(row.candidate, row.precision, row.batch_size): row for row in own_accuracy}
    shifts = _deviations(list(there.values()), snapshot, estimator, query.scope)
    blank: dict[str, Any] = dict.fromkeys(
        ("runtime_s", "latency_p50_ms", "latency_p95_ms", "peak_memory_mb", "host", "cv", "notes")
    )
    blank |= dict.fromkeys(("total_j", "total_low_j", "total_high_j", "total_label", "total_scope"))
    blank |= {f"{part}_{unit}": None for part in _PARTS for unit in ("j", "label")}
    pending = [
        (
            msgspec.structs.replace(
                row, n_devices=1, n_active_devices=1, device=device.name, flags=_kept(row), **blank
            ),
            device,
        )
        for row in there.values()
    ]
    return _predicted(pending, snapshot, estimator, query, shifts)


def _deviations(
    rows: Sequence[Measurement], snapshot: Snapshot, estimator: Estimator, scope: Scope
) -> list[float]:
    """Log of measured over estimated joules of rows where they were taken, as if never run.

    0 where the row has no measured energy in `scope`; of the rest `CARRIED` is kept.
    """
    setups = []
    for row in rows:
        device = snapshot.devices[row.device]
        setup = from_measurement(row, device, snapshot.candidates.get(row.candidate), scope)
        setups.append(msgspec.structs.replace(setup, runtime_s=None))
    found = []
    for row, prediction in zip(rows, estimator.predict(setups), strict=True):
        joules = energy(row, snapshot.devices[row.device].kind, scope)
        if joules is None or joules.value_j is None or joules.label == "modelled":
            found.append(0.0)
        else:
            expected = (prediction.energy_j.value or 1.0) * row.n_items
            found.append(CARRIED * math.log(joules.value_j / expected))
    return found


_PARTS = ("gpu", "cpu", "dram", "npu", "board", "wall")


def _kept(row: Measurement) -> tuple[str, ...]:
    """Flags that belong to the setup and not to the window it was measured in."""
    kept = tuple(flag for flag in row.flags if flag in ("llm", "accuracy-suspect"))
    return kept if row.accuracy is None else (*kept, "accuracy-other-device")


def _predicted(
    pending: Sequence[tuple[Measurement, Device]],
    snapshot: Snapshot,
    estimator: Estimator,
    query: Query,
    shifts: Sequence[float] | None = None,
) -> list[Option]:
    """Options whose energy the estimator gives, corrected by `shifts` (logs) where given."""
    setups = [
        from_measurement(row, device, snapshot.candidates.get(row.candidate), query.scope)
        for row, device in pending
    ]
    predictions = estimator.predict(setups)
    options = []
    for (row, device), prediction, shift in zip(
        pending, predictions, shifts or [0.0] * len(pending), strict=True
    ):
        figure = _estimated(prediction, query.scope, shift, row.cv or 0.0)
        options.append(_option(row, device, snapshot, figure, prediction, estimator.version))
    return options


def one_for_each_setup(options: Sequence[Option]) -> list[Option]:
    """Measured options, and of the estimates the newest one for each setup nobody measured."""

    def setup(option: Option) -> tuple[Any, ...]:
        choice = (option.scenario, option.precision, option.batch_size, option.variant)
        return (option.candidate, option.device, *choice)

    measured = [o for o in options if o.energy_j_per_1000.basis == "measured"]
    known = {setup(option) for option in measured}
    newest: dict[tuple[Any, ...], Option] = {}
    for option in sorted(options, key=lambda o: o.provenance.measured_at or ""):
        if setup(option) not in known:
            newest[setup(option)] = option
    return [*measured, *newest.values()]
