"""Probes and plans: few candidates, spread out, in time; and what a plan says it will take."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from test_suite import (  # noqa: F401
    TINY,
    VM,
    _own_surroundings,
    snapshot,
    team_file,
    tiny,
)

from calibration.hardware.machine import Gpu, Machine
from calibration.meters.machine_meter import NullMeter, ReplayMeter
from calibration.plan import planner
from calibration.plan.forecast import answer_s, fit_s, score_s
from calibration.plan.planner import PlanError, plan
from calibration.plan.probe_set import MOST, PREPARATION_S, choose, pool
from calibration.suite import calibrate
from calibration.workloads.load import Texts
from catalog.records import Candidate, Device, Workload
from catalog.registry.candidates import CANDIDATES, MINILM
from catalog.snapshot import Snapshot
from catalog.store.database import Store

KNOWN = {candidate.name: candidate for candidate in CANDIDATES}
WORKLOAD = Workload(name="w", task="t", n_classes=2)
CHIP = Device(name="AMD EPYC (2 vCPU, KVM)", kind="cpu", status="probed")


def texts(n: int, words: int = 20) -> Texts:
    """A workload of `n` train and `n` test texts."""
    made = [" ".join(["word"] * words)] * n
    return Texts(WORKLOAD, "x", made, ["a"] * n, made, ["a"] * n)


def probing(**more: Any) -> Any:
    """A plan of probes on a made-up guest."""
    return plan(snapshot(), machine=VM, meter=NullMeter(), probing=True, **more)


def chosen(made: Any) -> list[str]:
    """Candidates of a plan, in order."""
    return list(dict.fromkeys(trial.candidate for trial in made.trials))


def test_probes_are_few_quick_and_the_same_at_every_call() -> None:
    """Three to five candidates, one offline row each, in less than 200 s of estimated time."""
    made = probing()
    assert 3 <= len(chosen(made)) <= MOST
    assert made.estimated_s <= 200
    assert {(t.phase, t.scenario) for t in made.trials} == {
        ("train", "unstated"),
        ("inference", "offline"),
    }
    assert {t.workload for t in made.trials} == {"synthetic"}
    assert chosen(made) == chosen(probing(seed=5)) == chosen(probing(seed=6))
    assert not any(KNOWN[name].checkpoint for name in chosen(made))


def test_a_local_encoder_is_a_probe_where_time_allows(tmp_path: Path) -> None:
    """It lies farthest from the sparse models; on many long texts it is left out."""
    (tmp_path / MINILM).mkdir(parents=True)
    (tmp_path / MINILM / "config.json").write_text("{}")
    here = pool(KNOWN, tmp_path)
    kinds = dict.fromkeys(here, "cpu")
    assert not any(candidate.training for candidate in here.values())
    few = [c.name for c in choose(here, texts(2000), kinds)]  # type: ignore[arg-type]
    assert few[1].startswith("minilm-l6-frozen")
    many = choose(here, texts(20_000, words=200), kinds)  # type: ignore[arg-type]
    assert many
    assert not any(candidate.checkpoint for candidate in many)


@pytest.mark.parametrize("n", [100, 2000, 9000, 1_000_000])
def test_probes_start_at_the_median_and_spread(n: int) -> None:
    """The first is the median of what is affordable; all fit into their time but a lone one."""
    here = pool(KNOWN, None)
    kinds = dict.fromkeys(here, "cpu")
    given = texts(n)
    found = choose(here, given, kinds)  # type: ignore[arg-type]
    cost = [fit_s(c, given) + score_s(c, given) for c in found]
    assert len(found) == 1 or sum(cost) <= PREPARATION_S
    places = [math.log(answer_s(c, given)) for c in here.values()]
    if n == 100:
        first = math.log(answer_s(found[0], given))
        assert sum(p < first for p in places) < len(places) / 2 + 1
        ends = {math.log(answer_s(c, given)) for c in found}
        assert {min(places), max(places)} <= ends


def test_probes_go_with_names_and_rates(tmp_path: Path) -> None:
    """Globs bound the choice, each named workload is probed, rates are added."""
    made = probing(candidates=["bow-*"], workloads=["synthetic"], rates=[5.0])
    assert len(chosen(made)) == 4
    assert {t.rate_per_s for t in made.trials if t.scenario == "server"} == {5.0}
    data = team_file(tmp_path / "data")
    assert {t.workload for t in probing(data=data).trials} == {"tickets"}
    both = probing(data=data, workloads=["tickets", "synthetic"])
    assert {t.workload for t in both.trials} == {"tickets", "synthetic"}


def test_probes_leave_rows_with_idle_power(store: Store) -> None:
    """Measured by the counters, before and after a model is there; a second run is done."""
    meter = ReplayMeter([{"cpu": (0.5, "measured")}])
    made = tiny(store, "bow-*", probing=True, meter=meter)
    calibrate(made, store)
    rows = store.measurements()
    assert len(rows) == 8
    assert all(row.idle_w and row.idle_resident_w for row in rows)
    assert not tiny(store, "bow-*", probing=True, meter=meter).pending


def test_a_plan_tells_joules_where_the_power_is_known() -> None:
    """Seconds times TDP, or times a GPU's power limit; nothing where nobody knows a power."""
    assert tiny().estimated_j is None
    assert {trial.estimated_j for trial in tiny().trials} == {None}
    stated = tiny(tdp_w=40)
    assert stated.estimated_j == pytest.approx(40 * stated.estimated_s)
    assert all(t.estimated_j == pytest.approx(40 * t.estimated_s) for t in stated.trials)


