"""Seconds per item of a profile on a device, from published runtimes of other devices.

log t = log roofline seconds + a ridge with levels for each cell of (device kind, numeric format,
backend class), shrunk towards coarser cells, averaged with boosted trees. The levels of an unseen
device or publisher are 0. More work never takes less: slopes and splits of what grows with work
only rise. Never faster than the device's peak allows, never slower than a fiftieth of it unless
overhead of the calls explains it.
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
ROUNDS = 500
TREE_ROOFLINE = 0.9
"""Power of roofline seconds that the trees' target is over. They only rise with work; a little
less than 1 lets them learn that devices are used better as it grows."""
WEIGHT_POWER = 0.5
"""A publisher's n rows on one device count as n^0.5."""
_ANY = 40.0
"""Log seconds beyond which nothing runs."""
LEAST_SHARE, MOST_SHARE = 0.02, 0.9
"""Shares of a device's peak between which an estimate lies (dense published rows: p1, p99)."""


PLAIN = (
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
"""Features that do not change with the work of a text."""
KINDS = ("gpu", "cpu", "other")
TOKEN_BENDS, CALL_BENDS = (7, 10, 13), (-9, -6, -3)
"""Where seconds may bend: log2 of tokens per call, log of seconds a call's arithmetic takes at
peak rate."""
WORK = (
    "log_roofline",
    "log_parameters",
    "log_tokens",
    "log_layers",
    *(f"log_tokens_per_call_{kind}" for kind in KINDS),
    *(f"tokens_above_2^{bend}_{kind}" for bend in TOKEN_BENDS for kind in KINDS),
    *(f"log_call_{kind}" for kind in KINDS),
    *(f"call_above_e^{bend}_{kind}" for bend in CALL_BENDS for kind in KINDS),
)
"""Features that grow with it."""
FEATURES = (*PLAIN, *WORK)
"""Names of the columns of `features`."""
_CALL = (-14.0, 4.0)
"""Log seconds of a call's arithmetic between which it counts."""


def features(profiles: pd.DataFrame | Mapping[str, Column]) -> Table:
    """Numeric features of profiles, logs of what spans decades."""
    p = table(profiles)
    gpu, cpu = (p["kind"] == "gpu").astype(float), (p["kind"] == "cpu").astype(float)
    peak, devices = np.log(p["peak"] / 1e12), np.log(p["devices"])
    found = {
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
        "log_roofline": np.log(p["roofline_s"]),
        "log_parameters": np.log(p["parameters"]),
        "log_tokens": np.log(p["tokens"]),
        "log_layers": np.log(p["layers"]),
    }
    tokens = np.log2(p["call_tokens"])
    call = np.clip(np.log(p["compute_s"] * p["batch"]), *_CALL)
    for kind, own in zip(KINDS, (gpu, cpu, 1 - gpu - cpu), strict=True):
        found[f"log_tokens_per_call_{kind}"] = tokens * own
        found[f"log_call_{kind}"] = call * own
        for bend in TOKEN_BENDS:
            found[f"tokens_above_2^{bend}_{kind}"] = np.maximum(tokens - bend, 0) * own
        for bend in CALL_BENDS:
            found[f"call_above_e^{bend}_{kind}"] = np.maximum(call - bend, 0) * own
    return {name: found[name] for name in FEATURES}


def cells(profiles: pd.DataFrame | Mapping[str, Column]) -> Table:
    """Group columns of profiles, finer cells joined of coarser ones, and the class of question."""
    p = table(profiles)
    own = ("kind", "backend", "format", "work", "scenario", "length_basis", "family", "device")
    found = {name: p[name] for name in (*own, "publisher")}
    found["kind_format"] = text_pairs(p["kind"], p["format"])
    found["kind_backend"] = text_pairs(p["kind"], p["backend"])
    found["kind_format_backend"] = text_pairs(found["kind_format"], p["backend"])
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
        trees: Of log seconds over a power of them; the prediction is the mean of both, or of the
            one there is.
        physics: Whether predictions are kept within `within_physics`.
    """

    ridge: Ridge | None
    trees: Trees | None
    physics: bool = True

    def predict(self, profiles: pd.DataFrame | Mapping[str, Column]) -> Array:
        """Natural log of seconds per item of n profiles, within physics."""
        p = table(profiles)
        numeric, groups = features(p), cells(p)
        parts = []
        if self.ridge is not None:
            parts.append(self.ridge.predict(numeric, groups) + numeric["log_roofline"])
        if self.trees is not None:
            roofline = TREE_ROOFLINE * numeric["log_roofline"]
            parts.append(self.trees.predict(numeric, groups) + roofline)
        found = np.asarray(np.mean(parts, axis=0) + p["stretch"], dtype=float)
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
    log_seconds, roofline = np.asarray(log_seconds, dtype=float), numeric["log_roofline"]
    weights = weighed(groups, ("publisher", "device"), WEIGHT_POWER)
    linear: Ridge | None = None
    forest: Trees | None = None
    if ridge:
        penalties = {name: CELLS[name] for name in levels}
        floors = dict.fromkeys(WORK, 0.0) | {"log_roofline": -1.0}  # a slope of 1 is outside
        target = log_seconds - roofline
        linear = fit_ridge(numeric, groups, target, weights, PENALTY, penalties, floors)
    if trees:
        target = log_seconds - TREE_ROOFLINE * roofline
        forest = fit_trees(numeric, groups, target, weights, tree_classes, ROUNDS, rising=WORK)
    return RuntimeModel(linear, forest, physics)
