"""The constraints of a question: whether an option qualifies, and by what it misses.

An unknown value never passes a limit.
"""

from __future__ import annotations

import math

import msgspec

from advisor.intervals import wilson_lower
from advisor.records import Missing, Option, Query, Reason
from advisor.setups import precision_bits
from advisor.wording import figure
from catalog.records import Device
from catalog.snapshot import Snapshot


class Verdict(msgspec.Struct, frozen=True):
    """Why an option does not qualify: the reason, a sentence, and by how much it misses."""

    reason: Reason
    detail: str
    missing: Missing
    gap: float


def judge(option: Option, snapshot: Snapshot, query: Query) -> Verdict | None:
    """The first constraint an option misses, or ``None`` if it qualifies."""
    for constraint in (_fits, _accuracy, _latency, _memory, _licence):
        verdict = constraint(option, snapshot, query)
        if verdict is not None:
            return verdict
    return None


_FAR = 1e6
"""Gap of a constraint that no number measures: it comes after every one that has a number."""
SPARSE = ("bag-of-words", "tf-idf")
"""Families whose features are sparse counts; no GPU library runs them."""


def ran_there(option: Option) -> bool:
    """Whether a setup was run on the device it is offered for, and not brought to it."""
    runtime = option.runtime_s_per_1000
    timed = runtime is not None and runtime.basis == "measured"
    return timed or option.energy_j_per_1000.basis == "measured"


def _fits(option: Option, snapshot: Snapshot, query: Query) -> Verdict | None:
    """Whether a device the setup was never run on could run it: kind and memory."""
    if ran_there(option):
        return None
    device = query.device if isinstance(query.device, Device) else snapshot.devices[option.device]
    if option.family in SPARSE and device.kind != "cpu":
        missing = Missing(constraint="device", asked=device.kind, has="cpu")
        return Verdict("needs-cpu", f"runs on a CPU, not on a {device.kind}", missing, math.inf)
    if option.n_parameters is None or device.memory_gb is None:
        return None
    needed = option.n_parameters * precision_bits(option.precision) / 8 / 1e9
    if needed <= device.memory_gb * (option.n_devices or 1):
        return None
    missing = Missing(constraint="device", asked=figure(device.memory_gb), has=figure(needed))
    detail = f"weights of {figure(needed)} GB do not fit into {figure(device.memory_gb)} GB"
    return Verdict("does-not-fit", detail, missing, math.inf)


def _accuracy(option: Option, _: Snapshot, query: Query) -> Verdict | None:
    """The accuracy floor, by point value or by lower confidence bound."""
    accuracy, floor = option.accuracy, query.min_acc
    if accuracy is None:
        missing = Missing(constraint="min_acc", asked=floor, has=None)
        return Verdict("accuracy-unknown", "no accuracy known on this workload", missing, math.inf)
    value, name = accuracy.value, "accuracy"
    if query.confidence is not None:
        if accuracy.n_test is None:
            missing = Missing(constraint="confidence", asked=query.confidence, has=None)
            detail = "the source states no test size, so there is no confidence bound"
            return Verdict("accuracy-interval-absent", detail, missing, math.inf)
        value = wilson_lower(accuracy.value, accuracy.n_test, query.confidence)
        name = f"lower {query.confidence:.0%} bound of the accuracy"
    if value >= floor:
        return None
    missing = Missing(constraint="min_acc", asked=floor, has=round(value, 6))
    detail = f"{name} {value:.3f} < {floor:g}"
    return Verdict("accuracy-too-low", detail, missing, 1 - value / floor)


def _at_most(
    value: float | None, most: float | None, name: str, unit: str, reasons: tuple[Reason, Reason]
) -> Verdict | None:
    """An upper limit; an unknown value does not pass it."""
    if most is None or (value is not None and value <= most):
        return None
    missing = Missing(constraint=name, asked=most, has=value)
    if value is None:
        return Verdict(reasons[0], f"{name.removeprefix('max_')} is not known", missing, math.inf)
    detail = f"{figure(value)} {unit} > {figure(most)} {unit}"
    return Verdict(reasons[1], detail, missing, value / most - 1)


def _latency(option: Option, _: Snapshot, query: Query) -> Verdict | None:
    """The latency limit, on the 95th percentile of one call."""
    reasons: tuple[Reason, Reason] = ("latency-unknown", "latency-too-high")
    return _at_most(option.latency_p95_ms, query.max_latency_ms, "max_latency_ms", "ms", reasons)


def _memory(option: Option, _: Snapshot, query: Query) -> Verdict | None:
    """The memory limit, on the peak of the process."""
    has = None if option.peak_memory_mb is None else option.peak_memory_mb / 1000
    reasons: tuple[Reason, Reason] = ("memory-unknown", "memory-too-high")
    return _at_most(has, query.max_memory_gb, "max_memory_gb", "GB", reasons)


def _licence(option: Option, snapshot: Snapshot, query: Query) -> Verdict | None:
    """The candidate's licence."""
    if query.licence is None:
        return None
    candidate = snapshot.candidates.get(option.candidate)
    has = candidate.licence if candidate else None
    if has is not None and has.casefold() == query.licence.casefold():
        return None
    missing = Missing(constraint="licence", asked=query.licence, has=has)
    return Verdict("licence-differs", f"licence {has or 'unknown'}", missing, _FAR)
