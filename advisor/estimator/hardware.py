"""Data-sheet figures of devices as columns, missing ones imputed from devices of the same class.

In: device tables (`catalog.records.Device` or CSV in the layout of the bundled one). Out: one row
a device with peak rates, bandwidth and watts that are never missing, and flags for those that were
imputed. Rates in FLOP/s, bandwidth in B/s, power in watts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from catalog.records import Device

SPECS = (
    "cores",
    "base_ghz",
    "tdp_w",
    "power_max_w",
    "idle_w",
    "peak_fp32_tflops",
    "peak_fp16_tflops",
    "peak_int8_tops",
    "memory_gb",
    "memory_bandwidth_gbs",
)
"""Columns of a device table that hold numbers."""
KINDS = ("cpu", "gpu", "npu", "soc")
_EDGE = (
    r"Jetson|Raspberry|Neural Compute|Apple|DM\.2|Snapdragon|Qualcomm (Q|SA|SM)|Exynos|Kirin"
    r"|Atom|DRIVE"
)
_DESKTOP = (
    r"GeForce|TITAN|RTX (A?[1-6]000|PRO)|Quadro|Core i|Core Ultra|Ryzen|Celeron|Arc "
    r"|Xeon (E-|W-|w\d)"
)
_AMX = r"AMX"
_AMX_NAMES = (
    r"Xeon (?:Platinum 8[45]\d\d|Gold [56][45]\d\d|Silver 4[45]\d\d|Max|w[5-9]-|6\d{3}P)"
    r"|Sapphire"
)
IDLE_SHARE = 0.1
"""Idle watts over TDP where no table states them (A100 .13-.16, L4 .22, RTX 3080 .07)."""
FLOPS_PER_CYCLE = 32.0
"""fp32 operations a core ends in one cycle with AVX2, and what AVX-512 sustains at base clock
twice; the rule of the device table's own derived peaks."""
_CPU_TIMES_FP32 = {"fp16": 1.0, "int8": 4.0}
_AMX_TIMES_FP32 = {"fp16": 16.0, "int8": 32.0}
"""Peak of a CPU at a numeric format over its fp32 peak: VNNI, and AMX (assumed ratios, see the
notes of the published runtimes)."""


def host_class(name: str, tdp_w: float | None) -> str:
    """Class of the machine a device usually sits in: ``edge``, ``desktop`` or ``server``."""
    if re.search(_EDGE, name):
        return "edge"
    if re.search(_DESKTOP, name):
        return "desktop"
    return "edge" if tdp_w is not None and tdp_w <= 30 else "server"


def from_devices(devices: Iterable[Device]) -> pd.DataFrame:
    """Devices of the catalog in the columns of a device table, by name."""
    columns = [name for name in SPECS if name not in ("base_ghz", "memory_bandwidth_gbs")]
    rows = [
        {"device": d.name, "kind": d.kind, "isa": "", "memory_bandwidth_gbs": d.bandwidth_gbs}
        | {name: getattr(d, name) for name in columns}
        for d in devices
    ]
    found = pd.DataFrame(rows).drop_duplicates("device").set_index("device")
    found["base_ghz"] = np.nan
    return found.astype(dict.fromkeys(SPECS, float))


def read(paths: Iterable[Path]) -> pd.DataFrame:
    """Device tables joined by name; the first table that states a figure wins.

    Raises:
        ValueError: A table lacks ``device`` or ``kind``, or a kind is unknown; names the file.
    """
    joined: pd.DataFrame | None = None
    for path in paths:
        table = pd.read_csv(path).rename(
            columns={"name": "device", "bandwidth_gbs": "memory_bandwidth_gbs"}
        )
        missing = {"device", "kind"} - {*table.columns}
        if missing:
            raise ValueError(f"{path}: needed columns are missing: {', '.join(sorted(missing))}")
        wrong = table[~table["kind"].isin(KINDS)]
        if len(wrong):
            row = wrong.index[0]
            raise ValueError(
                f"{path}: row {row + 1} column 'kind' {table.at[row, 'kind']!r} is none of: "
                + ", ".join(KINDS)
            )
        table = table.drop_duplicates("device").set_index("device")
        joined = table if joined is None else joined.combine_first(table)
    if joined is None:
        raise ValueError("no device table was given")
    for name in SPECS:
        column = joined[name] if name in joined else pd.Series(np.nan, joined.index)
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
        joined[name] = numbers.where(np.isfinite(numbers) & (numbers > 0))
    if "isa" not in joined:
        joined["isa"] = ""
    return joined


