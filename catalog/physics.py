"""The physics of a run file: what holds between the columns of well-typed rows.

Energies come with labels, bounds stand in order, and no mean power lies beyond what the device
and its host could have drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from catalog.energy import SCOPE_OF_SOURCE
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
"""Nominal power taken for a chip whose TDP nobody stated, in this check only."""
UNSTATED_DEVICES = 8
"""Devices a published total may cover where the source prints no count."""
FORMULA = r"[=+\-@\t\r\n]"
"""How a text begins that a spreadsheet may run as a formula (OWASP, CSV injection)."""
NO_FORMULA = "must not begin with = + - @ or a control character"
_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(Measurement)
    if field.name in KEY and isinstance(field.default, str)
}
"""What an empty cell of the key stands for."""


def _numeric(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column as floats, all missing where the file has none."""
    if name not in frame:
        return pd.Series(np.nan, index=frame.index)
    return frame[name].astype(float)


def _there(frame: pd.DataFrame, name: str) -> pd.Series[bool]:
    """Which rows have a value in a column."""
    return frame[name].notna() if name in frame else pd.Series(False, index=frame.index)


def _energy_problems(frame: pd.DataFrame) -> list[tuple[pd.Series[bool], str, str]]:
    """Faults of energies and their labels: (rows at fault, column, message)."""
    faults = [
        (
            _there(frame, f"{name}_j") != _there(frame, f"{name}_label"),
            f"{name}_label",
            f"{name}_j and {name}_label come together",
        )
        for name in COMPONENTS
    ]
    totals = _there(frame, "total_j") | _there(frame, "total_high_j")
    for name in ("total_label", "total_scope"):
        message = f"a total (total_j or total_high_j) and {name} come together"
        faults.append((totals != _there(frame, name), name, message))
    value, low = _numeric(frame, "total_j"), _numeric(frame, "total_low_j")
    high = _numeric(frame, "total_high_j")
    disorder = (low > value) | (value > high) | (low > high)
    faults.append((disorder, "total_j", "total_low_j <= total_j <= total_high_j must hold"))
    return faults


def _power_problems(
    frame: pd.DataFrame, devices: Mapping[str, Device]
) -> list[tuple[pd.Series[bool], str, str]]:
    """Rows whose mean power the device could not have drawn."""
    known = [devices.get(name) for name in frame["device"]]
    nominal = pd.Series(
        [
            max(chip.tdp_w or 0, chip.power_max_w or 0) or UNKNOWN_CHIP_W if chip else np.nan
            for chip in known
        ],
        index=frame.index,
    )
    stated = pd.Series(
        [(chip.power_max_w or chip.tdp_w or np.nan) if chip else np.nan for chip in known],
        index=frame.index,
    )
    on_cpu = pd.Series([chip is not None and chip.kind == "cpu" for chip in known], frame.index)
    runtime = _numeric(frame, "runtime_s")
    count = _numeric(frame, "n_devices").fillna(1)
    chips = POWER_FACTOR * nominal * count
    host = HOST_POWER_W * _numeric(frame, "n_nodes").fillna(1)
    unstated = POWER_FACTOR * nominal * _numeric(frame, "n_devices").fillna(UNSTATED_DEVICES)
    scopes = frame["total_scope"] if "total_scope" in frame else pd.Series(None, frame.index)
    total = unstated + host.where(~scopes.isin(DEVICE_SCOPES), 0)
    limits = {
        "gpu_j": chips,
        "npu_j": chips,
        "board_j": chips,
        "cpu_j": chips.where(on_cpu, host),
        "dram_j": host,
        "wall_j": chips + host,
        "total_j": total,
        "total_low_j": total,
    }
    return [
        *(
            _too_much(_numeric(frame, column) / runtime, limits[column], column)
            for column in limits
        ),
        *_too_little(frame, runtime, stated * count, on_cpu),
    ]


DEVICE_SCOPES = [word for word, scope in SCOPE_OF_SOURCE.items() if scope == "device"]


def _too_much(
    watts: pd.Series[Any], limit: pd.Series[Any], column: str
) -> tuple[pd.Series[bool], str, str]:
    """Rows whose mean power is above a limit."""
    wrong = watts > limit
    worst = (
        f"e.g. {watts[wrong].iloc[0]:,.4g} W of at most {limit[wrong].iloc[0]:,.4g} W"
        if (wrong.any())
        else ""
    )
    return (
        wrong,
        column,
        f"mean power (joules / runtime_s) is above what the device and host can draw, {worst} "
        f"({POWER_FACTOR:g} x maximum power x n_devices; a host may add {HOST_POWER_W:g} W)",
    )


