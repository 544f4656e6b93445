"""Tests of `advisor.estimator.regression` on simulated machines."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.estimator import regression
from advisor.estimator.features import FEATURES, RUNTIME_COLUMNS, SCOPE_COLUMNS, Array

RUNTIME = FEATURES.index("log_runtime")
PARAMETERS = FEATURES.index("log_parameters")


def simulated() -> tuple[Array, Array, list[list[str]]]:
    """Ten machines whose power rises with the share of compute and jumps with model size."""
    random = np.random.default_rng(5)
    n = 800
    X = random.normal(size=(n, len(FEATURES)))
    X[:, list(SCOPE_COLUMNS)] = random.integers(0, 2, size=(n, 2))
    units = random.integers(0, 10, size=n)
    offset = random.normal(scale=0.3, size=10)
    y = 0.2 * X[:, RUNTIME_COLUMNS[1]] + 0.5 * (X[:, PARAMETERS] > 0) + offset[units]
    names = [f"u{unit}" for unit in units]
    return X, y + random.normal(scale=0.02, size=n), [names, names, names]


def test_lines_take_the_runtime_and_trees_the_rest() -> None:
    """The slope on the share of compute is found, the step in model size too."""
    X, y, groups = simulated()
    fitted = regression.fit_power(X, y, groups)
    slope = fitted.slopes[fitted.columns.index(RUNTIME_COLUMNS[1])]
    assert slope == pytest.approx(0.2, abs=0.02)
    small, large = X.copy(), X.copy()
    small[:, PARAMETERS], large[:, PARAMETERS] = -0.2, 0.2
    assert np.mean(fitted.predict(large) - fitted.predict(small)) > 0.25


def test_trees_never_read_the_runtime() -> None:
    """Changing the runtime moves the prediction along straight lines alone."""
    X, y, groups = simulated()
    fitted = regression.fit_power(X, y, groups)
    assert not {*fitted.trees.feature} & {*RUNTIME_COLUMNS[1:], RUNTIME} - {0}
    assert RUNTIME not in fitted.trees.feature


def test_time_does_not_know_the_scope() -> None:
    """The same run seen at the plug and at the chip takes the same time."""
    X, y, groups = simulated()
    fitted = regression.fit_time(X, y, groups)
    other = X.copy()
    other[:, list(SCOPE_COLUMNS)] = 1 - other[:, list(SCOPE_COLUMNS)]
    assert (fitted.predict(X) == fitted.predict(other)).all()


def test_predictions_do_not_run_away_beyond_the_data() -> None:
    """Beyond the training range a prediction stays at the edge, and `outside` says so."""
    X, y, groups = simulated()
    fitted = regression.fit_power(X, y, groups)
    edge, far = X.max(axis=0, keepdims=True), X.max(axis=0, keepdims=True) + 100
    assert fitted.predict(far) == pytest.approx(fitted.predict(edge))
    assert fitted.outside(far).all()
    assert not fitted.outside(X).any()


def test_trees_do_not_learn_a_source_from_the_specs_of_its_machines() -> None:
    """Two sources that differ by 2 and had machines of different sizes: the size tells little."""
    random = np.random.default_rng(3)
    n = 800
    X = random.normal(size=(n, len(FEATURES)))
    X[:, list(SCOPE_COLUMNS)] = 0
    unit = random.integers(0, 8, size=n)
    source = unit % 2
    X[:, PARAMETERS] = source + random.normal(scale=0.01, size=n)
    y = 2.0 * source + random.normal(scale=0.02, size=n)
    units, sources = [f"u{i}" for i in unit], [f"s{i}" for i in source]

    def told(groupings: list[list[str]]) -> float:
        fitted = regression.fit_time(X, y, groupings)
        predicted = fitted.trees.predict(X) / (1 - regression.SMOOTH)
        return float(predicted[source == 1].mean() - predicted[source == 0].mean())

    one = told([units, units, ["all"] * n])
    assert one == pytest.approx(2, abs=0.1)
    assert told([units, units, sources]) < one
    hosts = [f"calibration|{name}" for name in sources]
    assert told([units, units, hosts]) == pytest.approx(one, abs=0.1)  # all calibrations are one
