"""Tests of `report`: plans recomputed by hand with units, what is said when data lack."""

from __future__ import annotations

import datetime
import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.estimator import estimator
from advisor.recommend.advisor import Advisor
from advisor.recommend.warnings import CAUTIONS
from advisor.report.plan import PlanError, checked
from advisor.report.records import Deployed, Report
from advisor.report.report import report
from advisor.report.terms import DEFAULT_PUE, GPU_KG, LIFETIME_YEARS, SERVER_KG
from advisor.report.wording import METHODS, Words, table
from catalog import reference_data as bundled
from catalog.quantity import Quantity
from catalog.records import Candidate, Measurement, Training
from catalog.snapshot import Snapshot

NANO = "Jetson Nano 2GB (GPU, Tegra X1)"
A30, L4, H100 = "NVIDIA A30", "NVIDIA L4", "NVIDIA H100-SXM5-94GB"
J_PER_KWH = 1000 * 3600
Z90 = 1.645


def row(candidate: str, joules: float, runtime_s: float, **more: Any) -> Measurement:
    """A thousand texts on an A30: joules split over GPU, CPU and memory, all measured."""
    given: dict[str, Any] = {
        "run_id": "lab",
        "source": "lab",
        "workload": "sst2",
        "candidate": candidate,
        "device": A30,
        "n_devices": 1,
        "scenario": "offline",
        "precision": "fp32",
        "batch_size": 32,
        "n_items": 1000,
        "runtime_s": runtime_s,
        "gpu_j": joules * 0.6,
        "gpu_label": "measured",
        "cpu_j": joules * 0.3,
        "cpu_label": "measured",
        "dram_j": joules * 0.1,
        "dram_label": "measured",
        "cv": 0.02,
        "accuracy_split": "test",
        "n_test": 1821,
        "measured_at": "2026-06-01",
        "citation": "the lab",
    }
    return Measurement(**(given | more))


ROWS = (
    row("tfidf-word-logistic", 100, 2, accuracy=0.9, idle_resident_w=20.0),
    row(
        "tfidf-word-logistic",
        1600,
        30,
        phase="train",
        n_items=6920,
        accuracy_split=None,
        n_test=None,
        batch_size=None,
        cv=None,
    ),
    row("minilm-l6-finetuned", 900, 5, accuracy=0.92),
    row("minilm-l6-finetuned", 700, 4, accuracy=0.91, precision="fp16"),
    row("dear-zero-shot", 50_000, 100, accuracy=0.85, precision="fp16"),
    row("tfidf-word-logistic", 500, 10, accuracy=0.9, scenario="server", batch_size=None),
    row("tfidf-char-linear-svm", 80, None, accuracy=0.8),  # type: ignore[arg-type]
    row("bow-complement-nb", 10, 0.5, accuracy=0.7, device=H100, cpu_label="modelled"),
)


@pytest.fixture(scope="module")
def advisor() -> Advisor:
    """An advisor over a small laboratory's catalog."""
    dear = Candidate(name="dear-zero-shot", family="zero-shot-llm", n_parameters=4e9)
    snapshot = Snapshot(
        measurements=ROWS,
        devices=bundled.devices(),
        workloads=bundled.workloads(),
        candidates=bundled.candidates() | {dear.name: dear},
        digest="d" * 64,
    )
    return Advisor(snapshot, estimator.load())


def made(advisor: Advisor, *deployments: dict[str, Any], **plan: Any) -> Report:
    """The report of a plan."""
    return report(advisor, checked({"deployments": list(deployments), **plan}))


def one(advisor: Advisor, **deployment: Any) -> Deployed:
    """The only deployment of a plan."""
    return made(advisor, deployment).deployments[0]


def planned(candidate: str, **more: Any) -> dict[str, Any]:
    """A deployment on the A30 of the laboratory."""
    return {
        "name": candidate,
        "candidate": candidate,
        "device": A30,
        "workload": "sst2",
        "texts_per_day": 1e6,
    } | more


def amounts(found: Any) -> Iterator[Quantity]:
    """Every interval anywhere in a record."""
    if isinstance(found, Quantity):
        yield found
    elif isinstance(found, msgspec.Struct):
        for name in found.__struct_fields__:
            yield from amounts(getattr(found, name))
    elif isinstance(found, dict):
        for value in found.values():
            yield from amounts(value)
    elif isinstance(found, tuple | list):
        for value in found:
            yield from amounts(value)


def in_order(found: Any) -> bool:
    """Whether every interval in a record holds its value."""
    for amount in amounts(found):
        ends = [end for end in (amount.low, amount.value, amount.high) if end is not None]
        if any(a > b + 1e-9 * (1 + abs(b)) for a, b in itertools.pairwise(ends)):
            return False
    return True


def adds_up(answer: Report) -> bool:
    """Whether parts make deployments and deployments make totals, end by end."""

    def summed(parts: list[Quantity], whole: Quantity) -> bool:
        for end in ("low", "value", "high"):
            ends = [getattr(part, end) for part in parts]
            if end == "high" and None in ends:
                if whole.high is not None:
                    return False
                continue
            sum_of = math.fsum(value for value in ends if value is not None)
            if getattr(whole, end) != pytest.approx(sum_of, rel=1e-9):
                return False
        return True

    own = all(
        summed([part.kwh for part in entry.parts], entry.kwh)
        and summed([part.kwh for part in entry.parts[:3]], entry.it_kwh)
        and summed([part.kg_co2e for part in entry.parts], entry.kg_co2e)
        for entry in answer.deployments
    )
    sums = answer.totals
    return (
        own
        and summed([entry.kwh for entry in answer.deployments], sums.kwh)
        and summed([entry.kg_co2e for entry in answer.deployments], sums.kg_co2e)
        and summed(list(sums.parts_kwh.values()), sums.kwh)
    )


