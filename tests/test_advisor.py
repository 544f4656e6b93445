"""Tests of `advisor`: the decision, recomputed by brute force and bent in every way."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor, recommend
from advisor.recommend.query import AskedScenario, BadQuestionError, Query
from advisor.recommend.records import Option, Recommendation
from catalog import snapshot
from catalog.errors import UnknownNameError
from catalog.intervals import wilson_lower
from catalog.records import Candidate, Device, Measurement, Scope, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
BUNDLED = snapshot.load()
JUDGED = [(task, name) for task, names in BUNDLED.tasks().items() for name in names]
DEVICES = {
    "G": Device(name="G", kind="gpu", tdp_w=300.0, memory_gb=80.0, aliases=("gee",)),
    "Small": Device(name="Small", kind="gpu", tdp_w=300.0, memory_gb=24.0),
}
WORKLOADS = {
    "sst2": Workload(name="sst2", task="sentiment", language="en"),
    "imdb": Workload(name="imdb", task="sentiment", language="en"),
    "kritik": Workload(name="kritik", task="sentiment", language="de"),
}
CANDIDATES = {
    name: Candidate(
        name=name, family="other", n_parameters=size, licence="MIT" if name < "c" else None
    )
    for name, size in zip("abcdef", (1e6, 1e7, 1e8, 1e9, 7e10, 8e9), strict=True)
}
PARTS = ("gpu", "cpu", "dram")


def row(candidate: str = "a", joules: float = 100.0, **values: Any) -> Measurement:
    """1,000 texts whose host energy is `joules`, on device G."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "s",
        "workload": "sst2",
        "candidate": candidate,
        "device": "G",
        "scenario": "offline",
        "n_items": 1000.0,
        "runtime_s": 1.0,
        "accuracy": 0.8,
        "n_devices": 1,
        "n_test": 1000,
    }
    for part, share in zip(PARTS, (0.5, 0.25, 0.25), strict=True):
        cells |= {f"{part}_j": joules * share, f"{part}_label": "measured"}
    return Measurement(**(cells | values))


def bound(candidate: str, high: float, **values: Any) -> Measurement:
    """A row with nothing but a published upper bound."""
    none = dict.fromkeys(f"{part}_{end}" for part in PARTS for end in ("j", "label"))
    total = {"total_high_j": high, "total_scope": "gpu+cpu+ram", "total_label": "mixed"}
    return row(candidate, **{**none, **total, **values})


def catalog(*rows: Measurement) -> Snapshot:
    """A snapshot of these rows."""
    return Snapshot(
        measurements=rows,
        devices=DEVICES,
        workloads=WORKLOADS,
        candidates=CANDIDATES,
        digest="d",
    )


def ask(view: Snapshot, **query: Any) -> Recommendation:
    """The answer about sentiment, on any accuracy unless told otherwise."""
    return recommend(view, ESTIMATOR, Query(**({"task": "sentiment", "min_acc": 0.0} | query)))


def cost(option: Option) -> float:
    """What an option ranks by: its value, or a bound's high end."""
    joules = option.energy_j_per_1000
    found = joules.high if joules.value is None else joules.value
    assert found is not None
    return found


def codes(answer: Recommendation) -> set[str]:
    """The codes of the warnings."""
    return {caution.code for caution in answer.warnings}


def reasons(answer: Recommendation) -> dict[str, str]:
    """Candidate -> why it lost."""
    return {entry.candidate: entry.reason for entry in answer.rejected}


measured_rows = st.builds(
    lambda name, joules, accuracy, n_test, scenario, workload, part, kind: (
        bound if kind == "bound" else row
    )(
        name,
        joules,
        accuracy=accuracy,
        n_test=n_test,
        scenario=scenario,
        workload=workload,
        repeat_group=str(part),
    ),
    st.sampled_from("abcdef"),
    st.floats(1, 1e5),
    st.none() | st.integers(0, 20).map(lambda n: n / 20),
    st.sampled_from([None, 50, 1000]),
    st.sampled_from(["offline", "single", "server", "unstated"]),
    st.sampled_from(["sst2", "imdb"]),
    st.integers(0, 10**6),
    st.sampled_from(["row", "row", "bound"]),
)
catalogs = st.lists(measured_rows, max_size=12, unique_by=lambda r: r.repeat_group)
floors = st.integers(0, 20).map(lambda n: n / 20)


