"""Tests of the bundled reference figures: the committed CSV files, and that they rebuild."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from catalog import reference_data as bundled
from catalog.energy import SCOPE_OF_SOURCE
from catalog.records import COMPONENTS, KEY, Candidate, Device, Measurement, Workload

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "catalog" / "reference"
DATA = Path("..") / "shared" / "data" / "energy"
RUNNABLE = {"sst2", "agnews", "banking77", "tweeteval_emotion", "germeval2018"}
BUILD, MACHINES = "scripts/data/build_reference.py", "scripts/data/machines.py"
FILES = {
    "zschache-hartwig-2025": 106,
    "luccioni-2024": 251,
    "protran-2022": 609,
    "mlperf-inference-power": 284,
    "ml-energy-leaderboard": 1047,
}
OWN_COUNTERS = {"gpu": ("gpu", "board"), "npu": ("npu", "board"), "cpu": ("cpu", "board")}
POWER_FACTOR = 2.5

Record = TypeVar("Record", Device, Workload, Candidate, Measurement)


def cells(name: str) -> list[dict[str, str]]:
    """Rows of one bundled file as text."""
    with (REFERENCE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read(kind: type[Record], name: str) -> list[Record]:
    """Rows of one bundled file as records; unknown columns fail."""
    tuples = {field.name for field in msgspec.structs.fields(kind) if field.default == ()}
    names = {field.name for field in msgspec.structs.fields(kind)}
    found = []
    for row in cells(name):
        assert set(row) <= names, f"{name} has columns that {kind.__name__} has not"
        given: dict[str, Any] = {key: value for key, value in row.items() if value}
        given |= {key: tuple(given[key].split(";")) for key in tuples & given.keys()}
        found.append(msgspec.convert(given, kind, strict=False))
    return found


@pytest.fixture(scope="module")
def rows() -> list[Measurement]:
    """Every bundled measurement with the accuracy of its run, in the order of `FILES`."""
    of = {stem: [row for row in bundled.measurements() if row.source == stem] for stem in FILES}
    for stem, own in of.items():
        assert len(own) == len(read(Measurement, f"measurements/{stem}.csv"))
    return [row for own in of.values() for row in own]


@pytest.fixture(scope="module")
def devices() -> dict[str, Device]:
    """The bundled device table by name."""
    return {device.name: device for device in read(Device, "devices.csv")}


def found(rows: list[Measurement], **wanted: Any) -> list[Measurement]:
    """The rows whose fields have the wanted values."""
    return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]


def the(rows: list[Measurement], **wanted: Any) -> Measurement:
    """The one row whose fields have the wanted values."""
    (row,) = found(rows, **wanted)
    return row


def test_every_source_is_a_file_of_its_own_and_complete() -> None:
    """The folder holds exactly the named sources, each with all its rows under its own run id."""
    there = {path.stem for path in (REFERENCE / "measurements").iterdir()}
    there = {stem for stem in there if not stem.startswith("joulewise-")}  # our own run
    assert there == set(FILES)
    for stem, count in FILES.items():
        own = cells(f"measurements/{stem}.csv")
        assert len(own) == count
        assert {(row["run_id"], row["source"]) for row in own} == {(stem, stem)}


@pytest.mark.parametrize("path", sorted(REFERENCE.rglob("*.csv")), ids=lambda path: path.name)
def test_files_are_plain_and_reviewable(path: Path) -> None:
    """UTF-8, newline ends, no unused column, no number with more than seven digits of noise."""
    text = path.read_bytes().decode("utf-8")
    assert "\r" not in text
    assert text.endswith("\n")
    own = cells(path.relative_to(REFERENCE).as_posix())
    unused = [name for name in own[0] if not any(row[name] for row in own)]
    assert unused == []
    if path.name != "devices.csv":
        numbers = {cell for row in own for cell in row.values() if _is_decimal(cell)}
        assert [cell for cell in numbers if _significant(cell) > 7] == []


def _is_decimal(cell: str) -> bool:
    """Whether a cell is a number with a fraction."""
    return cell.replace(".", "", 1).replace("e-", "", 1).isdigit() and "." in cell


def _significant(cell: str) -> int:
    """Significant digits of a decimal number."""
    return len(cell.split("e")[0].replace(".", "").lstrip("0"))


def test_all_devices_are_bundled_with_their_status(devices: dict[str, Device]) -> None:
    """The 166 devices of the measured energies keep kind, source and how far it was checked."""
    energy = [device for device in devices.values() if device.dataset == "energy"]
    assert len(energy) == 166
    assert Counter(device.status for device in energy) == {
        "verified": 38,
        "derived": 112,
        "partly": 13,
        "unverified": 3,
    }
    assert Counter(device.kind for device in energy) == {"gpu": 95, "cpu": 64, "npu": 7}
    assert all(device.source for device in devices.values() if device.status != "not found")
    assert Counter(device.dataset for device in devices.values()) == {
        "energy": 166,
        "runtime": 147,
        "instances": 19,
        "everyday": 495,
    }
    assert devices["NVIDIA H100-SXM5-94GB"].tdp_w == 700


@pytest.mark.parametrize("name", ["devices.csv", "workloads.csv", "candidates.csv"])
def test_declared_names_are_unique(name: str) -> None:
    """No declaration stands twice."""
    names = [row["name"] for row in cells(name)]
    assert len(names) == len(set(names))


def test_published_candidates_and_workloads_leave_running_to_the_registry() -> None:
    """A published figure makes nothing runnable and repeats no runnable workload."""
    assert not any(candidate.runnable for candidate in read(Candidate, "candidates.csv"))
    assert not {workload.name for workload in read(Workload, "workloads.csv")} & RUNNABLE


def test_keys_are_unique(rows: list[Measurement]) -> None:
    """No two rows share the fields that identify a measurement."""
    keys = Counter(tuple(getattr(row, name) for name in KEY) for row in rows)
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_name_resolves(rows: list[Measurement], devices: dict[str, Device]) -> None:
    """Device, candidate and workload of every row are declared, and no declaration is idle."""
    candidates = {candidate.name for candidate in read(Candidate, "candidates.csv")}
    workloads = {workload.name for workload in read(Workload, "workloads.csv")}
    assert {row.device for row in rows} <= devices.keys()
    assert {row.candidate for row in rows} == candidates
    assert {row.workload for row in rows} == workloads | {"sst2"}


def test_every_row_says_where_it_comes_from(rows: list[Measurement]) -> None:
    """No row without citation, licence, date, place in the source, and meter."""
    for row in rows:
        assert row.citation
        assert row.licence
        assert row.reference
        assert row.meter
        assert row.measured_at is not None
        year, month, day = map(int, row.measured_at.split("-"))
        assert (2022, 1, 1) <= (year, month, day) <= (2025, 12, 31)


def test_only_open_licences_are_carried(rows: list[Measurement]) -> None:
    """Figures of sources without MIT, BSD or Apache licence stay out; the paper's are cited."""
    licences = {str(row.licence).split(" ")[0] for row in rows}
    assert licences == {"MIT", "BSD-3-Clause", "Apache-2.0", "figures"}


