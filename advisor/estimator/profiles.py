"""What one inference asks of a machine, in named columns: arithmetic, bytes, batch, backend.

In: rows in the layout of `data/runtime` (one row a published runtime) or questions in the same
columns, and a device table of `advisor.estimator.hardware`. Out: one row a profile, everything
known before it runs. Seconds, FLOP, bytes; per item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from advisor.estimator.backends import backend_class, numeric_format, weight_bits
from advisor.estimator.table import Column, Table, by_value, filled, numbers, texts

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
    "work",
    "pipeline",
)
NUMBERS = (
    "model_params",
    "n_layers",
    "hidden",
    "batch_size",
    "seq_len",
    "n_devices",
    "cores_used",
    "share",
    "flops",
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
SCALING = 0.8
"""Exponent with which a network's seconds on a share of a chip follow the roofline of that share,
1 if added cores were as fast as those before: about the median, 0.78, of the 14 bundled pairs of
runs on 2 and 4 vCPUs (MLPerf inference v4.0, Xeon 8259CL and EPYC 7R32)."""
SCALING_SPREAD = 0.15
"""Standard deviation of that exponent over many doublings, assumed: half of that between the pairs,
of one doubling each (0.32)."""
CLASSICAL_S = 1e-4
"""Seconds a core of `CORE_FLOPS` takes to count the words of a text and weigh them (vectoriser and
linear model of scikit-learn, texts of a few dozen words); a learned factor corrects it."""
CORE_FLOPS = 6e10
"""fp32 rate of the core that `CLASSICAL_S` is for."""
WORKS = ("encoder", "prefill", "decode", "summary", "generate", "classical", "startup")
"""Kinds of work an item can be: a text through an encoder; one token read or written; an MLPerf
summary; a whole generated answer; a text through a classical model; a process start with its
texts."""
TOKEN_CLASSES = (32, 128, 512, 2048, 8192)
"""Edges between classes of tokens per call."""


def publisher(source: str) -> str:
    """Who published a table: the first word of a source's name; its rounds are one publisher."""
    return source.split("-")[0]


def profile_columns(given: Mapping[str, Column], part: Mapping[str, Column], n: int) -> Table:
    """The profile of each of n rows.

    Args:
        given: Columns of `TEXT` and `NUMBERS`; missing ones count as blank.
        part: Columns of `advisor.estimator.hardware.completed`, the device of each row.
        n: Rows.

    Returns:
        The columns the runtime model reads: `flops`, `weight_bytes` read (per item), `batch`,
        `tokens` (per item), `call_tokens`, `peak` (FLOP/s of all devices together), `bandwidth`,
        `roofline_s`, class columns, flags for what was assumed, and for the `share` of a CPU that
        is a setup's `stretch`: natural log of its seconds over the whole chip's, and
        `stretch_spread`: what one standard deviation of `SCALING` adds to it. All other columns
        are the whole chip's.
    """
    rows: Table = {name: texts(given, name, n) for name in TEXT}
    rows |= {name: numbers(given, name, n) for name in NUMBERS}
    found: Table = {
        name: rows[name] for name in ("source", "model", "device", "scenario", "pipeline")
    }
    found["publisher"] = by_value(rows["source"], publisher)
    found["kind"], found["host"] = part["kind"], part["host"]
    _classes(found, rows)
    _sizes(found, rows)
    _machine(found, rows, part)
    roofline = (
        found["compute_s"] / COMPUTE_SHARE
        + found["memory_s"] / BANDWIDTH_SHARE
        + np.where(found["tuned_run"], 0.0, found["overhead_s"])
    )
    core = part["fp32"] / filled(np.where(part["kind"] == "cpu", part["cores"], np.nan), 8.0)
    classical = CLASSICAL_S * CORE_FLOPS / core + found["overhead_s"]
    found["roofline_s"] = np.where(found["work"] == "classical", classical, roofline)
    _stretch(found, rows)
    return found


def _stretch(found: Table, rows: Table) -> None:
    """Adds the share of a chip and what it changes: rates shrink, the overhead of calls does not.

    What runs on one core (models without a network, process starts) needs the same seconds.
    """
    share = found["share"] = filled(rows["share"], 1.0)
    rates = found["compute_s"] / COMPUTE_SHARE + found["memory_s"] / BANDWIDTH_SHARE
    overhead = np.where(found["tuned_run"], 0.0, found["overhead_s"])
    longer = np.log((rates / share + overhead) / (rates + overhead))
    longer = np.where(np.isin(found["work"], ["classical", "startup"]), 0.0, longer)
    found["stretch"], found["stretch_spread"] = SCALING * longer, SCALING_SPREAD * longer


