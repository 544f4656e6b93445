"""Tests of the coverage matrix: every cell recounted from the rows."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest

from advisor.recommend.query import BadQuestionError
from api.pages.coverage import Coverage, CoverageFilter, coverage
from catalog import snapshot
from catalog.errors import UnknownNameError
from catalog.records import Measurement
from catalog.snapshot import Snapshot

WHOLE = snapshot.load()
ROW = Measurement(
    run_id="r",
    source="calibration",
    workload="sst2",
    candidate="tfidf-word-logistic",
    device="NVIDIA A30",
    host="h",
    n_items=1000,
    runtime_s=2,
    scenario="offline",
    batch_size=32,
    measured_at="2026-01-01",
)


def covered(*rows: Measurement) -> Coverage:
    """The coverage of exactly these rows."""
    return Coverage(
        Snapshot(
            measurements=rows,
            devices=WHOLE.devices,
            workloads=WHOLE.workloads,
            candidates=WHOLE.candidates,
            digest="test",
        )
    )


def test_cells_count_the_rows_of_the_bundled_catalog() -> None:
    """Each cell holds as many setups as the catalog has rows for it, for every workload."""
    for workload, rows in WHOLE.by_workload.items():
        counted = Counter((row.candidate, row.device) for row in rows if row.phase == "inference")
        matrix = coverage(WHOLE).matrix(CoverageFilter(workload=workload))
        cells = {
            (candidate, device): cell.setups
            for candidate, own in matrix.cells.items()
            for device, cell in own.items()
        }
        assert cells == counted
        assert sum(matrix.counts.values()) == len(cells)


def test_a_timed_setup_without_a_meter_is_estimated() -> None:
    """Runtime alone is an estimate, modelled joules are no measurement, counted joules are."""
    timed = covered(ROW).matrix(CoverageFilter()).cells["tfidf-word-logistic"]["NVIDIA A30"]
    modelled = msgspec.structs.replace(ROW, gpu_j=3.0, gpu_label="modelled")
    read = msgspec.structs.replace(ROW, gpu_j=3.0, gpu_label="measured")
    bare = msgspec.structs.replace(ROW, runtime_s=None, accuracy=0.9)
    assert timed.state == "estimated"
    cells = covered(modelled).matrix(CoverageFilter()).cells
    assert cells["tfidf-word-logistic"]["NVIDIA A30"].state == "estimated"
    cells = covered(read).matrix(CoverageFilter()).cells
    assert cells["tfidf-word-logistic"]["NVIDIA A30"].state == "measured"
    assert covered(bare).matrix(CoverageFilter()).cells == {}


def test_a_changed_machine_makes_a_cell_stale() -> None:
    """A newer row with another driver leaves the older setup stale, its own fresh."""

    def row(batch: float, driver: str, day: str) -> Measurement:
        return msgspec.structs.replace(
            ROW,
            gpu_j=3.0,
            gpu_label="measured",
            batch_size=batch,
            measured_at=day,
            workload="sst2" if batch == 1 else "agnews",
            fingerprint=json.dumps({"energy": {"driver": driver}}),
        )

    found = covered(row(1, "550", "2026-01-01"), row(32, "560", "2026-02-01"))
    state = {
        name: found.matrix(CoverageFilter(workload=name))
        .cells["tfidf-word-logistic"]["NVIDIA A30"]
        .state
        for name in ("sst2", "agnews")
    }
    assert state == {"sst2": "stale", "agnews": "measured"}


def test_filters_keep_what_they_name() -> None:
    """Family, kind, source and name each leave only cells that fit."""
    everything = coverage(WHOLE).matrix(CoverageFilter(workload="mlperf-squad"))
    cpus = coverage(WHOLE).matrix(CoverageFilter(workload="mlperf-squad", kind="cpu"))
    assert {device.kind for device in cpus.devices} == {"cpu"}
    named = coverage(WHOLE).matrix(CoverageFilter(workload="mlperf-squad", q="a30"))
    assert [device.name for device in named.devices] == ["NVIDIA A30"]
    assert len(named.devices) < len(everything.devices)
    of = coverage(WHOLE).matrix(
        CoverageFilter(source="zschache-hartwig-2025", family="reasoning-llm")
    )
    assert {family for family, _ in of.families} == {"reasoning-llm"}


def test_gaps_show_what_could_be_measured() -> None:
    """Candidates the suite can run have a row even without a cell, where accuracy is judged."""
    matrix = covered(ROW).matrix(CoverageFilter(task="sentiment"))
    shown = {candidate.name for _, members in matrix.families for candidate in members}
    assert {c.name for c in WHOLE.candidates.values() if c.runnable} <= shown
    apart = coverage(WHOLE).matrix(CoverageFilter(workload="mlperf-squad"))
    assert all(c.name in apart.cells for _, members in apart.families for c in members)


@pytest.mark.parametrize("field", ["task", "workload", "family", "kind", "source"])
def test_unknown_names_are_refused(field: str) -> None:
    """A misspelt filter is an error that names what is known."""
    with pytest.raises(UnknownNameError):
        coverage(WHOLE).matrix(CoverageFilter(**{field: "no-such-thing"}))


def test_a_workload_of_another_task_is_refused() -> None:
    """Task and data set have to go together."""
    with pytest.raises(BadQuestionError, match="allowed for topic"):
        coverage(WHOLE).matrix(CoverageFilter(task="topic", workload="sst2"))
