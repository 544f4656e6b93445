"""Frozen sentence encoder: texts in, one vector per text out; no weights are trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from calibration.classifiers import checkpoints
from calibration.classifiers.errors import CannotRunError


class FrozenEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A sentence encoder as sentence-transformers loads it: pooling and normalisation are its own.

    A checkpoint that states neither (no ``modules.json``) is mean-pooled. `fit` loads the weights
    (safetensors, no code from the checkpoint) and trains nothing.

    Args:
        folder: Folder of the checkpoint.
        device: ``cpu`` or ``cuda``.
        max_tokens: Longer texts are truncated, at the checkpoint's own limit if that is lower.
        precision: Number format of the weights; the vectors are fp32.
        backend: ``torch``, ``onnxruntime`` or ``openvino``.
    """

    def __init__(
        self,
        folder: str,
        device: str = "cpu",
        max_tokens: int = 256,
        precision: str = "fp32",
        backend: str = "torch",
    ) -> None:
        self.folder = folder
        self.device = device
        self.max_tokens = max_tokens
        self.precision = precision
        self.backend = backend

    def fit(self, X: Sequence[str], y: Any = None) -> FrozenEncoder:  # noqa: ARG002
        """Loads tokenizer and weights.

        Raises:
            CannotRunError: They cannot be loaded, or CUDA is requested but absent.
        """
        return self.set_precision(self.precision, self.backend)

    def set_precision(self, precision: str, backend: str = "torch") -> FrozenEncoder:
        """Loads the weights in another number format or on another backend; returns itself.

        Raises:
            CannotRunError: They cannot be loaded so; the former weights are gone.
        """
        self.precision, self.backend = precision, backend
        self.model_: Any = None  # frees the former weights first
        if backend == "torch":
            self.model_ = checkpoints.load_sentence_encoder(self.folder, precision, self.device)
        else:
            self.model_ = self._exported(precision, backend)
        own = self.model_.max_seq_length or self.max_tokens
        self.model_.max_seq_length = min(own, self.max_tokens)
        self.passes_ = checkpoints.ForwardPasses()
        return self

    def _exported(self, precision: str, backend: str) -> Any:
        """The sentence encoder with its transformer on another backend."""
        from calibration.classifiers.backends import exported_encoder

        model = checkpoints.load_sentence_encoder(self.folder, "fp32", "cpu")
        transformer = model[0]
        name = next((n for n in ("model", "auto_model") if n in transformer._modules), None)
        if name is None:
            raise CannotRunError(f"this encoder has no transformer that {backend} could run")
        served = exported_encoder.load(
            getattr(transformer, name),
            Path(self.folder),
            backend,
            precision,
            self.device,
            output="last_hidden_state",
            tokenise=lambda texts: model.tokenizer(texts, padding=True, return_tensors="pt"),
        )
        setattr(transformer, name, served)
        return model

    def transform(self, X: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Vectors of shape ``(len(X), width)``, fp32."""
        vectors = self.passes_.run(X, [len(text) for text in X], self._embed)
        return vectors.reshape(len(X), -1).astype(np.float32)  # type: ignore[no-any-return]

    def _embed(self, texts: list[str]) -> Any:
        """Vectors of one forward pass."""
        made = self.model_.encode(
            texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
        )
        return made.float().cpu().numpy()


def mean_word_pieces(folder: Path, texts: Sequence[str]) -> float | None:
    """Mean word pieces per text, untruncated, without special tokens; ``None`` without tokenizer.

    Args:
        folder: Checkpoint with a ``tokenizer.json``.
        texts: At least one text.
    """
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
