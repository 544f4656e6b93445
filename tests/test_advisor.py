"""Tests of the decision, recomputed by brute force and bent in every way."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor, recommend
from advisor.recommend.query import AskedScenario, BadQuestionError, Query
from advisor.recommend.records import Option, Recommendation
from catalog import snapshot
from catalog.errors import UnknownNameError
from catalog.evidence import interval
from catalog.intervals import lower_bounds
from catalog.records import Candidate, Device, Measurement, Scope, Workload
from catalog.snapshot import Snapshot

BUNDLED = snapshot.load()
ESTIMATOR = load().informed(BUNDLED)
ADVISOR = Advisor(BUNDLED, ESTIMATOR)
DEVICES = {
    "G": Device(name="G", kind="gpu", tdp_w=300.0, memory_gb=80.0, aliases=("gee",)),
    "Small": Device(name="Small", kind="gpu", tdp_w=300.0, memory_gb=24.0),
    "C": Device(name="C", kind="cpu", tdp_w=65.0, cores=8),
}
WORKLOADS = {
    "sst2": Workload(name="sst2", task="sentiment", language="en", n_classes=2),
    "kritik": Workload(name="kritik", task="sentiment", language="de", n_classes=2),
}
CANDIDATES = {
    name: Candidate(
        name=name,
        family="fine-tuned-encoder",
        n_parameters=size,
        checkpoint=f"org/{name}",
        licence="MIT" if name < "c" else None,
    )
    for name, size in zip("abcdef", (1e6, 1e7, 1e8, 1e9, 7e10, 8e9), strict=True)
}
PARTS = ("gpu", "cpu", "dram")


def row(candidate: str = "a", joules: float = 100.0, **values: Any) -> Measurement:
    """1,000 texts in batches of 32 whose host energy is `joules`, on device G."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "s",
        "workload": "sst2",
        "candidate": candidate,
        "device": "G",
        "scenario": "offline",
        "precision": "fp16",
        "batch_size": 32.0,
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


def catalog(*rows: Measurement, **parts: Any) -> Snapshot:
    """A snapshot of these rows."""
    return Snapshot(
        measurements=rows,
        devices=DEVICES,
        workloads=WORKLOADS | {"sst2": parts.get("sst2", WORKLOADS["sst2"])},
        candidates=parts.get("candidates", CANDIDATES),
        digest="d",
    )


def ask(view: Snapshot, **query: Any) -> Recommendation:
    """The answer about sentiment on G, on any accuracy unless stated otherwise."""
    cells = {"task": "sentiment", "min_acc": 0.0, "device": "G"}
    return recommend(view, ESTIMATOR, Query(**(cells | query)))


def bundled(**query: Any) -> Recommendation:
    """An answer of the figures in the box."""
    return ADVISOR.recommend(Query(**({"task": "sentiment", "min_acc": 0.85} | query)))


def cost(option: Option) -> float:
    """What an option ranks by: its value, or a bound's high end."""
    joules = option.energy_j_per_1000
    found = joules.high if joules.value is None else joules.value
    assert found is not None
    return found


def there(option: Option | None) -> Option:
    """An option that must be there."""
    assert option is not None
    return option


def codes(answer: Recommendation) -> dict[str, str]:
    """Code -> message of the warnings."""
    return {caution.code: caution.message for caution in answer.warnings}


def reasons(answer: Recommendation) -> dict[str, str]:
    """Candidate -> why it lost."""
    return {entry.candidate: entry.reason for entry in answer.rejected}


def lower(accuracy: float, n: int, confidence: float) -> float:
    """The one-sided Wilson bound written out."""
    from statistics import NormalDist

    if confidence == 0:
        return accuracy
    z = NormalDist().inv_cdf(confidence)
    centre = accuracy + z * z / (2 * n)
    spread = z * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n)


measured_rows = st.builds(
    lambda name, joules, accuracy, n_test, kind, latency, memory: (
        bound if kind == "bound" else row
    )(
        name,
        joules,
        accuracy=accuracy,
        n_test=n_test,
        latency_p95_ms=latency,
        peak_memory_mb=memory,
    ),
    st.sampled_from("abcdef"),
    st.floats(1, 1e5),
    st.none() | st.integers(1, 20).map(lambda n: n / 20),
    st.sampled_from([50, 1000]),
    st.sampled_from(["row", "row", "bound"]),
    st.floats(0.1, 1000),
    st.floats(100, 50_000),
)
catalogs = st.lists(measured_rows, max_size=6, unique_by=lambda r: r.candidate)
floors = st.integers(0, 20).map(lambda n: n / 20)
limits = st.fixed_dictionaries(
    {},
    optional={
        "max_latency_ms": st.sampled_from([1.0, 20.0, 300.0]),
        "max_memory_gb": st.sampled_from([0.5, 2.0, 30.0]),
        "licence": st.sampled_from(["MIT", "Apache-2.0"]),
    },
)


