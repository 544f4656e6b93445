"""Families of candidates and their traits: what holds for every candidate of a family."""

from __future__ import annotations

import msgspec

from catalog.records import Family, Kind


class FamilyTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every candidate of a family.

    Attributes:
        runs_on: Kind of chip that does the work where a machine has both.
        precisions: Numeric formats on a CPU, the usual one first; `gpu_precisions` on a GPU.
        backends: Serving backends (`catalog.records.BACKENDS`), the usual one first.
        trains: Whether it learns from labelled texts of the workload; else it is only loaded.
        zero_shot: Whether it needs no labelled texts at all.
        sparse: Whether its features are sparse counts, which no GPU library runs.
        causal: Whether it generates text.
        one_pass_per_class: Whether each class of a workload needs a forward pass of its own.
        quick: Whether the quick profile measures it: it needs neither a fine-tuning nor gigabytes.
        floor: Whether it is the floor that others must beat: always shown, never recommended.
        probe: Whether its runtime tells that of others, so that it may be a calibration probe.
    """

    runs_on: Kind = "gpu"
    precisions: tuple[str, ...] = ("fp32", "bf16", "int8")
    gpu_precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    backends: tuple[str, ...] = ("torch",)
    trains: bool = True
    zero_shot: bool = False
    sparse: bool = False
    causal: bool = False
    one_pass_per_class: bool = False
    quick: bool = False
    floor: bool = False
    probe: bool = True


ENCODER_BACKENDS = ("torch", "onnxruntime", "openvino")
"""Backends of models that are one encoder with pooling or a head."""
BACKEND_PRECISIONS: dict[str, dict[Kind, tuple[str, ...]]] = {
    "onnxruntime": {"cpu": ("fp32", "int8"), "gpu": ("fp32",)},
    "openvino": {"cpu": ("fp32", "int8")},
    "vllm": {"gpu": ("bf16", "fp16")},
}
"""Numeric formats of a backend that is not a family's usual one, by kind of device."""
_COUNTS = FamilyTraits(
    runs_on="cpu",
    precisions=("fp64",),
    gpu_precisions=("fp64",),
    backends=("sklearn",),
    sparse=True,
    quick=True,
)
_CAUSAL = FamilyTraits(
    precisions=("bf16", "int8", "int4"),
    gpu_precisions=("bf16", "fp16", "int4"),
    backends=("torch", "vllm"),
    trains=False,
    zero_shot=True,
    causal=True,
)
_PACKAGE = FamilyTraits(
    runs_on="cpu",
    precisions=("fp32",),
    gpu_precisions=("fp32",),
    backends=("python",),
    trains=False,
    zero_shot=True,
    sparse=True,
    quick=True,
    probe=False,
)
FAMILIES: dict[Family, FamilyTraits] = {
    "majority": msgspec.structs.replace(
        _PACKAGE, backends=("sklearn",), trains=True, zero_shot=False, floor=True
    ),
    "lexicon": _PACKAGE,
    "bag-of-words": _COUNTS,
    "tf-idf": _COUNTS,
    "fasttext": msgspec.structs.replace(_PACKAGE, trains=True, zero_shot=False, quick=False),
    "static-embedding": FamilyTraits(
        runs_on="cpu",
        precisions=("fp32",),
        backends=("numpy",),
        quick=True,
    ),
    "cnn-lstm": FamilyTraits(),
    "frozen-encoder": FamilyTraits(backends=ENCODER_BACKENDS, quick=True),
    "setfit": FamilyTraits(),
    "fine-tuned-encoder": FamilyTraits(backends=ENCODER_BACKENDS),
    "zero-shot-embedding": FamilyTraits(
        backends=ENCODER_BACKENDS, trains=False, zero_shot=True, quick=True
    ),
    "zero-shot-nli": FamilyTraits(trains=False, zero_shot=True, one_pass_per_class=True),
    "zero-shot-reranker": FamilyTraits(trains=False, zero_shot=True, one_pass_per_class=True),
    "zero-shot-llm": _CAUSAL,
    "few-shot-llm": msgspec.structs.replace(_CAUSAL, zero_shot=False),
    "fine-tuned-llm": msgspec.structs.replace(_CAUSAL, trains=True, zero_shot=False),
    "reasoning-llm": _CAUSAL,
    "other": FamilyTraits(trains=False),
}
"""Traits by family; language models are published in bf16, where fp32 would only double memory."""
SPARSE = frozenset(family for family, traits in FAMILIES.items() if traits.sparse)
"""Families whose features are sparse counts."""
ZERO_SHOT = frozenset(family for family, traits in FAMILIES.items() if traits.zero_shot)
"""Families that answer without being trained on the task."""
FLOORS = frozenset(family for family, traits in FAMILIES.items() if traits.floor)
"""Families that are shown and never recommended."""
CLASSICAL = frozenset(family for family, traits in FAMILIES.items() if traits.runs_on == "cpu")
"""Families that are no network: counts, word lists or word vectors with a linear head."""
