"""Evidence of accuracy for a question: which workload answers, what is known on it, its bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from advisor.accuracy.scale import to_accuracy, to_logit
from advisor.recommend.query import AskedAccuracyBasis, BadQuestionError, Query
from advisor.recommend.records import Accuracy, Reason
from catalog.accuracy import NumericFormat
from catalog.evidence import (
    AcrossTask,
    Evidence,
    Labels,
    Metric,
    across_task,
    exclusion,
    reference_workload,
)
from catalog.intervals import Array, lower_bounds
from catalog.reference_data import workloads as bundled_workloads
from catalog.registry.families import FLOORS
from catalog.snapshot import Snapshot

if TYPE_CHECKING:
    from advisor.accuracy.predictor import AccuracyPredictor

EXCLUDED: dict[str, tuple[Reason, str]] = {
    "not-obtainable": (
        "not-obtainable",
        "no open weights: for comparison",
    ),
    "contaminated": ("contaminated", "it was trained on texts of this data set"),
    "below-majority-share": (
        "below-majority-share",
        "not above always answering the most frequent class",
    ),
}


class About(NamedTuple):
    """The workload of an answer.

    Attributes:
        speaks: Language that candidates must state, where no workload is in it; else ``None``.
        better_known: The workload it stands for, where that has too few candidates.
    """

    workload: str
    speaks: str | None = None
    better_known: str | None = None


def about(snapshot: Snapshot, query: Query) -> About:
    """The workload that answers a question: the named one, else the reference of the task.

    It does not depend on the floor, so that a higher floor never finds an easier workload.

    Raises:
        UnknownNameError: Task or workload is not in the catalog.
        BadQuestionError: The workload belongs to another task or language.
    """
    task = snapshot.task(query.task)
    names = snapshot.tasks()[task]
    if query.workload is not None:
        return _named(snapshot, query, task, names)
    language = query.language
    own = names
    if language is not None:
        own = tuple(name for name in names if snapshot.workloads[name].language == language)
        if not own:
            other = About(_reference(snapshot, query, task, None, names).workload)
            return other._replace(speaks=language)
    return _reference(snapshot, query, task, language, own)


def _named(snapshot: Snapshot, query: Query, task: str, names: Sequence[str]) -> About:
    """The workload that a question names."""
    workload = snapshot.workload(query.workload or "")
    if workload.task != task:
        few = ", ".join(names[:20]) + (f" ... ({len(names)} in all)" if len(names) > 20 else "")
        raise BadQuestionError("workload", query.workload, f"allowed for {task}: {few}")
    if query.language is not None and workload.language != query.language:
        raise BadQuestionError(
            "language", query.language, f"allowed for {workload.name}: {workload.language}"
        )
    return About(workload.name)


def _reference(
    snapshot: Snapshot, query: Query, task: str, language: str | None, names: Sequence[str]
) -> About:
    """The reference workload under the label budget and metric of a question."""
    known = snapshot.reference(task, language, query.metric)
    first = known.workload if known is not None and known.workload in names else None
    if query.labels == "full" and query.metric == "accuracy" and known is not None and first:
        return About(first, better_known=known.better_known)
    if first is not None:  # another one of its language
        speaks = snapshot.workloads[first].language
        names = [name for name in names if snapshot.workloads[name].language == speaks]
    counts = {
        name: len(snapshot.accuracies.answers(name, query.metric, query.labels)) for name in names
    }
    best, better_known = reference_workload(counts, first or names[0])
    if counts[best] == 0:
        return About(first or names[0])
    named = known.better_known if known is not None and best == first else None
    return About(best, better_known=better_known or named)


def evidence(
    snapshot: Snapshot,
    workload: str,
    metric: Metric,
    labels: Labels,
    measured: bool,
    numeric_format: NumericFormat = "float",
) -> Mapping[str, Evidence]:
    """What answers for each candidate in a numeric format.

    Args:
        snapshot: The catalog.
        workload: On which.
        metric: Accuracy or macro-F1.
        labels: The label budget.
        measured: Whether results of the calibration suite alone count.
        numeric_format: ``float`` covers fp32, bf16 and fp16.
    """
    found = snapshot.accuracies.answers(workload, metric, labels, numeric_format)
    if measured:
        return {name: each for name, each in found.items() if each.basis == "measured"}
    return found


def accuracy_basis(query: Query, workload: str) -> AskedAccuracyBasis:
    """Whose accuracies count: as asked, else estimates too on a workload of the asker's own."""
    return query.accuracy_basis or ("published" if workload in bundled_workloads() else "any")


def bundled_predictor() -> AccuracyPredictor:
    """The bundled accuracy model; it and its libraries are loaded where an estimate is needed."""
    from advisor.accuracy.predictor import bundled

    return bundled()