def test_a_gpus_joules_are_those_of_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit in force goes before the data sheet; the CPU's own trials keep their TDP."""
    monkeypatch.setattr(planner, "_torch_reaches_gpu", lambda: True)
    gpu = Gpu(name="NVIDIA A30", memory_gb=24, driver="580", power_limit_w=120)
    machine = Machine(cpu="x", sockets=1, cores=2, threads=2, memory_gib=8, gpus=(gpu,))
    made = plan(
        snapshot(), machine=machine, meter=NullMeter(), candidates=["minilm*logistic"], profile=TINY
    )
    assert made.estimated_j == pytest.approx(120 * made.estimated_s)


def test_a_fit_is_counted_with_what_needs_it(store: Store) -> None:
    """Where the training row is there but a batch is not, the plan still tells the fit's time."""
    calibrate(tiny(store), store)
    rest = tiny(store, rates=[100.0])
    (trial,) = rest.pending
    fit = store.measurements()[0].runtime_s or 0.0
    assert trial.estimated_s > fit + TINY.repeats * 20 / 100


def test_a_stated_tdp_is_kept_and_told_as_stated(store: Store) -> None:
    """The device's record gets it, also where an earlier run stored the record without it."""
    calibrate(tiny(store), store)
    assert store.declarations()["device"][CHIP.name].tdp_w is None
    made = tiny(store, tdp_w=35)
    assert not made.pending
    calibrate(made, store)
    record = store.declarations()["device"][CHIP.name]
    assert record.tdp_w == 35
    assert "stated by the user" in (record.source or "")
    assert not tiny(store).restated
    assert tiny(store).devices[CHIP.name].tdp_w == 35
    calibrate(tiny(store, tdp_w=45), store)
    assert store.declarations()["device"][CHIP.name].tdp_w == 45


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tdp_w": 0.0}, "tdp_w: 0 is not allowed; allowed: 0.1 to 5000"),
        ({"tdp_w": float("nan")}, "tdp_w: nan"),
        ({"rates": [0.0]}, "rate: 0 is not allowed"),
        ({"rates": [float("inf")]}, "rate: inf"),
    ],
)
def test_odd_options_are_refused(asked: dict[str, Any], words: str) -> None:
    """Each names the option, what came and what is allowed."""
    with pytest.raises(PlanError, match=words):
        tiny(**asked)


def test_a_tdp_the_table_knows_cannot_be_stated() -> None:
    """The data sheet stands."""
    listed = Device(name="AMD EPYC 7763", kind="cpu", cores=64, tdp_w=280, status="verified")
    known = Snapshot(
        measurements=(), devices={listed.name: listed}, workloads={}, candidates=KNOWN, digest=""
    )
    machine = Machine(cpu="AMD EPYC 7763", sockets=1, cores=64, threads=64, memory_gib=8)
    with pytest.raises(PlanError, match="the device table has AMD EPYC 7763"):
        plan(known, machine=machine, meter=NullMeter(), tdp_w=50)


def test_forecasts_grow_with_model_and_text() -> None:
    """More parameters, longer texts and more epochs never take less time; a GPU takes less."""
    frozen, tuned = KNOWN["minilm-l6-frozen-logistic"], KNOWN["bert-base-finetuned"]
    big = Candidate(
        **{f: getattr(frozen, f) for f in frozen.__struct_fields__} | {"n_parameters": 1e9}
    )
    short, long = texts(100, 10), texts(100, 100)
    assert answer_s(frozen, short) < answer_s(frozen, long) < answer_s(big, long)
    assert answer_s(big, long, "gpu") < answer_s(big, long)
    assert fit_s(frozen, long) < fit_s(tuned, long)
    assert score_s(frozen, texts(10)) < score_s(frozen, texts(1000))
