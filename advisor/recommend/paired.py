"""Two candidates compared item by item on the same test set.

What both get right or wrong says nothing about which is better, so the comparison rests on the
items they differ in. That is far sharper than looking whether two intervals overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.recommend.option import rank
from advisor.recommend.records import Comparison, Option
from advisor.recommend.warnings import figure
from catalog.intervals import wilson
from catalog.predictions import Predictions
from catalog.snapshot import Snapshot

CONFIDENCE = 0.95
"""Of the interval of a difference; a difference is detectable where it leaves 0 out."""


class Table(NamedTuple):
    """A paired 2 x 2 table: items both, only the first, only the second, neither got right."""

    both: int
    first: int
    second: int
    neither: int

    @property
    def n(self) -> int:
        """Items."""
        return sum(self)

    @property
    def difference(self) -> float:
        """Accuracy of the first less that of the second."""
        return (self.first - self.second) / self.n


def tabulate(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Table:
    """Counts of items by which of two candidates were right, both of shape ``(n,)``."""
    return Table(
        int((first & second).sum()),
        int((first & ~second).sum()),
        int((~first & second).sum()),
        int((~first & ~second).sum()),
    )


def mcnemar(table: Table) -> float:
    """Two-sided p of the exact McNemar test: of the items that differ half go either way."""
    n, least = table.first + table.second, min(table.first, table.second)
    if n == 0:
        return 1.0
    # In logs: 2^-n is below the smallest float from 1,075 items on.
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(least + 1)
    ]
    return min(1.0, 2 * math.fsum(math.exp(value) for value in logs))


def newcombe(table: Table, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of the difference of two paired shares.

    R. G. Newcombe, *Improved confidence intervals for the difference between binomial proportions
    based on paired data*, Statistics in Medicine 17 (1998) 2635-2650, method 10: Wilson's intervals
    of the two shares, combined by their correlation.
    """
    n = table.n
    one, two = (table.both + table.first) / n, (table.both + table.second) / n
    low1, high1 = wilson(one, n, confidence)
    low2, high2 = wilson(two, n, confidence)
    phi = _correlation(table)

    def span(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    difference = table.difference
    return (
        difference - span(one - low1, high2 - two),
        difference + span(high1 - one, two - low2),
    )


def _correlation(table: Table) -> float:
    """Phi of the table, with Newcombe's continuity correction where it is positive."""
    both, first, second, neither = table
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    if product == 0:
        return 0.0
    excess: float = both * neither - first * second
    if excess > 0:
        excess = max(excess - table.n / 2, 0.0)
    return excess / math.sqrt(product)


def predictions_of(snapshot: Snapshot, option: Option) -> Predictions | None:
    """The newest answers behind an option's accuracy; ``None`` where they were not kept.

    Answers whose share of right ones is not the option's accuracy belong to another training.
    """
    accuracy = option.accuracy
    if accuracy is None:
        return None
    for each in snapshot.predicted.get((option.workload, option.candidate), ()):
        answers = each.answers()
        n = len(answers.truth)
        same_model = option.precision in (None, each.precision)
        same_items = accuracy.n_test in (None, n) and accuracy.split in (None, each.split)
        if same_model and same_items and abs(answers.accuracy - accuracy.value) < 0.5 / n + 1e-5:
            return each
    return None


def comparisons(
    snapshot: Snapshot, chosen: Option | None, others: Iterable[Option]
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """The chosen option against the cheapest option of each other candidate.

    Args:
        snapshot: For the predictions.
        chosen: The answer.
        others: Options of its group.

    Returns:
        One comparison for each candidate whose answers to the same items are known, the most
        accurate first; and the names of those whose answers are to other items.
    """
    own = predictions_of(snapshot, chosen) if chosen is not None else None
    if chosen is None or own is None:
        return (), ()
    found, unlike = [], []
    known = {option: theirs for option in others if (theirs := predictions_of(snapshot, option))}
    for option in _cheapest(known, chosen.candidate):
        theirs = known[option]
        if (theirs.test_sha256, theirs.split) != (own.test_sha256, own.split):
            unlike.append(option.candidate)
            continue
        found.append(_compared(chosen, option, own, theirs))
    found.sort(key=lambda each: (-each.difference, each.candidate))
    return tuple(found), tuple(unlike)


def _cheapest(options: Iterable[Option], but: str) -> list[Option]:
    """The least-energy option of each candidate but one."""
    least: dict[str, Option] = {}
    for option in options:
        if option.candidate != but:
            least[option.candidate] = min(least.get(option.candidate, option), option, key=rank)
    return list(least.values())


def _compared(chosen: Option, other: Option, own: Predictions, theirs: Predictions) -> Comparison:
    """One comparison, the other candidate less the chosen one."""
    table = tabulate(theirs.answers().right, own.answers().right)
    low, high = newcombe(table)
    mine, dearer = (option.energy_j_per_1000.value for option in (chosen, other))
    share = mine / dearer if mine is not None and dearer else None
    measured = all(o.energy_j_per_1000.basis == "measured" for o in (chosen, other))
    return Comparison(
        candidate=other.candidate,
        device=other.device,
        precision=other.precision,
        batch_size=other.batch_size,
        n_test=table.n,
        difference=table.difference,
        low=low,
        high=high,
        detectable=not low <= 0 <= high,
        only_other_right=table.first,
        only_chosen_right=table.second,
        p_value=mcnemar(table),
        energy_share=share,
        energy_measured=measured,
        message=_sentence(table, (low, high), share, measured),
    )


def _sentence(
    table: Table, interval: tuple[float, float], share: float | None, measured: bool
) -> str:
    """A comparison in words, from the chosen option's side."""
    low, high = (100 * end for end in interval)
    found = f"({low:+.1f} to {high:+.1f} points on {table.n:,} texts)"
    said = f"no detectable difference in accuracy {found}"
    if not low <= 0 <= high:
        word = "more" if table.difference > 0 else "less"
        said = f"{word} accurate by {abs(100 * table.difference):.1f} points {found}"
    if share is None:
        return said
    estimate = "" if measured else ", by estimate"
    return f"{said}; the chosen option takes {figure(share)} times its energy{estimate}"
