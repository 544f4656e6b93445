"""Tests of `catalog.files.schema`: what fits a field comes as its value, what does not is named."""

from __future__ import annotations

from typing import Any

import msgspec
import pandas as pd
import pytest

from catalog.accuracy import Accuracy
from catalog.files.schema import FURTHER, broken, columns_of, is_number, rule, typed
from catalog.records import Measurement

CASES = [(kind, name) for kind in (Measurement, Accuracy) for name in kind.__struct_fields__]
FITTING: dict[str, Any] = {
    "measured_at": "2026-01-01T10:00:00+02:00",
    "backend": "onnxruntime",
    "self_reported": "True",
}


def faults(kind: type[msgspec.Struct], name: str, *cells: Any) -> list[str]:
    """What is said of the cells of one column."""
    found = typed(columns_of(kind), pd.DataFrame({name: pd.Series(cells, dtype=object)}))[1]
    return [f"{fault.row} {fault.message}" for fault in found if fault.column == name]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_field_takes_what_fits_and_names_what_does_not(
    kind: type[msgspec.Struct], name: str
) -> None:
    """Words and numbers as text; a NUL, a fraction and infinity are refused at their row."""
    column = columns_of(kind).columns[name]
    words = [str(c.statistics["allowed_values"][0]) for c in column.checks if c.name == "isin"]
    good = FITTING.get(name, words[0] if words else "1")
    rows, problems = typed(
        columns_of(kind), pd.DataFrame({name: pd.Series([good, good], dtype=object)})
    )
    assert not [problem for problem in problems if problem.column == name]
    assert rows[name].tolist() == [float(good) if is_number(column) else good] * 2
    bad = ["inf", "-1", "soon"] if is_number(column) else ["a\0b", "x" * 2001, "=1+1"]
    for cell in bad:
        (said, *_) = faults(kind, name, good, cell)
        assert said.startswith("2 "), said
    assert bool(faults(kind, name, good, None)) != column.nullable


def test_a_fault_says_what_came_and_what_is_allowed() -> None:
    """Ranges, words and whole numbers."""
    assert faults(Measurement, "accuracy", "85") == [
        "1 85.0: must be from 0 to 1 (a share: 91.3 % is 0.913)"
    ]
    assert faults(Measurement, "phase", "sleep") == [
        "1 'sleep': must be one of load, train, inference"
    ]
    assert faults(Measurement, "n_test", "2.5") == ["1 2.5: must be a whole number"]
    assert faults(Measurement, "gpu_j", "many") == ["1 'many' is not a number"]
    assert faults(Measurement, "watts", "1") == [
        f"None unknown column; allowed: {', '.join(Measurement.__struct_fields__)}"
    ]
    assert set(FURTHER) <= {name for _, name in CASES} | {"test_sha256"}


def test_a_rule_names_its_row_and_may_quote_it() -> None:
    """Columns in braces are those of the row at fault; a rule that breaks is no fault of a row."""
    rows = pd.DataFrame({"low": [1.0, 3.0, None], "high": [2.0, 2.0, 1.0]}, index=[0, 4, 7])
    above = rule("low", "{low:g} is above {high:g}", lambda t: ~(t["low"] > t["high"]))
    (fault,) = broken([above], rows)
    assert (fault.row, fault.column, fault.message) == (5, "low", "3 is above 2")
    with pytest.raises(Exception, match="nothing"):
        broken([rule("low", "", lambda t: t["nothing"])], rows)
