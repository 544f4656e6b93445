"""Tests of `advisor.estimator.transfer`."""

from __future__ import annotations

import functools
import gc
import json
import math
import weakref
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.estimator.estimator import Prediction, load
from advisor.estimator.setup import Setup
from advisor.estimator.transfer import (
    CARRYING,
    DOUBT,
    HEADROOM,
    Carrying,
    carried,
    compared,
    elsewhere,
    limit_w,
    log_joules,
)
from catalog.records import Candidate, Device, Estimate, Measurement, Workload
from catalog.snapshot import Snapshot
from catalog.snapshot import load as load_catalog

ESTIMATOR, BUNDLED = load(), load_catalog()
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
DEVICES = {
    name: Device(name=name, kind="gpu", tdp_w=watts, memory_gb=24.0)
    for name, watts in (("G", 300.0), ("H", 100.0), ("I", 200.0))
}


def row(
    candidate: str = "c", device: str = "G", joules: float = 400.0, **values: Any
) -> Measurement:
    """A batch of 100 texts in 2 s, the chip's joules read."""
    cells = {
        "run_id": "r",
        "source": "s",
        "workload": "w",
        "candidate": candidate,
        "device": device,
        "scenario": "offline",
        "n_items": 100.0,
        "runtime_s": 2.0,
        "gpu_j": joules,
        "gpu_label": "measured",
    }
    return Measurement(**(cells | values))


def catalog(*rows: Measurement) -> Snapshot:
    """Rows with the records they need."""
    names = sorted({row.candidate for row in rows})
    return Snapshot(
        measurements=rows,
        devices=DEVICES,
        workloads={"w": Workload(name="w", task="sentiment")},
        candidates={n: Candidate(name=n, family="other", n_parameters=6e7) for n in names},
        digest="d",
    )


def half(found: Estimate) -> float:
    """Half of an interval, natural logs."""
    assert found.value is not None
    assert found.high is not None
    return math.log(found.high / found.value)


ALONE = Carrying(share=0.0, by_time=0.0, reach=1.0, blank=1.0)


def test_rows_equally_alike_count_alike() -> None:
    """Neither the cheapest nor the first of a device's rows is taken, but their mean (of logs)."""
    rows = [row(joules=1600.0), row(joules=400.0), row(joules=1.0, batch_size=64.0)]
    log = functools.partial(log_joules, DEVICES, "device")
    assert elsewhere(row(), rows, log) == pytest.approx(math.log(8))


def test_a_device_is_compared_on_the_candidates_that_ran_on_both() -> None:
    """Twice the others' joules for another candidate count as log 2 over one row and the doubt."""
    known = [
        row("a"),
        row("a", "H", 800.0),
        row("a", "H", 800.0, rate_per_s=5.0, scenario="server"),
    ]
    view = catalog(*known, row())
    assert compared(view, "H").ratio("device") == pytest.approx(math.log(2) / (1 + DOUBT))
    assert compared(view, "H").ratio("host") == 0
    assert compared(view, "H").ratio(None) == 0
    assert compared(view, "H") is compared(view, "H")
    assert (compared(view, "H").blank, compared(view, "I").blank) == (False, True)


def test_a_snapshot_is_not_kept_by_its_comparisons() -> None:
    """Once nobody reads a snapshot, it is gone, and so is what was worked out for it."""
    view = catalog(row(), row(device="H"))
    assert compared(view, "H").ratio("device") == 0
    kept = weakref.ref(view)
    del view
    gc.collect()
    assert kept() is None


def test_stale_rows_correct_nothing() -> None:
    """Rows from before a driver changed tell of another machine, to comparison and estimator."""
    before, after = (
        {"fingerprint": json.dumps({"energy": {"driver": driver}}), "host": "h"}
        for driver in ("550", "560")
    )
    old = row("a", "H", 4000.0, measured_at="2026-01-01", **before)
    new = row("b", "H", 300.0, measured_at="2026-02-01", **after)
    elsewhere = row("a"), row("b"), row("c")
    with_old, without = catalog(*elsewhere, old, new), catalog(*elsewhere, new)
    one, two = (compared(view, "H").ratio("device") for view in (with_old, without))
    assert one == two != 0
    asked = Setup(device=DEVICES["H"], n_parameters=6e7, scope="device", source="s")
    first, second = (ESTIMATOR.informed(view).estimate(asked) for view in (with_old, without))
    assert first == second != ESTIMATOR.estimate(asked)
    fresh = catalog(*elsewhere, msgspec.structs.replace(old, **after), new)
    assert ESTIMATOR.informed(fresh).estimate(asked) != first


def test_no_more_than_the_limit_is_implied_and_the_interval_stays_as_high() -> None:
    """400 J in 1 s on a chip of 100 W become 110 J, still reaching to where 400 J did."""
    joules = Estimate(value=400.0, low=200.0, high=800.0, basis="estimated-runtime")
    seconds = Estimate(value=1.0, low=0.5, high=2.0, basis="estimated-runtime")
    wild = Prediction(
        energy_j=joules, runtime_s=seconds, outside=(), assumed_power=False, known_device=False
    )
    found = carried(wild, None, CARRYING, limit_w(DEVICES["H"], "device"), blank=True)
    assert found.energy_j.value == pytest.approx(100 * HEADROOM)
    assert found.energy_j.high == pytest.approx(800)
    assert found.runtime_s == seconds
    assert carried(wild, None, CARRYING, limit_w(DEVICES["H"], "wall"), blank=True) == wild
