"""Tests of `advisor.estimator.transfer`, and of the script that chose its constants."""

from __future__ import annotations

import functools
import gc
import importlib.util
import json
import math
import weakref
from pathlib import Path
from types import ModuleType
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
from advisor.recommend.group import rows_of
from advisor.recommend.options import Offer, moved
from advisor.recommend.pareto import option
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


def brought(*rows: Measurement, candidate: str = "c", carrying: Carrying = CARRYING) -> Offer:
    """The candidate's one setup elsewhere, brought to device H."""
    view = catalog(*rows)
    own = [each for each in rows if each.candidate == candidate and each.device != "H"]
    (offer,) = moved(own, DEVICES["H"], view, ESTIMATOR, "device", carrying)
    return offer


def figures(offer: Offer) -> tuple[float, float]:
    """Joules and seconds per text."""
    assert offer.prediction is not None
    joules, seconds = offer.prediction.energy_j.value, offer.prediction.runtime_s.value
    assert joules is not None
    assert seconds is not None
    assert offer.energy.value == pytest.approx(1000 * joules)
    return joules, seconds


def half(found: Estimate) -> float:
    """Half of an interval, natural logs."""
    assert found.value is not None
    assert found.high is not None
    return math.log(found.high / found.value)


ALONE = Carrying(share=0.0, by_time=0.0, reach=1.0, blank=1.0)


def test_what_was_dearer_elsewhere_is_dearer_here_and_takes_as_much_longer() -> None:
    """Ten times the joules elsewhere are 10^share times joules and seconds: the power stays."""
    joules, seconds = figures(brought(row()))
    more, longer = figures(brought(row(joules=4000.0)))
    assert more / joules == pytest.approx(10**CARRYING.share)
    assert longer / seconds == pytest.approx(10**CARRYING.share)


def test_the_whole_share_is_what_was_measured_elsewhere() -> None:
    """Carried whole, to a device nobody knows, the joules are the mean (of logs) of the others'."""
    whole = Carrying(share=1.0, by_time=1.0, reach=1.0, blank=1.0)
    both = brought(row(), row(device="I", joules=1600.0), carrying=whole)
    assert figures(both)[0] == pytest.approx(8.0)


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


def test_the_row_most_alike_counts() -> None:
    """Of a device's rows the one in the same precision, then of the nearest batch size."""
    rows = [row(precision="fp16", batch_size=size, joules=size) for size in (1.0, 8.0, 64.0)]
    rows += [row(precision="fp32", batch_size=32.0, joules=32.0)]
    view = catalog(*rows, row("a"))
    whole = Carrying(share=1.0, by_time=1.0, reach=1.0, blank=1.0)
    offers = moved(rows, DEVICES["H"], view, ESTIMATOR, "device", whole)
    assert sorted(figures(offer)[0] for offer in offers) == pytest.approx([0.01, 0.08, 0.32, 0.64])


def test_runtimes_tell_where_no_energy_was_measured() -> None:
    """Ten times the seconds move joules and seconds alike; two devices at it count twice."""
    bare: dict[str, Any] = {"gpu_j": None, "gpu_label": None}
    joules, seconds = figures(brought(row(**bare)))
    for longer in (row(**bare, runtime_s=20.0), row(**bare, runtime_s=10.0, n_devices=2)):
        more, slower = figures(brought(longer))
        assert more / joules == pytest.approx(10**CARRYING.by_time)
        assert slower / seconds == pytest.approx(10**CARRYING.by_time)


def test_idle_devices_in_the_joules_add_no_seconds() -> None:
    """Of eight cards that one worked on, the seconds tell; what the other seven drew does not."""
    own = {"n_devices": 8, "n_active_devices": 1}
    bare: dict[str, Any] = {"gpu_j": None, "gpu_label": None}
    told = figures(brought(row(joules=900.0, **own)))
    assert told == figures(brought(row(joules=9.0, **own))) == figures(brought(row(**bare, **own)))
    assert told == figures(brought(row(**bare)))
    assert told != figures(brought(row(joules=900.0, n_devices=8, n_active_devices=8)))
    view = catalog(row("a", joules=900.0, **own), row("a", "H"))
    assert compared(view, "H").ratio("device") == 0


