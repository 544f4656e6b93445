"""Intervals of a share of right answers (Wilson 1927)."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from catalog import evidence

Array = NDArray[np.float64]


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Two-sided Wilson score interval of a share of `n` items.

    Args:
        share: Observed share, 0 to 1.
        n: Items it was observed on, at least 1.
        confidence: Coverage, e.g. 0.95.
    """
    return evidence.wilson(share, n, NormalDist().inv_cdf((1 + confidence) / 2))


def wilson_lower(share: float, n: int, confidence: float) -> float:
    """One-sided lower Wilson bound: the share is above it with the given confidence."""
    return evidence.wilson(share, n, NormalDist().inv_cdf(confidence))[0]


def lower_bounds(shares: Array, n: Array, sd: Array, confidence: float) -> Array:
    """One-sided lower bounds of many shares; NaN where a share or its `n` is.

    Args:
        shares: Observed shares.
        n: Items each was observed on.
        sd: Standard deviation of one training draw or between sources, 0 where there is none.
        confidence: Coverage, e.g. 0.9.
    """
    z = NormalDist().inv_cdf(confidence)
    square = z**2 / n
    half = np.sqrt(square * (shares * (1 - shares) + square / 4))
    wilson_low = (shares + square / 2 - half) / (1 + square)
    return np.asarray(np.maximum(0.0, shares - np.hypot(shares - wilson_low, z * sd)))