def test_first_plan_net_of_measured_idle(advisor: Advisor) -> None:
    """Idle watts of the run itself: net joules per text, idle in all hours, four trainings."""
    answer = made(
        advisor,
        planned("tfidf-word-logistic", retrainings=4),
        pue=1.2,
        grid_kg_per_kwh=0.4,
        price_per_kwh=0.25,
        period_years=1,
    )
    (entry,) = answer.deployments
    texts = 1e6 * 365  # texts/d x d
    net_j = 100 / 1000 - 20 * (2 / 1000)  # J/text - W x s/text
    low_j = 0.1 * math.exp(-Z90 * 0.02) - 0.04
    idle_j = 20 * 24 * 3600 * 365  # W x s
    training_j = 4 * 1600  # J
    inference, idle, training, pue = entry.parts
    assert inference.kwh.value == pytest.approx(texts * net_j / J_PER_KWH)
    assert inference.kwh.low == pytest.approx(texts * low_j / J_PER_KWH)
    assert idle.kwh == Quantity(*[pytest.approx(idle_j / J_PER_KWH)] * 3)
    assert training.kwh.value == pytest.approx(training_j / J_PER_KWH)
    it = (texts * net_j + idle_j + training_j) / J_PER_KWH
    assert entry.it_kwh.value == pytest.approx(it)
    assert pue.kwh.value == pytest.approx(0.2 * it)
    assert entry.kwh.value == pytest.approx(1.2 * it)
    assert entry.kg_co2e.value == pytest.approx(1.2 * it * 0.4)
    assert entry.cost is not None
    assert entry.cost.value == pytest.approx(1.2 * it * 0.25)
    making = (SERVER_KG + GPU_KG) * 365 / (LIFETIME_YEARS * 365.25)  # kg x share of its life
    assert entry.sci.embodied_kg == pytest.approx(making)
    assert entry.embodied_kg_co2e is not None
    assert entry.embodied_kg_co2e.low == pytest.approx(
        (SERVER_KG / 4 + GPU_KG) / (SERVER_KG + GPU_KG) * making  # one of four slots
    )
    grams = 1000 * (1.2 * it * 0.4 + making) / texts
    assert entry.sci.g_co2e_per_text.value == pytest.approx(grams)
    methods = [part.method for part in entry.parts]
    assert methods == ["inference-net", "idle-all-hours", "training", "pue"]
    assert [part.basis for part in entry.parts] == ["measured", "measured", "measured", "stated"]
    assert entry.machines == 1
    assert entry.busy_share == pytest.approx(1e6 * 0.002 / 86400)
    assert adds_up(answer)
    assert in_order(answer)


def test_second_plan_sized_from_the_peak_with_stated_idle(advisor: Advisor) -> None:
    """Three machines for the peak, ten hours a day for 30 days, the grid as an interval."""
    answer = made(
        advisor,
        planned(
            "minilm-l6-finetuned",
            precision="fp32",
            texts_per_day=2e6,
            peak_rate=500,
            hours_per_day=10,
            idle_w=150,
        ),
        period_days=30,
        pue=1.5,
        grid_kg_per_kwh={"low": 0.3, "value": 0.4, "high": 0.6},
    )
    (entry,) = answer.deployments
    texts, runtime_s = 2e6 * 30, 5 / 1000
    machine_s = 3 * 10 * 3600 * 30  # machines x h/d x s/h x d
    idle_j = 150 * (machine_s - texts * runtime_s)
    it = (texts * 0.9 + idle_j) / J_PER_KWH
    assert entry.machines == math.ceil(500 * runtime_s) == 3
    assert "500 texts per second" in entry.machines_from
    assert entry.parts[0].kwh.value == pytest.approx(texts * 0.9 / J_PER_KWH)
    assert entry.parts[1].kwh.value == pytest.approx(idle_j / J_PER_KWH)
    late = math.exp(Z90 * 0.02)
    slowest = 150 * (machine_s - texts * runtime_s * late)
    assert entry.parts[1].kwh.low == pytest.approx(slowest / J_PER_KWH)
    assert entry.parts[2].kwh == Quantity(0.0, 0.0, 0.0)
    assert entry.parts[2].basis == "none-needed"
    assert entry.kwh.value == pytest.approx(1.5 * it)
    assert entry.kg_co2e.value == pytest.approx(1.5 * it * 0.4)
    assert entry.kg_co2e.low == pytest.approx(entry.kwh.low * 0.3)
    assert entry.kg_co2e.high == pytest.approx((entry.kwh.high or 0) * 0.6)
    assert entry.cost is None
    assert answer.totals.cost is None
    assert [part.basis for part in entry.parts][:2] == ["measured", "stated"]
    assert adds_up(answer)
    assert in_order(answer)


def test_an_uncertain_runtime_makes_the_number_of_machines_uncertain(advisor: Advisor) -> None:
    """Each end of an estimated runtime is sized by itself, and idle energy spans what follows."""
    rate, texts = 20_000, 1e8
    entry = one(
        advisor,
        **planned(
            "minilm-l6-finetuned",
            device="NVIDIA L4", texts_per_day=texts, peak_rate=rate, idle_w=30, pue=1.0,
        ),
    )  # fmt: skip
    runtime = entry.setup.runtime_s_per_1000
    assert runtime is not None
    ends = [runtime.low / 1000, runtime.value / 1000, runtime.high / 1000]
    machines = [math.ceil(rate * seconds) for seconds in ends]
    assert [entry.machines_low, entry.machines, entry.machines_high] == machines
    assert machines[0] < machines[1] < machines[2]
    full = [n / rate for n in range(machines[0], machines[2])]  # where one more is needed
    steps = [ends[0], ends[2], *(t * (1 - 1e-9) for t in full), *(t * (1 + 1e-9) for t in full)]
    idle = [30 * (math.ceil(rate * t) * 86400 - texts * t) * 365 / J_PER_KWH for t in steps]
    found = entry.parts[1].kwh
    assert found.low <= min(idle) == pytest.approx(found.low, rel=1e-3)
    assert found.high is not None
    assert found.high >= max(idle) == pytest.approx(found.high, rel=1e-3)
    assert found.value == pytest.approx(
        30 * (machines[1] * 86400 - texts * ends[1]) * 365 / J_PER_KWH
    )
    assert in_order(entry)


