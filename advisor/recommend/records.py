"""Questions and answers as frozen records; `docs/http.md` shows them as JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from advisor.recommend.query import Query
from catalog.accuracy import Regime
from catalog.evidence import AccuracyBasis, AcrossTask, Metric
from catalog.records import Basis, Label, Scope

AnyLabel = Label | Literal["estimated"]
"""What a measured energy is made of, or that it is an estimate."""
Reason = Literal[
    "majority-class",
    "accuracy-too-low",
    "below-majority-share",
    "contaminated",
    "not-obtainable",
    "accuracy-unknown",
    "accuracy-interval-absent",
    "cannot-keep-up",
    "latency-too-high",
    "latency-unknown",
    "memory-too-high",
    "memory-unknown",
    "runtime-unknown",
    "runtime-implausible",
    "licence-differs",
    "labels-too-few",
    "language-differs",
    "energy-absent",
    "not-measured-there",
    "does-not-fit",
    "backend-differs",
    "more-energy",
]
WarningCode = Literal[
    "accuracy-contaminated",
    "accuracy-contamination-unknown",
    "accuracy-estimated",
    "accuracy-full-not-measured",
    "accuracy-interval-absent",
    "accuracy-low-across-task",
    "accuracy-other-language",
    "accuracy-self-reported",
    "accuracy-suspect",
    "batches-assumed",
    "device-assumed",
    "device-not-calibrated",
    "device-specs-assumed",
    "devices-unstated",
    "energy-bound",
    "energy-converted",
    "energy-extrapolated",
    "energy-mixed",
    "floor-below-majority",
    "host-assumed",
    "idle-assumed",
    "idle-devices-counted",
    "instance-hardware",
    "other-load",
    "out-of-range",
    "peak-above-capacity",
    "rate-assumed",
    "rate-near-capacity",
    "rate-worked-out",
    "reference-machine",
    "reference-thin",
    "runtime-stated",
    "scenario-unstated",
    "second-opinion-differs",
    "server-rate-differs",
    "setup-assumed",
    "splits-differ",
    "spread-unstated",
    "stale-measurement",
    "startup-in-window",
    "test-sets-differ",
    "tie",
    "training-estimated",
    "training-missing",
    "unstable",
    "usual-tool-unmeasured",
    "variant-raises-energy",
]


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Share answered right (or macro-F1), with its interval where one is known.

    Attributes:
        low: Low end of the 90 % interval from test size, training draws and sources.
        basis: ``measured`` by the calibration suite, ``published``, or ``estimated`` from others.
        regime: Labelled texts behind it, e.g. ``few-shot`` with `samples_per_label`.
        source: Short names of the sources whose median it is.
        across_task: The candidate's accuracy over the task's workloads in the same language.
        warnings: Codes of what is doubtful about it.
    """

    value: float
    low: float | None
    high: float | None
    metric: Metric
    basis: AccuracyBasis
    regime: Regime | None
    n_test: int | None
    source: str | None
    across_task: AcrossTask | None
    split: str | None = None
    samples_per_label: float | None = None
    n_train: int | None = None
    reference: str | None = None
    warnings: tuple[str, ...] = ()


class EnergyPer1000(msgspec.Struct, frozen=True, kw_only=True):
    """Joules per 1,000 texts in one scope; a published bound has no `value`.

    `basis` says whether it was measured or estimated, `label` what a measured one is made of;
    that of an estimate is ``estimated``.
    """

    value: float | None
    low: float | None
    high: float | None
    basis: Basis
    scope: Scope
    label: AnyLabel | None


