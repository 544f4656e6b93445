"""Tests of `csv_dialect`: tables that are not comma-separated, or too short, say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.evaluation.evaluate import evaluate
from advisor.evaluation.published_rows import BadTableError, read, read_devices
from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import load
from catalog.errors import BadRunFileError
from catalog.files.csv_dialect import other_delimiter
from catalog.files.run_file import table

NAMES = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ROWS = "source,model,device,energy_scope,runtime_s_per_inference,energy_j_per_inference"


@pytest.mark.parametrize("found", NAMES)
def test_the_separator_that_was_found_is_named(found: str, tmp_path: Path) -> None:
    """Run files, texts and both tables of `evaluate` name it and what is allowed."""
    file = tmp_path / "t.csv"
    header = ROWS.replace(",", found)
    file.write_text(f"{header}\na{found}1,5{found}2,5{found}3\n", encoding="utf-8")
    texts = tmp_path / "texts.csv"
    texts.write_text(f"text{found}label\nvery, very good{found}1\nbad{found}0\n", encoding="utf-8")
    said = []
    for refuse, error in (
        (lambda: table(file.read_bytes(), "csv", "t.csv"), BadRunFileError),
        (lambda: read(file), BadTableError),
        (lambda: read_devices(file), BadTableError),
        (lambda: load("texts", tmp_path, {}), WorkloadError),
    ):
        with pytest.raises(error) as caught:
            refuse()
        said.append(str(caught.value))
    assert all(NAMES[found] in text and "commas (',')" in text for text in said)


def test_a_table_of_one_column_is_no_other_separator() -> None:
    """Only a header that is one cell by commas and more by another mark is doubted."""
    assert other_delimiter(["run_id"]) is None
    assert other_delimiter(["a;b", "c"]) is None
    assert other_delimiter([]) is None
    assert other_delimiter(["a;b"]) is not None


def test_a_table_too_short_to_learn_from_says_how_many_rows_it_has(tmp_path: Path) -> None:
    """Of three rows one has no energy and one is a repeat: one setup is left of the 30 needed."""
    rows, devices = tmp_path / "rows.csv", tmp_path / "devices.csv"
    rows.write_text(f"{ROWS}\nl,m,d,gpu,1,2\nl,m,d,gpu,1,3\nl,n,d,gpu,1,\n", encoding="utf-8")
    devices.write_text("device,kind,tdp_w\nd,gpu,300\n", encoding="utf-8")
    with pytest.raises(BadTableError, match=r"of 3 row\(s\) 1 are left.*at least 30"):
        evaluate(rows, devices, None, "device", "all", (0,))


def test_missing_columns_are_told_with_those_that_are_there(tmp_path: Path) -> None:
    """What is needed and what was found stand in one message."""
    file = tmp_path / "rows.csv"
    file.write_text("source,model,watts\na,b,1\n", encoding="utf-8")
    with pytest.raises(BadTableError, match=r"device, energy_scope.*it has source, model, watts"):
        read(file)


def test_too_few_texts_to_hold_some_back_are_refused(tmp_path: Path) -> None:
    """One text of each class cannot be both learned from and tested on."""
    (tmp_path / "few.csv").write_text("text,label\ngood,1\nbad,0\n", encoding="utf-8")
    with pytest.raises(WorkloadError, match=r"2 text\(s\), no two of one class.*at least two"):
        load("few", tmp_path, {})
