"""Tests of `train`: what trains, that nothing leaks, and that it can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from advisor.estimator.artefact import SCORECARD
from advisor.estimator.estimator import Estimator, load
from advisor.estimator.hardware import machines
from advisor.estimator.model import fit
from advisor.estimator.setup import Setup
from advisor.estimator.training_rows import (
    IN_TRAINING_TABLES,
    Rows,
    TooFewRowsError,
    catalog_rows,
    joined,
    trained_runs,
)
from advisor.evaluation import published_rows
from advisor.evaluation import train as training
from advisor.evaluation.cross_validation import held_out
from catalog import snapshot
from catalog.records import Measurement
from catalog.reference_data import FOLDER
from catalog.snapshot import Snapshot

BUNDLED = snapshot.load()
SPECS = machines(list(BUNDLED.devices.values()))


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
def rows() -> Rows:
    """All energies that the bundled estimator learns from."""
    return training.training_data(BUNDLED)[0]


def test_the_service_reads_a_device_as_training_did() -> None:
    """Rates, watts and all else of every trained device are the same to the last digit."""
    folder = Path(str(FOLDER)) / "training"
    energies = published_rows.read(folder / "energy.csv.gz")
    timed = pd.read_csv(folder / "runtime.csv.gz", usecols=["device"])
    given = published_rows.read_devices(folder / "devices.csv.gz")
    trained = published_rows.machines(given, [energies], BUNDLED.devices.values())
    places = {name: place for place, name in enumerate(trained["device"].tolist())}
    served = {name: place for place, name in enumerate(SPECS["device"].tolist())}
    names = sorted(({*energies["device"]} | {*timed["device"]}) & served.keys())
    assert len(names) > 200
    assert "AVX-512" in {word for name in names for word in BUNDLED.devices[name].isa}
    for column, values in SPECS.items():
        ours, theirs = (
            [table[at[name]] for name in names]
            for table, at in ((values, served), (trained[column], places))
        )
        if values.dtype == float:
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, err_msg=column)
        else:
            assert ours == theirs, column


def own_rows(view: Snapshot) -> Rows:
    """What a catalog adds to the training tables."""
    return catalog_rows(view, SPECS)


def test_training_tables_state_source_licence_and_commit() -> None:
    """Every bundled figure names where it was read; sentences of the sources are not kept."""
    for name in ("energy.csv.gz", "runtime.csv.gz"):
        table = pd.read_csv(Path(str(FOLDER)) / "training" / name, low_memory=False)
        assert table[["source", "licence"]].notna().all().all()
        assert table["commit"].notna().mean() > 0.9
        assert not {"notes", "citation"} & {*table.columns}
        assert len(table) > 5000


def test_the_training_tables_hold_what_the_catalog_shows_of_them(rows: Rows) -> None:
    """No bundled measurement of a source in the tables is learned from a second time."""
    assert {*own_rows(BUNDLED).sources} == {"zschache-hartwig-2025"}
    assert {*rows.sources} >= IN_TRAINING_TABLES
    assert len(set(rows.devices)) >= 27


def test_rows_at_a_request_rate_teach_nothing() -> None:
    """Their runtime holds idle time: power over it is not that of work."""
    at_work = next(row for row in BUNDLED.current if row.gpu_label and row.runtime_s)
    served = msgspec.structs.replace(
        at_work, run_id="x", source="calibration", scenario="server", rate_per_s=2.0
    )
    assert len(own_rows(with_rows(served))) == len(own_rows(BUNDLED))


def test_modelled_energy_never_trains() -> None:
    """Rows whose power was assumed leave every learned number as it was."""
    rows = [row for row in BUNDLED.current if row.gpu_j and row.runtime_s][:200]
    modelled = [
        msgspec.structs.replace(row, run_id="codecarbon", source="cc", gpu_j=1e-9,
                                gpu_label="modelled", cpu_j=None, cpu_label=None, dram_j=None,
                                dram_label=None, total_j=None, total_label=None, total_scope=None)
        for row in rows
    ]  # fmt: skip
    assert len(modelled) > 100
    assert len(own_rows(with_rows(*modelled))) == len(own_rows(BUNDLED))


def test_only_inference_with_a_runtime_trains() -> None:
    """Training runs, and rows without a runtime, teach nothing about inference."""
    row = next(row for row in BUNDLED.current if row.gpu_j and row.runtime_s)
    other = msgspec.structs.replace(row, run_id="x", source="x", phase="train")
    timeless = msgspec.structs.replace(row, run_id="y", source="y", runtime_s=None)
    assert len(own_rows(with_rows(other, timeless))) == len(own_rows(BUNDLED))


def test_nominal_power_of_a_single_chip_is_its_tdp(rows: Rows) -> None:
    """TDP x time in device scope, worked from the device table alone, is the baseline."""
    s = rows.setups
    single = (s["scope"] == "device") & (s["devices"] == 1) & (s["idle_w"] > 0)
    single &= ~s["startup"].astype(bool) & ~np.array(["Jetson" in name for name in s["device"]])
    tdp = [BUNDLED.devices[name].tdp_w for name in s["device"][single]]
    assert single.sum() > 500
    assert s["nominal_w"][single] == pytest.approx(np.array(tdp, dtype=float))


def few(rows: Rows) -> Rows:
    """Rows of some devices, to fit quickly."""
    kept = np.array([name == "mlperf-inference-power" for name in rows.sources])
    return rows.take(kept)


def test_a_held_out_device_never_sees_its_own_energies(rows: Rows) -> None:
    """Scrambling the energies of one device moves no prediction made for it, ours or baseline."""
    some = few(rows)
    device = "NVIDIA A100-SXM4-80GB"
    own = np.array([name == device for name in some.devices])
    scrambled = some.log_joules.copy()
    scrambled[own] = np.random.default_rng(0).permutation(scrambled[own]) + 3
    other = msgspec.structs.replace(some, log_joules=scrambled)

    def fold(these: Rows) -> Any:
        return next(each for each in held_out(these, "device") if own[each.index].all())

    before, after = fold(some), fold(other)
    for given in (True, False):
        first, second = before.predicted(given), after.predicted(given)
        assert (first.log_joules == second.log_joules).all()
        assert (first.spread == second.spread).all()
    for name, values in before.baselines.items():
        assert (values == after.baselines[name]).all(), name


def test_fitting_twice_gives_the_same_text(rows: Rows) -> None:
    """The same rows give the same model, to the byte."""
    some = few(rows)
    one, two = fit(some), fit(some)
    assert msgspec.json.encode(one) == msgspec.json.encode(two)


def test_too_little_is_refused(rows: Rows) -> None:
    """A handful of rows makes no estimator; the message says what is needed."""
    nothing = rows.take(np.arange(0))
    with pytest.raises(TooFewRowsError, match="at least 30 rows on 3 devices"):
        joined(rows.take(np.arange(10)), nothing)


def test_a_better_estimator_is_not_replaced_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An estimator that errs less on unseen devices stays, unless the new one is forced."""
    estimator = load()
    worse = msgspec.json.decode(msgspec.json.encode(estimator.scorecard))
    worse["splits"]["device"]["known_runtime"]["estimator"]["mdape_macro_device"] += 5
    monkeypatch.setattr(training, "learn", lambda _: (estimator.artefact, estimator.scorecard))
    training.train(BUNDLED, tmp_path)
    before = (tmp_path / SCORECARD).read_bytes()
    monkeypatch.setattr(training, "learn", lambda _: (estimator.artefact, worse))
    with pytest.raises(training.WorseEstimatorError, match="unseen devices"):
        training.train(BUNDLED, tmp_path)
    assert (tmp_path / SCORECARD).read_bytes() == before
    training.train(BUNDLED, tmp_path, force=True)
    assert (tmp_path / SCORECARD).read_bytes() != before


