"""Zero-shot classification by label embedding: the label whose words lie nearest to the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class LabelEmbeddingClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An encoder of texts and labels; a label's score is the cosine of the two vectors.

    Args:
        encoder: Transformer of texts into unit vectors, unfitted.
        label_text: What is embedded for a label, with the placeholder ``{label}``.
        label_words: Label -> the words for it; the label itself by default.
    """

    def __init__(
        self, encoder: Any, label_words: Mapping[str, str], label_text: str = "{label}"
    ) -> None:
        self.encoder = encoder
        self.label_words = label_words
        self.label_text = label_text

    @property
    def precision(self) -> str:
        """Numeric format of the encoder's weights."""
        return str(self.encoder.precision)

    @property
    def passes_(self) -> Any:
        """The encoder's forward passes."""
        return self.encoder.passes_

    def fit(self, X: Sequence[str], y: Sequence[str]) -> LabelEmbeddingClassifier:  # noqa: ARG002
        """Loads the encoder and embeds the labels; of `y` only the set of labels is used.

        Raises:
            CannotRunError: The encoder cannot be loaded.
        """
        self.classes_ = np.array(sorted(set(y)))
        self.encoder.fit([])
        self._embed_labels()
        return self

    @property
    def backend(self) -> str:
        """Serving backend of the encoder."""
        return str(self.encoder.backend)

    def set_precision(self, precision: str, backend: str = "torch") -> LabelEmbeddingClassifier:
        """Loads the weights in another number format or on another backend; returns itself."""
        self.encoder.set_precision(precision, backend)
        self._embed_labels()
        return self

    def _embed_labels(self) -> None:
        """Embeds the words of each label."""
        words = [self.label_words.get(label, str(label)) for label in self.classes_]
        texts = [self.label_text.format(label=word.replace("_", " ")) for word in words]
        self.label_vectors_ = self.encoder.transform(texts)

    def predict(self, X: Sequence[str]) -> Any:
        """Labels with the highest cosine, shape ``(len(X),)``."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def decision_function(self, X: Sequence[str]) -> Any:
        """Cosines (-1 to 1) of shape ``(len(X), n_classes)``."""
        return self.encoder.transform(X) @ self.label_vectors_.T
