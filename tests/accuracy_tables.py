"""Synthetic tables of accuracies with a known structure, in the columns of the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

N_MODELS, N_TASKS = 40, 14
PROBES = ("lab0/model-0", "lab1/model-1", "lab2/model-2")


class Tables(NamedTuple):
    """Rows, facts of tasks and facts of models."""

    rows: pd.DataFrame
    tasks: pd.DataFrame
    models: pd.DataFrame

    def save(self, folder: Path) -> tuple[Path, Path, Path]:
        """Writes the three tables."""
        paths = folder / "rows.csv", folder / "tasks.csv", folder / "models.csv"
        for table, path in zip(self, paths, strict=True):
            table.to_csv(path, index=False)
        return paths


def synthetic(seed: int = 0, noise: float = 0.1) -> Tables:
    """Logits above chance = ability + level + one factor + noise, of English tasks."""
    draw = np.random.default_rng(seed)
    ability, taste = draw.normal(0, 0.5, N_MODELS), draw.normal(0, 0.5, N_MODELS)
    level, weight = draw.normal(0.5, 0.8, N_TASKS), draw.normal(0, 1, N_TASKS)
    classes = draw.choice([2, 3, 6, 20], N_TASKS)
    logit = ability[:, None] + level + np.outer(taste, weight)
    logit += draw.normal(0, noise, logit.shape)
    accuracy = 1 / classes + (1 - 1 / classes) / (1 + np.exp(-logit))
    models = pd.DataFrame(
        {
            "model": [f"lab{i % 7}/model-{i}" for i in range(N_MODELS)],
            "n_active_parameters": 1e6 * 1.2 ** np.arange(N_MODELS),
            "release_date": "2024-05-01",
            "architecture": ["bert", "llm"] * (N_MODELS // 2),
            "adapted_from": "",
            "languages": "eng | deu",
        }
    )
    tasks = pd.DataFrame(
        {
            "mteb_task": [f"Task{j}" for j in range(N_TASKS)],
            "subset": "default",
            "split": "test",
            "task": ["sentiment", "topic"] * (N_TASKS // 2),
            "dataset": [f"org/set{j}" for j in range(N_TASKS)],
            "language": "en",
            "language_codes": "eng-Latn",
            "n_classes": classes,
            "majority_share": 0.5,
            "mean_text_chars": 200.0,
            "n_test": 2000,
        }
    )
    model, task = (grid.ravel() for grid in np.indices(accuracy.shape))
    rows = tasks.loc[task, ["mteb_task", "subset", "split", "language", "n_classes", "n_test"]]
    rows = rows.assign(
        model=models["model"].to_numpy()[model],
        accuracy=accuracy.ravel(),
        accuracy_sd=0.01,
        n_draws=10,
        trained_on_task_data="no",
        source="runs",
    ).reset_index(drop=True)
    return Tables(rows, tasks, models)
