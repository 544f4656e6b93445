"""Tests of `request_rate`: energy at a request rate nobody measured, recomputed by hand."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.estimator.setup import Setup
from advisor.recommend.advisor import Advisor, recommend
from advisor.recommend.entries import Key
from advisor.recommend.machine import resolve
from advisor.recommend.query import Query
from advisor.recommend.records import EnergyPer1000, Option, Recommendation
from advisor.recommend.request_rate import Idle, Waiting
from catalog.quantity import Quantity
from catalog.records import Candidate, Device, Measurement, Scope, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
DEVICES = {
    "G": Device(name="G", kind="gpu", tdp_w=300.0, memory_gb=80.0),
    "Card": Device(name="Card", kind="gpu", tdp_w=300.0, memory_gb=80.0, idle_w=30.0),
    "Dark": Device(name="Dark", kind="gpu"),
}


def idle_of(device: str | Device) -> Quantity:
    """Idle watts that the power model declares of one such machine in scope host."""
    found = DEVICES[device] if isinstance(device, str) else device
    return ESTIMATOR.machine_watts(Setup(device=found, scope="host")).idle


def row(candidate: str = "a", joules: float = 5000.0, **values: Any) -> Measurement:
    """1,000 texts one at a time in 10 s on device G; `joules` of the host, every counter read."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "lab",
        "workload": "sst2",
        "candidate": candidate,
        "device": "G",
        "scenario": "single",
        "batch_size": 1.0,
        "precision": "fp16",
        "n_items": 1000.0,
        "n_devices": 1,
        "runtime_s": 10.0,
        "latency_p95_ms": 12.0,
        "accuracy": 0.8,
        "n_test": 1000,
    }
    for part, share in (("gpu", 0.5), ("cpu", 0.25), ("dram", 0.25)):
        cells |= {f"{part}_j": joules * share, f"{part}_label": "measured"}
    return Measurement(**(cells | values))


def batched(candidate: str = "a", joules: float = 500.0, **values: Any) -> Measurement:
    """The same in batches of 32, in 1 s."""
    cells: dict[str, Any] = {"scenario": "offline", "batch_size": 32.0, "runtime_s": 1.0}
    return row(candidate, joules, **(cells | values))


def served(candidate: str, joules: float, rate: float, **values: Any) -> Measurement:
    """Measured at a rate."""
    cells = {"scenario": "server", "rate_per_s": rate, "batch_size": 32.0}
    return row(candidate, joules, **(cells | {"runtime_s": 1000 / rate} | values))


def catalog(*rows: Measurement) -> Snapshot:
    """A snapshot of these rows."""
    return Snapshot(
        measurements=rows,
        devices=DEVICES,
        workloads={"sst2": Workload(name="sst2", task="sentiment", language="en")},
        candidates={
            name: Candidate(
                name=name, family="fine-tuned-encoder", n_parameters=6e7, checkpoint="o/m"
            )
            for name in "abc"
        },
        digest="d",
    )


def query(**asked: Any) -> Query:
    """A question at 5 texts per second unless told otherwise."""
    cells = {"task": "sentiment", "min_acc": 0.0, "scenario": "server", "rate": 5.0, "device": "G"}
    return Query(**(cells | asked))


def ask(view: Snapshot, **asked: Any) -> Recommendation:
    """Its answer."""
    return recommend(view, ESTIMATOR, query(**asked))


def chosen(view: Snapshot, **asked: Any) -> Option:
    """The chosen option, which must be there."""
    found = ask(view, **asked).chosen
    assert found is not None
    return found


def energy(option: Option) -> tuple[float, float, float]:
    """Low, value and high."""
    found: EnergyPer1000 = option.energy_j_per_1000
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    return found.low, found.value, found.high


def waiting(view: Snapshot, device: str, scope: Scope) -> Idle:
    """Idle watts of one device."""
    key = Key(workload="sst2", machine=resolve(view, device), scope=scope)
    return Waiting(key, view, ESTIMATOR).of(DEVICES[device], 1)


def reasons(answer: Recommendation) -> dict[str, str]:
    """Candidate -> why it lost."""
    return {entry.candidate: entry.reason for entry in answer.rejected}


