"""Measurement protocol of one setup: warm-up, repeated windows, summary statistics.

Timing and statistics only; the classifier and the meter are arguments. Predictions are on the host
when a call returns, so that a GPU is synchronised at both ends of every window.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from calibration.meters.meter import Meter, Reading, combined_context, combined_flags
from calibration.records import Profile
from catalog.records import Label

UNSTABLE_CV = 0.05
"""Coefficient of variation above which a setup is unstable."""
_BLOCK_S = 0.02
"""Seconds over which calls are averaged during warm-up, since a single call of 100 microseconds is
mostly scheduling noise."""
_BLOCKS = 5
_ORDER_SEED = 20250814

Clock = Callable[[], float]
Predict = Callable[[Sequence[str]], Any]


class Window(msgspec.Struct, frozen=True):
    """One window: texts classified, its seconds, the seconds of each call, the meter's reading."""

    n_items: int
    runtime_s: float
    calls_s: Sequence[float]
    reading: Reading


class WindowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of the repeated windows of one setup.

    Attributes:
        n_items: Texts of the window with the median time per text.
        runtime_s: Seconds of that window.
        latency_p50_ms: Median seconds per call over all windows, times 1,000.
        latency_p95_ms: 95th percentile, likewise.
        repeats: Number of windows.
        cv: Coefficient of variation over the windows, the larger of those of time and of
            measured joules per text.
        unstable: Whether `cv` exceeds `UNSTABLE_CV`.
        components: Joules and label by component: median joules per text times `n_items`.
        flags: Union of the windows' flags.
        context: Merged context of the windows.
    """

    n_items: int
    runtime_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    repeats: int
    cv: float
    unstable: bool
    components: dict[str, tuple[float, Label]]
    flags: tuple[str, ...] = ()
    context: dict[str, Any] = {}


def batches(texts: Sequence[str], size: int, by_length: bool = False) -> list[list[str]]:
    """The texts in batches of `size`, in one fixed order for all candidates.

    In a file sorted by class or length, the first seconds of a slow candidate would not represent
    the whole. So texts are shuffled; with `by_length` texts of similar length share a batch and
    the batches follow each other in the order of `spread_out`.
    """
    order = list(texts)
    random.Random(_ORDER_SEED).shuffle(order)  # noqa: S311
    if by_length:
        order.sort(key=len)
    calls = [order[start : start + size] for start in range(0, len(order), size)]
    return [calls[place] for place in spread_out(len(calls))] if by_length else calls


def spread_out(n: int) -> list[int]:
    """The numbers below `n` such that those of any beginning are spread evenly over the range.

    Their binary digits, reversed, ascend (van der Corput's sequence): a window that holds some of
    the batches holds short and long texts as all of them do.
    """
    width = max(1, (n - 1).bit_length())
    reversed_ = (int(f"{number:0{width}b}"[::-1], 2) for number in range(1 << width))
    return [number for number in reversed_ if number < n]


def warm_up(
    predict: Predict, batch: Sequence[str], profile: Profile, clock: Clock = time.perf_counter
) -> float:
    """Repeats one call until its latency is steady (CV < `UNSTABLE_CV`) or `warmup_s` is over.

    Returns:
        Seconds spent.
    """
    start = clock()
    blocks: list[float] = []
    while clock() - start < profile.warmup_s:
        block_start, calls = clock(), 0
        while True:
            predict(batch)
            calls += 1
            spent = clock() - block_start
            if spent >= _BLOCK_S:
                break
        blocks = [*blocks, spent / calls][-_BLOCKS:]
        if len(blocks) == _BLOCKS and coefficient_of_variation(blocks) < UNSTABLE_CV:
            break
    return clock() - start


def run_window(
    predict: Predict,
    calls: Sequence[Sequence[str]],
    window_s: float,
    meter: Meter,
    clock: Clock = time.perf_counter,
) -> Window:
    """Loops over `calls` until at least `window_s` seconds have passed; measures that window."""
    seconds = array("d")
    items = 0
    meter.start()
    begin = now = clock()
    try:
        for call in itertools.cycle(calls):
            before = now
            predict(call)
            now = clock()
            seconds.append(now - before)
            items += len(call)
            if now - begin >= window_s:
                break
    finally:
        reading = meter.stop()
    return Window(items, now - begin, seconds, reading)


def coefficient_of_variation(values: Sequence[float]) -> float:
    """Coefficient of variation: sample standard deviation over mean; 0 for one value."""
    if len(values) < 2:
        return 0.0
    return statistics.stdev(values) / statistics.fmean(values)


def _median_components(windows: Sequence[Window], n_items: int) -> dict[str, tuple[float, Label]]:
    """Median joules per text times `n_items`, for components every window has."""
    found: dict[str, tuple[float, Label]] = {}
    shared = set.intersection(*(set(window.reading.components) for window in windows))
    for name in sorted(shared):
        parts = [(w.reading.components[name], w.n_items) for w in windows]
        labels = {label for (_, label), _ in parts}
        joules = statistics.median(value / n for (value, _), n in parts) * n_items
        found[name] = (joules, labels.pop() if len(labels) == 1 else "mixed")
    return found


def energy_cv(windows: Sequence[Window]) -> float:
    """Coefficient of variation of measured joules per text; 0 if a window has none."""
    per_text = [w.reading.measured_j() for w in windows]
    if any(joules is None for joules in per_text):
        return 0.0
    return coefficient_of_variation(
        [(j or 0.0) / w.n_items for j, w in zip(per_text, windows, strict=True)]
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of sorted values."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarise(windows: Sequence[Window]) -> WindowSummary:
    """Summarises the windows of one setup, at least one."""
    per_text = [window.runtime_s / window.n_items for window in windows]
    middle = windows[per_text.index(statistics.median_low(per_text))]
    calls = sorted(itertools.chain.from_iterable(window.calls_s for window in windows))
    cv = max(coefficient_of_variation(per_text), energy_cv(windows))
    readings = [window.reading for window in windows]
    return WindowSummary(
        n_items=middle.n_items,
        runtime_s=middle.runtime_s,
        latency_p50_ms=1000 * _percentile(calls, 0.50),
        latency_p95_ms=1000 * _percentile(calls, 0.95),
        repeats=len(windows),
        cv=cv,
        unstable=cv > UNSTABLE_CV,
        components=_median_components(windows, middle.n_items),
        flags=combined_flags(readings),
        context=combined_context(readings, [w.n_items for w in windows], middle.n_items),
    )


def measure(
    predict: Predict,
    texts: Sequence[str],
    batch_size: int,
    profile: Profile,
    meter: Meter,
    clock: Clock = time.perf_counter,
    by_length: bool = False,
) -> WindowSummary:
    """Warms up, then measures `profile.repeats` windows of calls of `batch_size` texts.

    A window is never shorter than the meter's `min_window_s`.
    """
    calls = batches(texts, batch_size, by_length)
    window_s = max(profile.window_s, meter.min_window_s)
    warm_up(predict, calls[0], profile, clock)
    windows = [run_window(predict, calls, window_s, meter, clock) for _ in range(profile.repeats)]
    return summarise(windows)


def idle_watts(
    meter: Meter, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> float | None:
    """Watts of the measured components while this process sleeps for `seconds`.

    ``None`` without counters, or if one of them failed: the sum would be too low.
    """
    if not meter.has_counter:
        return None
    meter.start()
    begin = time.perf_counter()
    sleep(seconds)
    spent = time.perf_counter() - begin
    reading = meter.stop()
    joules = reading.measured_j()
    return joules / spent if joules and "counter-failed" not in reading.flags else None
