"""What a meter costs: one piece of work bare and metered in turn, in one process."""

from __future__ import annotations

import hashlib
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

from calibration.meters.meter import Meter

Work = Callable[[], object]
Clock = Callable[[], float]


class Slowdown(msgspec.Struct, frozen=True):
    """Median over pairs of metered over bare time, less 1, and its 95 % interval."""

    median: float
    low: float
    high: float


class MeterOverhead(msgspec.Struct, frozen=True, kw_only=True):
    """How much slower the metered work was.

    Attributes:
        pairs: Pairs of one bare and one metered run.
        bare_s: Median seconds of the bare work.
        wall: Slowdown in wall time: what the meter adds to the runtime of a window.
        cpu: The same in CPU time of all threads of the process, which others on the machine
            disturb less.
        around_s: Median seconds that beginning and ending a window take, outside of it.
    """

    pairs: int
    bare_s: float
    wall: Slowdown
    cpu: Slowdown
    around_s: float


def hashing_loop(seconds: float) -> Work:
    """A bare loop of about `seconds` that hashes the same bytes again and again.

    It keeps Python's lock, as 2,047 bytes are the most that are hashed under it, so a meter's
    threads stand in its way. A loop of sums would not do: its time changes by several percent with
    where in memory its numbers come to lie.
    """
    data = bytes(2000)

    def loop(rounds: int) -> int:
        done = 0
        for done in range(1, rounds + 1):  # noqa: B007
            hashlib.sha256(data)
        return done

    trial = 20_000
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


def measure_overhead(
    meter: Meter,
    work: Work,
    pairs: int = 30,
    clock: Clock = time.perf_counter,
    cpu_clock: Clock = time.process_time,
) -> MeterOverhead:
    """Runs `work` bare and metered in turn, which goes first drawn for every pair.

    A fixed order could keep step with something periodic on the machine.

    Args:
        meter: The meter; a window is begun and ended around each metered run.
        work: Always the same work.
        pairs: Pairs to run, at least 1; 30 give an interval.
        clock: Seconds, monotonic.
        cpu_clock: CPU seconds of the process.

    Returns:
        The slowdown inside the window, and what a window takes around it.
    """

    def timed() -> tuple[float, float]:
        begin, cpu = clock(), cpu_clock()
        work()
        return clock() - begin, cpu_clock() - cpu

    work()
    bare, metered, around = [], [], []
    order = random.Random(0)  # noqa: S311
    for _ in range(pairs):
        bare_first = order.random() < 0.5
        if bare_first:
            bare.append(timed())
        begin = clock()
        meter.start()
        metered.append(timed())
        meter.stop()
        around.append(clock() - begin - metered[-1][0])
        if not bare_first:
            bare.append(timed())
    return MeterOverhead(
        pairs=pairs,
        bare_s=statistics.median(wall for wall, _ in bare),
        wall=_slowdown([m / b - 1 for (m, _), (b, _) in zip(metered, bare, strict=True)]),
        cpu=_slowdown([m / b - 1 for (_, m), (_, b) in zip(metered, bare, strict=True)]),
        around_s=statistics.median(around),
    )


def _slowdown(ratios: Sequence[float]) -> Slowdown:
    """The median of the pairs with its interval."""
    return Slowdown(statistics.median(ratios), *median_interval(ratios))
