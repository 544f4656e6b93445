"""Seconds per item of a profile on a device, from published runtimes of other devices.

log t = log roofline seconds + a ridge with levels for each cell of (device kind, numeric format,
backend class, tokens per call), shrunk towards coarser cells, averaged with boosted trees. The
levels of an unseen device or publisher are 0. Never faster than the device's peak allows, never
slower than a fiftieth of it unless overhead of the calls explains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from advisor.estimator.mixed_effects import Ridge, Trees, fit_ridge, fit_trees, weighed
from advisor.estimator.table import Array, Column, Table, table, text_pairs

if TYPE_CHECKING:
    import pandas as pd

CELLS = {
    "kind": 1.0,
    "kind_format": 1.0,
    "kind_backend": 1.0,
    "kind_format_backend": 2.0,
    "kind_format_backend_tokens": 4.0,
    "kind_work": 1.0,
    "kind_format_amx": 1.0,
    "scenario": 2.0,
    "length_basis": 2.0,
    "family": 4.0,
    "device": 3.0,
    "publisher": 3.0,
}
"""Groups whose levels the ridge learns, with their penalties: rows' worth of doubt."""
TREE_CLASSES = ("kind", "backend", "format", "work", "length_basis", "scenario")
PENALTY = 10.0
ROUNDS = 200
WEIGHT_POWER = 0.5
"""A publisher's n rows on one device count as n^0.5."""
_ANY = 40.0
"""Log seconds beyond which nothing runs."""
LEAST_SHARE, MOST_SHARE = 0.02, 0.9
"""Shares of a device's peak between which an estimate lies (dense published rows: p1, p99)."""


FEATURES = (
    "log_tokens_per_call",
    "above_128_tokens",
    "above_1024_tokens",
    "above_8192_tokens",
    "log_tokens_per_call_gpu",
    "log_tokens_per_call_cpu",
    "log_compute_part",
    "log_memory_part",
    "log_overhead_part",
    "log_parameters",
    "log_tokens",
    "log_batch",
    "log_peak",
    "log_peak_gpu",
    "log_peak_cpu",
    "log_bandwidth",
    "log_peak_per_bandwidth",
    "log_devices",
    "log_devices_cpu",
    "peak_imputed",
    "tokens_assumed",
    "batch_assumed",
    "pruned",
    "log_density",
    "log_core_share",
)
"""Names of the columns of `features`."""


def features(profiles: pd.DataFrame | Mapping[str, Column]) -> Table:
    """Numeric features of profiles, logs of what spans decades."""
    p = table(profiles)
    tokens = np.log2(p["call_tokens"])
    gpu, cpu = (p["kind"] == "gpu").astype(float), (p["kind"] == "cpu").astype(float)
    peak, devices = np.log(p["peak"] / 1e12), np.log(p["devices"])
    roofline = p["roofline_s"]
    return {
        "log_tokens_per_call": tokens,
        "above_128_tokens": np.maximum(tokens - 7, 0),
        "above_1024_tokens": np.maximum(tokens - 10, 0),
        "above_8192_tokens": np.maximum(tokens - 13, 0),
        "log_tokens_per_call_gpu": tokens * gpu,
        "log_tokens_per_call_cpu": tokens * cpu,
        "log_compute_part": np.clip(np.log(p["compute_s"] / roofline), -8, 1),
        "log_memory_part": np.clip(np.log(p["memory_s"] / roofline + 1e-9), -8, 1),
        "log_overhead_part": np.clip(np.log(p["overhead_s"] / roofline), -8, 1),
        "log_parameters": np.log(p["parameters"]),
        "log_tokens": np.log(p["tokens"]),
        "log_batch": np.log(p["batch"]),
        "log_peak": peak,
        "log_peak_gpu": peak * gpu,
        "log_peak_cpu": peak * cpu,
        "log_bandwidth": np.log(p["bandwidth"] / 1e9),
        "log_peak_per_bandwidth": np.log(p["peak"] / p["bandwidth"]),
        "log_devices": devices,
        "log_devices_cpu": devices * cpu,
        "peak_imputed": p["peak_imputed"].astype(float),
        "tokens_assumed": p["tokens_assumed"].astype(float),
        "batch_assumed": p["batch_assumed"].astype(float),
        "pruned": p["pruned"],
        "log_density": np.log(p["density"]),
        "log_core_share": np.log(p["core_share"]),
    }


def cells(profiles: pd.DataFrame | Mapping[str, Column]) -> Table:
    """Group columns of profiles, finer cells joined of coarser ones, and the class of question."""
    p = table(profiles)
    own = ("kind", "backend", "format", "work", "scenario", "length_basis", "family", "device")
    found = {name: p[name] for name in (*own, "publisher")}
    found["kind_format"] = text_pairs(p["kind"], p["format"])
    found["kind_backend"] = text_pairs(p["kind"], p["backend"])
    found["kind_format_backend"] = text_pairs(found["kind_format"], p["backend"])
    finest = text_pairs(found["kind_format_backend"], p["token_class"])
    found["kind_format_backend_tokens"] = finest
    found["kind_work"] = text_pairs(p["kind"], p["work"])
    found["kind_format_amx"] = text_pairs(found["kind_format"], p["amx"])
    found["class"] = class_of_question(p)
    return found


