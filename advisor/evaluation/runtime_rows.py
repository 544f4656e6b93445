"""Tables of published runtimes, in the layout of `data/runtime`: reading and checks.

Bad columns are an error that names the file; a row that cannot be used is left out with a note, or
refused with its number and the reason where it was to be predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from advisor.estimator.profiles import NUMBERS, REQUIRED, TEXT, profile_columns
from advisor.estimator.table import Table, table, take
from advisor.evaluation import device_tables
from advisor.evaluation.published_rows import BadTableError, read_csv

MEASURED = "runtime_s_per_item"


class Refusal(msgspec.Struct, frozen=True):
    """A row that is not predicted: its number in the table (0 is the first) and why."""

    row: int
    device: str
    reason: str


class RuntimeRows(msgspec.Struct, frozen=True):
    """Rows of a table with their profiles.

    Attributes:
        profiles: From `advisor.estimator.profiles`; its index is the number of each row.
        log_seconds: Natural log of measured seconds per item; NaN where there are none.
        refused: Rows without a profile.
    """

    profiles: pd.DataFrame
    log_seconds: np.ndarray[tuple[int], np.dtype[np.float64]]
    refused: list[Refusal]


def read_hardware(devices: Path, more: Sequence[Path] = ()) -> Table:
    """Device tables, completed.

    Raises:
        BadTableError: A table is unreadable, lacks a column or has an unknown kind.
    """
    try:
        return device_tables.completed(device_tables.read([devices, *more]))
    except (OSError, ValueError) as error:
        raise BadTableError(str(error)) from error


def read(path: Path, machines: Table) -> RuntimeRows:
    """A table of runtimes; rows on devices that no table lists are refused.

    Args:
        path: CSV, plain or compressed.
        machines: From `read_hardware`.

    Raises:
        BadTableError: Unreadable, a needed column is missing, or a cell of numbers holds none.
    """
    given = read_csv(path)
    missing = [name for name in (*REQUIRED, MEASURED) if name not in given]
    if missing:
        raise BadTableError(f"{path}: needed columns are missing: {', '.join(missing)}")
    for name in NUMBERS:
        if name in given:
            numbers = pd.to_numeric(given[name], errors="coerce")
            wrong = np.flatnonzero(numbers.isna() & given[name].notna())
            if len(wrong):
                cell = given[name].iloc[wrong[0]]
                raise BadTableError(
                    f"{path}: row {wrong[0] + 1} column {name!r} {cell!r} is not a number"
                )
    names = given["device"].astype(object).fillna("").astype(str)
    known = names.isin(machines["device"].tolist())
    refused = [
        Refusal(int(row), names[row], "device is in no device table; give its specs")
        for row in given.index[~known]
    ]
    kept = given[known].reindex(columns=[*TEXT, *NUMBERS])
    measured = pd.to_numeric(kept[MEASURED], errors="coerce").astype(float)
    measured = measured.where(np.isfinite(measured) & (measured > 0))
    return RuntimeRows(profiles_of(kept, machines), np.log(measured.to_numpy(dtype=float)), refused)


def profiles_of(rows: pd.DataFrame, machines: Table) -> pd.DataFrame:
    """The profile of each row of a data frame; see `profile_columns`."""
    part = take(machines, device_tables.places(rows, machines))
    return pd.DataFrame(profile_columns(table(rows), part, len(rows)), rows.index)


def measured(rows: RuntimeRows) -> RuntimeRows:
    """The rows that have a runtime."""
    kept = np.isfinite(rows.log_seconds)
    return RuntimeRows(rows.profiles[kept], rows.log_seconds[kept], rows.refused)