def meets(r: Measurement, floor: float, confidence: float, asked: dict[str, Any]) -> bool:
    """Whether a measured row meets a question, constraint by constraint."""
    if r.accuracy is None or lower(r.accuracy, r.n_test or 0, confidence) < floor:
        return False
    if (r.latency_p95_ms or 0) > asked.get("max_latency_ms", math.inf):
        return False
    if (r.peak_memory_mb or 0) / 1000 > asked.get("max_memory_gb", math.inf):
        return False
    return asked.get("licence") in (None, CANDIDATES[r.candidate].licence)


def joules_of(r: Measurement) -> float:
    """Joules of a row of 1,000 texts, a bound at its high end."""
    return r.total_high_j or math.fsum(p for p in (r.gpu_j, r.cpu_j, r.dram_j) if p)


@settings(max_examples=120, deadline=None)
@given(rows=catalogs, floor=floors, confidence=st.sampled_from([0.0, 0.9, 0.95]), asked=limits)
def test_the_chosen_option_is_the_least_energy_that_qualifies(
    rows: list[Measurement], floor: float, confidence: float, asked: dict[str, Any]
) -> None:
    """Brute force over measured rows finds the same; every other candidate has one reason."""
    answer = ask(catalog(*rows), min_acc=floor, confidence=confidence, limit=100, **asked)
    fitting = [r for r in rows if meets(r, floor, confidence, asked)]
    if not fitting:
        assert answer.chosen is None
        assert (answer.nearest_miss is not None) == bool(rows)
    else:
        costs = sorted(joules_of(r) for r in fitting)
        offered = [cost(o) for o in (answer.chosen, *answer.alternatives) if o]
        assert offered == pytest.approx(costs, rel=1e-4)
    named = [o.candidate for o in (answer.chosen, *answer.alternatives) if o]
    named += [entry.candidate for entry in answer.rejected]
    assert sorted(named) == sorted(r.candidate for r in rows)


@settings(max_examples=60, deadline=None)
@given(rows=catalogs, confidence=st.sampled_from([0.0, 0.9]), asked=limits)
def test_a_higher_floor_never_costs_less(
    rows: list[Measurement], confidence: float, asked: dict[str, Any]
) -> None:
    """The chosen energy only rises with the floor, and nothing returns."""
    view, last = catalog(*rows), 0.0
    for floor in (0.0, 0.3, 0.5, 0.7, 0.9, 1.0):
        chosen = ask(view, min_acc=floor, confidence=confidence, **asked).chosen
        now = cost(chosen) if chosen else math.inf
        assert now >= last
        last = now


def test_the_bundled_answers_are_monotone() -> None:
    """Over floors on the figures in the box: every task, some machines, scenarios and labels."""
    machines = (None, "NVIDIA A30", "Raspberry Pi 5", Device(name="mine", kind="cpu", tdp_w=65.0))
    scenarios: tuple[AskedScenario, ...] = get_args(AskedScenario)
    grid = itertools.product(BUNDLED.tasks(), machines)
    for place, (task, device) in enumerate(grid):
        last = 0.0
        for floor in (0.0, 0.5, 0.7, 0.8, 0.88, 0.93, 1.0):
            answer = bundled(
                task=task,
                min_acc=floor,
                device=device,
                scenario=scenarios[place % 3],
                labels=("full", "few", "none")[place % 3],
            )
            now = cost(answer.chosen) if answer.chosen else math.inf
            assert now >= last
            last = now


def test_bundled_answers_are_recomputed_from_evidence_and_estimator() -> None:
    """The least energy among all that qualify, found again from the parts, one by one."""
    from advisor.recommend.qualification import obtainable
    from advisor.recommend.serving import setup_of, usual
    from catalog.evidence import exclusion

    for name in ("banking77", "toxic-conversations", "dair-emotion"):
        workload = BUNDLED.workloads[name]
        machine = ADVISOR.machine("NVIDIA L4")
        for floor in (0.6, 0.75, 0.85):
            wanted = {}
            for candidate, known in BUNDLED.accuracies.answers(name).items():
                record = BUNDLED.candidates[candidate]
                if exclusion(
                    known,
                    obtainable=obtainable(BUNDLED, candidate),
                    majority_share=workload.majority_share,
                ):
                    continue
                if known.n_test is None or any(
                    r.candidate == candidate for r in BUNDLED.by_workload.get(name, ())
                ):
                    continue
                sd = math.hypot(known.sd, known.spread)
                value, n = np.array([known.value]), np.array([float(known.n_test)])
                low = float(lower_bounds(value, n, np.array([sd]), 0.9)[0])
                if "self-reported" in known.warnings:
                    low = min(low, known.low or 1.0)
                if low < floor or (record.n_parameters is None and record.family != "tf-idf"):
                    continue
                chip = machine.runs(record.family)
                setup = setup_of(record, chip, workload, usual(record, chip), 32.0, "host")
                wanted[candidate] = 1000 * (ESTIMATOR.estimate(setup).value or 0.0)
            answer = bundled(
                task=workload.task, workload=name, min_acc=floor, device="NVIDIA L4", limit=1000
            )
            found = {
                o.candidate: cost(o) for o in (answer.chosen, *answer.alternatives) if o is not None
            }
            priced = {c: v for c, v in found.items() if c in wanted}
            assert priced == pytest.approx({c: wanted[c] for c in priced}, rel=1e-3)
            best = min(wanted.values(), default=math.inf)
            assert (cost(answer.chosen) if answer.chosen else math.inf) <= best * 1.001


