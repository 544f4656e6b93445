"""Tests of `calibration.classifiers.static`: vectors from packages and folders, averaged."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from calibration.classifiers.build import build, is_neural, libraries, n_parameters, runs_on
from calibration.classifiers.errors import CannotRunError
from calibration.classifiers.static import Model2Vec, WordLlama
from calibration.workloads.load import load
from catalog.registry.candidates import CANDIDATES

SHARED = Path(__file__).parents[2] / "shared" / "data" / "textcls"
BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}
POTION = BY_NAME["potion-base-8m-static-logistic"]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder in the form of model2vec: four words with vectors of two numbers."""
    pytest.importorskip("model2vec")
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    folder = tmp_path / (POTION.checkpoint or "")
    folder.mkdir(parents=True)
    words = {"[UNK]": 0, "[PAD]": 1, "good": 2, "bad": 3}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    vectors = np.array([[0, 0], [0, 0], [3, 4], [-3, 4]], dtype=np.float32)
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"normalize": True}))
    return tmp_path


def test_wordllama_averages_the_vectors_of_the_word_pieces() -> None:
    """Recomputed from the package's own files; a text without word pieces is zeros."""
    found = importlib.util.find_spec("wordllama")
    if found is None or not found.submodule_search_locations:
        pytest.skip("wordllama is not installed")
    from safetensors.numpy import load_file

    folder = Path(found.submodule_search_locations[0])
    (vectors,) = load_file(folder / "weights" / "l2_supercat_256.safetensors").values()
    candidate = BY_NAME["wordllama-static-logistic"]
    assert candidate.n_parameters == vectors.size
    assert candidate.flops_per_token == vectors.shape[1]
    encoder = WordLlama().fit([])
    text = "A film about rivers"
    pieces = encoder.tokenizer_.encode(text, add_special_tokens=False).ids
    mean = vectors[pieces].astype(np.float32).mean(axis=0)
    made = encoder.transform([text, ""])
    np.testing.assert_allclose(made[0], mean / np.linalg.norm(mean), rtol=1e-5)
    assert not made[1].any()
    assert made.dtype == np.float32


def test_a_folder_of_model2vec_is_read(tiny: Path) -> None:
    """Unit vectors of known words, a fit on them, and its parameters."""
    encoder = build(POTION, "cpu", tiny).named_steps["features"].fit([])
    np.testing.assert_allclose(encoder.transform(["good", "bad"]), [[0.6, 0.8], [-0.6, 0.8]])
    fitted = build(POTION, "cpu", tiny).fit(["good", "bad"] * 4, ["p", "n"] * 4)
    assert fitted.predict(["good good", "bad"]).tolist() == ["p", "n"]
    assert n_parameters(fitted, POTION) == (POTION.n_parameters or 0) + 2 + 1


def test_a_broken_folder_cannot_run(tmp_path: Path) -> None:
    """The reason names the folder."""
    pytest.importorskip("model2vec")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CannotRunError, match="cannot be loaded"):
        Model2Vec(str(tmp_path)).fit([])


def test_static_embeddings_run_on_the_cpu_without_forward_passes() -> None:
    """Their libraries are their own; like lengths spare no padding."""
    assert runs_on(POTION) == "cpu"
    assert not is_neural(POTION)
    assert libraries(POTION) == ("model2vec", "scikit-learn", "tokenizers")
    assert "wordllama" in libraries(BY_NAME["wordllama-static-logistic"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(
    ("workload", "measured"), [("sst2", 0.745), ("tweeteval_emotion", 0.659), ("banking77", 0.884)]
)
def test_wordllama_reaches_its_accuracy(workload: str, measured: float) -> None:
    """Between TF-IDF and a sentence encoder: accuracies of a full head, as first measured."""
    pytest.importorskip("wordllama")
    texts = load(workload, SHARED, {})
    fitted = build(BY_NAME["wordllama-static-logistic"], "cpu").fit(texts.train, texts.train_labels)
    right = np.mean(fitted.predict(texts.test) == np.array(texts.test_labels))
    assert right == pytest.approx(measured, abs=0.01)
