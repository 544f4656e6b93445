"""Classifier with random weights: texts in, meaningless labels out, at the architecture's cost.

There is no tokenizer: each word is one token whose id is a hash, so that a text of n words costs
as much as n tokens.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from calibration.classifiers import checkpoints
from calibration.classifiers.errors import CannotRunError
from catalog.registry.architectures import Architecture

MAX_TOKENS = {False: 512, True: 2048}
"""Tokens to which texts are truncated, for encoders (``False``) and causal models (``True``)."""
_SEED = 0
_FIRST_TOKEN_ID = 10
"""Smallest token id used; lower ids may be special tokens (padding, beginning, end)."""


def mean_tokens(texts: Sequence[str], architecture: Architecture) -> float:
    """Mean tokens per text after truncation, at least 1."""
    limit = MAX_TOKENS[architecture.causal]
    return max(1.0, sum(min(limit, len(text.split())) for text in texts) / len(texts))


class RandomWeightsClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model of a declared architecture with randomly drawn weights.

    An encoder has a new classification head. A causal model is scored by the logits of the token
    after the text, like label likelihood with labels of one token.

    Args:
        architecture: Model type and shapes.
        device: ``cpu`` or ``cuda``.
        precision: Number format of the weights.
    """

    def __init__(
        self, architecture: Architecture, device: str = "cpu", precision: str = "fp32"
    ) -> None:
        self.architecture = architecture
        self.device = device
        self.precision = precision

    def fit(self, X: Sequence[str], y: Sequence[str]) -> RandomWeightsClassifier:  # noqa: ARG002
        """Draws the weights; of `y` only the set of labels is used.

        Raises:
            CannotRunError: CUDA is requested but absent, or this torch cannot quantise.
        """
        self.classes_ = np.array(sorted(set(y)))
        return self.set_precision(self.precision)

    def set_precision(self, precision: str) -> RandomWeightsClassifier:
        """Draws the weights in another number format; returns itself."""
        import torch
        import transformers

        checkpoints.silence_transformers()
        if self.device == "cuda" and not torch.cuda.is_available():
            raise CannotRunError("torch sees no CUDA device; install a torch built with CUDA")
        self.precision = precision
        self.model_: Any = None  # frees the former weights first
        architecture = self.architecture
        config = transformers.AutoConfig.for_model(
            architecture.model_type, **architecture.shapes, num_labels=len(self.classes_)
        )
        config.pad_token_id = 0
        kind = "CausalLM" if architecture.causal else "SequenceClassification"
        model_class = getattr(transformers, f"AutoModelFor{kind}")
        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        devices = range(torch.cuda.device_count()) if self.device == "cuda" else []
        with torch.random.fork_rng(devices), torch.device(self.device):
            torch.manual_seed(_SEED)
            model = model_class.from_config(config, dtype=types.get(precision, torch.float32))
        self.n_parameters_ = model.num_parameters()
        self.vocabulary_ = config.vocab_size
        model.eval()
        self.model_ = checkpoints.quantise_int8(model) if precision == "int8" else model
        self.passes_ = checkpoints.ForwardPasses()
        return self

    def predict(self, X: Sequence[str]) -> Any:
        """Meaningless labels of shape ``(len(X),)``."""
        logits = self.passes_.run(X, [len(text.split()) for text in X], self._logits)
        return self.classes_[logits.argmax(1)]

    def _tokens(self, text: str) -> list[int]:
        """Token ids of a text, at least one."""
        limit = MAX_TOKENS[self.architecture.causal]
        words = text.split()[:limit] or [""]
        return [
            _FIRST_TOKEN_ID + zlib.crc32(w.encode()) % (self.vocabulary_ - _FIRST_TOKEN_ID)
            for w in words
        ]

    def _logits(self, texts: list[str]) -> Any:
        """Logits of one forward pass; causal models are padded on the left."""
        import torch

        rows = [self._tokens(text) for text in texts]
        longest = max(map(len, rows))
        left = self.architecture.causal
        padded, masks = [], []
        for row in rows:
            pad, real = [0] * (longest - len(row)), [1] * len(row)
            padded.append(pad + row if left else row + pad)
            masks.append(pad + real if left else real + pad)
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor(padded, device=self.device),
            "attention_mask": torch.tensor(masks, device=self.device),
        }
        if left:
            inputs |= {"logits_to_keep": 1, "use_cache": False}
        with torch.inference_mode():
            logits = self.model_(**inputs).logits
            logits = logits[:, -1, : len(self.classes_)] if left else logits
            return logits.float().cpu().numpy()
