"""An entry as people and programs read it: an `Option` with its figures, origin and warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from advisor.estimator.setup import precision_bits
from advisor.recommend.entries import Entry, Key
from advisor.recommend.machine import memory_gb as device_memory_gb
from advisor.recommend.qualification import accuracy, rounded
from advisor.recommend.records import (
    EnergyPer1000,
    Factor,
    Missing,
    Option,
    Provenance,
    RuntimePer1000,
    WarningCode,
)
from advisor.recommend.serving import weights_gb
from catalog import profiles
from catalog.energy import energy
from catalog.records import Measurement
from catalog.registry.families import CLASSICAL
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
}


def option(
    entry: Entry,
    key: Key,
    snapshot: Snapshot,
    factor: Factor | None = None,
    missing: Missing | None = None,
    *,
    whole: bool = True,
    exact: bool = False,
) -> Option:
    """An entry as an option of an answer.

    Args:
        entry: The setup with its price.
        key: What it was priced for.
        snapshot: Where its evidence is.
        factor: Its energy over the chosen option's.
        missing: Of a nearest miss.
        whole: Whether its reference is given in full; else its last part, as in lists.
        exact: Whether energy and runtime keep all their digits.
    """
    row = entry.row if entry.there else None
    opinion = _second_opinion(entry)
    latency, latency_basis = latency_ms(entry)
    memory = memory_gb(entry)
    fewest = least_devices(entry)
    known = entry.evidence
    return Option(
        candidate=entry.candidate.name,
        family=entry.candidate.family,
        n_parameters=_count(size_of(entry)),
        device=entry.device.name,
        workload=key.workload,
        scenario=row.scenario if row is not None and entry.measured else key.scenario,
        backend=row.backend if row is not None and entry.measured else entry.choice.backend,
        precision=row.precision if row is not None and entry.measured else entry.choice.precision,
        batch_size=_count(entry.batch_size),
        memory_gb=None if memory is None else rounded(memory),
        latency_ms=None if latency is None else rounded(latency),
        accuracy=None
        if known is None
        else accuracy(known, snapshot, key.labels, cited=row is not None),
        energy_j_per_1000=entry.energy if exact else shown(entry.energy),
        n_devices=entry.n_devices,
        runtime_s_per_1000=entry.runtime if exact else _runtime(entry.runtime),
        provenance=_provenance(entry, whole=whole),
        energy_factor=factor,
        variant=row.repeat_group if row is not None else None,
        n_devices_at_least=fewest,
        latency_basis=latency_basis,
        rate_per_s=key.rate_per_s,
        second_opinion_j_per_1000=None if opinion is None else rounded(opinion),
        warnings=_warnings(entry, snapshot, opinion, fewest),
        missing=missing,
    )


def shown(found: EnergyPer1000) -> EnergyPer1000:
    """An energy at the digits that answers write."""
    ends = (None if v is None else rounded(v) for v in (found.value, found.low, found.high))
    value, low, high = ends
    return EnergyPer1000(
        value=value, low=low, high=high, basis=found.basis, scope=found.scope, label=found.label
    )


def _runtime(found: RuntimePer1000 | None) -> RuntimePer1000 | None:
    """A runtime at the digits that answers write."""
    if found is None:
        return None
    return RuntimePer1000(
        value=rounded(found.value),
        low=rounded(found.low),
        high=rounded(found.high),
        basis=found.basis,
    )


def latency_ms(entry: Entry) -> tuple[float | None, Literal["measured", "estimated"]]:
    """Milliseconds of a call and how they are known: read, else runtime times texts per call."""
    row = entry.row
    if row is not None and entry.measured and row.latency_p95_ms is not None:
        return row.latency_p95_ms, "measured"
    work = entry.work
    if work.runtime is None:
        return None, "estimated"
    return work.runtime.value * (work.batch_size or 1.0), "estimated"


def memory_gb(entry: Entry) -> float | None:
    """Memory a setup needs, 1e9 bytes: the measured peak, else by its profile."""
    row, candidate = entry.row, entry.candidate
    if row is not None and entry.there and row.peak_memory_mb:
        return row.peak_memory_mb / 1000
    if candidate.n_parameters is None:
        return profiles.CLASSICAL_GB if candidate.family in CLASSICAL else None
    tokens = entry.setup.tokens if entry.setup is not None else row.tokens_mean if row else None
    bits = precision_bits(entry.choice.precision)
    return profiles.memory_gb(candidate, bits, entry.batch_size or 1.0, tokens or 0.0)


def least_devices(entry: Entry) -> int | None:
    """The fewest GPUs a row can have run on, where it does not state how many.

    One for each node, and as many as hold the weights; activations are left out. ``None`` where
    the row states a number, or ran on something else than a GPU.
    """
    row = entry.row
    if row is None or not entry.there or row.n_devices is not None or entry.device.kind != "gpu":
        return None
    weights = weights_gb(entry.candidate, row, row.precision)
    return max(1, math.ceil(weights / device_memory_gb(entry.device)), row.n_nodes or 1)


def _second_opinion(entry: Entry) -> float | None:
    """Modelled joules per 1,000 texts beside an estimate."""
    row = entry.row
    if row is None or not entry.there or entry.measured or entry.served is not None:
        return None
    modelled = energy(row, entry.device.kind, entry.energy.scope)
    if modelled is None or modelled.label != "modelled" or modelled.value_j is None:
        return None
    return 1000 * modelled.value_j / row.n_items


def size_of(entry: Entry) -> float | None:
    """Parameters of a candidate: as declared, else those of its row."""
    return entry.candidate.n_parameters or (entry.row.n_parameters if entry.row else None)


def _count(value: float | None) -> float | int | None:
    """A number as a whole one where it is."""
    return int(value) if value is not None and float(value).is_integer() else value


def _provenance(entry: Entry, *, whole: bool) -> Provenance:
    """Where an option's figures were taken."""
    row, known = entry.row, entry.evidence
    if row is None or not entry.there:
        reference = known.reference if known else None
        if reference is not None and not whole:
            reference = reference.rpartition("; ")[2]
        return Provenance(
            source=", ".join(known.sources) if known else "",
            reference=reference,
            measured_at=None,
            notes=f"energy from what was {entry.converted}" if entry.converted else None,
        )
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


