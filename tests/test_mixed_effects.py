"""Ridge with bounded slopes and boosted trees: against plain solvers and plain walks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge as Solver

from advisor.estimator.mixed_effects import Ridge, Trees, fit_ridge, fit_trees
from advisor.estimator.table import Array, Table

RANDOM = np.random.default_rng(0)
N = 400
NUMERIC: Table = {name: RANDOM.normal(size=N) for name in ("a", "b", "c")}
GROUPS: Table = {"kind": RANDOM.choice(["x", "y", "z"], N).astype(object)}
WEIGHTS: Array = np.ones(N)
LEVEL = {"x": 0.5, "y": 0.0, "z": -0.5}
Y: Array = (
    2 * NUMERIC["a"]
    - NUMERIC["b"]
    + np.array([LEVEL[name] for name in GROUPS["kind"].tolist()])
    + RANDOM.normal(0, 0.01, N)
)


def slopes(ridge: Ridge) -> dict[str, float]:
    """Slopes in the units of the features."""
    pairs = zip(ridge.features, ridge.slopes, ridge.scale, strict=True)
    return {name: slope / scale for name, slope, scale in pairs}


def test_without_bounds_it_is_an_ordinary_ridge() -> None:
    """With weights that no residual changes, scikit-learn's solver gives the same predictions."""
    exact = Y - RANDOM.normal(0, 1e-12, N)
    found = fit_ridge(NUMERIC, GROUPS, exact, WEIGHTS, 1.0, {"kind": 1.0})
    kinds = np.array([[name == kind for kind in "xyz"] for name in GROUPS["kind"]], dtype=float)
    values = np.column_stack([*NUMERIC.values()])
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    design = np.hstack([np.clip(standard, -4, 4), kinds])
    expected = Solver(alpha=1.0).fit(design, exact).predict(design)
    assert np.abs(found.predict(NUMERIC, GROUPS) - expected).max() < 0.01


@pytest.mark.parametrize("floor", [0.0, -0.5, -3.0])
def test_no_slope_falls_below_its_bound(floor: float) -> None:
    """A bound above the free slope is reached, one below it changes nothing."""
    free = slopes(fit_ridge(NUMERIC, GROUPS, Y, WEIGHTS, 1.0, {"kind": 1.0}))
    found = slopes(fit_ridge(NUMERIC, GROUPS, Y, WEIGHTS, 1.0, {"kind": 1.0}, {"b": floor}))
    assert free["b"] == pytest.approx(-1, abs=0.02)
    assert found["b"] == pytest.approx(max(floor, free["b"]), abs=1e-6)
    assert found["a"] == pytest.approx(2, abs=0.3)


def walked(trees: Trees, design: NDArray[np.float64]) -> list[float]:
    """Predictions by walking every tree from its root."""
    found = []
    for row in design:
        total = 0.0
        for tree, columns in enumerate(trees.column):
            node = 0 if columns else -1
            while node >= 0:
                left = row[columns[node]] <= trees.threshold[tree][node]
                node = (trees.left if left else trees.right)[tree][node]
            total += trees.leaf[tree][-1 - node]
        found.append(total)
    return found


@pytest.mark.parametrize("leaves", [2, 4, 8])
def test_trees_end_in_the_leaf_a_walk_ends_in(leaves: int) -> None:
    """All comparisons at once give what walking from the root gives, for one row and for many."""
    trees = fit_trees(NUMERIC, GROUPS, Y, WEIGHTS, ["kind"], 30, leaves=leaves)
    kinds = [[float(name == kind) for kind in trees.classes["kind"]] for name in GROUPS["kind"]]
    design = np.hstack([np.column_stack([*NUMERIC.values()]).round(9), np.array(kinds)])
    expected = walked(trees, design)
    np.testing.assert_allclose(trees.predict(NUMERIC, GROUPS), expected, rtol=1e-12)
    one = {name: values[:1] for name, values in NUMERIC.items()}
    alone = trees.predict(one, {"kind": GROUPS["kind"][:1]})
    np.testing.assert_allclose(alone, expected[:1], rtol=1e-12)


def test_trees_rise_where_they_must() -> None:
    """A feature that the target falls with has no effect below zero once it must rise."""
    trees = fit_trees(NUMERIC, GROUPS, Y, WEIGHTS, ["kind"], 60, rising=["a", "b"])
    steps = np.linspace(-3, 3, 50)
    for name in ("a", "b"):
        rows = {other: np.zeros(50) for other in NUMERIC} | {name: steps}
        values = trees.predict(rows, {"kind": np.full(50, "x", dtype=object)})
        assert (np.diff(values) >= -1e-12).all()
