"""Records of the catalog, frozen; the unit of a number is part of its name.

A missing value is ``None`` and stays so: never 0, never a guess. Energies are joules of the
whole window (`n_items` texts in `runtime_s` seconds), one field and one label per component.
What a record leaves out on purpose: how it was found out (`calibration`) and what follows
from it (`advisor`).
"""

from __future__ import annotations

import functools
import math
import operator
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from catalog.accuracy import Accuracy
from catalog.predictions import Predictions

Kind = Literal["cpu", "gpu", "npu", "soc"]
Label = Literal["measured", "modelled", "mixed"]
Scope = Literal["device", "host", "wall"]
Phase = Literal["load", "train", "inference"]
Scenario = Literal["single", "offline", "server", "unstated"]
Basis = Literal["measured", "estimated", "estimated-runtime", "extrapolated"]
DeviceStatus = Literal[
    "verified", "read", "derived", "partly", "unverified", "not found", "probed", "asked"
]
Family = Literal[
    "majority",
    "lexicon",
    "bag-of-words",
    "tf-idf",
    "fasttext",
    "static-embedding",
    "cnn-lstm",
    "frozen-encoder",
    "setfit",
    "fine-tuned-encoder",
    "zero-shot-embedding",
    "zero-shot-nli",
    "zero-shot-reranker",
    "zero-shot-llm",
    "few-shot-llm",
    "fine-tuned-llm",
    "reasoning-llm",
    "other",
]

BACKENDS = (
    *("python", "numpy", "sklearn"),
    *("torch", "onnxruntime", "openvino", "tensorrt", "vllm", "llamacpp"),
)
"""Software that runs a model; beside these a vendor's own runtime by its name, e.g. ``neuron``.
``python`` is a package of the candidate's own: a lexicon, a language identifier."""
EAGER_BACKENDS = ("sklearn", "torch")
"""What rows without a stated backend ran on in our own suite. For identity all three are one: a row
of today supersedes one from before backends were recorded."""
SCOPES: tuple[Scope, ...] = ("device", "host", "wall")
"""From the smallest part of a machine to the whole of it."""
COMPONENTS = ("gpu", "cpu", "dram", "npu", "board", "wall")
"""The parts of a machine whose energy is kept apart; `board` is the rail of an SoC."""


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chip that runs models, with its data-sheet figures.

    Attributes:
        name: Canonical name, e.g. ``NVIDIA A30``.
        cores: CPU cores or GPU multiprocessors.
        base_ghz: Base clock of a CPU, highest clock of an integrated GPU, GHz.
        isa: Vector and matrix extensions of a CPU, e.g. ``AVX-512``.
        tdp_w: Thermal design power, watts.
        power_max_w: Highest sustained power allowed (turbo or board limit), watts.
        idle_w: Power with no process on it, watts; with a model resident it is 2-4 times that.
        peak_fp32_tflops: Dense fp32 rate without tensor units, 1e12 FLOP/s.
        peak_fp16_tflops: Dense fp16 tensor rate, 1e12 FLOP/s; ``None`` without tensor units.
        peak_int8_tops: Dense 8-bit rate, 1e12 operations/s.
        bandwidth_gbs: Peak memory bandwidth, 1e9 B/s.
        aliases: What NVML, lscpu and the like print for it.
        source: Where the figures were read.
        status: How far `source` was checked; ``probed`` comes from a calibrated machine, and of a
            ``not found`` one nothing but the name is known.
        dataset: Which bundled data set names it: measured ``energy``, published ``runtime``, cloud
            ``instances``, or none of them (``everyday``); ``None`` for devices of a store.
    """

    name: str
    kind: Kind
    vendor: str | None = None
    year: int | None = None
    cores: int | None = None
    base_ghz: float | None = None
    isa: tuple[str, ...] = ()
    memory_gb: float | None = None
    tdp_w: float | None = None
    power_max_w: float | None = None
    idle_w: float | None = None
    peak_fp32_tflops: float | None = None
    peak_fp16_tflops: float | None = None
    peak_int8_tops: float | None = None
    bandwidth_gbs: float | None = None
    aliases: tuple[str, ...] = ()
    source: str | None = None
    status: DeviceStatus | None = None
    dataset: Literal["energy", "runtime", "instances", "everyday"] | None = None


class Workload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A data set with a fixed test set, pinned by revision.

    Attributes:
        task: Slug of what is decided, e.g. ``sentiment``.
        dataset: Hub id or the source's name; `revision`: its commit or the file's SHA-256.
        language: ISO 639-1 code.
        mean_tokens: Mean length in word pieces; `p95_tokens` its 95th percentile.
        mean_chars: Mean length in characters; `length_basis`: counted by.
        majority_share: Share of the test set's most frequent class; `majority_basis`: counted by.
        own_splits: Whether sources draw test sets of their own, as the data set has none.
        siblings: Group of workloads that share texts with this one.
        aliases: Names that other sources give it.
    """

    name: str
    task: str
    dataset: str | None = None
    revision: str | None = None
    language: str | None = None
    n_classes: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    mean_tokens: float | None = None
    p95_tokens: float | None = None
    licence: str | None = None
    citation: str | None = None
    mean_chars: float | None = None
    length_basis: str | None = None
    majority_share: float | None = None
    majority_basis: str | None = None
    own_splits: bool = False
    siblings: str | None = None
    aliases: tuple[str, ...] = ()


