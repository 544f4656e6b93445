"""Which rows to measure next: those that leave least doubt about others, by the process alone.

Greedy: always the row that takes most variance from what is asked. Nothing needs to be measured
for that; the estimator's process says how rows of one machine err together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from advisor.estimator.table import Array, Mask

_DECIMALS = 9
"""Gains are rounded, so that the last bits of a sum do not choose between rows that are alike."""


def picked(
    covariance: Array,
    own: Array,
    asked: Mask,
    probeable: Mask,
    names: Sequence[str],
    k: int,
) -> Iterator[tuple[int, Array]]:
    """At most k rows, the most telling first.

    Args:
        covariance: Of the log joules of n rows of one machine, n x n, `own` left out.
        own: Variance that no other row explains, n; see `advisor.estimator.model.noise`.
        asked: Rows about which doubt is to shrink.
        probeable: Rows that can be measured.
        names: Model of each row; no two rows of one model are picked.
        k: Rows at most.

    Yields:
        Position of the row, and the variances (n) that are left with it and those before.
    """
    models, left = np.asarray(names, dtype=str), np.array(probeable, dtype=bool)
    for _ in range(k):
        places = np.flatnonzero(left)
        if not len(places):
            return
        total = np.diag(covariance)[places] + own[places]
        gain = (covariance[asked][:, places] ** 2).sum(axis=0) / total
        best = int(places[np.argmax(gain.round(_DECIMALS))])
        column = covariance[:, best].copy()
        covariance = covariance - np.outer(column, column) / (column[best] + own[best])
        left &= models != models[best]
        yield best, np.diag(covariance)
