"""Tests of `train`: what trains, that nothing leaks, and that it can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from advisor.estimator import artefact
from advisor.estimator.estimator import Estimator, load
from advisor.estimator.features import numbers
from advisor.estimator.imputation import imputation
from advisor.estimator.machine_effects import Known
from advisor.estimator.model import Memory, designs, fit
from advisor.estimator.setup import Setup
from advisor.estimator.training_rows import Rows, TooFewRowsError, trained_runs, training_rows
from advisor.evaluation.cross_validation import held_out, prepare
from advisor.evaluation.train import WorseEstimatorError, train
from catalog import snapshot
from catalog.records import Measurement
from catalog.snapshot import Snapshot

BUNDLED = snapshot.load()


def with_rows(*rows: Measurement, measurements: tuple[Measurement, ...] | None = None) -> Snapshot:
    """The bundled catalog (or some of its rows) with further rows."""
    kept = BUNDLED.measurements if measurements is None else measurements
    return Snapshot(
        measurements=(*kept, *rows),
        devices=BUNDLED.devices,
        workloads=BUNDLED.workloads,
        candidates=BUNDLED.candidates,
        digest=BUNDLED.digest,
    )


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The estimator trained again from the bundled figures."""
    folder = tmp_path_factory.mktemp("retrained")
    train(BUNDLED, folder)
    return folder


def assert_same(one: Any, two: Any, where: str = "$") -> None:
    """Two JSON values agree, numbers to a millionth."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for name in one:
            assert_same(one[name], two[name], f"{where}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(two), where
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(one, float):
        assert one == pytest.approx(two, rel=1e-6, abs=1e-6), where
    else:
        assert one == two, where


def test_rows_at_a_request_rate_teach_nothing() -> None:
    """Their runtime holds idle time: power over it is not that of work."""
    at_work = next(row for row in BUNDLED.current if row.gpu_label and row.runtime_s)
    served = msgspec.structs.replace(at_work, run_id="x", scenario="server", rate_per_s=2.0)
    assert len(training_rows(with_rows(served)).models) == len(training_rows(BUNDLED).models)


def test_the_bundled_artefact_is_what_training_gives(retrained: Path) -> None:
    """Anybody can rebuild the estimator and its scorecard from the figures in the box."""
    for name in (artefact.ESTIMATOR, artefact.SCORECARD):
        bundled = Path(artefact.__file__).parent / "artefact_files" / name
        kept, made = (
            msgspec.json.decode(path.read_bytes()) for path in (bundled, retrained / name)
        )
        for plain in (kept, made):
            plain.pop("libraries", None)
            plain.pop("version", None)
        assert_same(kept, made, name)


def test_training_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    """The same catalog gives the same files, byte for byte."""
    few = tuple(row for row in BUNDLED.measurements if row.source == "protran-2022")
    more = tuple(row for row in BUNDLED.measurements if row.source == "zschache-hartwig-2025")
    view = with_rows(measurements=few[:60] + more)
    for name in ("one", "two"):
        train(view, tmp_path / name)
    for name in (artefact.ESTIMATOR, artefact.SCORECARD):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nominal_power_of_a_single_chip_is_its_tdp() -> None:
    """TDP x time in device scope, worked from the records alone, is the baseline's prediction."""
    rows = training_rows(BUNDLED)
    raw = numbers(rows.setups, imputation(list(BUNDLED.devices.values())))
    known, _ = designs(raw)
    baseline = np.exp(known.log_nominal_w + known.log_runtime_s)
    single = [
        i
        for i, setup in enumerate(rows.setups)
        if setup.scope == "device"
        and setup.device.tdp_w
        and setup.n_devices in (None, 1)
        and not setup.startup
    ]
    own = [(rows.setups[i].device.tdp_w or 0) * (rows.setups[i].runtime_s or 0) for i in single]
    assert len(single) > 500
    assert baseline[single] == pytest.approx(own)