def test_joules_of_work_and_of_waiting_add_up() -> None:
    """1,000 texts come in 200 s, are worked on for 10 s at 5,000 J, and 40 W are drawn else."""
    option = chosen(catalog(row(idle_resident_w=40.0)))
    assert energy(option)[1] == pytest.approx(5000 + 40 * (200 - 10), rel=1e-4)
    joules = option.energy_j_per_1000
    assert (joules.basis, joules.label, joules.scope) == ("estimated", "estimated", "host")
    assert (option.scenario, option.rate_per_s, option.batch_size) == ("server", 5.0, 1)
    assert option.runtime_s_per_1000 is not None
    assert option.runtime_s_per_1000.value == pytest.approx(200)
    assert option.runtime_s_per_1000.basis == "estimated"
    assert set(option.warnings) == {"rate-worked-out", "spread-unstated"}


def test_rarer_texts_cost_more_each() -> None:
    """Half the rate, twice the window: what is added is idle power over the difference."""
    view = catalog(row(idle_resident_w=40.0))
    rare, often = (energy(chosen(view, rate=rate))[1] for rate in (2.5, 5.0))
    assert rare - often == pytest.approx(40 * 200)


def test_repeats_widen_both_parts_of_the_interval() -> None:
    """Joules and seconds keep the spread of the run, idle watts that were read 5 %."""
    low, value, high = energy(chosen(catalog(row(idle_resident_w=40.0, cv=0.1))))
    short, long = 10 * math.exp(-0.1645), 10 * math.exp(0.1645)
    assert low == pytest.approx(5000 * math.exp(-0.1645) + 38 * (200 - long), rel=1e-3)
    assert value == pytest.approx(5000 + 40 * 190)
    assert high == pytest.approx(5000 * math.exp(0.1645) + 42 * (200 - short), rel=1e-3)


def test_idle_watts_that_nobody_read_are_declared_and_wide() -> None:
    """Those of the power model, over and times 2.5."""
    option = chosen(catalog(row()))
    watts = idle_of("G").value or 0.0
    ends = [5000 + watts * factor * 190 for factor in (1 / 2.5, 1, 2.5)]
    assert energy(option) == pytest.approx(ends, rel=1e-4)
    assert "idle-assumed" in option.warnings


def test_no_candidate_works_at_less_than_the_machine_waits() -> None:
    """Half a kilojoule in 10 s is less than waiting: it costs the same as if none had come."""
    answer, watts = ask(catalog(row("a", 500), row("b", 5000))), idle_of("G").value or 0.0
    found = {o.candidate: energy(o) for o in (answer.chosen, *answer.alternatives) if o}
    assert watts > 50
    assert found["a"][1] == pytest.approx(watts * 200, rel=1e-4)
    assert found["b"][1] == pytest.approx(5000 + watts * 190, rel=1e-4)


def test_idle_watts_are_the_machines_whatever_else_is_asked() -> None:
    """Each candidate waits at the same watts alone, beside others and on another workload's row."""
    alone = energy(chosen(catalog(row("b", 5000))))
    beside = ask(catalog(row("a", 300), row("b", 5000), row("c", 900, runtime_s=100.0)))
    options = {o.candidate: energy(o) for o in (beside.chosen, *beside.alternatives) if o}
    assert options["b"] == pytest.approx(alone)
    read = catalog(row("a", 3000, idle_resident_w=40.0), row("b", 5000))
    found = {o.candidate: energy(o)[1] for o in (ask(read).chosen, *ask(read).alternatives) if o}
    assert found == pytest.approx({"a": 3000 + 40 * 190, "b": 5000 + 40 * 190})


@pytest.mark.parametrize(
    ("values", "scope", "low"),
    [
        ({"idle_w": 150.0}, "host", 150.0),
        ({"idle_resident_w": 150.0, "cpu_label": "modelled"}, "host", 150.0),
        ({"idle_resident_w": 150.0}, "wall", 150.0),
        ({"idle_resident_w": 150.0}, "device", 60 / 2.5),
    ],
)
def test_a_reading_of_less_is_a_low_end_and_of_more_is_none(
    values: dict[str, Any], scope: Any, low: float
) -> None:
    """Before the model was loaded, or of part of the scope: at least that. Of more: not that."""
    found = waiting(catalog(row(**values)), "G", scope)
    assert found.watts.low == pytest.approx(low)
    assert found.watts.value is not None
    assert found.watts.value > found.watts.least
    assert found.codes == ("idle-assumed",)
    assert not found.read


