"""Doubtful trials: measured again at quieter moments, else kept as history that informs nothing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from advisor.estimator import training_rows
from calibration import suite
from calibration.hardware import usage
from calibration.hardware.machine import Machine
from calibration.measurement import attempts, trial
from calibration.measurement.attempts import Notice, Patience, load_in_words, settled
from calibration.measurement.windows import WindowSummary
from calibration.meters.machine_meter import NullMeter
from calibration.records import Event, Profile
from catalog import snapshot as snapshots
from catalog.doubt import doubts
from catalog.records import Measurement, RunFile
from catalog.snapshot import Snapshot
from catalog.store.database import Store

VM = Machine(cpu="AMD EPYC", sockets=1, cores=2, threads=2, memory_gib=23, hypervisor="KVM")
QUIET_S, BUSY_S = 0.013, 0.511
"""Seconds of MiniLM for one text, alone on two cores and beside a process that takes one."""
PROFILE = Profile(name="quick", window_s=0.01, repeats=3, warmup_s=0.01, idle_s=0.01)
NB = "bow-complement-nb"


def row(
    flags: tuple[str, ...] = (), at: int = 1, cores: float = 0.0, **more: object
) -> Measurement:
    """A row of the suite."""
    given: dict[str, object] = {
        "run_id": f"r{at}",
        "source": "calibration",
        "workload": "synthetic",
        "candidate": NB,
        "device": "AMD EPYC (2 vCPU, KVM)",
        "scenario": "single",
        "n_items": 10.0,
        "runtime_s": 1.0,
        "flags": flags,
        "fingerprint": json.dumps({"context": {"other_cores": cores}}),
        "measured_at": f"2026-12-{at:02d}T08:00:00+00:00",
    }
    return msgspec.convert(given | more, Measurement)


def replayed(rows: list[Measurement]) -> Callable[[int], Measurement]:
    """Measures what was recorded, attempt by attempt."""
    return lambda attempt: rows[attempt - 1]


def patience(*loads: float, left_s: float = 300.0) -> Patience:
    """Looks at recorded loads instead of waiting."""
    seen = iter(loads)
    return Patience(left_s=left_s, look=lambda _: next(seen), sleep=lambda _: None)


def kept(steps: Iterator[Measurement | Notice]) -> tuple[Measurement, list[str]]:
    """The row that is kept, and what was said before it."""
    *said, last = steps
    assert isinstance(last, Measurement)
    return last, [each.said for each in said if isinstance(each, Notice)]


def test_a_loaded_trial_waits_and_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sound attempt is the row, and the wait is told in plain words."""
    monkeypatch.setattr(usage, "n_cores", lambda: 2)
    sound, waits = row(at=2), patience(0.9, 0.8, 0.1)
    found, said = kept(
        settled(replayed([row(("other-load",), cores=0.9), sound, row(at=3)]), 3, 60, waits)
    )
    assert found is sound
    assert said == [
        "another process uses 0.9 of 2 cores; waiting up to 60 s",
        "measured again, as it was other-load",
    ]
    assert waits.left_s == 294


def test_what_stays_doubtful_is_the_least_doubtful_attempt() -> None:
    """Three further attempts, no more; fewer doubts go first, then less load, then less spread."""
    tries = [
        row(("other-load", "unstable"), cores=0.6, cv=0.3),
        row(("other-load",), 2, cores=0.9, cv=0.01),
        row(("other-load",), 3, cores=0.7, cv=0.02),
        row(("other-load",), 4, cores=0.8, cv=0.01),
    ]
    found, said = kept(settled(replayed(tries), 3, 60, patience(*[0.1] * 3)))
    assert found is tries[2]
    assert sum("waiting" in each for each in said) == 3


def test_waiting_is_bounded_by_trial_and_by_run() -> None:
    """A machine that is always busy uses up the run's patience; then it is only repeated."""
    always = row(("other-load",), cores=1.7)
    waits = patience(*[1.7] * 200, left_s=100)
    _, said = kept(settled(replayed([always] * 4), 3, 60, waits))
    assert [each for each in said if "waiting" in each] == [
        f"{load_in_words(1.7)}; waiting up to 60 s",
        f"{load_in_words(1.7)}; waiting up to 40 s",
    ]
    assert waits.left_s == 0
    assert load_in_words(1.7).startswith("other processes use 1.7 of ")


def test_a_throttled_chip_gets_time_to_cool() -> None:
    """An unstable trial without load is repeated at once, a throttled one after a pause."""
    slept: list[float] = []
    waits = Patience(left_s=300, look=lambda _: 0.0, sleep=slept.append)
    tries = [row(("throttled",)), row(("unstable",), 2), row(at=3)]
    found, said = kept(settled(replayed(tries), 3, 60, waits))
    assert (found, slept) == (tries[2], [30.0])
    assert said[0] == "the chip is throttled; waiting 30 s for it to cool"


def test_published_flags_are_no_doubt() -> None:
    """Only what can be measured anew is history for its flags."""
    assert doubts(row(("llm", "unstable", "other-load"))) == ("other-load", "unstable")
    assert doubts(row(("unstable",), source="luccioni-2024")) == ()
    assert doubts(row(("suspect", "length-sorted"))) == ()


def as_snapshot(rows: list[Measurement], store: Store | None) -> Snapshot:
    """A catalog of some rows, those of a store or given ones."""
    if store is not None:
        for each in rows:
            store.add(RunFile(measurements=(each,)))
        return snapshots.load(store)
    base = snapshots.load()
    return Snapshot(
        measurements=rows,
        devices=base.devices,
        workloads=base.workloads,
        candidates=base.candidates,
        digest="",
    )


