"""From few-shot to full training data: the gain on the logit scale, from probes measured both ways.

A head on all training texts of a workload is better than one on a few per class by about the same
amount on the logit scale for different candidates; so probes measured both ways on that workload
tell the gain of the others. Without such a probe there is no estimate.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from advisor.accuracy.records import Estimates
from advisor.accuracy.scale import NORMAL_90, ONE_SIDED_90, slope, to_accuracy, to_logit

GAIN_SD = 0.3
"""Assumed standard deviation of the gain between candidates of one workload, in logits; the probes'
own spread replaces it by `GAIN_ROWS` assumed ones and one for each probe beyond the first."""
GAIN_ROWS = 2.0


class Pair(msgspec.Struct, frozen=True):
    """Accuracies of one candidate on one workload, few-shot and full, with noise variances."""

    few: float
    full: float
    few_variance: float = 0.0
    full_variance: float = 0.0


class Gain(msgspec.Struct, frozen=True):
    """Gain of full training data over few-shot, in logits.

    Attributes:
        mean: Mean over the probes, weighted by their noise.
        error: Standard error of the mean.
        sd: Standard deviation between candidates.
    """

    mean: float
    error: float
    sd: float


def gain(pairs: Sequence[Pair], chance: float) -> Gain:
    """The gain of a workload.

    Args:
        pairs: Probes that were measured both ways, at least one.
        chance: Accuracy of guessing, 0-1.

    Raises:
        ValueError: There is no pair.
    """
    if not pairs:
        raise ValueError("no probe was measured few-shot and with full data; at least 1 is needed")
    at = np.full(len(pairs), chance)
    few, full = np.array([p.few for p in pairs]), np.array([p.full for p in pairs])
    gaps = to_logit(full, at) - to_logit(few, at)
    noise = np.array([p.few_variance for p in pairs]) * slope(few, at) ** 2
    noise = noise + np.array([p.full_variance for p in pairs]) * slope(full, at) ** 2
    squares = float(((gaps - gaps.mean()) ** 2).sum())
    sd2 = (GAIN_ROWS * GAIN_SD**2 + squares) / (GAIN_ROWS + len(pairs) - 1)
    weights = 1 / (noise + sd2)
    mean = float((weights * gaps).sum() / weights.sum())
    return Gain(mean, float(weights.sum() ** -0.5), float(np.sqrt(sd2)))


def with_full_data(few: Estimates, gained: Gain, chance: float) -> Estimates:
    """Estimates of few-shot heads as estimates of heads on all training texts.

    The intervals widen by the gain's spread between candidates and the error of its mean.
    """
    shifted = msgspec.structs.replace(few, logit=few.logit + gained.mean)
    return with_spread(shifted, float(np.hypot(gained.sd, gained.error)), chance)


def with_spread(found: Estimates, sd: float, chance: float) -> Estimates:
    """Estimates at their logits, with intervals that a further standard deviation widens."""
    at = np.full(len(found.candidates), chance)
    logit, spread = found.logit, np.hypot(found.spread, sd)
    low, high = (to_accuracy(logit + s * NORMAL_90 * spread, at) for s in (-1, 1))
    bound = to_accuracy(logit - ONE_SIDED_90 * spread, at)
    return Estimates(found.candidates, to_accuracy(logit, at), low, high, bound, logit, spread)