def test_an_unknown_tdp_takes_the_class_default_and_says_so() -> None:
    """Of the device's class; the answer names it."""
    found = waiting(catalog(row(device="Dark")), "Dark", "device")
    nominal, _ = ESTIMATOR.rated_power(DEVICES["Dark"])
    assert found.watts.value == pytest.approx(2 * 0.1 * nominal)
    assert set(found.codes) == {"device-specs-assumed", "idle-assumed"}


def test_what_cannot_keep_up_is_rejected_with_the_rate_it_has() -> None:
    """0.5 s per text are 2 texts per second; the nearest miss says so."""
    slow = row("a", runtime_s=500.0, idle_resident_w=40.0)
    batches = [batched(name, runtime_s=seconds) for name, seconds in (("a", 500.0), ("b", 1000.0))]
    answer = ask(catalog(slow, row("b", 9000, runtime_s=1000.0), *batches))
    assert answer.chosen is None
    assert reasons(answer) == {"a": "cannot-keep-up", "b": "cannot-keep-up"}
    assert answer.rejected[0].detail == "keeps up with 2 texts per second, not 5"
    miss = answer.nearest_miss
    assert miss is not None
    assert miss.missing is not None
    assert (miss.candidate, miss.missing.constraint) == ("a", "rate")
    assert (miss.missing.asked, miss.missing.has) == (5.0, pytest.approx(2.0))
    assert chosen(catalog(slow, batches[0]), rate=2.0).candidate == "a"


def test_keeping_up_by_a_hair_is_said() -> None:
    """Where the runtime's interval reaches beyond the gap between two texts."""
    option = chosen(catalog(row(runtime_s=190.0, cv=0.1)))
    assert "rate-near-capacity" in option.warnings
    assert "rate-near-capacity" not in chosen(catalog(row(runtime_s=100.0, cv=0.1))).warnings


def test_batches_answer_only_where_single_texts_do_not_keep_up() -> None:
    """One text at a time is the dear and sure way; a batch needs as many texts that wait."""
    slow = row("a", runtime_s=400.0, idle_resident_w=40.0)
    fast = batched("a", idle_resident_w=40.0)
    assert chosen(catalog(row("a"), fast)).batch_size == 1
    option = chosen(catalog(slow, fast))
    assert option.batch_size == 32
    assert energy(option)[1] == pytest.approx(500 * 200)  # busy all the time at 500 W
    assert "batches-assumed" in option.warnings


def test_texts_that_arrive_cannot_be_sorted_by_length() -> None:
    """A batch put together from all texts says nothing about a stream."""
    answer = ask(catalog(batched("a", repeat_group="length-sorted")))
    assert answer.chosen is None
    assert reasons(answer) == {"a": "runtime-unknown"}


def test_measured_at_the_rate_beats_derived() -> None:
    """Of a candidate measured at 5 a second nothing is derived; at another rate it is."""
    view = catalog(
        row("a", 100.0, runtime_s=0.1, idle_resident_w=40.0),
        served("a", 90_000.0, 5.0),
        row("b", 7000.0, idle_resident_w=40.0),
    )
    answer = ask(view)
    found = [
        (o.candidate, o.energy_j_per_1000.basis, energy(o)[1])
        for o in (answer.chosen, *answer.alternatives)
        if o
    ]
    assert found == [
        ("b", "estimated", pytest.approx(7000 + 40 * 190)),
        ("a", "measured", pytest.approx(90_000)),
    ]
    other = chosen(view, rate=4.0)
    assert other.candidate == "a"
    assert energy(other)[1] == pytest.approx(100 + 40 * (250 - 0.1), rel=1e-3)


def test_measured_only_takes_nothing_that_is_derived() -> None:
    """With `basis=measured` a rate is answered by rows of that rate or not at all."""
    answer = ask(catalog(row("a"), served("b", 900.0, 5.0)), basis="measured")
    assert answer.chosen is not None
    assert answer.chosen.candidate == "b"
    assert reasons(answer) == {"a": "not-measured-there"}


def test_without_a_rate_the_commonest_measured_one_is_priced_and_said() -> None:
    """Else one text per second; either way the answer asks for the rate."""
    view = catalog(row("a"), served("c", 900.0, 5.0))
    answer = ask(view, rate=None)
    assert answer.group.rate_per_s == 5.0
    assert "rate-assumed" in {each.code for each in answer.warnings}
    assert ask(catalog(row("a")), rate=None).group.rate_per_s == 1.0
    assert "rate-assumed" not in {each.code for each in ask(view).warnings}


