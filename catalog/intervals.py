"""Intervals of a share of right answers (Wilson 1927)."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Two-sided Wilson score interval of a share of `n` items.

    Args:
        share: Observed share, 0 to 1.
        n: Items it was observed on, at least 1.
        confidence: Coverage, e.g. 0.95.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    return _bounds(share, n, z)


def wilson_lower(share: float, n: int, confidence: float) -> float:
    """One-sided lower Wilson bound: the share is above it with the given confidence."""
    return _bounds(share, n, NormalDist().inv_cdf(confidence))[0]


def wilson_lower_bounds(shares: Array, n: Array, confidence: float) -> Array:
    """`wilson_lower` of many shares; NaN where a share or its `n` is."""
    square = NormalDist().inv_cdf(confidence) ** 2 / n
    half = np.sqrt(square * (shares * (1 - shares) + square / 4))
    return np.asarray(np.maximum(0.0, (shares + square / 2 - half) / (1 + square)))


def _bounds(share: float, n: int, z: float) -> tuple[float, float]:
    """The roots of the score equation, clipped to [0, 1]."""
    square = z * z / n
    centre = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)
