"""Consistency of a run file: checks between the columns of well-typed rows, physics included.

A table comes as arrays by column: of floats, NaN where a number is missing, or of texts, `None`
where one is missing. A small run file has few rows and many columns, so that what is done for each
column is done without a table library.

Energies come with labels, bounds stand in order, and no mean power lies beyond what the device
and its host could have drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from catalog.energy import SCOPE_OF_SOURCE
from catalog.records import BACKENDS, COMPONENTS, KEY, Device, Measurement

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
FORMULA = r"[=+\-@\t\r\n]"
"""How a text begins that a spreadsheet may run as a formula (OWASP, CSV injection)."""
BACKEND = r"[a-z][a-z0-9_.-]{1,39}"
"""Names of serving backends."""
NO_FORMULA = "must not begin with = + - @ or a control character"
_DEFAULTS = {
    field.name: field.default
    for field in msgspec.structs.fields(Measurement)
    if field.name in KEY and isinstance(field.default, str)
}
"""What an empty cell of the key stands for."""


Cells = Mapping[str, NDArray[Any]]
"""Columns of one length by name: of floats (missing: NaN) or of texts (missing: `None`)."""
Fault = tuple[NDArray[np.bool_], str, str]
"""Which rows are at fault, in which column, and what is wrong."""


def rows_of(cells: Cells) -> int:
    """How many rows a table has."""
    return len(next(iter(cells.values()), ()))


def _numeric(cells: Cells, name: str) -> NDArray[np.float64]:
    """A column of numbers, all missing where the file has none."""
    return cells[name] if name in cells else np.full(rows_of(cells), np.nan)


def _present(cells: Cells, name: str) -> NDArray[np.bool_]:
    """Which rows have a value in a column."""
    if name not in cells:
        return np.zeros(rows_of(cells), bool)
    column = cells[name]
    return ~np.isnan(column) if column.dtype == float else column != None  # noqa: E711


def _which(cells: Cells, name: str, wanted: Callable[[str], object]) -> NDArray[np.bool_]:
    """Which rows have a text that is wanted; a text that comes often is looked at once."""
    column = cells[name].tolist() if name in cells else []
    found = {text for text in {*column} - {None} if wanted(text)}
    if not found:
        return np.zeros(rows_of(cells), bool)
    return np.fromiter((text in found for text in column), bool, len(column))


def _energy_problems(cells: Cells) -> Iterator[Fault]:
    """Energies, their labels and their bounds."""
    for name in COMPONENTS:
        alone = _present(cells, f"{name}_j") != _present(cells, f"{name}_label")
        yield alone, f"{name}_label", f"{name}_j and {name}_label come together"
    totals = _present(cells, "total_j") | _present(cells, "total_high_j")
    for name in ("total_label", "total_scope"):
        message = f"a total (total_j or total_high_j) and {name} come together"
        yield totals != _present(cells, name), name, message
    value, low = _numeric(cells, "total_j"), _numeric(cells, "total_low_j")
    high = _numeric(cells, "total_high_j")
    disorder = (low > value) | (value > high) | (low > high)
    yield disorder, "total_j", "total_low_j <= total_j <= total_high_j must hold"


def _power_problems(cells: Cells, devices: Mapping[str, Device]) -> Iterator[Fault]:
    """Rows whose mean power the device could not have drawn."""
    names = cells["device"].tolist()
    known = {name: chip for name in {*names} if (chip := devices.get(name))}
    most = {n: max(chip.tdp_w or 0, chip.power_max_w or 0) for n, chip in known.items()}
    nominal = np.array([most[n] or UNKNOWN_CHIP_W if n in known else np.nan for n in names])
    stated = {n: chip.power_max_w or chip.tdp_w or np.nan for n, chip in known.items()}
    on_cpu = _which(cells, "device", lambda name: name in known and known[name].kind == "cpu")
    runtime, devices_counted = _numeric(cells, "runtime_s"), _numeric(cells, "n_devices")
    count = np.nan_to_num(devices_counted, nan=1)
    chips = POWER_FACTOR * nominal * count
    host = HOST_POWER_W * np.nan_to_num(_numeric(cells, "n_nodes"), nan=1)
    unstated = POWER_FACTOR * nominal * np.nan_to_num(devices_counted, nan=UNSTATED_DEVICES)
    of_devices = _which(cells, "total_scope", lambda word: SCOPE_OF_SOURCE.get(word) == "device")
    total = unstated + np.where(of_devices, 0, host)
    limits = {
        "gpu_j": chips,
        "npu_j": chips,
        "board_j": chips,
        "cpu_j": np.where(on_cpu, chips, host),
        "dram_j": host,
        "wall_j": chips + host,
        "total_j": total,
        "total_low_j": total,
    }
    for column, limit in limits.items():
        if column in cells:
            yield _above_most(cells[column] / runtime, limit, column)
    rated = np.array([stated.get(name, np.nan) for name in names], float)
    yield from _below_least(cells, runtime, rated * count, on_cpu)


def _above_most(watts: NDArray[np.float64], limit: NDArray[np.float64], column: str) -> Fault:
    """Rows whose mean power is above a limit."""
    wrong = watts > limit
    worst = (
        f"e.g. {watts[wrong][0]:,.4g} W of at most {limit[wrong][0]:,.4g} W" if wrong.any() else ""
    )
    return (
        wrong,
        column,
        f"mean power (joules / runtime_s) is above what the device and host can draw, {worst} "
        f"({POWER_FACTOR:g} x maximum power x n_devices; a host may add {HOST_POWER_W:g} W)",
    )


def _below_least(
    cells: Cells,
    runtime: NDArray[np.float64],
    nominal: NDArray[np.float64],
    on_cpu: NDArray[np.bool_],
) -> Iterator[Fault]:
    """Measured device energies below what the chip draws doing nothing."""
    message = (
        f"mean power (joules / runtime_s) is below {LEAST_SHARE:.1%} of the device's maximum; "
        "are these joules, and of the whole window?"
    )
    for name in ("gpu", "npu", "board", "cpu"):
        column = f"{name}_j"
        if column in cells:
            low = cells[column] / runtime < LEAST_SHARE * nominal
            own = on_cpu if name == "cpu" else True
            measured = _which(cells, f"{name}_label", lambda label: label == "measured")
            yield low & own & measured, column, message


def _accuracy_problems(cells: Cells) -> Iterator[Fault]:
    """Accuracies that belong to no inference row; the default phase is inference."""
    other = _which(cells, "phase", lambda phase: phase != "inference")
    message = "only rows with phase=inference carry an accuracy"
    yield _present(cells, "accuracy") & other, "accuracy", message


def _rate_problems(cells: Cells) -> Iterator[Fault]:
    """Request rates of rows that serve no requests."""
    server = _which(cells, "scenario", lambda scenario: scenario == "server")
    message = "only rows with scenario=server carry a rate"
    yield _present(cells, "rate_per_s") & ~server, "rate_per_s", message


def _order_problems(cells: Cells) -> Iterator[Fault]:
    """Pairs of numbers that stand the wrong way round."""
    for low, high in (("n_active_devices", "n_devices"), ("latency_p50_ms", "latency_p95_ms")):
        yield _numeric(cells, low) > _numeric(cells, high), low, f"must not be above {high}"


def _is_date(text: str) -> bool:
    """Whether a text is an ISO 8601 date or time."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _text_problems(cells: Cells) -> Iterator[Fault]:
    """Dates that are none, and texts a spreadsheet would run as a formula."""
    undated = _which(cells, "measured_at", lambda text: not _is_date(text))
    yield undated, "measured_at", "must be an ISO 8601 date or time"
    unnamed = _which(cells, "backend", lambda text: not re.fullmatch(BACKEND, text))
    message = f"must be one of {', '.join(BACKENDS)}, or a vendor's runtime in lower case"
    yield unnamed, "backend", message
    for name, column in cells.items():
        if column.dtype == object:
            yield _which(cells, name, re.compile(FORMULA).match), name, NO_FORMULA


def _duplicate_keys(cells: Cells) -> Fault:
    """Rows whose key another one has too."""
    key = [name for name in KEY if name in cells]
    columns = [
        np.where(_present(cells, name), cells[name], _DEFAULTS.get(name)).tolist()  # type: ignore[arg-type]
        for name in key
    ]
    keys = list(zip(*columns, strict=True))
    seen = Counter(keys)
    twice = np.fromiter((seen[each] > 1 for each in keys), bool, len(keys))
    return twice, "run_id", f"duplicate key: another row has the same {', '.join(key)}"


def row_problems(cells: Cells, devices: Mapping[str, Device]) -> list[tuple[int, str, str]]:
    """Cross-column faults of well-typed rows as (place, column, message)."""
    found = []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for faults in (
            _energy_problems(cells),
            _power_problems(cells, devices),
            _accuracy_problems(cells),
            _rate_problems(cells),
            _order_problems(cells),
            _text_problems(cells),
            iter([_duplicate_keys(cells)]),
        ):
            for wrong, column, message in faults:
                found += [(place, column, message) for place in np.flatnonzero(wrong).tolist()]
    return sorted(found)