def test_energies_come_with_labels_and_are_above_zero(rows: list[Measurement]) -> None:
    """Joules and label come together, totals with a known scope; a missing value is never 0."""
    for row in rows:
        labelled = 0
        for name in COMPONENTS:
            joules, label = getattr(row, f"{name}_j"), getattr(row, f"{name}_label")
            assert (joules is None) == (label is None)
            assert joules is None or joules > 0
            labelled += joules is not None
        total = row.total_j is not None or row.total_high_j is not None
        assert total == (row.total_label is not None) == (row.total_scope is not None)
        assert row.total_scope is None or row.total_scope in SCOPE_OF_SOURCE
        assert total or labelled


def test_bounds_are_in_order(rows: list[Measurement]) -> None:
    """Bounds hold the value between them; runtimes, counts and accuracies lie where they can."""
    for row in rows:
        bounds = [row.total_low_j, row.total_j, row.total_high_j]
        there = [bound for bound in bounds if bound is not None]
        assert there == sorted(there)
        assert all(bound > 0 for bound in there)
        assert row.n_items > 0
        assert row.runtime_s is None or row.runtime_s > 0
        assert row.accuracy is None or 0 < row.accuracy < 1
        assert row.cv is None or 0 < row.cv < 1
        assert row.batch_size is None or row.batch_size >= 1
        if row.n_active_devices is not None:
            assert row.n_devices is not None
            assert row.n_active_devices <= row.n_devices


def test_labels_say_how_the_energy_was_found(rows: list[Measurement]) -> None:
    """CodeCarbon's assumed CPU and RAM watts are modelled, its inseparable totals mixed."""
    for row in rows:
        mixed = row.source == "zschache-hartwig-2025"
        assert (row.total_label == "mixed") == mixed
        assert {row.cpu_label, row.dram_label} <= {None, "modelled"}
        assert {row.gpu_label, row.npu_label, row.wall_label} <= {None, "measured"}


