"""Similarity of candidates and of workloads from their side information, as correlation matrices.

Each is a weighted sum of simple kernels (equal label, or a Gaussian in a number); the weights sum
to 1 with the part that belongs to each item alone. They were set once, to round figures, from
weights that maximise the likelihood of the fitted factors on the MTEB results.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from advisor.accuracy.scale import Array

Weights = Mapping[str, float]
CANDIDATE_ABILITY: Weights = {
    "own": 0.10,
    "size": 0.38,
    "architecture": 0.10,
    "base": 0.07,
    "publisher": 0.27,
    "languages": 0.08,
}
"""How alike two candidates' mean abilities are."""
CANDIDATE_FACTORS: Weights = {
    "own": 0.42,
    "size": 0.10,
    "architecture": 0.07,
    "base": 0.07,
    "publisher": 0.26,
    "languages": 0.08,
}
"""How alike two candidates' strengths and weaknesses are."""
WORKLOAD_LEVEL: Weights = {
    "own": 0.10,
    "language": 0.08,
    "english": 0.17,
    "task": 0.33,
    "numbers": 0.10,
    "group": 0.22,
}
"""How alike the difficulties of two workloads are."""
WORKLOAD_FACTORS: Weights = {
    "own": 0.13,
    "language": 0.17,
    "english": 0.15,
    "task": 0.20,
    "numbers": 0.24,
    "group": 0.11,
}
"""How alike the demands of two workloads are."""
ALONE: Weights = {"own": 1.0}
"""No side information: every item resembles itself alone."""


def _equal(a: pd.Series, b: pd.Series) -> Array:
    """1 where labels are equal and known, else 0."""
    left, right = a.fillna("").astype(str).to_numpy(), b.fillna("").astype(str).to_numpy()
    same: Array = ((left[:, None] == right[None]) & (left[:, None] != "")).astype(float)
    return same


def _near(a: pd.Series, b: pd.Series, length: float, *, log: bool = False) -> Array:
    """Gaussian kernel of numbers; unknown ones resemble unknown ones alone."""
    left, right = (pd.to_numeric(x, errors="coerce").to_numpy(dtype=float) for x in (a, b))
    if log:
        left, right = np.log(left), np.log(right)
    kernel = np.exp(-0.5 * ((left[:, None] - right[None]) / length) ** 2)
    unknown = np.isnan(left)[:, None] & np.isnan(right)[None]
    found: Array = np.where(np.isfinite(kernel), kernel, unknown.astype(float))
    return found


def _overlap(a: pd.Series, b: pd.Series) -> Array:
    """Jaccard index of declared languages; undeclared counts as its own set."""
    left, right = ([x or frozenset({""}) for x in side] for side in (a, b))
    return np.array([[len(x & y) / len(x | y) for y in right] for x in left], dtype=float)


def candidates(a: pd.DataFrame, b: pd.DataFrame, weights: Weights) -> Array:
    """Correlation of candidates by traits (`observations.candidate_traits`), without ``own``."""
    total = np.zeros((len(a), len(b)))
    if weights.keys() == {"own"}:
        return total
    active = (a["n_active_parameters"] + 1e6, b["n_active_parameters"] + 1e6)
    years = _near(a["release_year"], b["release_year"], 1.5)
    total += weights["size"] * _near(*active, 0.7, log=True) * years
    total += weights["architecture"] * _equal(a["architecture"], b["architecture"])
    total += weights["base"] * _equal(a["base"], b["base"])
    total += weights["publisher"] * _equal(a["publisher"], b["publisher"])
    total += weights["languages"] * _overlap(a["languages"], b["languages"])
    return total


def workloads(a: pd.DataFrame, b: pd.DataFrame, weights: Weights) -> Array:
    """Correlation of workloads by traits, without ``own``."""
    total = np.zeros((len(a), len(b)))
    if weights.keys() == {"own"}:
        return total
    numbers = _near(a["n_classes"], b["n_classes"], 0.7, log=True)
    numbers *= _near(a["mean_text_chars"], b["mean_text_chars"], 1.0, log=True)
    numbers *= _near(a["majority_share"], b["majority_share"], 0.25)
    english = [(side["language"] == "en").map({True: "en", False: "other"}) for side in (a, b)]
    total += weights["language"] * _equal(a["language"], b["language"])
    total += weights["english"] * _equal(*english)
    total += weights["task"] * _equal(a["task"], b["task"])
    total += weights["numbers"] * numbers
    total += weights["group"] * _equal(a["group"], b["group"])
    return total