def _too_little(
    frame: pd.DataFrame, runtime: pd.Series[Any], nominal: pd.Series[Any], on_cpu: pd.Series[Any]
) -> list[tuple[pd.Series[bool], str, str]]:
    """Measured device energies below what the chip draws doing nothing."""
    found = []
    for name in ("gpu", "npu", "board", "cpu"):
        column = f"{name}_j"
        if column not in frame or f"{name}_label" not in frame:
            continue
        own = on_cpu if name == "cpu" else pd.Series(True, index=frame.index)
        low = _numeric(frame, column) / runtime < LEAST_SHARE * nominal
        wrong = low & own & (frame[f"{name}_label"] == "measured")
        message = (
            f"mean power (joules / runtime_s) is below {LEAST_SHARE:.1%} of the device's maximum; "
            "are these joules, and of the whole window?"
        )
        found.append((wrong, column, message))
    return found


def _accuracy_problems(frame: pd.DataFrame) -> list[tuple[pd.Series[bool], str, str]]:
    """Accuracies that belong to no inference row."""
    if "phase" not in frame:  # the default phase is inference
        return []
    wrong = _there(frame, "accuracy") & frame["phase"].notna() & (frame["phase"] != "inference")
    return [(wrong, "accuracy", "only rows with phase=inference carry an accuracy")]


def _rate_problems(frame: pd.DataFrame) -> list[tuple[pd.Series[bool], str, str]]:
    """Request rates of rows that serve no requests."""
    server = frame["scenario"].eq("server") if "scenario" in frame else False
    wrong = _there(frame, "rate_per_s") & ~pd.Series(server, frame.index).fillna(False)
    return [(wrong, "rate_per_s", "only rows with scenario=server carry a rate")]


def _order_problems(frame: pd.DataFrame) -> list[tuple[pd.Series[bool], str, str]]:
    """Pairs of numbers that stand the wrong way round."""
    pairs = (("n_active_devices", "n_devices"), ("latency_p50_ms", "latency_p95_ms"))
    return [
        (_numeric(frame, low) > _numeric(frame, high), low, f"must not be above {high}")
        for low, high in pairs
    ]


def _is_date(text: object) -> bool:
    """Whether a text is an ISO 8601 date or time."""
    try:
        datetime.fromisoformat(str(text))
    except ValueError:
        return False
    return True


def _text_problems(frame: pd.DataFrame) -> list[tuple[pd.Series[bool], str, str]]:
    """Dates that are none, and texts a spreadsheet would run as a formula."""
    found = []
    if "measured_at" in frame:
        dates = frame["measured_at"]
        wrong = dates.notna() & ~dates.map(_is_date, na_action="ignore").eq(True)
        found.append((wrong, "measured_at", "must be an ISO 8601 date or time"))
    for name in frame.select_dtypes(include=["str", "object"]).columns:
        starts = frame[name].astype("str").str.match(FORMULA, na=False) & frame[name].notna()
        found.append((starts, str(name), NO_FORMULA))
    return found


def row_problems(frame: pd.DataFrame, devices: Mapping[str, Device]) -> list[tuple[int, str, str]]:
    """Cross-column faults of well-typed rows as (index, column, message)."""
    rules: list[Callable[[], list[tuple[pd.Series[bool], str, str]]]] = [
        lambda: _energy_problems(frame),
        lambda: _power_problems(frame, devices),
        lambda: _accuracy_problems(frame),
        lambda: _rate_problems(frame),
        lambda: _order_problems(frame),
        lambda: _text_problems(frame),
    ]
    found = []
    for rule in rules:
        for wrong, column, message in rule():
            found += [(int(index), column, message) for index in frame.index[wrong.fillna(False)]]
    key = [name for name in KEY if name in frame]
    twice = frame[key].fillna(_DEFAULTS).duplicated(keep=False)
    message = f"duplicate key: another row has the same {', '.join(key)}"
    found += [(int(index), "run_id", message) for index in frame.index[twice]]
    return sorted(found)
