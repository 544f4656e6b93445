"""Architectures with random weights: texts in, meaningless labels out, at the true cost.

There is no tokenizer: a word is a token, its number a hash, so that a text of n words costs what
n tokens cost.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from calibration.classifiers import checkpoints
from calibration.classifiers.build import CannotRunError
from catalog.registry.architectures import Architecture

MAX_TOKENS = {False: 512, True: 2048}
"""Longer texts are cut: encoders and causal models."""
_SEED = 0
_FIRST_TOKEN_ID = 10
"""The numbers below may mean padding, beginning and end."""


def mean_tokens(texts: Sequence[str], architecture: Architecture) -> float:
    """Mean tokens of a text as an architecture reads it."""
    most = MAX_TOKENS[architecture.causal]
    return max(1.0, sum(min(most, len(text.split())) for text in texts) / len(texts))


class RandomWeightsClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model of declared shapes.

    An encoder has a new classification head; of a causal model the logits of the token after
    the text are read once, as label likelihood does with labels of one token.

    Args:
        architecture: Its shapes.
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
            CannotRunError: CUDA is asked for and absent, or there is no such precision.
        """
        self.classes_ = np.array(sorted(set(y)))
        return self.set_precision(self.precision)

    def set_precision(self, precision: str) -> RandomWeightsClassifier:
        """Draws the weights in a precision and returns itself."""
        import torch
        import transformers

        checkpoints.silence_transformers()
        if self.device == "cuda" and not torch.cuda.is_available():
            raise CannotRunError("torch sees no CUDA device; install a torch built with CUDA")
        self.precision = precision
        self.model_: Any = None  # frees the former weights first
        given = self.architecture
        config = transformers.AutoConfig.for_model(
            given.model_type, **given.shapes, num_labels=len(self.classes_)
        )
        config.pad_token_id = 0
        kind = "CausalLM" if given.causal else "SequenceClassification"
        made = getattr(transformers, f"AutoModelFor{kind}")
        types = {"bf16": torch.bfloat16, "fp16": torch.float16}
        devices = range(torch.cuda.device_count()) if self.device == "cuda" else []
        with torch.random.fork_rng(devices), torch.device(self.device):
            torch.manual_seed(_SEED)
            model = made.from_config(config, dtype=types.get(precision, torch.float32))
        self.n_parameters_ = model.num_parameters()
        self.vocabulary_ = config.vocab_size
        model.eval()
        self.model_ = checkpoints.quantise_int8(model) if precision == "int8" else model
        self.passes_ = checkpoints.ForwardPasses()
        return self

    def predict(self, X: Sequence[str]) -> Any:
        """Labels that mean nothing."""
        logits = self.passes_.run(X, [len(text.split()) for text in X], self._logits)
        return self.classes_[logits.argmax(1)]

    def _tokens(self, text: str) -> list[int]:
        """A text's words as numbers, at least one."""
        most = MAX_TOKENS[self.architecture.causal]
        words = text.split()[:most] or [""]
        return [
            _FIRST_TOKEN_ID + zlib.crc32(w.encode()) % (self.vocabulary_ - _FIRST_TOKEN_ID)
            for w in words
        ]

    def _logits(self, texts: list[str]) -> Any:
        """One forward pass; causal models are padded on the left, so that all texts end at once."""
        import torch

        rows = [self._tokens(text) for text in texts]
        longest = max(map(len, rows))
        left = self.architecture.causal
        padded, masks = [], []
        for row in rows:
            pad, real = [0] * (longest - len(row)), [1] * len(row)
            padded.append(pad + row if left else row + pad)
            masks.append(pad + real if left else real + pad)
        given: dict[str, Any] = {
            "input_ids": torch.tensor(padded, device=self.device),
            "attention_mask": torch.tensor(masks, device=self.device),
        }
        if left:
            given |= {"logits_to_keep": 1, "use_cache": False}
        with torch.inference_mode():
            logits = self.model_(**given).logits
            logits = logits[:, -1, : len(self.classes_)] if left else logits
            return logits.float().cpu().numpy()