def _of_row(row: Measurement, entry: Entry) -> list[WarningCode]:
    """What is doubtful about a measured row."""
    codes = [_FLAG_WARNINGS[flag] for flag in row.flags if flag in _FLAG_WARNINGS]
    if row.scenario == "unstated":
        codes.append("scenario-unstated")
    if entry.measured and entry.energy.value is None:
        codes.append("energy-bound")
    if entry.measured and entry.energy.value is not None and row.cv is None:
        codes.append("spread-unstated")
    if row.cv is not None and row.cv > UNSTABLE_CV:
        codes.append("unstable")
    return codes


def _warnings(
    entry: Entry,
    snapshot: Snapshot,
    opinion: float | None,
    fewest: int | None,
) -> tuple[WarningCode, ...]:
    """What is doubtful about an option."""
    codes: list[WarningCode] = [*entry.codes]
    work = entry.work
    row = work.row if work.there else None
    if row is not None:
        codes += _of_row(row, work)
        if row.fingerprint is not None and newest_of(snapshot).changes(row):
            codes.append(STALE)
    if entry.evidence is not None and entry.evidence.contamination == "possible":
        codes.append("accuracy-contaminated")
    if work.energy.label == "mixed":
        codes.append("energy-mixed")
    if fewest is not None:
        codes.append(UNCOUNTED)
    if work.prediction is not None:
        codes += ["device-specs-assumed"] if work.prediction.assumed_power else []
        codes += ["out-of-range"] if work.prediction.outside else []
        codes += ["energy-extrapolated"] if work.energy.basis == "extrapolated" else []
        codes += [] if work.prediction.known_device else ["device-not-calibrated"]
    joules = entry.energy
    if opinion is not None and not (joules.low or 0.0) <= opinion <= (joules.high or math.inf):
        codes.append("second-opinion-differs")
    return tuple(sorted(set(codes)))


def ranking_joules(found: Option) -> float:
    """What an option ranks by: joules per 1,000 texts, a published bound at its high end."""
    joules = found.energy_j_per_1000
    value = joules.value if joules.value is not None else joules.high
    return math.inf if value is None else value


def ran_there(found: Option) -> bool:
    """Whether a setup was run on the device it is offered for."""
    return found.provenance.run_id is not None


def rank(found: Option) -> tuple[float, float, str]:
    """Order of preference: least energy (a bound at its high end), then most accurate."""
    value = found.accuracy.value if found.accuracy else 0.0
    return ranking_joules(found), -value, found.candidate


def front(options: Sequence[Option]) -> list[Option]:
    """Options that no other beats in both accuracy and energy, cheapest first."""
    best, kept = -1.0, []
    for each in sorted(options, key=rank):
        if each.accuracy is not None and each.accuracy.value > best:
            kept.append(each)
            best = each.accuracy.value
    return kept


def energy_from(found: Option, version: str) -> str:
    """Who says the energy of an option, in words."""
    joules, row = found.energy_j_per_1000, found.provenance
    if joules.basis == "measured":
        return f"measured by {row.source}"
    if "rate-worked-out" in found.warnings:
        return f"Joulewise estimator {version}: work and idle watts at the asked rate"
    if "energy-converted" in found.warnings:
        return f"Joulewise estimator {version}, converted from what {row.source} measured there"
    if found.runtime_s_per_1000 is not None and found.runtime_s_per_1000.basis == "stated":
        return f"Joulewise estimator {version}, from the runtime that you stated"
    if joules.basis == "estimated":
        return f"Joulewise estimator {version}, from the runtime measured by {row.source}"
    said = f"Joulewise estimator {version}; the setup was not run on this device"
    return f"{said}, {row.notes}" if row.notes and row.run_id is None else said
