"""Published rows in a flat table (one row = one published measurement) as training rows.

Reads the column layout that `joulewise evaluate` documents, tolerates columns that are missing,
and averages repeats of one configuration, so that grids of near-duplicates count once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from advisor.estimator.setup import Setup
from advisor.estimator.training_rows import Rows
from advisor.evaluation.experts import active_parameters
from catalog.energy import SCOPE_OF_SOURCE
from catalog.files.csv_dialect import other_delimiter
from catalog.records import Device, Kind, Scope

REQUIRED = ("source", "model", "device", "energy_scope", "runtime_s_per_inference")
MEASURED = "energy_j_per_inference"
INPUTS = (
    "source",
    "task",
    "model",
    "model_params",
    "precision",
    "batch_size",
    "seq_len_or_tokens",
    "device",
    "n_devices",
    "n_active_devices",
    "energy_scope",
    "runtime_s_per_inference",
    "flops_per_inference",
    "device_type",
    "host",
    "flag",
)
"""Columns a prediction may use; the runtime is the only one read inside a measured window."""
CONFIGURATION = tuple(
    name
    for name in INPUTS
    if name not in ("runtime_s_per_inference", "flops_per_inference", "model_params")
)
_DEVICE_COLUMNS = {"device": "name", "memory_bandwidth_gbs": "bandwidth_gbs"}


class BadTableError(ValueError):
    """A table that cannot be used; the text names the file, column and what is needed."""


def read_csv(path: Path) -> pd.DataFrame:
    """The cells of a CSV file, plain or compressed.

    Raises:
        BadTableError: Unreadable, or its cells are not separated by commas.
    """
    try:
        reason = other_delimiter(list(pd.read_csv(path, nrows=0).columns))
        if reason is None:
            return pd.read_csv(path, low_memory=False)
    except OSError as error:
        raise BadTableError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadTableError(f"{path}: is no text, so no CSV") from error
    except pd.errors.EmptyDataError as error:
        raise BadTableError(f"{path}: is empty") from error
    except ValueError as error:
        raise BadTableError(f"{path}: cannot be read as CSV: {error}") from error
    raise BadTableError(f"{path}: {reason}")


def _columns(table: pd.DataFrame) -> str:
    """The columns a table has, cut short."""
    names = [str(name) for name in table.columns]
    return ", ".join(names[:20]) + (" ..." if len(names) > 20 else "")


def read(path: Path) -> pd.DataFrame:
    """A table of published rows.

    Raises:
        BadTableError: Unreadable, a needed column is missing, or a number is none.
    """
    table = read_csv(path)
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise BadTableError(
            f"{path}: needed columns are missing: {', '.join(missing)}; it has {_columns(table)}"
        )
    for name in (*INPUTS, MEASURED):
        if name not in table:
            table[name] = np.nan
    for name in _NAMES:
        _refuse(path, table, name, table[name].isna(), "is empty")
    scopes = table["energy_scope"]
    unknown = ~scopes.astype(str).isin(SCOPE_OF_SOURCE)
    _refuse(path, table, "energy_scope", unknown, f"is none of: {', '.join(SCOPE_OF_SOURCE)}")
    for name in _NUMBERS:
        table[name] = _numbers(path, table, name)
    return table


def _refuse(path: Path, table: pd.DataFrame, name: str, wrong: pd.Series, why: str) -> None:
    """Raises where a cell of a column is wrong, naming the first."""
    places = np.flatnonzero(wrong)
    if len(places):
        cell = table[name].iloc[places[0]]
        came = "" if pd.isna(cell) else f" {cell!r}"
        raise BadTableError(f"{path}: row {places[0] + 1} column {name!r}{came} {why}")


def _numbers(path: Path, table: pd.DataFrame, name: str) -> pd.Series:
    """A column of numbers above 0; what is not above 0, or infinite, is missing.

    Raises:
        BadTableError: A cell is no number.
    """
    numbers = pd.to_numeric(table[name], errors="coerce")
    _refuse(path, table, name, numbers.isna() & table[name].notna(), "is not a number")
    return numbers.where(np.isfinite(numbers) & (numbers > 0))


def impossible(path: Path) -> dict[str, tuple[int, int]]:
    """By column: cells with a number that is not above 0, or infinite, and counts as missing.

    Returns:
        How many there are and the row of the first; the first row of the file is 1.
    """
    table = read_csv(path)
    specs = ["cores", *_SPECS, *(own for own, name in _DEVICE_COLUMNS.items() if name in _SPECS)]
    found = {}
    for name in table.columns[table.columns.isin([*_NUMBERS, *specs])]:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(numbers.notna() & ~(np.isfinite(numbers) & (numbers > 0)))
        if len(wrong):
            found[str(name)] = len(wrong), int(wrong[0]) + 1
    return found


_NAMES = ("source", "model", "device", "energy_scope")
_NUMBERS = (
    "model_params",
    "batch_size",
    "seq_len_or_tokens",
    "n_devices",
    "n_active_devices",
    "runtime_s_per_inference",
    "flops_per_inference",
    MEASURED,
)


def read_devices(path: Path) -> dict[str, Device]:
    """Devices by name from a table in the layout of the bundled one or of `devices.csv`.

    Raises:
        BadTableError: Unreadable, without names, a device twice, an unknown kind or no number.
    """
    cells = read_csv(path)
    table = cells.rename(columns=_DEVICE_COLUMNS)
    missing = [own for own, name in (("device", "name"), ("kind", "kind")) if name not in table]
    if missing:
        raise BadTableError(
            f"{path}: needed columns are missing: {', '.join(missing)}; it has {_columns(cells)}"
        )
    names = "device" if "device" in cells else "name"
    _refuse(path, cells, names, cells[names].isna(), "is empty")
    _refuse(path, cells, names, cells[names].duplicated(), "is listed twice")
    kinds = get_args(Kind)
    _refuse(path, table, "kind", ~table["kind"].isin(kinds), f"is none of: {', '.join(kinds)}")
    for name in (*_SPECS, "cores"):
        if name in table:
            table[name] = _numbers(path, table, name)
    found = {}
    for row in table.to_dict("records"):
        name, cores = str(row["name"]), row.get("cores")
        given: dict[str, Any] = {key: row[key] for key in _SPECS if pd.notna(row.get(key))}
        found[name] = Device(
            name=name, kind=row["kind"], cores=int(cores) if pd.notna(cores) else None, **given
        )
    return found


_SPECS = (
    "tdp_w",
    "power_max_w",
    "idle_w",
    "peak_fp32_tflops",
    "peak_fp16_tflops",
    "peak_int8_tops",
    "memory_gb",
    "bandwidth_gbs",
)


def source_of(name: str) -> str:
    """The measuring team behind a source: rounds and versions of one are not independent."""
    return re.sub(r"[\s(-]*(\(.*|v\d.*)$", "", name).strip() or name


def _kind(text: object) -> Kind:
    """The kind of a device the table lacks; a GPU where the row does not say."""
    kinds: dict[object, Kind] = {"cpu": "cpu", "npu": "npu", "soc": "soc"}
    return kinds.get(text, "gpu")


def _scope(text: str) -> Scope:
    """Which of the three scopes a source's word means."""
    if text not in SCOPE_OF_SOURCE:
        allowed = ", ".join(SCOPE_OF_SOURCE)
        raise BadTableError(f"column 'energy_scope': {text!r} is not known; allowed: {allowed}")
    return SCOPE_OF_SOURCE[text]


