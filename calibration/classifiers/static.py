"""Static embeddings: texts in, the mean of their word pieces' vectors out; no forward pass.

Vectors and tokenizer are read from files, of an installed package or of a checkpoint's folder.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from calibration.classifiers.errors import CannotRunError
from catalog.errors import install_command

_WORDLLAMA_WEIGHTS = "weights/l2_supercat_256.safetensors"
_WORDLLAMA_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
Vectors = np.ndarray[Any, np.dtype[np.float32]]


class WordLlama(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """The 256-dimensional vectors in the package ``wordllama``, averaged and normalised.

    The package itself is not imported: it would look for other sizes on the hub.
    """

    def fit(self, X: Sequence[str], y: Any = None) -> WordLlama:  # noqa: ARG002
        """Reads vectors and tokenizer; trains nothing.

        Raises:
            CannotRunError: This release of the package lacks the files.
        """
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = _package_folder("wordllama")
        weights, tokenizer = folder / _WORDLLAMA_WEIGHTS, folder / _WORDLLAMA_TOKENIZER
        if not weights.is_file() or not tokenizer.is_file():
            raise CannotRunError(f"this release of wordllama has no {_WORDLLAMA_WEIGHTS}")
        self.vectors_ = load_file(weights)["embedding.weight"].astype(np.float32)
        self.tokenizer_ = Tokenizer.from_file(str(tokenizer))
        return self

    def transform(self, X: Sequence[str]) -> Vectors:
        """Unit vectors of shape ``(len(X), 256)``, fp32; zeros for a text without word pieces."""
        means = np.zeros((len(X), self.vectors_.shape[1]), np.float32)
        encodings = self.tokenizer_.encode_batch(list(X), add_special_tokens=False)
        for row, encoding in enumerate(encodings):
            if encoding.ids:
                means[row] = self.vectors_[encoding.ids].mean(axis=0)
        norms = np.linalg.norm(means, axis=1, keepdims=True)
        means /= np.maximum(norms, np.finfo(np.float32).tiny)
        return means


class Model2Vec(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A model of the package ``model2vec`` in a folder, pooled as that package does.

    Args:
        folder: Folder of the checkpoint.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def fit(self, X: Sequence[str], y: Any = None) -> Model2Vec:  # noqa: ARG002
        """Reads vectors and tokenizer; trains nothing.

        Raises:
            CannotRunError: They cannot be loaded.
        """
        from model2vec import StaticModel

        try:
            self.model_ = StaticModel.from_pretrained(self.folder, force_download=False)
        except Exception as error:  # the package raises whatever its readers raise
            raise CannotRunError(
                f"checkpoint in {Path(self.folder)} cannot be loaded ({type(error).__name__})"
            ) from error
        return self

    def transform(self, X: Sequence[str]) -> Vectors:
        """Vectors of shape ``(len(X), width)``, fp32."""
        found = self.model_.encode(list(X), use_multiprocessing=False)
        return np.asarray(found, dtype=np.float32)


def _package_folder(name: str) -> Path:
    """Folder of an installed package, found without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise CannotRunError(f"{name} not installed; {install_command('calibration')}")
    return Path(found.submodule_search_locations[0])
