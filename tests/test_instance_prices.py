"""Tests of cloud instances under a price: shares of a host, its memory, and physics over many."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import pytest
from looped import failures, named

from advisor.estimator.estimator import load
from advisor.estimator.power import IDLE_FLOOR
from advisor.estimator.runtime import MOST_SHARE
from advisor.recommend.advisor import Advisor
from advisor.recommend.entries import Entry, Key
from advisor.recommend.query import Query
from advisor.recommend.records import Option, Recommendation
from catalog import snapshot
from catalog.hardware.instances import instances, threads
from catalog.records import SCOPES, Candidate, Measurement, Scope, Workload
from catalog.snapshot import Snapshot

CATALOG = snapshot.load()
ESTIMATOR = load().informed(CATALOG)
ADVISOR = Advisor(CATALOG, ESTIMATOR)
COUNTS = "tfidf-word-logistic"
ENCODER = "bert-base-finetuned"
LARGE = "roberta-large-finetuned"
CANDIDATES = (COUNTS, ENCODER, LARGE)
RATES = (0.1, 1.0, 20.0)
NAMES = (
    *("c5.large", "c5.4xlarge", "c5.metal", "c6a.xlarge", "c6a.48xlarge", "c6g.medium"),
    *("c7a.medium", "c7i.large", "c7i.4xlarge", "c7i.24xlarge", "c7i.48xlarge", "m7g.large"),
    *("c3-standard-8", "t2d-standard-4", "g4dn.xlarge", "g4dn.12xlarge", "g5.12xlarge"),
    *("p4d.24xlarge", "n1-standard-4+1xT4", "Standard_NC4as_T4_v3"),
)


def priced(device: str, candidate: str, **asked: Any) -> tuple[Entry, Key]:
    """The cheapest way of a candidate on a machine, whatever its accuracy."""
    query = Query(
        task="sentiment", workload="sst2", min_acc=0.0, device=device, **({"scope": "host"} | asked)
    )
    entries, key = ADVISOR.setups(query, candidate)
    return entries[0], key


def seconds(entry: Entry) -> float:
    """Busy seconds per 1,000 texts."""
    if entry.served is not None:
        return 1000 * (entry.served.seconds.value or 0.0)
    assert entry.runtime is not None
    return entry.runtime.value


def watts(entry: Entry) -> float:
    """Mean watts over the time its joules are for."""
    assert entry.runtime is not None
    return entry.joules / entry.runtime.value


def answer(device: str, **asked: Any) -> Recommendation:
    """An answer about sentiment."""
    return ADVISOR.recommend(
        Query(**({"task": "sentiment", "min_acc": 0.8, "device": device} | asked))
    )


@functools.cache
def ways(device: str) -> list[tuple[str, str, float | None, dict[Scope, Entry]]]:
    """Every candidate offline, one text at a time and at three rates, in all scopes."""
    asked = [("offline", None), ("single", None), *(("server", rate) for rate in RATES)]
    return [
        (
            candidate,
            scenario,
            rate,
            {
                scope: priced(device, candidate, scenario=scenario, rate=rate, scope=scope)[0]
                for scope in SCOPES
            },
        )
        for candidate in CANDIDATES
        for scenario, rate in asked
    ]


def test_scopes_are_ordered_and_watts_lie_between_idle_and_limit() -> None:
    """20 instances x 3 candidates x offline, single and 3 rates: device <= host <= wall."""
    assert failures(check_physics, named(list(NAMES))) == {}


def check_physics(name: str) -> None:
    """One instance."""
    machine = ADVISOR.machine(name)
    for candidate, _, rate, by_scope in ways(name):
        values = [by_scope[scope].joules for scope in SCOPES]
        assert values == sorted(values), (candidate, rate, values)
        times = [seconds(entry) for entry in by_scope.values()]
        assert times == pytest.approx([times[0]] * len(SCOPES))
        for scope, entry in by_scope.items():
            setup = entry.work.setup
            assert setup is not None
            found = ESTIMATOR.machine_watts(setup)
            assert watts(entry) <= found.limit * 1.001, (candidate, scope, rate)
            bare = ESTIMATOR.rated_power(entry.device)[0] * 0.1 * setup.share
            assert watts(entry) >= IDLE_FLOOR * (entry.device.idle_w or bare) * 0.999
            joules = entry.energy
            assert (joules.low or 0.0) < entry.joules < (joules.high or math.inf)
            if rate is not None:
                assert entry.served is not None
                assert watts(entry) >= (entry.served.watts.value or 0.0) * 0.999
            if entry.device.kind == "cpu":
                assert setup.share == machine.chips
                peak = 1e12 * (entry.device.peak_fp32_tflops or math.inf) * setup.share
                assert seconds(entry) >= 1000 * (setup.flops or 0.0) / (MOST_SHARE * peak) * 0.999


def test_a_smaller_instance_is_never_faster_and_never_draws_more() -> None:
    """By family and CPU, over all of their sizes: seconds fall with vCPUs, of counts they stay."""
    families: dict[str, list[str]] = {}
    for each in instances().values():
        if each.unresolved is None and each.accelerator is None and each.host_vcpus:
            family = each.name.partition(".")[0].rpartition("-")[0] or each.name.partition(".")[0]
            families.setdefault(f"{family} {each.cpu[0]}", []).append(each.name)
    assert failures(check_family, {k: v for k, v in families.items() if len(v) > 2}) == {}


def check_family(names: list[str]) -> None:
    """One family of instances."""
    ordered = sorted(names, key=lambda name: instances()[name].vcpus)
    for candidate in (COUNTS, ENCODER):
        found = [
            priced(name, candidate)[0]
            for name in (ordered[0], ordered[len(ordered) // 2], ordered[-1])
        ]
        for small, large in itertools.pairwise(found):
            assert seconds(small) >= seconds(large) * (1 - 1e-9)
            assert watts(small) <= watts(large) * (1 + 1e-9)
            if candidate == COUNTS:
                assert seconds(small) == pytest.approx(seconds(large))


def test_sizes_of_one_family_differ_in_seconds_joules_and_memory() -> None:
    """2, 16 and 96 vCPUs of a chip with 96 threads: the largest is that chip."""
    sizes = ("c7i.large", "c7i.4xlarge", "c7i.24xlarge")
    chip = "Intel Xeon Platinum 8488C"
    assert threads(CATALOG.devices[chip]) == 96
    encoders = [priced(name, ENCODER)[0] for name in sizes]
    assert [ADVISOR.machine(name).chips for name in sizes] == pytest.approx([2 / 96, 1 / 6, 1.0])
    times = [seconds(entry) for entry in encoders]
    assert times[0] > 4 * times[1] > 8 * times[2]
    assert times[0] <= 48 * times[2] * 1.001  # never slower than its share of the chip
    assert watts(encoders[0]) < watts(encoders[1]) / 4
    whole, named_so = encoders[2], priced(chip, ENCODER)[0]
    assert whole.energy == named_so.energy
    assert whole.runtime == named_so.runtime
    counts = [priced(name, COUNTS)[0] for name in sizes]
    assert counts[0].joules < counts[1].joules / 2 < counts[2].joules / 4  # idle of its share alone
    states = [answer(name).machine for name in sizes]
    assert [each.memory_gb for each in states] == [4, 32, 192]
    assert [each.vcpus for each in states] == [2, 16, 96]


def test_models_must_fit_the_memory_of_the_instance() -> None:
    """4 GB hold no 1.5 billion fp32 weights; the answer names the instance."""
    asked = {"task": "sentiment", "workload": "sst2", "min_acc": 0.0, "device": "c7i.large"}
    prices = ADVISOR.asked(Query(**asked)).entries
    misfits = {e.candidate.name: e.misfit[1] for e in prices if e.misfit and "fit" in e.misfit[0]}
    assert misfits
    assert all("c7i.large has 4 GB" in said for said in misfits.values())
    big = ADVISOR.asked(Query(**(asked | {"device": "c7i.24xlarge"}))).entries
    left = {e.candidate.name for e in big if e.misfit and e.misfit[0] == "does-not-fit"}
    assert left < misfits.keys()


def test_a_card_of_an_instance_works_like_any_other_and_its_host_is_the_instances() -> None:
    """Seconds and joules of the card are those of the card; its host is 4 vCPUs, not a quarter."""
    for scope in SCOPES:
        cloud, plain = (
            priced(name, ENCODER, scope=scope)[0] for name in ("g4dn.xlarge", "NVIDIA T4")
        )
        assert cloud.runtime == plain.runtime
        if scope == "device":
            assert cloud.energy == plain.energy
        else:
            assert cloud.joules < plain.joules
    entry, _ = priced("g4dn.xlarge", ENCODER)
    assert entry.setup is not None
    cpu = CATALOG.devices["Intel Xeon Platinum 8259CL"]
    assert entry.setup.host_w == pytest.approx(60 * 4 / 96 + 0.35 * 4 / 48 * (cpu.tdp_w or 0.0))
    one, all_cards = (
        ADVISOR.machine("g5.12xlarge").part(entry.device, n)["host_w"] for n in (1, 4)
    )
    assert all_cards == pytest.approx(4 * one)


def test_counts_on_a_gpu_instance_pay_for_its_vcpus_alone() -> None:
    """On g4dn.xlarge 4 of 48 threads; on the metal type two whole sockets, as fast on one core."""
    small, metal = (priced(name, COUNTS)[0] for name in ("g4dn.xlarge", "g4dn.metal"))
    assert small.device.name == metal.device.name == "Intel Xeon Platinum 8259CL"
    assert seconds(small) == pytest.approx(seconds(metal))
    assert small.joules < metal.joules / 4


@pytest.mark.parametrize("device", ["NVIDIA L4", "c7i.4xlarge", "g4dn.xlarge"])
def test_energy_per_text_falls_with_the_rate_and_stays_above_offline(device: str) -> None:
    """Of each candidate from 0.1 to 900 texts a second, in all scopes."""
    for candidate, scope in itertools.product(CANDIDATES, SCOPES):
        offline = priced(device, candidate, scope=scope)[0].joules
        found = [
            priced(device, candidate, scope=scope, scenario="server", rate=rate)[0]
            for rate in (0.1, 1.0, 20.0, 900.0)
        ]
        values = [entry.joules for entry in found]
        assert values == sorted(values, reverse=True)
        assert values[-1] >= offline * 0.999
        idle = {entry.served.watts for entry in found if entry.served is not None}
        assert len(idle) == 1


def test_who_cannot_keep_up_is_rejected_with_the_reason() -> None:
    """At 900 texts per second two vCPUs do counts and no large encoder."""
    found = answer("c7i.large", scenario="server", rate=900, min_acc=0.0, limit=1000)
    reasons = {each.candidate: each for each in found.rejected}
    slow = reasons[ENCODER]
    assert slow.reason == "cannot-keep-up"
    assert "not 900" in slow.detail
    assert found.chosen is not None
    assert found.chosen.device == "Intel Xeon Platinum 8488C"


def test_waiting_that_two_options_share_is_no_tie() -> None:
    """At one text a second nearly all joules are idle ones, yet what works less is not tied."""
    query = Query(
        task="sentiment", workload="sst2", min_acc=0.0, device="c7i.4xlarge", scenario="server",
        rate=1.0, limit=1000,
    )  # fmt: skip
    found = ADVISOR.recommend(query)
    options = {each.candidate: each for each in (found.chosen, *found.alternatives) if each}
    factor = options[ENCODER].energy_factor
    assert factor is not None
    assert 1 < factor.low <= factor.value <= factor.high
    alone = options[ENCODER].energy_j_per_1000
    assert alone.low is not None
    assert alone.high is not None
    assert factor.high / factor.low < alone.high / alone.low / 2
    ties = {each.code: each.message for each in found.warnings}.get("tie", "")
    assert ENCODER not in ties


def measured_on(device: str, **values: Any) -> Snapshot:
    """A catalog with one row: 1,000 texts of an encoder, batches of 32, on a whole chip or card."""
    cells: dict[str, Any] = {
        "run_id": "r", "source": "lab", "workload": "sst2", "candidate": "a", "device": device,
        "scenario": "offline", "batch_size": 32.0, "precision": "fp32", "n_items": 1000.0,
        "n_devices": 1, "runtime_s": 2.0, "accuracy": 0.9, "n_test": 1000, "cv": 0.02,
        "tokens_mean": 25.0,
    }  # fmt: skip
    return Snapshot(
        measurements=[Measurement(**(cells | values))],
        devices=CATALOG.devices,
        workloads={"sst2": Workload(name="sst2", task="sentiment", language="en")},
        candidates={
            "a": Candidate(
                name="a", family="fine-tuned-encoder", n_parameters=1.1e8, checkpoint="o/m"
            )
        },
        digest="d",
    )


def chosen(view: Snapshot, device: str, **asked: Any) -> Option:
    """The chosen option of sentiment there."""
    query = Query(task="sentiment", min_acc=0.5, device=device, **asked)
    found = Advisor(view, ESTIMATOR).recommend(query).chosen
    assert found is not None
    return found


def test_what_was_measured_on_the_whole_chip_is_converted_to_a_share() -> None:
    """24xlarge is the chip; a sixth of it takes longer, at about a sixth of the watts."""
    chip = "Intel Xeon Platinum 8488C"
    parts = {"cpu_j": 600.0, "cpu_label": "measured", "dram_j": 100.0, "dram_label": "measured"}
    view = measured_on(chip, **parts)
    whole, sixth = (chosen(view, name) for name in ("c7i.24xlarge", "c7i.4xlarge"))
    assert (whole.energy_j_per_1000.basis, whole.energy_j_per_1000.value) == ("measured", 700)
    assert sixth.energy_j_per_1000.basis != "measured"
    assert "energy-converted" in sixth.warnings
    assert sixth.runtime_s_per_1000 is not None
    assert sixth.energy_j_per_1000.value is not None
    assert 2 * 3 < sixth.runtime_s_per_1000.value < 2 * 6.01
    found = sixth.energy_j_per_1000.value / sixth.runtime_s_per_1000.value
    assert 350 / 6 * 0.8 < found < 350 / 6 * 1.25


def test_a_host_that_was_metered_is_not_the_instances() -> None:
    """The card's own joules are its own anywhere; with another host around it they change."""
    parts = {"cpu_j": 80.0, "cpu_label": "measured", "dram_j": 20.0, "dram_label": "measured"}
    card = {"gpu_j": 120.0, "gpu_label": "measured", "precision": "fp16"}
    view = measured_on("NVIDIA T4", **card, **parts)
    own = chosen(view, "g4dn.xlarge", scope="device").energy_j_per_1000
    assert (own.basis, own.value) == ("measured", 120)
    assert chosen(view, "NVIDIA T4").energy_j_per_1000.value == 220
    hosted = chosen(view, "g4dn.xlarge").energy_j_per_1000
    assert hosted.basis != "measured"
    assert hosted.value is not None
    assert 120 < hosted.value < 220