def completed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with rates, bandwidth and watts that are never missing.

    Order of origin for each figure: stated; derived from the device's own parts (the CPU and the
    iGPU of an SoC; cores x clock x operations per cycle of a CPU); the median ratio to TDP or core
    of devices of the same kind and host class. What comes from a class is flagged.

    Args:
        table: From `read` or `from_devices`.

    Returns:
        Columns ``kind host tdp_w limit_w idle_w idle_stated fp32 fp16 int8 bandwidth cores amx
        memory_gb peak_imputed bandwidth_imputed tdp_imputed``, by device name.
    """
    found = pd.DataFrame(index=table.index)
    found["kind"] = table["kind"]
    names = table.index.to_series()
    tdp = table["tdp_w"].fillna(table["power_max_w"])
    found["host"] = [
        host_class(name, None if np.isnan(w) else w) for name, w in zip(names, tdp, strict=True)
    ]
    classes = found["kind"] + "/" + found["host"]
    cpu = found["kind"] == "cpu"
    found["cores"] = table["cores"]
    found["amx"] = cpu & (
        table["isa"].astype(object).fillna("").astype(str).str.contains(_AMX)
        | names.str.contains(_AMX_NAMES)
    )
    cores = table["cores"].where(cpu, 1.0)
    found["tdp_imputed"] = tdp.isna()
    cores = cores.fillna(_class_median(cores, classes, found["kind"]))
    found["tdp_w"] = tdp.fillna(cores * _class_median(tdp / cores, classes, found["kind"]))
    found["limit_w"] = table["power_max_w"].fillna(found["tdp_w"])
    found["idle_stated"] = table["idle_w"].notna()
    found["idle_w"] = table["idle_w"].fillna(IDLE_SHARE * found["tdp_w"])
    found["memory_gb"] = table["memory_gb"]
    _rates(found, table, classes)
    bandwidth = table["memory_bandwidth_gbs"]
    bandwidth = bandwidth.fillna(_of_parts(bandwidth, names))
    found["bandwidth_imputed"] = bandwidth.isna()
    ratio = _class_median(bandwidth / found["tdp_w"], classes, found["kind"])
    found["bandwidth"] = 1e9 * bandwidth.fillna(ratio * found["tdp_w"])
    return found


def _rates(found: pd.DataFrame, table: pd.DataFrame, classes: pd.Series) -> None:
    """Adds ``fp32``, ``fp16`` and ``int8`` in FLOP/s and ``peak_imputed``."""
    cpu, names = found["kind"] == "cpu", table.index.to_series()
    fp32, fp16, int8 = (
        table[name] for name in ("peak_fp32_tflops", "peak_fp16_tflops", "peak_int8_tops")
    )
    wide = table["isa"].astype(object).fillna("").astype(str).str.contains("AVX-512|AMX")
    clock = table["cores"] * table["base_ghz"] * FLOPS_PER_CYCLE * np.where(wide, 2, 1) / 1e3
    clock *= np.where(names.str.contains("Atom x[56]"), 0.25, 1.0)  # SSE4 alone, 4 lanes
    fp32 = fp32.fillna(clock.where(cpu))
    fp32 = fp32.fillna(_of_parts(fp32, names, add=True))
    found["peak_imputed"] = fp32.isna() & fp16.isna() & int8.isna()
    ratio = _class_median(fp32.fillna(fp16 / 4) / found["tdp_w"], classes, found["kind"])
    fp32 = fp32.fillna(fp16 / 4).fillna(int8 / 8).fillna(ratio * found["tdp_w"])
    for name, stated, doubled in (("fp16", fp16, 1.0), ("int8", int8, 2.0)):
        times = np.where(found["amx"], _AMX_TIMES_FP32[name], _CPU_TIMES_FP32[name])
        basis = fp32 if name == "fp16" else found["fp16"] / 1e12
        other = fp32 * times if name == "fp16" else basis * doubled
        guess = pd.Series(np.where(cpu, fp32 * times, other), fp32.index)
        guess = guess.where(cpu | (name == "int8"), fp32)
        found[name] = 1e12 * np.maximum(stated.fillna(guess), basis)
    found["fp32"] = 1e12 * fp32


def _of_parts(values: pd.Series, names: pd.Series, *, add: bool = False) -> pd.Series:
    """A figure of ``X (CPU+iGPU)`` from ``X`` and ``X (iGPU)``; of ``X (a, b)`` from ``X``."""
    plain = names.str.replace(r" \(.*\)$", "", regex=True)
    cpu, igpu = (values.reindex(n).set_axis(values.index) for n in (plain, plain + " (iGPU)"))
    both = cpu.add(igpu, fill_value=0.0) if add else cpu.fillna(igpu)
    return both.where(names.str.contains(r"CPU\+iGPU"))


def _class_median(values: pd.Series, classes: pd.Series, kinds: pd.Series) -> pd.Series:
    """Median of each device's class; of its kind or of all where the class states fewer than 3."""
    medians = pd.Series(np.nan, values.index)
    for groups in (classes, kinds, pd.Series("", values.index)):
        known = values.groupby(groups)
        enough = known.transform("count") >= 3
        medians = medians.fillna(known.transform("median").where(enough))
    return medians.fillna(values.median())
