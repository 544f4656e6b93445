"""Mean watts of a run whose runtime is known, from measured joules of other machines.

log mean power = log nominal watts + the average of a ridge with random intercepts and boosted
trees, never below the idle watts of its devices nor above their limit. Rows measured on the asked
device correct it by a small Gaussian process over their log residuals. A unit is one device in one
scope as one source measured it. Watts, seconds, FLOP; logarithms are natural.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from advisor.estimator.backends import numeric_format, weight_bits
from advisor.estimator.mixed_effects import Ridge, Trees, fit_ridge, fit_trees, weighed
from advisor.estimator.table import (
    Array,
    Column,
    Mask,
    Table,
    by_value,
    filled,
    numbers,
    table,
    texts,
)

if TYPE_CHECKING:
    import pandas as pd

SUPPLY_EFFICIENCY = 0.9
"""Share of the plug's power that a power supply passes on (80 PLUS Gold at half load)."""
BOARD_W = {"edge": 4.0, "desktop": 60.0, "server": 60.0}
"""Watts around the chips at the plug: board, fans, drives; an edge module's carrier board."""
HOST_CPU_SHARE = 0.35
"""Power of a host's CPUs over their TDP while the accelerators work."""
SERVER_HOST_W = 200.0
"""Watts of a server host of unknown CPUs: two sockets of 200 W by the two figures above. Devices
share it: 8 in a host of SXM boards, 4 on PCIe; one pays its part."""
DRAM_SHARE = 0.2
"""Power of a CPU's memory over the CPU's TDP, in host and wall scope."""
PHONE_HOST_W = 8.0
"""A Snapdragon board that hosts accelerators (MLPerf edge systems)."""
MODULE_CPU_SHARE = 0.4
"""Share of a Jetson module's TDP that its CPU cluster can draw."""
CORE_TURBO, DEFAULT_CORES = 2.0, 8.0
"""Power of one busy core over its part of the TDP, as it clocks higher alone; cores of a CPU whose
table states none. Both assumed: pipelines without a network run on one core."""
DEFAULT_TOKENS, DEFAULT_BATCH, DEFAULT_PARAMETERS = 64.0, 32.0, 1e8
"""What counts where a source states none; a flag tells the regressions."""
PENALTY = 50.0
LEVELS = {"unit": 3.3, "device": 3.3, "source": 3.3}
TREE_ROUNDS, TREE_LEAVES, TREE_TURNS = 150, 4, 3
WEIGHT_POWER = 0.7
"""A unit of n rows weighs n^0.3: large grids do not drown single devices."""
TIMES, SHARES = ("log_runtime", "log_call"), ("log_peak_share", "log_bandwidth_share")
BENDS = {"log_peak_share": (-6.0, -3.0, -1.5), "log_bandwidth_share": (-3.0, -1.0)}
BENT = tuple(f"{name}_above_{bend}" for name, bends in BENDS.items() for bend in bends)
"""Shares at which watts may rise faster, natural logs."""
RISING = ("log_parameters", "log_tokens", "log_runtime", "at_the_wall")
"""What the trees rise with."""
_SMOOTH = (*SHARES, *BENT, "log_call")
"""What the ridge alone reads, with small slopes. The trees read no share and no seconds of a call,
with which watts may fall as work grows: so joules never fall with work."""
IDLE_FLOOR, LIMIT = 0.7, 1.1
"""Mean watts of the devices lie between 0.7 x idle watts and the limit (10 % above TDP for boards
that state no limit) plus the host."""


TEXT = ("device", "scope", "source", "flag", "precision", "host", "pipeline")
NUMBERS = (
    "model_params",
    "active_params",
    "batch_size",
    "seq_len_or_tokens",
    "n_devices",
    "n_active_devices",
    "share",
    "runtime_s_per_inference",
    "flops_per_inference",
    "host_w",
)


