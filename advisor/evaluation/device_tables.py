"""Tables of devices from files: read, joined by name, and completed as the models read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from advisor.estimator import hardware
from advisor.estimator.table import Column, Table


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
        wrong = table[~table["kind"].isin(hardware.KINDS)]
        if len(wrong):
            row = wrong.index[0]
            raise ValueError(
                f"{path}: row {row + 1} column 'kind' {table.at[row, 'kind']!r} is none of: "
                + ", ".join(hardware.KINDS)
            )
        table = table.drop_duplicates("device").set_index("device")
        joined = table if joined is None else joined.combine_first(table)
    if joined is None:
        raise ValueError("no device table was given")
    for name in hardware.SPECS:
        column = joined[name] if name in joined else pd.Series(np.nan, joined.index)
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
        joined[name] = numbers.where(np.isfinite(numbers) & (numbers > 0))
    if "isa" not in joined:
        joined["isa"] = ""
    return joined


def frame(columns: Table) -> pd.DataFrame:
    """Columns of a device table as a data frame by name."""
    return pd.DataFrame(columns).set_index("device")


def completed(given: pd.DataFrame) -> Table:
    """Completed specs of the devices of a data frame; see `advisor.estimator.hardware.completed`.

    Args:
        given: By device name: ``kind`` and `advisor.estimator.hardware.SPECS`, perhaps ``isa``.
    """
    columns: Table = {"device": np.array(given.index.astype(str), dtype=object)}
    columns["kind"] = given["kind"].to_numpy(dtype=object)
    isa = given["isa"] if "isa" in given else pd.Series("", given.index)
    columns["isa"] = isa.astype(object).fillna("").astype(str).to_numpy(dtype=object)
    columns |= {name: given[name].to_numpy(dtype=float) for name in hardware.SPECS}
    return hardware.completed(columns)


def places(rows: pd.DataFrame, machines: Table) -> Column:
    """Place of each row's device among completed devices; every one must be among them."""
    known = {str(name): place for place, name in enumerate(machines["device"])}
    return np.array([known[str(name)] for name in rows["device"]], dtype=np.intp)
