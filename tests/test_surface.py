"""Tests of `advisor.estimator.surface` on simulated machines."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from advisor.estimator import surface
from advisor.estimator.features import FEATURES, Array
from advisor.estimator.regression import TIME

SIZE, DEVICES, MISSING = (
    FEATURES.index(name) for name in ("log_parameters", "log_tdp", "parameters_missing")
)
COLUMNS = [SIZE, DEVICES, MISSING]


def features(*columns: Array) -> Array:
    """A matrix of features that is 0 but for `COLUMNS`."""
    X = np.zeros((len(columns[0]), len(FEATURES)))
    X[:, COLUMNS[: len(columns)]] = np.column_stack(columns)
    return X


def test_a_smooth_function_is_followed_between_the_data() -> None:
    """A wave over the size of models is found where no row lies; far away the level is left."""
    x = np.linspace(0, 10, 600)
    names = [f"u{i % 20}" for i in range(len(x))]
    found, level = surface.fit(features(x), np.sin(x / 3), [names, names, names], COLUMNS, TIME)
    between = np.linspace(1.003, 9.003, 33)
    told, wanted = level + found.predict(features(between)), np.sin(between / 3)
    assert told == pytest.approx(wanted, abs=0.15)
    assert found.predict(features(np.array([1e3]))) == pytest.approx([0.0])
    assert found.scaled(0.5).predict(features(between)) == pytest.approx(
        0.5 * found.predict(features(between))
    )


def test_weights_are_those_of_the_process_worked_out_by_hand() -> None:
    """Two rows of two sources: level and weights are generalised least squares."""
    y, names = np.array([0.0, 2.0]), ["a", "b"]
    found, level = surface.fit(features(np.array([0.0, 1.0])), y, [names] * 3, COLUMNS, TIME)
    apart = 1.0 / (0.5 * TIME.length)  # the standard deviation of 0 and 1 is a half
    shared = TIME.common**2 * np.exp(-0.5 * apart**2)
    own = sum(part**2 for pair in (TIME.source, TIME.device, TIME.unit) for part in pair)
    covariance = np.full((2, 2), shared)
    np.fill_diagonal(covariance, TIME.common**2 + own + TIME.noise**2)
    assert level == pytest.approx(1.0)
    wanted = TIME.common**2 * np.linalg.solve(covariance, y - 1.0)
    assert found.weights == pytest.approx(wanted.tolist(), abs=1e-8)


def test_it_does_not_bend_to_what_a_source_has_of_its_own() -> None:
    """Sources that differ by 2 had models of different sizes: the size tells little of it."""
    random = np.random.default_rng(3)
    unit = random.integers(0, 8, size=400)
    source = unit % 2
    X = features(source + random.normal(scale=0.01, size=400))
    y = 2.0 * source + random.normal(scale=0.02, size=400)
    units = [f"u{i}" for i in unit]

    def gap(teams: list[str]) -> float:
        found, _ = surface.fit(X, y, [units, units, teams], COLUMNS, TIME)
        told = found.predict(X)
        return float(told[source == 1].mean() - told[source == 0].mean())

    one = gap(["all"] * 400)
    assert gap([f"s{i}" for i in source]) < 0.5 * one


def test_a_rare_flag_does_not_set_a_row_apart() -> None:
    """Five rows without a size among 1,000 are still like the others."""
    random = np.random.default_rng(0)
    missing = np.arange(1000) % 200 == 0
    X = features(random.normal(size=1000), random.normal(size=1000), missing.astype(float))
    names = [f"u{i % 10}" for i in range(1000)]
    found, _ = surface.fit(X, X[:, SIZE], [names, names, names], COLUMNS, TIME)
    scale = found.scale[found.columns.index(MISSING)]
    assert scale == pytest.approx(TIME.length * surface.LEAST_SPREAD)


@pytest.mark.parametrize("units", [3, 700, 1500])
def test_no_more_rows_than_promised_are_kept(units: int) -> None:
    """However many units there are; the order of the rows does not matter."""
    random = np.random.default_rng(1)
    X, y = features(random.normal(size=3000)), random.normal(size=3000)
    names = [f"u{i % units}" for i in range(3000)]
    found, level = surface.fit(X, y, [names, ["d"] * 3000, ["s"] * 3000], COLUMNS, TIME)
    assert 0.6 * surface.MOST_ROWS < len(found.weights) <= surface.MOST_ROWS
    order = random.permutation(3000)
    groups = [[names[i] for i in order], ["d"] * 3000, ["s"] * 3000]
    again, same = surface.fit(X[order], y[order], groups, COLUMNS, TIME)
    assert again == found
    assert same == level


def test_broken_surfaces_are_told() -> None:
    """Lists of unequal lengths, unknown columns and lengths of 0 are not sound."""
    x, names = np.linspace(0, 1, 5), ["u"] * 5
    found, _ = surface.fit(features(x), x, [names, names, names], COLUMNS, TIME)
    assert found.sound(len(FEATURES))
    assert surface.NOWHERE.sound(len(FEATURES))
    for wrong in (
        {"weights": found.weights[1:]},
        {"columns": [len(FEATURES)]},
        {"scale": [0.0]},
        {"places": [[0.0, 1.0]] * 5},
    ):
        assert not msgspec.structs.replace(found, **wrong).sound(len(FEATURES))