@settings(max_examples=60, deadline=None)
@given(rows=catalogs, floor=floors, confidence=st.none() | st.sampled_from([0.8, 0.95]))
def test_the_chosen_option_is_the_least_energy_that_qualifies(
    rows: list[Measurement], floor: float, confidence: float | None
) -> None:
    """Brute force over the rows of the group finds the same least energy, or nothing either."""
    answer = ask(catalog(*rows), workload="sst2", min_acc=floor, confidence=confidence)
    known = {
        name: [
            r
            for r in rows
            if (r.workload, r.candidate) == ("sst2", name) and r.accuracy is not None
        ]
        for name in "abcdef"
    }
    costs = []
    for r in rows:
        if r.workload != "sst2" or r.scenario not in ("offline", "unstated"):
            continue
        same = [r] if r.accuracy is not None else known[r.candidate]
        if not same:
            continue
        best = max(same, key=lambda other: other.n_test or 0)
        share, n = best.accuracy, best.n_test
        assert share is not None
        if confidence is not None:
            if n is None:
                continue
            share = wilson_lower(share, n, confidence)
        if share >= floor:
            parts = [r.gpu_j, r.cpu_j, r.dram_j]
            costs.append(r.total_high_j or math.fsum(p for p in parts if p is not None))
    if not costs:
        assert answer.chosen is None
    else:
        assert answer.chosen is not None
        assert cost(answer.chosen) == pytest.approx(min(costs))
        offered = [cost(option) for option in (answer.chosen, *answer.alternatives)]
        assert offered == sorted(offered)
        assert offered == pytest.approx(sorted(costs))


@settings(max_examples=40, deadline=None)
@given(rows=catalogs, confidence=st.none() | st.just(0.95))
def test_a_higher_floor_never_costs_less(rows: list[Measurement], confidence: float | None) -> None:
    """Inside a group the chosen energy only rises with the floor, and nothing returns."""
    view, last = catalog(*rows), 0.0
    for floor in (0.0, 0.3, 0.5, 0.7, 0.9, 1.0):
        answer = ask(view, workload="sst2", min_acc=floor, confidence=confidence)
        now = cost(answer.chosen) if answer.chosen else math.inf
        assert now >= last
        last = now


@pytest.mark.parametrize(
    "device", [None, "NVIDIA A30", Device(name="mine", kind="cpu", tdp_w=65.0)]
)
@pytest.mark.parametrize(("task", "workload"), JUDGED)
def test_the_bundled_answers_are_monotone(
    task: str, workload: str, device: str | Device | None
) -> None:
    """The same over a grid of floors on the figures in the box, in every scenario and scope."""
    scenarios: tuple[AskedScenario, ...] = (
        get_args(AskedScenario) if device is None else ("offline",)
    )
    scopes: tuple[Scope, ...] = get_args(Scope) if device is None else ("host",)
    for scenario in scenarios:
        for scope in scopes:
            last = 0.0
            for floor in (0.0, 0.5, 0.8, 0.88, 0.93, 1.0):
                query = Query(
                    task=task,
                    workload=workload,
                    min_acc=floor,
                    scenario=scenario,
                    scope=scope,
                    device=device,
                )
                answer = recommend(BUNDLED, ESTIMATOR, query)
                now = cost(answer.chosen) if answer.chosen else math.inf
                assert now >= last
                last = now


@settings(max_examples=40, deadline=None)
@given(rows=catalogs, floor=floors, scope=st.sampled_from(["device", "host", "wall"]))
def test_every_candidate_has_one_fate(rows: list[Measurement], floor: float, scope: Scope) -> None:
    """Each candidate of the workload is the chosen one or has exactly one reason why it is not."""
    answer = ask(catalog(*rows), workload="sst2", min_acc=floor, scope=scope)
    chosen = {answer.chosen.candidate} if answer.chosen else set()
    named = [entry.candidate for entry in answer.rejected]
    assert len(named) == len(set(named))
    assert not chosen & set(named)
    assert chosen | set(named) == {r.candidate for r in rows if r.workload == "sst2"}
    others = {option.candidate for option in answer.alternatives}
    assert {
        name for name, why in reasons(answer).items() if why in ("more-energy", "not-more-accurate")
    } == others - chosen
    miss = answer.nearest_miss
    apart = miss is not None and miss.missing is not None and miss.missing.constraint != "min_acc"
    for option in (answer.chosen, *answer.alternatives, *answer.front, None if apart else miss):
        if option is not None:
            assert option.workload == "sst2"
            assert option.scenario in ("offline", "unstated")
            assert option.energy_j_per_1000.scope == scope
    assert (answer.nearest_miss is not None) <= (answer.chosen is None)


@settings(max_examples=30, deadline=None)
@given(rows=catalogs, floor=floors)
def test_giving_way_to_the_nearest_miss_finds_it(rows: list[Measurement], floor: float) -> None:
    """Where only the floor binds, asking for what the nearest miss has is answered with it."""
    view = catalog(*rows)
    miss = ask(view, workload="sst2", min_acc=floor).nearest_miss
    if miss is not None and miss.missing is not None and miss.missing.constraint == "min_acc":
        if miss.missing.has is None:
            return
        assert miss.missing.asked == floor
        has = float(miss.missing.has) - 1e-6
        again = ask(view, workload="sst2", min_acc=max(has, 0.0)).chosen
        assert again is not None
        assert cost(again) == cost(miss)