@settings(max_examples=60, deadline=None)
@given(rows=catalogs, floor=floors, asked=limits)
def test_the_nearest_miss_misses_by_least_and_says_what(
    rows: list[Measurement], floor: float, asked: dict[str, Any]
) -> None:
    """No other row has a smaller largest gap; giving way on all it names finds it."""
    answer = ask(catalog(*rows), min_acc=floor, confidence=0, **asked)
    miss = answer.nearest_miss
    if miss is None or miss.missing is None or miss.accuracy is None:
        return
    wanted = {"min_acc": floor} | asked

    def gap(r: Measurement) -> float:
        if r.accuracy is None:
            return math.inf
        found = [max(0.0, floor - r.accuracy) / max(floor, 1e-9)]
        found.append((r.latency_p95_ms or 0) / wanted.get("max_latency_ms", math.inf) - 1)
        found.append((r.peak_memory_mb or 0) / 1000 / wanted.get("max_memory_gb", math.inf) - 1)
        licence = wanted.get("licence")
        found.append(1e6 * (licence not in (None, CANDIDATES[r.candidate].licence)))
        return max(0.0, *found)

    (own,) = [r for r in rows if r.candidate == miss.candidate]
    assert gap(own) == pytest.approx(min(map(gap, rows)))
    named = [miss.missing, *miss.missing.also]
    assert {each.constraint for each in named} <= set(wanted)
    given_way = dict(wanted)
    for each in named:
        given_way[each.constraint] = each.has
    if given_way.get("licence", "") is not None:
        again = ask(catalog(own), confidence=0, **given_way)
        assert there(again.chosen).candidate == miss.candidate


@settings(max_examples=40, deadline=None)
@given(rows=catalogs)
def test_the_front_is_what_nothing_beats(rows: list[Measurement]) -> None:
    """Along the front energy and accuracy rise together, and no option beats one of it."""
    answer = ask(catalog(*rows), limit=100)
    points = [(cost(o), o.accuracy.value) for o in answer.front if o.accuracy]
    assert points == sorted(set(points))
    assert [share for _, share in points] == sorted({share for _, share in points})
    for option in (answer.chosen, *answer.alternatives):
        if option is not None and option.accuracy is not None:
            assert any(e <= cost(option) and a >= option.accuracy.value for e, a in points)


@settings(max_examples=40, deadline=None)
@given(rows=catalogs, asked=st.lists(floors, min_size=1, max_size=4), more=limits)
def test_the_json_of_an_answer_is_its_record(
    rows: list[Measurement], asked: list[float], more: dict[str, Any]
) -> None:
    """An advisor that has answered before says the same, byte for byte, as a fresh one's record."""
    advisor = Advisor(catalog(*rows), ESTIMATOR)
    for floor in asked:
        query = Query(task="sentiment", min_acc=floor, device="G", **more)
        fresh = recommend(catalog(*rows), ESTIMATOR, query)
        assert advisor.encode(query) == msgspec.json.encode(fresh)


def test_a_cheaper_or_more_accurate_row_moves_the_answer() -> None:
    """What is measured tomorrow changes what is recommended tomorrow."""
    rows = [row("a", 100), row("b", 200)]
    cheaper = row("b", 50, run_id="r2", measured_at="2026-01-01")
    assert there(ask(catalog(*rows)).chosen).candidate == "a"
    assert there(ask(catalog(*rows, cheaper)).chosen).candidate == "b"
    useless = row("c", 10, accuracy=0.1)
    assert there(ask(catalog(*rows, useless), min_acc=0.5).chosen).candidate == "a"
    better = row("c", 10, accuracy=0.95)
    assert there(ask(catalog(*rows, better), min_acc=0.5).chosen).candidate == "c"


def test_a_bound_ranks_at_its_high_end() -> None:
    """Below 100 J may be nothing at all, and still loses against 90 J measured."""
    answer = ask(catalog(bound("a", 100), row("b", 90), bound("c", 80)), limit=50)
    offered = [o.candidate for o in (answer.chosen, *answer.alternatives) if o]
    assert offered == ["c", "b", "a"]
    assert "energy-bound" in codes(answer)


def test_modelled_energy_never_ranks() -> None:
    """An assumed power of almost nothing does not win; it stands beside the estimate."""
    labels = {f"{part}_label": "modelled" for part in PARTS}
    view = catalog(row("a", 0.001, **labels), row("b", 0.01))
    answer = ask(view)
    assert there(answer.chosen).candidate == "b"
    (other,) = answer.alternatives
    assert other.second_opinion_j_per_1000 == pytest.approx(0.001)
    assert other.energy_j_per_1000.basis in ("estimated", "extrapolated")
    assert other.energy_j_per_1000.label == "estimated"
    assert "second-opinion-differs" in other.warnings
    measured = ask(view, basis="measured")
    assert [o.candidate for o in (measured.chosen, *measured.alternatives) if o] == ["b"]
    assert reasons(measured) == {"a": "not-measured-there"}