def class_of_question(profiles: pd.DataFrame | Mapping[str, Column]) -> Column:
    """The class whose errors an interval comes from: kind of work, of device and of backend."""
    p = table(profiles)
    parts = zip(p["work"].tolist(), p["kind"].tolist(), p["backend"].tolist(), strict=True)
    return np.array(["/".join(part) for part in parts], dtype=object)


class RuntimeModel(msgspec.Struct, frozen=True):
    """A fitted runtime model.

    Attributes:
        ridge: Of log seconds over roofline seconds.
        trees: The same target; the prediction is the mean of both, or of the one there is.
        physics: Whether predictions are kept within `within_physics`.
    """

    ridge: Ridge | None
    trees: Trees | None
    physics: bool = True

    def predict(self, profiles: pd.DataFrame | Mapping[str, Column]) -> Array:
        """Natural log of seconds per item of n profiles, within physics."""
        p = table(profiles)
        numeric, groups = features(p), cells(p)
        parts = [part.predict(numeric, groups) for part in (self.ridge, self.trees) if part]
        found = np.mean(parts, axis=0) + np.log(p["roofline_s"]) + p["stretch"]
        return within_physics(found, p) if self.physics else found


def limits(profiles: pd.DataFrame | Mapping[str, Column]) -> tuple[Array, Array]:
    """Natural log of the least and the most seconds per item that physics explains.

    At least what `MOST_SHARE` of peak takes; a sparse engine skips work, so a pruned model may pass
    the dense peak by the inverse of its density. A generated token reads all weights once a call,
    where the batch is stated. At most what `LEAST_SHARE` of peak and bandwidth
    take together, and ten times the calls' overhead.
    """
    p = table(profiles)
    decode = np.isin(p["work"], ["decode", "generate"])
    compute_s, memory_s = p["compute_s"] / p["share"], p["memory_s"] / p["share"]
    reads = np.where(decode & ~p["batch_assumed"], memory_s, 0.0)
    fastest = np.log(np.maximum(compute_s * p["density"] / MOST_SHARE, reads))
    slowest = np.log(compute_s / LEAST_SHARE + memory_s / LEAST_SHARE + 10 * p["overhead_s"])
    free = np.isin(p["work"], ["classical", "startup"])  # no network bounds them
    fastest, slowest = np.where(free, -_ANY, fastest), np.where(free, _ANY, slowest)
    return fastest, np.maximum(fastest, slowest)


def at_peak(profiles: pd.DataFrame | Mapping[str, Column]) -> Array:
    """Natural log of seconds per item at the peak rate; far below any where no network is run."""
    return np.asarray(limits(profiles)[0] + np.log(MOST_SHARE), dtype=float)


def within_physics(log_seconds: Array, profiles: pd.DataFrame | Mapping[str, Column]) -> Array:
    """Log seconds within `limits`."""
    return np.asarray(np.clip(log_seconds, *limits(profiles)), dtype=float)


def bounded_interval(
    log_seconds: Array, half: Array, profiles: pd.DataFrame | Mapping[str, Column]
) -> tuple[Array, Array]:
    """Ends of intervals in log seconds, cut where physics ends."""
    fastest, slowest = limits(profiles)
    low = np.minimum(np.maximum(log_seconds - half, fastest), log_seconds)
    high = np.maximum(np.minimum(log_seconds + half, slowest), log_seconds)
    return low, high


def bounded_half(
    half: Array, log_seconds: Array, profiles: pd.DataFrame | Mapping[str, Column]
) -> Array:
    """Half-widths no larger than the whole range that physics leaves."""
    fastest, slowest = limits(profiles)
    return np.minimum(half, np.maximum(slowest - log_seconds, log_seconds - fastest))


def fit(
    profiles: pd.DataFrame | Mapping[str, Column],
    log_seconds: Array,
    *,
    ridge: bool = True,
    trees: bool = True,
    physics: bool = True,
    levels: Sequence[str] = tuple(CELLS),
    tree_classes: Sequence[str] = TREE_CLASSES,
) -> RuntimeModel:
    """Fits the runtime model; the keywords leave parts out, for ablation.

    Args:
        profiles: From `advisor.estimator.profiles`, n rows.
        log_seconds: Natural log of measured seconds per item, n.
        ridge: Whether there is a ridge.
        trees: Whether boosted trees are averaged in.
        physics: Whether predictions are bounded.
        levels: Group columns whose levels the ridge learns.
        tree_classes: Class columns the trees split on.
    """
    p = table(profiles)
    numeric, groups = features(p), cells(p)
    target = log_seconds - np.log(p["roofline_s"])
    weights = weighed(groups, ("publisher", "device"), WEIGHT_POWER)
    linear: Ridge | None = None
    forest: Trees | None = None
    if ridge:
        penalties = {name: CELLS[name] for name in levels}
        linear = fit_ridge(numeric, groups, target, weights, PENALTY, penalties)
    if trees:
        forest = fit_trees(numeric, groups, target, weights, tree_classes, ROUNDS)
    return RuntimeModel(linear, forest, physics)
