"""Decoding of labels by causal language models: plain, or speculative from drafts.

Drafts come from repetitions in the prompt or from a smaller model. Greedy speculative decoding
yields the tokens that plain greedy decoding yields (Leviathan et al. 2023, arXiv:2211.17192), up to
rounding; only time and energy differ. It is a serving choice, so its rows differ from plain ones in
their repeat group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calibration.classifiers import checkpoints
from calibration.classifiers.errors import CannotRunError
from calibration.workloads.hub import local_checkpoint
from catalog.records import Candidate

PROMPT_LOOKUP, ASSISTED = "prompt-lookup", "assisted"
DECODINGS = (PROMPT_LOOKUP, ASSISTED)
"""Drafts from repetitions in the prompt (which names all labels), or from an assistant model."""
ASSISTANTS = {
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama/Llama-3.2-1B-Instruct",
    "Qwen/Qwen2.5-7B-Instruct": "Qwen/Qwen2.5-0.5B-Instruct",
}
"""Checkpoint -> a smaller one with the same tokenizer."""
_DRAFT_TOKENS = 5


def decodings(candidate: Candidate) -> tuple[str, ...]:
    """Ways of speculative decoding of a candidate; none unless it generates its answer."""
    if candidate.features != "zero-shot" or candidate.head != "generation":
        return ()
    return DECODINGS if candidate.checkpoint in ASSISTANTS else (PROMPT_LOOKUP,)


def decoding_of(repeat_group: str | None) -> str | None:
    """The way of decoding that a repeat group names, if it does."""
    return repeat_group if repeat_group in DECODINGS else None


def assistant_folder(checkpoint: str, models: Path | None) -> str | None:
    """Folder of a checkpoint's assistant; ``None`` without one in the folder of models."""
    folder = local_checkpoint(ASSISTANTS.get(checkpoint, "-"), models)
    return str(folder) if folder else None


def generation_options(
    decoding: str | None, assistant: str | None, precision: str, device: str
) -> dict[str, Any]:
    """Arguments of transformers' ``generate`` for a way of decoding.

    Args:
        decoding: One of `DECODINGS`, or ``None`` for plain decoding.
        assistant: Folder of the assistant model.
        precision: Number format of the model; the assistant's is never less than 16 bits.
        device: ``cpu`` or ``cuda``.

    Raises:
        CannotRunError: There is no assistant.
    """
    if decoding == PROMPT_LOOKUP:
        return {"prompt_lookup_num_tokens": _DRAFT_TOKENS}
    if decoding is None:
        return {}
    if assistant is None:
        raise CannotRunError("assisted decoding needs a smaller checkpoint in the models' folder")
    exact = precision if precision in ("fp32", "fp16") else "bf16"
    return {
        "assistant_model": checkpoints.load("AutoModelForCausalLM", assistant, exact, device),
        "num_assistant_tokens": _DRAFT_TOKENS,
    }


def generate_labels(
    model: Any,
    tokenizer: Any,
    inputs: dict[str, Any],
    label_ids: Sequence[Sequence[int]],
    options: dict[str, Any],
) -> list[int]:
    """Indices of the labels that constrained greedy decoding generates.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        inputs: ``input_ids`` and ``attention_mask``, padded on the left.
        label_ids: Token ids of each label; no label is a prefix of another.
        options: See `generation_options`; with any, `inputs` is one prompt.
    """
    import torch
    from transformers import GenerationConfig

    width = inputs["input_ids"].shape[1]
    end = tokenizer.eos_token_id
    end = end if end is not None else tokenizer.pad_token_id or 0
    paths = [[*label] if label[-1] == end else [*label, end] for label in label_ids]

    def allowed(_: int, ids: Any) -> list[int]:
        done = ids[width:].tolist()
        on = {path[len(done)] for path in paths if path[: len(done)] == done != path}
        return sorted(on) or [end]

    extra = dict(options)
    counts = {name: extra.pop(name) for name in list(extra) if name.endswith("_tokens")}
    with torch.inference_mode():
        answers = model.generate(
            **inputs,
            prefix_allowed_tokens_fn=allowed,
            generation_config=GenerationConfig(
                max_new_tokens=max(map(len, paths)),
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
                **counts,
            ),
            **extra,
        )[:, width:].tolist()
    return [
        next(i for i, path in enumerate(paths) if answer[: len(path)] == path) for answer in answers
    ]
