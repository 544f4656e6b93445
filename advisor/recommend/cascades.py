"""Cascades: a cheap candidate answers when it is sure, else a dearer one is asked.

Worked out from stored predictions, never run. The score under which a text is handed on is chosen
on one half of the test items and judged on the other, both ways (cross-fitting), so that the
accuracy told is not the one it was chosen by.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.recommend.option import front, rank
from advisor.recommend.paired import predictions_of
from advisor.recommend.query import Query
from advisor.recommend.records import Accuracy, Cascade, CascadeStep, EnergyPer1000, Option
from catalog.intervals import wilson, wilson_lower
from catalog.predictions import unpack
from catalog.records import Basis
from catalog.snapshot import Snapshot

_CONFIDENCE = 0.9
"""Of the interval of the share handed on, as energies have."""
_SEED = 20250814
"""Of the halves of a test set."""


_SURE_FIRST: tuple[Basis, ...] = ("measured", "estimated", "estimated-runtime", "extrapolated")


class Curve(NamedTuple):
    """What handing on more and more texts of some items does, the least sure first.

    Attributes:
        scores: Distinct scores, rising; handing on what scores below ``scores[k]``.
        right: Items answered right then, shape ``(k + 1,)``; the last hands on everything.
        best: Largest of `right` so far.
        n: Items.
    """

    scores: NDArray[np.float32]
    right: NDArray[np.int64]
    best: NDArray[np.int64]
    n: int


def curve(score: NDArray[np.float32], first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Curve:
    """The curve of some items from the first candidate's scores and who was right."""
    scores, group = np.unique(score, return_inverse=True)
    gain = np.bincount(
        group, weights=second.astype(float) - first.astype(float), minlength=len(scores)
    )
    right = int(first.sum()) + np.concatenate([[0], np.cumsum(gain)]).round().astype(np.int64)
    return Curve(scores, right, np.maximum.accumulate(right), len(score))


def threshold(found: Curve, wanted: int) -> float | None:
    """The lowest score such that handing on what lies below leaves `wanted` items right.

    Infinite where everything has to be handed on; ``None`` where not even that is enough. A higher
    `wanted` never gives a lower threshold.
    """
    at = int(np.searchsorted(found.best, wanted))
    if at == len(found.best):
        return None
    return float(found.scores[at]) if at < len(found.scores) else math.inf


class _Answers(NamedTuple):
    """Two sets of answers to the same items, whole and in halves; `side` says which half."""

    side: NDArray[np.bool_]
    score: NDArray[np.float32]
    first: NDArray[np.bool_]
    second: NDArray[np.bool_]
    whole: Curve
    halves: tuple[Curve, Curve]


@functools.lru_cache(maxsize=512)
def _answers(first: bytes, second: bytes) -> _Answers | None:
    """Curves of two sets of answers; ``None`` where the first has no scores."""
    cheap, dear = unpack(first), unpack(second)
    if cheap.score is None:
        return None
    parts = (cheap.score, cheap.right, dear.right)
    side = halves(len(cheap.score))
    own, other = (
        curve(cheap.score[half], cheap.right[half], dear.right[half]) for half in (side, ~side)
    )
    return _Answers(side, *parts, curve(*parts), (own, other))


