"""What a meter costs: one piece of work bare and metered in turn, in one process."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

from calibration.reading import Meter

Work = Callable[[], object]
Clock = Callable[[], float]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """How much slower the metered work was.

    Attributes:
        pairs: Pairs of one bare and one metered run.
        bare_s: Median seconds of the bare work.
        slowdown: Median over pairs of metered over bare seconds, less 1: what the meter adds to
            the runtime of a window. `low` and `high` are its 95 % interval, from order
            statistics.
        around_s: Median seconds that beginning and ending a window take, outside of it.
    """

    pairs: int
    bare_s: float
    slowdown: float
    low: float
    high: float
    around_s: float


def null_work(seconds: float) -> Work:
    """A bare loop of about `seconds` that does the same sums at every call."""

    def loop(rounds: int) -> int:
        total = 0
        for number in range(rounds):
            total += number & 7
        return total

    trial = 200_000
    loop(trial)
    begin = time.perf_counter()
    loop(trial)
    rounds = max(1, round(trial * seconds / (time.perf_counter() - begin)))
    return lambda: loop(rounds)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a median without any assumption on the spread.

    Order statistics: the count of values below the true median is binomial(n, 1/2). With fewer
    than six values it is all of them, which covers less.
    """
    ordered, n = sorted(values), len(values)
    outside = 0.0
    for rank in range(n // 2):
        outside += math.comb(n, rank) / 2**n
        if outside > 0.025:
            return ordered[max(0, rank - 1)], ordered[min(n - 1, n - rank)]
    return ordered[0], ordered[-1]


def cost(meter: Meter, work: Work, pairs: int = 30, clock: Clock = time.perf_counter) -> Cost:
    """Runs `work` bare and metered in turn, the order swapped at every pair.

    Args:
        meter: The meter; a window is begun and ended around each metered run.
        work: Always the same work.
        pairs: Pairs to run, at least 1; 30 give an interval.
        clock: Seconds, monotonic.

    Returns:
        The slowdown inside the window, and what a window takes around it.
    """
    work()
    bare, ratios, around = [], [], []
    for number in range(pairs):
        alone = _timed(work, clock) if number % 2 else None
        begin = clock()
        meter.start()
        inside = _timed(work, clock)
        meter.stop()
        around.append(clock() - begin - inside)
        if alone is None:
            alone = _timed(work, clock)
        bare.append(alone)
        ratios.append(inside / alone - 1)
    low, high = median_interval(ratios)
    return Cost(
        pairs=pairs,
        bare_s=statistics.median(bare),
        slowdown=statistics.median(ratios),
        low=low,
        high=high,
        around_s=statistics.median(around),
    )


def _timed(work: Work, clock: Clock) -> float:
    """Seconds of one run."""
    begin = clock()
    work()
    return clock() - begin