def test_third_plan_machines_off_when_idle_with_their_making(advisor: Advisor) -> None:
    """No idle is charged where machines are off; what making them emitted enters SCI alone."""
    answer = made(
        advisor,
        planned("dear-zero-shot", texts_per_day=5000, off_when_idle=True),
        planned("minilm-l6-finetuned", texts_per_day=5000, off_when_idle=True, pue=1),
        region="France",
        embodied={"kg_per_machine": 800, "lifetime_years": 4},
    )
    dear, small = answer.deployments
    texts, grid = 5000 * 365, 0.04418
    it = texts * 50 / J_PER_KWH
    assert dear.it_kwh.value == pytest.approx(it)
    assert dear.pue == DEFAULT_PUE
    assert dear.kwh.value == pytest.approx(it * DEFAULT_PUE)
    assert dear.parts[1].kwh == Quantity(0.0, 0.0, 0.0)
    assert dear.parts[1].method == "idle-off"
    kg, making = it * DEFAULT_PUE * grid, 800 * 365 / (4 * 365.25)
    assert dear.grid.code == "FRA"
    assert dear.kg_co2e.value == pytest.approx(kg)
    assert dear.sci.embodied_kg == pytest.approx(making)
    assert dear.sci.g_co2e_per_text.value == pytest.approx(1000 * (kg + making) / texts)
    assert small.it_kwh.value == pytest.approx(texts * 0.7 / J_PER_KWH)
    assert small.kwh == small.it_kwh
    assert answer.totals.kwh.value == pytest.approx(it * DEFAULT_PUE + texts * 0.7 / J_PER_KWH)
    assert adds_up(answer)
    assert in_order(answer)


@pytest.mark.parametrize("candidate", ["tfidf-word-logistic", "minilm-l6-finetuned"])
def test_doubling_requests_doubles_inference_exactly(advisor: Advisor, candidate: str) -> None:
    """Twice the texts a day, to the last bit, on the same machines."""
    once, twice = (
        one(advisor, **planned(candidate, texts_per_day=n, machines=4)) for n in (123_457, 246_914)
    )
    assert once.parts[0].kwh.value
    for end in ("low", "value", "high"):
        assert getattr(twice.parts[0].kwh, end) == 2 * getattr(once.parts[0].kwh, end)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    candidate=st.sampled_from(
        ["tfidf-word-logistic", "minilm-l6-finetuned", "dear-zero-shot", "mpnet"]
    ),
    texts=st.floats(1, 1e7),
    hours=st.floats(0.5, 24),
    pue=st.floats(1, 3),
    idle=st.none() | st.floats(0, 500),
    grid=st.lists(st.floats(0, 10), min_size=3, max_size=3).map(sorted),
    off=st.booleans(),
    device=st.sampled_from([A30, L4, H100]),
)
def test_intervals_hold_their_values_whatever_is_planned(
    advisor: Advisor,
    candidate: str,
    texts: float,
    hours: float,
    pue: float,
    idle: float | None,
    grid: list[float],
    off: bool,
    device: str,
) -> None:
    """Measured or brought from another device: low <= value <= high, and parts make the sums."""
    entry = planned(
        "minilm-l6-finetuned" if candidate == "mpnet" else candidate,
        device=A30 if candidate.startswith("tfidf") else device,  # elsewhere it needs a CPU
        texts_per_day=texts,
        hours_per_day=hours,
        pue=pue,
        off_when_idle=off,
        grid_kg_per_kwh=dict(zip(("low", "value", "high"), grid, strict=True)),
    )
    answer = made(advisor, entry if idle is None else entry | {"idle_w": idle}, price_per_kwh=0.2)
    assert in_order(answer)
    assert adds_up(answer)


def test_idle_that_no_run_read_is_charged_by_class(advisor: Advisor) -> None:
    """From the card's data sheet and its host, with an interval, and said to be."""
    entry = one(advisor, **planned("minilm-l6-finetuned", device=L4))
    idle = entry.parts[1]
    assert advisor.snapshot.devices[L4].idle_w
    assert entry.idle_w is not None
    assert entry.idle_w.value
    assert entry.idle_w.high is not None
    assert idle.kwh.value == pytest.approx(
        entry.idle_w.value * 8760 * 3600 * (1 - (entry.busy_share or 0)) / J_PER_KWH
    )
    assert idle.basis == "data-sheet"
    assert idle.sources == (f"device:{L4}", "idle")
    assert entry.kwh.high is not None
    assert "idle-assumed" in entry.warnings
    assert "idle_w" in {found.field for found in entry.assumed}