def setup_columns(given: Mapping[str, Column], part: Mapping[str, Column], n: int) -> Table:
    """Named columns of setups whose energy is asked or known.

    Args:
        given: Columns of `data/energy` (`scope` in place of ``energy_scope``; optional
            ``host_w``: watts around the devices, ``active_params``, ``share`` of a CPU).
        part: Columns of `advisor.estimator.hardware.completed`, the device of each row.
        n: Rows.
    """
    rows: Table = {name: texts(given, name, n) for name in TEXT}
    rows |= {name: numbers(given, name, n) for name in NUMBERS}
    found: Table = {name: rows[name] for name in ("device", "scope", "source")}
    units = zip(*(rows[name].tolist() for name in ("source", "device", "scope")), strict=True)
    found["unit"] = np.array(["|".join(unit) for unit in units], dtype=object)
    flag = rows["flag"]
    for name in ("llm", "classical", "startup"):
        found[name] = _has(flag, name)
    found["kind"], found["host_class"] = part["kind"], part["host"]
    found["runtime_s"] = rows["runtime_s_per_inference"]
    found["one_core"] = rows["pipeline"] != ""
    _sizes(found, rows)
    _machine(found, rows, part)
    return found


def _has(values: Column, word: str) -> Mask:
    """Whether each text holds a word."""
    return np.array([word in value for value in values.tolist()], dtype=bool)


def _sizes(found: Table, rows: Table) -> None:
    """Adds parameters, batch, tokens, FLOP and weight bytes per item."""
    for name, column, default in (
        ("parameters", "model_params", DEFAULT_PARAMETERS),
        ("tokens", "seq_len_or_tokens", DEFAULT_TOKENS),
        ("batch", "batch_size", DEFAULT_BATCH),
    ):
        found[name], found[f"{name}_assumed"] = (
            filled(rows[column], default),
            np.isnan(rows[column]),
        )
    parameters, tokens = found["parameters"], found["tokens"]
    active = np.minimum(filled(rows["active_params"], parameters), parameters)
    found["format"] = by_value(rows["precision"], numeric_format)
    found["bits"] = by_value(found["format"], weight_bits).astype(float)
    once, again = 2 * active * tokens, active * tokens**2  # each step reads all tokens before it
    flops = np.where(_has(rows["flag"], "no_kv_cache"), again, once)
    found["flops"] = filled(rows["flops_per_inference"], flops)
    steps = np.where(found["llm"], tokens, 1.0)
    found["calls"] = steps / found["batch"]
    together = np.maximum(found["batch"] * tokens / steps, 1.0)
    read = 1 - np.clip(1 - active / parameters, 0, 1) ** together
    found["weight_bytes"] = read * parameters * found["bits"] / 8 * found["calls"]


def _machine(found: Table, rows: Table, part: Mapping[str, Column]) -> None:
    """Adds the devices at work, their rates, idle, limit and nominal watts."""
    total = filled(rows["n_devices"], 1.0)
    working = filled(rows["n_active_devices"], total)
    kind, host = found["kind"], found["host_class"]
    module = (kind == "cpu") & _has(found["device"], "Jetson")
    cluster = np.where(module, MODULE_CPU_SHARE, 1.0)
    tdp, limit = part["tdp_w"] * cluster, part["limit_w"] * cluster
    share = found["share"] = filled(rows["share"], 1.0)
    on_soc = (kind == "soc") | ((host == "edge") & np.isin(kind, ["cpu", "gpu"]))
    found["on_soc"] = on_soc
    starting = (found["startup"] | found["one_core"]) & (kind == "gpu")  # that is the CPU's work
    busy = np.where(starting, MODULE_CPU_SHARE * on_soc, working)
    cores = filled(part["cores"], DEFAULT_CORES)
    one = found["one_core"] & (kind != "gpu")
    busy = np.where(one, np.minimum(CORE_TURBO / cores, 1.0), busy * share)
    busy = np.minimum(busy, share * np.maximum(total, working))
    found["devices"], found["working"] = np.maximum(total, working), working
    found["tdp_w"] = tdp
    found["idle_w"] = part["idle_w"] * cluster * found["devices"] * share
    found["peak"] = np.select(
        [found["format"] == "fp32", found["format"] == "int8"],
        [part["fp32"], part["int8"]],
        part["fp16"],
    )
    found["bandwidth"] = part["bandwidth"]
    around = found["around_w"] = _around_w(found, rows, part) * share
    plug = (found["scope"] == "wall") & (host != "edge")
    efficiency = found["efficiency"] = np.where(plug, SUPPLY_EFFICIENCY, 1.0)
    idle = part["idle_w"] * cluster * (found["devices"] * share - busy)
    found["nominal_w"] = (tdp * busy + idle + around) / efficiency
    found["limit_w"] = (LIMIT * limit * found["devices"] * share + around) / efficiency
    found["floor_w"] = IDLE_FLOOR * found["idle_w"]
    found["tdp_imputed"], found["idle_stated"] = part["tdp_imputed"], part["idle_stated"]


