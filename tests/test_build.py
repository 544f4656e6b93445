"""Candidates: every declared one builds, learns and reaches its published accuracy."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from calibration.classifiers.build import build, libraries, n_parameters
from calibration.classifiers.errors import CannotRunError
from calibration.workloads import hub
from calibration.workloads.load import Texts, load
from catalog.errors import install_command
from catalog.records import Candidate
from catalog.registry.candidates import CANDIDATES, MINILM

SHARED = Path(__file__).parents[2] / "shared" / "data" / "textcls"
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
SPARSE = [
    name
    for name, candidate in BY_NAME.items()
    if not candidate.checkpoint and candidate.family in ("bag-of-words", "tf-idf")
]
MINILM_NAME = "minilm-l6-frozen-logistic"


@pytest.fixture(scope="session")
def synthetic() -> Texts:
    """The synthetic workload."""
    return load("synthetic", None, {})


def accuracy(fitted: Pipeline, texts: Texts, limit: int | None = None) -> float:
    """Share of the first `limit` test texts that are answered right."""
    answers = fitted.predict(texts.test[:limit])
    return float(np.mean(answers == np.array(texts.test_labels[:limit])))


@pytest.mark.parametrize("name", SPARSE)
def test_every_sparse_candidate_learns(name: str, synthetic: Texts) -> None:
    """An ordinary Pipeline that is far better than chance (0.25) after a small fit."""
    fitted = build(BY_NAME[name], "cpu")
    assert isinstance(fitted, Pipeline)
    few = 250 if name.endswith("lightgbm") else 2000
    fitted.fit(synthetic.train[:few], synthetic.train_labels[:few])
    assert accuracy(fitted, synthetic, 300) > 0.35
    assert (n_parameters(fitted, BY_NAME[name]) or 0) > 100


def test_a_linear_models_parameters_are_its_coefficients(synthetic: Texts) -> None:
    """Coefficients and intercepts of all classes are counted."""
    fitted = build(BY_NAME["bow-logistic"], "cpu").fit(synthetic.train, synthetic.train_labels)
    words = len(fitted.named_steps["features"].vocabulary_)
    assert n_parameters(fitted, BY_NAME["bow-logistic"]) == 4 * words + 4


def test_trees_count_leaves_and_splits(synthetic: Texts) -> None:
    """A tree with n leaves has n - 1 splits."""
    few = slice(0, 200)
    fitted = build(BY_NAME["bow-lightgbm"], "cpu")
    fitted.fit(synthetic.train[few], synthetic.train_labels[few])
    table = fitted.named_steps["head"].booster_.trees_to_dataframe()
    assert n_parameters(fitted, BY_NAME["bow-lightgbm"]) == len(table)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(
    ("workload", "published"),
    [("sst2", 0.782), ("banking77", 0.855), ("tweeteval_emotion", 0.598), ("germeval2018", 0.685)],
)
def test_tfidf_logistic_reproduces_the_data_sheet(workload: str, published: float) -> None:
    """Test accuracy is within one point of the figure stated with the data."""
    texts = load(workload, SHARED, {})
    fitted = build(BY_NAME["tfidf-word-logistic"], "cpu").fit(texts.train, texts.train_labels)
    assert accuracy(fitted, texts) == pytest.approx(published, abs=0.01)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(
    ("workload", "plain"), [("sst2", 0.782), ("tweeteval_emotion", 0.598), ("germeval2018", 0.685)]
)
def test_tuned_tfidf_beats_the_plain_one(workload: str, plain: float) -> None:
    """Sublinear frequencies and C = 10 gain two points and more."""
    texts = load(workload, SHARED, {})
    fitted = build(BY_NAME["tfidf-word-tuned-logistic"], "cpu")
    assert accuracy(fitted.fit(texts.train, texts.train_labels), texts) > plain + 0.02


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_the_frozen_encoder_learns(models: Path) -> None:
    """400 sentences are enough for sentiment well above chance; parameters are counted."""
    texts = load("sst2", SHARED, {})
    candidate = BY_NAME[MINILM_NAME]
    fitted = build(candidate, "cpu", models).fit(texts.train[:400], texts.train_labels[:400])
    assert accuracy(fitted, texts, 200) > 0.7
    assert n_parameters(fitted, candidate) == 22_713_216 + 384 + 1


def test_embeddings_are_unit_vectors_in_the_order_of_the_texts(models: Path) -> None:
    """Sorting by length inside leaves no trace, and one text at a time gives the same."""
    encoder = build(BY_NAME[MINILM_NAME], "cpu", models).named_steps["features"].fit([])
    texts = ["a long sentence about rivers and lakes in spring", "short", "", "two words"]
    vectors = encoder.transform(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    single = np.vstack([encoder.transform([text]) for text in texts])
    np.testing.assert_allclose(vectors, single, atol=1e-5)


def test_an_encoder_pools_as_its_checkpoint_states(models: Path) -> None:
    """Vectors are those of sentence-transformers, and the head's features nothing else."""
    transformer = pytest.importorskip("sentence_transformers").SentenceTransformer
    encoder = build(BY_NAME[MINILM_NAME], "cpu", models).named_steps["features"].fit([])
    texts = ["one", "two words", "a third, longer text"]
    folder = str(models / MINILM)
    own = transformer(folder, device="cpu", local_files_only=True).encode(
        texts, show_progress_bar=False
    )
    np.testing.assert_allclose(encoder.transform(texts), own, atol=1e-6)
    assert encoder.model_.max_seq_length == 256


def test_a_local_checkpoint_is_not_looked_for_on_the_hub(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The local folder comes first."""
    monkeypatch.setattr(hub, "_download", lambda *_: pytest.fail("asked the hub"))
    build(BY_NAME[MINILM_NAME], "cpu", models)


def test_a_missing_checkpoint_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither local nor reachable: the reason names folder and hub."""
    monkeypatch.setattr(hub, "_download", lambda *_: "the hub cannot be read (ConnectError)")
    with pytest.raises(CannotRunError, match=f"{MINILM} is not in {tmp_path}.*ConnectError"):
        build(BY_NAME[MINILM_NAME], "cpu", tmp_path)


def test_a_broken_checkpoint_cannot_run(tmp_path: Path) -> None:
    """A folder without weights is a reason, not a crash."""
    (tmp_path / MINILM).mkdir(parents=True)
    (tmp_path / MINILM / "config.json").write_text("{}")
    with pytest.raises(CannotRunError, match="cannot be loaded"):
        build(BY_NAME[MINILM_NAME], "cpu", tmp_path).named_steps["features"].fit([])


def test_a_missing_library_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the library and the extra to install."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "torch" else find(n))
    with pytest.raises(
        CannotRunError, match=re.escape(f"torch not installed; {install_command('calibration')}")
    ):
        build(BY_NAME[MINILM_NAME], "cpu")


@pytest.mark.parametrize("parts", [{"head": "oracle"}, {"features": "tea", "head": "logistic"}])
def test_an_unknown_part_lists_the_known(parts: dict[str, str]) -> None:
    """A declaration nothing builds is told with what there is."""
    with pytest.raises(CannotRunError, match="known: "):
        build(Candidate(name="odd", family="other", **{"features": "bow", **parts}), "cpu")


def test_libraries_are_those_that_do_the_work() -> None:
    """Only they make a stored figure stale."""
    assert libraries(BY_NAME["bow-lightgbm"]) == ("lightgbm", "scikit-learn")
    neural = ("scikit-learn", "sentence-transformers", "torch", "transformers")
    assert libraries(BY_NAME[MINILM_NAME]) == neural
