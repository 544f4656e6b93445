"""Label likelihoods on vLLM: token ids of prompts and labels in, log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from calibration.classifiers.backends import available
from calibration.classifiers.errors import CannotRunError

_TYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


class VllmScorer:
    """A causal language model in vLLM's engine, on the first GPU.

    A label's log-probability is read from those of the prompt's own tokens, of one sequence per
    label; vLLM batches the sequences by itself.

    Args:
        folder: Folder of the checkpoint; only safetensors are read, no code of it runs.
        precision: ``bf16``, ``fp16`` or ``fp32``.

    Raises:
        CannotRunError: vLLM is missing or cannot load the checkpoint here.
    """

    def __init__(self, folder: str, precision: str) -> None:
        reason = available.missing("vllm", "gpu")
        if reason is not None:
            raise CannotRunError(reason)
        if precision not in _TYPES:
            raise CannotRunError(f"vLLM serves {', '.join(_TYPES)} here, not {precision}")
        import vllm

        self._sampling: Any = vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=1)
        try:
            self._engine: Any = vllm.LLM(
                model=folder,
                dtype=_TYPES[precision],
                load_format="safetensors",
                trust_remote_code=False,
                disable_log_stats=True,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise CannotRunError(f"vLLM cannot load it ({type(error).__name__})") from error

    def scores(
        self, prompts: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Log-probabilities of shape ``(prompts, labels)`` that a label follows a prompt.

        Args:
            prompts: Token ids of the prompts.
            labels: Token ids of the labels.
        """
        pairs = [(prompt, label) for prompt in prompts for label in labels]
        requests = [{"prompt_token_ids": [*prompt, *label]} for prompt, label in pairs]
        outputs = self._engine.generate(requests, self._sampling, use_tqdm=False)
        sums = [
            sum(
                output.prompt_logprobs[len(prompt) + place][token].logprob
                for place, token in enumerate(label)
            )
            for (prompt, label), output in zip(pairs, outputs, strict=True)
        ]
        return np.array(sums, dtype=float).reshape(len(prompts), len(labels))
