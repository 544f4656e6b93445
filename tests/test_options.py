"""Tests of `options` and `pareto`: which energy a setup carries, and its origin."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from advisor.estimator.estimator import load
from advisor.recommend.options import measured_or_estimated, with_known_accuracy
from advisor.recommend.options import moved as moved_offers
from advisor.recommend.pareto import option as shown
from advisor.recommend.records import Option
from catalog.records import Candidate, Device, Measurement, Scope, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
GPU = Device(name="G", kind="gpu", tdp_w=300.0, memory_gb=80.0)
OTHER = Device(name="H", kind="gpu", tdp_w=100.0, memory_gb=24.0)


def row(**values: Any) -> Measurement:
    """A batch of 100 texts with every counter read."""
    cells = {
        "run_id": "r",
        "source": "s",
        "workload": "w",
        "candidate": "c",
        "device": "G",
        "scenario": "offline",
        "n_items": 100.0,
        "runtime_s": 2.0,
        "gpu_j": 400.0,
        "gpu_label": "measured",
        "cpu_j": 80.0,
        "cpu_label": "measured",
        "dram_j": 20.0,
        "dram_label": "measured",
        "accuracy": 0.9,
        "n_test": 1000,
    }
    return Measurement(**(cells | values))


def catalog(*rows: Measurement) -> Snapshot:
    """Rows with the records they need."""
    return Snapshot(
        measurements=rows,
        devices={"G": GPU, "H": OTHER},
        workloads={"w": Workload(name="w", task="sentiment")},
        candidates={"c": Candidate(name="c", family="fine-tuned-encoder", n_parameters=6e7)},
        digest="d",
    )


def options(*rows: Measurement, scope: Scope = "host", **query: Any) -> list[Option]:
    """Options of rows where they were taken."""
    view = catalog(*rows)
    offers = measured_or_estimated(rows, view, ESTIMATOR, scope, **query)
    return [shown(offer, view, ESTIMATOR.version) for offer in offers]


def moved(*rows: Measurement) -> list[Option]:
    """Options of rows brought to the other device."""
    view = catalog(*rows)
    offers = moved_offers(rows, OTHER, view, ESTIMATOR, "host")
    return [shown(offer, view, ESTIMATOR.version) for offer in offers]


MODELLED = {f"{part}_label": "modelled" for part in ("gpu", "cpu", "dram")}


def test_measured_joules_are_counted_per_thousand_texts() -> None:
    """500 J for 100 texts in 2 s are 5,000 J and 20 s per 1,000 texts."""
    (option,) = options(row())
    joules, seconds = option.energy_j_per_1000, option.runtime_s_per_1000
    assert seconds is not None
    assert joules.value == pytest.approx(5000)
    assert (joules.basis, joules.label, joules.scope) == ("measured", "measured", "host")
    assert (seconds.value, seconds.basis) == (pytest.approx(20), "measured")
    assert "spread-unstated" in option.warnings


def test_the_spread_of_repeats_makes_the_interval() -> None:
    """With a CV of 5 % ninety percent of repeats lie within exp(+-1.645 x 0.05)."""
    (option,) = options(row(cv=0.05))
    joules = option.energy_j_per_1000
    assert joules.low == pytest.approx(5000 * math.exp(-1.645 * 0.05))
    assert joules.high == pytest.approx(5000 * math.exp(1.645 * 0.05))
    wide = options(row(cv=5.0))[0]
    assert 0 < (wide.energy_j_per_1000.low or 0) < 5
    assert "unstable" in wide.warnings
    assert "spread-unstated" not in option.warnings


def test_modelled_joules_are_a_second_opinion_beside_the_estimate() -> None:
    """An assumed power does not rank: the runtime is estimated from, the figure stands beside."""
    (option,) = options(row(**MODELLED))
    joules = option.energy_j_per_1000
    assert joules.basis in ("estimated", "extrapolated")
    assert joules.label is None
    assert option.second_opinion_j_per_1000 == pytest.approx(5000)
    assert joules.low is not None
    assert joules.high is not None
    assert joules.low < joules.high


def test_only_measured_leaves_estimates_out() -> None:
    """With basis=measured a row of assumed power is no option."""
    assert options(row(**MODELLED), basis="measured") == []
    assert len(options(row(), basis="measured")) == 1


def test_an_absent_scope_is_estimated_from_the_runtime_of_the_row() -> None:
    """A row without a wall meter gets a wall estimate with the runtime it was measured with."""
    (option,) = options(row(), scope="wall")
    assert option.energy_j_per_1000.scope == "wall"
    assert option.energy_j_per_1000.basis in ("estimated", "extrapolated")
    assert option.runtime_s_per_1000 is not None
    assert option.runtime_s_per_1000.basis == "measured"


def test_a_row_without_energy_and_runtime_is_no_option() -> None:
    """Nothing is made up where nothing was read."""
    bare = row(runtime_s=None, gpu_j=None, gpu_label=None)
    assert options(bare) == []


def test_only_what_ran_on_the_changed_machine_is_stale() -> None:
    """Measured or timed there it is; brought to another device it is an estimate anyway."""
    before, after = (json.dumps({"energy": {"driver": driver}}) for driver in ("550", "560"))
    old = row(fingerprint=before, host="h", measured_at="2026-01-01")
    timed = row(fingerprint=before, host="h", measured_at="2026-01-02", batch_size=2.0, **MODELLED)
    new = row(fingerprint=after, host="h", measured_at="2026-02-01", batch_size=8.0)
    stale = ["stale-measurement" in option.warnings for option in options(old, new, timed)]
    assert stale == [True, False, True]
    assert all("stale-measurement" not in option.warnings for option in moved(old, new, timed))


def test_a_bound_keeps_its_missing_value() -> None:
    """A published upper bound reaches from 0 to the bound and says what it is."""
    none = dict.fromkeys(
        f"{part}_{end}" for part in ("gpu", "cpu", "dram") for end in ("j", "label")
    )
    (option,) = options(
        row(**none, total_high_j=36.0, total_scope="gpu+cpu+ram", total_label="mixed")
    )
    joules = option.energy_j_per_1000
    assert (joules.value, joules.low, joules.high) == (None, 0, pytest.approx(360))
    assert {"energy-bound", "energy-mixed"} <= set(option.warnings)


def test_accuracy_carries_over_to_other_devices_in_the_same_precision() -> None:
    """A row without an accuracy takes it from the largest test of its candidate, flagged."""
    known = [row(accuracy=0.9, n_test=100), row(accuracy=0.8, n_test=1000, precision="fp16")]
    bare = {"accuracy": None, "n_test": None, "device": "H"}
    half, quarter = row(**bare, precision="fp16"), row(**bare, precision="int4")
    found = with_known_accuracy([*known, half, quarter])
    assert [r.accuracy for r in found] == [0.9, 0.8, 0.8, 0.9]
    assert all("accuracy-other-device" in r.flags for r in found[2:])
    assert found[:2] == known
    lone = row(**bare, candidate="other")
    assert with_known_accuracy([lone]) == [lone]


def test_a_setup_moves_without_what_was_read_elsewhere() -> None:
    """On another device energy and time are estimated; latency, memory and joules stay behind."""
    source = row(latency_p95_ms=3.0, peak_memory_mb=900.0, n_devices=8, flags=("unstable",))
    (option,) = moved(source)
    assert option.device == "H"
    assert option.n_devices == 1
    assert option.latency_p95_ms is None
    assert option.peak_memory_mb is None
    assert option.second_opinion_j_per_1000 is None
    assert option.energy_j_per_1000.basis in ("estimated-runtime", "extrapolated")
    assert option.runtime_s_per_1000 is not None
    assert option.runtime_s_per_1000.basis != "measured"
    assert option.accuracy is not None
    assert option.accuracy.value == 0.9
    assert {"device-not-calibrated"} <= set(option.warnings)
    assert "unstable" not in option.warnings
    slower = row(runtime_s=200.0)
    (same,) = moved(slower)
    assert same.runtime_s_per_1000 == moved(row())[0].runtime_s_per_1000