@settings(max_examples=30, deadline=None)
@given(rows=catalogs)
def test_the_front_is_what_nothing_beats(rows: list[Measurement]) -> None:
    """Along the front energy and accuracy rise together, and no option beats one of it."""
    answer = ask(catalog(*rows), workload="sst2")
    points = [(cost(o), o.accuracy.value) for o in answer.front if o.accuracy]
    assert points == sorted(set(points))
    assert [share for _, share in points] == sorted({share for _, share in points})
    for option in (answer.chosen, *answer.alternatives):
        if option is not None and option.accuracy is not None:
            assert any(e <= cost(option) and a >= option.accuracy.value for e, a in points)


def test_a_cheaper_row_moves_the_answer() -> None:
    """What is measured tomorrow changes what is recommended tomorrow."""
    rows = [row("a", 100), row("b", 200)]
    cheaper = row("b", 50, run_id="r2", measured_at="2026-01-01")
    assert ask(catalog(*rows)).chosen.candidate == "a"  # type: ignore[union-attr]
    assert ask(catalog(*rows, cheaper)).chosen.candidate == "b"  # type: ignore[union-attr]
    useless = row("c", 10, accuracy=0.1)
    assert ask(catalog(*rows, useless), min_acc=0.5).chosen.candidate == "a"  # type: ignore[union-attr]


def test_a_bound_ranks_at_its_high_end() -> None:
    """Below 100 J may be nothing at all, and still loses against 90 J measured."""
    answer = ask(catalog(bound("a", 100), row("b", 90), bound("c", 80)))
    offered = [o.candidate for o in (answer.chosen, *answer.alternatives) if o]
    assert offered == ["c", "b", "a"]
    assert {"energy-bound", "tie"} <= codes(answer)


def test_modelled_energy_never_ranks() -> None:
    """An assumed power of almost nothing does not win; it stands beside the estimate."""
    labels = {f"{part}_label": "modelled" for part in PARTS}
    view = catalog(row("a", 0.001, **labels), row("b", 0.01))
    answer = ask(view)
    assert answer.chosen is not None
    assert answer.chosen.candidate == "b"
    (other,) = answer.alternatives
    assert other.second_opinion_j_per_1000 == pytest.approx(0.001)
    assert other.energy_j_per_1000.basis in ("estimated", "extrapolated")
    measured = ask(view, basis="measured")
    assert [o.candidate for o in (measured.chosen, *measured.alternatives) if o] == ["b"]
    assert reasons(measured) == {"a": "energy-absent"}


def test_confidence_asks_for_the_lower_wilson_bound() -> None:
    """90 of 100 right are above .85 as a point and not with 95 % confidence."""
    view = catalog(
        row("a", 10, accuracy=0.9, n_test=100), row("b", 20, accuracy=0.9, n_test=10_000)
    )
    assert ask(view, min_acc=0.85).chosen.candidate == "a"  # type: ignore[union-attr]
    answer = ask(view, min_acc=0.85, confidence=0.95)
    assert answer.chosen is not None
    assert answer.chosen.candidate == "b"
    assert reasons(answer) == {"a": "accuracy-too-low"}
    unstated = ask(catalog(row("a", n_test=None)), confidence=0.95)
    assert unstated.nearest_miss is not None
    assert unstated.nearest_miss.missing is not None
    assert unstated.nearest_miss.missing.constraint == "confidence"


@pytest.mark.parametrize(
    ("limit", "values", "constraint", "reason"),
    [
        ({"max_latency_ms": 10.0}, ("latency_p95_ms", 500.0, 11.0), "max_latency_ms", "latency"),
        ({"max_memory_gb": 1.0}, ("peak_memory_mb", 9000.0, 1100.0), "max_memory_gb", "memory"),
    ],
)
def test_a_limit_binds_and_the_nearest_is_the_closest(
    limit: dict[str, float], values: tuple[str, float, float], constraint: str, reason: str
) -> None:
    """A value above the limit or unknown does not pass; the nearest miss misses by least.

    Memory is unknown where neither a peak was read nor the parameters are known.
    """
    field, far, near = values
    view = catalog(row("a", 10, **{field: far}), row("b", 20, **{field: near}), row("c", 5))
    unsized = {
        name: msgspec.structs.replace(c, n_parameters=None) for name, c in view.candidates.items()
    }
    view = Snapshot(
        measurements=view.measurements,
        devices=view.devices,
        workloads=view.workloads,
        candidates=unsized,
        digest="unsized",
    )
    answer = ask(view, **limit)
    assert answer.chosen is None
    assert reasons(answer) == {
        "a": f"{reason}-too-high",
        "b": f"{reason}-too-high",
        "c": f"{reason}-unknown",
    }
    assert answer.nearest_miss is not None
    assert answer.nearest_miss.candidate == "b"
    assert answer.nearest_miss.missing is not None
    assert answer.nearest_miss.missing.constraint == constraint
    below = {name: value * 100 for name, value in limit.items()}
    assert ask(view, **below).chosen.candidate == "a"  # type: ignore[union-attr]


