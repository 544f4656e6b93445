"""What one inference asks of a machine, in named columns: arithmetic, bytes, batch, backend.

In: rows in the layout of `data/runtime` (one row a published runtime) or questions in the same
columns, and a device table of `advisor.runtime.hardware`. Out: one row a profile, everything
known before it runs. Seconds, FLOP, bytes; per item.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from advisor.runtime.backends import backend_class, numeric_format, weight_bits

REQUIRED = ("source", "model", "device")
"""Columns a table of runtimes must have; all others may be missing or blank."""
TEXT = (
    "source",
    "model",
    "model_family",
    "precision",
    "sparsity",
    "framework",
    "scenario",
    "seq_len_basis",
    "device",
    "device_type",
    "notes",
)
NUMBERS = (
    "model_params",
    "n_layers",
    "hidden",
    "batch_size",
    "seq_len",
    "n_devices",
    "cores_used",
    "runtime_s_per_item",
)
MAXIMUM_TOKENS = 180.0
"""Mean tokens of MLPerf's SQuAD texts, which are cut at 384 (half that; a certified figure per
item, whatever its padding)."""
DEFAULT_TOKENS = 64.0
"""Tokens of a text whose length no source states."""
SUMMARY_TOKENS = (900.0, 70.0)
"""Tokens read and written for one MLPerf GPT-J summary (CNN/DailyMail, mean)."""
DEFAULT_BATCH = {"single": 1.0, "server": 16.0, "offline": 32.0, "batch": 32.0}
"""Texts per call by scenario where a source states none."""
OVERHEAD_S = {
    "eager": 8e-3,
    "compiled": 4e-3,
    "onnxruntime": 3e-3,
    "fused": 2e-3,
    "tensorrt": 1.2e-3,
}
"""Seconds a call of a 12-layer network costs a GPU before any arithmetic; 1e-3 for others. A
learned factor corrects it by backend and batch class."""
CPU_OVERHEAD = 0.3
"""The same on anything but a GPU, relative: no kernel launches."""
COMPUTE_SHARE, BANDWIDTH_SHARE = 0.4, 0.6
"""Shares of peak rate and bandwidth from which learned factors start."""
TOKEN_CLASSES = (32, 128, 512, 2048, 8192)
"""Edges between classes of tokens per call."""


def publisher(source: str) -> str:
    """Who published a table: the first word of a source's name; its rounds are one publisher."""
    return source.split("-")[0]


def profiles(table: pd.DataFrame, hardware: pd.DataFrame) -> pd.DataFrame:
    """The profile of each row.

    Args:
        table: Columns of `TEXT` and `NUMBERS`; missing ones count as blank.
        hardware: From `advisor.runtime.hardware.completed`; holds every device of the table.

    Returns:
        The columns the runtime model reads: `flops`, `weight_bytes` read (per item), `batch`,
        `tokens` (per item), `call_tokens`, `peak` (FLOP/s of all devices together), `bandwidth`,
        `roofline_s`, class columns, and flags for what was assumed.
    """
    rows = _filled(table)
    part = hardware.reindex(rows["device"]).set_axis(rows.index)
    found = pd.DataFrame(index=rows.index)
    for name in ("source", "model", "device", "scenario"):
        found[name] = rows[name]
    found["publisher"] = rows["source"].map(publisher)
    found["kind"], found["host"] = part["kind"], part["host"]
    _classes(found, rows)
    _sizes(found, rows)
    _machine(found, rows, part)
    found["roofline_s"] = (
        found["compute_s"] / COMPUTE_SHARE
        + found["memory_s"] / BANDWIDTH_SHARE
        + np.where(found["tuned_run"], 0.0, found["overhead_s"])
    )
    return found


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every column there, texts as text and numbers above 0 or missing."""
    rows = pd.DataFrame(index=table.index)
    for name in TEXT:
        rows[name] = table[name].astype(object).fillna("").astype(str) if name in table else ""
    for name in NUMBERS:
        given = table[name] if name in table else pd.Series(np.nan, table.index)
        numbers = pd.to_numeric(given, errors="coerce").astype(float)
        rows[name] = numbers.where(np.isfinite(numbers) & (numbers > 0))
    return rows


def _classes(found: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Adds the class columns."""
    notes = rows["notes"]
    decode = notes.str.contains("decode|item = output token")
    summary = notes.str.contains("item = one summary")
    prefill = notes.str.contains("item = prompt token")
    found["work"] = np.select(
        [decode, summary, prefill], ["decode", "summary", "prefill"], "encoder"
    )
    found["tuned_run"] = rows["source"].str.startswith("mlperf-inference")
    kinds = {text: backend_class(text) for text in rows["framework"].unique()}
    backend = rows["framework"].map(kinds)
    found["backend"] = np.where(found["tuned_run"], "mlperf-" + backend, backend)
    formats = {text: numeric_format(text) for text in rows["precision"].unique()}
    found["format"] = rows["precision"].map(formats)
    found["bits"] = found["format"].map(weight_bits).astype(float)
    found["length_basis"] = rows["seq_len_basis"].where(rows["seq_len_basis"] != "", "unknown")
    found["family"] = rows["model_family"]
    found["pruned"] = (rows["sparsity"] != "").astype(float)
    pruned = rows["sparsity"].str.extract(r"(\d+)% pruned")[0].astype(float)
    found["density"] = (1 - pruned / 100).fillna(1.0)


