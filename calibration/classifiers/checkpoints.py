"""Loading of checkpoints for inference, and forward passes that shrink when memory runs out.

Tokenizers and weights come from a local folder, the weights in the requested number format. Only
safetensors are read; code in a checkpoint is never executed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from calibration.classifiers.backends.available import missing
from calibration.classifiers.errors import CannotRunError
from calibration.workloads.hub import folder_from_environment

_TYPES = {"bf16": "bfloat16", "fp16": "float16", "int4": "bfloat16"}
"""torch's name of a number format of weights; ``float32`` else."""
_OUT_OF_MEMORY = ("can't allocate memory", "Failed to allocate memory", "bad_alloc", "bad alloc")
"""What torch, ONNX Runtime and OpenVINO say when host memory runs out."""
MAX_PASS_SIZE = 128
"""Default number of texts per forward pass: the largest batch size of the sweep."""


def load(kind: str, folder: str, precision: str, device: str, **options: Any) -> Any:
    """A model for inference.

    Args:
        kind: Name of a class of transformers, e.g. ``AutoModel``.
        folder: Folder of the checkpoint.
        precision: ``fp32``, ``bf16``, ``fp16``, ``int8`` (dynamic, CPU) or ``int4`` (weights).
        device: ``cpu`` or ``cuda``.
        options: Further arguments of ``from_pretrained``.

    Raises:
        CannotRunError: The checkpoint cannot be loaded, CUDA is requested but absent, or this
            torch cannot quantise.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    silence_transformers()
    if device == "cuda" and not torch.cuda.is_available():
        raise CannotRunError("torch sees no CUDA device; install a torch built with CUDA")
    try:
        model = getattr(transformers, kind).from_pretrained(
            folder,
            use_safetensors=True,
            dtype=_TYPES.get(precision, "float32"),
            local_files_only=True,
            trust_remote_code=False,
            **options,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise CannotRunError(
            f"checkpoint in {Path(folder)} cannot be loaded ({type(error).__name__})"
        ) from error
    model.eval()
    if precision == "int4":
        return quantise_int4(model.to(device))
    return quantise_int8(model) if precision == "int8" else model.to(device)


def load_sentence_encoder(folder: str, precision: str, device: str) -> Any:
    """A sentence encoder for inference, with the pooling and normalisation its folder states.

    Args:
        folder: Folder of the checkpoint.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8`` (dynamic, CPU).
        device: ``cpu`` or ``cuda``.

    Raises:
        CannotRunError: As of `load`.
    """
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    silence_transformers()
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    if device == "cuda" and not torch.cuda.is_available():
        raise CannotRunError("torch sees no CUDA device; install a torch built with CUDA")
    try:
        model = SentenceTransformer(
            folder,
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": _TYPES.get(precision, "float32"), "use_safetensors": True},
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise CannotRunError(
            f"checkpoint in {Path(folder)} cannot be loaded ({type(error).__name__})"
        ) from error
    model.eval()
    return quantise_int8(model) if precision == "int8" else model


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
    """Switches off transformers' progress bars and its messages below errors."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def quantise_int8(model: Any) -> Any:
    """The model with int8 weights in its linear layers and activations quantised per call.

    torch deprecates `quantize_dynamic` in favour of torchao, whose CPU kernels need compilation:
    in eager mode they take 0.15 s for a pass of 3 ms here and 5 ms in fp32.

    Raises:
        CannotRunError: This torch lacks the function, or quantised kernels for this CPU.
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


def quantise_int4(model: Any) -> Any:
    """The model with int4 weights (NF4, by bitsandbytes) in its linear layers, in place.

    The head over the vocabulary keeps its format, and so do the activations.

    Raises:
        CannotRunError: bitsandbytes is missing.
    """
    import torch

    reason = missing("int4")
    if reason is not None:
        raise CannotRunError(reason)
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name, layer in list(model.named_modules()):
        if type(layer) is not torch.nn.Linear or name.endswith("lm_head"):
            continue
        shape, weight = (layer.in_features, layer.out_features), layer.weight
        packed = Linear4bit(
            *shape, layer.bias is not None, compute_dtype=weight.dtype, quant_type="nf4"
        )
        packed.weight = Params4bit(weight.data.cpu(), requires_grad=False, quant_type="nf4")
        packed.bias = layer.bias
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, packed.to(weight.device))
    return model


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that host or GPU memory ran out."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    of_runtime = isinstance(error, RuntimeError) or "onnxruntime" in type(error).__module__
    return of_runtime and any(words in str(error) for words in _OUT_OF_MEMORY)


def cache_folder(name: str) -> Path:
    """Folder ``name`` of derived weights: below ``JOULEWISE_CACHE``, else the user's cache."""
    given = folder_from_environment("JOULEWISE_CACHE", None)
    return (given or platformdirs.user_cache_path("joulewise")) / name


class ForwardPasses:
    """Forward passes over a list of items, halved in size whenever memory runs out.

    Attributes:
        max_items: Items per pass, at least 1.
        halved: Whether `max_items` has been halved.
    """

    def __init__(self, max_items: int = MAX_PASS_SIZE) -> None:
        self.max_items = max_items
        self.halved = False

    def run(
        self, items: Sequence[Any], lengths: Sequence[int], forward: Callable[[list[Any]], Any]
    ) -> Any:
        """Results of `forward` in the order of `items`, as one array.

        Items of similar length share a pass. When memory runs out, the pass is halved and
        repeated, down to one item.

        Args:
            items: What `forward` takes a list of.
            lengths: Length of each item, in any unit; used for sorting only.
            forward: One pass; returns one result per item.

        Raises:
            MemoryError: A single item does not fit.
        """
        import numpy as np
        import torch

        order = np.argsort(lengths, kind="stable")
        results: list[Any] = [None] * len(items)
        start = 0
        while start < len(order):
            rows = order[start : start + self.max_items]
            try:
                outputs = forward([items[row] for row in rows])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if self.max_items <= 1:
                    raise MemoryError from error
                self.max_items, self.halved = min(self.max_items, len(rows)) // 2 or 1, True
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            for row, output in zip(rows, outputs, strict=True):
                results[row] = output
            start += len(rows)
        return np.array(results)
