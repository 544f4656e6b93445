"""Ratios between backends and formats: intervals that hold held-out pairs."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from advisor.estimator.estimator import load
from advisor.estimator.machine_effects import TIME
from advisor.estimator.setup import Setup
from advisor.evaluation import ratios, runtime_evaluation
from advisor.evaluation.runtime_rows import RuntimeRows
from advisor.evaluation.train import training_data
from catalog import reference_data, snapshot

ESTIMATOR = load()
FOLDS = 4
"""Groups of devices that are held out together: fewer than the scorecard's, to be quick."""


@pytest.fixture(scope="module")
def published() -> RuntimeRows:
    """The bundled runtimes."""
    return training_data(snapshot.load())[1]


def test_ratio_intervals_hold_pairs_of_held_out_devices(published: RuntimeRows) -> None:
    """Backends and formats: 85 to 95 % of held-out ratios lie in their 90 % interval."""
    predicted = runtime_evaluation.held_out(published, "device", FOLDS, runtime_evaluation.MODEL)
    table = ratios.table(published.profiles, predicted - published.log_seconds)
    assert [row["varied"] for row in table] == ["backend", "format"]
    for row in table:
        assert row["n"] >= 400
        assert row["publishers"] >= 5
        assert 85 <= row["coverage90"] <= 95, row


@pytest.mark.parametrize(
    ("field", "values", "own"),
    [
        ("backend", ("pytorch", "onnxruntime"), TIME.backend),
        ("precision", ("fp16", "fp32"), TIME.format),
    ],
)
def test_the_estimator_states_that_ratio(field: str, values: tuple[str, str], own: float) -> None:
    """Two setups that differ in backend or format: the variance of the log ratio of their seconds.

    Joules move with seconds less than in proportion, as watts fall when a run takes longer; setups
    alike in both leave nothing.
    """
    device = reference_data.devices()["NVIDIA A30"]
    setup = Setup(
        device=device,
        n_parameters=1e8,
        tokens=64,
        batch_size=32,
        backend="pytorch",
        precision="fp16",
        scope="device",
    )
    pair = [msgspec.structs.replace(setup, **{field: value}) for value in values]
    (one, both), (_, two) = ESTIMATOR.covariance(pair)
    assert 0.5 * 2 * own**2 <= one + two - 2 * both <= 2 * 2 * own**2
    (one, both), (_, two) = ESTIMATOR.covariance([setup, setup])
    assert one + two - 2 * both == pytest.approx(0, abs=1e-9)


def test_pairs_differ_in_one_thing_alone() -> None:
    """Rows of another publisher, batch or format are no pair; repeats of one are averaged."""
    row: dict[str, Any] = {
        "publisher": "a", "model": "m", "device": "d", "devices": 1.0, "batch": 1.0, "tokens": 8.0,
        "work": "encoder", "scenario": "batch", "length_basis": "padded", "density": 1.0,
        "core_share": 1.0, "backend": "eager", "format": "fp32",
    }  # fmt: skip
    others: list[dict[str, Any]] = [
        {},
        {},
        {"backend": "tensorrt"},
        {"backend": "tensorrt", "batch": 2.0},
        {"backend": "fused", "publisher": "b"},
        {"format": "fp16"},
    ]
    profiles = pd.DataFrame([row | other for other in others])
    error = np.array([0.1, 0.3, 0.5, 9.0, 9.0, 1.0])
    found = ratios.pairs(profiles, error, "backend")
    np.testing.assert_allclose(np.abs(found.error), [0.3])
    assert (found.devices, found.publishers) == (["d"], ["a"])
    np.testing.assert_allclose(np.abs(ratios.pairs(profiles, error, "format").error), [0.8])
