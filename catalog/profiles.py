"""Compute profiles: a candidate and a workload in, tokens, passes and FLOP per text out.

Lengths come from the workload: tokens where they were counted, else characters by the script of
its language, else the median of all workloads; the basis is stated.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from catalog.records import Candidate, Workload

LengthBasis = Literal["tokens", "characters", "assumed"]

CHARS_PER_TOKEN = {
    **dict.fromkeys(("zh", "ja", "yue"), 1.4),
    **dict.fromkeys(("ko", "th"), 1.8),
    **dict.fromkeys(("ar", "he", "fa", "hi", "bn", "el"), 2.9),
    **dict.fromkeys(("ru", "uk", "bg", "mk"), 3.1),
    **dict.fromkeys(("en",), 4.3),
}
"""Characters of a word piece by language: of an English vocabulary on English, of a multilingual
one else."""
CHARS_PER_TOKEN_ELSE = 3.6
"""Other languages in Latin letters, multilingual vocabulary."""
ASSUMED_TOKENS = 40.0
"""Median of the bundled workloads, for one of unknown length."""
SPECIAL_TOKENS = 2.0
LABEL_TOKENS = 3.0
"""Word pieces of a class's name with its separator."""


ACTIVATIONS = 12
"""Numbers per token and unit of width that live at once in a block: attention and its MLP."""
CLASSICAL_GB = 0.5
"""Process memory of counts, word lists and word vectors with their vocabulary, class default."""


class Work(msgspec.Struct, frozen=True):
    """What one text costs a candidate.

    Attributes:
        tokens: Tokens of one forward pass: text, prompt, labels and demonstrations.
        passes: Forward passes per text.
        generated_tokens: Tokens written one after another.
        flops: FLOP per text; ``None`` where the size is unknown.
        length_basis: How the text's own length is known.
    """

    tokens: float
    passes: int
    generated_tokens: float
    flops: float | None
    length_basis: LengthBasis


def text_tokens(workload: Workload) -> tuple[float, LengthBasis]:
    """Mean word pieces of a workload's texts, without prompt, and how they are known."""
    if workload.mean_tokens is not None:
        return workload.mean_tokens, "tokens"
    if workload.mean_chars is None:
        return ASSUMED_TOKENS, "assumed"
    per_token = CHARS_PER_TOKEN.get(workload.language or "", CHARS_PER_TOKEN_ELSE)
    return workload.mean_chars / per_token + SPECIAL_TOKENS, "characters"


def flops_per_token(candidate: Candidate) -> float | None:
    """FLOP of one token in one pass: stated, else 2 for each parameter outside the token table.

    A mixture of experts counts the parameters it uses for a token.
    """
    if candidate.flops_per_token is not None:
        return candidate.flops_per_token
    size = candidate.n_active_parameters or candidate.n_parameters
    if size is None:
        return None
    return 2 * max(size - (candidate.n_embedding_parameters or 0.0), 0.0)


def work(candidate: Candidate, workload: Workload) -> Work:
    """Tokens, passes and FLOP that one text of a workload costs a candidate.

    Entailment and rerankers read a text once for each class; a language model reads the labels,
    and with demonstrations as many texts more. Attention's quadratic term is 4 n_layers width
    FLOP for each pair of tokens.
    """
    own, basis = text_tokens(workload)
    classes = workload.n_classes or 2
    generated = candidate.generated_tokens or 0.0
    tokens = own + (candidate.prompt_tokens or 0.0)
    if generated:
        shown = (candidate.demonstrations_per_class or 0.0) * classes
        tokens += LABEL_TOKENS * classes + shown * (own + LABEL_TOKENS)
    if candidate.max_tokens:
        tokens = min(tokens, float(candidate.max_tokens))
    passes = classes if candidate.one_pass_per_class else 1
    per_token = flops_per_token(candidate)
    flops = None
    if per_token is not None:
        pairs = 4 * (candidate.n_layers or 0) * (candidate.width or 0) * tokens**2
        flops = passes * (per_token * tokens + pairs) + per_token * generated
    return Work(tokens, passes, generated, flops, basis)


def memory_gb(candidate: Candidate, bits: float, batch: float, tokens: float) -> float | None:
    """Memory that inference needs, 1e9 bytes: weights and activations of one block.

    Args:
        candidate: With its size; ``None`` comes back where a network's is unknown.
        bits: Of a weight and of an activation.
        batch: Texts per call.
        tokens: Tokens of one text.
    """
    if candidate.n_parameters is None:
        return None
    width = candidate.width or 0
    numbers = candidate.n_parameters + ACTIVATIONS * batch * tokens * width
    return numbers * bits / 8 / 1e9
