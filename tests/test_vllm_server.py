"""Label likelihoods on vLLM, with a double of its engine that computes them in torch."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_zero_shot import TEXTS, llama, log_probabilities, reader
from transformers import LlamaForCausalLM

from calibration.classifiers.backends.vllm_server import VllmScorer
from calibration.classifiers.errors import CannotRunError

pytestmark = pytest.mark.usefixtures("one_thread")


class Engine:
    """What is used of ``vllm.LLM``: token ids in, log-probabilities of the prompt's tokens out."""

    made: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(self, **given: Any) -> None:
        Engine.made.append(given)
        if not (Path(given["model"]) / "config.json").is_file():
            raise ValueError("no config")
        self.model = LlamaForCausalLM.from_pretrained(given["model"]).eval()

    def generate(self, prompts: list[dict[str, Any]], sampling: Any, use_tqdm: bool) -> list[Any]:
        """Log-probabilities of every prompt token but the first, as vLLM returns them."""
        assert (sampling.max_tokens, sampling.prompt_logprobs, use_tqdm) == (1, 1, False)
        answers = []
        for prompt in prompts:
            ids = prompt["prompt_token_ids"]
            table = log_probabilities(self.model, ids)
            told = [{t: SimpleNamespace(logprob=table[at, t])} for at, t in enumerate(ids[1:])]
            answers.append(SimpleNamespace(prompt_logprobs=[None, *told]))
        return answers


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Puts the double in vLLM's place; the arguments of each engine that is made."""
    module = ModuleType("vllm")
    module.__spec__ = ModuleSpec("vllm", None)
    module.LLM = Engine  # type: ignore[attr-defined]
    module.SamplingParams = lambda **given: SimpleNamespace(**given)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr(Engine, "made", [])
    return Engine.made


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random language model."""
    return llama(tmp_path_factory.mktemp("llama"), chat=False)


def test_scores_are_those_of_torch(checkpoint: str, engine: list[dict[str, Any]]) -> None:
    """The classifier's log-probabilities are the same on either backend, and torch comes back."""
    made = reader(checkpoint)
    exact = made.decision_function(TEXTS)
    made.set_precision("bf16", "vllm")
    np.testing.assert_allclose(made.decision_function(TEXTS), exact, atol=1e-3)
    assert set(made.predict(TEXTS)) <= {*made.classes_}
    assert engine[0]["dtype"] == "bfloat16"
    assert (engine[0]["trust_remote_code"], engine[0]["load_format"]) == (False, "safetensors")
    np.testing.assert_allclose(made.set_precision("fp32").decision_function(TEXTS), exact)


def test_what_it_cannot_do_is_told(
    checkpoint: str, engine: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Number formats, generation and checkpoints that it does not take."""
    with pytest.raises(CannotRunError, match="not int8"):
        VllmScorer(checkpoint, "int8")
    with pytest.raises(CannotRunError, match="by likelihood"):
        reader(checkpoint, "generation").set_precision("bf16", "vllm")
    with pytest.raises(CannotRunError, match="cannot load it"):
        VllmScorer(str(tmp_path), "bf16")


def test_without_vllm_the_reason_is_a_command(
    checkpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no dependency of the suite."""
    monkeypatch.setattr(
        "calibration.classifiers.backends.available.missing", lambda *_: "pip install vllm"
    )
    with pytest.raises(CannotRunError, match="pip install vllm"):
        VllmScorer(checkpoint, "bf16")
