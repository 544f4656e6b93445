"""Tests of `catalog.registry` and `catalog.errors`: the declarations hang together."""

from __future__ import annotations

import re

import msgspec
import pytest
from sklearn import ensemble, linear_model, multiclass, naive_bayes, neural_network, pipeline, svm
from sklearn.feature_extraction import text as feature_extraction

from catalog import reference_data as bundled
from catalog.errors import BadRunFileError, Problem, UnknownNameError
from catalog.registry.candidates import CANDIDATES
from catalog.registry.obtaining import obtained_with
from catalog.registry.tasks import references
from catalog.registry.workloads import WORKLOADS

UNPINNED = {"phi-3.5-moe-zero-shot", "jamba-mini-1.5-zero-shot"}
"""Run from a local folder alone: no commit of theirs was verified."""


def test_names_are_unique_and_kebab_case() -> None:
    """A candidate's name is features then head, in kebab-case, and means one candidate."""
    names = [candidate.name for candidate in CANDIDATES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)*", name) for name in names)
    workloads = [workload.name for workload in WORKLOADS]
    assert len(set(workloads)) == len(workloads)


def test_every_default_workload_is_declared_for_its_task() -> None:
    """The default of a task exists and belongs to that task."""
    declared = bundled.workloads()
    for reference in references().values():
        assert declared[reference.workload].task == reference.task


def test_every_candidate_can_be_run_and_is_pinned() -> None:
    """What the registry declares is runnable; weights are pinned by a full commit."""
    for candidate in CANDIDATES:
        assert candidate.runnable
        assert candidate.features
        if candidate.checkpoint is not None:
            assert candidate.n_parameters
            assert re.fullmatch(r"[0-9a-f]{40}", candidate.revision or "") or (
                candidate.name in UNPINNED
            )


def test_zero_shot_candidates_state_what_they_ask() -> None:
    """Prompts name their places; experts that rest are not counted as active."""
    for candidate in CANDIDATES:
        if candidate.features == "zero-shot":
            places = ["{label}"] if candidate.head == "entailment" else ["{labels}", "{text}"]
            assert all(place in (candidate.prompt or "") for place in places)
        if candidate.n_active_parameters:
            assert candidate.n_active_parameters < (candidate.n_parameters or 0)
        assert (candidate.training is not None) == (candidate.features == "finetuned")


def test_the_registry_wins_over_the_published_names() -> None:
    """A declaration replaces a published description of the same name."""
    for ours, known in ((CANDIDATES, bundled.candidates()), (WORKLOADS, bundled.workloads())):
        for record in ours:
            for field in msgspec.structs.fields(record):
                declared = getattr(record, field.name)
                if declared != field.default:
                    assert getattr(known[record.name], field.name) == declared, record.name


def test_the_atlas_fills_what_a_declaration_leaves_open() -> None:
    """Facts of workloads and compute profiles come from the atlas."""
    assert bundled.workloads()["sst2"].majority_share == pytest.approx(0.5008, abs=1e-3)
    encoder = bundled.candidates()["minilm-l6-frozen-logistic"]
    assert (encoder.n_layers, encoder.width, encoder.runnable) == (6, 384, True)


def test_an_unknown_name_lists_what_exists_when_nothing_is_near() -> None:
    """Without a near name the message shows what there is."""
    error = UnknownNameError("task", "zzz", ["sentiment", "topic", "topic"])
    assert error.known == ["sentiment", "topic"]
    assert error.nearest == []
    assert str(error) == "unknown task 'zzz'; known: sentiment, topic"


def test_a_long_list_of_problems_is_cut_in_the_text_only() -> None:
    """The message stays readable; the problems are all there."""
    error = BadRunFileError("f", [Problem(i, "c", "wrong") for i in range(1, 81)])
    assert len(error.problems) == 80
    assert str(error).endswith("... and 30 more")
    assert "row 1 column 'c': wrong" in str(error)


def test_every_workload_is_pinned() -> None:
    """A declared workload names the commit or the file hash it stands for."""
    for workload in WORKLOADS:
        assert workload.revision, workload.name


def test_a_candidate_is_obtained_by_suite_weights_or_package() -> None:
    """What anybody can train is obtainable; a network without weights or package is not."""
    known = bundled.candidates()
    assert obtained_with(known["minilm-l6-finetuned"]) == (
        "joulewise calibrate --candidate minilm-l6-finetuned"
    )
    assert obtained_with(known["e5-mistral-7b-instruct-frozen-logistic"]) == (
        "hf download intfloat/e5-mistral-7b-instruct"
    )
    for name in ("tfidf-word-char-linear-svm", "bow-multinomial-nb", "tfidf-word-sgd"):
        if name in known:
            assert "make_pipeline(" in (obtained_with(known[name]) or "")
    assert "wordNgrams 2" in (obtained_with(known["fasttext-bigram"]) or "")
    for name in ("capsule-nlu", "hu-liu-zurich-lexicon", "bow-bigram-nb-svm"):
        assert obtained_with(known[name]) is None


def test_named_packages_train_what_they_are_named_for() -> None:
    """Each printed pipeline is an expression of scikit-learn that fits and predicts."""
    texts, labels = ["good film", "bad film", "great plot", "poor plot"] * 3, [1, 0, 1, 0] * 3
    modules = [ensemble, linear_model, multiclass, naive_bayes, neural_network, pipeline, svm]
    modules.append(feature_extraction)
    names = {name: getattr(module, name) for module in modules for name in module.__all__}
    printed = {obtained_with(each) or "" for each in bundled.candidates().values()}
    pipelines = [text for text in printed if text.startswith("scikit-learn: ")]
    assert len(pipelines) > 5
    for text in pipelines:
        model = eval(text.removeprefix("scikit-learn: "), names)  # noqa: S307
        assert list(model.fit(texts, labels).predict(texts)) == labels


def test_language_models_read_an_instruction_and_write_an_answer() -> None:
    """Every language model of the registry states the tokens beside the text's own."""
    models = [each for each in CANDIDATES if each.family == "zero-shot-llm"]
    assert models
    for each in models:
        assert each.prompt_tokens is not None
        assert each.generated_tokens is not None