def test_a_latency_under_arrivals_is_that_of_the_work_and_labelled() -> None:
    """Queueing is not known: the option says that its latency is an estimate."""
    option = chosen(catalog(row("a")))
    assert option.latency_ms == pytest.approx(10)
    assert option.latency_basis == "estimated"
    assert reasons(ask(catalog(row("a")), max_latency_ms=1)) == {"a": "latency-too-high"}


@pytest.mark.parametrize("device", ["Card", Device(name="mine", kind="gpu", tdp_w=200.0)])
def test_on_a_device_where_it_never_ran_both_parts_are_estimated(device: str | Device) -> None:
    """Joules and seconds are those of the same question one text at a time."""
    view = catalog(row("a"))
    alone, option = chosen(view, device=device, scenario="single", rate=None), None
    option = chosen(view, device=device, rate=0.5)
    seconds, basis = alone.runtime_s_per_1000, alone.energy_j_per_1000.basis
    assert seconds is not None
    work = energy(alone)[1]
    watts = idle_of(device).value or 0.0
    least = watts * seconds.value
    assert energy(option)[1] == pytest.approx(
        max(work, least) + watts * (2000 - seconds.value), rel=1e-3
    )
    assert option.energy_j_per_1000.basis == basis
    assert basis in ("estimated-runtime", "extrapolated")
    assert {"rate-worked-out", "idle-assumed", *alone.warnings} <= set(option.warnings)


FLOORS = st.integers(0, 20).map(lambda n: n / 20)
measured_rows = st.builds(
    lambda make, name, joules, seconds, share, part, idle_w, precision: make(
        name,
        joules,
        runtime_s=seconds,
        accuracy=share,
        repeat_group=str(part),
        idle_resident_w=idle_w,
        precision=precision,
    ),
    st.sampled_from([row, batched, lambda *a, **k: served(*a, 5.0, **(k | {"runtime_s": 200.0}))]),
    st.sampled_from("abc"),
    st.floats(1, 1e5),
    st.floats(0.1, 1000),
    st.none() | st.integers(1, 20).map(lambda n: n / 20),
    st.integers(0, 10**6),
    st.none() | st.floats(1, 100),
    st.sampled_from(["fp16", "int8"]),
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(measured_rows, max_size=10, unique_by=lambda r: r.repeat_group),
    asked=st.lists(
        st.tuples(st.floats(0, 1) | FLOORS, st.sampled_from([1.0, 5.0, 50.0])), max_size=4
    ),
)
def test_kept_answers_are_exact_and_costs_rise_with_the_floor(
    rows: list[Measurement], asked: list[tuple[float, float]]
) -> None:
    """An advisor that answered before says what a fresh one does; low <= value <= high."""
    view = catalog(*rows)
    advisor, last = Advisor(view, ESTIMATOR), dict[float, float]()
    for floor, rate in sorted(asked):
        for limit in (1, 100):
            each = query(min_acc=floor, rate=rate, limit=limit)
            fresh = recommend(view, ESTIMATOR, each)
            assert advisor.encode(each) == msgspec.json.encode(fresh)
            for option in (fresh.chosen, *fresh.alternatives, *fresh.front):
                if option is not None:
                    low, value, high = energy(option)
                    assert low <= value * (1 + 1e-12)
                    assert value <= high * (1 + 1e-12)
            now = energy(fresh.chosen)[1] if fresh.chosen else math.inf
            assert now >= last.get(rate, 0.0)
            last[rate] = now


def test_as_many_cards_wait_as_the_weights_need() -> None:
    """A row that hides its number of cards waits on those that hold 70 billion weights."""
    big = Candidate(name="a", family="zero-shot-llm", n_parameters=7e10, checkpoint="o/m")
    card = msgspec.structs.replace(DEVICES["Card"], memory_gb=94.0)
    found = []
    for n_devices in (None, 2):
        view = Snapshot(
            measurements=[row("a", 5e5, device="Card", n_devices=n_devices)],
            devices={"Card": card},
            workloads={"sst2": Workload(name="sst2", task="sentiment", language="en")},
            candidates={"a": big},
            digest="d",
        )
        found.append(energy(chosen(view, device="Card")))
    assert found[0] == pytest.approx(found[1])
