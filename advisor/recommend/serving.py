"""Serving choices: backend, numeric format and batch of a candidate on a chip, and its setup.

Defaults are those of `docs/method.md`: PyTorch in fp16 on GPUs and in fp32 on CPUs, MPS on Apple,
vLLM for language models on GPUs, the maker's runtime on NPUs, batches of 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from advisor.estimator.setup import Setup, from_candidate, precision_bits
from catalog import profiles
from catalog.accuracy import NumericFormat, numeric_format_of
from catalog.records import EAGER_BACKENDS, Candidate, Device, Measurement, Scope, Workload
from catalog.registry.families import CLASSICAL, FAMILIES

BATCH = 32.0
"""Texts per call of scenario ``offline`` where the question states none."""
OF_GPUS = (
    *(("torch", "fp32"), ("torch", "int8")),
    *(("onnxruntime", "fp16"), ("tensorrt", "fp16"), ("tensorrt", "int8")),
)
OF_CPUS = (
    *(("torch", "bf16"), ("torch", "int8")),
    *(("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "fp32"), ("openvino", "int8")),
)
OF_LANGUAGE_MODELS: tuple[tuple[str, str], ...] = (
    ("torch", "fp16"),
    ("vllm", "fp8"),
    ("vllm", "int8"),
)


class Choice(NamedTuple):
    """Software and numeric format that serve a candidate."""

    backend: str
    precision: str

    @property
    def numeric_format(self) -> NumericFormat:
        """The format whose accuracy counts."""
        return numeric_format_of(self.precision)


class Stated(NamedTuple):
    """A runtime that whoever asks has measured on the machine, of one serving choice.

    Attributes:
        seconds: Per text.
        candidate: Whose it is; ``None`` takes it for every candidate's.
        backend: As in the question, likewise `precision`: it is the first choice they leave.
    """

    seconds: float
    candidate: str | None = None
    backend: str | None = None
    precision: str | None = None


def usual(candidate: Candidate, device: Device, quantised: bool = False) -> Choice:
    """The default choice of a candidate on a chip.

    Args:
        candidate: By its family.
        device: What runs it.
        quantised: Whether only an int4 checkpoint of it has an accuracy.
    """
    traits = FAMILIES[candidate.family]
    if candidate.family in CLASSICAL:
        return Choice(traits.backends[0], traits.precisions[0])
    apple = device.name.startswith("Apple")
    if device.kind == "cpu":
        backend, precision = "torch", traits.precisions[0]
    elif device.kind == "npu":
        backend, precision = ("neuron" if "AWS" in device.name else "vendor"), "fp16"
    elif apple:
        backend, precision = "mps", "fp16"
    else:
        backend, precision = ("vllm" if traits.causal else "torch"), "fp16"
    return Choice(backend, "int4" if quantised else precision)


def others(candidate: Candidate, device: Device) -> list[Choice]:
    """Further choices that a candidate can be served with on a chip, the usual one left out."""
    first = usual(candidate, device)
    if candidate.family in CLASSICAL or device.kind not in ("cpu", "gpu"):
        return []
    known: Sequence[tuple[str, str]] = OF_CPUS if device.kind == "cpu" else OF_GPUS
    if FAMILIES[candidate.family].causal and device.kind == "gpu":
        known = OF_LANGUAGE_MODELS
    found = [Choice(*each) for each in known if Choice(*each) != first]
    if first.backend == "mps":
        found = [Choice("mps", "fp32")]
    return found


def fits(row: Measurement, choice: Choice, candidate: Candidate, device: Device) -> bool:
    """Whether a row was measured with a choice; what its source leaves open is the usual one.

    Args:
        row: The row.
        choice: Backend and format.
        candidate: Of both.
        device: What runs it.
    """
    if candidate.family in CLASSICAL:
        return True
    first = usual(candidate, device)
    backend = row.backend or first.backend
    eager = (*EAGER_BACKENDS, "mps")
    alike = backend == choice.backend or (backend in eager and choice.backend in eager)
    return alike and same_format(row.precision or first.precision, choice.precision)


def same_format(one: str, other: str) -> bool:
    """Whether two formats have weights as wide, both of floats or both quantised."""
    return precision_bits(one) == precision_bits(other) and (
        numeric_format_of(one) == numeric_format_of(other)
    )


def setup_of(
    candidate: Candidate,
    device: Device,
    workload: Workload,
    choice: Choice,
    batch_size: float,
    scope: Scope,
    runtime_s: float | None = None,
    n_devices: int = 1,
) -> Setup:
    """The setup of a candidate on a workload; see `from_candidate`."""
    found = from_candidate(
        candidate,
        device,
        tokens=profiles.text_tokens(workload)[0],
        n_classes=workload.n_classes,
        backend=choice.backend,
        precision=choice.precision,
        batch_size=batch_size,
        scope=scope,
        runtime_s=runtime_s,
    )
    pair = f"{candidate.name}|{workload.name}"
    return msgspec.structs.replace(
        found, pair=pair, n_devices=float(n_devices), n_active=float(n_devices)
    )


def served_as(setup: Setup, choice: Choice | None, **changes: Any) -> Setup:
    """A setup with other fields, and with a serving choice unless it keeps its own."""
    if choice is not None:
        changes["precision"] = choice.precision
        changes["backend"] = choice.backend
    return msgspec.structs.replace(setup, **changes)


def has_profile(candidate: Candidate | None) -> bool:
    """Whether what one text costs can be told: a network of known size, or none at all."""
    return candidate is not None and (
        candidate.family in CLASSICAL or candidate.n_parameters is not None
    )


def weights_gb(
    candidate: Candidate | None, row: Measurement | None, precision: str | None
) -> float:
    """What the weights take, 1e9 bytes; 0 where the size is unknown."""
    size = (candidate.n_parameters if candidate else None) or (row.n_parameters if row else None)
    return (size or 0.0) * precision_bits(precision) / 8 / 1e9