def informed(view: Snapshot, runs: list[str]) -> tuple[Estimator, Estimator]:
    """An estimator trained on some runs, before and after a catalog informed it."""
    loaded = load()
    trained = msgspec.structs.replace(loaded.artefact, runs=runs)
    before = Estimator(trained, loaded.scorecard, loaded.version)
    return before, before.informed(view)


def test_the_bundled_catalog_tells_nothing_twice() -> None:
    """What was trained on informs no more: no power changes, and nobody is at home anywhere."""
    before, after = load(), load().informed(snapshot.load(None))
    energies = np.isfinite(after.known.watts).sum()
    assert energies == np.isfinite(before.known.watts).sum()
    assert not after.home
    setup = Setup(
        device=BUNDLED.device("NVIDIA A30"),
        n_parameters=110e6,
        batch_size=32.0,
        tokens=64.0,
        runtime_s=0.002,
    )
    assert after.estimate(setup) == before.estimate(setup)


def test_further_runs_inform_about_their_machine() -> None:
    """A run that was not trained on adds its rows; its source is at home on the device."""
    whole = next(row for row in BUNDLED.current if row.gpu_label == "measured" and row.runtime_s)
    own = msgspec.structs.replace(whole, candidate="other", run_id="mine", source="me")
    view = with_rows(own)
    assert "mine" in trained_runs(view)
    before, after = informed(view, trained_runs(BUNDLED))
    added = np.isfinite(after.known.watts).sum() - np.isfinite(before.known.watts).sum()
    assert added >= 1
    assert after.home == {whole.device: "me"}


def test_a_calibrated_machine_stays_home_once_it_is_trained_on() -> None:
    """An estimator trained on a calibration still takes what is asked about its machine for its."""
    whole = next(row for row in BUNDLED.current if row.gpu_label == "measured" and row.runtime_s)
    own = msgspec.structs.replace(
        whole, candidate="own", run_id="own", source="calibration", host="box"
    )
    view = with_rows(own)
    _, after = informed(view, trained_runs(view))
    assert after.home == {whole.device: "calibration|box"}
