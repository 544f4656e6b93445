"""Consistency of measured rows: checks between columns, physics included.

Energies come with labels, bounds stand in order, and no mean power lies beyond what the device
and its host could have drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pandas as pd
import pandera.pandas as pa

from catalog.energy import SCOPE_OF_SOURCE
from catalog.files.schema import rule
from catalog.records import COMPONENTS, KEY, Device, Measurement

POWER_FACTOR = 2.5
"""Mean power over nominal power above which a row is refused; turbo CPUs drew 2.7 x their
base TDP but stay below 2.5 x once the stated maximum counts."""
LEAST_SHARE = 0.002
"""Mean power over nominal power below which a measured row is refused; idle chips draw 5 % and
more, a throttled laptop CPU 1 %."""
HOST_POWER_W = 1500.0
"""Watts allowed for everything around the devices of one node."""
UNKNOWN_CHIP_W = 1000.0
"""Nominal power, watts, assumed for a chip without a stated TDP, in this check only."""
UNSTATED_DEVICES = 8
"""Devices a published total may cover where the source prints no count."""
_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(Measurement)
    if isinstance(field.default, str)
}
"""What an empty cell stands for."""
_OF_DEVICES = [word for word, scope in SCOPE_OF_SOURCE.items() if scope == "device"]


def with_power(rows: pd.DataFrame, devices: Mapping[str, Device]) -> pd.DataFrame:
    """Typed rows beside their mean power and its limits, watts, NaN where they are not known.

    Columns added for each energy, here ``gpu_j``: ``gpu_j_w``, ``gpu_j_most``, ``gpu_j_least``.
    """
    known = {name: devices[name] for name in rows["device"].unique() if name in devices}
    most = {n: max(chip.tdp_w or 0, chip.power_max_w or 0) for n, chip in known.items()}
    nominal = rows["device"].map({n: watts or UNKNOWN_CHIP_W for n, watts in most.items()})
    nominal = nominal.astype(float)
    rated = {n: chip.power_max_w or chip.tdp_w or np.nan for n, chip in known.items()}
    least = LEAST_SHARE * rows["device"].map(rated).astype(float) * rows["n_devices"].fillna(1)
    on_cpu = rows["device"].isin([n for n, chip in known.items() if chip.kind == "cpu"])
    chips = POWER_FACTOR * nominal * rows["n_devices"].fillna(1)
    host = HOST_POWER_W * rows["n_nodes"].fillna(1)
    total = POWER_FACTOR * nominal * rows["n_devices"].fillna(UNSTATED_DEVICES)
    total += host.where(~rows["total_scope"].isin(_OF_DEVICES), 0)
    limits = {
        **dict.fromkeys(("gpu_j", "npu_j", "board_j"), chips),
        "cpu_j": chips.where(on_cpu, host),
        "dram_j": host,
        "wall_j": chips + host,
        "total_j": total,
        "total_low_j": total,
    }
    added = {f"{name}_most": limit for name, limit in limits.items()}
    added |= {f"{name}_w": rows[name] / rows["runtime_s"] for name in limits}
    for name in ("gpu", "npu", "board", "cpu"):
        judged = (rows[f"{name}_label"] == "measured") & (on_cpu | (name != "cpu"))
        added[f"{name}_j_least"] = least.where(judged)
    return rows.assign(**added)


def _power_rules(energy: str) -> list[pa.Check]:
    """Limits of the mean power behind one column of joules; see `with_power`."""
    watts, most, least = f"{energy}_w", f"{energy}_most", f"{energy}_least"
    rules = [
        rule(
            energy,
            f"mean power (joules / runtime_s) of {{{watts}:,.4g}} W is above what the device and "
            f"host can draw, {{{most}:,.4g}} W ({POWER_FACTOR:g} x maximum power x n_devices; "
            f"a host may add {HOST_POWER_W:g} W)",
            lambda rows: ~(rows[watts] > rows[most]),
        )
    ]
    if energy in ("gpu_j", "npu_j", "board_j", "cpu_j"):
        message = (
            f"mean power (joules / runtime_s) of {{{watts}:,.4g}} W is below {LEAST_SHARE:.1%} of "
            "the device's maximum; are these joules, and of the whole window?"
        )
        rules.append(rule(energy, message, lambda rows: ~(rows[watts] < rows[least])))
    return rules


def _together(wording: str, energies: Sequence[str], word: str) -> pa.Check:
    """A word about energies stands where one of them does."""
    return rule(
        word,
        f"{wording} and {word} come together",
        lambda rows: rows[[*energies]].isna().all(axis=1) == rows[word].isna(),
    )


def _ordered(low: str, high: str) -> pa.Check:
    """One column is not above another."""
    return rule(low, f"must not be above {high}", lambda rows: ~(rows[low] > rows[high]))


_TOTALS = ("total_j", "total_high_j")
RULES = [
    *(_together(f"{name}_j", [f"{name}_j"], f"{name}_label") for name in COMPONENTS),
    _together("a total (total_j or total_high_j)", _TOTALS, "total_label"),
    _together("a total (total_j or total_high_j)", _TOTALS, "total_scope"),
    rule(
        "total_j",
        "total_low_j <= total_j <= total_high_j must hold",
        lambda rows: (
            ~(
                (rows["total_low_j"] > rows["total_j"])
                | (rows["total_j"] > rows["total_high_j"])
                | (rows["total_low_j"] > rows["total_high_j"])
            )
        ),
    ),
    *(
        check
        for energy in ("gpu_j", "npu_j", "board_j", "cpu_j", "dram_j", "wall_j")
        for check in _power_rules(energy)
    ),
    *_power_rules("total_j"),
    *_power_rules("total_low_j"),
    rule(
        "accuracy",
        "only rows with phase=inference carry an accuracy",
        lambda rows: rows["accuracy"].isna() | rows["phase"].isin(["inference", np.nan]),
    ),
    rule(
        "rate_per_s",
        "only rows with scenario=server carry a rate",
        lambda rows: rows["rate_per_s"].isna() | (rows["scenario"] == "server"),
    ),
    _ordered("n_active_devices", "n_devices"),
    _ordered("latency_p50_ms", "latency_p95_ms"),
    rule(
        "run_id",
        f"duplicate key: another row has the same {', '.join(KEY)}",
        lambda rows: ~rows[[*KEY]].fillna(_DEFAULTS).duplicated(keep=False),
    ),
]
"""Checks of rows with the columns of `with_power`."""