def test_the_default_holds_the_floor_with_90_percent_and_names_the_choice_by_point() -> None:
    """90 of 100 right are above .88 as a point and not with 90 % confidence."""
    view = catalog(
        row("a", 10, accuracy=0.9, n_test=100), row("b", 20, accuracy=0.9, n_test=10_000)
    )
    answer = ask(view, min_acc=0.88)
    assert there(answer.chosen).candidate == "b"
    assert there(answer.chosen_by_point).candidate == "a"
    assert reasons(answer) == {"a": "accuracy-too-low"}
    point = ask(view, min_acc=0.88, confidence=0)
    assert there(point.chosen).candidate == "a"
    assert point.chosen_by_point is None
    unstated = there(ask(catalog(row("a", n_test=None))).nearest_miss)
    assert unstated.missing is not None
    assert unstated.missing.constraint == "confidence"


def test_converted_rows_are_ranked_and_labelled() -> None:
    """Another batch, format, scope or machine: the ratio of two estimates times what was measured.

    Nothing is hidden because its row was taken otherwise.
    """
    cases = (
        {"batch_size": 8.0},
        {"precision": "fp32"},
        {"scenario": "single", "batch_size": 1.0},
        {"device": "Small"},
    )
    for values in cases:
        cheap, dear = (row("a", joules, **values) for joules in (100.0, 200.0))
        beside = [row(name, 1e5, **values) for name in "bc" if "device" in values]
        one, two = (there(ask(catalog(r, *beside)).chosen) for r in (cheap, dear))
        assert one.candidate == two.candidate == "a"
        assert one.energy_j_per_1000.basis != "measured"
        assert one.energy_j_per_1000.label == "estimated"
        grows = cost(two) / cost(one)
        assert grows == pytest.approx(2 ** (0.85 if "device" in values else 1.0), rel=1e-3)
        assert ("energy-converted" in one.warnings) == ("device" not in values)
        low, high = one.energy_j_per_1000.low, one.energy_j_per_1000.high
        assert low is not None
        assert high is not None
        assert high / low > 1.3
    wall = there(ask(catalog(row("a", 100.0)), scope="wall").chosen)
    assert wall.energy_j_per_1000.scope == "wall"
    assert cost(wall) > 100


def test_one_network_on_another_machine_tells_nothing_of_its_own() -> None:
    """What the only network there needed beyond its estimate may be the machine's."""
    one, two = (ask(catalog(row("a", joules, device="Small"))) for joules in (100.0, 200.0))
    assert cost(there(one.chosen)) == cost(there(two.chosen))


def test_a_conversion_is_the_ratio_of_two_estimates() -> None:
    """From batch 8 to batch 32 on one machine, recomputed from the estimator."""
    from advisor.estimator.setup import from_measurement

    measured = row("b", 300.0, batch_size=8.0)
    own = from_measurement(measured, DEVICES["G"], CANDIDATES["b"], "host")
    setups = [msgspec.structs.replace(own, runtime_s=None, batch_size=n) for n in (8.0, 32.0)]
    eight, asked = (ESTIMATOR.estimate(each).value or 0.0 for each in setups)
    found = there(ask(catalog(measured)).chosen)
    assert cost(found) == pytest.approx(300 * asked / eight, rel=1e-3)


def test_a_measured_row_that_may_need_as_little_is_named_in_the_tie() -> None:
    """The least value is chosen, also where it is a conversion: the warning names the measured."""
    converted = row("a", 95.0, batch_size=8.0)
    alone = cost(there(ask(catalog(converted)).chosen))
    answer = ask(catalog(converted, row("b", alone * 1.05)))
    assert there(answer.chosen).candidate == "a"
    assert "b (measured)" in codes(answer)["tie"]
    clear = ask(catalog(row("a", 1.0, cv=0.01), row("b", 90.0, cv=0.01)))
    assert "tie" not in codes(clear)


def test_factors_hold_what_two_estimates_share_against_each_other() -> None:
    """A ratio's interval is narrower than that of its parts, and holds the ratio of values."""
    answer = bundled(device="NVIDIA L4", limit=100)
    chosen = there(answer.chosen)
    parts = [o for o in answer.alternatives if o.energy_factor]
    assert parts
    for option in parts:
        factor, joules = option.energy_factor, option.energy_j_per_1000
        assert factor is not None
        assert factor.value == pytest.approx(cost(option) / cost(chosen), rel=1e-3)
        assert factor.low <= factor.value <= factor.high
        assert factor.high / factor.low < (joules.high or 0) / (joules.low or 1)


def test_evidence_within_the_label_budget_answers() -> None:
    """No labels: zero-shot and lexicons; few: also few-shot and in-context; a full row never."""
    allowed = {
        "none": {"zero-shot", "lexicon"},
        "few": {"zero-shot", "lexicon", "few-shot", "in-context"},
    }
    for task, labels in itertools.product(("topic", "intent", "emotion"), allowed):
        answer = bundled(task=task, min_acc=0.4, labels=labels, limit=100)
        found = [o.accuracy for o in (answer.chosen, *answer.alternatives) if o]
        assert found
        assert {a.regime for a in found if a} <= allowed[labels]
    cautious = there(bundled(task="toxicity", min_acc=0.5).chosen)
    assert cautious.accuracy is not None
    if cautious.accuracy.regime == "few-shot":
        assert "full-not-measured" in cautious.accuracy.warnings
    trained = bundled(task="spam", min_acc=0.9, labels="none")
    assert trained.chosen is None
    assert there(trained.nearest_miss).missing.constraint == "labels"  # type: ignore[union-attr]