def _classes(found: Table, rows: Table) -> None:
    """Adds the class columns."""
    noted = by_value(rows["notes"], work_of_notes)
    found["work"] = np.where(rows["work"] == "", noted, rows["work"])
    found["tuned_run"] = by_value(
        rows["source"], lambda source: source.startswith("mlperf-inference")
    )
    backend = by_value(rows["framework"], backend_class).astype(object)
    found["backend"] = np.where(found["tuned_run"], "mlperf-" + backend, backend)
    found["format"] = by_value(rows["precision"], numeric_format)
    found["bits"] = by_value(found["format"], weight_bits).astype(float)
    basis = rows["seq_len_basis"]
    found["length_basis"] = np.where(basis == "", "unknown", basis)
    found["family"] = rows["model_family"]
    found["pruned"] = (rows["sparsity"] != "").astype(float)
    found["density"] = by_value(rows["sparsity"], _density)


def _density(sparsity: str) -> float:
    """Share of weights that are left, e.g. .1 of ``90% pruned``."""
    pruned = re.search(r"(\d+)% pruned", sparsity)
    return 1 - int(pruned[1]) / 100 if pruned else 1.0


def work_of_notes(notes: str) -> str:
    """The kind of work of a published runtime, by what its notes say an item is."""
    if "decode" in notes or "item = output token" in notes:
        return "decode"
    if "item = one summary" in notes:
        return "summary"
    return "prefill" if "item = prompt token" in notes else "encoder"


def _sizes(found: Table, rows: Table) -> None:
    """Adds parameters, tokens, batch, and FLOP and bytes per item."""
    work = found["work"]
    summary, generated = work == "summary", work == "generate"
    one_token = np.isin(work, ["decode", "prefill", "generate"])
    weights = 12 * rows["n_layers"] * rows["hidden"] ** 2
    found["parameters"] = filled(filled(weights, 0.75 * rows["model_params"]), 5e7)
    found["layers"] = filled(rows["n_layers"], 12.0)
    maximum = found["tuned_run"] & (rows["seq_len_basis"] == "max")
    tokens = np.where(maximum, MAXIMUM_TOKENS, rows["seq_len"])
    found["tokens_assumed"] = np.isnan(tokens)
    tokens = np.where(summary, SUMMARY_TOKENS[0], filled(tokens, DEFAULT_TOKENS))
    found["steps"] = np.where(generated, tokens, 1.0)  # tokens written one after another
    found["tokens"] = np.where(one_token, 1.0, tokens)
    found["batch_assumed"] = np.isnan(rows["batch_size"])
    default = by_value(rows["scenario"], lambda name: DEFAULT_BATCH.get(name, 32.0))
    found["batch"] = filled(rows["batch_size"], default)
    attention = 4 * found["layers"] * filled(rows["hidden"], 768.0) * found["tokens"] ** 2
    once = 2 * found["parameters"] * found["tokens"] * found["steps"]
    whole = (work == "encoder") | summary
    found["flops"] = filled(rows["flops"], once + np.where(whole, attention, 0.0))
    prefill = work == "prefill"
    calls = np.where(summary, SUMMARY_TOKENS[1], np.where(prefill, 0.0, found["steps"]))
    found["weight_bytes"] = found["parameters"] * found["bits"] / 8 * calls / found["batch"]
    found["call_tokens"] = found["batch"] * np.where(prefill, 1024.0, found["tokens"])
    classes = np.searchsorted(TOKEN_CLASSES, found["call_tokens"])
    names = np.array([f"tokens-{place}" for place in range(len(TOKEN_CLASSES) + 1)], dtype=object)
    found["token_class"] = np.where(found["batch_assumed"], rows["scenario"], names[classes])


def _machine(found: Table, rows: Table, part: Mapping[str, Column]) -> None:
    """Adds what the devices together can do and the seconds of each part of the roofline."""
    devices = filled(rows["n_devices"], 1.0)
    found["devices"] = devices
    own = np.where(part["kind"] == "cpu", part["cores"], np.nan) * devices
    found["core_share"] = filled(np.clip(rows["cores_used"] / own, 0.02, 1.0), 1.0)
    numeric = found["format"]
    rate = np.select(
        [numeric == "fp32", numeric == "tf32", numeric == "int8"],
        [part["fp32"], part["fp16"] / 2, part["int8"]],
        part["fp16"],
    )
    found["peak"] = rate * devices * found["core_share"]
    found["bandwidth"] = part["bandwidth"] * devices
    found["peak_imputed"], found["amx"] = part["peak_imputed"], part["amx"]
    found["compute_s"] = found["flops"] / found["peak"]
    found["memory_s"] = found["weight_bytes"] / found["bandwidth"]
    call_s = by_value(
        found["backend"], lambda name: OVERHEAD_S.get(name.removeprefix("mlperf-"), 1e-3)
    )
    call_s = call_s * np.where(part["kind"] == "gpu", 1.0, CPU_OVERHEAD)
    found["overhead_s"] = call_s * found["layers"] / 12 * found["steps"] / found["batch"] / devices
