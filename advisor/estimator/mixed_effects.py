"""A ridge with random intercepts, averaged with boosted trees on the same target.

The ridge carries straight lines beyond the data and a level for each group (backend class, device,
source), shrunk by its own penalty; unknown levels count 0, so an unseen device falls back to its
class. The trees (LightGBM) learn what bends. Slopes can be bounded from below and trees made to
rise with a feature. Everything is plain numbers and text: an artefact needs no unpickling.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.table import Array, Column

DECIMALS = 9
"""Inputs and coefficients are rounded, so that sums in another order end in the same artefact."""
CLIP = 4.0
"""Standard deviations at which a feature is clipped."""
MOST_LEAVES = 8
"""Leaves of a tree, each a bit of a byte."""
_EVERY = np.uint8(255)
_LOWEST = np.array([0, *((byte & -byte).bit_length() - 1 for byte in range(1, 256))])
"""Place of the lowest bit of each byte."""
_AT_ONCE = 256
"""Rows whose comparisons fit into a processor's cache."""
_HUBER, _TURNS = 2.2, 3
"""Robust refits: residuals beyond this many median absolute deviations weigh less."""


class Ridge(msgspec.Struct, frozen=True):
    """y = intercept + slopes . standardised features + the level of each group.

    Attributes:
        features: Names of the numeric columns; `centre`, `scale` and `slopes` are theirs.
        levels: By group column, by its value: what it adds.
    """

    features: list[str]
    centre: list[float]
    scale: list[float]
    slopes: list[float]
    intercept: float
    levels: dict[str, dict[str, float]]

    def sound(self) -> bool:
        """Whether there is one number for each feature."""
        lengths = {len(v) for v in (self.features, self.centre, self.scale, self.slopes)}
        return len(lengths) == 1

    def predict(self, numeric: Mapping[str, Column], groups: Mapping[str, Column]) -> Array:
        """Predictions of n rows; values of a group that were not seen add 0."""
        values = np.column_stack([numeric[name] for name in self.features])
        standard = _standard(values, np.array(self.centre), np.array(self.scale))
        found = standard @ np.array(self.slopes) + self.intercept
        for name, effects in self.levels.items():
            found += np.array([effects.get(value, 0.0) for value in groups[name].tolist()])
        return np.asarray(found, dtype=float)


def _standard(values: Array, centre: Array, scale: Array) -> Array:
    """Standardised features, clipped."""
    return np.clip((values - centre) / scale, -CLIP, CLIP)


def fit_ridge(
    numeric: Mapping[str, Column],
    groups: Mapping[str, Column],
    y: Array,
    weights: Array,
    penalty: float,
    penalties: Mapping[str, float],
    floors: Mapping[str, float] | None = None,
) -> Ridge:
    """Fits slopes and levels together, three times with Huber weights (Huber 1964).

    Args:
        numeric: Features, n x p.
        groups: Group columns, n rows; those of `penalties` count.
        y: Target, n.
        weights: Of the rows, n, mean 1.
        penalty: Of the standardised slopes.
        penalties: By group column: of its levels; a level of n rows keeps n / (n + penalty) of
            their mean.
        floors: By feature: what its slope does not fall below.
    """
    import pandas as pd

    values = np.column_stack([*numeric.values()]).astype(float)
    centre = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - centre) ** 2, axis=0, weights=weights))
    scale = np.where(scale < 1e-9, 1.0, scale)
    parts = [_standard(values, centre, scale) / np.sqrt(penalty)]
    names: list[tuple[str, list[str]]] = []
    for name, own in penalties.items():
        codes, found = pd.factorize(np.asarray(groups[name], dtype=object), sort=True)
        parts.append(np.eye(len(found))[codes] / np.sqrt(own))
        names.append((name, [str(value) for value in found]))
    design, current = np.hstack(parts), weights
    lowest = np.full(design.shape[1], -np.inf)
    for place, name in enumerate(numeric):
        if name in (floors or {}):
            lowest[place] = (floors or {})[name] * scale[place] * np.sqrt(penalty)
    for _ in range(_TURNS):
        intercept, found_slopes = _solved(design, y, current, lowest)
        error = np.abs(y - intercept - design @ found_slopes)
        reach = _HUBER * max(float(np.median(error)), 1e-9)
        current = weights * np.minimum(1.0, reach / np.maximum(error, 1e-12))
    widths = [len(centre), *(len(found) for _, found in names)]
    slopes, *effects = np.split(found_slopes, np.cumsum(widths)[:-1])
    own_penalties = penalties.values()
    return Ridge(
        features=list(numeric),
        centre=centre.round(DECIMALS).tolist(),
        scale=scale.round(DECIMALS).tolist(),
        slopes=(slopes / np.sqrt(penalty)).round(DECIMALS).tolist(),
        intercept=round(intercept, DECIMALS),
        levels={
            name: dict(zip(found, (e / np.sqrt(p)).round(DECIMALS).tolist(), strict=True))
            for (name, found), e, p in zip(names, effects, own_penalties, strict=True)
        },
    )