def test_the_tdp_baseline_of_the_scorecard_can_be_recomputed(retrained: Path) -> None:
    """Its macro median and mean error on held-out devices, worked with pandas."""
    card = msgspec.json.decode((retrained / artefact.SCORECARD).read_bytes())
    rows = training_rows(BUNDLED)
    raw = numbers(rows.setups, imputation(list(BUNDLED.devices.values())))
    known, _ = designs(raw)
    table = pd.DataFrame({"device": rows.devices, "joules": np.exp(rows.log_joules)})
    table["guess"] = np.exp(known.log_nominal_w) * np.exp(known.log_runtime_s)
    table["ape"] = 100 * (table.guess - table.joules).abs() / table.joules
    figures = card["splits"]["device"]["known_runtime"]["baselines"]["tdp_time"]
    by_device = table.groupby("device").ape.median()
    assert figures["mdape_macro_device"] == pytest.approx(by_device.mean(), abs=0.01)
    assert figures["mape"] == pytest.approx(table.ape.mean(), abs=0.01)
    assert figures["within25"] == pytest.approx(100 * (table.ape <= 25).mean(), abs=0.01)
    assert len(card["splits"]["device"]["by_device"]) == len(by_device)


def test_modelled_energy_never_trains() -> None:
    """Rows whose power was assumed leave every learned number as it was."""
    rows = [row for row in BUNDLED.current if row.gpu_j and row.runtime_s][:200]
    modelled = [
        msgspec.structs.replace(row, run_id="codecarbon", source="cc", gpu_j=1e-9,
                                gpu_label="modelled", cpu_j=None, cpu_label=None, dram_j=None,
                                dram_label=None, total_j=None, total_label=None, total_scope=None)
        for row in rows
    ]  # fmt: skip
    before, after = training_rows(BUNDLED), training_rows(with_rows(*modelled))
    assert len(modelled) > 100
    assert after.setups == before.setups
    assert (after.log_joules == before.log_joules).all()


def test_only_inference_with_a_runtime_trains() -> None:
    """Training runs, and rows without a runtime, teach nothing about inference."""
    row = next(row for row in BUNDLED.current if row.gpu_j and row.runtime_s)
    other = msgspec.structs.replace(row, run_id="x", source="x", phase="train")
    timeless = msgspec.structs.replace(row, run_id="y", source="y", runtime_s=None)
    assert len(training_rows(with_rows(other, timeless)).models) == len(
        training_rows(BUNDLED).models
    )


def test_a_held_out_device_never_sees_its_own_energies() -> None:
    """Scrambling the energies of one device moves no prediction made for it, ours or baseline."""
    rows = training_rows(BUNDLED)
    stand_in = imputation(list(BUNDLED.devices.values()))
    device = "NVIDIA A100-SXM4-80GB"
    own = np.array([name == device for name in rows.devices])
    scrambled = rows.log_joules.copy()
    scrambled[own] = np.random.default_rng(0).permutation(scrambled[own]) + 3
    other = msgspec.structs.replace(rows, log_joules=scrambled)

    def fold(these: Rows) -> Any:
        found = held_out(prepare(these, stand_in), "device")
        return next(each for each in found if own[each.index].all())

    before, after = fold(rows), fold(other)
    for given in (True, False):
        first, second = before.predicted(given), after.predicted(given)
        assert (first.log_joules == second.log_joules).all()
        assert (first.spread == second.spread).all()
    for name, values in before.baselines.items():
        assert (values == after.baselines[name]).all(), name


def test_shuffled_rows_teach_the_same() -> None:
    """The order of rows in the catalog does not matter."""
    rows = training_rows(BUNDLED)
    stand_in = imputation(list(BUNDLED.devices.values()))
    order = np.random.default_rng(0).permutation(len(rows.models))
    raw = numbers(rows.setups, stand_in)
    groups = rows.groupings()
    one = fit(*designs(raw), rows.log_joules, groups, rows.pairs)
    two = fit(
        *designs(raw[:, order]),
        rows.log_joules[order],
        [[names[i] for i in order] for names in groups],
        [rows.pairs[i] for i in order],
    )
    assert two.power.slopes == pytest.approx(one.power.slopes, rel=1e-6, abs=1e-9)
    own = designs(raw)[0].X
    assert two.power.predict(own) == pytest.approx(one.power.predict(own), abs=1e-6)
    assert two.time.trees == one.time.trees
    assert two.time.surface == one.time.surface
    assert two.pairs == pytest.approx(one.pairs, abs=1e-9)


