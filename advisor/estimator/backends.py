"""Classes of inference backends and numeric formats, from the words sources use.

A backend class is a set of libraries that reach a similar share of a device's peak: what a
runtime was measured with matters more than the device's data sheet (see `docs/method.md`).
"""

from __future__ import annotations

import re

BACKENDS = (
    "eager",
    "compiled",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "fused",
    "sparse",
    "vendor",
    "llm-server",
)
"""Backend classes. eager: PyTorch and what calls it op by op; compiled: graph compilers and
TensorFlow/Paddle graphs; fused: hand-fused transformer kernels; sparse: engines that skip pruned
weights; vendor: the compilers of NPUs; llm-server: llama.cpp, vLLM and the like."""
TUNED = ("mlperf", "onnxruntime", "openvino", "tensorrt", "fused", "sparse", "vendor", "llm-server")
"""Classes whose runtime is near what the device can do; the others launch op by op."""
_PATTERNS = (
    ("llm-server", r"llama\.?cpp|vllm|\btgi\b|text-generation-inference|sglang"),
    ("sparse", r"deepsparse|neural magic"),
    ("openvino", r"openvino"),
    (
        "vendor",
        r"qnn|qualcomm|snpe|neural processing|genie|\benn\b|hexagon|neuron|vodla|\bsax\b|\btpu\b"
        r"|gaudi|habana|synapse|moffett|rebel|biren|coreml|core ml",
    ),
    (
        "fused",
        r"fastertransformer|aitemplate|bytetransformer|effectivetransformer|effective transformer"
        r"|deepspeed|infinity|kernl|neural engine|intel extension for transformers|lightseq"
        r"|turbotransformers|oneflow|optimized kernels",
    ),
    ("tensorrt", r"tensorrt|^cuda|\btrt\b"),
    ("onnxruntime", r"onnx|\bort\b"),
    (
        "compiled",
        r"xla|tensorflow|paddle|mxnet|tflite|torchscript|torch script|inductor|torch\.compile"
        r"|dynamo|nvfuser|nnfusion|cuda graph|\bjax\b",
    ),
)


def backend_class(framework: str | None) -> str:
    """The backend class of a library's name; ``eager`` where it tells none."""
    text = (framework or "").lower()
    return next((name for name, pattern in _PATTERNS if re.search(pattern, text)), "eager")


FORMATS = ("fp32", "tf32", "fp16", "int8", "int4", "unknown")
"""Numeric formats of the arithmetic; bfloat16 counts as fp16, fp8 as int8."""
_BITS = {"fp32": 32.0, "tf32": 32.0, "fp16": 16.0, "int8": 8.0, "int4": 4.0, "unknown": 16.0}


def numeric_format(precision: str | None) -> str:
    """The numeric format a precision's name means, e.g. ``int8`` of ``int8/fp16``."""
    text = (precision or "").lower()
    for name, pattern in (
        ("tf32", r"tf32"),
        ("int8", r"int8|fp8|a8|w8|q8"),
        ("int4", r"int4|w4|q4|mxfp4|4bit|4-bit"),
        ("fp16", r"16"),
        ("fp32", r"32|64"),
    ):
        if re.search(pattern, text):
            return name
    return "unknown"


def weight_bits(numeric: str) -> float:
    """Bits of a stored weight; 16 where the format is unknown."""
    return _BITS[numeric]