def halves(n: int) -> NDArray[np.bool_]:
    """Which of `n` items belong to the first half: drawn, as test sets may be sorted."""
    side = np.zeros(n, dtype=bool)
    side[np.random.default_rng(_SEED).permutation(n)[: n // 2]] = True
    return side


class _Judged(NamedTuple):
    """A cascade's threshold and what it came to on items it was not chosen on."""

    threshold: float
    right: int
    deferred: int
    n: int


def _judged(pair: _Answers, floor: float, confidence: float) -> _Judged | None:
    """Cross-fits the threshold for a floor; ``None`` where some part cannot reach it."""
    n = len(pair.score)
    own = [threshold(part, _wanted(floor, part.n, n, confidence)) for part in pair.halves]
    told = threshold(pair.whole, _wanted(floor, n, n, confidence))
    if told is None or own[0] is None or own[1] is None:
        return None
    handed = np.empty(n, dtype=bool)
    handed[pair.side] = pair.score[pair.side] < own[1]
    handed[~pair.side] = pair.score[~pair.side] < own[0]
    right = np.where(handed, pair.second, pair.first)
    return _Judged(told, int(right.sum()), int(handed.sum()), n)


@functools.lru_cache(maxsize=4096)
def _wanted(floor: float, items: int, n: int, confidence: float) -> int:
    """How many of `items` must be right for the floor; with a confidence as if they were `n`."""
    least = int(np.ceil(floor * items - 1e-9))
    if confidence == 0:
        return least
    shares = range(least, items + 1)
    return next((k for k in shares if wilson_lower(k / items, n, confidence) >= floor), items + 1)


class Pair(NamedTuple):
    """Two options of one machine, the cheaper one first, and their answers to the same items."""

    cheap: Option
    dear: Option
    answers: _Answers


def pairs(snapshot: Snapshot, options: Iterable[Option]) -> tuple[Pair, ...]:
    """What can be put into a cascade; depends on no floor.

    Members are those that nothing beats in both accuracy and energy on their machine.

    Args:
        snapshot: For the predictions.
        options: All of a group that meet the other limits of a question.
    """
    if not snapshot.predictions:  # the usual case of a bundled catalog
        return ()
    found = []
    for members in _comparable(options):
        answered = [(o, p) for o in front(members) if (p := predictions_of(snapshot, o))]
        for (cheap, own), (dear, theirs) in itertools.combinations(answered, 2):
            same = (own.test_sha256, own.split) == (theirs.test_sha256, theirs.split)
            if same and cheap.candidate != dear.candidate:
                answers = _answers(own.content, theirs.content)
                found += [Pair(cheap, dear, answers)] if answers else []
    return tuple(found)


def cascades(found: Sequence[Pair], query: Query, chosen: Option | None) -> tuple[Cascade, ...]:
    """Pairs that reach the floor with less energy than the chosen option, least energy first.

    Args:
        found: See `pairs`.
        query: The question.
        chosen: The single option they have to beat; ``None`` where none qualifies.
    """
    most = rank(chosen)[0] if chosen is not None else math.inf
    made: list[Cascade] = []
    for pair in found:
        if rank(pair.cheap)[0] < most:
            cascade = _cascade(query, pair)
            if cascade is not None and (cascade.energy_j_per_1000.value or 0.0) < most:
                made.append(_beside(cascade, chosen))
    made.sort(key=lambda each: (each.energy_j_per_1000.value, each.first.candidate))
    return tuple(_one_for_each_pair(made)[: query.limit])


def _comparable(options: Iterable[Option]) -> list[list[Option]]:
    """Options that may be added up: of one machine, all measured or all estimated, with a value.

    None at a request rate: each holds the whole machine's waiting, which would count twice.
    """
    groups: dict[tuple[object, ...], list[Option]] = {}
    for option in options:
        energy = option.energy_j_per_1000
        if energy.value is not None and energy.label != "mixed" and option.rate_per_s is None:
            measured = energy.basis == "measured"
            machine = (option.device, option.n_devices, option.provenance.host)
            groups.setdefault((*machine, measured), []).append(option)
    return list(groups.values())


def _cascade(query: Query, pair: Pair) -> Cascade | None:
    """A pair as a cascade; ``None`` where it misses a condition or is none."""
    cheap, dear = pair.cheap, pair.dear
    if not _limits(query, cheap, dear):
        return None
    judged = _judged(pair.answers, query.min_acc, query.confidence)
    if judged is None or not 0 < judged.deferred < judged.n or math.isinf(judged.threshold):
        return None
    share = judged.right / judged.n
    lower = share if query.confidence == 0 else wilson_lower(share, judged.n, query.confidence)
    if lower < query.min_acc:
        return None
    low, high = wilson(share, judged.n, 0.9)
    handed = judged.deferred / judged.n
    handed_low, handed_high = wilson(handed, judged.n, _CONFIDENCE)
    return Cascade(
        first=_step(cheap),
        second=_step(dear),
        device=cheap.device,
        threshold=judged.threshold,
        deferred=handed,
        deferred_low=handed_low,
        deferred_high=handed_high,
        accuracy=Accuracy(
            value=share,
            low=low,
            high=high,
            metric="accuracy",
            basis="measured",
            regime=cheap.accuracy.regime if cheap.accuracy else None,
            n_test=judged.n,
            source=None,
            across_task=None,
            split=_split(cheap),
        ),
        energy_j_per_1000=_added(cheap, dear, (handed_low, handed, handed_high)),
        energy_from=f"worked out: {cheap.candidate} on every text and {dear.candidate} on the "
        "share handed on; each from its own figure",
        warnings=tuple(sorted({*cheap.warnings, *dear.warnings})),
    )


def _split(option: Option) -> str | None:
    """The split an accuracy was taken on."""
    return option.accuracy.split if option.accuracy else None


def _limits(query: Query, cheap: Option, dear: Option) -> bool:
    """Latency and memory where both models are there and a text may go through both."""
    latency = (cheap.latency_ms or 0.0) + (dear.latency_ms or 0.0)
    memory = (cheap.memory_gb or 0.0) + (dear.memory_gb or 0.0)
    return (query.max_latency_ms is None or latency <= query.max_latency_ms) and (
        query.max_memory_gb is None or memory <= query.max_memory_gb
    )


def _step(option: Option) -> CascadeStep:
    """One member."""
    return CascadeStep(
        candidate=option.candidate,
        precision=option.precision,
        batch_size=option.batch_size,
        variant=option.variant,
    )


def _added(cheap: Option, dear: Option, share: tuple[float, float, float]) -> EnergyPer1000:
    """Joules of every text through the first and a share of them through the second.

    Ends are added to ends: that the errors of one machine even out is not assumed.
    """
    one, two = cheap.energy_j_per_1000, dear.energy_j_per_1000
    low, value, high = (
        (a or 0.0) + part * (b or 0.0)
        for part, a, b in zip(
            share, (one.low, one.value, one.high), (two.low, two.value, two.high), strict=True
        )
    )
    return EnergyPer1000(
        value=value,
        low=low,
        high=high,
        basis=max(one.basis, two.basis, key=_SURE_FIRST.index),
        scope=one.scope,
        label=one.label,
    )


def _beside(made: Cascade, chosen: Option | None) -> Cascade:
    """A cascade with what it saves against the chosen option, and whether that is a tie."""
    energy = made.energy_j_per_1000
    if chosen is None or energy.value is None:
        return made
    other = chosen.energy_j_per_1000
    least = rank(chosen)[0]
    tied = (energy.high or 0.0) >= (other.low or 0.0)
    codes = {*made.warnings, "tie"} if tied else set(made.warnings)
    return msgspec.structs.replace(
        made, saves=1 - energy.value / least, warnings=tuple(sorted(codes))
    )


def _one_for_each_pair(found: Sequence[Cascade]) -> list[Cascade]:
    """The first of each pair of candidates."""
    kept = {(each.first.candidate, each.second.candidate): each for each in reversed(found)}
    return sorted(kept.values(), key=found.index)
