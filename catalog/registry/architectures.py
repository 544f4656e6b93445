"""Architectures whose energy is measured with random weights: no download, no accuracy.

What a forward pass costs depends on shapes, not on what the weights say. Each entry is the
``config.json`` of a published checkpoint as far as it sets shapes; names of fields are those of
transformers, and what is left out is that model type's default there. Parameters are recomputed
from the shapes in the tests.
"""

from __future__ import annotations

from typing import Any

import msgspec

from catalog.records import Candidate


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """The shapes of a model.

    Attributes:
        of: Hub id of the checkpoint whose ``config.json`` says so.
        model_type: Its name in transformers.
        shapes: Fields of its configuration that differ from the type's defaults.
        n_parameters: Parameters of the body, of a causal model with its output layer.
        causal: Whether it predicts the next token; an encoder reads a text as a whole.
    """

    of: str
    model_type: str
    shapes: dict[str, Any] = {}
    n_parameters: int
    causal: bool = False


def _llama(of: str, n_parameters: int, **shapes: Any) -> Architecture:
    """A Llama 3: 128,256 tokens and 8 key-value heads."""
    usual = {"vocab_size": 128_256, "num_key_value_heads": 8}
    return Architecture(
        of=of, model_type="llama", shapes=usual | shapes, n_parameters=n_parameters, causal=True
    )


ARCHITECTURES: dict[str, Architecture] = {
    "distilbert": Architecture(
        of="distilbert/distilbert-base-uncased", model_type="distilbert", n_parameters=66_362_880
    ),
    "bert-base": Architecture(
        of="google-bert/bert-base-uncased", model_type="bert", n_parameters=109_482_240
    ),
    "roberta-large": Architecture(
        of="FacebookAI/roberta-large",
        model_type="roberta",
        shapes={
            "vocab_size": 50_265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
        n_parameters=355_359_744,
    ),
    "llama-3.2-1b": _llama(
        "meta-llama/Llama-3.2-1B",
        1_235_814_400,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        tie_word_embeddings=True,
    ),
    "llama-3.2-3b": _llama(
        "meta-llama/Llama-3.2-3B",
        3_212_749_824,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=28,
        num_attention_heads=24,
        tie_word_embeddings=True,
    ),
    "llama-3.1-8b": _llama(
        "meta-llama/Llama-3.1-8B",
        8_030_261_248,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
    ),
}
"""Name -> architecture; the candidate is called ``<name>-untrained``."""


def untrained() -> tuple[Candidate, ...]:
    """The candidates, in the order of `ARCHITECTURES`."""
    return tuple(
        Candidate(
            name=f"{name}-untrained",
            family="other",
            features="architecture",
            head=name,
            n_parameters=architecture.n_parameters,
            licence="Apache-2.0",
            runnable=True,
            notes=f"the shapes of {architecture.of} with random weights: energy and runtime "
            "hold, accuracy means nothing and is left out",
        )
        for name, architecture in ARCHITECTURES.items()
    )