def test_idle_of_unlisted_hardware_is_charged_too(advisor: Advisor) -> None:
    """A device whose idle watts no source states: a share of its power, never nothing."""
    specs = {"kind": "gpu", "tdp_w": 300, "peak_fp16_tflops": 200, "memory_bandwidth_gbs": 900}
    answer = made(advisor, planned("minilm-l6-finetuned", device=specs))
    (entry,) = answer.deployments
    assert entry.parts[1].kwh.value
    assert entry.parts[1].basis == "assumed"
    assert entry.lacks == ()
    assert answer.totals.lacking == {}
    assert entry.kwh.high is not None
    assert entry.parts[0].basis in ("estimated-runtime", "extrapolated")
    assert in_order(answer)
    assert adds_up(answer)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_idle_read_of_part_of_the_machine_is_the_low_end(advisor: Advisor, elsewhere: bool) -> None:
    """Watts of a GPU counter alone do not stand for the host; another run's of all of it do."""
    part = row(
        "tfidf-word-lightgbm", 90, 3, accuracy=0.9, idle_resident_w=25.0, cpu_label="modelled"
    )
    snapshot = advisor.snapshot
    own = Snapshot(
        measurements=(*(ROWS if elsewhere else ROWS[1:]), part),
        devices=snapshot.devices,
        workloads=snapshot.workloads,
        candidates=snapshot.candidates,
        digest="e" * 64,
    )
    found = one(Advisor(own, advisor.estimator), **planned("tfidf-word-lightgbm"))
    assert found.idle_w is not None
    assert found.parts[0].label == "mixed"
    assert found.parts[0].method == "inference-gross"
    if elsewhere:
        assert found.idle_w.value == 20.0
        assert found.parts[1].basis == "measured"
        assert "idle-assumed" not in found.warnings
    else:
        assert (found.idle_w.low or 0) >= 25.0
        assert (found.idle_w.high or 0) > 25.0
        assert "idle-assumed" in found.warnings


def test_a_server_measurement_is_not_charged_idle_again(advisor: Advisor) -> None:
    """Its joules per text hold the waiting; another rate than the measured one is a warning."""
    rate = 100.0  # 1,000 texts in 10 s
    entry = one(
        advisor,
        **planned("tfidf-word-logistic", scenario="server", texts_per_day=rate * 86400, machines=1),
    )
    assert entry.parts[1].method == "idle-in-inference"
    assert entry.it_kwh.value == pytest.approx(rate * 86400 * 365 * 0.5 / J_PER_KWH)
    assert "server-rate-differs" not in entry.warnings
    other = one(
        advisor, **planned("tfidf-word-logistic", scenario="server", texts_per_day=1e5, machines=1)
    )
    assert "server-rate-differs" in other.warnings


SERVED = (
    row("tfidf-word-logistic", 500, 10, accuracy=0.9, scenario="server", rate_per_s=100.0),
    row("tfidf-word-logistic", 4000, 100, accuracy=0.9, scenario="server", rate_per_s=10.0),
    row(
        "tfidf-word-logistic",
        4100,
        100,
        accuracy=0.9,
        scenario="server",
        rate_per_s=10.0,
        precision="bf16",
    ),
    row("minilm-l6-finetuned", 1500, 10, accuracy=0.9, scenario="server", rate_per_s=100.0),
    row("minilm-l6-finetuned", 5000, 100, accuracy=0.92, scenario="server", rate_per_s=10.0),
    row("bow-complement-nb", 4500, 100, accuracy=0.7, scenario="server", rate_per_s=10.0),
    row(
        "dear-zero-shot",
        60_000,
        100,
        accuracy=0.85,
        scenario="server",
        rate_per_s=10.0,
        precision="fp16",
    ),
)
"""What `joulewise calibrate --rate 10 --rate 100` stores."""


@pytest.fixture(scope="module")
def serving(advisor: Advisor) -> Advisor:
    """The laboratory after it calibrated at two request rates; most rows are at 10 per second."""
    known = advisor.snapshot
    rows = tuple(each for each in ROWS if each.scenario != "server")
    own = Snapshot(
        measurements=(*rows, *SERVED),
        devices=known.devices,
        workloads=known.workloads,
        candidates=known.candidates,
        digest="f" * 64,
    )
    return Advisor(own, advisor.estimator)


@pytest.mark.parametrize(("rate", "joules"), [(100.0, 500), (10.0, 4000), (None, 4000)])
def test_rows_measured_at_a_rate_answer_for_it(
    serving: Advisor, rate: float | None, joules: float
) -> None:
    """The plan's rate finds its row, measured; without one the rate measured is declared."""
    stated = {} if rate is None else {"rate": rate}
    at = rate or 10.0
    entry = one(
        serving,
        **planned("tfidf-word-logistic", scenario="server", texts_per_day=at * 86400, **stated),
    )
    assert entry.parts[0].basis == "measured"
    assert entry.it_kwh.value == pytest.approx(at * 86400 * 365 * joules / 1000 / J_PER_KWH)
    assert entry.machines == 1
    assert entry.setup.rate_per_s == at
    assert "server-rate-differs" not in entry.warnings
    assumed = {found.field: found.value for found in entry.assumed}
    assert assumed.get("rate") == (None if rate else 10.0)


def test_rivals_are_asked_for_at_the_plans_rate(serving: Advisor) -> None:
    """At 100 a second the alternative is one of that rate, not of the commonest."""
    asked = {"scenario": "server", "texts_per_day": 8e5, "idle_w": 0, "machines": 1}
    entry = one(serving, **planned("minilm-l6-finetuned", precision="fp32", rate=100.0, **asked))
    other = entry.alternative
    assert other is not None
    assert other.setup is not None
    assert other.setup.rate_per_s == 100.0
    assert (other.setup.energy_j_per_1000.value or 0) < 1500
    slow = planned("minilm-l6-finetuned", precision="fp32", rate=10.0, training_kwh=1)
    even = one(serving, **slow | asked).break_even
    assert even is not None
    assert even.against == "dear-zero-shot"
    assert even.saved_j_per_text is not None
    assert even.saved_j_per_text.value == pytest.approx(60 - 5)


def test_a_rate_nobody_measured_is_worked_out(serving: Advisor) -> None:
    """As `/recommend` does it: from what the setup needs at work, and said to be."""
    entry = one(
        serving,
        **planned(
            "minilm-l6-finetuned",
            scenario="server",
            rate=50.0,
            texts_per_day=50 * 86400,
            machines=1,
        ),
    )
    assert entry.setup.rate_per_s == 50
    assert entry.parts[0].basis == "estimated"
    assert "rate-worked-out" in entry.warnings
    assert entry.parts[1].method == "idle-in-inference"
    picked = one(
        serving,
        recommend={"task": "sentiment", "min_acc": 0.89},
        workload="sst2",
        device=A30,
        scenario="server",
        rate=100.0,
        texts_per_day=1e6,
    )
    assert picked.setup.rate_per_s == 100


