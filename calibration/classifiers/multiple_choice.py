"""Multiple choice by label likelihood: questions with options in, letters of answers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.classifiers.zero_shot import ZeroShotLanguageModel
from calibration.workloads.multiple_choice import count_options

PROMPT = (
    "Answer the multiple-choice question with the letter of the right option and nothing else.\n\n"
    "{text}\n\nAnswer:"
)
NO_LIMIT = 10**6
"""Tokens of a question at most: none is truncated, as its options stand at the end."""


class MultipleChoiceModel(ZeroShotLanguageModel):
    """A causal language model; the most probable letter among a question's options is the answer.

    `label_words` holds the letters; labels of training texts are not looked at.
    """

    def fit(self, X: Sequence[str], y: Sequence[str] = ()) -> Any:  # noqa: ARG002
        """Loads tokenizer and weights; see `ZeroShotLanguageModel`."""
        return super().fit(X, list(self.label_words))

    def decision_function(self, X: Sequence[str]) -> Any:
        """Log-probabilities of the letters, ``(len(X), letters)``; -inf beyond a text's options."""
        scores = super().decision_function(X)
        counts = np.array([count_options(text) for text in X])
        return np.where(np.arange(len(self.classes_)) < counts[:, None], scores, -np.inf)