def _around_w(found: Table, rows: Table, part: Mapping[str, Column]) -> Array:
    """Watts the scope adds to the devices; the wall never adds less than the host."""
    host, scope = found["host_class"], found["scope"]
    board = by_value(host, BOARD_W.__getitem__)
    memory = DRAM_SHARE * np.where(host == "edge", 0.0, part["tdp_w"])
    held = np.where(_has(found["device"], "SXM"), 8.0, 4.0)  # a server's usual devices
    share = SERVER_HOST_W * np.minimum(found["devices"] / held, 1.0)
    hosted = np.where(host == "server", share, board)
    hosted = filled(by_value(rows["host"], _named_host_w), hosted)
    cpu = found["kind"] == "cpu"
    inside, wall = np.where(cpu, memory, hosted), np.where(cpu, memory + board, hosted)
    added = filled(rows["host_w"], np.where(scope == "wall", wall, inside))
    return np.where(scope == "device", 0.0, added)


def host_watts(tdp_w: float, chips: float, hosts: float) -> float:
    """Watts that a share of a host draws around its accelerators.

    Args:
        tdp_w: Of one of its CPUs.
        chips: CPUs that the share is worth.
        hosts: Hosts that it is worth, for the board.
    """
    return BOARD_W["server"] * hosts + HOST_CPU_SHARE * chips * tdp_w


def _named_host_w(text: str) -> float:
    """Watts of a host by its CPUs' name, e.g. ``2x AMD EPYC 7742``; NaN where it tells none."""
    found = re.match(r"\s*(\d+)x (.*)", text)
    if found is None:
        return float("nan")
    if re.search(r"Snapdragon|ARMv8|Cortex|Carmel", text):
        return PHONE_HOST_W if "Snapdragon" in text else float("nan")
    model = re.search(r"\b(\d{4}[A-Z+]*|[A-Z]\d{2}-\d{2})\b", found[2])
    tdp = CPU_TDP_W.get(model[1] if model else "", 200.0)
    return host_watts(tdp, int(found[1]), 1)


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


FEATURES = (
    "log_parameters",
    "log_runtime",
    "log_call",
    "log_batch",
    "log_tokens",
    "log_peak_share",
    "log_bandwidth_share",
    *BENT,
    "log_peak_per_tdp",
    "log_tdp",
    "log_devices",
    "log_idle_devices",
    "bits",
    "single_stream",
    "beyond_device",
    "at_the_wall",
    "cpu",
    "npu",
    "edge",
    "desktop",
    "llm",
    "classical",
    "startup",
    "on_soc",
    "startup_gpu",
    "startup_soc",
    "parameters_assumed",
    "batch_assumed",
    "tokens_assumed",
)
"""Names of the columns of `features`."""


def features(setups: pd.DataFrame | Mapping[str, Column]) -> Table:
    """Numeric features of setups with a runtime; of a share of a chip those of the whole chip.

    As many such shares as a chip holds work at the share's utilisation, and so many times as fast.
    """
    s = table(setups)
    seconds = s["runtime_s"] * np.where(s["one_core"], 1.0, s["share"])
    peak_share = s["flops"] / (seconds * s["peak"] * s["working"])
    bandwidth_share = s["weight_bytes"] / (seconds * s["bandwidth"] * s["working"])
    columns: Table = {
        "log_parameters": np.log(s["parameters"]),
        "log_runtime": np.log(seconds),
        "log_call": np.log(seconds / s["calls"]),
        "log_batch": np.log(s["batch"]),
        "log_tokens": np.log(s["tokens"]),
        "log_peak_share": np.clip(np.log(peak_share + 1e-12), -14, 1),
        "log_bandwidth_share": np.clip(np.log(bandwidth_share + 1e-12), -14, 2),
        "log_peak_per_tdp": np.log(s["peak"] / s["tdp_w"]) - 25,  # 1e11 FLOP/J is about exp(25)
        "log_tdp": np.log(s["tdp_w"]),
        "log_devices": np.log(s["devices"]),
        "log_idle_devices": np.log(s["devices"] / s["working"]),
        "bits": np.log2(s["bits"] / 16),
        "single_stream": s["batch"] == 1,
        "beyond_device": s["scope"] != "device",
        "at_the_wall": s["scope"] == "wall",
    }
    for name, bends in BENDS.items():
        columns |= {f"{name}_above_{bend}": np.maximum(columns[name] - bend, 0) for bend in bends}
    columns |= {kind: s["kind"] == kind for kind in ("cpu", "npu")}
    columns |= {host: s["host_class"] == host for host in ("edge", "desktop")}
    columns |= {name: s[name] for name in ("llm", "classical", "startup", "on_soc")}
    columns["startup_gpu"] = s["startup"] & (s["kind"] == "gpu")
    columns["startup_soc"] = s["startup"] & s["on_soc"]
    for name in ("parameters", "batch", "tokens"):
        columns[f"{name}_assumed"] = s[f"{name}_assumed"]
    return {name: np.asarray(columns[name], dtype=float) for name in FEATURES}


