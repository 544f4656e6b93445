"""Few-shot training as in MTEB: a few texts per label in, a fitted Pipeline out, scored over draws.

The protocol of MTEB's classification tasks (Muennighoff et al. 2022, arXiv:2210.07316): texts per
label drawn without replacement from the shuffled training texts, logistic regression with at most
100 iterations on their vectors, ten draws whose mean accuracy is the result. Its order of texts is
shuffled anew for each draw by a generator of the same seed, which permutes the last order again.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import Pipeline

SEED = 42
"""Seed of MTEB's draws."""
DRAWS = 10
MAX_ITERATIONS = 100
Rows = np.ndarray[Any, np.dtype[np.int64]]


def draws(labels: Sequence[str], samples_per_label: int, n_draws: int = DRAWS) -> Iterator[Rows]:
    """Rows of each draw's training texts, in drawn order.

    Args:
        labels: Labels of all training texts.
        samples_per_label: Texts per label; of a rarer label all.
        n_draws: Number of draws.
    """
    order = np.arange(len(labels))
    for _ in range(n_draws):
        np.random.RandomState(SEED).shuffle(order)
        taken: Counter[str] = Counter()
        rows = []
        for row in order.tolist():
            if taken[labels[row]] < samples_per_label:
                taken[labels[row]] += 1
                rows.append(row)
        yield np.array(rows)


class DrawScores(NamedTuple):
    """Accuracy and macro-F1 (0-1) of the draws: means, and the sample SD of one draw's accuracy."""

    accuracy: float
    macro_f1: float
    accuracy_sd: float
    n_draws: int


class FewShotPipeline(Pipeline):  # type: ignore[misc]
    """Features and a logistic regression fitted on the first draw's texts.

    Args:
        steps: ``features`` and ``head``, as of a Pipeline.
        samples_per_label: Training texts per label.
        transform_input: As of a Pipeline; likewise `memory` and `verbose`.

    Attributes:
        n_trained_: Training texts used.
    """

    def __init__(
        self,
        steps: list[tuple[str, Any]],
        *,
        samples_per_label: int = 8,
        transform_input: Any = None,
        memory: Any = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(steps, transform_input=transform_input, memory=memory, verbose=verbose)
        self.samples_per_label = samples_per_label

    def fit(self, X: Sequence[str], y: Sequence[str]) -> FewShotPipeline:
        """Fits on the first draw; the other training texts are not looked at."""
        rows = next(draws(y, self.samples_per_label))
        self.n_trained_ = len(rows)
        super().fit([X[row] for row in rows], [y[row] for row in rows])
        return self

    def score_draws(
        self,
        X: Sequence[str],
        y: Sequence[str],
        test: Sequence[str],
        truth: Sequence[str],
        n_draws: int = DRAWS,
    ) -> DrawScores:
        """Accuracy of one head per draw, on the fitted features; each text is embedded once.

        Args:
            X: Training texts.
            y: Their labels.
            test: Test texts.
            truth: Their labels.
            n_draws: Number of draws, at least 2.
        """
        features, head = self.named_steps["features"], self.named_steps["head"]
        chosen = list(draws(y, self.samples_per_label, n_draws))
        rows = np.unique(np.concatenate(chosen))
        place = {row: at for at, row in enumerate(rows)}
        vectors = features.transform([X[row] for row in rows])
        test_vectors = features.transform(test)
        accuracies, scores = [], []
        for drawn in chosen:
            fitted = clone(head)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # 100 iterations need not converge
                fitted.fit(vectors[[place[row] for row in drawn]], [y[row] for row in drawn])
            answers = fitted.predict(test_vectors)
            accuracies.append(accuracy_score(truth, answers))
            scores.append(f1_score(truth, answers, average="macro", zero_division=0))
        sd = float(np.std(accuracies, ddof=1))
        return DrawScores(float(np.mean(accuracies)), float(np.mean(scores)), sd, len(chosen))


def few_shot_pipeline(features: Any, samples_per_label: int) -> FewShotPipeline:
    """An unfitted few-shot classifier on some features."""
    head = LogisticRegression(max_iter=MAX_ITERATIONS)
    return FewShotPipeline(
        [("features", features), ("head", head)], samples_per_label=samples_per_label
    )