def test_macro_f1_answers_from_macro_f1() -> None:
    """The floor holds for the value less its spread over draws; the answer says so."""
    answer = bundled(task="emotion", metric="macro_f1", min_acc=0.4)
    chosen = there(answer.chosen)
    assert chosen.accuracy is not None
    assert chosen.accuracy.metric == "macro_f1"
    assert chosen.accuracy.value >= 0.4
    assert "accuracy-interval-absent" in codes(answer)


def test_only_accuracies_of_the_suite_count_where_asked() -> None:
    """`accuracy_basis=measured` on published rows alone ends in a miss with suggestions."""
    published = bundled(device="NVIDIA L4", accuracy_basis="measured")
    assert published.chosen is None
    assert published.suggestions
    own = row("a", 50.0, source="calibration")
    assert there(ask(catalog(own, row("b", 1.0)), accuracy_basis="measured").chosen).candidate == (
        "a"
    )


def test_backends_and_formats_are_variants_unless_asked_for() -> None:
    """The usual choice is ranked; others stand beside it with a factor, or are asked for."""
    rows = [row("b", 100.0), row("b", 40.0, precision="int8"), row("b", 30.0, backend="tensorrt")]
    answer = ask(catalog(*rows))
    assert (there(answer.chosen).precision, cost(there(answer.chosen))) == ("fp16", 100)
    factors = {(v.backend, v.precision): v.factor.value for v in answer.variants}
    assert factors["torch", "int8"] == pytest.approx(0.4)
    assert factors["tensorrt", "fp16"] == pytest.approx(0.3)
    every = there(ask(catalog(*rows), backend="any", precision="fp16").chosen)
    assert (every.backend, cost(every)) == ("tensorrt", 30)
    eight = there(ask(catalog(*rows), precision="int8").chosen)
    assert (eight.precision, cost(eight)) == ("int8", 40)
    named = there(ask(catalog(*rows), backend="tensorrt").chosen)
    assert named.backend == "tensorrt"
    with pytest.raises(BadQuestionError, match="backend"):
        ask(catalog(*rows), backend="fortran")
    with pytest.raises(BadQuestionError, match="precision"):
        ask(catalog(*rows), precision="int7")


def test_a_gpu_comes_with_its_host() -> None:
    """Counts run on the host CPU, networks on the card; an instance brings its own CPU."""
    answer = bundled(task="topic", workload="fktg", min_acc=0.3, device="NVIDIA L4", limit=100)
    where = {o.candidate: o.device for o in (answer.chosen, *answer.alternatives) if o}
    assert answer.machine.device == "NVIDIA L4"
    assert answer.machine.host_cpu == "AMD EPYC 7742"
    assert where["bow-logistic"] == "AMD EPYC 7742"
    assert where["mpnet-multilingual-frozen-logistic"] == "NVIDIA L4"
    assert "host-assumed" in codes(answer)
    cloud = bundled(device="g4dn.xlarge")
    assert cloud.machine.host_cpu == "Intel Xeon Platinum 8259CL"
    assert cloud.machine.instance == "g4dn.xlarge"
    assert "host-assumed" not in codes(cloud)
    cpu = bundled(device="AMD EPYC 7763")
    assert cpu.machine.host_cpu == cpu.machine.device == there(cpu.chosen).device


def test_without_a_device_one_reference_machine_prices_all() -> None:
    """The setting, else the machine calibrated last, else an L4; the answer says which."""
    assert bundled().machine.device == "NVIDIA L4"
    assert bundled().machine.basis == "default"
    assert "reference-machine" in codes(bundled())
    assert "reference-machine" not in codes(bundled(device="NVIDIA T4"))
    query = Query(task="sentiment", min_acc=0.85)
    set_up = recommend(BUNDLED, ESTIMATOR, query, "Raspberry Pi 5")
    assert set_up.machine.basis == "setting"
    assert set_up.machine.device.startswith("Raspberry Pi 5")
    from catalog.store.newest import Stored

    own = (
        row("a", source="calibration", measured_at="2026-01-01", host="old", device="Small"),
        row("a", source="calibration", measured_at="2026-02-01", host="box", device="G"),
        row("a", source="calibration", measured_at="2026-02-02", host="box", device="C"),
    )
    view = Snapshot(
        measurements=(row("b", device="Small", measured_at="2026-12-01"),),
        devices=DEVICES,
        workloads=WORKLOADS,
        candidates=CANDIDATES,
        digest="d",
        own=Stored(rows=own, ids=(1, 2, 3), last=3, count=3),
    )
    calibrated = recommend(view, ESTIMATOR, Query(task="sentiment", min_acc=0.0))
    assert (calibrated.machine.basis, calibrated.machine.device) == ("calibrated", "G")
    assert calibrated.machine.host_cpu == "C"


