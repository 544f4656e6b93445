"""Meter protocol and readings: energy of one measurement window by component, in joules.

A component that could not be read is absent, with the reason; it is never 0 or negative. Flags
qualify the window (``suspect``, ``throttled``, ``mig``, ``shared-gpu``), the context holds
conditions such as temperature, and `Reading.raw` the raw counter values.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from catalog.records import Label


class CounterError(ValueError):
    """A window's counter values give no valid energy; the message says why."""


class Reading(msgspec.Struct, frozen=True):
    """A meter's result for one window.

    Attributes:
        components: Joules and label by component (``gpu``, ``cpu``, ``dram`` ...); empty if
            none was read.
        absent: Reason by component that is missing although it has or could have a counter.
        flags: Qualifiers of the window; they become flags of the row.
        context: Conditions for the row's fingerprint; see `combined_context`.
        raw: Raw counter values and power samples, for recordings.
    """

    components: Mapping[str, tuple[float, Label]]
    absent: Mapping[str, str] = {}
    flags: tuple[str, ...] = ()
    context: Mapping[str, Any] = {}
    raw: Mapping[str, Any] = {}

    def measured_j(self) -> float | None:
        """Sum of the ``measured`` joules; ``None`` if there are none.

        ``board`` holds the chips and ``wall`` all of them: of what holds one another only the
        innermost is added up.
        """
        measured = {part: j for part, (j, label) in self.components.items() if label == "measured"}
        for outer in ("wall", "board"):
            if len(measured) > 1:
                measured.pop(outer, None)
        return sum(measured.values()) if measured else None


class Meter(Protocol):
    """Measures the energy of windows, one at a time.

    Attributes:
        name: Identifies the meter in every row.
        has_counter: Whether at least one component comes from a hardware counter.
        min_window_s: Shortest window in seconds; below it a reading is mostly noise.
    """

    name: str
    has_counter: bool
    min_window_s: float

    def start(self) -> None:
        """Begins a window."""

    def stop(self) -> Reading:
        """Ends the window and returns its energy."""


class CounterMeter(Meter, Protocol):
    """A meter on hardware counters.

    Attributes:
        covers: Components it can read on this machine.
        absent: Reason by component of its kind that it cannot read.
    """

    covers: frozenset[str]
    absent: Mapping[str, str]


class StreamMeter(CounterMeter, Protocol):
    """A counter meter that is told values at the counter's own times.

    Its window is not what lies between `start` and `stop`, which both wait for values, but what
    lies between two calls of `mark`.
    """

    def mark(self) -> None:
        """Notes the begin of a window, at the next call its end."""


class NullMeter:
    """Meter without energy, for machines where only time can be measured."""

    name = "none"
    has_counter = False
    min_window_s = 0.0

    def start(self) -> None:
        """Does nothing."""

    def stop(self) -> Reading:
        """An empty reading."""
        return Reading({})


_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "gpu_temperature_c": max,
    "gpu_clock_mhz": statistics.median,
    "gpu_power_limit_w": min,
}


def combined_flags(readings: Iterable[Reading]) -> tuple[str, ...]:
    """Union of the windows' flags, sorted."""
    return tuple(sorted({flag for reading in readings for flag in reading.flags}))


def combined_context(
    readings: Sequence[Reading], items: Sequence[int], n_items: int
) -> dict[str, Any]:
    """Merged context of a row's windows.

    Args:
        readings: One per window.
        items: Texts classified in each window.
        n_items: Texts of the row, to which joules are scaled.

    Returns:
        The highest ``gpu_temperature_c``, the median ``gpu_clock_mhz``, the lowest
        ``gpu_power_limit_w``, all ``gpu_throttle`` reasons, the ``integrated_over_counter``
        ratio farthest from 1; ``codecarbon_j``, joules by component as the median per text
        times `n_items`, like the row's own; ``absent``, one reason by component. A key without
        a value in any window is left out.
    """
    contexts = [reading.context for reading in readings]
    merged: dict[str, Any] = {}
    for key, aggregate in _AGGREGATES.items():
        values = [context[key] for context in contexts if key in context]
        if values:
            merged[key] = aggregate(values)
    throttle = {reason for context in contexts for reason in context.get("gpu_throttle", ())}
    if throttle:
        merged["gpu_throttle"] = sorted(throttle)
    ratios = [context.get("integrated_over_counter", 1.0) for context in contexts]
    worst: float = max(ratios, key=lambda ratio: abs(ratio - 1), default=1.0)
    if any("integrated_over_counter" in context for context in contexts):
        merged["integrated_over_counter"] = worst
    codecarbon_j = _codecarbon_medians(contexts, items, n_items)
    if codecarbon_j:
        merged["codecarbon_j"] = codecarbon_j
    absent = {part: why[:120] for reading in readings for part, why in reading.absent.items()}
    return merged | ({"absent": absent} if absent else {})


def _codecarbon_medians(
    contexts: Sequence[Mapping[str, Any]], items: Sequence[int], n_items: int
) -> dict[str, float]:
    """Median CodeCarbon joules by component, scaled to `n_items`, rounded to 4 digits."""
    per_text: dict[str, list[float]] = {}
    for context, n in zip(contexts, items, strict=True):
        for part, joules in context.get("codecarbon_j", {}).items():
            per_text.setdefault(part, []).append(joules / n)
    return {
        part: float(f"{statistics.median(values) * n_items:.4g}")
        for part, values in sorted(per_text.items())
    }
