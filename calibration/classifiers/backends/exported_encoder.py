"""Exported encoder on ONNX Runtime or OpenVINO: tokens in, one output of the model out.

It takes the place of the torch module in a classifier, so that tokenisation, pooling and reading of
the output are the same code for every backend.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibration.classifiers.backends import available, onnx_export
from calibration.classifiers.errors import CannotRunError
from calibration.hardware.threads import usable_cores

Tokens = Mapping[str, np.ndarray[Any, np.dtype[np.int64]]]
Run = Callable[[Tokens], Any]
"""One forward pass; int64 arrays of shape ``(texts, tokens)`` by input in, an fp32 array out."""
TOLERANCE = 1e-3
"""Largest difference of an exported fp32 output from eager, as a share of its largest value."""
_EXAMPLE = ["one text", "another text, a longer one: with more tokens than the first"]
_OTHERS = [*_EXAMPLE, "a third text, so that neither number of texts nor of tokens is that before"]


class Exported(torch.nn.Module):
    """A runtime's session in the place of a torch model.

    Args:
        run: One forward pass.
        inputs: Names of the tensors it takes; others are ignored.
        output: Name of its output.
        config: Configuration of the torch model.
    """

    def __init__(self, run: Run, inputs: tuple[str, ...], output: str, config: Any) -> None:
        super().__init__()
        self.run, self.inputs, self.output, self.config = run, inputs, output, config
        self.device = torch.device("cpu")  # where tokens are taken and outputs are given

    def forward(self, **tokens: Any) -> Any:
        """The output by name, in a mapping with attributes, as a torch model returns it."""
        from transformers.utils import ModelOutput

        found = self.run({name: tokens[name].numpy() for name in self.inputs})
        return ModelOutput({self.output: torch.from_numpy(found)})


def load(
    model: Any,
    folder: Path,
    backend: str,
    precision: str,
    device: str,
    *,
    output: str,
    tokenise: Callable[[list[str]], Mapping[str, Any]],
) -> Exported:
    """A checkpoint on a backend, exported unless the cache has it.

    Args:
        model: The torch module, in fp32 on the CPU.
        folder: Folder of its checkpoint.
        backend: ``onnxruntime`` or ``openvino``.
        precision: ``fp32``, or ``int8``: int8 weights of the linear layers and activations
            quantised per call.
        device: ``cpu``, or ``cuda`` (ONNX Runtime).
        output: Name of the model's output.
        tokenise: Texts to padded tensors by input.

    Raises:
        CannotRunError: A package or provider is missing, the format is not served, or the exported
            model answers otherwise than torch.
    """
    reason = available.missing(backend, "gpu" if device == "cuda" else "cpu")
    if reason is not None:
        raise CannotRunError(reason)
    if precision not in ("fp32", "int8"):
        raise CannotRunError(f"{backend} serves fp32 and int8 here, not {precision}")
    taken = inspect.signature(model.forward).parameters
    example, others = (
        {name: value for name, value in tokenise(texts).items() if name in taken}
        for texts in (_EXAMPLE, _OTHERS)
    )
    fp32 = onnx_export.fp32_file(folder, output, model, example)
    exact = _RUNTIMES[backend](fp32, "fp32", device)
    _check(exact, model, output, others)
    run = exact if precision == "fp32" else _RUNTIMES[backend](fp32, precision, device)
    return Exported(run, tuple(example), output, model.config)


def _check(run: Run, model: Any, output: str, tokens: Mapping[str, Any]) -> None:
    """Compares an exported model with torch on texts it was not traced with.

    Raises:
        CannotRunError: They differ by more than `TOLERANCE`.
    """
    with torch.inference_mode():
        expected = model(**tokens, return_dict=True)[output].float().numpy()
    found = run({name: value.numpy() for name, value in tokens.items()})
    off = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not off <= TOLERANCE:
        raise CannotRunError(f"its ONNX export differs from torch by {off:.2g} of the output")


def onnx_runtime(fp32: Path, precision: str, device: str) -> Run:
    """A session of ONNX Runtime; its threads sleep while they wait."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    file = onnx_export.int8_file(fp32) if precision == "int8" else fp32
    session = onnxruntime.InferenceSession(str(file), options, providers=[provider])
    return lambda tokens: session.run(None, dict(tokens))[0]


def openvino(fp32: Path, precision: str, device: str) -> Run:
    """A compiled model of OpenVINO on the CPU.

    fp32 is kept fp32 (OpenVINO would compute in bf16 where the CPU can). int8 is its own scheme:
    compressed weights, and activations quantised in groups of a row per call.
    """
    import openvino

    if device != "cpu":
        raise CannotRunError("OpenVINO runs on the CPU here")
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": usable_cores(),
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32" if precision == "int8" else "0",
    }
    model = core.read_model(fp32)
    if precision == "int8":
        compress_weights(model)
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda tokens: request.infer(dict(tokens), share_inputs=True)[0]


def compress_weights(model: Any) -> None:
    """Replaces the weights of linear layers by int8 with one scale per output channel, in place.

    Symmetric: ``w = round(w / s) * s`` with ``s = max|w| / 127``. OpenVINO recognises the pattern
    constant, convert, multiply and multiplies in int8.
    """
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant" or len(constant.get_output_shape(0)) != 2:
            continue
        weights = constant.get_data().astype(np.float32)
        axis = 1 if node.get_attributes()["transpose_b"] else 0
        scale = np.abs(weights).max(axis=axis, keepdims=True) / 127
        scale[scale == 0] = 1
        low = ops.constant(np.round(weights / scale).astype(np.int8))
        wide = ops.multiply(ops.convert(low, "f32"), ops.constant(scale.astype(np.float32)))
        node.input(1).replace_source_output(wide.output(0))


_RUNTIMES: dict[str, Callable[[Path, str, str], Run]] = {
    "onnxruntime": onnx_runtime,
    "openvino": openvino,
}