class RuntimePer1000(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds per 1,000 texts; ``stated`` by whoever asks, or known as energies are."""

    value: float
    low: float
    high: float
    basis: Basis | Literal["stated"]


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the figures of an option were taken."""

    source: str
    reference: str | None
    measured_at: str | None
    citation: str | None = None
    licence: str | None = None
    meter: str | None = None
    host: str | None = None
    run_id: str | None = None
    notes: str | None = None


class Shortfall(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint an option misses, what was asked and what it has."""

    constraint: str
    asked: float | str
    has: float | str | None


class Missing(Shortfall, frozen=True, kw_only=True):
    """The constraint an option misses by most, and what `also` it misses."""

    also: tuple[Shortfall, ...] = ()


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """Energy over that of the chosen option; errors that both share cancel in the interval."""

    value: float
    low: float
    high: float


class Option(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One setup as an answer: candidate, device and serving choice with its figures.

    Attributes:
        device: What runs it: the GPU, or the host CPU for counts, word lists and word vectors.
        backend: Software that ran the model; ``None`` where the source does not state it.
        variant: What else tells setups of a source apart, e.g. ``length-sorted`` batches.
        memory_gb: The peak where it was read, else what the compute profile needs, 1e9 bytes.
        latency_ms: 95th percentile of a call where it was read, else its mean duration.
        n_devices_at_least: Where no source says how many, the fewest that hold the weights.
        provenance: Where the energy or runtime was measured, else the source of the accuracy.
        second_opinion_j_per_1000: Modelled joules, shown beside an estimate, never ranked.
        missing: Only in a nearest miss: the constraint that binds.
    """

    candidate: str
    family: str
    n_parameters: float | None
    device: str
    workload: str
    scenario: str
    backend: str | None
    precision: str | None
    batch_size: float | None
    memory_gb: float | None
    latency_ms: float | None
    accuracy: Accuracy | None
    energy_j_per_1000: EnergyPer1000
    n_devices: int | None
    runtime_s_per_1000: RuntimePer1000 | None
    provenance: Provenance
    energy_factor: Factor | None = None
    variant: str | None = None
    n_devices_at_least: int | None = None
    latency_basis: Literal["measured", "estimated"] = "estimated"
    rate_per_s: float | None = None
    second_opinion_j_per_1000: float | None = None
    warnings: tuple[WarningCode, ...] = ()
    missing: Missing | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen candidate with another backend or numeric format: its energy over the chosen."""

    backend: str | None
    precision: str | None
    accuracy: float | None
    energy_j_per_1000: float | None
    basis: Basis
    factor: Factor
    qualifies: bool


class BestDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the table on which the chosen option needs least, with a 90 % interval."""

    device: str
    energy_j_per_1000: float
    low: float
    high: float


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure next, with the command that does it; expectations are estimates."""

    candidate: str
    expected_accuracy: float | None
    expected_energy_j_per_1000: float | None
    command: str
    reason: str


class PricedMachine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that every option was priced on.

    Attributes:
        device: The GPU, NPU or CPU it is named by.
        host_cpu: The CPU that runs what needs no GPU.
        basis: ``asked``, the ``setting``, what was ``calibrated`` last, or the ``default``.
        vcpus: Of an instance, with its `memory_gb`; `cpu_share`: over the threads of one CPU.
    """

    device: str
    host_cpu: str
    basis: Literal["asked", "setting", "calibrated", "default"]
    n_devices: int = 1
    instance: str | None = None
    vcpus: float | None = None
    cpu_share: float | None = None
    memory_gb: float | None = None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """Why a candidate lost: the reason of its best setup and how many were priced."""

    candidate: str
    device: str | None
    reason: Reason
    detail: str
    setups: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Another option against the chosen one, item by item on the same test set.

    Attributes:
        difference: Accuracy of the other less that of the chosen one, with its 95 % interval
            (Newcombe 1998, paired) from `low` to `high`.
        detectable: Whether that interval leaves 0 out.
        only_other_right: Items that only the other got right; likewise `only_chosen_right`.
        p_value: Of the exact McNemar test, two-sided.
        energy_share: Energy of the chosen option as a share of the other's.
    """

    candidate: str
    device: str
    precision: str | None
    batch_size: float | None
    n_test: int
    difference: float
    low: float
    high: float
    detectable: bool
    only_other_right: int
    only_chosen_right: int
    p_value: float
    energy_share: float | None
    energy_measured: bool
    message: str


class CascadeStep(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a cascade: a candidate and its serving choice."""

    candidate: str
    precision: str | None
    batch_size: float | None
    variant: str | None


class Cascade(msgspec.Struct, frozen=True, kw_only=True):
    """A cheap candidate that hands on what it is unsure of; worked out, never run.

    Attributes:
        first: Answers every text; `second` those that score under `threshold` in the first.
        deferred: Share of texts handed on, with its 90 % interval.
        accuracy: Cross-fitted: each half of the items by the threshold chosen on the other one.
        energy_j_per_1000: First on every text plus second on the share handed on.
        saves: Share of the chosen option's energy it would save; ``None`` without a chosen one.
    """

    first: CascadeStep
    second: CascadeStep
    device: str
    threshold: float
    deferred: float
    deferred_low: float
    deferred_high: float
    accuracy: Accuracy
    energy_j_per_1000: EnergyPer1000
    energy_from: str
    saves: float | None = None
    warnings: tuple[WarningCode, ...] = ()


class Caution(msgspec.Struct, frozen=True, kw_only=True):
    """A documented code with a sentence for this answer."""

    code: WarningCode
    message: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What every option of an answer is about; figures of other kinds are converted to it."""

    workload: str
    scenario: str
    scope: Scope
    rate_per_s: float | None = None


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: the qualifying option of least energy and why the others lost.

    Attributes:
        chosen_by_point: What the accuracies as they are would choose, where that differs.
        alternatives: Other qualifying options, least energy first: the cheapest, and the cheapest
            one of each further family.
        front: Options, qualifying or not, that no other beats in both accuracy and energy,
            cheapest first.
        rejected: Why other candidates lost; `rejected_more` further ones are not listed.
        next: Cursor of further alternatives and rejections; ``None`` at the end.
        nearest_miss: Where nothing qualifies, the option closest to it.
        comparisons: The chosen option against others on the same test items, where the answers
            of both are in the catalog.
        cascades: Pairs that would meet the floor with less energy than the chosen option.
    """

    query: Query
    group: Group
    machine: PricedMachine
    chosen: Option | None
    chosen_by_point: Option | None
    best_devices: tuple[BestDevice, ...]
    alternatives: tuple[Option, ...]
    front: tuple[Option, ...]
    variants: tuple[Variant, ...]
    rejected: tuple[Rejected, ...]
    rejected_more: int
    next: str | None
    nearest_miss: Option | None
    suggestions: tuple[Suggestion, ...]
    warnings: tuple[Caution, ...]
    catalog_digest: str
    estimator_version: str
    comparisons: tuple[Comparison, ...] = ()
    cascades: tuple[Cascade, ...] = ()
