"""The scale of the accuracy model: the logit of accuracy above chance, and noise on it.

Chance is one over the number of classes: what a head trained on balanced samples reaches with
useless features, whatever the shares of the classes in the test set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST, MOST = 0.02, 0.995
"""Share of the way from chance to 1 outside of which values are clipped before the logit."""
NORMAL_90 = 1.6448536
"""Standard deviations on either side of a normal 90 % interval."""
ONE_SIDED_90 = 1.2815516
SELF_REPORT_SD = 0.04
"""Standard deviation of a self-reported accuracy around a run of the same cell: mean gap 0.027,
90 % within 0.082 in 1,212 cells of the MTEB results repository."""
UNSHARED = 0.3
"""Share of the sampling variance of a test set that two models on the same texts do not share."""


def to_logit(accuracy: Array, chance: Array) -> Array:
    """Logit of the share of the way from `chance` to 1; accuracies 0-1, NaN stays NaN."""
    share = np.clip((accuracy - chance) / (1 - chance), LEAST, MOST)
    found: Array = np.log(share / (1 - share))
    return found


def to_accuracy(logit: Array, chance: Array) -> Array:
    """Inverse of `to_logit`: accuracies between `chance` and 1."""
    found: Array = chance + (1 - chance) / (1 + np.exp(-logit))
    return found


def slope(accuracy: Array, chance: Array) -> Array:
    """Derivative of the logit by the accuracy, for noise by the delta method."""
    share = np.clip((accuracy - chance) / (1 - chance), LEAST, MOST)
    found: Array = 1 / ((1 - chance) * share * (1 - share))
    return found


def sampling_variance(accuracy: Array, n_test: Array) -> Array:
    """Binomial variance of an accuracy on `n_test` texts, two added, one of them right."""
    centre = (accuracy * n_test + 1) / (n_test + 2)
    found: Array = centre * (1 - centre) / (n_test + 2)
    return found


def published_variance(
    accuracy: Array, sd: Array, n_draws: Array, n_test: Array, self_reported: NDArray[np.bool_]
) -> Array:
    """Variance of a published mean over draws, as far as it differs between models.

    Args:
        accuracy: Mean accuracy over the draws, 0-1.
        sd: Standard deviation over the draws; NaN where not stated: the median of the others.
        n_draws: Training draws; NaN counts as 1.
        n_test: Test texts; NaN counts as 1,000.
        self_reported: Values stated by a model's author.

    Returns:
        SD squared over draws, plus the unshared part of the test set's sampling variance, plus the
        spread of self-reports.
    """
    stated = sd[np.isfinite(sd)]
    usual = float(np.median(stated)) if len(stated) else 0.02
    draws = np.where(np.isfinite(sd), sd, usual) ** 2 / np.where(np.isfinite(n_draws), n_draws, 1)
    texts = sampling_variance(accuracy, np.where(np.isfinite(n_test), n_test, 1000.0))
    found: Array = draws + UNSHARED * texts + self_reported * SELF_REPORT_SD**2
    return found