def _sizes(found: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Adds parameters, tokens, batch, and FLOP and bytes per item."""
    work = found["work"]
    weights = 12 * rows["n_layers"] * rows["hidden"] ** 2
    found["parameters"] = weights.fillna(0.75 * rows["model_params"]).fillna(5e7)
    found["layers"] = rows["n_layers"].fillna(12.0)
    maximum = found["tuned_run"] & (rows["seq_len_basis"] == "max")
    tokens = rows["seq_len"].where(~maximum, MAXIMUM_TOKENS)
    found["tokens_assumed"] = tokens.isna()
    tokens = tokens.fillna(DEFAULT_TOKENS).where(work != "summary", SUMMARY_TOKENS[0])
    found["tokens"] = tokens.where(~work.isin(["decode", "prefill"]), 1.0)
    found["batch_assumed"] = rows["batch_size"].isna()
    default = rows["scenario"].map(DEFAULT_BATCH).fillna(32.0)
    found["batch"] = rows["batch_size"].fillna(default)
    attention = 4 * found["layers"] * rows["hidden"].fillna(768.0) * found["tokens"] ** 2
    found["flops"] = 2 * found["parameters"] * found["tokens"] + attention.where(
        work.isin(["encoder", "summary"]), 0.0
    )
    calls = np.where(work == "summary", SUMMARY_TOKENS[1], 1.0)
    calls = np.where(work == "prefill", 0.0, calls)
    found["weight_bytes"] = found["parameters"] * found["bits"] / 8 * calls / found["batch"]
    found["call_tokens"] = found["batch"] * np.where(work == "prefill", 1024.0, found["tokens"])
    edges = [-np.inf, *TOKEN_CLASSES, np.inf]
    classes = pd.cut(found["call_tokens"], edges, labels=False).astype(str)
    found["token_class"] = rows["scenario"].where(found["batch_assumed"], "tokens-" + classes)


def _machine(found: pd.DataFrame, rows: pd.DataFrame, part: pd.DataFrame) -> None:
    """Adds what the devices together can do and the seconds of each part of the roofline."""
    devices = rows["n_devices"].fillna(1.0)
    found["devices"] = devices
    own = part["cores"].where(part["kind"] == "cpu") * devices
    found["core_share"] = (rows["cores_used"] / own).clip(0.02, 1.0).fillna(1.0)
    rate = np.select(
        [found["format"] == "fp32", found["format"] == "tf32", found["format"] == "int8"],
        [part["fp32"], part["fp16"] / 2, part["int8"]],
        part["fp16"],
    )
    found["peak"] = rate * devices * found["core_share"]
    found["bandwidth"] = part["bandwidth"] * devices
    found["peak_imputed"], found["amx"] = part["peak_imputed"], part["amx"]
    found["compute_s"] = found["flops"] / found["peak"]
    found["memory_s"] = found["weight_bytes"] / found["bandwidth"]
    plain = found["backend"].str.removeprefix("mlperf-")
    call_s: pd.Series[float] = plain.map(OVERHEAD_S).fillna(1e-3) * np.where(
        part["kind"] == "gpu", 1, CPU_OVERHEAD
    )
    found["overhead_s"] = call_s * found["layers"] / 12 / found["batch"] / devices
