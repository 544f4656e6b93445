"""Mean watts of a run whose runtime is known, from measured joules of other machines.

log mean power = log nominal watts + the average of a ridge with random intercepts and boosted
trees, never below the idle watts of its devices nor above their limit. Rows measured on the asked
device correct it by a small Gaussian process over their log residuals. A unit is one device in one
scope as one source measured it. Watts, seconds, FLOP; logarithms are natural.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from advisor.estimator.backends import numeric_format, weight_bits
from advisor.estimator.mixed_effects import Array, Ridge, fit_ridge, fit_trees, weighed

SUPPLY_EFFICIENCY = 0.9
"""Share of the plug's power that a power supply passes on (80 PLUS Gold at half load)."""
BOARD_W = {"edge": 4.0, "desktop": 60.0, "server": 60.0}
"""Watts around the chips at the plug: board, fans, drives; an edge module's carrier board."""
HOST_CPU_SHARE = 0.35
"""Power of a host's CPUs over their TDP while the accelerators work."""
SERVER_HOST_W = 200.0
"""Watts of a server host of unknown CPUs: two sockets of 200 W by the two figures above."""
DRAM_SHARE = 0.2
"""Power of a CPU's memory over the CPU's TDP, in host and wall scope."""
PHONE_HOST_W = 8.0
"""A Snapdragon board that hosts accelerators (MLPerf edge systems)."""
MODULE_CPU_SHARE = 0.4
"""Share of a Jetson module's TDP that its CPU cluster can draw."""
DEFAULT_TOKENS, DEFAULT_BATCH, DEFAULT_PARAMETERS = 64.0, 32.0, 1e8
"""What counts where a source states none; a flag tells the regressions."""
PENALTY = 50.0
LEVELS = {"unit": 3.3, "device": 3.3, "source": 3.3}
TREE_ROUNDS, TREE_LEAVES, TREE_TURNS = 150, 4, 3
WEIGHT_POWER = 0.7
"""A unit of n rows weighs n^0.3: large grids do not drown single devices."""
RISING = ("log_peak_share", "log_bandwidth_share", "at_the_wall")
IDLE_FLOOR, LIMIT = 0.7, 1.1
"""Mean watts of the devices lie between 0.7 x idle watts and the limit (10 % above TDP for boards
that state no limit) plus the host."""


class Process(msgspec.Struct, frozen=True):
    """Standard deviations (natural logs) of a machine's deviation from the rule.

    Attributes:
        offset: Of its common offset; `device` and `source` are the shares of its variance that
            rows of the same device by others, and of the same source on others, have in common.
        local: Of what resembles rows near by, at distance `length` in standardised features.
        noise: Between repeats.
    """

    offset: float = 0.4
    local: float = 0.35
    length: float = 1.8
    noise: float = 0.08
    device: float = 0.3
    source: float = 0.4


NEAR = {
    "log_runtime": 2.2,
    "log_parameters": 1.7,
    "log_batch": 1.7,
    "log_tokens": 1.7,
    "log_peak_share": 2.2,
    "log_devices": 0.8,
}
"""Features by which rows of one machine resemble each other, with the distance that counts 1."""


def setups(table: pd.DataFrame, hardware: pd.DataFrame) -> pd.DataFrame:
    """Named columns of setups whose energy is asked or known.

    Args:
        table: Columns of `data/energy` (`scope` in place of ``energy_scope``; optional
            ``host_w``: watts around the devices, ``active_params``, ``source_team``).
        hardware: From `advisor.estimator.hardware.completed`; holds every device of the table.
    """
    rows, part = table, hardware.reindex(table["device"]).set_axis(table.index)
    found = pd.DataFrame(index=rows.index)
    for name in ("device", "scope", "source"):
        found[name] = rows[name].astype(str)
    found["unit"] = found["source"] + "|" + found["device"] + "|" + found["scope"]
    flag = rows["flag"].astype(object).fillna("").astype(str)
    for name, word in (("llm", "llm"), ("classical", "classical"), ("startup", "startup")):
        found[name] = flag.str.contains(word)
    found["kind"], found["host_class"] = part["kind"], part["host"]
    found["runtime_s"] = rows["runtime_s_per_inference"].astype(float)
    _sizes(found, rows, flag)
    _machine(found, rows, part)
    return found


