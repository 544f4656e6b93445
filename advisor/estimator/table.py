"""Named columns of equal length: a struct of arrays, and the few operations the models need.

Plain NumPy, as a data frame would cost more than the arithmetic: a service asks about one setup
as often as about a thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Column = NDArray[Any]
Table = dict[str, Column]
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def table(given: pd.DataFrame | Mapping[str, Column]) -> Table:
    """A data frame or a mapping as named columns; nothing is copied that need not be."""
    if isinstance(given, Mapping):
        return dict(given)
    return {str(name): given[name].to_numpy() for name in given.columns}


def size(columns: Mapping[str, Column]) -> int:
    """Rows of a table."""
    return len(next(iter(columns.values())))


def take(columns: Mapping[str, Column], chosen: Column) -> Table:
    """The rows where a mask holds, or at some positions."""
    return {name: values[chosen] for name, values in columns.items()}


def joined(tables: Sequence[Mapping[str, Column]]) -> Table:
    """Tables of the same columns, one under the other."""
    return {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}


def by_value(values: Column, function: Callable[[Any], Any]) -> Column:
    """A function of each value, called once for each that differs."""
    known = {value: function(value) for value in set(values.tolist())}
    return np.array([known[value] for value in values.tolist()])


def texts(columns: Mapping[str, Column], name: str, n: int) -> Column:
    """A column as text; blank where it is missing."""
    if name not in columns:
        return np.full(n, "", dtype=object)
    values = columns[name].tolist()
    if {*map(type, values)} == {str}:
        return np.asarray(columns[name], dtype=object)
    return np.array(
        ["" if v is None or v != v else v if isinstance(v, str) else str(v) for v in values],
        dtype=object,
    )


def numbers(columns: Mapping[str, Column], name: str, n: int) -> Array:
    """A column of numbers above 0; NaN where it is missing or no such number."""
    if name not in columns:
        return np.full(n, np.nan)
    values = np.asarray(columns[name], dtype=float)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def filled(values: Array, default: Array | float) -> Array:
    """Numbers with a default where there are none."""
    return np.where(np.isnan(values), default, values)


def text_pairs(one: Column, two: Column) -> Column:
    """Two text columns joined by a bar."""
    pairs = zip(one.tolist(), two.tolist(), strict=True)
    return np.array([f"{a}|{b}" for a, b in pairs], dtype=object)