def test_a_rate_without_a_server_is_refused(serving: Advisor) -> None:
    """Batches and single texts have no rate."""
    field, said = fault(serving, **planned("tfidf-word-logistic", rate=5.0))
    assert field == "rate"
    assert "server" in said


def fault(advisor: Advisor, **deployment: Any) -> tuple[str, str]:
    """Field and text of the only problem of a deployment that cannot be computed."""
    with pytest.raises(PlanError) as caught:
        one(advisor, **deployment)
    (problem,) = caught.value.problems
    return problem.field, str(problem)


def test_without_a_runtime_it_is_refused_with_the_remedy(advisor: Advisor) -> None:
    """Gross joules alone do not tell busy from idle hours; a stated runtime mends it."""
    entry = planned("tfidf-char-linear-svm")
    field, said = fault(advisor, **entry)
    assert field == "runtime_s_per_1000"
    assert "busy hours are unknown" in said
    stated = one(advisor, **entry, runtime_s_per_1000=1.5, idle_w=40)
    busy_s = 1e6 * 365 * 0.0015
    idle_j = 40 * (86400 * 365 - busy_s)
    assert stated.parts[1].kwh.value == pytest.approx(idle_j / J_PER_KWH)
    assert stated.setup.runtime_from == "stated by the plan"
    unsized = one(advisor, **entry, off_when_idle=True)
    assert unsized.machines is None
    assert unsized.busy_share is None


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"candidate": "tfidf-word-logistics"}, "candidate", "tfidf-word-logistic"),
        ({"device": "NVIDIA A3O"}, "device", A30),
        ({"device": NANO, "candidate": "dear-zero-shot"}, "device", "fit"),
        ({"workload": "sst3"}, "workload", "sst2"),
        ({"region": "Germny"}, "region", "Germany"),
        ({"precision": "int4"}, "precision", "fp32 at batch size 32"),
        ({"candidate": "dear-zero-shot", "retrainings": 1}, "retrainings", "not trained"),
        ({"texts_per_day": 1e9, "machines": 2}, "machines", "at least 24 machines"),
    ],
)
def test_what_the_catalog_does_not_have_is_said(
    advisor: Advisor, change: dict[str, Any], field: str, said: str
) -> None:
    """Each refusal names its field and what there is instead."""
    found, text = fault(advisor, **planned("tfidf-word-logistic") | change)
    assert found == field
    assert said in text


def test_one_bad_deployment_refuses_the_plan(advisor: Advisor) -> None:
    """A total never silently leaves a deployment out; every bad one is listed."""
    with pytest.raises(PlanError) as caught:
        made(
            advisor,
            planned("tfidf-word-logistic"),
            planned("nobody", name="b"),
            planned("dear-zero-shot", name="c", device="nowhere"),
        )
    assert [fault.deployment for fault in caught.value.problems] == ["b", "c"]
    assert not caught.value.nothing_qualifies


def test_the_advisor_picks_for_a_deployment(advisor: Advisor) -> None:
    """`recommend` takes the least energy that meets the floor, and says that it did."""
    floor = {"task": "sentiment", "min_acc": 0.89}
    asked = {"recommend": floor, "device": A30, "texts_per_day": 1000}
    entry = one(advisor, **asked)
    assert entry.chosen_by == "advisor"
    assert entry.setup.candidate == "tfidf-word-logistic"
    with pytest.raises(PlanError, match="closest is") as caught:
        one(advisor, **asked | {"recommend": {"task": "sentiment", "min_acc": 0.999}})
    assert caught.value.nothing_qualifies


def test_the_alternative_saves_what_the_two_reports_differ_by(advisor: Advisor) -> None:
    """What needs least at the same accuracy on any machine, computed like a plan of its own."""
    terms = {"pue": 1.3, "price_per_kwh": 0.2, "market_kg_per_kwh": 0.1}
    entry = one(advisor, **planned("dear-zero-shot", texts_per_day=1e5, **terms))
    other = entry.alternative
    assert other is not None
    assert other.setup is not None
    assert other.setup.family != "zero-shot-llm"
    assert {A30, L4} < set(other.searched)
    assert (other.setup.accuracy and other.setup.accuracy.value) >= 0.85  # type: ignore[operator]
    run = {"candidate": other.setup.candidate, "device": other.setup.device}
    own = one(advisor, **planned("any", texts_per_day=1e5, **terms) | run)
    assert other.saved_kwh is not None
    assert other.kwh == own.kwh
    saved = (entry.kwh.value or 0) - (own.kwh.value or 0)
    assert saved > 0
    assert other.saved_kwh.value == pytest.approx(saved)
    assert other.saved_kwh.low == pytest.approx(entry.kwh.low - (own.kwh.high or 0))  # type: ignore[operator]
    assert other.saved_cost is not None
    assert other.saved_cost.value == pytest.approx(0.2 * saved)
    assert other.saved_kg_co2e_market is not None
    assert other.saved_kg_co2e_market.value == pytest.approx(0.1 * saved)


def test_no_machine_that_was_searched_needs_less_than_the_alternative(advisor: Advisor) -> None:
    """Each searched machine's own pick at that accuracy, as a plan, needs no less."""
    entry = one(advisor, **planned("dear-zero-shot", texts_per_day=1e5))
    other = entry.alternative
    assert other is not None
    assert other.kwh is not None
    for device in other.searched:
        asked = {"task": "sentiment", "min_acc": 0.85, "confidence": 0}
        picked = one(advisor, recommend=asked, device=device, workload="sst2", texts_per_day=1e5)
        assert (picked.kwh.value or 0) >= (other.kwh.value or 0) * (1 - 1e-9)


