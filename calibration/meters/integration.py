"""Integration of power and of cumulative energy over a window: timed samples in, joules out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from calibration.meters.meter import CounterError

PowerSample = tuple[float, float | None]
"""Time in seconds and power in watts; ``None`` if the read failed."""
MAX_GAP_S = 1.0
"""Default for the longest gap between two samples that may be integrated over, in seconds."""


def integrated_j(samples: Sequence[PowerSample], what: str = "power") -> float:
    """Joules from power samples, integrated by the trapezoidal rule.

    Args:
        samples: Seconds and watts in order of time, the first and last at the window's ends.
        what: Subject of the error's message.

    Raises:
        CounterError: A sample at either end is missing, two samples are more than `MAX_GAP_S`
            apart, or the power is zero.
    """
    known = [(at, watts) for at, watts in samples if watts is not None]
    if len(known) < 2 or known[0][0] > samples[0][0] or known[-1][0] < samples[-1][0]:
        raise CounterError(f"{what} could not be read at both ends of the window")
    if any(after - before > MAX_GAP_S for (before, _), (after, _) in pairwise(known)):
        raise CounterError(f"{what} was read less than once in {MAX_GAP_S:g} s")
    joules = sum((b - a) * (p + q) / 2 for (a, p), (b, q) in pairwise(known))
    if joules <= 0:
        raise CounterError(f"{what} is zero")
    return joules


def cumulative_j(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Joules since the first of several power samples (seconds, watts), at each of them."""
    series, total = [(at, 0.0) for at, _ in samples[:1]], 0.0
    for (before, p), (after, q) in pairwise(samples):
        total += (after - before) * (p + q) / 2
        series.append((after, total))
    return series


def joules_between(
    series: Sequence[tuple[float, float]],
    begin_s: float,
    end_s: float,
    what: str,
    max_gap_s: float = MAX_GAP_S,
) -> float:
    """Joules between two instants of a cumulative series, linear between its samples.

    Args:
        series: Seconds and joules, both cumulative.
        begin_s: Begin of the window, on the clock of the series.
        end_s: Its end.
        what: Subject of the error's message.
        max_gap_s: Longest gap between two samples in the window.

    Raises:
        CounterError: No sample before or after the window, samples too far apart, a value or a
            time went backwards, or the energy did not move.
    """
    first = max((i for i, (at, _) in enumerate(series) if at <= begin_s), default=None)
    last = next((i for i, (at, _) in enumerate(series) if at >= end_s), None)
    if first is None or last is None or last <= first:
        side = "before the window began" if first is None else "after the window ended"
        raise CounterError(f"{what} gave no sample {side}")
    inside = series[first : last + 1]
    for (before, low), (after, high) in pairwise(inside):
        if after <= before:
            raise CounterError(f"{what}: time went backwards or stood still")
        if after - before > max_gap_s:
            raise CounterError(f"{what} was read less than once in {max_gap_s:g} s")
        if high < low:
            raise CounterError(f"{what} went backwards inside the window: it was reset")
    joules = _at(inside[-2:], end_s) - _at(inside[:2], begin_s)
    if joules <= 0:
        raise CounterError(f"{what} did not move")
    return joules


def _at(ends: Sequence[tuple[float, float]], instant_s: float) -> float:
    """Joules at an instant between two samples."""
    (before, low), (after, high) = ends
    return low + (high - low) * (instant_s - before) / (after - before)