def test_mean_power_is_possible(rows: list[Measurement], devices: dict[str, Device]) -> None:
    """No chip drew more than a plausible multiple of its nominal power, on average."""
    offenders = []
    for row in rows:
        device = devices[row.device]
        nominal = max(device.tdp_w or 0, device.power_max_w or 0)
        for part in OWN_COUNTERS[device.kind]:
            joules = getattr(row, f"{part}_j")
            if joules is None or row.runtime_s is None:
                continue
            assert row.n_devices is not None
            watts = joules / row.runtime_s
            if not 0 < watts <= POWER_FACTOR * nominal * row.n_devices:
                offenders.append((row.source, row.candidate, row.device, watts))
    assert offenders == []


def test_llama_on_fktg_is_the_papers_figure(rows: list[Measurement]) -> None:
    """Table B1 prints 5.86 Wh and 36.88 s for 189 texts on one H100."""
    row = the(rows, workload="fktg", candidate="llama-3.1-8b-zero-shot", reference="table B1")
    assert row.total_j is not None
    assert row.runtime_s is not None
    assert row.total_j / row.n_items == pytest.approx(5.86 * 3600 / 189)
    assert row.runtime_s / row.n_items == pytest.approx(36.88 / 189)
    assert (row.total_low_j, row.total_high_j) == pytest.approx((5.855 * 3600, 5.865 * 3600))
    assert (row.device, row.n_devices, row.n_nodes) == ("NVIDIA H100-SXM5-94GB", 1, 1)
    assert (row.accuracy, row.n_test, row.repeats) == (0.35, 189, 10)
    assert (row.total_scope, row.scenario) == ("gpu+cpu+ram", "unstated")
    assert row.precision is None
    assert row.batch_size is None


def test_less_than_a_hundredth_of_a_watt_hour_is_a_bound(rows: list[Measurement]) -> None:
    """A printed "<0.01" has no value, only the upper bound of 36 J; its runtime stands."""
    row = the(rows, workload="fktg", candidate="bow-logistic")
    assert (row.total_j, row.total_low_j, row.total_high_j) == (None, None, 36)
    assert (row.accuracy, row.runtime_s) == (0.43, 0.01)
    bounds = [r for r in rows if r.total_high_j is not None and r.total_j is None]
    assert len(bounds) == 5 + 19
    assert {r.total_high_j for r in bounds} == {36}


def test_double_node_rows_name_two_nodes(rows: list[Measurement]) -> None:
    """Table B2's second column is kept with two nodes and without a count of GPUs."""
    double = found(rows, n_nodes=2)
    assert {row.candidate: row.total_j for row in double} == pytest.approx(
        {
            "llama-3.1-70b-zero-shot": 94.88 * 3600,
            "qwen-2.5-72b-zero-shot": 95.70 * 3600,
            "jamba-mini-1.5-zero-shot": 29.81 * 3600,
            "deepseek-r1-llama-70b-zero-shot": 1899.86 * 3600,
        }
    )
    assert {row.n_devices for row in double} == {None}


def test_table_b3_adds_only_what_table_b1_has_not(rows: list[Measurement]) -> None:
    """A30 and V100 of seven models; of the H100 only the three figures that differ from B1."""
    added = found(rows, reference="table B3")
    assert Counter(row.device for row in added) == {
        "NVIDIA A30": 7,
        "NVIDIA V100-PCIE-32GB": 7,
        "NVIDIA H100-SXM5-94GB": 3,
    }
    assert {row.n_devices for row in added} == {None}
    again = {row.candidate for row in added if row.repeat_group == "table-B3"}
    assert again == {
        "phi-3.5-moe-zero-shot",
        "deepseek-r1-qwen-14b-zero-shot",
        "deepseek-r1-qwen-32b-zero-shot",
    }
    assumed = [row for row in added if "device-variant-assumed" in row.flags]
    assert {row.device for row in assumed} == {"NVIDIA V100-PCIE-32GB"}


def test_the_other_data_sets_have_200_texts_and_no_runtime(rows: list[Measurement]) -> None:
    """Tables B4 and B5 print energy and accuracy of 17 models on four data sets."""
    others = [row for row in rows if (row.reference or "").startswith("tables B4 and B5")]
    assert len(others) == 4 * 17
    assert {(row.n_items, row.n_test, row.runtime_s) for row in others} == {(200, 200, None)}
    row = the(rows, workload="yelp-zh2025", candidate="llama-3.1-70b-zero-shot")
    assert row.total_j == pytest.approx(36.71 * 3600)
    assert row.accuracy == 0.67


def test_the_suspect_accuracy_is_flagged(rows: list[Measurement]) -> None:
    """Qwen 7B's 0.01 on news is kept with a flag and a reason, and nothing else is flagged."""
    (row,) = [row for row in rows if "accuracy-suspect" in row.flags]
    assert (row.candidate, row.workload) == ("qwen-2.5-7b-zero-shot", "news-zh2025")
    assert row.accuracy == 0.01
    assert "output format" in (row.notes or "")