def test_a_saving_is_known_only_where_both_sides_hold_the_same_parts(advisor: Advisor) -> None:
    """A part that is missing on both sides is said to be left out."""
    unknown = msgspec.structs.replace(advisor.snapshot.workloads["sst2"], n_train=None)
    known = advisor.snapshot
    own = Snapshot(
        measurements=ROWS,
        devices=known.devices,
        workloads=dict(known.workloads) | {"sst2": unknown},
        candidates=known.candidates,
        digest="a" * 64,
    )
    entry = one(
        Advisor(own, advisor.estimator),
        **planned("minilm-l6-finetuned", precision="fp32", retrainings=2, idle_w=50),
    )
    assert entry.lacks == ("training",)
    assert entry.parts[2].kwh == Quantity(0.0, None, None)
    assert "training-missing" in entry.warnings
    assert entry.kwh.high is None
    other = entry.alternative
    assert other is not None
    assert other.saved_kwh is None or "left out" in other.note


@pytest.mark.parametrize(
    ("candidate", "device", "passes", "epochs"),
    [
        ("minilm-l6-finetuned", A30, (1.5, 3.0, 6.0), True),
        ("minilm-l6-frozen-logistic", A30, (1.0, 1.15, 1.7), False),
        ("tfidf-char-lightgbm", "AMD EPYC 7763", (0.7, 3.0, 19.0), False),
    ],
)
def test_a_training_that_was_not_recorded_is_estimated(
    advisor: Advisor, candidate: str, device: str, passes: tuple[float, ...], epochs: bool
) -> None:
    """A multiple of the joules per text, by how it is trained, times the training texts."""
    entry = one(advisor, **planned(candidate, device=device, retrainings=2))
    known, workload = advisor.snapshot.candidates[candidate], advisor.snapshot.workloads["sst2"]
    texts = float(workload.n_train or 0)
    if epochs:
        given = known.training or Training()
        texts = max(texts * given.epochs, given.least_steps * given.batch_size)
    energy = entry.setup.energy_j_per_1000
    for end, times in zip(("low", "value", "high"), passes, strict=True):
        joules = 2 * times * texts * getattr(energy, end) / 1000
        assert getattr(entry.parts[2].kwh, end) == pytest.approx(joules / J_PER_KWH)
    assert entry.parts[2].basis == "estimated"
    assert "training-estimated" in entry.warnings


def test_deployments_of_one_machine_share_its_idle_hours(advisor: Advisor) -> None:
    """The machine is charged once: what is left when both have classified."""
    names = ("tfidf-word-logistic", "minilm-l6-finetuned")
    both = [planned(name, machine="box", idle_w=120, precision="fp32") for name in names]
    answer = made(advisor, *both, price_per_kwh=0.3)
    busy_s = 1e6 * 365 * (0.002 + 0.005)
    left = 120 * (8760 * 3600 - busy_s) / J_PER_KWH
    assert sum(entry.parts[1].kwh.value or 0 for entry in answer.deployments) == pytest.approx(left)
    assert answer.totals.machines == 1
    assert adds_up(answer)
    assert in_order(answer)
    apart = made(advisor, *[entry | {"machine": entry["name"]} for entry in both])
    assert apart.totals.machines == 2
    assert (apart.totals.kwh.value or 0) > (answer.totals.kwh.value or 0)
    made_of = [entry.embodied_kg_co2e for entry in answer.deployments]
    whole = apart.deployments[0].embodied_kg_co2e
    assert whole is not None
    assert sum(each.value or 0 for each in made_of if each) == pytest.approx(whole.value)


def test_deployments_of_one_machine_agree_on_it(advisor: Advisor) -> None:
    """Another device, another number of hours: each is named with what the first one has."""
    with pytest.raises(PlanError) as caught:
        made(
            advisor,
            planned("tfidf-word-logistic", machine="box"),
            planned("minilm-l6-finetuned", machine="box", device=L4, hours_per_day=8),
        )
    assert [fault.field for fault in caught.value.problems] == ["device", "hours_per_day"]
    assert A30 in str(caught.value)


def test_a_year_the_contract_and_water(advisor: Advisor) -> None:
    """Amounts scale to 365 days; market-based by the contract's factor; water by IT kWh."""
    entry = one(
        advisor,
        **planned("tfidf-word-logistic"),
        period_days=73,
        region="Germany",
        market_kg_per_kwh={"low": 0.0, "value": 0.05, "high": 0.1},
        water_l_per_kwh=1.8,
        price_per_kwh=0.25,
    )
    assert (entry.grid.name, entry.grid.year, entry.grid.code) == ("Germany", 2024, "DEU")
    assert entry.per_year.kwh.value == pytest.approx(5 * (entry.kwh.value or 0))
    assert entry.per_year.cost is not None
    assert entry.per_year.cost.high == pytest.approx(5 * 0.25 * (entry.kwh.high or 0))
    assert entry.kg_co2e_market is not None
    assert entry.kg_co2e_market.low == 0
    assert entry.kg_co2e_market.high == pytest.approx(0.1 * (entry.kwh.high or 0))
    assert entry.water_l is not None
    assert entry.water_l.value == pytest.approx(1.8 * (entry.it_kwh.value or 0))


def test_a_stated_runtime_prices_the_setup(advisor: Advisor) -> None:
    """As in `/recommend`: the energy of what was not measured follows from the asker's seconds."""
    quick, slow = (
        one(advisor, **planned("minilm-l6-finetuned", device=L4, runtime_s_per_1000=s))
        for s in (1.0, 4.0)
    )
    assert quick.setup.energy_j_per_1000.basis == "estimated"
    assert (slow.parts[0].kwh.value or 0) > 2 * (quick.parts[0].kwh.value or 0)
    assert slow.busy_share == pytest.approx(4 * (quick.busy_share or 0))
    other = slow.alternative
    assert other is None or other.setup is None or other.setup.runtime_from != "stated by the plan"


