"""Estimates of plans: stated runtimes, watts within the device's, passes of each class."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from test_advisor import ADVISOR, BUNDLED, ESTIMATOR, bundled, catalog, codes, row, there

from advisor.estimator.setup import from_measurement
from advisor.recommend.advisor import Advisor, recommend
from advisor.recommend.query import Query
from advisor.recommend.records import Option, Recommendation
from catalog import profiles
from catalog.errors import UnknownNameError
from catalog.records import Candidate

ONE = "distilbert-finetuned"
STATED = {"device": "NVIDIA L4", "candidate": ONE, "runtime_s_per_1000": 0.05}


def listed(answer: Recommendation) -> list[Option]:
    """The chosen option and the alternatives."""
    return [option for option in (answer.chosen, *answer.alternatives) if option is not None]


def runtime_of(option: Option) -> tuple[float, str]:
    """Seconds per 1,000 texts and how they are known."""
    assert option.runtime_s_per_1000 is not None
    return option.runtime_s_per_1000.value, option.runtime_s_per_1000.basis


def test_a_stated_runtime_is_of_the_named_candidate_alone() -> None:
    """It is labelled as stated, makes an estimate, and leaves everybody else's energy as it was."""
    plain = {o.candidate: o for o in listed(bundled(device="NVIDIA L4", limit=100))}
    answer = bundled(**STATED, limit=100)
    own = there(answer.chosen)
    assert own.candidate == ONE
    assert runtime_of(own) == (0.05, "stated")
    assert own.energy_j_per_1000.basis == "estimated"
    assert own.latency_ms == pytest.approx(0.05 / 1000 * 32 * 1000)
    for option in answer.alternatives:
        assert runtime_of(option)[1] != "stated"
        assert option.energy_j_per_1000 == plain[option.candidate].energy_j_per_1000
    assert ONE in codes(answer)["runtime-stated"]
    assert "torch fp16 batch 32" in codes(answer)["runtime-stated"]


def test_a_stated_runtime_prices_no_other_backend_or_format() -> None:
    """Variants keep the energies they have without it; with `backend` it is that backend's."""
    plain = Query(task="sentiment", min_acc=0.85, device="NVIDIA L4", backend="any", limit=1000)
    without = ADVISOR.setups(plain, ONE)[0]
    energies = {(e.choice.backend, e.choice.precision): e.joules for e in without}
    answer = bundled(**STATED)
    assert len(answer.variants) >= 3
    for variant in answer.variants:
        key = (variant.backend or "", variant.precision or "")
        assert variant.energy_j_per_1000 == pytest.approx(energies[key], rel=1e-4)
    chosen = there(answer.chosen).energy_j_per_1000.value
    assert chosen is not None
    assert chosen < energies["torch", "fp16"] / 2
    served = bundled(**STATED, backend="onnxruntime")
    assert runtime_of(there(served.chosen)) == (0.05, "stated")
    assert there(served.chosen).backend == "onnxruntime"
    assert "torch" in {variant.backend for variant in served.variants}
    for variant in served.variants:
        key = (variant.backend or "", variant.precision or "")
        assert variant.energy_j_per_1000 == pytest.approx(energies[key], rel=1e-4)


def test_without_a_candidate_each_usual_setup_is_marked_and_the_answer_says_so() -> None:
    """Nothing tells whose runtime it is: every option says stated, variants do not take it."""
    answer = bundled(device="NVIDIA L4", runtime_s_per_1000=2.0)
    assert {runtime_of(option)[1] for option in listed(answer)} == {"stated"}
    assert "name it in `candidate`" in codes(answer)["runtime-stated"]
    assert all(variant.factor.value < 1 for variant in answer.variants)


def test_a_stated_runtime_above_the_peak_rate_is_refused_with_numbers() -> None:
    """It would need more FLOP a second than the device has; the candidate keeps its estimate."""
    answer = bundled(**(STATED | {"runtime_s_per_1000": 1e-4}))
    (refused,) = (each for each in answer.rejected if each.candidate == ONE)
    assert refused.reason == "runtime-implausible"
    work = profiles.work(BUNDLED.candidates[ONE], BUNDLED.workloads["sst2"])
    peak = BUNDLED.devices["NVIDIA L4"].peak_fp16_tflops
    assert work.flops is not None
    assert peak is not None
    least = 1000 * work.flops / (peak * 1e12)
    stated = float(refused.detail.partition(" take ")[2].partition(" s")[0])
    assert stated == pytest.approx(least, rel=0.02)
    assert refused.detail.startswith("0.0001 s per 1,000 texts were stated")
    assert "not used" in codes(answer)["runtime-stated"]
    just = bundled(**(STATED | {"runtime_s_per_1000": 1.05 * least}))
    assert all(each.reason != "runtime-implausible" for each in just.rejected)