def _sizes(found: pd.DataFrame, rows: pd.DataFrame, flag: pd.Series) -> None:
    """Adds parameters, batch, tokens, FLOP and weight bytes per item."""
    for name, column, default in (
        ("parameters", "model_params", DEFAULT_PARAMETERS),
        ("tokens", "seq_len_or_tokens", DEFAULT_TOKENS),
        ("batch", "batch_size", DEFAULT_BATCH),
    ):
        found[name], found[f"{name}_assumed"] = rows[column].fillna(default), rows[column].isna()
    active = rows["active_params"] if "active_params" in rows else rows["model_params"]
    active = active.fillna(found["parameters"]).clip(upper=found["parameters"])
    formats = {name: numeric_format(str(name)) for name in rows["precision"].unique()}
    found["format"] = rows["precision"].map(formats).fillna("unknown")
    found["bits"] = found["format"].map(weight_bits).astype(float)
    cacheless = flag.str.contains("no_kv_cache")  # every step reads all tokens before it again
    once = 2 * active * found["tokens"]
    found["flops"] = rows["flops_per_inference"].fillna(
        once.where(~cacheless, active * found["tokens"] ** 2)
    )
    calls = np.where(found["llm"], found["tokens"], 1.0)
    found["calls"] = calls / found["batch"]
    together = np.maximum(found["batch"] * found["tokens"] / calls, 1.0)
    read = 1 - (1 - active / found["parameters"]).clip(0, 1) ** together
    found["weight_bytes"] = read * found["parameters"] * found["bits"] / 8 * found["calls"]


def _machine(found: pd.DataFrame, rows: pd.DataFrame, part: pd.DataFrame) -> None:
    """Adds the devices at work, their rates, idle, limit and nominal watts."""
    total = rows["n_devices"].fillna(1.0).astype(float)
    working = rows["n_active_devices"].fillna(total).astype(float)
    module = (found["kind"] == "cpu") & found["device"].str.contains("Jetson")
    share = np.where(module, MODULE_CPU_SHARE, 1.0)
    tdp, limit = part["tdp_w"] * share, part["limit_w"] * share
    on_soc = (found["kind"] == "soc") | (
        (found["host_class"] == "edge") & found["kind"].isin(["cpu", "gpu"])
    )
    found["on_soc"] = on_soc
    starting = found["startup"] & (found["kind"] == "gpu")  # that is the CPU's work
    busy = working.where(~starting, MODULE_CPU_SHARE * on_soc.astype(float))
    found["devices"], found["working"] = np.maximum(total, working), working
    found["tdp_w"], found["idle_w"] = tdp, part["idle_w"] * share * found["devices"]
    found["idle_devices"] = found["devices"] - working
    found["peak"] = np.select(
        [found["format"] == "fp32", found["format"] == "int8"], [part["fp32"], part["int8"]],
        part["fp16"],
    )  # fmt: skip
    found["bandwidth"] = part["bandwidth"]
    found["around_w"] = _around_w(found, rows, part)
    found["efficiency"] = np.where(
        (found["scope"] == "wall") & (found["host_class"] != "edge"), SUPPLY_EFFICIENCY, 1.0
    )
    idle = part["idle_w"] * share * (found["devices"] - busy)
    found["nominal_w"] = (tdp * busy + idle + found["around_w"]) / found["efficiency"]
    found["limit_w"] = (LIMIT * limit * found["devices"] + found["around_w"]) / found["efficiency"]
    found["floor_w"] = IDLE_FLOOR * found["idle_w"]
    found["tdp_imputed"] = part["tdp_imputed"]


def _around_w(found: pd.DataFrame, rows: pd.DataFrame, part: pd.DataFrame) -> pd.Series:
    """Watts the scope adds to the devices; the wall never adds less than the host."""
    board = found["host_class"].map(BOARD_W)
    cpu, server = found["kind"] == "cpu", found["host_class"] == "server"
    memory = DRAM_SHARE * part["tdp_w"].where(found["host_class"] != "edge", 0.0)
    host = (
        rows["host"].astype(object).fillna("").astype(str)
        if "host" in rows
        else pd.Series("", rows.index)
    )
    named = host.map({text: _named_host_w(text, part) for text in host.unique()})
    hosted = named.fillna(board.where(~server, SERVER_HOST_W))
    wall = (memory + board).where(cpu, hosted)
    added = np.select(
        [found["scope"] == "device", found["scope"] == "host"],
        [0.0, memory.where(cpu, hosted)],
        wall,
    )
    if "host_w" in rows:
        stated = rows["host_w"].astype(float)
        return stated.fillna(pd.Series(added, rows.index)).where(found["scope"] != "device", 0.0)
    return pd.Series(added, rows.index)