class PowerModel(msgspec.Struct, frozen=True):
    """A fitted power model: the ridge, and the trees it is averaged with (or none)."""

    ridge: Ridge
    trees: Trees | None

    @property
    def slope(self) -> float:
        """Change of log watts with log seconds at equal work, of a device that is well used."""
        ridge = self.ridge
        each = zip(ridge.features, ridge.slopes, ridge.scale, strict=True)
        slopes = {name: slope / scale for name, slope, scale in each}
        found = sum(slopes[name] for name in TIMES)
        found -= sum(slopes[name] for name in (*SHARES, *BENT))
        return min(found / (1 if self.trees is None else 2), 0.0)

    def predict(
        self, setups: pd.DataFrame | Mapping[str, Column], numeric: Table | None = None
    ) -> Array:
        """Natural log of mean watts of n setups, between idle and limit.

        Args:
            setups: From `setup_columns`.
            numeric: Their `features`, where they are known already.
        """
        s = table(setups)
        numeric = features(s) if numeric is None else numeric
        found = self.ridge.predict(numeric, s)
        if self.trees is not None:
            found = (found + self.trees.predict(numeric, s)) / 2
        found = np.where(s["one_core"], 0.0, found)  # learned of networks that take all cores
        low, high = np.log(s["floor_w"]), np.log(s["limit_w"])
        return np.asarray(np.clip(found + np.log(s["nominal_w"]), low, high), dtype=float)


def fit(
    setups: pd.DataFrame | Mapping[str, Column], log_watts: Array, *, trees: bool = True
) -> PowerModel:
    """Fits the power model.

    Args:
        setups: From `setups`, n rows.
        log_watts: Natural log of measured mean watts, n.
        trees: Whether boosted trees are averaged in.
    """
    s = table(setups)
    numeric, groups = features(s), {name: s[name] for name in LEVELS}
    target = log_watts - np.log(s["nominal_w"])
    weights = weighed(groups, ("unit",), WEIGHT_POWER)
    floors = dict.fromkeys(("log_parameters", "log_tokens", *TIMES, *SHARES, *BENT), 0.0)
    ridge = fit_ridge(numeric, groups, target, weights, PENALTY, LEVELS, floors)
    if not trees:
        return PowerModel(ridge, None)
    read = {name: v for name, v in numeric.items() if name not in _SMOOTH}
    shift, forest = np.zeros(len(target)), None
    for _ in range(TREE_TURNS):
        forest = fit_trees(
            read, groups, target - shift, weights, (), TREE_ROUNDS,
            leaves=TREE_LEAVES, rising=RISING,
        )  # fmt: skip
        shift = of_sources(target - forest.predict(read, groups), groups)
    return PowerModel(ridge, forest)


def of_sources(residual: Array, groups: Mapping[str, Column]) -> Array:
    """What the units of a source share: the mean of their medians against one unit of doubt."""
    import pandas as pd

    values = pd.DataFrame({"unit": groups["unit"], "source": groups["source"], "e": residual})
    medians = values.groupby(["source", "unit"])["e"].median().reset_index()
    found = medians.groupby("source")["e"].agg(lambda m: m.sum() / (len(m) + 1))
    return np.asarray(values["source"].map(found), dtype=float)