def test_a_named_candidate_is_always_answered() -> None:
    """Listed or rejected first with the reason, also where it has no accuracy; never unknown."""
    for name in ("llama-3.1-8b-zero-shot", "lingua-language-identification"):
        answer = bundled(device="NVIDIA L4", candidate=name)
        said = [o.candidate for o in listed(answer)] + [r.candidate for r in answer.rejected[:2]]
        assert name in said
    with pytest.raises(UnknownNameError, match="candidate"):
        bundled(candidate="no-such-model")


def test_a_stated_runtime_at_a_rate_is_the_time_of_work() -> None:
    """A text each 200 ms on a device that is busy 0.05 ms of them."""
    answer = bundled(**STATED, scenario="server", rate=5.0)
    (own,) = (o for o in listed(answer) if o.candidate == ONE)
    assert runtime_of(own) == (200.0, "estimated")
    assert own.latency_ms == pytest.approx(0.05)
    assert "batch 1 alone" in codes(answer)["runtime-stated"]


def test_a_measured_row_stands_before_what_is_stated() -> None:
    """Energy measured on the machine in the asked setup is never replaced."""
    view = catalog(row("a", 100.0))
    query = Query(
        task="sentiment", min_acc=0.0, device="G", candidate="a", runtime_s_per_1000=0.001
    )
    answer = recommend(view, ESTIMATOR, query)
    assert there(answer.chosen).energy_j_per_1000.basis == "measured"
    assert runtime_of(there(answer.chosen))[1] == "measured"
    assert "was measured there" in codes(answer)["runtime-stated"]


@pytest.mark.parametrize("device", ["NVIDIA A30", "AMD EPYC 7763", "NVIDIA L4"])
@pytest.mark.parametrize("scope", ["device", "host"])
def test_conversions_draw_what_the_machine_can(device: str, scope: Any) -> None:
    """Mean watts of every estimate lie between the estimator's ends, converted or not."""
    query = Query(task="topic", workload="fktg", min_acc=0.1, device=device, scope=scope)
    priced = ADVISOR.asked(query).entries
    converted = [entry for entry in priced if entry.converted and not entry.measured]
    assert converted
    for entry in priced:
        if entry.measured or entry.runtime is None or entry.prediction is None:
            continue
        least, most = entry.prediction.watts
        watts = (entry.energy.value or 0.0) / entry.runtime.value
        assert least * 0.999 <= watts <= most * 1.001, entry.candidate.name
        assert (entry.energy.low or 0) <= (entry.energy.value or 0) <= (entry.energy.high or 0)


RERANKER = Candidate(
    name="nli",
    family="zero-shot-nli",
    n_parameters=1.8e8,
    n_layers=12,
    width=768,
    one_pass_per_class=True,
    prompt_tokens=8.0,
    checkpoint="org/nli",
)


def test_passes_of_each_class_are_carried_with_a_row() -> None:
    """A row states the tokens of one pass; a text of k classes is read k times, there and here."""
    workload = msgspec.structs.replace(BUNDLED.workloads["banking77"], mean_tokens=14.0)
    measured = row("nli", tokens_mean=14.0, workload="banking77")
    device = BUNDLED.devices["NVIDIA L4"]
    setup = from_measurement(measured, device, RERANKER, "host", workload)
    need = profiles.work(RERANKER, workload)
    assert need.passes == 77
    assert setup.flops == pytest.approx(need.flops)
    assert setup.tokens == pytest.approx(77 * need.tokens)
    encoder = msgspec.structs.replace(RERANKER, one_pass_per_class=False)
    assert from_measurement(measured, device, encoder, "host", workload).tokens == 14.0


def test_a_reranker_moved_to_another_machine_does_the_work_of_all_its_passes() -> None:
    """A row of it on another machine never makes it faster here than the peak allows."""
    classes = [
        msgspec.structs.replace(BUNDLED.workloads["sst2"], n_classes=n, mean_tokens=20.0)
        for n in (2, 40)
    ]
    seconds = []
    for workload in classes:
        view = catalog(row("nli", tokens_mean=20.0), candidates={"nli": RERANKER}, sst2=workload)
        query = Query(task="sentiment", min_acc=0.0, device="Small", batch_size=8)
        (entry,) = Advisor(view, ESTIMATOR).asked(query).entries
        assert entry.setup is not None
        assert entry.setup.flops == pytest.approx(profiles.work(RERANKER, workload).flops)
        assert entry.prediction is not None
        seconds.append(entry.prediction.runtime_s.value or 0.0)
    assert seconds[1] > 10 * seconds[0]
