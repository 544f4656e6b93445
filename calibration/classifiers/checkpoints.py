"""Loads tokenizers and weights in the precision they are to serve in, and keeps them in memory.

Weights are safetensors, code of a checkpoint is never run. Which checkpoint, and what is done
with it, is the caller's business.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from calibration.classifiers.build import CannotRunError

MAX_PASS_SIZE = 128
"""Most texts of one forward pass; the largest batch of the sweep."""
Answer = TypeVar("Answer")


def load(kind: str, folder: str, precision: str, device: str, **options: Any) -> Any:
    """A model for inference.

    Args:
        kind: Class of transformers, e.g. ``AutoModel``.
        folder: The checkpoint.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8`` (dynamic, CPU).
        device: ``cpu`` or ``cuda``.
        options: Further ones of ``from_pretrained``.

    Raises:
        CannotRunError: It cannot be loaded, CUDA is asked for and absent, or this torch has no
            such precision.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    silence_transformers()
    if device == "cuda" and not torch.cuda.is_available():
        raise CannotRunError("torch sees no CUDA device; install a torch built with CUDA")
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    try:
        model = getattr(transformers, kind).from_pretrained(
            folder,
            use_safetensors=True,
            dtype=types.get(precision, torch.float32),
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise CannotRunError(
            f"checkpoint in {Path(folder)} cannot be loaded ({type(error).__name__})"
        ) from error
    model.eval()
    return quantise_int8(model) if precision == "int8" else model.to(device)


def load_tokenizer(folder: str, **options: Any) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        CannotRunError: It cannot be loaded.
    """
    from transformers import AutoTokenizer

    silence_transformers()
    try:
        return AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, ImportError) as error:
        raise CannotRunError(
            f"tokenizer in {Path(folder)} cannot be loaded ({type(error).__name__})"
        ) from error


def silence_transformers() -> None:
    """No progress bars and no notes about new heads between our own lines."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def quantise_int8(model: Any) -> Any:
    """The model with int8 weights in its linear layers; activations quantised call by call.

    torch calls `quantize_dynamic` deprecated in favour of torchao, whose CPU kernels need a
    compiler's help: in eager mode 0.15 s for what takes 3 ms here and 5 ms in fp32.

    Raises:
        CannotRunError: This torch has it no more, or no quantised kernels for this CPU.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            quantise: Any = torch.ao.quantization.quantize_dynamic
            return quantise(model, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)
        except (AttributeError, RuntimeError) as error:
            raise CannotRunError(
                f"this torch {torch.__version__} cannot quantise to int8 on the CPU"
            ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is short, on the host or on the GPU."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


class ForwardPasses:
    """Splits texts into forward passes, shorter ones after running out of memory.

    Attributes:
        max_items: Texts in one pass.
        halved: Whether it was halved since it was made.
    """

    def __init__(self, max_items: int = MAX_PASS_SIZE) -> None:
        self.max_items = max_items
        self.halved = False

    def run(
        self, items: Sequence[Any], lengths: Sequence[int], forward: Callable[[list[Any]], Any]
    ) -> Any:
        """Results of `forward` in the order of `items`, as one array.

        Items of like length share a pass. Where memory is short the pass is halved and tried
        again, down to one item.

        Raises:
            MemoryError: Not even one item fits.
        """
        import numpy as np

        order = np.argsort(lengths, kind="stable")
        found: list[Any] = [None] * len(items)
        start = 0
        while start < len(order):
            rows = order[start : start + self.max_items]
            try:
                answers = forward([items[row] for row in rows])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.max_items <= 1:
                    raise MemoryError from error
                self.max_items, self.halved = min(self.max_items, len(rows)) // 2 or 1, True
                _free()
                continue
            for row, answer in zip(rows, answers, strict=True):
                found[row] = answer
            start += len(rows)
        return np.array(found)


def _free() -> None:
    """Gives cached GPU memory back."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