def _named_host_w(text: str, part: pd.DataFrame) -> float:
    """Watts of a host by its CPUs' name, e.g. ``2x AMD EPYC 7742``; NaN where it tells none."""
    found = re.match(r"\s*(\d+)x (.*)", text)
    if found is None:
        return float("nan")
    if re.search(r"Snapdragon|ARMv8|Cortex|Carmel", text):
        return PHONE_HOST_W if "Snapdragon" in text else float("nan")
    model = re.search(r"\b(\d{4}[A-Z+]*|[A-Z]\d{2}-\d{2})\b", found[2])
    del part
    tdp = CPU_TDP_W.get(model[1] if model else "", 200.0)
    return BOARD_W["server"] + HOST_CPU_SHARE * int(found[1]) * tdp


CPU_TDP_W = {
    "7282": 120.0,
    "7542": 225.0,
    "7742": 225.0,
    "7713": 225.0,
    "7763": 280.0,
    "9554": 360.0,
    "8380": 270.0,
    "8470": 350.0,
    "8480C": 350.0,
    "8351N": 225.0,
    "8352V": 195.0,
    "6258R": 205.0,
    "4216": 100.0,
    "5318N": 150.0,
}
"""TDP of host CPUs by model number, watts (AMD and Intel data sheets)."""


def features(setups: pd.DataFrame) -> pd.DataFrame:
    """Numeric features of setups with a runtime."""
    s = setups
    calls = s["runtime_s"] / s["calls"]
    peak_share = s["flops"] / (s["runtime_s"] * s["peak"] * s["working"])
    bandwidth_share = s["weight_bytes"] / (s["runtime_s"] * s["bandwidth"] * s["working"])
    columns: dict[str, Any] = {
        "log_parameters": np.log(s["parameters"]),
        "log_runtime": np.log(s["runtime_s"]),
        "log_call": np.log(calls),
        "log_batch": np.log(s["batch"]),
        "log_tokens": np.log(s["tokens"]),
        "log_peak_share": np.log(peak_share + 1e-12).clip(-14, 1),
        "log_bandwidth_share": np.log(bandwidth_share + 1e-12).clip(-14, 2),
        "log_peak_per_watt": np.log(s["peak"] / s["tdp_w"]) - 25,
        "log_tdp": np.log(s["tdp_w"]),
        "log_devices": np.log(s["devices"]),
        "log_idle_devices": np.log(s["devices"] / s["working"]),
        "bits": np.log2(s["bits"] / 16),
        "single_stream": s["batch"] == 1,
        "beyond_device": s["scope"] != "device",
        "at_the_wall": s["scope"] == "wall",
    }
    for kind in ("cpu", "npu"):
        columns[kind] = s["kind"] == kind
    for host in ("edge", "desktop"):
        columns[host] = s["host_class"] == host
    for name in ("llm", "classical", "startup", "on_soc"):
        columns[name] = s[name]
    columns["startup_gpu"] = s["startup"] & (s["kind"] == "gpu")
    columns["startup_soc"] = s["startup"] & s["on_soc"]
    for name in ("parameters", "batch", "tokens"):
        columns[f"{name}_assumed"] = s[f"{name}_assumed"]
    return pd.DataFrame({name: np.asarray(v, dtype=float) for name, v in columns.items()}, s.index)


class PowerModel(msgspec.Struct, frozen=True):
    """A fitted power model: the ridge, and the trees it is averaged with (or none)."""

    ridge: Ridge
    trees: Any

    def predict(self, setups: pd.DataFrame) -> Array:
        """Natural log of mean watts of n setups, between idle and limit."""
        numeric = features(setups)
        groups = setups[list(LEVELS)]
        found = self.ridge.predict(numeric, groups)
        if self.trees is not None:
            found = (found + self.trees.predict(numeric, groups)) / 2
        return bounded(found + np.log(setups["nominal_w"].to_numpy()), setups)


