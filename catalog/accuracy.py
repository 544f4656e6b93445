"""Accuracy of a candidate on a workload: one published or measured result, with its protocol.

An accuracy belongs to a candidate and a workload, never to a device. What follows from several
results of one candidate (medians, intervals, exclusions) is `catalog.evidence`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Regime = Literal["full", "few-shot", "in-context", "zero-shot", "lexicon"]
NumericFormat = Literal["float", "int8", "int4"]
Contamination = Literal["yes", "possible", "no", "unknown"]
Tier = Literal["suite", "authors", "leaderboard", "card"]
NTestBasis = Literal[
    "stated", "checked", "checked-mean", "inferred", "declared", "official", "unknown"
]

REGIMES: tuple[Regime, ...] = ("full", "few-shot", "in-context", "zero-shot", "lexicon")
"""From the most labelled texts a candidate may need to none."""
TIERS: tuple[Tier, ...] = ("suite", "authors", "leaderboard", "card")
"""Sources from the most to the least trusted: the calibration suite; result files and runs of the
authors; leaderboards and tables quoted by others; model cards and small repositories."""
OWN_SPLIT = "own-holdout"
"""A split that the source drew itself: shown, but no evidence about an official test set."""
TRAIN_POOL = "train-pool"
"""Test texts that the few training texts were drawn from: the head saw some of them."""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One result of one candidate on one workload; the fields of `ACCURACY_KEY` identify it.

    Attributes:
        regime: Labelled texts behind it: ``full`` (a training set of `n_train` texts),
            ``few-shot`` (`samples_per_label` texts per class), ``in-context`` (examples in the
            prompt), ``zero-shot``, ``lexicon``.
        numeric_format: ``float`` covers fp32, bf16 and fp16, which share results.
        precision: Serving precision of a run of ours, e.g. ``fp16``.
        samples_per_label: Training texts per class of a few-shot head, or examples per class in a
            prompt.
        n_train: Training texts; ``None`` where not stated.
        n_draws: Few-shot training sets (or seeds) that `accuracy` is the mean of.
        accuracy: Share of `n_test` texts answered right, 0 to 1.
        accuracy_sd: Standard deviation of one draw (sample SD over the draws).
        macro_f1: Unweighted mean of the classes' F1, 0 to 1.
        other_metrics: Further metrics as printed: ``name=value`` joined with ``;``. They are
            shown and answer no question.
        n_test: Test texts; `n_test_basis` says how the number is known (``official``: not stated
            by the source, size of the official split).
        split: Held-out split as the source names it; `OWN_SPLIT` where the source drew it,
            `TRAIN_POOL` where training texts were drawn from it.
        contamination: Whether the model saw texts of this data set in training.
        tier: Trust in the source, see `TIERS`.
        self_reported: The model's author ran it where others ran the rest of the table.
        source: Short name of the source, or ``calibration``.
        run_id: The run that made it; for published results the name of the bundled file.
        reference: File, table or commit where the figure stands.
        protocol: How it was trained and judged, in words.
        model_revision: Commit of the checkpoint, where recorded.
        measured_at: ISO 8601 date of measurement or publication.
    """

    candidate: str
    workload: str
    regime: Regime
    source: str
    numeric_format: NumericFormat = "float"
    precision: str | None = None
    samples_per_label: float | None = None
    n_train: int | None = None
    n_draws: int | None = None
    accuracy: float | None = None
    accuracy_sd: float | None = None
    macro_f1: float | None = None
    macro_f1_sd: float | None = None
    other_metrics: str | None = None
    n_test: int | None = None
    n_test_basis: NTestBasis = "stated"
    split: str | None = None
    contamination: Contamination = "unknown"
    tier: Tier = "card"
    self_reported: bool = False
    run_id: str | None = None
    citation: str | None = None
    reference: str | None = None
    licence: str | None = None
    protocol: str | None = None
    model_revision: str | None = None
    measured_at: str | None = None
    notes: str | None = None


ACCURACY_KEY = (
    "run_id",
    "source",
    "candidate",
    "regime",
    "samples_per_label",
    "n_train",
    "workload",
    "numeric_format",
    "precision",
    "split",
    "self_reported",
    "reference",
)
"""What identifies a result; two rows with equal keys and unequal content conflict."""


NOT_CONTENT = ("measured_at", "citation", "licence", "protocol")
"""Fields that may differ between two copies of one result."""


def _hash(row: Accuracy, names: Iterable[str]) -> str:
    """SHA-256 of some fields; 32 and 32.0 are the same number."""
    values: list[Any] = [
        float(value) if type(value) is int else value
        for value in (getattr(row, name) for name in names)
    ]
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()


def accuracy_key(row: Accuracy) -> str:
    """Hash of what identifies a result."""
    return _hash(row, ACCURACY_KEY)


def accuracy_digest(row: Accuracy) -> str:
    """Hash of what a result says."""
    return _hash(row, (name for name in Accuracy.__struct_fields__ if name not in NOT_CONTENT))


def setting(row: Accuracy) -> tuple[str, float | None]:
    """Regime and, of a few-shot head, its training texts per class: what results must share."""
    per_label = row.samples_per_label if row.regime in ("few-shot", "in-context") else None
    return row.regime, per_label


def numeric_format_of(precision: str | None) -> NumericFormat:
    """The numeric format that results of a serving precision belong to; unknown is ``float``."""
    text = (precision or "").lower()
    if "int8" in text or text in ("w8a8", "8bit"):
        return "int8"
    four_bit = any(mark in text for mark in ("int4", "4bit", "nf4", "awq", "gptq"))
    return "int4" if four_bit else "float"
