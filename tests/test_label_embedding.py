"""Tests of `calibration.classifiers.label_embedding`: the label nearest to the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration.classifiers.build import build, preparation_phase
from calibration.workloads.load import Texts
from catalog.records import Workload
from catalog.registry.candidates import CANDIDATES

CANDIDATE = next(c for c in CANDIDATES if c.name == "minilm-l6-zero-shot")
WORDS = {"0": "sports", "1": "cooking", "2": "money_and_banks"}
TEXTS = ["The striker scored twice in the final", "Fry the onions in butter", "My loan was refused"]


def test_a_text_takes_the_label_with_the_nearest_words(models: Path, one_thread: None) -> None:
    """No text is trained on; scores are cosines of unit vectors."""
    labels = sorted(WORDS)
    texts = Texts(Workload(name="w", task="w"), "0", TEXTS, labels, TEXTS, labels)
    texts.label_words.update(WORDS)
    fitted = build(CANDIDATE, "cpu", models, texts).fit(["unread"] * 3, labels)
    assert fitted.predict(TEXTS).tolist() == labels
    scores = fitted.decision_function(TEXTS)
    encoder = fitted.named_steps["head"].encoder
    own = encoder.transform(TEXTS) @ encoder.transform(["sports", "cooking", "money and banks"]).T
    np.testing.assert_allclose(scores, own, atol=1e-5)
    assert preparation_phase(CANDIDATE) == "load"


def test_the_label_vectors_follow_the_number_format(models: Path, one_thread: None) -> None:
    """Another format embeds the labels anew; cosines move a little."""
    texts = Texts(Workload(name="w", task="w"), "0", TEXTS, ["0"] * 3, TEXTS, ["0"] * 3)
    texts.label_words.update(WORDS)
    fitted = build(CANDIDATE, "cpu", models, texts).fit(TEXTS, sorted(WORDS))
    head = fitted.named_steps["head"]
    before = head.label_vectors_
    assert head.precision == "fp32"
    head.set_precision("bf16")
    assert head.precision == "bf16"
    assert not np.array_equal(before, head.label_vectors_)
    np.testing.assert_allclose(before, head.label_vectors_, atol=0.05)
