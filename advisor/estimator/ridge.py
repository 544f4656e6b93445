"""Ridge regression with random intercepts: slopes are learned within units, not between them.

A unit is one device in one scope as one source measured it. Its intercept soaks up what data
sheets do not say (host, cooling, software), so that it cannot bend the slopes, and is then
thrown away: `advisor.estimator.machine_effects` models what a machine does beside the rule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from advisor.estimator.features import Array

HUBER = 1.345
"""Residuals beyond this many robust standard deviations count linearly (Huber 1964)."""
UNIT_WEIGHT_POWER = 0.7
"""A unit of n rows weighs n^0.3: large grids do not drown single devices."""
_ROUNDS = 8


def _indicators(groups: Sequence[str]) -> Array:
    """One-hot columns of a grouping."""
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return np.eye(len(names))[codes]


def unit_weights(units: Sequence[str]) -> Array:
    """Row weights that let a unit of n rows count n^(1 - `UNIT_WEIGHT_POWER`), mean 1."""
    _, codes, counts = np.unique(
        np.asarray(units, dtype=str), return_inverse=True, return_counts=True
    )
    weights = counts[codes].astype(float) ** -UNIT_WEIGHT_POWER
    return np.asarray(weights / weights.mean())


def slopes(
    X: Array,
    y: Array,
    groupings: Sequence[Sequence[str]],
    penalty: float,
    group_penalty: float = 1.0,
    *,
    rising: Sequence[int] = (),
) -> Array:
    """Slopes by penalised, Huber-weighted least squares, in units of y per unit of each column.

    Args:
        X: Features, n x p.
        y: Target, n.
        groupings: Group of each row, for the first grouping (units, which weigh the rows) and
            any further ones.
        penalty: Ridge penalty on standardised slopes.
        group_penalty: Ridge penalty on the groups' intercepts.
        rising: Columns whose slope must not be below 0; where the data say so it is 0.
    """
    found = _fit(X, y, groupings, penalty, group_penalty, ())
    falling = [column for column in rising if found[column] < 0]
    return _fit(X, y, groupings, penalty, group_penalty, falling) if falling else found


def _fit(
    X: Array,
    y: Array,
    groupings: Sequence[Sequence[str]],
    penalty: float,
    group_penalty: float,
    unused: Sequence[int],
) -> Array:
    """One fit without `unused` columns, whose slopes are 0."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    used = np.ones(X.shape[1])
    used[list(unused)] = 0
    blocks = [_indicators(grouping) for grouping in groupings]
    design = np.hstack([np.ones((len(X), 1)), (X - mean) / scale * used, *blocks])
    penalties = np.full(design.shape[1], group_penalty)
    penalties[0], penalties[1 : X.shape[1] + 1] = 1e-9, penalty
    base = unit_weights(groupings[0])
    weights = base
    for _ in range(_ROUNDS):
        weighted = design.T * weights
        solution = np.linalg.solve(weighted @ design + np.diag(penalties), weighted @ y)
        residual = np.abs(y - design @ solution)
        sigma = 1.4826 * np.median(residual) + 1e-6
        weights = base * np.minimum(1, HUBER * sigma / np.maximum(residual, 1e-9))
    return np.asarray(solution[1 : X.shape[1] + 1] * used / scale)