def _solved(design: Array, y: Array, weights: Array, lowest: Array) -> tuple[float, Array]:
    """Intercept and coefficients of a ridge of penalty 1, none below its bound.

    Unbounded coefficients are eliminated; the others are a non-negative least squares problem
    (Lawson and Hanson 1974).

    Args:
        design: n x p.
        y: Target, n.
        weights: Of the rows, n.
        lowest: Bound of each coefficient, p; -inf where there is none.
    """
    from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
    from scipy.optimize import nnls

    mean, middle = np.average(design, axis=0, weights=weights), np.average(y, weights=weights)
    centred = design - mean
    inner = centred.T @ (centred * weights[:, None]) + np.eye(len(mean))
    right = centred.T @ (weights * (y - middle))
    bounded = np.isfinite(lowest)
    free, found = ~bounded, np.where(bounded, lowest, 0.0)
    factor, across = cho_factor(inner[np.ix_(free, free)]), inner[np.ix_(free, bounded)]
    if bounded.any():
        rest = inner[np.ix_(bounded, bounded)] - across.T @ cho_solve(factor, across)
        own = right[bounded] - across.T @ cho_solve(factor, right[free]) - rest @ lowest[bounded]
        root = cholesky(rest, lower=True)
        found[bounded] += nnls(root.T, solve_triangular(root, own, lower=True))[0]
    found[free] = cho_solve(factor, right[free] - across @ found[bounded])
    return float(middle - mean @ found), found


class Trees(msgspec.Struct, frozen=True, dict=True):
    """Boosted trees over numeric columns and classes, as arrays: answers need no LightGBM.

    Attributes:
        column: By tree, by node in LightGBM's order: the column that is compared.
        threshold: Values up to it go left.
        left: The next node; a leaf as -1 - its number. `right` likewise.
        leaf: By tree, by leaf: what it adds.
        features: Names of the numeric columns.
        classes: By class column: its known values, in the order of their columns.
    """

    column: list[list[int]]
    threshold: list[list[float]]
    left: list[list[int]]
    right: list[list[int]]
    leaf: list[list[float]]
    features: list[str]
    classes: dict[str, list[str]]

    @functools.cached_property
    def _masked(self) -> tuple[NDArray[np.intp], Array, NDArray[np.uint8], Array]:
        """Columns, thresholds and masks, nodes x trees, and leaves from left to right, trees x 8.

        The mask of a node has a bit for each leaf, and loses those on its left.
        """
        nodes = max(1, *(len(tree) for tree in self.column)) if self.column else 1
        shape = nodes, len(self.column)
        column, threshold = np.zeros(shape, dtype=np.intp), np.full(shape, np.inf)
        mask, leaf = np.full(shape, 255, dtype=np.uint8), np.zeros((len(self.column), MOST_LEAVES))
        for tree in range(len(self.column)):
            own = len(self.column[tree])
            column[:own, tree], threshold[:own, tree] = self.column[tree], self.threshold[tree]
            order: list[int] = []
            for node, left in self._walk(tree, 0 if own else -1, order).items():
                mask[node, tree] = 255 - sum(1 << place for place in left)
            leaf[tree, : len(order)] = [self.leaf[tree][number] for number in order]
        return column, threshold, mask, leaf

    def _walk(self, tree: int, node: int, order: list[int]) -> dict[int, range]:
        """By node at and below one: places of the leaves on its left; adds leaves to `order`."""
        if node < 0:
            order.append(-1 - node)
            return {}
        first = len(order)
        found = self._walk(tree, self.left[tree][node], order)
        found[node] = range(first, len(order))
        return found | self._walk(tree, self.right[tree][node], order)

    def predict(self, numeric: Mapping[str, Column], groups: Mapping[str, Column]) -> Array:
        """Predictions of n rows; an unknown class is a class of its own.

        All nodes of all trees are compared at once; a tree ends in the leftmost leaf that no node
        on the way right has ruled out (Lucchese et al. 2015, QuickScorer).
        """
        design = _coded([numeric[name] for name in self.features], groups, self.classes).T
        column, threshold, mask, leaf = self._masked
        trees, found = np.arange(len(leaf))[:, None], np.empty(design.shape[1])
        for start in range(0, len(found), _AT_ONCE):
            part = design[:, start : start + _AT_ONCE]
            goes_right = part[column] > threshold[:, :, None]
            left = np.bitwise_and.reduce(np.where(goes_right, mask[:, :, None], _EVERY), axis=0)
            found[start : start + _AT_ONCE] = leaf[trees, _LOWEST[left]].sum(axis=0)
        return found