def bounded(log_watts: Array, setups: pd.DataFrame) -> Array:
    """Log watts between `IDLE_FLOOR` x idle and the limit."""
    low, high = np.log(setups["floor_w"].to_numpy()), np.log(setups["limit_w"].to_numpy())
    return np.asarray(np.clip(log_watts, low, high), dtype=float)


def fit(setups: pd.DataFrame, log_watts: Array, *, trees: bool = True) -> PowerModel:
    """Fits the power model.

    Args:
        setups: From `setups`, n rows.
        log_watts: Natural log of measured mean watts, n.
        trees: Whether boosted trees are averaged in.
    """
    numeric, groups = features(setups), setups[list(LEVELS)]
    target = log_watts - np.log(setups["nominal_w"].to_numpy())
    weights = weighed(groups, ("unit",), WEIGHT_POWER)
    ridge = fit_ridge(numeric, groups, target, weights, PENALTY, LEVELS)
    if not trees:
        return PowerModel(ridge, None)
    shift, forest = np.zeros(len(target)), None
    for _ in range(TREE_TURNS):
        forest = fit_trees(
            numeric, groups, target - shift, weights, (), TREE_ROUNDS,
            leaves=TREE_LEAVES, rising=RISING,
        )  # fmt: skip
        shift = of_sources(target - forest.predict(numeric, groups), groups)
    return PowerModel(ridge, forest)


def of_sources(residual: Array, groups: pd.DataFrame) -> Array:
    """What the units of a source share: the mean of their medians against one unit of doubt."""
    values = pd.DataFrame({"unit": groups["unit"], "source": groups["source"], "e": residual})
    medians = values.groupby(["source", "unit"])["e"].median().reset_index()
    found = medians.groupby("source")["e"].agg(lambda m: m.sum() / (len(m) + 1))
    return np.asarray(groups["source"].map(found), dtype=float)


def places(setups: pd.DataFrame) -> Array:
    """Coordinates in which rows of one machine are near each other, n x len(NEAR)."""
    numeric = features(setups)
    return np.asarray(numeric[list(NEAR)] / np.array(list(NEAR.values())), dtype=float)


def covariance(one: pd.DataFrame, two: pd.DataFrame, process: Process) -> Array:
    """Covariance of the log deviations of two sets of setups, noise left out, n x m."""
    a, b = places(one), places(two)
    distance = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)

    def same(name: str) -> Array:
        left, right = one[name].to_numpy(), two[name].to_numpy()
        return np.asarray(left[:, None] == right[None, :], dtype=float)

    unit, device, source = same("unit"), same("device"), same("source")
    common = np.maximum(unit, np.maximum(process.device * device, process.source * source))
    local = process.local**2 * np.exp(-distance / (2 * process.length**2))
    return np.asarray(common * (process.offset**2 + local))


def corrected(
    asked: pd.DataFrame,
    known: pd.DataFrame,
    residual: Array,
    process: Process | None = None,
) -> tuple[Array, Array]:
    """What measured rows say about setups: posterior mean and standard deviation (n each).

    Args:
        asked: Setups, n rows.
        known: Measured setups that resemble them, m rows.
        residual: Their log of measured over predicted, m.
        process: How machines deviate.
    """
    process = process or Process()
    prior = np.full(len(asked), process.offset**2 + process.local**2)
    if not len(known):
        return np.zeros(len(asked)), np.asarray(np.sqrt(prior + process.noise**2), dtype=float)
    inner = covariance(known, known, process) + process.noise**2 * np.eye(len(known))
    across = covariance(asked, known, process)
    weights = np.linalg.solve(inner, np.column_stack([residual, across.T]))
    mean = across @ weights[:, 0]
    left = prior - np.einsum("ij,ji->i", across, weights[:, 1:])
    spread = np.sqrt(np.maximum(left, 0) + process.noise**2)
    return np.asarray(mean, dtype=float), np.asarray(spread, dtype=float)


def unit_names(sources: Sequence[str]) -> list[str]:
    """The measuring team behind each source: rounds and versions of one are not independent."""
    return [re.sub(r"[\s(-]*(\(.*|v\d.*)$", "", name).strip() or name for name in sources]