class Training(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an encoder is fine-tuned; part of its declaration, so that nothing is tuned on the side.

    Attributes:
        epochs: Passes over the training texts; more where they come to less than `least_steps`
            optimiser steps (small data sets need as many updates, not as many passes).
        learning_rate: Peak of a linear warm-up over the share `warmup` of the steps, followed by
            a linear decay to 0.
        batch_size: Texts in one step.
        max_tokens: Longer texts are cut.
        weight_decay: Of AdamW; biases and norms have none.
        patience: Epochs without a better accuracy on dev after which it ends.
        extra_split: A split beside ``train`` of which `extra_rows` texts are added, where a
            workload has it; those equal to a text of dev or test are left out.
        seed: Of the new head, the order and the choice of extra texts.
    """

    epochs: int = 3
    least_steps: int = 1200
    learning_rate: float = 5e-5
    batch_size: int = 32
    max_tokens: int = 128
    warmup: float = 0.1
    weight_decay: float = 0.01
    patience: int = 2
    extra_split: str | None = None
    extra_rows: int = 0
    seed: int = 0


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A way to solve a workload; precision and batch size are choices at serving time.

    Attributes:
        name: Kebab-case, features then head, e.g. ``tfidf-word-logistic``.
        features: What turns a text into numbers (or the whole model), e.g. ``tfidf-word``.
        head: The classifier on top of fixed features, or how a zero-shot model's answer is read
            (``entailment``, ``likelihood`` ...); ``None`` where the model decides itself.
        prompt: What a zero-shot model is asked: a hypothesis about ``{label}``, or an
            instruction with ``{labels}`` and ``{text}``.
        training: How an encoder is fine-tuned.
        samples_per_label: Training texts per label of a few-shot head; ``None`` trains on all.
        checkpoint: Hub id of pretrained weights.
        revision: Commit of the checkpoint.
        n_parameters: Parameters, active and not; ``None`` where they depend on the workload.
        n_active_parameters: Parameters used for one token (mixture of experts).
        flops_per_token: FLOP per token of one forward pass; 2 per active parameter if ``None``.
        n_layers: Transformer blocks; `width` is their hidden size.
        n_embedding_parameters: Parameters of the token table, which do no multiplications.
        max_tokens: Longest text the model reads; longer ones are cut.
        profile_basis: ``config`` (read in a checkpoint's configuration) or ``derived`` from
            parameters and family.
        one_pass_per_class: Whether each class of a workload needs a forward pass of its own.
        prompt_tokens: Tokens read with each text: an instruction without its labels, a hypothesis.
        demonstrations_per_class: Labelled examples per class in the prompt.
        generated_tokens: Tokens written for one answer.
        runnable: Whether the calibration suite can build it.
    """

    name: str
    family: Family
    features: str | None = None
    head: str | None = None
    prompt: str | None = None
    training: Training | None = None
    samples_per_label: int | None = None
    checkpoint: str | None = None
    revision: str | None = None
    n_parameters: float | None = None
    n_active_parameters: float | None = None
    flops_per_token: float | None = None
    n_layers: int | None = None
    width: int | None = None
    n_embedding_parameters: float | None = None
    max_tokens: int | None = None
    profile_basis: Literal["config", "derived"] | None = None
    one_pass_per_class: bool = False
    prompt_tokens: float | None = None
    demonstrations_per_class: float | None = None
    generated_tokens: float | None = None
    languages: tuple[str, ...] = ()
    licence: str | None = None
    runnable: bool = False
    notes: str | None = None


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One observation of one candidate on one workload and device, in one phase.

    The fields of `SetupKey` and its run identify it; two rows with equal keys and unequal content
    conflict.

    Attributes:
        run_id: Names the run that made the row; importing it twice stores it once.
        source: Who measured: a publication's short name or ``calibration``.
        host: The machine around the device, in words.
        n_devices: Devices whose energy is counted; `n_active_devices` of them did the work.
        backend: Software that ran the model, one of `BACKENDS` or a vendor's; ``None`` where it
            is not stated.
        batch_size: Texts per call (a source may print a mean); of scenario ``server`` the most.
        rate_per_s: Texts that arrive per second, in scenario ``server``; a row of a stated rate
            holds the idle time between them in runtime and joules.
        repeat_group: Separates rows of one setup that a source lists more than once.
        n_items: Texts in the window; `runtime_s` its seconds.
        gpu_j: Joules of the GPUs in the window; likewise for the other `COMPONENTS`. Each has
            a label: ``measured`` (counter or meter), ``modelled`` (power was assumed).
        total_j: A published total that cannot be split; `total_low_j`/`total_high_j` bound it
            (a published "<0.01 Wh" has only the high one). `total_scope` is the source's own
            word for what it covers.
        idle_w: Watts of the same scope before the run; `idle_resident_w` with the model loaded.
        tokens_mean: Mean tokens per text.
        n_parameters: Parameters of the fitted model where the candidate leaves them open.
        flops_per_item: FLOP per text as the source states it.
        accuracy: Share of `n_test` items answered right, on `accuracy_split`.
        contamination: Why the accuracy may be too good, where that is suspected.
        flags: Short words about the window: ``startup-in-window``, ``idle-devices-in-total``,
            ``unstable``, ``suspect``, ``llm`` ...
        fingerprint: JSON of what moves energy: driver, power limit, libraries, data sha256.
        reference: Where in the source the figure stands.
        measured_at: ISO 8601 date or time of the measurement (of publication, for figures).
    """

    run_id: str
    source: str
    workload: str
    candidate: str
    device: str
    host: str | None = None
    n_devices: int | None = None
    n_nodes: int | None = None
    phase: Phase = "inference"
    scenario: Scenario = "unstated"
    backend: str | None = None
    precision: str | None = None
    batch_size: float | None = None
    rate_per_s: float | None = None
    repeat_group: str | None = None

    n_items: float
    runtime_s: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    gpu_j: float | None = None
    gpu_label: Label | None = None
    cpu_j: float | None = None
    cpu_label: Label | None = None
    dram_j: float | None = None
    dram_label: Label | None = None
    npu_j: float | None = None
    npu_label: Label | None = None
    board_j: float | None = None
    board_label: Label | None = None
    wall_j: float | None = None
    wall_label: Label | None = None
    total_j: float | None = None
    total_low_j: float | None = None
    total_high_j: float | None = None
    total_scope: str | None = None
    total_label: Label | None = None
    idle_w: float | None = None
    idle_resident_w: float | None = None
    power_limit_w: float | None = None
    n_active_devices: int | None = None
    tokens_mean: float | None = None
    n_parameters: float | None = None
    flops_per_item: float | None = None
    peak_memory_mb: float | None = None
    repeats: int | None = None
    cv: float | None = None
    accuracy: float | None = None
    accuracy_split: str | None = None
    macro_f1: float | None = None
    n_test: int | None = None
    contamination: str | None = None
    flags: tuple[str, ...] = ()
    fingerprint: str | None = None
    meter: str | None = None
    citation: str | None = None
    reference: str | None = None
    licence: str | None = None
    measured_at: str | None = None
    notes: str | None = None


class SetupKey(NamedTuple):
    """What identifies a setup: of its rows the newest counts, the others are its history.

    Attributes:
        repeat_group: Text order or whatever else separates rows of one serving choice, e.g.
            ``length-sorted``. Tokens per text follow from the workload.
    """

    source: str
    workload: str
    candidate: str
    device: str
    host: str | None
    n_devices: int | None
    n_nodes: int | None
    phase: Phase
    scenario: Scenario
    backend: str | None
    precision: str | None
    batch_size: float | None
    rate_per_s: float | None
    repeat_group: str | None

    @classmethod
    def of(cls, row: Measurement) -> SetupKey:
        """The setup of a measurement."""
        return cls._make(_setup_fields(row)).normalised()

    def normalised(self) -> SetupKey:
        """The key with one name for setups that are one: see `EAGER_BACKENDS`."""
        return self._replace(backend=None) if self.backend in EAGER_BACKENDS else self


_setup_fields = operator.attrgetter(*SetupKey._fields)
KEY = ("run_id", *SetupKey._fields)
"""What identifies a measurement."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its 90 % interval and where it came from; `low` <= `value` <= `high`."""

    value: float | None
    low: float | None
    high: float | None
    basis: Basis
    label: Label | None = None


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that belong together and the records that came with them, as one unit of writing.

    `predictions` are the answers behind the rows' accuracies, where they were kept;
    `accuracies` came without a measurement.
    """

    measurements: tuple[Measurement, ...]
    devices: tuple[Device, ...] = ()
    workloads: tuple[Workload, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    predictions: tuple[Predictions, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()


@functools.lru_cache(100_000)
def moment(text: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 date or time; UTC where it states no zone."""
    if text is None:
        return -math.inf
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
