"""Records of the accuracy model: probes in, estimates out, and where a workload is placed."""

from __future__ import annotations

import msgspec
import numpy as np

from advisor.accuracy.scale import Array, sampling_variance

FEWEST_TEXTS = 100
"""Test texts an own probe needs: its 95 % interval is 8 points wide on either side there."""


class TooFewTextsError(ValueError):
    """A probe on too few test texts; the text names the number needed."""


class Probe(msgspec.Struct, frozen=True):
    """An accuracy measured on the new workload.

    Attributes:
        candidate: Name of the candidate.
        accuracy: 0-1, of the same regime as the model's rows (few-shot head).
        variance: Noise variance of the accuracy: of draws and of the test texts.
        self_reported: Whether it is the author's own figure.
    """

    candidate: str
    accuracy: float
    variance: float
    self_reported: bool = False

    @classmethod
    def own(cls, candidate: str, accuracy: float, n_test: int, sd: float = 0.0) -> Probe:
        """A measurement of one's own.

        Args:
            candidate: Name of the candidate.
            accuracy: Share of `n_test` texts that were classified correctly, 0-1; the mean where
                the head was trained on several draws.
            n_test: Test texts.
            sd: Standard error over draws of the training texts; 0 for a head on all of them.

        Raises:
            TooFewTextsError: `n_test` is under `FEWEST_TEXTS`.
            ValueError: The accuracy is not between 0 and 1.
        """
        if not 0 <= accuracy <= 1:
            raise ValueError(f"accuracy of {candidate}: {accuracy!r}; allowed: 0 to 1")
        if n_test < FEWEST_TEXTS:
            raise TooFewTextsError(
                f"{candidate} was tested on {n_test} texts; at least {FEWEST_TEXTS} are needed "
                "(an accuracy is uncertain by 8 points there), 400 for 4 points"
            )
        sampling = sampling_variance(np.array([accuracy]), np.array([float(n_test)]))
        return cls(candidate, accuracy, float(sampling[0]) + sd**2)


class Estimates(msgspec.Struct, frozen=True):
    """Accuracies of candidates on one workload.

    Attributes:
        candidates: Their names.
        accuracy: Medians, 0-1.
        low, high: Ends of the 90 % intervals.
        bound: One-sided 90 % lower bounds.
        logit, spread: Mean and standard deviation on the model's scale.
    """

    candidates: list[str]
    accuracy: Array
    low: Array
    high: Array
    bound: Array
    logit: Array
    spread: Array


class Contamination(msgspec.Struct, frozen=True):
    """Excess of candidates trained on the data set: intercept + slope x logit, with its SD."""

    intercept: float = 0.0
    slope: float = 0.0
    sd: float = 0.0


class Placement(msgspec.Struct, frozen=True):
    """Posterior of a workload's (1, level, scores): mean (D,) and covariance (D, D)."""

    mean: Array
    covariance: Array
