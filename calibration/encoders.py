"""Sentence encoders whose weights stay as they are: texts in, one unit vector each out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from calibration.candidates import CannotRunError


class FrozenEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Mean-pooled, normalised last hidden states, as sentence-transformers computes them.

    `fit` loads the weights (safetensors, no code from the checkpoint) and learns nothing.

    Args:
        folder: The checkpoint.
        device: ``cpu`` or ``cuda``.
        max_tokens: Longer texts are cut.
        batch_size: Texts in one forward pass when more are handed over at once.
    """

    def __init__(
        self, folder: str, device: str = "cpu", max_tokens: int = 256, batch_size: int = 64
    ) -> None:
        self.folder = folder
        self.device = device
        self.max_tokens = max_tokens
        self.batch_size = batch_size

    def fit(self, X: Sequence[str], y: Any = None) -> FrozenEncoder:  # noqa: ARG002
        """Loads tokenizer and weights.

        Raises:
            CannotRunError: They cannot be loaded, or CUDA is asked for and absent.
        """
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        if self.device == "cuda" and not torch.cuda.is_available():
            raise CannotRunError("torch sees no CUDA device; install a torch built with CUDA")
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.tokenizer_ = AutoTokenizer.from_pretrained(self.folder, **options)
            model = AutoModel.from_pretrained(
                self.folder, use_safetensors=True, dtype=torch.float32, **options
            )
        except (OSError, ValueError) as error:
            raise CannotRunError(
                f"checkpoint in {Path(self.folder)} cannot be loaded ({type(error).__name__})"
            ) from error
        self.model_ = model.eval().to(self.device)
        return self

    def transform(self, X: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Vectors of shape ``(len(X), width)``; texts of like length share a pass."""
        order = np.argsort([len(text) for text in X], kind="stable")
        width = self.model_.config.hidden_size
        vectors = np.empty((len(X), width), dtype=np.float32)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            vectors[rows] = self._embed([X[row] for row in rows])
        return vectors

    def _embed(self, texts: list[str]) -> Any:
        """One forward pass."""
        import torch

        tokens = self.tokenizer_(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.device)
        with torch.inference_mode():
            states = self.model_(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1).cpu().numpy()


def mean_word_pieces(folder: Path, texts: Sequence[str]) -> float | None:
    """Mean word pieces of a text (special tokens and cutting aside); ``None`` without tokenizer."""
    file = folder / "tokenizer.json"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    if not file.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    pieces = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return sum(len(encoding.ids) for encoding in pieces) / len(pieces)