def _trees(dump: Mapping[str, Any], features: list[str], classes: dict[str, list[str]]) -> Trees:
    """Trees from LightGBM's `Booster.dump_model`."""
    lists: list[tuple[list[Any], ...]] = []
    for tree in dump["tree_info"]:
        nodes: dict[int, tuple[int, float, int, int]] = {}
        leaves: dict[int, float] = {}

        def walk(
            node: Mapping[str, Any],
            nodes: dict[int, tuple[int, float, int, int]] = nodes,
            leaves: dict[int, float] = leaves,
        ) -> int:
            if "split_index" not in node:
                number = int(node.get("leaf_index", 0))
                leaves[number] = float(node["leaf_value"])
                return -1 - number
            left, right = walk(node["left_child"]), walk(node["right_child"])
            own = int(node["split_feature"]), float(node["threshold"]), left, right
            nodes[int(node["split_index"])] = own
            return int(node["split_index"])

        walk(tree["tree_structure"])
        ordered = [nodes[place] for place in sorted(nodes)]
        parts = [list(part) for part in zip(*ordered, strict=True)] or [[], [], [], []]
        lists.append((*parts, [leaves[place] for place in sorted(leaves)]))
    column, threshold, left, right, leaf = ([*part] for part in zip(*lists, strict=True))
    return Trees(column, threshold, left, right, leaf, features, classes)


def _coded(
    numeric: Sequence[Column], groups: Mapping[str, Column], classes: Mapping[str, Sequence[str]]
) -> Array:
    """Numeric columns beside one column of 0 and 1 for each known class."""
    parts = [np.column_stack(numeric).astype(float).round(DECIMALS)]
    for name, known in classes.items():
        places = {value: place for place, value in enumerate(known)}
        codes = np.array([places.get(value, -1) for value in groups[name].tolist()])
        parts.append((codes[:, None] == np.arange(len(known))).astype(float))
    return np.hstack(parts)


def fit_trees(
    numeric: Mapping[str, Column],
    groups: Mapping[str, Column],
    y: Array,
    weights: Array,
    classes: Sequence[str],
    rounds: int,
    *,
    leaves: int = 8,
    rising: Sequence[str] = (),
) -> Trees:
    """Fits boosted trees; deterministic on one thread.

    Args:
        numeric: Features, n x p.
        groups: Class columns, n rows.
        y: Target, n.
        weights: Of the rows, n.
        classes: Class columns the trees may split on.
        rounds: Trees.
        leaves: Of each tree.
        rising: Features the prediction must not fall with.
    """
    import lightgbm

    known = {name: sorted({*groups[name].tolist()}) for name in classes}
    design = _coded([*numeric.values()], groups, known)
    parameters = {
        "objective": "l2",
        "num_leaves": leaves,
        "learning_rate": 0.06,
        "lambda_l2": 5.0,
        "min_data_in_leaf": 10,
        "feature_fraction": 0.6,
        "verbose": -1,
        "num_threads": 1,
        "seed": 0,
        "deterministic": True,
        "force_col_wise": True,
    }
    if rising:
        up = [int(name in rising) for name in numeric]
        parameters["monotone_constraints"] = up + [0] * (design.shape[1] - len(up))
    data = lightgbm.Dataset(design, y.round(DECIMALS), weight=weights.round(DECIMALS))
    booster = lightgbm.train(parameters, data, rounds)
    return _trees(booster.dump_model(num_iteration=rounds), list(numeric), known)


def weighed(groups: Mapping[str, Column], columns: Sequence[str], power: float) -> Array:
    """Weights with which a group of n rows counts n^(1 - power) instead of n; mean 1."""
    import pandas as pd

    codes = pd.MultiIndex.from_arrays([groups[name] for name in columns]).factorize()[0]
    sizes = np.bincount(codes)[codes].astype(float)
    weights = sizes**-power
    return np.asarray(weights / weights.mean(), dtype=float)
