"""Published rows in a flat table (one row = one published measurement) as training rows.

Reads the column layout that `joulewise evaluate` documents, tolerates columns that are missing,
and averages repeats of one configuration, so that grids of near-duplicates count once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from advisor.estimator import hardware
from advisor.estimator.profiles import MAXIMUM_TOKENS
from advisor.estimator.table import Table
from advisor.estimator.table import table as columns_of
from advisor.estimator.training_rows import Rows, rows_of
from advisor.evaluation import device_tables
from advisor.evaluation.experts import active_parameters
from catalog.energy import SCOPE_OF_SOURCE
from catalog.files.csv_dialect import other_delimiter
from catalog.records import Device, Kind

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
    """A table of published rows; those of an unknown scope are left out, see `unknown_scopes`.

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
    table = table[table["energy_scope"].astype(str).isin(SCOPE_OF_SOURCE)].copy()
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


def unknown_scopes(path: Path) -> dict[str, int]:
    """By word of ``energy_scope`` that means none of the three scopes: how many rows have it."""
    scopes = read_csv(path)["energy_scope"].astype(str)
    counts = scopes[~scopes.isin(SCOPE_OF_SOURCE)].value_counts().sort_index()
    return {str(word): int(count) for word, count in counts.items()}


def impossible(path: Path) -> dict[str, tuple[int, int]]:
    """By column: cells with a number that is not above 0, or infinite, and counts as missing.

    Returns:
        How many there are and the row of the first; the first row of the file is 1.
    """
    table = read_csv(path)
    specs = [*hardware.SPECS, "bandwidth_gbs"]
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


def read_devices(path: Path) -> pd.DataFrame:
    """Devices by name from a table in the layout of the bundled one or of `devices.csv`.

    Raises:
        BadTableError: Unreadable, without names, a device twice, an unknown kind or no number.
    """
    cells = read_csv(path)
    table = cells.rename(columns={"name": "device", "bandwidth_gbs": "memory_bandwidth_gbs"})
    missing = [name for name in ("device", "kind") if name not in table]
    if missing:
        raise BadTableError(
            f"{path}: needed columns are missing: {', '.join(missing)}; it has {_columns(cells)}"
        )
    names = "device" if "device" in cells else "name"
    _refuse(path, cells, names, cells[names].isna(), "is empty")
    _refuse(path, cells, names, cells[names].duplicated(), "is listed twice")
    kinds = get_args(Kind)
    _refuse(path, table, "kind", ~table["kind"].isin(kinds), f"is none of: {', '.join(kinds)}")
    table = table.set_index("device", drop=False)
    for name in hardware.SPECS:
        given = name in table
        table[name] = _numbers(path, table, name) if given else np.nan
    return table.drop(columns="device")


def machines(
    given: pd.DataFrame, tables: Sequence[pd.DataFrame], bundled: Iterable[Device]
) -> Table:
    """Completed specs of every device: as given, else as bundled, else its kind alone.

    Args:
        given: From `read_devices`.
        tables: Rows whose devices are needed.
        bundled: Devices of the catalog.
    """
    known = given.combine_first(device_tables.frame(hardware.from_devices(bundled)))
    for table in tables:
        named = table.drop_duplicates("device").set_index("device")["device_type"]
        for name in sorted({*map(str, named.index)} - {*known.index}):
            known.loc[name, "kind"] = _kind(named.get(name))
    if "isa" in known:
        known["isa"] = known["isa"].astype(object).fillna("")
    return device_tables.completed(known)


def source_of(name: str) -> str:
    """The measuring team behind a source: rounds and versions of one are not independent."""
    return re.sub(r"[\s(-]*(\(.*|v\d.*)$", "", name).strip() or name


def _kind(text: object) -> Kind:
    """The kind of a device the table lacks; a GPU where the row does not say."""
    kinds: dict[object, Kind] = {"cpu": "cpu", "npu": "npu", "soc": "soc"}
    return kinds.get(text, "gpu")


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


def rows(table: pd.DataFrame, specs: Table) -> Rows:
    """A table of `read` (or `averaged`) as rows of the estimator; unmeasured energies are NaN.

    MLPerf's 384 tokens are a maximum, the texts about half as long.

    Args:
        table: n rows.
        specs: From `machines`.
    """
    found = table.reset_index(drop=True)
    found["scope"] = found["energy_scope"].map(SCOPE_OF_SOURCE)
    maximum = found["source"].str.contains("MLPerf") & (found["seq_len_or_tokens"] == 384)
    tokens = found["seq_len_or_tokens"].where(~maximum, MAXIMUM_TOKENS)
    found["seq_len_or_tokens"] = tokens
    found["source"] = [source_of(str(name)) for name in found["source"]]
    models = found["model"].astype(str)
    known = {name: active_parameters(name) for name in models.unique()}
    found["active_params"] = models.map(known).astype(float).fillna(found["model_params"])
    measured = np.log(found[MEASURED].to_numpy(dtype=float))
    works = found["task"].astype(str).tolist()
    return rows_of(columns_of(found), specs, measured, models.tolist(), works)
