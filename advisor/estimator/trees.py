"""Boosted trees: fitted by LightGBM, kept as plain numbers, evaluated with numpy.

Importing LightGBM costs two seconds (it brings scikit-learn), more than a cold question may
take, and its own text format holds far more than a prediction needs. A test holds the
evaluation here against LightGBM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.features import Array

ROUNDS, LEARNING_RATE, LEAVES = 150, 0.1, 4
"""Shallow trees: at most three splits each, so at most three features interact."""
DECIMALS = 9
"""What is learned from is rounded, so that the last bits of a sum, which change with where an array
lies in memory, change no tree."""
_FEW = 16
"""Up to so many rows all trees are walked at once; beyond, all rows of one tree."""
_SETTINGS = {
    "objective": "l2",
    "num_leaves": LEAVES,
    "learning_rate": LEARNING_RATE,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "monotone_constraints_method": "advanced",
    "verbose": -1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
    "force_row_wise": True,
}


class Trees(msgspec.Struct, frozen=True, dict=True):
    """An ensemble whose prediction is the sum of one leaf of each tree.

    Nodes of all trees stand in one list, roots first; a leaf points to itself.

    Attributes:
        roots: Node at which each tree starts.
        feature: Column a node asks about; 0 in leaves.
        threshold: At most this goes left.
        left: Next node; `right` likewise.
        value: What a leaf adds; 0 in other nodes.
        depth: Splits on the longest way down.
    """

    roots: list[int]
    feature: list[int]
    threshold: list[float]
    left: list[int]
    right: list[int]
    value: list[float]
    depth: int

    def sound(self, n_features: int) -> bool:
        """Whether every list is whole and every step leads on to a node or stays at a leaf."""
        n = len(self.value)
        lists = (self.feature, self.threshold, self.left, self.right)
        return (
            all(len(part) == n for part in lists)
            and all(0 <= root < n for root in self.roots)
            and all(0 <= column < n_features for column in self.feature)
            and all(
                own == left == right or own < min(left, right) <= max(left, right) < n
                for own, (left, right) in enumerate(zip(self.left, self.right, strict=True))
            )
        )

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        """Roots, features, thresholds, left, right, values."""
        parts = (self.roots, self.feature, self.threshold, self.left, self.right, self.value)
        return tuple(np.asarray(part) for part in parts)

    def predict(self, X: Array) -> Array:
        """Predictions for rows of X (n x features)."""
        if len(X) <= _FEW:
            return self._few(X)
        columns = np.ascontiguousarray(X.T)
        total = np.zeros(len(X))
        for root in self.roots:
            total += self._branch(root, columns)
        return total

    def _few(self, X: Array) -> Array:
        """All trees at once, one level after another."""
        roots, feature, threshold, left, right, value = self._arrays
        node = np.broadcast_to(roots, (len(X), len(roots)))
        rows = np.arange(len(X))[:, None]
        for _ in range(self.depth):
            node = np.where(X[rows, feature[node]] <= threshold[node], left[node], right[node])
        return np.asarray(value[node].sum(axis=1))

    def _branch(self, node: int, columns: Array) -> Array | float:
        """What one tree adds below a node, all rows at once."""
        if self.left[node] == node:
            return self.value[node]
        below = columns[self.feature[node]] <= self.threshold[node]
        branches = (self._branch(child, columns) for child in (self.left[node], self.right[node]))
        return np.where(below, *branches)


def _plant(tree: dict[str, Any], columns: Sequence[int], nodes: list[list[float]]) -> int:
    """Appends the nodes of one of LightGBM's trees; returns the depth below its root."""
    own = len(nodes)
    nodes.append([0, 0.0, own, own, 0.0])
    if "leaf_value" in tree:
        nodes[own][4] = tree["leaf_value"]
        return 0
    left_at = len(nodes)
    left = _plant(tree["left_child"], columns, nodes)
    right_at = len(nodes)
    right = _plant(tree["right_child"], columns, nodes)
    nodes[own] = [columns[tree["split_feature"]], tree["threshold"], left_at, right_at, 0.0]
    return 1 + max(left, right)


def packed(model: dict[str, Any], columns: Sequence[int]) -> Trees:
    """The trees of LightGBM's `Booster.dump_model`; `columns` are those it was fitted on."""
    nodes: list[list[float]] = []
    roots, depth = [], 0
    for tree in model["tree_info"]:
        roots.append(len(nodes))
        depth = max(depth, _plant(tree["tree_structure"], columns, nodes))
    feature, threshold, left, right, value = zip(*nodes, strict=True)
    return Trees(
        roots=roots,
        feature=[int(v) for v in feature],
        threshold=[float(v) for v in threshold],
        left=[int(v) for v in left],
        right=[int(v) for v in right],
        value=[float(v) for v in value],
        depth=depth,
    )


def fit(
    X: Array, y: Array, weights: Array, columns: Sequence[int], rising: Sequence[int] = ()
) -> Trees:
    """Trees on some columns of X.

    Args:
        X: Features, n x p.
        y: Target, n.
        weights: Weight of each row.
        columns: Columns the trees may use.
        rising: Columns the prediction must not fall with.
    """
    import lightgbm

    X, y, weights = X.round(DECIMALS), y.round(DECIMALS), weights.round(DECIMALS)
    constraints = [int(column in rising) for column in columns]
    order = np.lexsort((y, *X.T))  # bagging draws by position: the order of rows must not matter
    data = lightgbm.Dataset(X[order][:, list(columns)], y[order], weight=weights[order])
    booster = lightgbm.train({**_SETTINGS, "monotone_constraints": constraints}, data, ROUNDS)
    return packed(booster.dump_model(), columns)
