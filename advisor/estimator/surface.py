"""A smooth surface over all features, which reaches further from the data than steps of trees.

A Gaussian process of four parts: one that all rows share, and one each of a source, of a device
and of a source on a device. Only the first is kept, as the others are what
`advisor.estimator.machine_effects`
learns anew of each machine; beside them, it does not bend to what a team or a host has of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np

from advisor.estimator.features import Array
from advisor.estimator.machine_effects import NEAR, equal
from advisor.estimator.setup import source_of_team

MOST_ROWS = 1000
"""Rows it is fitted on, up to an equal number of each unit."""
LEAST_SPREAD = 0.3
"""Least standard deviation a feature counts with, so that a rare flag does not set a row apart."""
DECIMALS = 9
"""What is learned from is rounded: the last bits of a sum change with the order of rows."""
_CHUNK = 512


class Scales(msgspec.Struct, frozen=True):
    """Lengths in standard deviations of a feature, spreads in natural logs.

    Attributes:
        length: Distance at which the correlation of the common part has fallen to e^-1/2.
        near: The same of the parts of a source, device or unit.
        common: Spread of the common part.
        source: Spread of a source's offset, and of what it has in common near by.
        device: The same of a device; `unit` of a source on a device.
        noise: Of a row.
    """

    length: float
    near: float
    common: float
    source: tuple[float, float]
    device: tuple[float, float]
    unit: tuple[float, float]
    noise: float


class Surface(msgspec.Struct, frozen=True, dict=True):
    """A sum of Gaussian bumps.

    Attributes:
        columns: Features it reads.
        scale: What one length of each is.
        places: Where the bumps lie, in lengths, row by row.
        weights: What each adds at its place.
    """

    columns: list[int]
    scale: list[float]
    places: list[list[float]]
    weights: list[float]

    @cached_property
    def _arrays(self) -> tuple[Array, Array]:
        """Places (m x columns) and weights."""
        return np.asarray(self.places), np.asarray(self.weights)

    def scaled(self, share: float) -> Surface:
        """A surface of a share of the height."""
        return msgspec.structs.replace(self, weights=[share * weight for weight in self.weights])

    def predict(self, X: Array) -> Array:
        """The surface at rows of X (n x features)."""
        found = np.zeros(len(X))
        if not self.weights:
            return found
        places, weights = self._arrays
        for start in range(0, len(X), _CHUNK):
            part = X[start : start + _CHUNK, self.columns] / self.scale
            found[start : start + _CHUNK] = _bumps(part, places) @ weights
        return found

    def sound(self, n_features: int) -> bool:
        """Whether every list is whole and every column one of the features."""
        return (
            len(self.columns) == len(self.scale)
            and all(0 <= column < n_features for column in self.columns)
            and all(scale > 0 for scale in self.scale)
            and all(len(place) == len(self.columns) for place in self.places)
            and len(self.places) == len(self.weights)
        )


NOWHERE = Surface([], [], [], [])
"""A surface of height 0."""


def _bumps(one: Array, two: Array) -> Array:
    """exp(-distance^2 / 2) between rows (n x m)."""
    lengths = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1)
    return np.asarray(np.exp(np.minimum(one @ two.T - 0.5 * lengths, 0.0)))


def _kept(X: Array, y: Array, units: Sequence[str]) -> list[int]:
    """Rows to fit on: at most `MOST_ROWS`, of each unit evenly over its features."""
    names = np.asarray(units, dtype=str)
    groups, counts = np.unique(names, return_counts=True)
    chosen = np.linspace(0, len(groups) - 1, min(len(groups), MOST_ROWS)).round().astype(int)
    groups, counts = groups[chosen], counts[chosen]
    fits = [m for m in range(2, MOST_ROWS + 1) if np.minimum(counts, m).sum() <= MOST_ROWS]
    most = max(fits, default=1)
    kept: list[int] = []
    for group in groups:
        own = np.flatnonzero(names == group)
        order = own[np.lexsort((y[own], *X[own].T, *X[own][:, NEAR].T[::-1]))]
        ends = (0, len(order) - 1) if most > 1 else (len(order) // 2,) * 2
        wanted = np.linspace(*ends, min(len(order), most)).round().astype(int)
        kept += [int(i) for i in order[wanted]]
    return kept


def fit(
    X: Array, y: Array, groupings: Sequence[Sequence[str]], columns: Sequence[int], scales: Scales
) -> tuple[Surface, float]:
    """The common part of a Gaussian process, and the level it falls to far from the data.

    Args:
        X: Features, n x p.
        y: Target, n.
        groupings: Unit, device and team of each row.
        columns: Features it may read.
        scales: The process.
    """
    X, y, spread = (values.round(DECIMALS) for values in (X, y, X.std(axis=0)))
    used = [column for column in columns if spread[column] > 1e-9]
    kept = _kept(X, y, groupings[0])
    units, devices, teams = ([names[i] for i in kept] for names in groupings)
    scale = np.maximum(spread[used], LEAST_SPREAD)
    standard = X[kept][:, used] / scale
    own = [used.index(column) for column in NEAR if column in used]
    near = _bumps(standard[:, own] / scales.near, standard[:, own] / scales.near)
    common = scales.common**2 * _bumps(standard / scales.length, standard / scales.length)
    covariance = common + scales.noise**2 * np.eye(len(kept))
    sources = [source_of_team(team) for team in teams]
    for names, (offset, local) in (
        (sources, scales.source),
        (devices, scales.device),
        (units, scales.unit),
    ):
        labels = np.asarray(names, dtype=str)
        covariance += equal(labels, labels) * (offset**2 + local**2 * near)
    solved = np.linalg.solve(covariance, np.column_stack([y[kept], np.ones(len(kept))]))
    told, counted = solved.T
    level = float(told.sum() / counted.sum())  # generalised least squares
    surface = Surface(
        used,
        (scales.length * scale).round(DECIMALS).tolist(),
        (standard / scales.length).round(DECIMALS).tolist(),
        (scales.common**2 * (told - level * counted)).round(DECIMALS).tolist(),
    )
    return surface, round(level, DECIMALS)
