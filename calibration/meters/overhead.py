"""Overhead of a meter: the slowdown of the same work with and without it, in one process."""

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
    """Relative slowdown: median over pairs of metered / bare time - 1, with its 95 % interval."""

    median: float
    low: float
    high: float


class MeterOverhead(msgspec.Struct, frozen=True, kw_only=True):
    """Overhead of a meter, inside and outside of its windows.

    Attributes:
        pairs: Number of pairs of one bare and one metered run.
        bare_s: Median seconds of the bare work.
        wall: Slowdown in wall time, which the meter adds to a window's runtime.
        cpu: Slowdown in CPU time of all threads of the process, which is less sensitive to other
            processes on the machine.
        around_s: Median seconds that starting and stopping the meter take, outside the window.
    """

    pairs: int
    bare_s: float
    wall: Slowdown
    cpu: Slowdown
    around_s: float


def hashing_loop(seconds: float) -> Work:
    """A loop of about `seconds` that hashes the same bytes repeatedly.

    It holds Python's global lock (hashlib releases it above 2,047 bytes), so that a meter's threads
    compete with it. A loop of sums would not do: its time varies by several percent with the memory
    addresses of its numbers.
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
    """Distribution-free 95 % interval of the median, from order statistics.

    The number of values below the true median is binomial(n, 1/2). With fewer than six values the
    interval is their whole range, which covers less than 95 %.
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
    """Runs `work` bare and metered in pairs, in random order within each pair.

    A fixed order could coincide with periodic activity on the machine.

    Args:
        meter: The meter under test; each metered run is one window.
        work: Deterministic work of constant duration.
        pairs: Pairs to run, at least 1; six or more for a 95 % interval.
        clock: Seconds, monotonic.
        cpu_clock: CPU seconds of the process.

    Returns:
        The slowdown inside windows and the seconds around them.
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
    """Median of the pairs' ratios with its interval."""
    return Slowdown(statistics.median(ratios), *median_interval(ratios))
