"""Measured accuracies with their candidates and workloads: what the accuracy model learns from.

`candidate_traits` and `workload_traits` turn plain tables into the side information the model
compares candidates and workloads by; every column may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advisor.accuracy.scale import Array

Mask = NDArray[np.bool_]
Positions = NDArray[np.intp]

CANDIDATE_COLUMNS = (
    "n_active_parameters",
    "release_year",
    "architecture",
    "base",
    "publisher",
    "languages",
)
WORKLOAD_COLUMNS = (
    "task",
    "language",
    "language_code",
    "n_classes",
    "majority_share",
    "mean_text_chars",
    "group",
)


class Observations(msgspec.Struct, frozen=True):
    """Accuracies, one entry each (n in all).

    Attributes:
        candidates: Traits of all candidates, one row each; the index holds their names.
        workloads: Traits of all workloads, likewise.
        candidate: Position of each accuracy's candidate.
        workload: Position of each accuracy's workload.
        accuracy: Mean accuracy over the training draws, 0-1.
        variance: Its noise variance; see `advisor.accuracy.scale.published_variance`.
        contaminated: The candidate was trained on the workload's data set.
        self_reported: The value is the author's own.
    """

    candidates: pd.DataFrame
    workloads: pd.DataFrame
    candidate: Positions
    workload: Positions
    accuracy: Array
    variance: Array
    contaminated: Mask
    self_reported: Mask

    def take(self, wanted: Mask) -> Observations:
        """The accuracies where `wanted` holds; candidates and workloads stay as they are."""
        return msgspec.structs.replace(
            self,
            candidate=self.candidate[wanted],
            workload=self.workload[wanted],
            accuracy=self.accuracy[wanted],
            variance=self.variance[wanted],
            contaminated=self.contaminated[wanted],
            self_reported=self.self_reported[wanted],
        )

    def chance(self) -> Array:
        """Accuracy of guessing on each workload."""
        return 1 / self.workloads["n_classes"].to_numpy(dtype=float)


def roots(base_of: Mapping[str, str]) -> dict[str, str]:
    """The first ancestor of each model by the models it was adapted from; loops end where met."""
    found = {}
    for name in base_of:
        seen, last = {name}, name
        while (parent := base_of.get(last)) and parent not in seen:
            seen.add(parent)
            last = parent
        found[name] = last.split("/")[-1].lower()
    return found


def candidate_traits(models: pd.DataFrame) -> pd.DataFrame:
    """Traits of candidates from a table with the columns of ``mteb_models.csv``.

    Args:
        models: One row a model: ``model`` (hub id) and, where known, ``n_active_parameters``,
            ``n_parameters``, ``release_date``, ``architecture``, ``adapted_from``, ``languages``
            (ISO 639-3, separated by spaces or bars).

    Returns:
        `CANDIDATE_COLUMNS`, indexed by model. ``languages`` are frozen sets, ``None`` where not
        declared.
    """
    table = models.set_index("model").reindex(columns=[c for c in models if c != "model"])

    def column(name: str) -> pd.Series:
        return table[name] if name in table else pd.Series(index=table.index, dtype=object)

    active = pd.to_numeric(column("n_active_parameters"), errors="coerce")
    total = pd.to_numeric(column("n_parameters"), errors="coerce")
    dates = pd.to_datetime(column("release_date"), errors="coerce")
    bases = {str(name): base for name, base in column("adapted_from").dropna().items()}
    ancestry = roots({str(name): str(bases.get(str(name), "")) for name in table.index})
    return pd.DataFrame(
        {
            "n_active_parameters": active.where(active.notna(), total),
            "release_year": dates.dt.year + (dates.dt.month - 1) / 12,
            "architecture": column("architecture"),
            "base": [ancestry[str(name)] for name in table.index],
            "publisher": [str(name).split("/")[0].lower() for name in table.index],
            "languages": [_languages(cell) for cell in column("languages")],
        },
        index=table.index,
    )


def workload_traits(tasks: pd.DataFrame) -> pd.DataFrame:
    """Traits of workloads: `WORKLOAD_COLUMNS` of a table, empty where it lacks one.

    Args:
        tasks: One row a workload, indexed by name: ``task`` (slug), ``language`` (ISO 639-1),
            ``language_code`` (ISO 639-3, as models declare it), ``n_classes``, ``majority_share``
            (0-1), ``mean_text_chars``, ``group`` (data sets that share texts).
    """
    return tasks.reindex(columns=list(WORKLOAD_COLUMNS))


def _languages(cell: object) -> frozenset[str] | None:
    """Languages of a cell such as ``eng | deu``; ``None`` where nothing is declared."""
    if not isinstance(cell, str) or not cell.strip():
        return None
    return frozenset(
        part.split("-")[0] for part in cell.replace("|", " ").replace(",", " ").split()
    )
