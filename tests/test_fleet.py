"""A fleet on a real scheduler and real worker processes that pose as different machines.

What a worker pretends to be, and what goes wrong on it, is the preload `posing`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import free_port
from posed import ROOT, Cluster
from test_cross_validation import WATTS, lines, write

from advisor.evaluation import cross_validation as evaluation
from advisor.evaluation import evaluate as evaluating
from api.cli.context import folds_on
from calibration.fleet import client as fleet
from calibration.fleet.client import FleetError, Heard, Joined, Notice
from calibration.hardware.lock import LOCK_NAME, BusyError, measurement_lock
from calibration.records import Event, Profile
from catalog import snapshot
from catalog.doubt import doubts
from catalog.records import Measurement, SetupKey
from catalog.store.database import Store

distributed: Any = pytest.importorskip("distributed")

TINY = Profile(name="tiny", window_s=0.02, repeats=3, warmup_s=0.02, idle_s=0.01, retries=0)
BOW = ("bow-complement-nb", "bow-linear-svm", "bow-logistic", "bow-lightgbm")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty catalog in SQLite; only the client opens it, as in any calibration."""
    made = Store(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    made.migrate()
    yield made
    made.engine.dispose()


def calibrate(
    cluster: Cluster, store: Store, *names: str, hear: Callable[[Heard], None], **more: Any
) -> Any:
    """Calibrates the fleet with very short windows."""
    known = snapshot.load(store)
    asked = fleet.request(known, candidates=names, profile=TINY, seed=1)
    return fleet.calibrate(cluster.address, asked, known, store, hear=hear, **more)


def setup(row: Measurement) -> tuple[Any, ...]:
    """What identifies a row's setup."""
    return SetupKey.of(row)


def said(heard: list[Heard]) -> str:
    """All notices."""
    return "\n".join(each.said for each in heard if isinstance(each, Notice))


def test_each_trial_once_though_workers_die_and_come_late(cluster: Cluster, store: Store) -> None:
    """Machines that die, one that comes back, a late duplicate: the catalog equals the plan."""
    cluster.worker("a", "AMD EPYC 1", bow_linear_svm="kill")
    cluster.worker("b", "Intel Xeon 2", nanny=True, bow_logistic="kill")
    cluster.worker("c", "AMD Ryzen 3")
    heard: list[Heard] = []

    def hear(message: Heard) -> None:
        if isinstance(message, Event) and not any(isinstance(each, Event) for each in heard):
            cluster.worker("d", "AMD EPYC 1")
        heard.append(message)

    summary = calibrate(cluster, store, *BOW, hear=hear, machines=4)
    assert (summary.done, summary.failed, summary.skipped) == (36, 0, 0), (summary, heard)
    rows = store.measurements()
    assert len(rows) == 36
    joined = [each for each in heard if isinstance(each, Joined)]
    planned = Counter(trial.setup for each in joined for trial in each.trials)
    assert planned == Counter(map(setup, rows))
    assert set(planned.values()) == {1}
    assert sorted(each.place for each in joined) == ["AMD EPYC 1", "AMD Ryzen 3", "Intel Xeon 2"]
    assert len({row.run_id for row in rows}) == 3
    assert "b, bow-logistic on tickets: its worker died" in said(heard)
    assert "a, bow-linear-svm on tickets: its worker died" in said(heard)
    assert "d joins AMD EPYC 1" in said(heard)
    ended = {
        (each.place, each.node)
        for each in heard
        if isinstance(each, Event)
        and each.kind == "finished"
        and each.candidate == "bow-linear-svm"
    }
    assert ended == {("AMD EPYC 1", "d"), ("Intel Xeon 2", "b"), ("AMD Ryzen 3", "c")}
    one_at_a_time(cluster)
    assert "Geheimwort" not in cluster.logs() + repr(heard)
    content = b"".join(path.read_bytes() for path in cluster.folder.glob("catalog.sqlite*"))
    assert b"geheimwort" not in content.lower()


def test_what_kills_two_workers_fails_and_trials_without_a_machine_too(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is measured; hardware that is gone for good is reported, and the run ends."""
    monkeypatch.setattr(fleet, "GRACE_S", 8.0)
    for name in ("a", "c", "d"):
        cluster.worker(name, "AMD EPYC 1", bow_linear_svm="kill")
    cluster.worker("b", "Intel Xeon 2", bow_logistic="kill")
    heard: list[Heard] = []
    summary = calibrate(cluster, store, *BOW[1:3], hear=heard.append, machines=4)
    reasons = {
        (each.place, each.candidate): each.reason
        for each in heard
        if isinstance(each, Event) and each.kind == "failed"
    }
    died = "its worker died"
    assert reasons[("AMD EPYC 1", "bow-linear-svm")] == f"{died}, 2 times"
    left = "no machine of this hardware is left"
    assert reasons[("Intel Xeon 2", "bow-logistic")] == f"{died}; {left}"
    assert reasons.get(("Intel Xeon 2", "bow-linear-svm"), left) == left
    assert (summary.done, summary.done + summary.failed) == (len(store.measurements()), 12)
    rows = {(row.device, row.candidate) for row in store.measurements()}
    assert ("AMD EPYC 1", "bow-logistic") in rows


def test_identical_machines_measure_side_by_side_if_hardware_is_measured_twice(
    cluster: Cluster, store: Store
) -> None:
    """A pass each, in runs of their own; machines with another release or none are left out."""
    cluster.worker("a", "AMD EPYC 1", slow_s=1)
    cluster.worker("b", "AMD EPYC 1", slow_s=1)
    cluster.worker("v", "AMD EPYC 1", version="joulewise 0.1, protocol 1")
    cluster.worker("w", "AMD EPYC 1", version="")
    heard: list[Heard] = []
    calibrate(cluster, store, *BOW[:3], hear=heard.append, machines=2, per_hardware=2)
    at_work: defaultdict[str | None, set[str | None]] = defaultdict(set)
    for each in heard:
        if isinstance(each, Event) and each.kind == "finished":
            at_work[each.place].add(each.node)
    assert at_work in (
        {"AMD EPYC 1": {"a"}, "AMD EPYC 1, pass 2": {"b"}},
        {"AMD EPYC 1": {"b"}, "AMD EPYC 1, pass 2": {"a"}},
    )
    assert len({row.run_id for row in store.measurements()}) == 2
    assert set(Counter(map(setup, store.measurements())).values()) == {2}
    assert "is left out: the worker failed with NameError; is joulewise[cal" in said(heard)
    assert "v is left out: it has joulewise 0.1, protocol 1, this is joulewise" in said(heard)


def one_at_a_time(cluster: Cluster) -> None:
    """On no node two candidates were fitted at once."""
    spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for file in cluster.folder.glob("*.spans"):
        for line in file.read_text().splitlines():
            begun, ended = map(float, line.split())
            spans[file.stem].append((begun, ended))
    assert spans
    for each in spans.values():
        each.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(each))


def test_a_busy_machine_is_waited_for_and_hardware_measured_twice(
    cluster: Cluster, store: Store
) -> None:
    """Nothing runs beside another calibration; two passes make two runs; a third finds all there.

    Two workers on one machine still measure one thing at a time.
    """
    folder = cluster.folder / "e"
    folder.mkdir()
    cluster.worker("e", "AMD EPYC 1")
    cluster.worker("e", "AMD EPYC 1")
    heard: list[Heard] = []
    lock = measurement_lock(folder / LOCK_NAME)
    lock.__enter__()

    def hear(message: Heard) -> None:
        heard.append(message)
        if isinstance(message, Notice) and "waits" in message.said:
            assert store.measurements() == []
            with ThreadPoolExecutor(1) as thread:
                beside = thread.submit(calibrate, cluster, store, BOW[0], hear=heard.append)
                with pytest.raises(BusyError, match="another calibration runs on the scheduler"):
                    beside.result()
            lock.__exit__(None, None, None)

    first = calibrate(cluster, store, *BOW[:2], hear=hear, per_hardware=2)
    assert f"e waits: another calibration is measuring on this machine (process {os.getpid()}" in (
        said(heard)
    )
    assert (first.done, first.present) == (12, 0)
    rows = store.measurements()
    assert set(Counter(map(setup, rows)).values()) == {2}
    assert len({(setup(row), row.run_id) for row in rows}) == 12
    again = calibrate(cluster, store, *BOW[:2], hear=heard.append, per_hardware=2)
    assert (again.done, again.present) == (0, 12)
    third = calibrate(cluster, store, *BOW[:2], hear=heard.append, per_hardware=3)
    assert (third.done, third.present) == (6, 12)
    one_at_a_time(cluster)


def test_without_scheduler_or_texts_it_says_so(cluster: Cluster, store: Store) -> None:
    """Nobody there to answer, or nothing any machine can measure, is an error with the reason."""
    known = snapshot.load(store)
    asked = fleet.request(known, candidates=[BOW[0]], profile=TINY, workloads=["sst2"])
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(FleetError, match=nowhere):
        fleet.calibrate(nowhere, asked, known, store, hear=lambda _: None)
    cluster.worker("f", "AMD EPYC 1")
    with pytest.raises(FleetError, match=r"f: .*sst2"):
        fleet.calibrate(cluster.address, asked, known, store, hear=lambda _: None)


COMMAND = """
import sys
from functools import partial
from api.cli import calibrate
from api.cli.main import app
from api.cli.context import load_snapshot, open_store
from calibration.fleet import client as fleet
from test_fleet import TINY

address = sys.argv[1]
app(["calibrate", "--scheduler", address, "--candidate", "bow-linear-svm", "--plan", "--json"],
    standalone_mode=False)
known = load_snapshot()
asked = fleet.request(known, candidates=["bow-linear-svm"], profile=TINY)
store = open_store()
start = partial(fleet.calibrate, address, asked, known, store)
print(calibrate.calibrate_fleet(start, asked, store, log=None, as_json=True))
"""


def test_the_command_plans_and_tells_a_fleet(
    cluster: Cluster, store: Store, tmp_path: Path
) -> None:
    """`--plan` measures nothing; a run tells notices and steps by hardware, and the fronts last."""
    cluster.worker("g", "AMD EPYC 1")
    known = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    known |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "JOULEWISE_CATALOG": store.url}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, cluster.address],
        env=known, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *lines, code = [json.loads(line) for line in done.stdout.splitlines()]
    (hardware,) = lines[0]["hardware"]
    assert hardware["place"] == "AMD EPYC 1"
    assert [t["phase"] for t in hardware["trials"]] == ["train", "inference", "inference"]
    assert {"kind": "notice", "said": "g joins as AMD EPYC 1"} in lines
    steps = [line for line in lines if line.get("place") and "kind" in line]
    assert [step["kind"] for step in steps] == ["started", "finished"] * 3
    assert {(step["place"], step["node"]) for step in steps} == {("AMD EPYC 1", "g")}
    ended = lines[-1]
    assert (ended["done"], code) == (3, 0)
    sound = any(row.phase == "inference" and not doubts(row) for row in store.measurements())
    assert [each["workload"] for each in ended["results"]] == ["tickets"] * sound
    assert len(store.measurements()) == 3
    assert [each.candidate for each in store.predictions()] == ["bow-linear-svm"]
    logged = [json.loads(line) for line in Path(ended["log"]).read_text().splitlines()]
    assert [{k: v for k, v in line.items() if k != "at"} for line in logged[1:]] == lines[1:]


def test_ctrl_c_and_a_lost_scheduler_keep_what_is_finished(cluster: Cluster, store: Store) -> None:
    """The summary or the error says so; the next run measures what is missing, nothing twice."""
    cluster.worker("i", "AMD EPYC 1", slow_s=0.5)

    def interrupt(message: Heard) -> None:
        if isinstance(message, Event) and message.kind == "finished":
            raise KeyboardInterrupt

    ended = calibrate(cluster, store, *BOW[:3], hear=interrupt)
    assert (ended.interrupted, ended.done) == (True, 1)
    assert len(store.measurements()) == 1

    def kill(message: Heard) -> None:
        if isinstance(message, Event) and message.kind == "finished":
            cluster.stop_scheduler()

    with pytest.raises(FleetError, match="the scheduler is gone"):
        calibrate(cluster, store, *BOW[:3], hear=kill)
    rows = store.measurements()
    assert len(rows) >= 2
    assert set(Counter(map(setup, rows)).values()) == {1}


ORDINARY = """
from api.cli.context import load_snapshot, open_store
from calibration import suite
from test_fleet import TINY

plan = suite.plan(load_snapshot(), candidates=["bow-complement-nb"], profile=TINY)
assert suite.calibrate(plan, open_store()).done == 3
"""


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_without_dask_machines_share_a_catalog(cluster: Cluster, url: str) -> None:
    """Ordinary calibrations that start at once write runs of their own into one new catalog."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("JOULEWISE_")}
    known |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "JOULEWISE_CATALOG": url}
    known |= {"JOULEWISE_DATA": str(cluster.folder / "data")}
    started = []
    for name in ("a", "b"):
        (cluster.folder / name).mkdir()  # with a lock of its own, as on another machine
        own = known | {"TMPDIR": str(cluster.folder / name)}
        started.append(subprocess.Popen([sys.executable, "-c", ORDINARY], env=own))
    assert [process.wait(200) for process in started] == [0, 0]
    store = Store(url)
    rows = store.measurements()
    store.engine.dispose()
    assert list(Counter(row.run_id for row in rows).values()) == [3, 3]
    assert set(Counter(map(setup, rows)).values()) == {2}


def test_folds_of_the_estimator_run_on_the_cluster(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`evaluate` comes to the same figures though this process can fit no fold."""
    cluster.worker("h", "AMD EPYC 1")
    specs = write(
        tmp_path / "devices.csv",
        [{"device": name, "kind": "gpu", "tdp_w": watts} for name, watts in WATTS.items()],
    )
    rows = write(tmp_path / "rows.csv", lines(WATTS, models=6))
    here = evaluating.evaluate(rows, specs, None, "device", "all", [0, 1])

    def refuse(*_: object) -> None:
        raise AssertionError("a fold was fitted here")

    monkeypatch.setattr(evaluation, "learned", refuse)
    with folds_on(cluster.address):
        distributed.get_client().wait_for_workers(1, timeout=100)
        there = evaluating.evaluate(rows, specs, None, "device", "all", [0, 1])
    assert there == here


def test_without_a_scheduler_folds_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends as with any other option that cannot be."""
    with pytest.raises(typer.Exit), folds_on("tcp://127.0.0.1:1"):
        pass
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err
