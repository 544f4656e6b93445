"""Tests of `recorder`: labels as the classifier says them, scores that order them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from calibration.classifiers.build import build
from calibration.classifiers.recorder import PredictionRecorder
from calibration.workloads.load import load
from catalog.predictions import unpack
from catalog.registry.candidates import CANDIDATES

TEXTS = load("synthetic", None, {})
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}


@pytest.mark.parametrize(
    "name",
    ["bow-complement-nb", "bow-logistic", "tfidf-word-linear-svm", "tfidf-char-lightgbm"],
)
def test_answers_are_those_of_predict(name: str) -> None:
    """Chunk by chunk, with a score from 0 to 1 that is the model's own where it has one."""
    fitted = build(BY_NAME[name], "cpu").fit(TEXTS.train, TEXTS.train_labels)
    recorder = PredictionRecorder(fitted)
    said = [*recorder.predict(TEXTS.test[:400]), *recorder.predict(TEXTS.test[400:])]
    assert said == [str(label) for label in fitted.predict(TEXTS.test)]
    answers = unpack(recorder.packed(TEXTS.test_labels))
    assert [answers.classes[n] for n in answers.predicted] == said
    assert answers.accuracy == pytest.approx(np.mean(np.array(said) == TEXTS.test_labels))
    assert answers.score is not None
    if hasattr(fitted[-1], "predict_proba"):
        expected = fitted.predict_proba(TEXTS.test).max(axis=1)
        assert answers.score == pytest.approx(expected, abs=1e-6)


class Head:
    """A last step with scores of its own."""

    def __init__(self, values: Any, **more: Any) -> None:
        self.values, self.classes_ = np.array(values), np.array(["a", "b", "c"])
        self.__dict__ |= more

    def predict(self, texts: Any) -> Any:
        """Always the second class."""
        return np.array(["b"] * len(texts))

    def decision_function(self, texts: Any) -> Any:
        """The given values."""
        return self.values[: len(texts)]


class Alone:
    """A pipeline of one step."""

    def __init__(self, head: Any) -> None:
        self.named_steps = {"head": head}


def test_logits_become_probabilities() -> None:
    """Softmax by hand; the label is that of the largest."""
    recorder = PredictionRecorder(Alone(Head([[0.0, np.log(3), 0.0], [1000.0, 0.0, 0.0]])))
    assert recorder.predict(["x", "y"]) == ["b", "a"]
    answers = unpack(recorder.packed(["b", "b"]))
    assert answers.score == pytest.approx([0.6, 1.0])
    assert answers.accuracy == 0.5


def test_margins_of_two_classes_order_texts_by_how_sure_they_are() -> None:
    """The sign is the label, the distance the score, from one half upwards."""
    recorder = PredictionRecorder(Alone(Head([-2.0, 0.5, -0.1])))
    assert recorder.predict(["x", "y", "z"]) == ["a", "b", "a"]
    score = unpack(recorder.packed(["a", "a", "a"])).score
    assert score is not None
    assert score[0] > score[1] > score[2] > 0.5


def test_generated_answers_have_no_score() -> None:
    """Nothing is made up; neither is it where some number is none."""
    recorder = PredictionRecorder(Alone(Head([[1.0, 2.0, 3.0]], scoring="generation")))
    assert recorder.predict(["x"]) == ["b"]
    assert unpack(recorder.packed(["b"])).score is None
    broken = PredictionRecorder(Alone(Head([[np.nan, np.nan, np.nan]])))
    broken.predict(["x"])
    assert unpack(broken.packed(["b"])).score is None