def test_every_fault_is_listed_at_once(advisor: Advisor) -> None:
    """Those of the schema and those of the catalog, in the plan's order."""
    with pytest.raises(PlanError) as caught:
        report(
            advisor,
            {
                "pue": 0.5,
                "deployments": [
                    planned("nobody", name="a", hours_per_day=99),
                    planned("tfidf-word-logistic", name="b", texts_per_day=-1),
                    planned("tfidf-word-logistic", name="c", device="nowhere"),
                ],
            },
        )
    named = [(fault.deployment, fault.field) for fault in caught.value.problems]
    assert named == [
        (None, "pue"),
        ("a", "hours_per_day"),
        ("a", "candidate"),
        ("b", "texts_per_day"),
        ("c", "device"),
    ]


def test_the_number_names_plan_and_figures(advisor: Advisor) -> None:
    """Equal plans have equal numbers; another word of the plan makes another; stated ones stand."""
    first, again, other = (
        made(advisor, planned("tfidf-word-logistic"), title=title) for title in ("a", "a", "b")
    )
    assert first == again
    assert first.number != other.number
    assert first.date == datetime.datetime.now(datetime.UTC).date().isoformat()
    filed = made(advisor, planned("tfidf-word-logistic"), number="7/26", date="2026-11-30")
    assert (filed.number, filed.date) == ("7/26", "2026-11-30")


def test_german_is_complete() -> None:
    """Every sentence has both languages, every warning its German."""
    for key, (english, german) in table().items():
        assert german, key
        assert english or key.startswith("caution."), key
        assert set(re.findall(r"\{\w+\}", english)) in (
            set(), set(re.findall(r"\{\w+\}", german))
        ) or not english, key  # fmt: skip
    assert {f"caution.{code}" for code in CAUTIONS} <= table().keys()
    assert Words("de").number(1234.5) == "1.230"
    assert Words("de").number(0.25) == "0,25"


def test_training_is_paid_back_after_so_many_texts(advisor: Advisor) -> None:
    """1,600 J of training against 50 - 0.1 J saved per text: after 33 texts."""
    entry = one(advisor, **planned("tfidf-word-logistic"))
    even = entry.break_even
    assert even is not None
    assert even.against == "dear-zero-shot"
    assert even.texts is not None
    assert even.texts.value == pytest.approx(1600 / (50 - 0.1))
    assert even.within_period
    stated = one(advisor, **planned("minilm-l6-finetuned", precision="fp32", training_kwh=2))
    assert stated.break_even is not None
    assert stated.break_even.texts is not None
    assert stated.break_even.texts.value == pytest.approx(2 * J_PER_KWH / (50 - 0.9))
    assert one(advisor, **planned("dear-zero-shot")).break_even is None


def test_what_the_plan_leaves_open_is_declared(advisor: Advisor) -> None:
    """Defaults, and the serving choice taken, stand in the answer with their reason."""
    entry = one(advisor, **planned("minilm-l6-finetuned"))
    assumed = {found.field: found.value for found in entry.assumed}
    assert assumed["pue"] == DEFAULT_PUE
    assert assumed["region"] == "World"
    assert assumed["hours_per_day"] == 24
    assert assumed["scenario"] == "offline"
    assert "fp16" in str(assumed["serving choice"])
    full = planned(
        "minilm-l6-finetuned",
        precision="fp16",
        pue=1,
        region="EU",
        hours_per_day=24,
        scenario="offline",
        scope="host",
        period_days=1,
        peak_rate=100,
        idle_w=100,
        embodied={"kg_per_machine": 1, "lifetime_years": 1},
    )
    assert one(advisor, **full).assumed == ()


def test_every_number_names_source_and_method(advisor: Advisor) -> None:
    """Each part that is not missing leads to a source, each method to a formula."""
    answer = made(
        advisor,
        planned("tfidf-word-logistic", retrainings=1),
        planned("minilm-l6-finetuned"),
        planned("dear-zero-shot", device=L4),
    )
    sources = {source.id for source in answer.sources}
    methods = {method.id for method in answer.methods}
    for entry in answer.deployments:
        assert {entry.grid.source, entry.setup.source} <= sources
        for part in entry.parts:
            assert part.method in methods
            assert set(part.sources) <= sources
            assert part.sources or part.basis == "missing"
    lab = next(source for source in answer.sources if source.id == "m1")
    assert lab.citation == "the lab"
    assert {source.id for source in answer.sources} >= {"grid", "pue", f"device:{L4}"}
    assert answer.catalog_digest == "d" * 64
    assert answer.estimator_version
    assert methods <= METHODS.keys()


def test_wall_scope_is_converted_with_a_wider_interval(advisor: Advisor) -> None:
    """The plug is not the host: the estimator converts, and says that it estimated."""
    run = planned("minilm-l6-finetuned", precision="fp32")
    host, wall = (one(advisor, **run, scope=scope) for scope in ("host", "wall"))
    assert wall.setup.scope == "wall"
    assert wall.parts[0].basis != "measured"
    assert (wall.parts[0].kwh.value or 0) > (host.parts[0].kwh.value or 0)


def test_machines_too_few_for_the_peak_are_a_warning(advisor: Advisor) -> None:
    """They do the day's work, but texts wait at the peak."""
    entry = one(advisor, **planned("minilm-l6-finetuned", peak_rate=1000, machines=1))
    assert "peak-above-capacity" in entry.warnings
    assert entry.machines_from == "stated by the plan"