def test_a_better_estimator_is_not_replaced_silently(retrained: Path) -> None:
    """An estimator that errs less on unseen devices stays, unless the new one is forced."""
    few = tuple(row for row in BUNDLED.measurements if row.source == "protran-2022")
    more = tuple(row for row in BUNDLED.measurements if row.source == "zschache-hartwig-2025")
    view = with_rows(measurements=few[:60] + more)
    before = (retrained / artefact.ESTIMATOR).read_bytes()
    with pytest.raises(WorseEstimatorError, match="unseen devices"):
        train(view, retrained)
    assert (retrained / artefact.ESTIMATOR).read_bytes() == before


def test_too_little_is_refused() -> None:
    """A handful of rows makes no estimator; the message says what is needed."""
    with pytest.raises(TooFewRowsError, match="at least 30 rows on 3 devices"):
        training_rows(with_rows(measurements=BUNDLED.measurements[:10]))


def informed(view: Snapshot, runs: list[str]) -> tuple[Estimator, Estimator]:
    """An estimator trained on some runs, before and after a catalog informed it."""
    loaded = load()
    trained = msgspec.structs.replace(loaded.artefact, runs=runs)
    before = Estimator(trained, loaded.scorecard, loaded.version)
    return before, before.informed(view)


def memories(estimator: Estimator) -> Memory:
    """What it knows of machines."""
    return estimator._deviations.memory


def counted(memory: Mapping[str, Known]) -> dict[str, int]:
    """Rows of each machine."""
    return {name: len(known.sources) for name, known in memory.items()}


def test_the_bundled_catalog_tells_nothing_twice() -> None:
    """What was trained on informs no more: no power changes, and nobody is at home anywhere."""
    before, after = load(), load().informed(snapshot.load(None))
    one, two = memories(before).power, memories(after).power
    assert one.keys() == two.keys()
    for name, known in one.items():
        assert known.sources == two[name].sources
        assert (known.residual == two[name].residual).all()
    assert not after.home
    setup = Setup(
        device=BUNDLED.device("NVIDIA A30"),
        n_parameters=110e6,
        batch_size=32.0,
        tokens=64.0,
        runtime_s=0.002,
    )
    assert after.estimate(setup) == before.estimate(setup)


def test_runs_that_also_tell_time_keep_informing() -> None:
    """Of a run trained on in part, the rows without joules tell the time, and nothing else."""
    whole = next(row for row in BUNDLED.current if row.gpu_label == "measured" and row.runtime_s)
    energies = {name: None for name in whole.__struct_fields__ if name.endswith(("_j", "_label"))}
    bare = msgspec.structs.replace(whole, candidate="other", run_id="mixed", **energies)
    full = msgspec.structs.replace(whole, candidate="another", run_id="mixed")
    view, device = with_rows(bare, full), whole.device
    runs = trained_runs(view)
    assert "mixed" in runs
    assert trained_runs(with_rows(bare)) == trained_runs(BUNDLED) == load().artefact.runs
    before, after = informed(view, runs)
    assert counted(memories(after).power) == counted(memories(before).power)
    _, bundled = informed(BUNDLED, runs)
    times = counted(memories(after).time)
    assert times.pop(device) == counted(memories(bundled).time).pop(device) + 1
    assert not after.home
    _, further = informed(view, [run for run in runs if run != "mixed"])
    assert counted(memories(further).power)[f"{device}|device"] > counted(
        memories(before).power
    ).get(f"{device}|device", 0)
    assert further.home == {device: whole.source}


def test_a_calibrated_machine_stays_home_once_it_is_trained_on() -> None:
    """An estimator trained on a calibration still takes what is asked about its machine for its."""
    whole = next(row for row in BUNDLED.current if row.gpu_label == "measured" and row.runtime_s)
    own = msgspec.structs.replace(
        whole, candidate="own", run_id="own", source="calibration", host="box"
    )
    view = with_rows(own)
    _, after = informed(view, trained_runs(view))
    assert after.home == {whole.device: "calibration|box"}