def test_the_majority_class_is_shown_and_never_chosen() -> None:
    """It needs least and reaches the floor; the answer is the next one, or a miss."""
    floor = Candidate(name="majority-class", family="majority")
    rows = (row("majority-class", 1, accuracy=0.9), row("b", 20, accuracy=0.9))

    def view(*rows: Measurement) -> Snapshot:
        known = {**CANDIDATES, floor.name: floor}
        return Snapshot(
            measurements=rows, devices=DEVICES, workloads=WORKLOADS, candidates=known, digest="d"
        )

    answer = ask(view(*rows), min_acc=0.5)
    assert answer.chosen is not None
    assert answer.chosen.candidate == "b"
    assert reasons(answer) == {"majority-class": "majority-class"}
    assert "comparison" in answer.rejected[0].detail
    alone = ask(view(rows[0]), min_acc=0.5)
    assert alone.chosen is None
    assert reasons(alone) == {"majority-class": "majority-class"}


def test_a_licence_is_asked_for_by_name() -> None:
    """Only candidates that state the licence qualify, in any spelling of case."""
    view = catalog(row("c", 5), row("a", 10))
    answer = ask(view, licence="mit")
    assert answer.chosen is not None
    assert answer.chosen.candidate == "a"
    assert reasons(answer) == {"c": "licence-differs"}


def test_a_language_narrows_the_workloads() -> None:
    """A German question is answered from a German data set, never from another one."""
    view = catalog(row("a", 5), row("b", 10, workload="kritik"))
    answer = ask(view, language="de")
    assert answer.group.workload == "kritik"
    assert not answer.other_groups
    with pytest.raises(BadQuestionError) as caught:
        ask(view, language="fr")
    assert caught.value.field == "language"
    with pytest.raises(BadQuestionError):
        ask(view, language="de", workload="sst2")


def test_a_model_of_70_billion_does_not_fit_a_24_gb_card() -> None:
    """A setup moved to a card must fit its memory; in 4 bit 8 billion do."""
    view = catalog(row("e", 10), row("f", 20, precision="int4"))
    answer = ask(view, device="Small")
    assert answer.chosen is not None
    assert answer.chosen.candidate == "f"
    assert answer.chosen.device == "Small"
    assert reasons(answer) == {"e": "does-not-fit"}
    assert ask(view, device="G").chosen.candidate == "e"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["G", "g", "GEE"])
def test_only_measured_on_the_asked_device_says_why_not(name: str) -> None:
    """The device may be asked by alias; a row there in another scope is not said to be missing."""
    gpu_only = {f"{part}_{end}": None for part in ("cpu", "dram") for end in ("j", "label")}
    view = catalog(row("a", 10), row("b", 20, **gpu_only), row("c", 5, device="Small"))
    answer = ask(view, device=name, basis="measured")
    assert answer.chosen is not None
    assert answer.chosen.candidate == "a"
    assert reasons(answer) == {"b": "scope-absent", "c": "not-measured-there"}


def test_a_device_by_its_specs_is_answered_with_care() -> None:
    """An unlisted device gets estimates, a wide interval and warnings."""
    for device, code in (
        (Device(name="mine", kind="gpu", tdp_w=200.0, memory_gb=48.0), "device-not-calibrated"),
        (Device(name="mine", kind="gpu"), "device-specs-assumed"),
    ):
        answer = recommend(BUNDLED, ESTIMATOR, Query(task="topic", min_acc=0.5, device=device))
        assert answer.chosen is not None
        joules = answer.chosen.energy_j_per_1000
        assert joules.basis in ("estimated-runtime", "extrapolated")
        assert joules.high is not None
        assert joules.low is not None
        assert joules.high > 2 * joules.low
        assert code in codes(answer)
        assert {o.device for o in (answer.chosen, *answer.alternatives)} == {"mine"}


def test_stale_rows_answer_and_say_so() -> None:
    """Measured before the machine changed: they rank as they did, with a warning by code."""

    def on(driver: str) -> dict[str, Any]:
        return {"host": "h", "fingerprint": json.dumps({"energy": {"driver": driver}})}

    old, new = (
        row("a", 10, accuracy=0.9, measured_at="2026-01-01", **on("550")),
        row("b", 20, accuracy=0.9, measured_at="2026-02-01", **on("560")),
    )
    published = row("c", 30, accuracy=0.9, measured_at="2025-01-01")
    answer = ask(catalog(old, new, published))
    assert answer.chosen is not None
    assert answer.chosen.candidate == "a"
    assert "stale-measurement" in answer.chosen.warnings
    assert "stale-measurement" in codes(answer)
    said = {option.candidate: option.warnings for option in answer.alternatives}
    assert all("stale-measurement" not in said[name] for name in ("b", "c"))
    later = ask(catalog(old, new, row("d", 5, accuracy=0.9)))
    assert "stale-measurement" not in codes(later)
    listed = {option.candidate: option.warnings for option in later.alternatives}
    assert "stale-measurement" in listed["a"]


