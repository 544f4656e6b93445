"""Ridge regression with random intercepts: slopes are learned within units, not between them.

A unit is one device in one scope as one source measured it. Its intercept soaks up what data
sheets do not say (host, cooling, software), so that it cannot bend the slopes; without the
intercepts the error on unseen devices nearly doubles.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from advisor.features import Array

HUBER = 1.345
"""Residuals beyond this many robust standard deviations count linearly (Huber 1964)."""
UNIT_WEIGHT_POWER = 0.7
"""A unit of n rows weighs n^0.3: large grids do not drown single devices."""
_ROUNDS = 8


class Ridge(msgspec.Struct, frozen=True):
    """A fitted model: y = intercept + (x clipped to what was seen - mean) / scale . slopes.

    Attributes:
        offsets: For each grouping (by position) the intercept of every group seen.
        low: Least value of each feature in training; `high` the largest.
    """

    intercept: float
    mean: list[float]
    scale: list[float]
    slopes: list[float]
    low: list[float]
    high: list[float]
    offsets: list[dict[str, float]]

    def predict(self, X: Array) -> Array:
        """Predictions for rows of X (n x features), without any group's offset."""
        clipped = np.clip(X, self.low, self.high)
        slopes = np.asarray(self.slopes) / np.asarray(self.scale)
        return np.asarray((clipped - np.asarray(self.mean)) @ slopes + self.intercept)

    def outside(self, X: Array, slack: float = 0.1) -> Array:
        """For each row and feature whether it lies outside the range seen in training."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        margin = slack * (high - low) + 1e-9
        return np.asarray((low - margin > X) | (high + margin < X))


def offsets(model: Ridge, groupings: Sequence[Sequence[str]]) -> Array:
    """The learned intercepts of rows; a group that was never seen adds nothing."""
    columns = [
        [learned.get(name, 0.0) for name in names]
        for learned, names in zip(model.offsets, groupings, strict=True)
    ]
    return np.asarray(np.sum(columns, axis=0))


def _indicators(groups: Sequence[str]) -> tuple[Array, list[str]]:
    """One-hot columns of a grouping and the names of its groups."""
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return np.eye(len(names))[codes], [str(name) for name in names]


def unit_weights(units: Sequence[str]) -> Array:
    """Row weights that let a unit of n rows count n^(1 - `UNIT_WEIGHT_POWER`), mean 1."""
    _, codes, counts = np.unique(
        np.asarray(units, dtype=str), return_inverse=True, return_counts=True
    )
    weights = counts[codes].astype(float) ** -UNIT_WEIGHT_POWER
    return np.asarray(weights / weights.mean())


def fit(
    X: Array,
    y: Array,
    groupings: Sequence[Sequence[str]],
    penalty: float,
    group_penalty: float = 1.0,
    *,
    rising: Sequence[int] = (),
    unused: Sequence[int] = (),
) -> Ridge:
    """Fits slopes and intercepts by penalised, Huber-weighted least squares.

    Args:
        X: Features, n x p.
        y: Target, n.
        groupings: Group of each row, for the first grouping (units, which weigh the rows) and
            any further ones.
        penalty: Ridge penalty on standardised slopes.
        group_penalty: Ridge penalty on the groups' intercepts.
        rising: Columns whose slope must not be below 0; where the data say so it is 0.
        unused: Columns whose slope is 0.
    """
    model = _fit(X, y, groupings, penalty, group_penalty, unused)
    falling = [column for column in rising if model.slopes[column] < 0]
    if falling:
        model = _fit(X, y, groupings, penalty, group_penalty, [*unused, *falling])
    return model


def _fit(
    X: Array,
    y: Array,
    groupings: Sequence[Sequence[str]],
    penalty: float,
    group_penalty: float,
    unused: Sequence[int],
) -> Ridge:
    """One fit without `unused` columns, whose slopes are 0."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    used = np.ones(X.shape[1])
    used[list(unused)] = 0
    blocks = [_indicators(grouping) for grouping in groupings]
    design = np.hstack(
        [np.ones((len(X), 1)), (X - mean) / scale * used, *(block for block, _ in blocks)]
    )
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
    return _packed(solution, mean, scale, X, [names for _, names in blocks])


def _packed(solution: Array, mean: Array, scale: Array, X: Array, names: list[list[str]]) -> Ridge:
    """A solution vector as a `Ridge`."""
    features = X.shape[1]
    slopes, rest = solution[1 : features + 1], solution[features + 1 :]
    offsets, start = [], 0
    for group in names:
        values = rest[start : start + len(group)]
        offsets.append({name: float(v) for name, v in zip(group, values, strict=True)})
        start += len(group)
    return Ridge(
        intercept=float(solution[0]),
        mean=mean.tolist(),
        scale=scale.tolist(),
        slopes=slopes.tolist(),
        low=X.min(axis=0).tolist(),
        high=X.max(axis=0).tolist(),
        offsets=offsets,
    )