PLANS: dict[str, dict[str, Any]] = {
    "one shared server and a card of its own": {
        "region": "Germany",
        "pue": 1.25,
        "price_per_kwh": 0.31,
        "market_kg_per_kwh": 0.02,
        "water_l_per_kwh": 0.9,
        "deployments": [
            {"name": "a", "candidate": "minilm-l6-frozen-logistic", "device": L4,
             "workload": "banking77", "texts_per_day": 4e6, "machine": "m", "retrainings": 12},
            {"name": "b", "candidate": "minilm-l6-finetuned", "device": L4, "workload": "sst2",
             "texts_per_day": 9e6, "machine": "m"},
            {"name": "c", "candidate": "llama-3.1-8b-zero-shot", "device": H100,
             "workload": "fktg", "texts_per_day": 1e5},
        ],
    },
    "ten hours a day for a month, machines stated": {
        "grid_kg_per_kwh": {"low": 0.2, "value": 0.3, "high": 0.5},
        "period_days": 30,
        "embodied": {"kg_per_machine": 900, "lifetime_years": 4},
        "deployments": [
            {"name": "a", "candidate": "minilm-l6-finetuned", "device": A30, "workload": "sst2",
             "texts_per_day": 2e6, "machines": 3, "idle_w": 110, "hours_per_day": 10},
        ],
    },
    "many machines for a peak": {
        "region": "FRA",
        "price_per_kwh": 0.2,
        "deployments": [
            {"name": "a", "candidate": "mpnet-multilingual-frozen-logistic", "device": L4,
             "workload": "rotten-tomatoes", "texts_per_day": 9e8, "peak_rate": 30_000,
             "retrainings": 2, "training_kwh": 0.4},
        ],
    },
    "off when idle": {
        "region": "World",
        "deployments": [
            {"name": "a", "candidate": "phi-3.5-mini-zero-shot", "device": A30,
             "workload": "rotten-tomatoes", "texts_per_day": 2e4, "off_when_idle": True},
            {"name": "b", "candidate": "tfidf-word-logistic", "device": "AMD EPYC 7763",
             "workload": "agnews", "texts_per_day": 1e6, "scope": "wall"},
        ],
    },
    "a stated runtime and a picked model": {
        "region": "EU",
        "period_years": 3,
        "pue": 1.1,
        "deployments": [
            {"name": "a", "candidate": "minilm-l6-frozen-logistic", "device": "NVIDIA T4",
             "workload": "agnews", "texts_per_day": 5e5, "runtime_s_per_1000": 2.5},
            {"name": "b", "recommend": {"task": "sentiment", "min_acc": 0.85},
             "texts_per_day": 1e4},
        ],
    },
}  # fmt: skip
ENDS = ("low", "value", "high")
OTHER = {"low": "high", "value": "value", "high": "low"}


def recomputed(entry: dict[str, Any], given: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Inference, idle and training kWh of a deployment from what its report states, by hand."""
    run, texts = entry["setup"], entry["texts"]
    joules, seconds = run["energy_j_per_1000"], run["runtime_s_per_1000"]
    on_s = entry["hours_per_day"] * 3600 * entry["period_days"]
    share = entry["machines"] and texts * seconds["value"] / 1000 / entry["busy_share"] / (
        entry["machines"] * on_s
    )
    assert entry["machine"] or share == pytest.approx(1)
    found: dict[str, dict[str, float]] = {"inference": {}, "idle": {}, "training": {}}
    for end in ENDS:
        found["inference"][end] = texts * joules[end] / 1000 / J_PER_KWH
        busy_s = texts * seconds[OTHER[end]] / 1000
        number = entry["machines" if end == "value" else f"machines_{end}"]
        left_s = max(number * on_s * share - busy_s, 0)
        watts = 0 if given.get("off_when_idle") else entry["idle_w"][end]
        found["idle"][end] = watts * left_s / J_PER_KWH
        found["training"][end] = given.get("retrainings", 0) * given.get("training_kwh", 0)
    return found


@pytest.mark.parametrize("name", PLANS)
def test_five_plans_add_up_in_three_columns(name: str) -> None:
    """Each part from the figures the report states; parts against deployments against totals."""
    plan, bundle = PLANS[name], Snapshot.load(None)
    answer = report(Advisor(bundle, estimator.load()), plan)
    body = msgspec.to_builtins(answer)
    assert adds_up(answer)
    assert in_order(answer)
    sized = {"many machines for a peak"}  # idle between the ends of the runtime: a test of its own
    for entry, stated in zip(body["deployments"], plan["deployments"], strict=True):
        parts = {part["name"]: part for part in entry["parts"]}
        found = recomputed(entry, stated)
        for part, end in itertools.product(found, ENDS):
            if part == "training" and "training_kwh" not in stated and stated.get("retrainings"):
                continue  # estimated: a test of its own
            if part == "idle" and end != "value" and name in sized:
                continue
            told = parts[part]["kwh"][end]
            assert told == pytest.approx(found[part][end], rel=1e-6), (part, end)
        for end in ENDS:
            it = sum(parts[part]["kwh"][end] for part in found)
            assert parts["pue"]["kwh"][end] == pytest.approx((entry["pue"] - 1) * it)
            kwh = entry["kwh"][end]
            assert kwh == pytest.approx(entry["pue"] * it)
            assert entry["kg_co2e"][end] == pytest.approx(kwh * entry["grid"]["kg_per_kwh"][end])
            if entry["cost"] is not None:
                assert entry["cost"][end] == pytest.approx(kwh * entry["price_per_kwh"])
            if entry["kg_co2e_market"] is not None:
                assert entry["kg_co2e_market"][end] == pytest.approx(kwh * 0.02)
            year = entry["per_year"]["kwh"][end]
            assert year == pytest.approx(kwh * 365 / entry["period_days"])
            made = entry["embodied_kg_co2e"]
            grams = 1000 * (entry["kg_co2e"][end] + (made[end] if made else 0)) / entry["texts"]
            assert entry["sci"]["g_co2e_per_text"][end] == pytest.approx(grams)
    for field in ("kwh", "kg_co2e", "it_kwh"):
        for end in ENDS:
            whole = math.fsum(entry[field][end] for entry in body["deployments"])
            assert body["totals"][field][end] == pytest.approx(whole)
