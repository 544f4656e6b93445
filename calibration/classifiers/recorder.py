"""What a fitted classifier answers, with how sure it is, kept while its accuracy is taken.

A text goes through the model once: labels and scores come from the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catalog.predictions import pack


class PredictionRecorder:
    """A classifier whose answers are remembered.

    The score of an answer is the probability of its class where the model has one (softmax of
    logits or label log-probabilities), and the logistic function or softmax of the distances to
    the boundaries where it has those alone (linear SVM): a number that orders texts by how sure
    the model is, and is not calibrated. A generated answer has none.

    Args:
        fitted: A fitted Pipeline; texts in, labels out.
    """

    def __init__(self, fitted: Any) -> None:
        self._fitted = fitted
        self._labels: list[str] = []
        self._scores: list[float] = []

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Labels of some more texts; what raises is not remembered."""
        labels, scores = _labels_and_scores(self._fitted, texts)
        self._labels += labels
        self._scores += scores
        return labels

    def packed(self, truth: Sequence[str]) -> bytes:
        """All answers beside the true classes; without scores unless every text has one.

        Raises:
            ValueError: They are not as many as `truth`.
        """
        import numpy as np

        sure = np.asarray(self._scores, dtype=float)
        whole = len(sure) == len(self._labels) and bool(np.isfinite(sure).all())
        return pack(truth, self._labels, sure.clip(0, 1).tolist() if whole else None)


def _labels_and_scores(fitted: Any, texts: Sequence[str]) -> tuple[list[str], list[float]]:
    """Labels and scores; no scores where the last step cannot say any."""
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
        answers = head.classes_[(values > 0).astype(int)]
        return _as_str(answers), _logistic(abs(values)).tolist()
    return _as_str(head.classes_[values.argmax(axis=1)]), _softmax(values).max(axis=1).tolist()


def _as_str(labels: Any) -> list[str]:
    """Labels as texts of Python."""
    return [str(label) for label in labels]


def _logistic(values: Any) -> Any:
    """1 / (1 + exp(-x)) of distances that are not negative."""
    import numpy as np

    return 1 / (1 + np.exp(-values.astype(float)))


def _softmax(values: Any) -> Any:
    """Shares of exponentials along the classes."""
    import numpy as np

    raised = np.exp(values.astype(float) - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
