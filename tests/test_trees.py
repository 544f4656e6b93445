"""Tests of `trees`: what is kept of LightGBM's trees predicts what LightGBM predicts."""

from __future__ import annotations

import lightgbm
import msgspec
import numpy as np
import pytest

from advisor.estimator import trees
from advisor.estimator.features import Array


def simulated(n: int = 600) -> tuple[Array, Array]:
    """A step and a product of features."""
    random = np.random.default_rng(3)
    X = random.normal(size=(n, 4))
    y = np.where(X[:, 0] > 0.3, 1.0, 0.0) + X[:, 1] * X[:, 2] + random.normal(scale=0.1, size=n)
    return X, y


def test_packed_trees_predict_what_lightgbm_does() -> None:
    """Few rows and many, columns in another order, values on a threshold: the same sums."""
    X, y = simulated()
    columns = [2, 0, 1]
    settings = {"num_leaves": 6, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(settings, lightgbm.Dataset(X[:, columns], y), 40)
    packed = trees.packed(booster.dump_model(), columns)
    X[:50, 0] = packed.threshold[0]
    expected = np.asarray(booster.predict(X[:, columns]))
    assert packed.predict(X) == pytest.approx(expected, abs=1e-12)
    assert packed.predict(X[:3]) == pytest.approx(expected[:3], abs=1e-12)
    assert packed.sound(4)


def test_the_order_of_rows_does_not_matter() -> None:
    """Shuffled rows give the same trees."""
    X, y = simulated()
    order = np.random.default_rng(0).permutation(len(y))
    weights = np.linspace(0.5, 1.5, len(y))
    one = trees.fit(X, y, weights, range(4))
    assert trees.fit(X[order], y[order], weights[order], range(4)) == one


def test_a_rising_column_never_lowers_the_prediction() -> None:
    """Where the data fall with it, the constrained column is flat or rises."""
    X, y = simulated()
    forest = trees.fit(X, y - 3 * X[:, 3], np.ones(len(y)), range(4), rising=[3])
    higher = X.copy()
    higher[:, 3] += np.random.default_rng(1).exponential(size=len(y))
    assert (forest.predict(higher) >= forest.predict(X) - 1e-12).all()


@pytest.mark.parametrize(
    "change", [{"left": 10**6}, {"feature": 9}, {"right": 0}, {"threshold": None}]
)
def test_damaged_trees_are_not_sound(change: dict[str, int | None]) -> None:
    """A step to nowhere, a loop, a feature beyond the last, a list too short are found."""
    X, y = simulated(100)
    forest = trees.fit(X, y, np.ones(len(y)), range(4))
    ((name, value),) = change.items()
    part = list(getattr(forest, name))
    if value is None:
        part.pop()
    else:
        part[0] = value
    assert forest.sound(4)
    assert not msgspec.structs.replace(forest, **{name: part}).sound(4)