def _setup(row: Mapping[str, Any], devices: Mapping[str, Device]) -> Setup:
    """One row as a setup; a device the table lacks has a kind and no specs."""

    def value(name: str) -> Any:
        return None if pd.isna(row[name]) else row[name]

    flag, name = str(row["flag"]), str(row["device"])
    return Setup(
        device=devices.get(name) or Device(name=name, kind=_kind(row["device_type"])),
        n_parameters=value("model_params"),
        n_active_parameters=active_parameters(str(row["model"])),
        runtime_s=value("runtime_s_per_inference"),
        batch_size=value("batch_size"),
        tokens=value("seq_len_or_tokens"),
        precision=None if value("precision") is None else str(row["precision"]),
        scope=_scope(str(row["energy_scope"])),
        n_devices=value("n_devices"),
        n_active=value("n_active_devices"),
        flops=value("flops_per_inference"),
        llm="llm" in flag,
        classical="classical" in flag,
        startup="startup" in flag,
        source=source_of(str(row["source"])),
        pair=f"{row['model']}|{row['task']}",
    )


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with a runtime; `evaluate` says how many others there were."""
    return table[table["runtime_s_per_inference"].notna()]


def averaged(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each configuration: geometric means of runtime and energy over repeats."""
    kept = usable(table)
    kept = kept[kept[MEASURED].notna()]
    logs = kept.assign(
        **{name: np.log(kept[name]) for name in (MEASURED, "runtime_s_per_inference")}
    )
    grouped = logs.groupby(list(CONFIGURATION), dropna=False, sort=True, as_index=False).agg(
        {
            MEASURED: "mean",
            "runtime_s_per_inference": "mean",
            "model_params": "first",
            "flops_per_inference": "first",
        }
    )
    for name in (MEASURED, "runtime_s_per_inference"):
        grouped[name] = np.exp(grouped[name])
    return grouped


def rows(table: pd.DataFrame, devices: Mapping[str, Device]) -> Rows:
    """A table of `read` (or `averaged`) as rows of the estimator; unmeasured energies are NaN."""
    cells = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
    setups = [_setup(row, devices) for row in cells]
    sources = [setup.source or "" for setup in setups]
    names = [setup.device.name for setup in setups]
    scopes = table["energy_scope"].astype(str).tolist()
    units = [f"{s}|{d}|{c}" for s, d, c in zip(sources, names, scopes, strict=True)]
    works = [f"{unit}|{task}" for unit, task in zip(units, table["task"].tolist(), strict=True)]
    return Rows(
        setups,
        np.log(table[MEASURED].to_numpy(dtype=float)),
        table["model"].astype(str).tolist(),
        names,
        sources,
        units,
        works,
    )