def test_scenarios_and_batch_sizes_are_not_mixed() -> None:
    """One text per call does not compete with a batch; what lies apart is listed apart."""
    view = catalog(row("a", 10, scenario="single", batch_size=1.0), row("b", 99, batch_size=32.0))
    answer = ask(view)
    assert answer.chosen is not None
    assert answer.chosen.candidate == "b"
    assert reasons(answer) == {"a": "other-scenario"}
    assert [option.candidate for option in answer.other_groups] == ["a"]
    assert "other-groups" in codes(answer)
    assert ask(view, scenario="single").chosen.candidate == "a"  # type: ignore[union-attr]
    other = ask(view, batch_size=8)
    assert other.chosen is None
    assert reasons(other)["b"] == "other-batch-size"


def test_another_workload_answers_only_when_the_default_cannot() -> None:
    """The answer says when it is about another data set than the task's default."""
    view = catalog(row("a", 100, accuracy=0.7), row("b", 1, accuracy=0.9, workload="imdb"))
    low, high = ask(view, min_acc=0.6), ask(view, min_acc=0.8)
    assert low.group.workload == "sst2"
    assert "accuracy-other-workload" not in codes(low)
    assert [option.candidate for option in low.other_groups] == ["b"]
    assert high.group.workload == "imdb"
    assert "accuracy-other-workload" in codes(high)
    named = ask(view, min_acc=0.8, workload="sst2")
    assert named.chosen is None
    assert named.group.workload == "sst2"


def test_overlapping_intervals_are_called_a_tie() -> None:
    """With wide repeats the second may be as good; with tight ones it is not."""
    wide = ask(catalog(row("a", 100, cv=0.1), row("b", 110, cv=0.1)))
    tight = ask(catalog(row("a", 100, cv=0.001), row("b", 110, cv=0.001)))
    assert "tie" in codes(wide)
    assert "tie" not in codes(tight)


def test_training_rows_are_not_answers() -> None:
    """Only inference is ranked."""
    view = catalog(row("a", 1, phase="train", accuracy=None, n_test=None), row("b", 10))
    answer = ask(view)
    assert answer.chosen is not None
    assert answer.chosen.candidate == "b"
    assert "a" not in reasons(answer)


