"""Tests of `advisor.estimator.ridge` on simulated units whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.estimator import ridge
from advisor.estimator.features import Array

SLOPES = np.array([1.0, -0.5, 0.25])


def simulated(seed: int, outliers: int = 0) -> tuple[Array, Array, list[list[str]]]:
    """Twelve units of 60 rows whose offset is correlated with the first feature."""
    random = np.random.default_rng(seed)
    units = np.repeat(np.arange(12), 60)
    level = random.normal(size=12)
    X = random.normal(size=(len(units), 3))
    X[:, 0] += 2 * level[units]
    y = X @ SLOPES + 3 - 4 * level[units] + random.normal(scale=0.05, size=len(units))
    y[random.choice(len(y), outliers, replace=False)] += 20
    names = [f"u{unit}" for unit in units]
    return X, y, [names, [f"d{unit % 6}" for unit in units]]


@pytest.mark.parametrize("seed", range(3))
def test_slopes_come_from_within_units(seed: int) -> None:
    """Offsets that go against the slope between units do not bend it."""
    X, y, groups = simulated(seed)
    assert ridge.slopes(X, y, groups, 0.01, 0.01) == pytest.approx(SLOPES, abs=0.02)
    pooled = np.linalg.lstsq(np.column_stack([np.ones(len(y)), X]), y, rcond=None)[0]
    assert abs(pooled[1] - SLOPES[0]) > 0.5


def test_outliers_hardly_move_the_slopes() -> None:
    """Thirty wild rows of 720 move the slopes by a tenth of what least squares moves."""
    X, y, groups = simulated(7, outliers=30)
    assert ridge.slopes(X, y, groups, 0.01, 0.01) == pytest.approx(SLOPES, abs=0.05)


def test_a_larger_penalty_shrinks_the_slopes() -> None:
    """With an overwhelming penalty nothing is left of the slopes."""
    X, y, groups = simulated(2)
    sizes = [np.abs(ridge.slopes(X, y, groups, p)).sum() for p in (1.0, 100.0, 1e7)]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 0.01


def test_a_slope_that_must_not_fall_is_zero_where_the_data_let_it_fall() -> None:
    """The constrained column loses its slope and the others keep theirs."""
    X, y, groups = simulated(4)
    found = ridge.slopes(X, y, groups, 0.01, 0.01, rising=[0, 1])
    assert found[1] == 0
    assert found[[0, 2]] == pytest.approx(SLOPES[[0, 2]], abs=0.1)


def test_large_units_do_not_drown_small_ones() -> None:
    """A unit of n rows weighs n^0.3, whatever the order of rows."""
    units = ["big"] * 1000 + ["small"]
    weights = ridge.unit_weights(units)
    assert weights[:1000].sum() / weights[1000] == pytest.approx(1000**0.3)
    assert weights.mean() == pytest.approx(1)
