"""The paper's regression, refitted on the rows it prints."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from catalog.snapshot import load

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "estimator" / "paper.py"
BUNDLED = load()


@pytest.fixture(scope="module")
def paper() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("paper", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_refit_is_least_squares_on_the_printed_rows(paper: ModuleType) -> None:
    """Residuals are orthogonal to every term; watts per GPU come near the printed ones."""
    runs = paper.runs(BUNDLED, paper.CAPELLA)
    found, errors = runs.refitted()
    left = runs.wh - runs.predicted(found)
    for term in (runs.seconds, runs.gpus, runs.seconds * runs.gpus, np.ones(len(runs.wh))):
        assert left @ term == pytest.approx(0, abs=1e-6 * np.abs(runs.wh) @ np.abs(term))
    assert (errors > 0).all()
    for gpus in (1, 2):
        ours, printed = (c[0] + gpus * c[2] for c in (found, paper.PRINTED))
        assert ours == pytest.approx(printed, rel=0.15)


def test_runs_are_the_papers_figures(paper: ModuleType) -> None:
    """Two rows of table B1: Llama 3.1 8B and 70B, seconds, GPUs, watt-hours."""
    runs = paper.runs(BUNDLED, paper.CAPELLA)
    rows = {
        (round(s, 2), g, round(w, 2))
        for s, g, w in zip(runs.seconds, runs.gpus, runs.wh, strict=True)
    }
    assert {(36.88, 1, 5.86), (161.59, 2, 48.60)} <= rows


def test_an_unseen_device_is_predicted_without_its_energies(paper: ModuleType) -> None:
    """The fold for the A30 knows no row of it, and one probe row is drawn from the rest."""
    rows, fold = paper.unseen(BUNDLED, "NVIDIA A30")
    assert set(rows.devices) == {"NVIDIA A30"}
    assert set(rows.sources) == {paper.SOURCE}
    assert "NVIDIA A30" not in fold.known.devices
    assert 0 < paper.ours(rows, fold, 1) < 100