@pytest.mark.parametrize(
    ("query", "kind", "near"),
    [
        ({"task": "sentimant"}, "task", "sentiment"),
        ({"workload": "sst-2"}, "workload", "sst2"),
        ({"device": "Smal"}, "device", "Small"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(
    query: dict[str, str], kind: str, near: str
) -> None:
    """Task, workload and device are looked up, and a typing error is met half-way."""
    with pytest.raises(UnknownNameError) as caught:
        ask(catalog(row()), **query)
    assert caught.value.kind == kind
    assert near in caught.value.nearest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_acc", 1.5),
        ("min_acc", -0.1),
        ("min_acc", math.nan),
        ("confidence", 1.0),
        ("confidence", 95.0),
        ("batch_size", 0.0),
        ("max_latency_ms", 0.0),
        ("max_latency_ms", math.inf),
        ("max_memory_gb", -1.0),
        ("limit", 0),
        ("limit", 100_000),
    ],
)
def test_a_value_out_of_range_names_its_field(field: str, value: float) -> None:
    """Field, what came and what is allowed are told."""
    with pytest.raises(BadQuestionError) as caught:
        ask(catalog(row()), **{field: value})
    assert caught.value.field == field
    assert caught.value.came is value
    assert "allowed" in str(caught.value)


def test_a_workload_of_another_task_is_refused() -> None:
    """A data set answers its own task; the ones that would do are named."""
    with pytest.raises(BadQuestionError) as caught:
        recommend(BUNDLED, ESTIMATOR, Query(task="sentiment", workload="agnews", min_acc=0.5))
    assert caught.value.field == "workload"
    assert "sst2" in caught.value.allowed


def test_an_answer_is_pinned_and_can_be_cut_short() -> None:
    """Digest and version of what it was made from are in it; `limit` shortens every list."""
    rows = [row(name, 10.0 + i) for i, name in enumerate("abcdef")]
    answer = ask(catalog(*rows), limit=2)
    assert answer.catalog_digest == "d"
    assert answer.estimator_version == ESTIMATOR.version
    assert (len(answer.alternatives), len(answer.rejected)) == (2, 2)
    assert msgspec.json.decode(msgspec.json.encode(answer))["group"]["scope"] == "host"


def test_a_device_that_ran_the_default_workload_answers_for_itself() -> None:
    """What never ran on a calibrated device is no reason to leave the workload it was asked on."""
    own = row("a", 100.0, accuracy=0.8)
    elsewhere = row("b", 50.0, workload="imdb", device="Small", accuracy=0.9)
    answer = ask(catalog(own, elsewhere), task="sentiment", min_acc=0.85, device="G")
    assert answer.chosen is None
    assert answer.group.workload == "sst2"
    assert answer.nearest_miss is not None
    assert answer.nearest_miss.candidate == "a"
    assert [option.candidate for option in answer.other_groups] == ["b"]
    native = row("b", 500.0, workload="imdb", accuracy=0.9)
    moved_on = ask(catalog(own, native), task="sentiment", min_acc=0.85, device="G")
    assert moved_on.chosen is not None
    assert moved_on.group.workload == "imdb"


limits = st.fixed_dictionaries(
    {},
    optional={
        "confidence": st.sampled_from([0.8, 0.95]),
        "max_latency_ms": st.sampled_from([1.0, 20.0, 300.0]),
        "max_memory_gb": st.sampled_from([0.5, 2.0, 30.0]),
        "licence": st.sampled_from(["MIT", "Apache-2.0"]),
    },
)
crowded = st.lists(
    st.builds(
        lambda r, latency, memory, device: msgspec.structs.replace(
            r, latency_p95_ms=latency, peak_memory_mb=memory, device=device
        ),
        measured_rows,
        st.none() | st.floats(0.1, 1000),
        st.none() | st.floats(100, 50_000),
        st.sampled_from(["G", "Small"]),
    ),
    max_size=14,
    unique_by=lambda r: r.repeat_group,
)


def qualifies(option: Option, query: Query) -> bool:
    """A question's constraints, one after the other on one option, as they are documented."""
    accuracy = option.accuracy
    if accuracy is None or (query.confidence is not None and accuracy.n_test is None):
        return False
    share = accuracy.value
    if query.confidence is not None:
        assert accuracy.n_test is not None
        share = wilson_lower(share, accuracy.n_test, query.confidence)
    pairs = (
        (option.latency_p95_ms, query.max_latency_ms),
        (option.peak_memory_mb, query.max_memory_gb and query.max_memory_gb * 1000),
    )
    within = all(most is None or (has is not None and has <= most) for has, most in pairs)
    licence = CANDIDATES[option.candidate].licence
    return share >= query.min_acc and within and query.licence in (None, licence)


@settings(max_examples=120, deadline=None)
@given(rows=crowded, floor=floors, limits=limits, limit=st.integers(1, 12))
def test_looking_a_floor_up_is_judging_every_option(
    rows: list[Measurement], floor: float, limits: dict[str, Any], limit: int
) -> None:
    """What is offered is every setup that meets the constraints when judged one by one."""
    view = catalog(*rows)
    every = ask(view, workload="sst2", limit=1000)
    asked = Query(task="sentiment", workload="sst2", min_acc=floor, limit=limit, **limits)
    answer = recommend(view, ESTIMATOR, asked)
    known = [*([every.chosen] if every.chosen else []), *every.alternatives]
    fit = [option for option in known if qualifies(option, asked)]
    offered = [*([answer.chosen] if answer.chosen else []), *answer.alternatives]
    assert offered == fit[: limit + 1]
    outbid = dict.fromkeys(option.candidate for option in fit[1:])
    if fit:
        outbid.pop(fit[0].candidate, None)
    lost = [r.candidate for r in answer.rejected]
    assert lost[: len(outbid)] == list(outbid)[:limit]
    assert len(lost) <= limit


@settings(max_examples=60, deadline=None)
@given(rows=crowded, floors=st.lists(floors, min_size=1, max_size=4), limits=limits)
def test_the_json_of_an_answer_is_its_record(
    rows: list[Measurement], floors: list[float], limits: dict[str, Any]
) -> None:
    """An advisor that has answered before says the same, byte for byte, as a fresh one's record."""
    view = catalog(*rows)
    advisor = Advisor(view, ESTIMATOR)
    for floor in floors:
        for limit in (1, 3, 100):
            asked = Query(task="sentiment", min_acc=floor, limit=limit, **limits)
            fresh = recommend(view, ESTIMATOR, asked)
            assert advisor.encode(asked) == msgspec.json.encode(fresh)
            assert advisor.recommend(asked) == fresh


@settings(max_examples=60, deadline=None)
@given(rows=crowded, asked=st.lists(st.floats(0, 1), min_size=5, max_size=20), limits=limits)
def test_floors_between_two_turns_have_one_answer_but_for_themselves(
    rows: list[Measurement], asked: list[float], limits: dict[str, Any]
) -> None:
    """Floors anywhere and right beside what may turn an answer are told what a fresh advisor says.

    An offer that misses a limit by a share of it is as far off as one whose value misses the floor
    by the same share, so that answers turn there too.
    """
    view = catalog(*rows)
    advisor = Advisor(view, ESTIMATOR)
    memory = limits.get("max_memory_gb", 2.0) * 1000
    gaps = {(row.peak_memory_mb or 0.0) / memory - 1 for row in rows}
    values = {row.accuracy for row in rows if row.accuracy is not None}
    turns = [value / (1 - gap) for value in values for gap in gaps if 0 <= gap < 1]
    beside = [turn * share for turn in turns for share in (1 - 1e-12, 1, 1 + 1e-12)]
    for floor in [*asked, *(floor for floor in beside if floor <= 1)]:
        query = Query(task="sentiment", min_acc=floor, **limits)
        assert advisor.encode(query) == msgspec.json.encode(recommend(view, ESTIMATOR, query))


def served(candidate: str, joules: float, rate: float | None, **values: Any) -> Measurement:
    """A row of scenario server."""
    return row(candidate, joules, scenario="server", rate_per_s=rate, **values)


RATES = (served("a", 50.0, 1.0), served("b", 40.0, 1.0), served("a", 9.0, 20.0))


def test_one_answer_ranks_rows_of_one_rate() -> None:
    """The asked one, else the commonest; others stand apart, as their share of idle differs."""
    view = catalog(*RATES)
    answer = ask(view, scenario="server")
    assert answer.group.rate_per_s == 1.0
    assert [o.candidate for o in (answer.chosen, *answer.alternatives) if o] == ["b", "a"]
    assert [(o.candidate, o.rate_per_s) for o in answer.other_groups] == [("a", 20.0)]
    fast = ask(view, scenario="server", rate=20.0)
    assert fast.chosen is not None
    assert (fast.chosen.candidate, cost(fast.chosen)) == ("a", 9.0)
    assert reasons(fast)["b"] == "other-scenario"
    none = ask(view, scenario="server", rate=7.0)
    assert none.chosen is None
    assert none.nearest_miss is not None
    assert none.nearest_miss.missing is not None
    assert none.nearest_miss.missing.constraint == "rate"


def test_idle_time_of_a_served_row_is_never_charged_again() -> None:
    """No estimate is made from its runtime, and it is not brought to another device."""
    blank = {f"{part}_{end}": None for part in PARTS for end in ("j", "label")}
    answer = ask(catalog(served("a", 1.0, 2.0, **blank)), scenario="server")
    assert answer.chosen is None
    assert reasons(answer) == {"a": "energy-absent"}
    moved = ask(catalog(served("a", 50.0, 2.0)), scenario="server", device="Small")
    assert moved.chosen is None


@pytest.mark.parametrize(
    ("values", "fewest"),
    [
        ({"n_devices": None}, 6),
        ({"n_devices": None, "precision": "int8"}, 3),
        ({"n_devices": None, "n_nodes": 7}, 7),
        ({"n_devices": 6}, None),
    ],
)
def test_a_row_that_hides_its_number_of_gpus_does_not_pass_as_one(
    values: dict[str, Any], fewest: int | None
) -> None:
    """70 billion weights on 24 GB cards: as many as hold them, said beside the figure."""
    answer = ask(catalog(row("e", device="Small", **values)), device="Small")
    assert answer.chosen is not None
    assert answer.chosen.n_devices_at_least == fewest
    said = {caution.code: caution.message for caution in answer.warnings}
    assert ("devices-unstated" in said) == (fewest is not None)
    if fewest:
        assert f"at least {fewest} Small" in said["devices-unstated"]
        assert "devices-unstated" in answer.chosen.warnings


def test_a_cpu_is_not_asked_how_many_it_is() -> None:
    """Only rows of GPUs are doubted for their number."""
    cpu = Device(name="C", kind="cpu", tdp_w=65.0)
    view = Snapshot(
        measurements=(row(device="C", n_devices=None, gpu_j=None, gpu_label=None),),
        devices=DEVICES | {"C": cpu},
        workloads=WORKLOADS,
        candidates=CANDIDATES,
        digest="d",
    )
    answer = ask(view, device="C")
    assert answer.chosen is not None
    assert answer.chosen.n_devices_at_least is None
    assert "devices-unstated" not in codes(answer)


def test_the_nearest_miss_may_be_on_another_data_set_of_the_task() -> None:
    """Nothing reaches .99: what has .979 on another data set is nearer than .9 on the default."""
    view = catalog(
        row("a", 10.0, accuracy=0.9),
        row("b", 50.0, accuracy=0.979, workload="imdb"),
        row("c", 5.0, accuracy=0.95, workload="kritik"),
    )
    answer = ask(view, min_acc=0.99)
    assert answer.nearest_miss is not None
    assert (answer.nearest_miss.candidate, answer.group.workload) == ("b", "imdb")
    said = {caution.code: caution.message for caution in answer.warnings}
    assert "imdb" in said["accuracy-other-workload"]
    named = ask(view, min_acc=0.99, workload="sst2").nearest_miss
    assert named is not None
    assert named.candidate == "a"


def test_a_nearest_miss_names_all_that_it_misses() -> None:
    """Floor and latency both bind: the worse first, the other beside it, none that is met."""
    slow = row("a", 10.0, accuracy=0.9, latency_p95_ms=40.0, peak_memory_mb=500.0)
    answer = ask(catalog(slow), min_acc=0.95, max_latency_ms=20.0, max_memory_gb=1.0)
    assert answer.nearest_miss is not None
    missing = answer.nearest_miss.missing
    assert missing is not None
    assert (missing.constraint, missing.asked, missing.has) == ("max_latency_ms", 20.0, 40.0)
    assert [(m.constraint, m.asked, m.has) for m in missing.also] == [("min_acc", 0.95, 0.9)]


def shares(option: Option, query: Query) -> dict[str, float]:
    """By which share an option misses each constraint of numbers that it misses."""
    accuracy, found = option.accuracy, dict[str, float]()
    memory_gb = option.memory_gb
    assert accuracy is not None
    if accuracy.value < query.min_acc:
        found["min_acc"] = 1 - accuracy.value / query.min_acc
    for name, has, most in (
        ("max_latency_ms", option.latency_p95_ms, query.max_latency_ms),
        ("max_memory_gb", memory_gb, query.max_memory_gb),
    ):
        if most is not None and (has is None or has > most):
            found[name] = math.inf if has is None else has / most - 1
    return found


@settings(max_examples=60, deadline=None)
@given(
    rows=crowded,
    floor=st.floats(0.5, 1.0),
    latency=st.none() | st.sampled_from([1.0, 20.0]),
    memory=st.none() | st.sampled_from([0.5, 2.0]),
)
def test_no_option_misses_by_less_than_the_nearest_miss(
    rows: list[Measurement], floor: float, latency: float | None, memory: float | None
) -> None:
    """Over all data sets of the task, judged one by one; and it names just what it misses."""
    view = catalog(*rows)
    query = Query(task="sentiment", min_acc=floor, max_latency_ms=latency, max_memory_gb=memory)
    answer = recommend(view, ESTIMATOR, query)
    miss = answer.nearest_miss
    if miss is None or miss.missing is None or miss.missing.constraint == "scenario":
        return
    every = [ask(view, workload=name, limit=1000) for name in WORKLOADS]
    known = [o for each in every for o in (each.chosen, *each.alternatives) if o and o.accuracy]
    gaps = [max(shares(option, query).values()) for option in known]
    if not [gap for gap in gaps if gap < math.inf]:
        return
    own = shares(miss, query)
    assert max(own.values()) == pytest.approx(min(gaps), rel=1e-9)
    named = [miss.missing.constraint, *(each.constraint for each in miss.missing.also)]
    assert sorted(named) == sorted(own)
    assert own[named[0]] == max(own.values())


def test_where_no_number_measures_the_miss_the_most_accurate_is_nearest() -> None:
    """Nobody knows a latency: the nearest miss is not just the cheapest row."""
    view = catalog(row("a", 1.0, accuracy=0.6), row("b", 9.0, accuracy=0.9, workload="imdb"))
    miss = ask(view, min_acc=0.8, max_latency_ms=5.0).nearest_miss
    assert miss is not None
    assert miss.missing is not None
    assert (miss.candidate, miss.missing.constraint, miss.missing.has) == (
        "b",
        "max_latency_ms",
        None,
    )
    assert miss.missing.also == ()


def test_of_all_that_miss_a_licence_the_nearest_reaches_the_floor() -> None:
    """A licence is missed or not: what then misses nothing else is nearer than what does."""
    asked = Query(task="sentiment", min_acc=0.85, scenario="single", licence="nobody's")
    near = recommend(BUNDLED, ESTIMATOR, asked).nearest_miss
    assert near is not None
    assert near.missing is not None
    assert near.accuracy is not None
    assert near.accuracy.value >= 0.85
    assert (near.missing.constraint, near.missing.also) == ("licence", ())


def test_what_only_an_author_reports_qualifies_by_its_own_low_end() -> None:
    """The bound of a confidence never lies above the low end of a self-reported figure."""
    query = Query(task="intent", min_acc=0.91, confidence=0.9, device="NVIDIA L4", limit=1000)
    answer = recommend(BUNDLED, ESTIMATOR, query)
    listed = [option for option in (answer.chosen, *answer.alternatives) if option is not None]
    alone = [o.accuracy for o in listed if o.accuracy and "self-reported" in o.accuracy.warnings]
    assert all(accuracy.low is None or accuracy.low >= 0.91 for accuracy in alone)
    loose = recommend(BUNDLED, ESTIMATOR, msgspec.structs.replace(query, confidence=None))
    assert any(
        option.accuracy and "self-reported" in option.accuracy.warnings
        for option in loose.alternatives
    )
