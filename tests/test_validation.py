"""Tests of `validation`: every fault of a run file is told at once, by row and column."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import reference_data as bundled
from catalog.errors import BadRunFileError
from catalog.files.validation import Known, validate
from catalog.records import Candidate, Device, RunFile, Workload

KNOWN = Known(
    device=bundled.devices(), workload=bundled.workloads(), candidate=bundled.candidates()
)
SOUND: dict[str, Any] = {
    "run_id": "r1",
    "source": "me",
    "workload": "sst2",
    "candidate": "tfidf-word-logistic",
    "device": "NVIDIA A30",
    "n_items": "100",
    "runtime_s": "1",
    "gpu_j": "50",
    "gpu_label": "measured",
}
FOO = {"device": "Foo", "device_kind": "gpu", "device_tdp_w": "100"}


def check(*rows: dict[str, Any]) -> RunFile:
    """Validates rows that each differ from a sound one and carry a run id of their own."""
    full = [SOUND | {"run_id": f"r{i}"} | row for i, row in enumerate(rows, start=1)]
    return validate(pd.DataFrame(full), KNOWN, "my-run.csv")


def faults(*rows: dict[str, Any]) -> set[tuple[int | None, str | None]]:
    """Where the one error says the faults are."""
    with pytest.raises(BadRunFileError) as caught:
        check(*rows)
    assert caught.value.name == "my-run.csv"
    assert str(caught.value).startswith("my-run.csv: ")
    return {(problem.row, problem.column) for problem in caught.value.problems}


@pytest.mark.parametrize("name", bundled.measurement_files())
def test_every_bundled_file_is_a_valid_run_file(name: str) -> None:
    """`catalog.reference_data` trusts its files because they pass the schema of any run file."""
    text = (bundled.FOLDER / name).read_text(encoding="utf-8")
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    assert len(validate(frame, KNOWN, name).measurements) == len(frame)


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"gpu_j": "-5"}, "gpu_j"),
        ({"gpu_j": "0"}, "gpu_j"),
        ({"gpu_j": "inf"}, "gpu_j"),
        ({"gpu_j": "1e999"}, "gpu_j"),
        ({"gpu_j": "fifty"}, "gpu_j"),
        ({"gpu_j": "nan"}, "gpu_label"),
        ({"gpu_j": ""}, "gpu_label"),
        ({"gpu_label": ""}, "gpu_label"),
        ({"gpu_label": "guessed"}, "gpu_label"),
        ({"gpu_j": "3000"}, "gpu_j"),
        ({"runtime_s": "0"}, "runtime_s"),
        ({"runtime_s": "-1"}, "runtime_s"),
        ({"n_items": ""}, "n_items"),
        ({"n_items": "0"}, "n_items"),
        ({"n_devices": "2.5"}, "n_devices"),
        ({"n_devices": "0"}, "n_devices"),
        ({"accuracy": "85"}, "accuracy"),
        ({"accuracy": "0.8", "phase": "train"}, "accuracy"),
        ({"phase": "sleep"}, "phase"),
        ({"scenario": "batch"}, "scenario"),
        ({"device": "NVIDIA A31"}, "device"),
        ({"device": ""}, "device"),
        ({"workload": "sst3"}, "workload"),
        ({"candidate": "oracle"}, "candidate"),
        ({"notes": "x" * 3000}, "notes"),
        ({"total_j": "9", "total_label": "mixed"}, "total_scope"),
        ({"total_j": "9", "total_scope": "wall"}, "total_label"),
        ({"total_j": "9", "total_label": "mixed", "total_scope": "moon"}, "total_scope"),
        (
            {"total_j": "9", "total_low_j": "10", "total_label": "mixed", "total_scope": "wall"},
            "total_j",
        ),
    ],
)
def test_a_fault_is_told_by_row_and_column(cells: dict[str, str], column: str) -> None:
    """One wrong cell in the second row is one problem, at that row and column."""
    assert faults({}, cells, {}) == {(2, column)}


def test_all_faults_of_a_file_come_in_one_error() -> None:
    """A file is mended in one go: nothing waits behind the first fault."""
    found = faults(
        {"gpu_j": "-5"},
        {"device": "NVIDIA A31"},
        {"gpu_j": "3000"},
        {"runtime_s": "soon"},
        {"total_j": "9"},
        {"zzz": "1"},
    )
    assert found == {
        (1, "gpu_j"),
        (2, "device"),
        (3, "gpu_j"),
        (4, "runtime_s"),
        (5, "total_label"),
        (5, "total_scope"),
        (None, "zzz"),
    }


@pytest.mark.parametrize("column", ["run_id", "source", "workload", "candidate", "device"])
def test_a_missing_column_is_told(column: str) -> None:
    """A column every row needs is named when the file lacks it."""
    with pytest.raises(BadRunFileError) as caught:
        validate(pd.DataFrame([{k: v for k, v in SOUND.items() if k != column}]), KNOWN)
    assert [(p.row, p.column) for p in caught.value.problems] == [(None, column)]


def test_no_chip_draws_far_beyond_its_power() -> None:
    """3 kW on a 65 W chip is refused; so is any mean power above a bound that grows with chips."""
    chip = FOO | {"device_kind": "cpu", "device_tdp_w": "65", "gpu_j": "", "gpu_label": ""}
    assert faults(chip | {"cpu_j": "3000", "cpu_label": "measured"}) == {(1, "cpu_j")}
    assert check(chip | {"cpu_j": "60", "cpu_label": "measured"})


@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 64), share=st.floats(0.05, 2.4), seconds=st.floats(1e-2, 1e4))
def test_power_is_judged_for_all_devices_together(count: int, share: float, seconds: float) -> None:
    """What is allowed for one chip is allowed for each of many, and no more."""
    tdp = KNOWN.device["NVIDIA A30"].tdp_w
    assert tdp is not None
    cells = {"runtime_s": repr(seconds), "n_devices": str(count)}
    assert check(cells | {"gpu_j": repr(share * tdp * count * seconds)})
    assert faults(cells | {"gpu_j": repr(3 * tdp * count * seconds)}) == {(1, "gpu_j")}


@pytest.mark.parametrize("default", [{"phase": "inference"}, {"scenario": "unstated"}])
def test_a_duplicate_key_is_told_at_both_rows(default: dict[str, str]) -> None:
    """Two rows with one key are refused, also where one leaves a default out."""
    empty = dict.fromkeys(default, "")
    assert faults({"run_id": "a"}, {"run_id": "a"}) == {(1, "run_id"), (2, "run_id")}
    same = faults({"run_id": "a"} | empty, {"run_id": "a"} | default)
    assert same == {(1, "run_id"), (2, "run_id")}


def test_whole_numbers_may_be_written_with_a_point() -> None:
    """Tables with gaps write 2.0 for 2, and mean 2."""
    (row,) = check({"n_devices": "2.0", "n_test": "1821.0"}).measurements
    assert (row.n_devices, row.n_test) == (2, 1821)


def test_a_device_described_in_the_file_is_taken() -> None:
    """An unknown device with a kind is accepted and handed on as a record."""
    run = check(FOO, FOO)
    assert run.devices == (Device(name="Foo", kind="gpu", tdp_w=100.0),)


def test_two_descriptions_of_one_name_are_refused() -> None:
    """A name means one device."""
    assert faults(FOO, FOO | {"device_tdp_w": "200"}) == {(2, "device")}


@pytest.mark.parametrize("value", ["-5", "0", "inf", "nan", "1e300"])
def test_a_description_holds_positive_finite_figures(value: str) -> None:
    """A device with a power of zero, minus or infinity would poison the estimator."""
    assert (1, "device_tdp_w") in faults(FOO | {"device_tdp_w": value})


def test_a_description_needs_the_kind() -> None:
    """What is missing from a description is said with the name of the column."""
    with pytest.raises(BadRunFileError, match="device_kind"):
        check({"device": "Foo"})
    with pytest.raises(BadRunFileError, match="workload_task"):
        check({"workload": "my-texts"})
    with pytest.raises(BadRunFileError, match="candidate_family"):
        check({"candidate": "my-model"})


@settings(max_examples=25, deadline=None)
@given(
    column=st.sampled_from([*SOUND, "n_devices", "phase", "flags", "batch_size", "total_scope"]),
    cell=st.one_of(
        st.text(max_size=8),
        st.floats(),
        st.integers(),
        st.none(),
        st.sampled_from(["1e5", "--", "١", "0x1", "1_0", "True"]),
    ),
)
def test_no_cell_escapes_as_another_error(column: str, cell: object) -> None:
    """Whatever stands in a cell, the file is taken or refused as a bad run file."""
    try:
        taken = len(check({column: cell}, {}).measurements)
    except BadRunFileError as error:
        taken = 2 if error.problems else 0
    assert taken == 2


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"cpu_j": "0.0001", "cpu_label": "measured", "runtime_s": "10"}, "cpu_j"),
        ({"measured_at": "yesterday"}, "measured_at"),
        ({"n_devices": "1", "n_active_devices": "2"}, "n_active_devices"),
        ({"latency_p50_ms": "9", "latency_p95_ms": "3"}, "latency_p50_ms"),
        ({"notes": "=HYPERLINK(1)"}, "notes"),
        ({"total_j": "16000", "total_label": "mixed", "total_scope": "cpu"}, "total_j"),
    ],
)
def test_what_no_machine_or_clock_could_have_said(cells: dict[str, str], said: str) -> None:
    """Power below idle, no date, pairs the wrong way round, formulas: refused by name."""
    chip = Device(name="Chip", kind="cpu", tdp_w=65.0)
    known = Known(
        {"Chip": chip},
        {"w": Workload(name="w", task="t")},
        {"c": Candidate(name="c", family="other")},
    )
    sound = {
        "run_id": "r",
        "source": "s",
        "workload": "w",
        "candidate": "c",
        "device": "Chip",
        "n_items": "10",
        "runtime_s": "10",
        "n_devices": "1",
    }
    assert len(validate(pd.DataFrame([sound]), known).measurements) == 1
    with pytest.raises(BadRunFileError) as caught:
        validate(pd.DataFrame([sound | cells]), known)
    assert said in {problem.column for problem in caught.value.problems}
