"""Compute profiles: tokens, passes and FLOP of one text."""

from __future__ import annotations

import pytest

from catalog import atlas
from catalog.profiles import ASSUMED_TOKENS, flops_per_token, text_tokens, work
from catalog.records import Candidate, Workload

ENGLISH = Workload(name="w", task="t", language="en", n_classes=77, mean_chars=86)
ENCODER = Candidate(
    name="e",
    family="frozen-encoder",
    n_parameters=22.7e6,
    n_embedding_parameters=11.7e6,
    n_layers=6,
    width=384,
    max_tokens=256,
)


def test_length_by_script_and_its_basis() -> None:
    """Length by script and its basis."""
    assert text_tokens(ENGLISH) == (86 / 4.3 + 2, "characters")
    chinese = Workload(name="c", task="t", language="zh", mean_chars=86)
    assert text_tokens(chinese)[0] > 2 * text_tokens(ENGLISH)[0]
    assert text_tokens(Workload(name="n", task="t")) == (ASSUMED_TOKENS, "assumed")
    counted = Workload(name="k", task="t", mean_tokens=31, mean_chars=86)
    assert text_tokens(counted) == (31, "tokens")


def test_flop_of_an_encoder_are_recomputed_from_its_shape() -> None:
    """FLOP of an encoder are recomputed from its shape."""
    found = work(ENCODER, ENGLISH)
    tokens = 22.0
    assert found.tokens == tokens
    assert found.flops == pytest.approx(2 * 11e6 * tokens + 4 * 6 * 384 * tokens**2)
    assert found.passes == 1


def test_entailment_reads_a_text_once_for_each_class() -> None:
    """Entailment reads a text once for each class."""
    nli = Candidate(name="n", family="zero-shot-nli", n_parameters=1e8, one_pass_per_class=True)
    one = work(nli, Workload(name="b", task="t", n_classes=2, mean_tokens=20)).flops
    many = work(nli, Workload(name="b", task="t", n_classes=77, mean_tokens=20)).flops
    assert one is not None
    assert many is not None
    assert many / one == pytest.approx(77 / 2)


def test_demonstrations_and_labels_lengthen_a_prompt() -> None:
    """Demonstrations and labels lengthen a prompt."""
    plain = Candidate(name="z", family="zero-shot-llm", n_parameters=1e9, generated_tokens=5)
    shown = Candidate(
        name="f",
        family="few-shot-llm",
        n_parameters=1e9,
        generated_tokens=5,
        demonstrations_per_class=1,
    )
    assert work(shown, ENGLISH).tokens == pytest.approx(
        work(plain, ENGLISH).tokens + 77 * (22.0 + 3)
    )


def test_long_texts_are_cut_and_experts_count_active_parameters() -> None:
    """Long texts are cut and experts count active parameters."""
    long = Workload(name="l", task="t", language="en", mean_chars=10_000)
    assert work(ENCODER, long).tokens == 256
    experts = Candidate(
        name="m", family="zero-shot-llm", n_parameters=40e9, n_active_parameters=6e9
    )
    assert flops_per_token(experts) == 12e9
    assert flops_per_token(Candidate(name="x", family="lexicon")) is None


def test_bundled_shapes_give_the_published_sizes() -> None:
    """Layers and width of well-known checkpoints explain their parameters within a few percent."""
    checked = 0
    for candidate in atlas.candidates().values():
        if candidate.profile_basis != "config" or candidate.family == "zero-shot-reranker":
            continue
        if candidate.n_layers is None or candidate.width is None or not candidate.n_parameters:
            continue
        body = 12 * candidate.n_layers * candidate.width**2
        table = candidate.n_embedding_parameters or 0
        if "albert" in candidate.name:  # one set of weights for all layers
            body //= candidate.n_layers
        if "mobilebert" in candidate.name:  # blocks narrow to a quarter of the width
            continue
        dense = candidate.n_parameters < 1e9
        if dense and candidate.family in ("fine-tuned-encoder", "zero-shot-nli"):
            checked += 1
            assert 0.6 < (body + table) / candidate.n_parameters < 1.6, candidate.name
    assert checked > 40
