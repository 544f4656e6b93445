"""Tests of `catalog.files.cells`: a quick look passes only what pandera does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.files.cells import RULES, sound
from catalog.files.validation import _column

TEXTS = ["nan", "NaN", "inf", "-inf", "1e999", "0", "-1", "1", "2.5", "1_000", " 5 ", "0x10"]
TEXTS += ["1e18", "1.1e18", "5e-324", "x" * 2000, "x" * 2001, "é" * 2000, "a\0b", "１２", "=1+1"]
TEXTS += ["measured", "modelled", "host", "wall", "server", "single", "inference", "train"]
OTHERS: list[Any] = [None, 1, 0, -3, 2.0, 2.5, float("nan"), float("inf"), True, 10**400, pd.NaT]
OTHERS += [np.float32(1.5), np.int64(3), 1e-310, pd.Timestamp("2026-01-01"), 1e18, 1.1e18]


def strict(name: str, cells: list[Any]) -> list[Any] | None:
    """The values of a column as pandera reads it, `None` where it refuses it."""
    schema = pa.DataFrameSchema({name: _column(name)}, strict=True, coerce=True)
    try:
        found = schema.validate(pd.DataFrame({name: pd.Series(cells, dtype=object)}), lazy=True)
    except pa.errors.SchemaErrors:
        return None
    return [None if pd.isna(cell) else cell for cell in found[name].tolist()]


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_passes_is_what_pandera_reads(name: str, data: st.DataObject) -> None:
    """A column comes with pandera's values, and only where pandera finds no fault in it."""
    fitting = [*RULES[name].allowed, "1", "2", None] if RULES[name].nullable else ["1", "2"]
    cells = data.draw(
        st.lists(st.sampled_from(fitting), min_size=1, max_size=3)
        | st.lists(st.sampled_from([*TEXTS, *OTHERS]), min_size=1, max_size=3)
    )
    found = sound(name, pd.Series(cells, dtype=object).to_numpy())
    if found is not None:
        assert [None if pd.isna(cell) else cell for cell in found.tolist()] == strict(name, cells)


@pytest.mark.parametrize("name", RULES)
def test_sound_cells_need_no_second_look(name: str) -> None:
    """Cells of an ordinary file pass, so that a small one costs little."""
    rule = RULES[name]
    cell = rule.allowed[0] if rule.allowed else "1"
    cells = [cell, cell, None] if rule.nullable else [cell, cell]
    assert sound(name, np.array(cells, dtype=object)) is not None