def estimates(
    snapshot: Snapshot,
    workload: str,
    metric: Metric,
    labels: Labels,
    predictor: Callable[[], AccuracyPredictor],
) -> Mapping[str, Evidence]:
    """Accuracies that follow from what was measured on a workload; none of macro-F1."""
    if metric != "accuracy":
        return {}
    from advisor.accuracy.estimated import estimated

    return estimated(snapshot, workload, labels, predictor)


def obtainable(snapshot: Snapshot, name: str) -> bool:
    """Whether a candidate has open weights, is built by the suite, or was run by the asker."""
    candidate = snapshot.candidates.get(name)
    if candidate is None or candidate.checkpoint or candidate.runnable:
        return True
    return name in snapshot.own_candidates


def excluded(snapshot: Snapshot, known: Evidence) -> tuple[Reason, str] | None:
    """Why evidence can never qualify its candidate: a reason and a sentence, or ``None``."""
    candidate = snapshot.candidates.get(known.candidate)
    if candidate is not None and candidate.family in FLOORS:
        return "majority-class", "answers every text with the most frequent class: for comparison"
    share = snapshot.workloads[known.workload].majority_share
    why = exclusion(known, obtainable=obtainable(snapshot, known.candidate), majority_share=share)
    if why is None:
        return None
    reason, detail = EXCLUDED[why]
    if why == "below-majority-share":
        bound = known.low if known.low is not None else known.value
        detail = f"{detail}: at least {bound:.3f}, the class has {share:.3f}"
    return reason, detail


def bounds(known: Sequence[Evidence | None], confidence: float) -> Array:
    """What the floor is held against for each candidate; NaN without evidence.

    The one-sided lower bound from test size, draws and sources; of self-reported accuracies the low
    end of their interval if that is lower; of macro-F1, which has no interval of its test size, the
    value less its spread over draws; NaN where an accuracy has no test size. Of an estimate the
    bound of its distribution.

    Args:
        known: Evidence by candidate.
        confidence: One-sided; 0 takes the values as they are.
    """
    nan = math.nan
    value = np.array([nan if each is None else each.value for each in known])
    if confidence == 0:
        return value
    sd = np.array([0.0 if e is None else math.hypot(e.sd, e.spread) for e in known])
    n_test = np.array([nan if each is None else each.n_test or nan for each in known])
    accurate = np.array([each is not None and each.metric == "accuracy" for each in known])
    by_draws = np.maximum(0.0, value - NormalDist().inv_cdf(max(confidence, 0.5)) * sd)
    if not accurate.any():
        return by_draws
    low = lower_bounds(value, n_test, sd, confidence)
    told = [e.low if e is not None and "self-reported" in e.warnings else None for e in known]
    low = np.fmin(low, np.array([nan if each is None else each for each in told]))
    low[np.isnan(n_test)] = nan
    return np.where(accurate, _of_estimates(known, low, confidence), by_draws)


def _of_estimates(known: Sequence[Evidence | None], low: Array, confidence: float) -> Array:
    """Lower bounds, those of estimates from their normal distribution on the logit scale."""
    places = [at for at, each in enumerate(known) if each is not None and each.chance is not None]
    if not places:
        return low
    own = [each for at in places if (each := known[at]) is not None]
    chance = np.array([each.chance for each in own], dtype=float)
    logit = to_logit(np.array([each.value for each in own]), chance)
    spread = np.array([each.logit_sd for each in own], dtype=float)
    found = low.copy()
    found[places] = to_accuracy(logit - NormalDist().inv_cdf(confidence) * spread, chance)
    return found


def _across(values: Mapping[str, float]) -> AcrossTask | None:
    """A candidate's accuracy across a task at the digits that answers write."""
    found = across_task(values)
    return found and AcrossTask(found.n, rounded(found.median), rounded(found.min))


def accuracy(
    known: Evidence, snapshot: Snapshot, labels: Labels, *, cited: bool = True
) -> Accuracy:
    """Evidence as an answer shows it, with the candidate's accuracy across the task.

    Args:
        known: The evidence.
        snapshot: For its workload.
        labels: The label budget.
        cited: Whether its reference is to be named here.
    """
    workload = snapshot.workloads[known.workload]
    across = snapshot.accuracies.values(workload.task, workload.language, labels)
    return Accuracy(
        value=rounded(known.value),
        low=None if known.low is None else rounded(known.low),
        high=None if known.high is None else rounded(known.high),
        metric=known.metric,
        basis=known.basis,
        regime=known.regime,
        n_test=known.n_test,
        source=", ".join(known.sources),
        across_task=_across(across.get(known.candidate, {})),
        split=known.split,
        samples_per_label=known.samples_per_label,
        n_train=known.n_train,
        reference=known.reference if cited else None,
        warnings=known.warnings,
    )


def rounded(value: float) -> float:
    """A figure at five significant digits, as answers write it."""
    return float(f"{value:.5g}")