def test_the_training_split_accuracy_is_dropped(rows: list[Measurement]) -> None:
    """DistilBERT's 0.98855 on sst2 is not an accuracy; its energy stays."""
    name = "distilbert-base-uncased-finetuned-sst-2-english"
    row = the(rows, workload="sst2", candidate=name)
    assert (row.accuracy, row.n_test) == (None, None)
    assert "66,578/67,349" in (row.notes or "")
    assert row.gpu_j == pytest.approx(0.0009 * 3.6e6, rel=0.01)
    assert 0.9 < (the(rows, workload="sst2", candidate="bloomz-3b-zero-shot").accuracy or 0) < 0.95


def test_contaminated_accuracies_say_so(rows: list[Measurement]) -> None:
    """FLAN-T5 and BLOOMZ everywhere, and Rotten Tomatoes for what was trained on SST."""
    for row in rows:
        prompted = row.candidate.startswith(("flan-t5", "bloomz")) and row.accuracy is not None
        sst = row.candidate.endswith("finetuned-sst-2-english")
        doubted = prompted or (sst and row.workload == "rotten-tomatoes")
        assert (row.contamination is not None) == doubted
        assert not doubted or str(row.contamination).startswith("possible-contamination")


def test_luccioni_counts_seven_idle_gpus(rows: list[Measurement]) -> None:
    """Eight GPUs counted, one active; parts of CPU and RAM only for text classification."""
    own = found(rows, source="luccioni-2024")
    assert {(r.n_devices, r.n_active_devices, r.scenario, r.flags) for r in own} == {
        (8, 1, "single", ("idle-devices-in-total",))
    }
    assert sum(row.cpu_j is not None and row.dram_j is not None for row in own) == 60
    sizes = {"sst2": 872, "imdb": 25000, "rotten-tomatoes": 1066}
    for row in own:
        if row.accuracy is not None:
            prompted = row.candidate.endswith("-zero-shot")
            assert row.n_test == (None if prompted else sizes[row.workload])


def test_sources_keep_their_own_scope(rows: list[Measurement]) -> None:
    """MLPerf is at the wall, ML.ENERGY and Luccioni at the GPU, protran as each meter sat."""
    for source, column, count in (
        ("mlperf-inference-power", "wall_j", 284),
        ("ml-energy-leaderboard", "gpu_j", 1047),
        ("luccioni-2024", "gpu_j", 251),
    ):
        own = found(rows, source=source)
        assert sum(getattr(row, column) is not None for row in own) == count
        assert all(row.total_scope is None for row in own)
    scopes = Counter(row.total_scope for row in found(rows, source="protran-2022"))
    assert scopes == {"wall": 245, "gpu+cpu+ram": 104, None: 260}


def test_doubtful_windows_are_flagged(rows: list[Measurement]) -> None:
    """Start-up in the window, output tokens only, a 90th percentile as runtime."""
    for row in rows:
        assert ("startup-in-window" in row.flags) == (row.source == "protran-2022")
        assert ("output-tokens-only" in row.flags) == (row.source == "ml-energy-leaderboard")
        p90 = row.source == "mlperf-inference-power" and row.scenario == "single"
        assert ("runtime-is-p90" in row.flags) == p90


def test_other_scores_are_no_accuracies(rows: list[Measurement]) -> None:
    """Only text classification carries an accuracy: MLPerf's F1 is in the notes alone."""
    scored = {row.workload for row in rows if row.accuracy is not None}
    assert not {name for name in scored if name.startswith(("mlperf", "ml-energy", "luccioni"))}
    squad = found(rows, workload="mlperf-squad")
    assert all("not an accuracy" in (row.notes or "") and row.macro_f1 is None for row in squad)


def test_the_committed_files_rebuild_from_the_sources() -> None:
    """``--check`` of each script agrees with the committed files where the sources are."""
    if not (ROOT / DATA).is_dir():
        pytest.skip(f"the source tables {DATA.as_posix()} are not on this machine")
    for script, folder in ((BUILD, DATA), (MACHINES, DATA.parent)):
        done = _check(script, "--data", folder.as_posix())
        assert done.returncode == 0, done.stdout + done.stderr
        assert "up to date" in done.stdout


def test_the_check_passes_without_sources_and_says_why(tmp_path: Path) -> None:
    """Without the source tables nothing can be compared; that is said and is no failure."""
    for script in (BUILD, MACHINES):
        done = _check(script, "--data", str(tmp_path / "absent"))
        assert done.returncode == 0, done.stderr
        assert "no data folder" in done.stdout


def _check(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script from the root of the repository."""
    command = [sys.executable, script, "--check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
