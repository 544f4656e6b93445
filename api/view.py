"""An answer in words and figures for people; the page and the terminal both use it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from advisor.records import EnergyPer1000, Option, Recommendation

BASIS = {
    "measured": "energy was measured on that device",
    "estimated": "energy is estimated from the runtime measured on that device",
    "estimated-runtime": "energy and runtime are both estimated",
    "extrapolated": "estimated beyond the data the estimator learned from",
}
LABEL = {
    "measured": "read from a counter or meter",
    "modelled": "power was assumed, not read",
    "mixed": "part read, part modelled",
}
SCENARIO = {
    "offline": "in batches",
    "single": "one text at a time",
    "server": "as requests arrive",
    "unstated": "in a way the source does not state",
}
SCOPE = {
    "device": "the chip alone",
    "host": "chip, CPU and memory",
    "wall": "the plug",
}
REASON = {
    "accuracy-too-low": "not accurate enough",
    "accuracy-unknown": "accuracy unknown",
    "accuracy-interval-absent": "no interval for its accuracy",
    "latency-too-high": "too slow",
    "latency-unknown": "latency unknown",
    "memory-too-high": "needs too much memory",
    "memory-unknown": "memory unknown",
    "licence-differs": "another licence",
    "energy-absent": "no energy figure",
    "scope-absent": "energy of another scope only",
    "not-measured-there": "not measured on that device",
    "other-scenario": "measured in another scenario",
    "other-batch-size": "measured at another batch size",
    "does-not-fit": "too large for the device",
    "needs-cpu": "runs on a CPU only",
    "not-more-accurate": "same energy, not more accurate",
    "more-energy": "needs more energy",
}


CONSTRAINT = {
    "min_acc": "accuracy",
    "max_latency_ms": "latency in ms",
    "max_memory_gb": "memory in GB",
    "confidence": "how sure its accuracy is",
}


def constraint(name: str) -> str:
    """What a condition is about, in words."""
    return CONSTRAINT.get(name, name.replace("_", " "))


def reason(code: str) -> str:
    """Why a candidate lost, in words; a code nobody worded is shown as it is."""
    return REASON.get(code, code.replace("-", " "))


def number(value: float | None) -> str:
    """Three significant digits, thousands separated; a dash for a missing value."""
    if value is None:
        return "–"
    if value == 0 or not math.isfinite(value):
        return str(value)
    places = 2 - math.floor(math.log10(abs(value)))
    if places <= 0:
        return f"{round(value, places):,.0f}"
    return f"{value:.3g}" if places > 6 else f"{value:,.{places}f}"


def count(value: float | None) -> str:
    """A whole number as one; a mean that a source prints keeps its digits."""
    whole = value is not None and float(value).is_integer()
    return f"{value:,.0f}" if whole else number(value)


def span(low: float | None, high: float | None) -> str:
    """An interval, or nothing where there is none or it is narrower than the digits shown."""
    if low is None:
        return "" if high is None else f"at most {number(high)}"
    shown = number(low), number(high)
    return "" if shown[0] == shown[1] else " – ".join(shown)


def joules(energy: EnergyPer1000) -> str:
    """Joules per 1,000 texts: the value, or the bound a source published."""
    return number(energy.value) if energy.value is not None else f"under {number(energy.high)}"


def accuracy(value: float | None) -> str:
    """An accuracy to three decimals."""
    return "–" if value is None else f"{value:.3f}"


def parameters(count: float | None) -> str:
    """A parameter count as people say it."""
    if count is None:
        return ""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter} parameters"
    return f"{count:.0f} parameters"


def ends(energy: EnergyPer1000) -> list[float]:
    """Those of low, value and high that are there."""
    return [bound for bound in (energy.low, energy.value, energy.high) if bound]


class Axis:
    """A logarithmic axis over energies, in percent of its width.

    Args:
        energies: What has to fit on it.
    """

    def __init__(self, energies: Iterable[EnergyPer1000]) -> None:
        found = [bound for energy in energies for bound in ends(energy)]
        self.low = math.floor(math.log10(min(found, default=1)) * 2) / 2
        self.high = max(math.ceil(math.log10(max(found, default=10)) * 2) / 2, self.low + 0.5)

    def at(self, value: float) -> float:
        """Where a value stands, 1 to 99 %."""
        return round(1 + 98 * (math.log10(value) - self.low) / (self.high - self.low), 2)

    def mark(self, energy: EnergyPer1000) -> dict[str, float | None]:
        """Where the interval begins and ends and where the value stands."""
        there = ends(energy)
        if not there:
            return {"low": None, "high": None, "value": None}
        value = self.at(energy.value) if energy.value else None
        low = self.at(energy.low) if energy.low else 0.0
        return {"low": low, "high": self.at(max(there)), "value": value}


def points(answer: Recommendation) -> list[dict[str, Any]]:
    """What the plot shows: one point per option that has an accuracy."""
    front = {_setup(option) for option in answer.front}
    shown = [option for option in (answer.chosen, *answer.alternatives) if option]
    there = {_setup(option) for option in shown}
    shown += [option for option in answer.front if _setup(option) not in there]
    if answer.nearest_miss:
        shown.append(answer.nearest_miss)
    return [
        {
            "name": option.candidate,
            "device": option.device,
            "basis": option.energy_j_per_1000.basis,
            "chosen": option is answer.chosen,
            "front": _setup(option) in front,
            "accuracy": msgspec.to_builtins(option.accuracy),
            "energy": msgspec.to_builtins(option.energy_j_per_1000),
        }
        for option in shown
        if option.accuracy and ends(option.energy_j_per_1000)
    ]


def _setup(option: Option) -> tuple[object, ...]:
    """What tells two options of an answer apart."""
    return (
        option.candidate,
        option.device,
        option.precision,
        option.batch_size,
        option.n_devices,
        option.provenance.run_id,
        option.energy_j_per_1000.value,
    )


def axis(options: Iterable[Option]) -> Axis:
    """One axis for all options of a table."""
    return Axis(option.energy_j_per_1000 for option in options)