def test_best_devices_are_where_the_chosen_needs_least() -> None:
    """Few, cheapest first, none of unknown power, and none worse than the machine itself."""
    answer = bundled(device="NVIDIA T4")
    found = [each.energy_j_per_1000 for each in answer.best_devices]
    assert 1 <= len(found) <= 5
    assert found == sorted(found)
    assert found[0] <= cost(there(answer.chosen)) * 1.001


@pytest.mark.parametrize("query", [
    {"device": "NVIDIA A30", "workload": "fktg", "task": "topic", "min_acc": 0.4},
    {"device": "NVIDIA H100-SXM5-94GB", "workload": "fktg", "task": "topic", "min_acc": 0.5},
    {"device": "NVIDIA L4", "candidate": "distilbert-finetuned", "runtime_s_per_1000": 0.05},
    {"device": "AMD EPYC 7763", "task": "intent", "min_acc": 0.7},
    {"device": "NVIDIA Jetson Orin Nano 8GB", "min_acc": 0.9},
])  # fmt: skip
def test_best_devices_agree_with_the_answer(query: dict[str, Any]) -> None:
    """The machine itself has the chosen option's energy, and is left out only if it needs more."""
    answer = bundled(**query)
    chosen = there(answer.chosen)
    found = {each.device: each.energy_j_per_1000 for each in answer.best_devices}
    if chosen.device in found:
        assert found[chosen.device] == pytest.approx(cost(chosen), rel=1e-4)
    else:
        assert max(found.values()) <= cost(chosen)


def test_limits_work_for_every_candidate_measured_or_estimated() -> None:
    """Latency and memory of estimates are figures with a basis, so they pass or fail a limit."""
    loose = bundled(device="NVIDIA L4", scenario="single", limit=60)
    options = [o for o in (loose.chosen, *loose.alternatives) if o]
    assert all(o.latency_ms and o.memory_gb and o.latency_basis == "estimated" for o in options)
    limit = there(loose.chosen).latency_ms
    assert limit is not None
    strict = bundled(device="NVIDIA L4", scenario="single", max_latency_ms=limit * 0.5)
    assert strict.chosen is None or (strict.chosen.latency_ms or 0) <= limit * 0.5
    small = bundled(device="NVIDIA L4", max_memory_gb=0.1, limit=60)
    listed = [o for o in (small.chosen, *small.alternatives) if o]
    assert all((o.memory_gb or 1) <= 0.1 for o in listed)
    licensed = bundled(device="NVIDIA L4", licence="apache-2.0")
    name = there(licensed.chosen).candidate
    assert (BUNDLED.candidates[name].licence or "").casefold() == "apache-2.0"


def test_the_language_of_the_texts_decides_the_workload() -> None:
    """German answers from a German set; a language without one keeps to models of it."""
    german = bundled(task="sentiment", min_acc=0.5, language="de")
    assert BUNDLED.workloads[german.group.workload].language == "de"
    none = bundled(task="spam", min_acc=0.5, language="de", limit=40)
    assert "accuracy-other-language" in codes(none)
    for option in (none.chosen, *none.alternatives):
        if option is not None:
            assert {"de", "mul"} & set(BUNDLED.candidates[option.candidate].languages)
    with pytest.raises(BadQuestionError, match="language"):
        bundled(workload="sst2", language="de")


def test_nothing_ends_in_an_empty_page() -> None:
    """Where nothing qualifies: suggestions with commands, and a nearest miss, known or not."""
    for task, labels, scenario in itertools.product(
        BUNDLED.tasks(), ("full", "none"), ("offline", "server")
    ):
        asked = {"labels": labels, "scenario": scenario, "device": "Raspberry Pi 5"}
        answer = bundled(task=task, min_acc=0.999, **asked)
        assert answer.chosen is None
        assert answer.suggestions
        assert all(each.command.startswith("joulewise ") for each in answer.suggestions)
        assert there(answer.nearest_miss).missing is not None
    unmeasured = there(bundled(task="comment-quality", min_acc=0.7).nearest_miss)
    assert unmeasured.accuracy is None
    assert BUNDLED.candidates[unmeasured.candidate].runnable
    asked = {"task": "offensive-language", "workload": "germeval2018-fine"}
    by_metric = there(bundled(min_acc=0.5, **asked).nearest_miss)
    assert (by_metric.missing.constraint, by_metric.missing.has) == ("metric", "macro_f1")  # type: ignore[union-attr]
    open_ones = bundled(device="NVIDIA L4")
    assert all(BUNDLED.candidates[s.candidate].runnable for s in open_ones.suggestions)


@pytest.mark.parametrize("device", ["AMD EPYC 7763", "NVIDIA L4", "Raspberry Pi 5"])
@pytest.mark.parametrize("labels", ["none", "few", "full"])
@pytest.mark.parametrize("floor", [0.8, 0.9, 0.95])
def test_the_usual_tools_of_language_identification_come_first(
    device: str, labels: Any, floor: float
) -> None:
    """Named with command and energy before any encoder, which needs more, on every device."""
    answer = bundled(
        task="language-identification", min_acc=floor, device=device, labels=labels, limit=100
    )
    first, second = answer.suggestions[:2]
    assert first.candidate == "fasttext-language-identification"
    assert second.candidate == "lingua-language-identification"
    named = {each.candidate for each in answer.suggestions}
    assert ("tfidf-char-logistic" in named) == (labels == "full")
    for each in answer.suggestions[:2]:
        assert each.expected_accuracy is None
        assert each.command.endswith(f"--candidate {each.candidate}")
        assert each.candidate in codes(answer)["usual-tool-unmeasured"]
        assert each.expected_energy_j_per_1000 is not None
        for option in (answer.chosen, *answer.alternatives):
            if option is not None and option.family == "frozen-encoder":
                assert each.expected_energy_j_per_1000 < cost(option)


