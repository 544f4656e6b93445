"""The constraints of a question, other than the floor: by how much each offer of a pool misses.

A gap is 0 where a constraint is met, the relative excess where it is not, and infinite where no
number measures it: an unknown value never passes a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from advisor.estimator.table import Array
from advisor.recommend.group import Pool
from advisor.recommend.messages import figure
from advisor.recommend.options import Verdict
from advisor.recommend.records import Missing, Reason
from catalog.intervals import lower_bounds

FLOOR = "\x00"
"""Stands for the floor until the question fills it in."""
_FAR = 1e6
"""Gap of a constraint that no number measures but that another candidate meets."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a question asks for beside accuracy; ``None`` asks for nothing."""

    confidence: float | None = None
    max_latency_ms: float | None = None
    max_memory_gb: float | None = None
    licence: str | None = None


class Constraint(msgspec.Struct, frozen=True):
    """One constraint over a pool.

    Attributes:
        gaps: One number for each offer, 0 where it is met.
        verdict: Says why the offer at a place misses it.
    """

    gaps: Array
    verdict: Callable[[int], Verdict]


def constraints(pool: Pool, limits: Limits) -> Iterator[Constraint]:
    """Those that bind in a pool, in the order in which their reasons are told."""
    if pool.floors.any():
        yield _recommendable(pool)
    yield _fits(pool)
    yield _known_accuracy(pool)
    if pool.too_slow.any():
        yield _keeps_up(pool)
    if limits.confidence is not None:
        yield _interval(pool, limits.confidence)
    if limits.max_latency_ms is not None:
        reasons: tuple[Reason, Reason] = ("latency-unknown", "latency-too-high")
        yield _at_most(pool.latency_ms, limits.max_latency_ms, "max_latency_ms", "ms", reasons)
    if limits.max_memory_gb is not None:
        reasons = ("memory-unknown", "memory-too-high")
        yield _at_most(pool.memory_gb, limits.max_memory_gb, "max_memory_gb", "GB", reasons)
    if limits.licence is not None:
        yield _licence(pool, limits.licence)


def floored(pool: Pool, limits: Limits) -> Array:
    """What the accuracy floor holds for: the accuracies, or their lower confidence bounds."""
    if limits.confidence is None:
        return pool.accuracy
    bounds = lower_bounds(pool.accuracy, pool.n_test, pool.accuracy_sd, limits.confidence)
    return np.fmin(bounds, pool.self_reported_low)


def _recommendable(pool: Pool) -> Constraint:
    """The majority class is what a classifier must beat, and no classifier."""
    missing = Missing(constraint="candidate", asked="reads the text", has=None)
    detail = "answers every text with the most frequent class: shown for comparison only"
    return Constraint(pool.floors, lambda _: Verdict("majority-class", detail, missing))


def _fits(pool: Pool) -> Constraint:
    """Whether the device of an offer could run it."""
    return Constraint(pool.misfits, pool.unfit.__getitem__)


def _known_accuracy(pool: Pool) -> Constraint:
    """An accuracy that nobody knows reaches no floor."""
    missing = Missing(constraint="min_acc", asked=FLOOR, has=None)
    detail = "no accuracy known on this workload"
    return Constraint(
        pool.unknown,
        lambda _: Verdict("accuracy-unknown", detail, missing),
    )


def _keeps_up(pool: Pool) -> Constraint:
    """A machine that needs longer for a text than until the next one comes never gets there."""

    def verdict(place: int) -> Verdict:
        served = pool.offers[place].served
        asked, seconds = pool.asked.rate_per_s, served.seconds.value if served else None
        most = 1 / seconds if seconds else None
        missing = Missing(constraint="rate", asked=asked or 0.0, has=most)
        detail = f"keeps up with {figure(most or 0.0)} texts per second, not {figure(asked or 0.0)}"
        return Verdict("cannot-keep-up", detail, missing)

    return Constraint(pool.too_slow, verdict)


def _interval(pool: Pool, confidence: float) -> Constraint:
    """A confidence bound needs the size of the test."""
    missing = Missing(constraint="confidence", asked=confidence, has=None)
    detail = "the source states no test size, so there is no confidence bound"
    return Constraint(
        pool.untested,
        lambda _: Verdict("accuracy-interval-absent", detail, missing),
    )


def _at_most(
    values: Array, most: float, name: str, unit: str, reasons: tuple[Reason, Reason]
) -> Constraint:
    """An upper limit."""

    def verdict(place: int) -> Verdict:
        value = float(values[place])
        if math.isnan(value):
            missing = Missing(constraint=name, asked=most, has=None)
            return Verdict(reasons[0], f"{name.removeprefix('max_')} is not known", missing)
        missing = Missing(constraint=name, asked=most, has=value)
        return Verdict(reasons[1], f"{figure(value)} {unit} > {figure(most)} {unit}", missing)

    excess = np.maximum(values / most - 1, 0.0)
    return Constraint(np.where(np.isnan(values), np.inf, excess), verdict)


def _licence(pool: Pool, licence: str) -> Constraint:
    """The candidate's licence, in any spelling of case."""
    wanted = licence.casefold()
    owned = [pool.licence(code) for code in range(len(pool.candidates))]
    far = [0.0 if has is not None and has.casefold() == wanted else _FAR for has in owned]

    def verdict(place: int) -> Verdict:
        has = owned[pool.candidate[place]]
        missing = Missing(constraint="licence", asked=licence, has=has)
        return Verdict("licence-differs", f"licence {has or 'unknown'}", missing)

    return Constraint(np.array([far[code] for code in pool.candidate], dtype=float), verdict)
