"""Column rules of a run file, and a fast check that most columns pass.

Pandera looks at a column for a millisecond or two, which for tens of columns is most of what a
small file costs. A column that passes here passes there and becomes the same values; one that does
not is left to `catalog.files.validation`, where pandera finds its faults and they are put into
words.
"""

from __future__ import annotations

import sys
import types
import typing
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from catalog.energy import SCOPE_OF_SOURCE
from catalog.records import COMPONENTS, Measurement

MAX_TEXT = 2000
"""Characters in one cell; citations are the longest."""
MAX_NUMBER = 1e18
"""Largest figure of a row or description; parameters and FLOP per token are the largest kinds."""

RANGES: dict[str, tuple[float, float]] = {
    "accuracy": (0, 1),
    "macro_f1": (0, 1),
    "cv": (0, 100),
    "batch_size": (1, 1e7),
    "rate_per_s": (1e-6, 1e9),
    "n_devices": (1, 1e6),
    "n_nodes": (1, 1e6),
    "n_active_devices": (1, 1e6),
    "n_test": (1, 1e9),
    "repeats": (1, 1e6),
}
"""Least and most of a number; all others are `POSITIVE`."""
POSITIVE = {"n_items", "runtime_s", "latency_p50_ms", "latency_p95_ms", "total_low_j"}
POSITIVE |= {"total_j", "total_high_j", "idle_w", "idle_resident_w", "power_limit_w"}
POSITIVE |= {"tokens_mean", "n_parameters", "flops_per_item", "peak_memory_mb"}
POSITIVE |= {f"{name}_j" for name in COMPONENTS}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a column may hold.

    Attributes:
        number: Numbers, else texts.
        whole: The numbers have no fraction.
        allowed: The only texts allowed; any where none is named.
        nullable: A cell may be empty.
        required: Every file has the column.
    """

    number: bool
    whole: bool
    allowed: tuple[str, ...]
    nullable: bool
    required: bool


def _inner(kind: Any) -> tuple[Any, bool]:
    """The type inside an optional one, and whether it was optional."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):  # a Literal makes the former
        (inner,) = [part for part in typing.get_args(kind) if part is not type(None)]
        return inner, True
    return kind, False


def _rule(field: msgspec.structs.FieldInfo) -> Rule:
    """The rule of one field of `Measurement`."""
    kind, optional = _inner(field.type)
    words = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    return Rule(
        number=kind in (float, int),
        whole=kind is int,
        allowed=tuple(SCOPE_OF_SOURCE) if field.name == "total_scope" else words,
        nullable=optional or not field.required,
        required=field.required,
    )


RULES = {field.name: _rule(field) for field in msgspec.structs.fields(Measurement)}
"""Columns of a run file -> what they may hold."""


def sound(name: str, column: NDArray[np.object_]) -> NDArray[Any] | None:
    """The values of a column if nothing is wrong with any, else `None`.

    Args:
        name: One of `RULES`.
        column: Cells as they came, `None` where one is empty.

    Returns:
        Floats (missing: NaN) or texts (missing: `None`).
    """
    return _numbers(name, column) if RULES[name].number else _texts(RULES[name], column)


def _numbers(name: str, column: NDArray[np.object_]) -> NDArray[np.float64] | None:
    """Numbers in their range."""
    try:
        values = column.astype(float)
    except (TypeError, ValueError, OverflowError):
        return None
    low, high = RANGES.get(name, (sys.float_info.min, MAX_NUMBER))
    inside = (values >= low) & (values <= high)
    if RULES[name].whole:
        inside &= np.floor(values) == values
    if RULES[name].nullable:
        inside |= np.isnan(values)
    return values if inside.all() else None


def _texts(rule: Rule, column: NDArray[np.object_]) -> NDArray[np.object_] | None:
    """Texts that may stand there; each is looked at once, however often it comes."""
    seen = {*column.tolist()}
    if not {*map(type, seen)} <= {str, type(None)}:  # a table may hold numbers for names
        column = as_texts(pd.Series(column, dtype=object).astype("str"))
        seen = {*column.tolist()}
    if None in seen and not rule.nullable:
        return None
    seen.discard(None)
    if rule.allowed:
        return column if seen <= {*rule.allowed} else None
    return column if all(len(text) <= MAX_TEXT and "\0" not in text for text in seen) else None


def as_texts(column: pd.Series[Any]) -> NDArray[np.object_]:
    """A column of texts with `None` where one is missing."""
    return column.astype(object).where(column.notna(), None).to_numpy()
