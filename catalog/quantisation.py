"""Loss of accuracy in a quantised format: pairs of results in, estimated evidence out."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from catalog.accuracy import Accuracy, NumericFormat, setting
from catalog.evidence import Evidence, interval


class Loss(msgspec.Struct, frozen=True):
    """Accuracy that a quantised format costs: mean and standard deviation over `n` pairs.

    The pairs are of `n_candidates` candidates, so that less is known than `n` suggests.
    """

    mean: float
    sd: float
    n: int
    n_candidates: int


def format_loss(rows: Iterable[Accuracy], numeric_format: NumericFormat = "int8") -> Loss | None:
    """Loss of a format against float, from results of one source in both formats.

    ``None`` with fewer than three pairs.
    """
    groups: defaultdict[tuple[object, ...], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row.accuracy is not None:
            key = (row.candidate, row.workload, row.source, row.split, setting(row))
            groups[key][row.numeric_format].append(row.accuracy)
    losses = [
        (key[0], statistics.fmean(pair["float"]) - value)
        for key, pair in groups.items()
        if pair.get("float")
        for value in pair.get(numeric_format, ())
    ]
    if len(losses) < 3:
        return None
    values = [loss for _, loss in losses]
    candidates = {candidate for candidate, _ in losses}
    return Loss(statistics.fmean(values), statistics.stdev(values), len(values), len(candidates))


def quantised(known: Evidence, numeric_format: NumericFormat, loss: Loss) -> Evidence:
    """Estimated evidence of a format without results: float less the loss, interval widened.

    The loss of one more candidate differs from the mean by its spread and by the mean's own
    error, which the number of candidates sets.
    """
    value = max(0.0, known.value - loss.mean)
    spread = math.hypot(known.spread, loss.sd * math.sqrt(1 + 1 / loss.n_candidates))
    low: float | None = None
    high: float | None = None
    if known.n_test and known.metric == "accuracy":
        low, high = interval(value, known.n_test, math.hypot(known.sd, spread))
    return msgspec.structs.replace(
        known,
        value=value,
        low=low,
        high=high,
        spread=spread,
        numeric_format=numeric_format,
        basis="estimated",
        detail=f"{numeric_format}: float less {100 * loss.mean:.1f} points (SD "
        f"{100 * loss.sd:.1f}), from {loss.n} pairs of {loss.n_candidates} candidates",
        warnings=tuple(sorted({*known.warnings, "numeric-format-estimated"})),
    )
