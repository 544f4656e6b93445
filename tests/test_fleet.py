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
from api.cli.main import folds_on
from calibration.fleet import client as fleet
from calibration.fleet.account import Heard, Joined, Notice
from calibration.fleet.dispatch import FleetError
from calibration.fleet.passes import Patience
from calibration.hardware.lock import LOCK_NAME, BusyError, measurement_lock
from calibration.records import Event, Profile
from catalog import snapshot
from catalog.doubt import doubts
from catalog.records import Measurement, SetupKey
from catalog.store.database import Store

distributed: Any = pytest.importorskip("distributed")

TINY = Profile(name="tiny", window_s=0.02, repeats=3, warmup_s=0.02, idle_s=0.01, retries=0)
PATIENCE = Patience(factor=1, least_s=15, grace_s=60, again_s=0.5)
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
    given = {"patience": PATIENCE, **more}
    return fleet.calibrate(cluster.address, asked, known, store, hear=hear, **given)


def setup(row: Measurement) -> tuple[Any, ...]:
    """What identifies a row's setup."""
    return SetupKey.of(row)


def test_each_trial_once_though_workers_die_hang_and_come_late(
    cluster: Cluster, store: Store
) -> None:
    """Four workers, three machines and a duplicate: the catalog ends equal to the plan."""
    cluster.worker("a", "AMD EPYC 1", nanny=True, bow_linear_svm="hang")
    cluster.worker("b", "Intel Xeon 2", nanny=True, bow_logistic="kill")
    cluster.worker("c", "AMD Ryzen 3")
    heard: list[Heard] = []

    def hear(said: Heard) -> None:
        if isinstance(said, Event) and not any(isinstance(each, Event) for each in heard):
            cluster.worker("d", "AMD EPYC 1")
        heard.append(said)

    summary = calibrate(cluster, store, *BOW, hear=hear, machines=3)
    assert (summary.done, summary.failed, summary.skipped) == (36, 0, 0), (summary, heard)
    rows = store.measurements()
    assert len(rows) == 36
    joined = [each for each in heard if isinstance(each, Joined)]
    planned = Counter(trial.setup for each in joined for trial in each.trials)
    assert planned == Counter(map(setup, rows))
    assert set(planned.values()) == {1}
    assert sorted(each.place for each in joined) == ["AMD EPYC 1", "AMD Ryzen 3", "Intel Xeon 2"]
    assert len({row.run_id for row in rows}) == 3
    said = "\n".join(each.said for each in heard if isinstance(each, Notice))
    assert "b, bow-logistic on tickets: its worker died" in said
    assert "a, bow-linear-svm on tickets: no answer in time" in said
    assert "d joins AMD EPYC 1" in said
    events = [each for each in heard if isinstance(each, Event)]
    hung = [each for each in events if each.candidate == "bow-linear-svm"]
    at_work = {(e.place, e.node) for e in hung if e.kind == "finished"}
    assert at_work == {("AMD EPYC 1", "d"), ("Intel Xeon 2", "b"), ("AMD Ryzen 3", "c")}
    one_at_a_time(cluster)
    assert "Geheimwort" not in cluster.logs() + repr(heard)
    content = b"".join(path.read_bytes() for path in cluster.folder.glob("catalog.sqlite*"))
    assert b"geheimwort" not in content.lower()


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

    def hear(said: Heard) -> None:
        heard.append(said)
        if isinstance(said, Notice) and "waits" in said.said:
            assert store.measurements() == []
            with pytest.raises(BusyError, match="another calibration runs on the scheduler"):
                calibrate(cluster, store, BOW[0], hear=heard.append)
            lock.__exit__(None, None, None)

    first = calibrate(cluster, store, *BOW[:2], hear=hear, per_hardware=2)
    waited = [each.said for each in heard if isinstance(each, Notice) and "waits" in each.said]
    assert waited
    assert f"process {os.getpid()} holds" in waited[0]
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
print(calibrate.calibrate_fleet(
    address, asked, known, open_store(), log=None, as_json=True, factor=10, machines=1,
    per_hardware=1))
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
    assert Path(ended["log"]).read_text().count("AMD EPYC 1: bow-linear-svm on tickets") == 6


def test_ctrl_c_and_a_lost_scheduler_keep_what_is_finished(cluster: Cluster, store: Store) -> None:
    """The summary or the error says so; the next run measures what is missing, nothing twice."""
    cluster.worker("i", "AMD EPYC 1", slow_s=0.5)

    def interrupt(said: Heard) -> None:
        if isinstance(said, Event) and said.kind == "finished":
            raise KeyboardInterrupt

    ended = calibrate(cluster, store, *BOW[:3], hear=interrupt)
    assert (ended.interrupted, ended.done) == (True, 1)
    assert len(store.measurements()) == 1

    def kill(said: Heard) -> None:
        if isinstance(said, Event) and said.kind == "finished":
            cluster.stop_scheduler()

    with pytest.raises(FleetError, match="the scheduler is gone"):
        calibrate(cluster, store, *BOW[:3], hear=kill)
    rows = store.measurements()
    assert len(rows) >= 2
    assert set(Counter(map(setup, rows)).values()) == {1}


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
