"""What a meter is and what it says about one window; knows no hardware.

A component that could not be read is absent, with the reason: never 0, never negative. Words
about the window are flags (``suspect``, ``throttled``, ``mig``, ``shared-gpu``), small facts
about it are its context, and `Reading.raw` keeps what the counters said.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from catalog.records import Label


class CounterError(ValueError):
    """A counter's values of a window make no energy; the text says why."""


class Reading(msgspec.Struct, frozen=True):
    """What a meter says about one window.

    Attributes:
        components: Joules and label by component (``gpu``, ``cpu``, ``dram`` ...); empty where
            none was read.
        absent: Why a component that has a counter, or could have one, is not in `components`.
        flags: Short words that go into the row's flags.
        context: Small facts that go into the row's fingerprint; see `combined_context`.
        raw: Counter values and power samples as they were read, for recordings.
    """

    components: Mapping[str, tuple[float, Label]]
    absent: Mapping[str, str] = {}
    flags: tuple[str, ...] = ()
    context: Mapping[str, Any] = {}
    raw: Mapping[str, Any] = {}

    def measured_j(self) -> float | None:
        """The sum of what counters read; ``None`` without any."""
        read = [joules for joules, label in self.components.values() if label == "measured"]
        return sum(read) if read else None


class Meter(Protocol):
    """Reads the energy of a window.

    Attributes:
        name: Which meter it is; goes into every row.
        has_counter: Whether at least one component comes from a hardware counter.
        min_window_s: Seconds below which its reading of a window is noise.
    """

    name: str
    has_counter: bool
    min_window_s: float

    def start(self) -> None:
        """Begins a window."""

    def stop(self) -> Reading:
        """Ends the window begun last."""


class CounterMeter(Meter, Protocol):
    """A meter on hardware counters.

    Attributes:
        covers: Components it can read here.
        absent: Why it cannot read the others of its kind.
    """

    covers: frozenset[str]
    absent: Mapping[str, str]


class NullMeter:
    """Reads nothing: time is measured, energy stays missing."""

    name = "none"
    has_counter = False
    min_window_s = 0.0

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> Reading:
        """No component."""
        return Reading({})


_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "gpu_temperature_c": max,
    "gpu_clock_mhz": statistics.median,
    "gpu_power_limit_w": min,
}


def combined_flags(readings: Iterable[Reading]) -> tuple[str, ...]:
    """Every flag any window carries, sorted."""
    return tuple(sorted({flag for reading in readings for flag in reading.flags}))


def combined_context(
    readings: Sequence[Reading], items: Sequence[int], n_items: int
) -> dict[str, Any]:
    """The windows' contexts as one record for the row.

    Args:
        readings: One per window.
        items: Texts answered in each window.
        n_items: Texts the row stands for.

    Returns:
        The highest ``gpu_temperature_c``, the median ``gpu_clock_mhz``, the lowest
        ``gpu_power_limit_w``, all ``gpu_throttle`` reasons, the ``integrated_over_counter``
        ratio farthest from 1; ``codecarbon_j``, joules by component as the median per text
        times `n_items`, like the row's own; ``absent``, one reason by component. A key without
        a value in any window is left out.
    """
    seen = [reading.context for reading in readings]
    found: dict[str, Any] = {}
    for key, choose in _AGGREGATES.items():
        values = [context[key] for context in seen if key in context]
        if values:
            found[key] = choose(values)
    throttle = {reason for context in seen for reason in context.get("gpu_throttle", ())}
    if throttle:
        found["gpu_throttle"] = sorted(throttle)
    ratios = [context.get("integrated_over_counter", 1.0) for context in seen]
    worst: float = max(ratios, key=lambda ratio: abs(ratio - 1), default=1.0)
    if any("integrated_over_counter" in context for context in seen):
        found["integrated_over_counter"] = worst
    opinion = _codecarbon_medians(seen, items, n_items)
    if opinion:
        found["codecarbon_j"] = opinion
    absent = {part: why[:120] for reading in readings for part, why in reading.absent.items()}
    return found | ({"absent": absent} if absent else {})


def _codecarbon_medians(
    seen: Sequence[Mapping[str, Any]], items: Sequence[int], n_items: int
) -> dict[str, float]:
    """CodeCarbon's joules by component, over the windows that have them."""
    per_text: dict[str, list[float]] = {}
    for context, n in zip(seen, items, strict=True):
        for part, joules in context.get("codecarbon_j", {}).items():
            per_text.setdefault(part, []).append(joules / n)
    return {
        part: float(f"{statistics.median(values) * n_items:.4g}")
        for part, values in sorted(per_text.items())
    }