@pytest.mark.parametrize("name", ["NVIDIA L4", "NVIDIA T4", "NVIDIA H100-SXM5-80GB"])
def test_published_rows_of_idle_cards_stay_between_their_seconds_and_the_estimate(
    name: str,
) -> None:
    """No runtime is longer than both the estimator's and that on the A100 that was measured."""
    device, estimator = BUNDLED.device(name), ESTIMATOR.informed(BUNDLED)
    rows = [row for row in rows_of(BUNDLED, "sst2") if row.n_active_devices == 1]
    rows = [row for row in rows if row.n_devices == 8]
    assert len(rows) > 10
    longest = math.exp(max(0.0, compared(BUNDLED, name).ratio(None)))
    took = {row.candidate: (row.runtime_s or math.nan) / row.n_items for row in rows}
    alone = moved(rows, device, BUNDLED, estimator, "device", ALONE)
    for before, after in zip(alone, moved(rows, device, BUNDLED, estimator, "device"), strict=True):
        measured = took[after.row.candidate] * longest
        assert figures(after)[1] <= max(measured, figures(before)[1]) * (1 + 1e-9)
        watts = [figures(offer)[0] / figures(offer)[1] for offer in (before, after)]
        assert watts[1] == pytest.approx(watts[0])


def test_without_any_figure_the_estimator_speaks_alone() -> None:
    """Modelled joules and waiting seconds move nothing and narrow nothing."""
    nothing = row(gpu_label="modelled", scenario="server")
    found = brought(nothing)
    alone = brought(nothing, carrying=ALONE)
    assert figures(found) == figures(alone)
    assert found.energy == alone.energy


def test_the_interval_is_narrowed_by_as_much_as_is_declared() -> None:
    """By one factor on a device nobody measured anything on, by another on one with rows."""
    other = row("a"), row("a", "H")
    for rows, reach in (((row(),), CARRYING.blank), ((row(), *other), CARRYING.reach)):
        found, alone = (brought(*rows, carrying=each).prediction for each in (CARRYING, ALONE))
        assert found is not None
        assert alone is not None
        assert half(found.energy_j) == pytest.approx(reach * half(alone.energy_j))
        assert half(found.runtime_s) == pytest.approx(reach * half(alone.runtime_s))


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


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA L4",
        "NVIDIA A100-SXM4-80GB",
        "NVIDIA GeForce RTX 4090",
        "AMD Ryzen 9 7950X 16-Core Processor",
        "QUALCOMM Cloud AI 100 Pro",
    ],
)
def test_no_brought_setup_implies_more_than_the_device_can_draw(name: str) -> None:
    """For every workload of the bundled catalog, energy over runtime stays below the limit."""
    device, estimator, n = BUNDLED.device(name), ESTIMATOR.informed(BUNDLED), 0
    most = HEADROOM * (device.power_max_w or device.tdp_w or math.nan)
    for workload in BUNDLED.by_workload:
        rows = [row for row in rows_of(BUNDLED, workload) if row.device != name]
        for offer in moved(rows, device, BUNDLED, estimator, "device"):
            joules, seconds = figures(offer)
            assert joules / seconds <= most * (1 + 1e-9)
            n += 1
    assert n > 500


@pytest.fixture(scope="module")
def withheld() -> ModuleType:
    """The script's cases as a module."""
    spec = importlib.util.spec_from_file_location("withheld", SCRIPTS / "withheld.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_scores_what_is_served(withheld: ModuleType) -> None:
    """Its columns for the declared constants are what `moved` gives; no candidate probes itself."""
    device = "NVIDIA V100-PCIE-32GB"
    cases = withheld.cases_of(BUNDLED, device)
    assert {case.row.device for case in cases} == {device}
    for case in cases:
        assert device not in {row.device for row in case.home}
    for k, probes, others in withheld.draws(cases, device):
        names = {case.row.candidate for case in probes}
        assert len(names) == len(probes) == k
        assert not names & {case.row.candidate for case in others}
    columns = withheld.gathered(BUNDLED, [device], ESTIMATOR.artefact)
    view = withheld.with_rows(BUNDLED, (row for row in BUNDLED.current if row.device != device))
    estimator = withheld.fitted(view, ESTIMATOR.artefact, device)
    first = [case for case in cases if case.choice == cases[0].choice]
    served = withheld.brought_back(first, view, estimator, CARRYING)
    for quantity, place in (("energy", 0), ("runtime", 1)):
        log, half_width = columns.served(quantity, CARRYING)
        own = [pair[place] for pair in served]
        assert log[: len(own)].tolist() == pytest.approx([pair[0] for pair in own])
        assert half_width[: len(own)].tolist() == pytest.approx([pair[1] for pair in own])


def test_an_option_says_that_measurements_elsewhere_count() -> None:
    """Where its energy comes from names them where there are some, and only there."""
    told = [
        option(offer, catalog(row()), "v").energy_from
        for offer in (
            brought(row()),
            brought(row(joules=400.0, gpu_label="modelled", runtime_s=None)),
        )
    ]
    assert told[0].endswith("was not run on this device, what it needed on others counts")
    assert told[1].endswith("was not run on this device")
