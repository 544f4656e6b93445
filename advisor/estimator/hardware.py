"""Data-sheet figures of devices as columns, missing ones imputed from devices of the same class.

In: device tables (`catalog.records.Device` or CSV in the layout of the bundled one). Out: one row
a device with peak rates, bandwidth and watts that are never missing, and flags for those that were
imputed. Rates in FLOP/s, bandwidth in B/s, power in watts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

import numpy as np

from advisor.estimator.table import Array, Column, Table, filled, joined, take, text_pairs
from catalog import reference_data
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


def from_devices(devices: Iterable[Device]) -> Table:
    """Devices of the catalog as columns of a device table, each name once."""
    known = list({device.name: device for device in reversed(list(devices))}.values())[::-1]
    found: Table = {
        "device": np.array([device.name for device in known], dtype=object),
        "kind": np.array([device.kind for device in known], dtype=object),
        "isa": np.array([";".join(device.isa) for device in known], dtype=object),
    }
    for name in SPECS:
        field = {"memory_bandwidth_gbs": "bandwidth_gbs"}.get(name, name)
        values = [getattr(device, field) for device in known]
        found[name] = np.array([np.nan if v is None else v for v in values], dtype=float)
    return found


def completed(table: Table) -> Table:
    """The table with rates, bandwidth and watts that are never missing.

    Order of origin for each figure: stated; derived from the device's own parts (the CPU and the
    iGPU of an SoC; cores x clock x operations per cycle of a CPU); the median ratio to TDP or core
    of devices of the same kind and host class. What comes from a class is flagged.

    Args:
        table: Columns ``device kind isa`` and `SPECS`, each device once.

    Returns:
        Columns ``device kind host tdp_w limit_w idle_w idle_stated fp32 fp16 int8 bandwidth cores
        amx memory_gb peak_imputed bandwidth_imputed tdp_imputed``.
    """
    names, kinds = [str(name) for name in table["device"]], table["kind"]
    tdp = filled(table["tdp_w"], table["power_max_w"])
    hosts = [host_class(n, None if np.isnan(w) else w) for n, w in zip(names, tdp, strict=True)]
    host = np.array(hosts, dtype=object)
    groups = [text_pairs(kinds, host), kinds, np.full(len(names), "", dtype=object)]
    cpu = kinds == "cpu"
    cores = np.where(cpu, table["cores"], 1.0)
    cores = filled(cores, _class_median(cores, groups))
    found: Table = {"device": table["device"], "kind": kinds, "host": host}
    found["cores"], found["memory_gb"] = table["cores"], table["memory_gb"]
    stated = [bool(re.search(_AMX, str(isa))) for isa in table["isa"]]
    named = [bool(re.search(_AMX_NAMES, name)) for name in names]
    found["amx"] = cpu & (np.array(stated, dtype=bool) | np.array(named, dtype=bool))
    found["tdp_imputed"] = np.isnan(tdp)
    found["tdp_w"] = filled(tdp, cores * _class_median(tdp / cores, groups))
    found["limit_w"] = filled(table["power_max_w"], found["tdp_w"])
    found["idle_stated"] = ~np.isnan(table["idle_w"])
    found["idle_w"] = filled(table["idle_w"], IDLE_SHARE * found["tdp_w"])
    _rates(found, table, groups)
    bandwidth = _filled_from_parts(table["memory_bandwidth_gbs"], names)
    found["bandwidth_imputed"] = np.isnan(bandwidth)
    ratio = _class_median(bandwidth / found["tdp_w"], groups)
    found["bandwidth"] = 1e9 * filled(bandwidth, ratio * found["tdp_w"])
    return found


def _rates(found: Table, table: Table, groups: Sequence[Column]) -> None:
    """Adds ``fp32``, ``fp16`` and ``int8`` in FLOP/s and ``peak_imputed``."""
    cpu, names = found["kind"] == "cpu", [str(name) for name in found["device"]]
    fp32, fp16, int8 = (
        table[name] for name in ("peak_fp32_tflops", "peak_fp16_tflops", "peak_int8_tops")
    )
    wide = np.array([bool(re.search("AVX-512|AMX", str(isa))) for isa in table["isa"]], dtype=bool)
    clock = table["cores"] * table["base_ghz"] * FLOPS_PER_CYCLE * np.where(wide, 2, 1) / 1e3
    small = np.array([bool(re.search("Atom x[56]", name)) for name in names], dtype=bool)
    clock = clock * np.where(small, 0.25, 1.0)  # SSE4 alone, 4 lanes
    fp32 = filled(fp32, np.where(cpu, clock, np.nan))
    fp32 = _filled_from_parts(fp32, names, add=True)
    found["peak_imputed"] = np.isnan(fp32) & np.isnan(fp16) & np.isnan(int8)
    ratio = _class_median(filled(fp32, fp16 / 4) / found["tdp_w"], groups)
    for other in (fp16 / 4, int8 / 8, ratio * found["tdp_w"]):
        fp32 = filled(fp32, other)
    times = {
        name: np.where(found["amx"], _AMX_TIMES_FP32[name], _CPU_TIMES_FP32[name])
        for name in ("fp16", "int8")
    }
    guess = np.where(cpu, fp32 * times["fp16"], fp32)
    found["fp16"] = 1e12 * np.maximum(filled(fp16, guess), fp32)
    guess = np.where(cpu, fp32 * times["int8"], 2 * found["fp16"] / 1e12)
    found["int8"] = 1e12 * np.maximum(filled(int8, guess), found["fp16"] / 1e12)
    found["fp32"] = 1e12 * fp32


def _filled_from_parts(values: Array, names: Sequence[str], *, add: bool = False) -> Array:
    """Missing figures of ``X (CPU+iGPU)`` from those of ``X`` and ``X (iGPU)``."""
    known = dict(zip(names, values.tolist(), strict=True))
    found = values.copy()
    for at, name in enumerate(names):
        if np.isnan(values[at]) and "CPU+iGPU" in name:
            plain = re.sub(r" \(.*\)$", "", name)
            parts = [known.get(each, np.nan) for each in (plain, f"{plain} (iGPU)")]
            own = [part for part in parts if not np.isnan(part)]
            if own:
                found[at] = sum(own) if add else own[0]
    return found


def _class_median(values: Array, groups: Sequence[Column]) -> Array:
    """Median of each device's class; of its kind or of all where the class states fewer than 3."""
    found = np.full(len(values), np.nan)
    for group in groups:
        for name in set(group.tolist()):
            own = group == name
            known = values[own & ~np.isnan(values)]
            if len(known) >= 3:
                found[own & np.isnan(found)] = np.median(known)
    return filled(found, float(np.nanmedian(values)) if (~np.isnan(values)).any() else np.nan)


@functools.cache
def _bundled() -> Table:
    """Completed specs of the bundled devices."""
    return completed(from_devices(reference_data.devices().values()))


@functools.lru_cache(maxsize=4096)
def of_device(device: Device) -> Table:
    """Completed specs of one device, one row; classes are those of the bundled table."""
    bundled = reference_data.devices()
    if bundled.get(device.name) == device:
        return take(_bundled(), _bundled()["device"] == device.name)
    others = [other for other in bundled.values() if other.name != device.name]
    return take(completed(from_devices([device, *others])), np.array([0]))


@functools.lru_cache(maxsize=256)
def _table(devices: tuple[Device, ...]) -> Table:
    """Completed specs of devices."""
    return joined([of_device(device) for device in devices])


def machines(devices: Sequence[Device]) -> Table:
    """Completed specs of devices, by name."""
    each = {id(device): device for device in devices}.values()
    return _table(tuple(dict.fromkeys(each)))
