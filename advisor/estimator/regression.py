"""A straight line where it must reach beyond the data, trees where they know better.

What depends on the runtime enters linearly, with slopes learned inside units, so that energy
rises with time and can be extrapolated; boosted trees learn the rest, from what is known before
anything runs. Where the runtime itself is learned, trees are averaged with a smooth surface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from advisor.estimator import ridge, surface, trees
from advisor.estimator.features import FEATURES, RUNTIME_COLUMNS, SCOPE_COLUMNS, Array
from advisor.estimator.setup import source_of_team
from advisor.estimator.surface import NOWHERE, Scales, Surface
from advisor.estimator.trees import DECIMALS, Trees

IDEAL = FEATURES.index("log_ideal_s")
"""The runtime times the share of peak that is reached; collinear with both, so for trees alone."""
STRAIGHT = 0.3
"""Share of straight lines in the average. From 0 over .3, .5 and .7 to 1, errors on the development
rows rise, those on unseen sources of the bundled figures fall; .3 loses little of either."""
PENALTY = 30.0
"""Ridge penalty on standardised slopes."""
TURNS = 4
"""Refits beside the sources; from 3 to 6 errors move by a percentage point, without a trend."""
SMOOTH = 0.5
"""Share of the surface in the average with trees."""
TIME = Scales(
    length=2.5,
    near=0.5,
    common=1.2,
    source=(1.2, 0.3),
    device=(0.4, 0.3),
    unit=(0.1, 0.2),
    noise=0.4,
)
"""Near what marginal likelihood finds on the development rows, rounded."""


class Regression(msgspec.Struct, frozen=True):
    """y = slopes . (columns clipped to what was seen - their centre) + trees + surface.

    Attributes:
        columns: Columns of the linear part; `slopes` and `centre` are theirs.
        low: Least value of each feature in training; `high` the largest.
    """

    columns: list[int]
    slopes: list[float]
    centre: list[float]
    level: float
    low: list[float]
    high: list[float]
    trees: Trees
    surface: Surface

    def linear(self, X: Array) -> Array:
        """The linear part for rows of X (n x features)."""
        columns = self.columns
        clipped = np.clip(X[:, columns], *(np.asarray(v)[columns] for v in (self.low, self.high)))
        return np.asarray(
            (clipped - np.asarray(self.centre)) @ np.asarray(self.slopes) + self.level
        )

    def predict(self, X: Array) -> Array:
        """Predictions for rows of X (n x features)."""
        smooth = self.surface.predict(np.clip(X, self.low, self.high))
        return self.linear(X) + self.trees.predict(X) + smooth

    def outside(self, X: Array, slack: float = 0.1) -> Array:
        """For each row and feature whether it lies outside the range seen in training."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        margin = slack * (high - low) + 1e-9
        return np.asarray((low - margin > X) | (high + margin < X))


def _scaled(forest: Trees, share: float) -> Trees:
    """Trees that add only a share of what they did."""
    return msgspec.structs.replace(forest, value=[share * value for value in forest.value])


def _of_sources(residual: Array, units: Sequence[str], sources: Sequence[str]) -> Array:
    """What the units of a source share, for each row: their mean, weighed against one of doubt."""
    names = np.asarray(units, dtype=str)
    labels = np.asarray([source_of_team(team) for team in sources], dtype=str)
    found = np.zeros(len(residual))
    for source in np.unique(labels):
        own = labels == source
        medians = [np.median(residual[names == unit]) for unit in np.unique(names[own])]
        found[own] = np.sum(medians) / (len(medians) + 1)
    return found


def _backfitted(
    fit: Callable[[Array], Regression], X: Array, y: Array, groupings: Sequence[Sequence[str]]
) -> Regression:
    """A fit beside what sources have in common, found in turns (Hajjem et al. 2014, MERF).

    Else trees learn a source's way of measuring from the specs of the machines it had at hand.
    It is thrown away: `advisor.estimator.machine_effects` learns it anew, with what is known by
    then.
    """
    units, _, sources = groupings
    fitted = fit(y)
    for _ in range(TURNS):
        fitted = fit(y - _of_sources(y - fitted.predict(X), units, sources))
    return fitted


def fit_power(X: Array, y: Array, groupings: Sequence[Sequence[str]]) -> Regression:
    """Mean power over nominal power, in logs: linear in what reads the runtime.

    Of the rest, trees and straight lines are averaged. Power does not fall with the share of peak
    compute or bandwidth that is reached, nor with the scope.

    Args:
        X: Features with the runtime, n x len(FEATURES).
        y: Log of mean power over nominal power.
        groupings: Unit, device and source of each row.
    """
    used = [column for column in range(X.shape[1]) if column != IDEAL]
    rising = [used.index(column) for column in (*RUNTIME_COLUMNS[1:], *SCOPE_COLUMNS)]
    slopes = ridge.slopes(X[:, used], y, groupings, PENALTY, rising=rising).round(DECIMALS)
    centre = X[:, used].mean(axis=0).round(DECIMALS)
    runtime = np.isin(used, RUNTIME_COLUMNS)
    weights = ridge.unit_weights(groupings[0])
    static = [column for column in range(X.shape[1]) if column not in RUNTIME_COLUMNS]

    def fitted(y: Array) -> Regression:
        rest = y - (X[:, used] - centre)[:, runtime] @ slopes[runtime]
        straight = (X[:, used] - centre)[:, ~runtime] @ slopes[~runtime]
        return Regression(
            columns=used,
            slopes=np.where(runtime, slopes, STRAIGHT * slopes).tolist(),
            centre=centre.tolist(),
            level=STRAIGHT * float(np.average(rest - straight, weights=weights)),
            low=X.min(axis=0).tolist(),
            high=X.max(axis=0).tolist(),
            trees=_scaled(trees.fit(X, rest, weights, static, SCOPE_COLUMNS), 1 - STRAIGHT),
            surface=NOWHERE,
        )

    return _backfitted(fitted, X, y, groupings)


def fit_time(X: Array, y: Array, groupings: Sequence[Sequence[str]]) -> Regression:
    """Runtime over roofline time, in logs: trees averaged with a surface.

    Time does not know the scope.

    Args:
        X: Features with the roofline time in place of the runtime, n x len(FEATURES).
        y: Log of runtime over roofline time.
        groupings: Unit, device and source of each row.
    """
    columns = [column for column in range(X.shape[1]) if column not in SCOPE_COLUMNS]
    weights = ridge.unit_weights(groupings[0])

    def fitted(y: Array) -> Regression:
        return Regression(
            columns=[],
            slopes=[],
            centre=[],
            level=0.0,
            low=X.min(axis=0).tolist(),
            high=X.max(axis=0).tolist(),
            trees=trees.fit(X, y, weights, columns),
            surface=NOWHERE,
        )

    stepped = _backfitted(fitted, X, y, groupings)
    seen = [column for column in columns if column != IDEAL]
    smooth, level = surface.fit(X, y, groupings, seen, TIME)
    return msgspec.structs.replace(
        stepped,
        level=SMOOTH * level,
        trees=_scaled(stepped.trees, 1 - SMOOTH),
        surface=smooth.scaled(SMOOTH),
    )
