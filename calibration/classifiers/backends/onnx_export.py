"""ONNX export of an encoder: a torch module in, cached fp32 and int8 files out.

Files lie in the user's cache under a hash of weights, configuration and versions, and are written
under another name first, so that an interrupted export leaves none that looks whole.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from calibration.classifiers import checkpoints
from calibration.classifiers.errors import CannotRunError

EXPORT_VERSION = 1
"""Version of the code here, part of the key; increase it when the files change."""
_LINEAR = ["MatMul", "Gemm"]
"""Operators whose weights are quantised: the linear layers, not the embeddings."""


class _Positional(torch.nn.Module):
    """A model with tensors as positional arguments and one of its outputs as the result."""

    def __init__(self, model: Any, inputs: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.model, self.inputs, self.output = model, inputs, output

    def forward(self, *tensors: torch.Tensor) -> Any:
        """The named output for tensors in the order of the names of the inputs."""
        named = dict(zip(self.inputs, tensors, strict=True))
        return self.model(**named, return_dict=True)[self.output]


def fp32_file(folder: Path, output: str, model: Any, example: Mapping[str, Any]) -> Path:
    """The encoder in fp32, exported unless the cache has it.

    Args:
        folder: Folder of the checkpoint.
        output: Name of the model's output, e.g. ``logits``.
        model: The torch module, in fp32 on the CPU.
        example: Tokens of two texts of unequal length, padded: int64 tensors of shape
            ``(texts, tokens)`` by the name of the input.

    Raises:
        CannotRunError: The model cannot be exported.
    """
    file = _cache(folder, output) / "fp32.onnx"
    return file if file.is_file() else _write(file, lambda to: _export(model, output, example, to))


def int8_file(fp32: Path) -> Path:
    """The int8 file beside an fp32 file: int8 weights per channel, activations quantised per call.

    Raises:
        CannotRunError: ONNX Runtime cannot quantise it.
    """
    version = importlib.metadata.version("onnxruntime")
    file = fp32.with_name(f"int8-onnxruntime-{version}.onnx")
    return file if file.is_file() else _write(file, lambda to: _quantise(fp32, to))


def _cache(folder: Path, output: str) -> Path:
    """Folder of the exported files of a checkpoint."""
    versions = [importlib.metadata.version(name) for name in ("torch", "transformers", "onnx")]
    digest = hashlib.sha256(repr((EXPORT_VERSION, output, versions)).encode())
    for file in sorted([*folder.rglob("*.safetensors"), *folder.rglob("config.json")]):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return checkpoints.cache_folder("exported") / digest.hexdigest()[:24]


def _write(file: Path, write: Callable[[Path], None]) -> Path:
    """Writes a file under a temporary name, then renames it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        write(made)
        made.replace(file)
    return file


def _export(model: Any, output: str, example: Mapping[str, Any], to: Path) -> None:
    """Traces a torch module with free numbers of texts and tokens.

    The exporter that traces is used, not the one of `torch.export`: on MiniLM it takes 1.5 s, not
    9 s, and the graphs run equally fast.
    """
    inputs = tuple(example)
    free = {name: {0: "texts", 1: "tokens"} for name in inputs} | {output: {0: "texts"}}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                _Positional(model, inputs, output).eval(),
                tuple(example.values()),
                to,
                dynamo=False,
                opset_version=17,
                input_names=list(inputs),
                output_names=[output],
                dynamic_axes=free,
            )
        except Exception as error:  # the tracer raises whatever a model's code raises
            raise CannotRunError(f"no ONNX export of it ({type(error).__name__})") from error


def _quantise(fp32: Path, to: Path) -> None:
    """Quantises an ONNX file for dynamic int8."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()  # the quantiser advises on it
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        quantize_dynamic(
            fp32, to, weight_type=QuantType.QInt8, op_types_to_quantize=_LINEAR, per_channel=True
        )
    except Exception as error:  # many classes of onnx and ONNX Runtime
        raise CannotRunError(f"ONNX Runtime cannot quantise it ({type(error).__name__})") from error
    finally:
        root.setLevel(level)