@pytest.mark.parametrize("stored", [False, True])
def test_doubtful_rows_supersede_nothing_and_are_current_nowhere(
    store: Store, stored: bool
) -> None:
    """A later doubtful row leaves the sound one; alone it is history, and its accuracy holds."""
    sound, later = row(at=1), row(("other-load",), at=2, runtime_s=40.0)
    alone = row(
        ("unstable",), at=3, scenario="offline", accuracy=0.8, n_test=1000, accuracy_split="test"
    )
    store.migrate()
    found = as_snapshot([sound, later, alone], store if stored else None)
    own = [each for each in found.current if each.source == "calibration"]
    assert own == [sound]
    assert found.doubtful == (alone,)
    assert [each for _, each in found.rows({"source": {"calibration"}}, current=True)] == [sound]
    assert len(list(found.rows({"source": {"calibration"}}, current=False))) == 2
    if stored:
        again = snapshots.load(store, found)
        assert (again.current, again.doubtful) == (found.current, found.doubtful)
        newer = row(at=4, scenario="offline")
        store.add(RunFile(measurements=(newer,)))
        replaced = snapshots.load(store, again)
        assert newer in replaced.current
        assert replaced.doubtful == ()
        assert any(r.accuracy == 0.8 for r in found.accuracies.of("synthetic"))


def test_doubtful_rows_inform_no_estimate(store: Store) -> None:
    """Neither training nor probes of the estimator see them."""
    store.migrate()
    device = suite.this_device(snapshots.load())
    joules = {"cpu_j": 1.0, "cpu_label": "measured", "device": device.name}
    rows = [row(at=1, **joules), row(("other-load",), at=2, scenario="offline", **joules)]
    for each in rows:
        store.add(RunFile(measurements=(each,), devices=(device,)))
    found = snapshots.load(store)
    own = training_rows.probes(found, frozenset())
    assert [each for each in own if each.source == "calibration"] == [rows[0]]
    assert list(training_rows.calibrated(found)) == [rows[0]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """A machine whose load is `others`; windows take as long as they took at that load."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    state = {"others": 0.0, "left": 0.0}

    def measured(*_: object, **__: object) -> WindowSummary:
        per_text = QUIET_S if state["others"] < 0.5 else BUSY_S
        return WindowSummary(
            n_items=100,
            runtime_s=100 * per_text,
            latency_p50_ms=1000 * per_text,
            latency_p95_ms=1000 * per_text,
            repeats=3,
            cv=0.01,
            unstable=False,
            components={},
        )

    def look(seconds: float) -> float:
        state["left"] -= seconds
        if state["left"] <= 0:
            state["others"] = 0.0
        return state["others"]

    monkeypatch.setattr(trial, "measure", measured)
    monkeypatch.setattr(usage.OtherLoad, "mean_cores", lambda _: state["others"])
    monkeypatch.setattr(usage, "n_cores", lambda: 2)
    monkeypatch.setattr(attempts.Patience.__init__, "__defaults__", (300.0, look, lambda _: None))
    return state


def calibrated(store: Store, *, again: bool = False) -> tuple[suite.Summary, list[Event]]:
    """A calibration of one candidate on the synthetic workload."""
    heard: list[Event] = []
    made = suite.plan(
        snapshots.load(store),
        candidates=[NB],
        workloads=["synthetic"],
        profile=PROFILE,
        machine=VM,
        meter=NullMeter(),
        again=again,
    )
    return suite.calibrate(made, store, on_event=heard.append), heard


def seconds_a_text(store: Store) -> dict[str, float]:
    """Seconds a text of the current inference rows of the suite, by scenario."""
    rows = snapshots.load(store).current
    return {
        each.scenario: (each.runtime_s or 0) / each.n_items
        for each in rows
        if each.source == "calibration" and each.phase == "inference"
    }


def test_a_load_that_ends_leaves_the_quiet_figure(store: Store, machine: dict[str, float]) -> None:
    """With a load on one core that ends, the stored row is within 15 % of the quiet one."""
    machine.update(others=0.9, left=20)
    summary, heard = calibrated(store)
    assert (summary.done, summary.doubtful) == (3, 0)
    found = seconds_a_text(store)
    assert found.keys() == {"single", "offline"}
    assert all(abs(value / QUIET_S - 1) < 0.15 for value in found.values())
    delayed = [each.reason for each in heard if each.kind == "delayed"]
    assert delayed[0] == "another process uses 0.9 of 2 cores; waiting up to 60 s"
    assert [each.done for each in heard if each.kind == "delayed"] == [0] * len(delayed)


def test_a_load_that_stays_leaves_history_that_is_measured_anew_on_demand(
    store: Store, machine: dict[str, float]
) -> None:
    """Marked and used for nothing; present by default, and replaced with ``--again``."""
    machine.update(others=0.9, left=1e9)
    summary, _ = calibrated(store)
    assert (summary.done, summary.doubtful) == (3, 3)
    assert all("other-load" in each.flags for each in store.measurements())
    assert seconds_a_text(store) == {}
    machine.update(others=0.0)
    plain, _ = calibrated(store)
    assert (plain.done, plain.present, plain.doubtful) == (0, 3, 3)
    again, _ = calibrated(store, again=True)
    assert (again.done, again.present, again.doubtful) == (3, 0, 0)
    assert seconds_a_text(store) == pytest.approx({"single": QUIET_S, "offline": QUIET_S})
    last, _ = calibrated(store, again=True)
    assert (last.done, last.present) == (0, 3)