def test_a_usual_tool_that_was_measured_is_no_suggestion() -> None:
    """Once it has an accuracy on the data set it is ranked like everything else."""
    tool = "fasttext-language-identification"
    measured = Measurement(
        run_id="r", source="calibration", workload="language", candidate=tool,
        device="AMD EPYC 7763", scenario="offline", batch_size=32.0, n_items=1000.0,
        runtime_s=0.1, accuracy=0.97, n_test=2048, n_devices=1,
    )  # fmt: skip
    view = Snapshot(
        measurements=(measured,),
        devices=BUNDLED.devices,
        workloads=BUNDLED.workloads,
        candidates=BUNDLED.candidates,
        digest="d",
    )
    query = Query(task="language-identification", min_acc=0.9, device="AMD EPYC 7763")
    answer = recommend(view, ESTIMATOR, query)
    assert there(answer.chosen).candidate == tool
    assert "usual-tool-unmeasured" not in codes(answer)
    assert all(each.expected_accuracy is not None for each in answer.suggestions)


@pytest.mark.parametrize(("language", "workload", "named"), [
    ("fr", "tweet-sentiment-fr", "movie-review-sentiment"),
    ("de", "tweet-sentiment-de", "sb10k"),
    ("pl", "polemo2-in", None),
    ("ja", "japanese-sentiment", None),
    ("es", "tweet-sentiment-es", None),
    ("it", "tweet-sentiment-it", None),
])  # fmt: skip
def test_sentiment_in_a_language_names_the_better_known_set(
    language: str, workload: str, named: str | None
) -> None:
    """The first choice answers where 20 candidates are known on it, else the answer names it."""
    answers = [bundled(min_acc=0.5, language=language, labels=each) for each in ("full", "few")]
    for answer in answers:
        assert answer.group.workload == workload
        said = codes(answer).get("reference-thin", "")
        assert (named is not None) == (f"workload={named}" in said)
    high = bundled(min_acc=0.9, language=language)
    if named == "movie-review-sentiment":
        first = high.suggestions[0]
        assert high.chosen is None
        assert first.expected_accuracy is not None
        assert first.expected_accuracy >= 0.9
        assert f"--workload {named}" in first.command


def test_answers_are_small() -> None:
    """Under 15 kB with the default limit; a larger one lists every candidate once."""
    for task, device in itertools.product(BUNDLED.tasks(), ("NVIDIA T4", "AMD EPYC 7763")):
        for scenario in get_args(AskedScenario):
            query = Query(task=task, min_acc=0.8, device=device, scenario=scenario)
            assert len(ADVISOR.encode(query)) < 15_000
    every = bundled(device="NVIDIA L4", limit=1000)
    assert every.rejected_more == 0
    few = bundled(device="NVIDIA L4")
    assert few.rejected_more > 0
    lost = len(few.rejected) + few.rejected_more + len(few.alternatives)
    assert lost == len(every.rejected) + len(every.alternatives)


def test_the_alternatives_show_each_family() -> None:
    """Cheapest first, and the cheapest one of each further family among the first few."""
    answer = bundled(device="NVIDIA L4", min_acc=0.8)
    costs = [cost(option) for option in answer.alternatives]
    assert costs == sorted(costs)
    assert len({option.family for option in answer.alternatives}) > 1


def test_the_majority_class_is_shown_and_never_chosen() -> None:
    """It needs least and reaches the floor; the answer is the next one, or a miss."""
    floor = Candidate(name="majority-class", family="majority")
    rows = (row("majority-class", 1, accuracy=0.9), row("b", 20, accuracy=0.9))
    known = CANDIDATES | {"majority-class": floor}
    answer = ask(catalog(*rows, candidates=known), min_acc=0.8)
    assert there(answer.chosen).candidate == "b"
    assert reasons(answer)["majority-class"] == "majority-class"
    assert bundled().rejected[0].candidate == "majority-class"
    low = bundled(task="toxicity", min_acc=0.3)
    assert "floor-below-majority" in codes(low)


def test_a_model_that_does_not_fit_is_never_chosen() -> None:
    """70 billion weights on a 24 GB card; several cards of an instance count."""
    elsewhere = row("e", 100.0)
    answer = ask(catalog(elsewhere), device="Small")
    assert answer.chosen is None
    assert reasons(answer) == {"e": "does-not-fit"}
    several = bundled(task="topic", workload="fktg", min_acc=0.1, device="g5.48xlarge", limit=500)
    assert several.machine.n_devices == 8
    huge = [o for o in several.alternatives if (o.n_parameters or 0) > 3e10]
    assert all((o.n_devices or 0) > 1 for o in huge if o.energy_j_per_1000.basis != "measured")


