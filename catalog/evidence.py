"""Rules of evidence: from the results of one candidate on one workload to a value with interval.

Pure functions, no catalog: tiers and medians, intervals, the discount of self-reported figures,
label budgets, the loss of a quantised format, exclusions and warnings. `Evidence` is what a
decision reads; `Accuracy` rows are what it rests on.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from catalog.accuracy import (
    OWN_SPLIT,
    TIERS,
    TRAIN_POOL,
    Accuracy,
    Contamination,
    NTestBasis,
    NumericFormat,
    Regime,
    Tier,
    setting,
)

Metric = Literal["accuracy", "macro_f1"]
Labels = Literal["none", "few", "full"]
AccuracyBasis = Literal["measured", "published", "estimated"]
Exclusion = Literal["contaminated", "below-majority-share", "not-obtainable"]

Z90 = 1.6449
"""Standard deviations that hold 90 % of a normal distribution on both sides."""
SELF_REPORT_DISCOUNT = 0.013
"""Median of self-reported less independently run accuracy, over 1,212 shared cells of MTEB."""
SELF_REPORT_LOW = 0.08
"""Nine of ten of those gaps are smaller: how far below a self-reported figure its low end is."""
FEW_SAMPLES = 8
"""Labelled texts per class that a label budget of ``few`` is about."""
FULL_SHARE = 0.5
"""Least share of the largest training set whose results count as the same full training."""
OF_LABELS: dict[Labels, tuple[Regime, ...]] = {
    "none": ("zero-shot", "lexicon"),
    "few": ("few-shot", "in-context", "zero-shot", "lexicon"),
    "full": ("full", "few-shot", "in-context", "zero-shot", "lexicon"),
}
"""Regimes that a label budget allows."""
_WORST: tuple[Contamination, ...] = ("yes", "possible", "unknown", "no")


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known about a candidate's accuracy on a workload in one regime and format.

    Attributes:
        value: Median of the most trusted sources, 0 to 1.
        low: Low end of the 90 % interval; ``None`` without a test size, and of macro-F1.
        sd: Standard deviation of one deployed head over training draws.
        spread: Standard deviation between the sources that the median is of.
        basis: ``measured`` by the calibration suite, ``published``, or ``estimated``.
        n_results: Results in the most trusted tier; `n_others` stand in lower ones.
        sources: Their short names.
        others: Results that the value does not rest on, in words.
        detail: How an ``estimated`` value was derived.
        warnings: Codes of what is doubtful, sorted.
        chance: Of an accuracy that follows from others: that of guessing; `logit_sd` is the
            standard deviation of its logit above chance, which is normal.
    """

    candidate: str
    workload: str
    regime: Regime
    metric: Metric
    value: float
    low: float | None
    high: float | None
    numeric_format: NumericFormat = "float"
    samples_per_label: float | None = None
    n_train: int | None = None
    n_test: int | None = None
    n_test_basis: NTestBasis = "stated"
    split: str | None = None
    sd: float = 0.0
    spread: float = 0.0
    basis: AccuracyBasis = "published"
    contamination: Contamination = "unknown"
    tier: Tier = "card"
    n_results: int = 1
    n_others: int = 0
    sources: tuple[str, ...] = ()
    reference: str | None = None
    protocol: str | None = None
    citation: str | None = None
    others: tuple[str, ...] = ()
    detail: str | None = None
    warnings: tuple[str, ...] = ()
    chance: float | None = None
    logit_sd: float | None = None


