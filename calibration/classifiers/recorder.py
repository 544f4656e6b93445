"""Recording of a fitted classifier's predictions: texts in; labels and confidence scores, packed.

Each text passes the model once: label and score come from the same output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catalog.predictions import pack


class PredictionRecorder:
    """A classifier that records its predictions.

    The score (0-1) of a prediction is the probability of its class if the model has one (softmax
    of logits or label log-probabilities). For models with decision values only (linear SVM) it is
    their logistic function or softmax: it ranks texts by confidence but is not calibrated.
    Generated labels have no score.

    Args:
        fitted: A fitted Pipeline; texts in, labels out.
    """

    def __init__(self, fitted: Any) -> None:
        self._fitted = fitted
        self._labels: list[str] = []
        self._scores: list[float] = []

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Labels of further texts; a call that raises records nothing."""
        labels, scores = _labels_and_scores(self._fitted, texts)
        self._labels += labels
        self._scores += scores
        return labels

    def packed(self, truth: Sequence[str]) -> bytes:
        """All recorded predictions with the true labels, packed by `catalog.predictions.pack`.

        Scores are included only if every prediction has a finite one.

        Args:
            truth: True labels in the order of the recorded texts.

        Raises:
            ValueError: The number of predictions differs from that of `truth`.
        """
        import numpy as np

        scores = np.asarray(self._scores, dtype=float)
        complete = len(scores) == len(self._labels) and bool(np.isfinite(scores).all())
        return pack(truth, self._labels, scores.clip(0, 1).tolist() if complete else None)


def _labels_and_scores(fitted: Any, texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Labels and scores of a fitted Pipeline; no scores if its last step offers none."""
    steps = list(fitted.named_steps.values())
    head, inputs = steps[-1], fitted[:-1].transform(texts) if len(steps) > 1 else texts
    if getattr(head, "scoring", None) == "generation":
        return _as_str(head.predict(inputs)), []
    if hasattr(head, "predict_proba"):
        return _as_str(head.predict(inputs)), head.predict_proba(inputs).max(axis=1).tolist()
    if not hasattr(head, "decision_function"):
        return _as_str(head.predict(inputs)), []
    values = head.decision_function(inputs)
    if values.ndim == 1:
        labels = head.classes_[(values > 0).astype(int)]
        return _as_str(labels), _logistic(abs(values)).tolist()
    return _as_str(head.classes_[values.argmax(axis=1)]), _softmax(values).max(axis=1).tolist()


def _as_str(labels: Any) -> list[str]:
    """NumPy labels as Python strings."""
    return [str(label) for label in labels]


def _logistic(values: Any) -> Any:
    """Logistic function 1 / (1 + exp(-x)) of non-negative decision values."""
    import numpy as np

    return 1 / (1 + np.exp(-values.astype(float)))


def _softmax(values: Any) -> Any:
    """Softmax over the classes (axis 1)."""
    import numpy as np

    exponentials = np.exp(values.astype(float) - values.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