@pytest.mark.parametrize(
    ("values", "fewest"),
    [
        ({"n_devices": None}, 6),
        ({"n_devices": None, "n_nodes": 7}, 7),
        ({"n_devices": 6}, None),
    ],
)
def test_a_row_that_hides_its_number_of_gpus_does_not_pass_as_one(
    values: dict[str, Any], fewest: int | None
) -> None:
    """70 billion weights on 24 GB cards: as many as hold them, said beside the figure."""
    answer = ask(catalog(row("e", device="Small", **values)), device="Small")
    assert there(answer.chosen).n_devices_at_least == fewest
    assert ("devices-unstated" in codes(answer)) == (fewest is not None)
    if fewest:
        assert f"at least {fewest} Small" in codes(answer)["devices-unstated"]


def test_stale_rows_and_unstable_ones_are_said() -> None:
    """A row from before the driver changed still ranks, with a warning."""
    before, after = (json.dumps({"energy": {"driver": driver}}) for driver in ("550", "560"))
    old = row("a", fingerprint=before, host="h", measured_at="2026-01-01", cv=0.2)
    new = row("b", 900.0, fingerprint=after, host="h", measured_at="2026-02-01")
    chosen = there(ask(catalog(old, new)).chosen)
    assert {"stale-measurement", "unstable"} <= set(chosen.warnings)


def test_contaminated_and_closed_candidates_never_qualify() -> None:
    """Without open weights a published accuracy is for comparison alone."""
    closed = {"a": msgspec.structs.replace(CANDIDATES["a"], checkpoint=None)}
    answer = ask(catalog(row("a", 1.0), row("b", 50.0), candidates=CANDIDATES | closed))
    assert there(answer.chosen).candidate == "b"
    assert reasons(answer) == {"a": "not-obtainable"}
    suspected = ask(catalog(row("a", 1.0, contamination="in the training set")))
    assert "accuracy-contaminated" in codes(suspected)


def test_the_interval_of_an_accuracy_is_shown() -> None:
    """Wilson's at 90 %, with the test size."""
    found = there(ask(catalog(row("a"))).chosen).accuracy
    assert found is not None
    assert (found.low, found.high) == pytest.approx(interval(0.8, 1000), abs=1e-4)


def test_what_only_an_author_reports_qualifies_by_its_own_low_end() -> None:
    """The bound of a confidence never lies above the low end of a self-reported figure."""
    answer = bundled(task="intent", min_acc=0.85, device="NVIDIA L4", limit=1000)
    listed = [option for option in (answer.chosen, *answer.alternatives) if option is not None]
    alone = [o.accuracy for o in listed if o.accuracy and "self-reported" in o.accuracy.warnings]
    assert all(accuracy.low is None or accuracy.low >= 0.85 for accuracy in alone)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_acc", 1.2),
        ("confidence", 0.3),
        ("confidence", 1.0),
        ("limit", 0),
        ("batch_size", 0.5),
        ("max_latency_ms", -1.0),
        ("rate", 5.0),
        ("runtime_s_per_1000", 0.0),
        ("labels", "many"),
        ("metric", "auc"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_field(field: str, value: Any) -> None:
    """The field, what came and what is allowed; a rate without a server is one."""
    with pytest.raises(BadQuestionError) as caught:
        ask(catalog(row()), **{field: value})
    assert caught.value.field == field


def test_unknown_names_are_refused_with_the_nearest() -> None:
    """Task, workload and device; a workload of another task too."""
    for asked in ({"task": "sentimnet"}, {"workload": "sst3"}, {"device": "RTX 4099"}):
        with pytest.raises(UnknownNameError):
            bundled(**asked)
    with pytest.raises(BadQuestionError) as caught:
        bundled(workload="agnews")
    assert caught.value.field == "workload"
    assert "sst2" in caught.value.allowed


def test_an_answer_is_pinned() -> None:
    """Digest and version of what it was made from are in it."""
    answer = ask(catalog(row()))
    assert answer.catalog_digest == "d"
    assert answer.estimator_version == ESTIMATOR.version
    assert msgspec.json.decode(msgspec.json.encode(answer))["group"]["scope"] == "host"


def test_idle_time_of_a_served_row_is_never_charged_again() -> None:
    """No estimate is made from its runtime, and it is not converted to another scenario."""
    served = row("a", 50.0, scenario="server", rate_per_s=2.0, batch_size=None, runtime_s=500.0)
    offline = there(ask(catalog(served)).chosen)
    assert offline.energy_j_per_1000.basis in ("estimated-runtime", "extrapolated")
    alone = there(ask(catalog(row("b"), served), scenario="server", rate=2.0).chosen)
    assert (alone.candidate, cost(alone)) == ("a", 50)


SCOPES: tuple[Scope, ...] = get_args(Scope)


def test_scopes_are_ordered() -> None:
    """Of one setup: the chip needs no more than the host, the host no more than the plug."""
    for device in ("NVIDIA L4", "AMD EPYC 7763", "Raspberry Pi 5"):
        found = [
            cost(there(bundled(device=device, scope=scope, workload="sst2").chosen))
            for scope in SCOPES
        ]
        assert found == sorted(found)