def wilson(value: float, n: float, z: float = Z90) -> tuple[float, float]:
    """Wilson score interval of a share (Wilson 1927).

    Args:
        value: The share, 0 to 1.
        n: Texts it was taken on, above 0.
        z: Half width in standard deviations.
    """
    centre = (value + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def interval(value: float, n_test: float, sd: float = 0.0, z: float = Z90) -> tuple[float, float]:
    """Interval of an accuracy from its test size and the spread of one deployed head.

    Args:
        value: Accuracy, 0 to 1.
        n_test: Test texts.
        sd: Standard deviation over draws, seeds or sources: of one of them, not of their mean.
        z: Half width in standard deviations.
    """
    low, high = wilson(value, n_test, z)
    below, above = math.hypot(value - low, z * sd), math.hypot(high - value, z * sd)
    return max(0.0, value - below), min(1.0, value + above)


def stated(row: Accuracy, metric: Metric) -> float | None:
    """A result's value of a metric as it enters: self-reported ones are discounted."""
    value: float | None = getattr(row, metric)
    if value is None or not row.self_reported:
        return value
    return max(0.0, value - SELF_REPORT_DISCOUNT)


def most_trusted(rows: Sequence[Accuracy]) -> list[Accuracy]:
    """The results of the best tier that has any."""
    best = min(TIERS.index(row.tier) for row in rows)
    return [row for row in rows if row.tier == TIERS[best]]


def same_training(rows: Sequence[Accuracy]) -> list[Accuracy]:
    """Results of full training without those on a small part of the training set.

    A result on fewer than half the texts of the largest stated set is another training; one that
    states no number counts as full.
    """
    most = max((row.n_train or 0 for row in rows), default=0)
    return [row for row in rows if row.n_train is None or row.n_train >= FULL_SHARE * most]


def combine(
    rows: Sequence[Accuracy], metric: Metric = "accuracy", *, own_splits: bool = False
) -> Evidence | None:
    """One value from all results of a candidate on a workload in one setting and format.

    The median of the most trusted tier; the spread of its values widens the interval. Splits that
    a source drew itself are evidence only with `own_splits`, where the data set has no official
    one; ``splits-differ`` then says so. ``None`` where no result has the metric.
    """
    allowed = [r for r in rows if own_splits or r.split != OWN_SPLIT]
    known = [r for r in allowed if getattr(r, metric) is not None]
    if not known:
        return None
    if known[0].regime == "full":
        known = same_training(known)
    best = most_trusted(known)
    values = [value for row in best if (value := stated(row, metric)) is not None]
    value = statistics.median(values)
    row = min(best, key=lambda each: (abs((stated(each, metric) or 0) - value), each.source))
    sds = [sd for each in best if (sd := getattr(each, f"{metric}_sd")) is not None]
    sd = statistics.median(sds) if sds else 0.0
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    low, high = _ends(row, value, math.hypot(sd, spread), metric)
    return Evidence(
        candidate=row.candidate,
        workload=row.workload,
        regime=row.regime,
        metric=metric,
        value=value,
        low=low,
        high=high,
        numeric_format=row.numeric_format,
        samples_per_label=row.samples_per_label,
        n_train=row.n_train,
        n_test=row.n_test,
        n_test_basis=row.n_test_basis,
        split=row.split,
        sd=sd,
        spread=spread,
        basis="measured" if row.tier == "suite" else "published",
        contamination=min((each.contamination for each in best), key=_WORST.index),
        tier=row.tier,
        n_results=len(best),
        n_others=len(rows) - len(best),
        sources=tuple(sorted({each.source for each in best})),
        reference=row.reference,
        protocol=row.protocol,
        citation=row.citation,
        others=tuple(_in_words(each, metric) for each in rows if each not in best),
        warnings=_warnings(best, row, own_splits=own_splits),
    )


def _ends(
    row: Accuracy, value: float, sd: float, metric: Metric
) -> tuple[float | None, float | None]:
    """Ends of the 90 % interval; a self-reported value reaches `SELF_REPORT_LOW` down."""
    if metric != "accuracy" or not row.n_test:
        return None, None
    low, high = interval(value, row.n_test, sd)
    if row.self_reported:
        low = min(low, max(0.0, (row.accuracy or 0.0) - SELF_REPORT_LOW))
    return low, high


def _in_words(row: Accuracy, metric: Metric) -> str:
    """A result that is shown beside the evidence: source, tier, split and value."""
    value = getattr(row, metric)
    figure = "no " + metric if value is None else f"{value:.3f}"
    return f"{row.source} ({row.tier}, {row.split or 'split not stated'}): {figure}"


def _warnings(rows: Sequence[Accuracy], row: Accuracy, *, own_splits: bool) -> tuple[str, ...]:
    """Codes of what is doubtful about a median."""
    codes = set()
    if own_splits or len({each.split for each in rows}) > 1:
        codes.add("splits-differ")
    if any(each.split == TRAIN_POOL for each in rows):
        codes.add("test-texts-in-training")
    worst = min((each.contamination for each in rows), key=_WORST.index)
    if worst in ("possible", "unknown"):
        codes.add(f"contamination-{worst}")
    if row.self_reported:
        codes.add("self-reported")
    if row.n_test_basis == "official":
        codes.add("test-size-official")
    if not row.n_test:
        codes.add("test-size-unknown")
    return tuple(sorted(codes))


def evidence(
    rows: Iterable[Accuracy], metric: Metric = "accuracy", *, own_splits: bool = False
) -> list[Evidence]:
    """Evidence of every candidate, setting and format among results of one workload."""
    groups: defaultdict[tuple[object, ...], list[Accuracy]] = defaultdict(list)
    for row in rows:
        groups[row.candidate, setting(row), row.numeric_format].append(row)
    found = (combine(group, metric, own_splits=own_splits) for group in groups.values())
    return [each for each in found if each is not None]


def for_labels(known: Sequence[Evidence], labels: Labels = "full") -> Evidence | None:
    """What answers for one candidate and format under a label budget; ``None`` if nothing may.

    ``full`` takes full training; without it a few-shot head stands as a cautious lower figure of
    the same model's full head, marked ``full-not-measured``. A full result never answers ``few``,
    which takes the head of 8 texts per class or the nearest above.
    """
    allowed = [each for each in known if each.regime in OF_LABELS[labels]]
    if not allowed:
        return None

    def preference(each: Evidence) -> tuple[int, float]:
        per_label = each.samples_per_label or 0.0
        if each.regime != "few-shot":
            return OF_LABELS[labels].index(each.regime), 0.0
        far = -per_label if labels == "full" or per_label < FEW_SAMPLES else per_label - 1e6
        return OF_LABELS[labels].index("few-shot"), far

    best = min(allowed, key=preference)
    if labels == "full" and best.regime == "few-shot":
        return msgspec.structs.replace(
            best, warnings=tuple(sorted({*best.warnings, "full-not-measured"}))
        )
    return best


def exclusion(
    known: Evidence, *, obtainable: bool, majority_share: float | None = None
) -> Exclusion | None:
    """Why evidence can never qualify a candidate, or ``None``.

    Args:
        known: The evidence.
        obtainable: Whether the candidate has open weights or the suite builds it.
        majority_share: Share of the workload's most frequent class.
    """
    if not obtainable:
        return "not-obtainable"
    if known.contamination == "yes":
        return "contaminated"
    if known.metric != "accuracy":
        return None
    bound = known.low if known.low is not None else known.value
    if majority_share is not None and bound <= majority_share:
        return "below-majority-share"
    return None


class AcrossTask(msgspec.Struct, frozen=True):
    """A candidate's accuracy over the workloads of a task: number, median, least."""

    n: int
    median: float
    min: float


def across_task(values: Mapping[str, float]) -> AcrossTask | None:
    """Summary of a candidate's values by workload; ``None`` of none."""
    if not values:
        return None
    return AcrossTask(len(values), statistics.median(values.values()), min(values.values()))


def below_on_most(values: Mapping[str, float], floor: float) -> bool:
    """Whether a candidate misses the floor on more than half of a task's workloads."""
    return 2 * sum(value < floor for value in values.values()) > len(values)


def reference_workload(
    counts: Mapping[str, int], first_choice: str | None, least: int = 20
) -> tuple[str, str | None]:
    """The workload that answers for a task in a language, and the better-known one it replaces.

    Args:
        counts: Candidates with the metric by workload; at least one workload.
        first_choice: The set one would name; ``None`` where there is none.
        least: Candidates that a reference workload has.

    Returns:
        The first choice where it has `least` candidates or none has; else the one with most, and
        the first choice beside it.
    """
    most = min(counts, key=lambda name: (-counts[name], name))
    thin = counts[most] < least
    if (
        first_choice is not None
        and first_choice in counts
        and (thin or counts[first_choice] >= least)
    ):
        return first_choice, None
    return most, first_choice
