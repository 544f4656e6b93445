"""Tests of `benchmarks/questions.py`: each rule on sound and unsound answers, the draw, the counts.

The model answer is ALBERT on sst2 on a T4; a test changes what its rule looks at.
"""

from __future__ import annotations

import copy
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from catalog import reference_data
from catalog.registry.tasks import tasks

SCRIPTS = Path(__file__).resolve().parents[1] / "benchmarks"
MODULES = (
    *("question_cases", "model_sizes", "plausible_joules", "agreement", "soundness"),
    "questions",
)

OPTION: dict[str, Any] = {
    "candidate": "albert-base-v2-finetuned",
    "family": "fine-tuned-encoder",
    "n_parameters": 10_983_424.0,
    "device": "NVIDIA T4",
    "workload": "sst2",
    "scenario": "offline",
    "backend": "torch",
    "precision": "fp16",
    "batch_size": 32,
    "memory_gb": 0.1,
    "latency_ms": 4.0,
    "accuracy": {
        "value": 0.925,
        "low": 0.914,
        "high": 0.935,
        "metric": "accuracy",
        "basis": "published",
        "regime": "full",
        "n_test": 1821,
        "source": "somebody",
    },
    "energy_j_per_1000": {
        "value": 20.0,
        "low": 10.0,
        "high": 40.0,
        "basis": "estimated-runtime",
        "scope": "host",
        "label": "estimated",
    },
    "warnings": [],
}
MISS = {"missing": {"constraint": "min_acc", "asked": 0.9, "has": 0.8}}
SUGGESTION = {"candidate": "distilbert-finetuned", "command": "joulewise calibrate ..."}


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """The scripts as modules."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(SCRIPTS))
        for name in MODULES:
            sys.modules.pop(name, None)


Verdict = Callable[..., list[str]]


def changed(option: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """An option with fields set by their dotted names; `None` as a record's field removes it."""
    made = copy.deepcopy(option)
    for path, value in changes.items():
        *records, field = path.split(".")
        place = made
        for name in records:
            place = place[name]
        place[field] = value
    return made


@pytest.fixture
def verdict(scripts: SimpleNamespace) -> Verdict:
    """What a rule has against the model answer with changes."""

    def judge(
        rule: str,
        option: dict[str, Any] | None = None,
        *,
        chosen: bool = True,
        body: dict[str, Any] | None = None,
        status: int = 200,
        n_bytes: int = 9000,
        higher: dict[str, Any] | None = None,
        machine: str | None = "NVIDIA T4",
        **question: Any,
    ) -> list[str]:
        asked = next(each for each in scripts.question_cases.MACHINES if each.asked == machine)
        put = {"task": "sentiment", "min_acc": 0.9} | question
        given = {"chosen": changed(OPTION, option or {}) if chosen else None} | (body or {})
        answer = scripts.question_cases.Answer(
            status=status, body=given, n_bytes=n_bytes, higher=higher
        )
        q = scripts.question_cases.Question(machine=asked, **put)
        found = scripts.soundness.RULES[rule](q, answer)
        return list(found)

    return judge


def test_the_model_answer_is_sound(scripts: SimpleNamespace) -> None:
    """No rule has anything against it."""
    cases = scripts.question_cases
    question = cases.Question(task="sentiment", min_acc=0.9, machine=cases.MACHINES[0])
    answer = cases.Answer(status=200, body={"chosen": OPTION}, n_bytes=9000)
    assert scripts.soundness.unsound(question, answer) == {}
    assert len(scripts.soundness.RULES) == 13


def test_a_refusal_fails_one_rule(scripts: SimpleNamespace) -> None:
    """It is counted once, with what the service said."""
    cases = scripts.question_cases
    question = cases.Question(task="sentiment", min_acc=0.9, machine=cases.MACHINES[0])
    answer = cases.Answer(status=400, body={"detail": "labels: unknown"}, n_bytes=100)
    found = scripts.soundness.unsound(question, answer)
    assert found == {"answered": ["refused: 400 labels: unknown"]}


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ({"nearest_miss": MISS, "suggestions": [SUGGESTION]}, 0),
        ({"nearest_miss": None, "suggestions": [SUGGESTION]}, 1),
        ({"nearest_miss": {}, "suggestions": [SUGGESTION]}, 1),
        ({"nearest_miss": MISS, "suggestions": []}, 1),
        ({"nearest_miss": MISS, "suggestions": [{"candidate": "a"}]}, 1),
        ({}, 2),
    ],
)
def test_nothing_chosen_says_what_to_do(
    verdict: Verdict, body: dict[str, Any], reasons: int
) -> None:
    """Nearest miss, binding constraint and suggestions with commands."""
    assert len(verdict("answered", chosen=False, body=body)) == reasons
    assert verdict("answered") == []


def test_models_are_no_larger_than_needed(verdict: Verdict) -> None:
    """A language model answers where there are no labels, not for sentiment with all of them."""
    assert verdict("size") == []
    llm = {"family": "zero-shot-llm", "n_parameters": 8e9}
    assert verdict("size", llm)
    assert verdict("size", llm, labels="none") == []
    assert verdict("size", llm, labels="none", task="domain", min_acc=0.8)
    assert verdict("size", {"n_parameters": 7e10}, labels="none")
    assert verdict("size", {"n_parameters": None})
    assert verdict("size", {"n_parameters": None, "family": "tf-idf"}) == []
    assert verdict("size", chosen=False) == []


def test_size_limits_never_fall_with_the_floor(scripts: SimpleNamespace) -> None:
    """A higher floor or a smaller label budget never allows less; every task has limits."""
    cases, sizes = scripts.question_cases, scripts.model_sizes
    for task in tasks():
        limits = [
            [
                sizes.largest(
                    cases.Question(
                        task=task, min_acc=floor, machine=cases.MACHINES[0], labels=labels
                    )
                )
                for floor in cases.FLOORS
            ]
            for labels in ("full", "few")
        ]
        assert all(row == sorted(row) for row in limits)
        assert all(few >= full for full, few in zip(*limits, strict=True))
    for tables in sizes.LARGEST.values():
        assert set(tables) <= set(tasks())


def test_joules_are_flop_over_peak_times_watts(verdict: Verdict, scripts: SimpleNamespace) -> None:
    """ALBERT on a T4, by hand: 1.70e8 FLOP a token, 103 characters, 65 TFLOP/s, 15 to 664 W."""
    low, high = scripts.plausible_joules.joules_per_text(OPTION)
    host_idle, host_limit = 0.05 * 225 * 2 / 4, 2 * 225 + 0.375 * 384
    assert low == pytest.approx(169869312 * 103 / 5 / (65e12 * 0.9) * (9.5 + host_idle))
    arithmetic = 169869312 * (103 / 3 + 2) / (65e12 * 0.02)
    call = 12 * 2e-3 + 10983424 * 2 / 320e9
    assert high == pytest.approx((arithmetic + call / 32) * (70 + host_limit))
    assert verdict("energy-plausible") == []
    for wrong in (1000 * low / 2, 1000 * high * 2):
        assert verdict("energy-plausible", {"energy_j_per_1000.value": wrong})


def test_joules_of_classical_candidates(verdict: Verdict) -> None:
    """1 microsecond to 20 ms of a CPU; ten times that on a Raspberry Pi."""
    tfidf = {
        "candidate": "tfidf-word-logistic",
        "family": "tf-idf",
        "n_parameters": None,
        "device": "AMD EPYC 7763",
    }
    for joules, sound in ((0.001, False), (0.01, True), (5.0, True), (50_000.0, False)):
        found = verdict("energy-plausible", tfidf | {"energy_j_per_1000.value": joules})
        assert (found == []) is sound
    pi = tfidf | {"device": "Raspberry Pi 5 8GB (BCM2712)", "energy_j_per_1000.value": 2000.0}
    assert verdict("energy-plausible", pi) == []


def test_waiting_is_charged_at_a_rate(verdict: Verdict) -> None:
    """At one text a second 300 W of waiting machine are plausible; in batches they are not."""
    idle = {"energy_j_per_1000.value": 300_000.0, "scenario": "server", "batch_size": 1}
    assert verdict("energy-plausible", idle, rate=1.0, scenario="server") == []
    assert verdict("energy-plausible", idle | {"scenario": "offline", "batch_size": 32})


def test_what_cannot_be_recomputed_is_said(verdict: Verdict) -> None:
    """Unknown devices, sizes and missing energies are reasons, not faults."""
    assert verdict("energy-plausible", {"device": "abacus"})
    assert verdict("energy-plausible", {"energy_j_per_1000": None})
    assert verdict("energy-plausible", {"candidate": "vader", "family": "other"})
    assert verdict("energy-plausible", chosen=False) == []


@pytest.mark.parametrize(
    ("low", "high", "basis", "warnings", "sound"),
    [
        (10, 40, "estimated", [], True),
        (3, 40, "estimated-runtime", [], False),
        (10, 40, "measured", [], False),
        (15, 25, "measured", [], True),
        (2, 40, "extrapolated", [], False),
        (2, 40, "extrapolated", ["out-of-range"], True),
        (1, 40, "extrapolated", ["out-of-range"], False),
        (25, 40, "estimated", [], False),
        (None, 40, "estimated", [], False),
        (10, 40, "guessed", [], False),
    ],
)
def test_width_by_basis(
    verdict: Verdict, low: float | None, high: float, basis: str, warnings: list[str], sound: bool
) -> None:
    """3 measured, 10 estimated, 30 extrapolated with a warning; the value lies inside."""
    energy = {"value": 20.0, "low": low, "high": high, "basis": basis, "scope": "host"}
    changes = {"energy_j_per_1000": energy, "warnings": warnings}
    assert (verdict("width", changes) == []) is sound


def test_a_bound_is_warned_of(verdict: Verdict) -> None:
    """A published upper bound has no width."""
    bound = {"energy_j_per_1000.value": None, "energy_j_per_1000.low": None}
    assert verdict("width", bound)
    assert verdict("width", bound | {"warnings": ["energy-bound"]}) == []


@pytest.mark.parametrize(
    ("changes", "question"),
    [
        ({"accuracy": None}, {}),
        ({"accuracy.low": None}, {}),
        ({"accuracy.source": None}, {}),
        ({"accuracy.regime": None}, {}),
        ({"accuracy.n_test": None}, {}),
        ({"accuracy.value": 0.9, "accuracy.low": 0.88}, {}),
        ({}, {"labels": "few"}),
        ({}, {"task": "topic"}),
        ({}, {"language": "de"}),
        ({"workload": "my-texts"}, {}),
        ({"workload": "tweet-sentiment-de"}, {}),
        ({"accuracy.contamination": "yes"}, {}),
    ],
)
def test_evidence_is_whole_and_fits(
    verdict: Verdict, changes: dict[str, Any], question: dict[str, Any]
) -> None:
    """Each of these is a reason."""
    assert verdict("evidence", changes, **question)


def test_evidence_that_is_enough(verdict: Verdict) -> None:
    """The one-sided bound qualifies where the two-sided end is a little under; marks replace n."""
    assert verdict("evidence") == []
    assert verdict("evidence", language="en") == []
    assert verdict("evidence", {"accuracy.value": 0.912, "accuracy.low": 0.899}) == []
    marked = {"accuracy.n_test": None, "accuracy.warnings": ["test-size-unknown"]}
    assert verdict("evidence", marked) == []


def test_closed_contaminated_and_trivial_candidates(verdict: Verdict) -> None:
    """What the bundled records exclude is found whatever the answer says of it."""
    closed = next(
        name
        for name, each in sorted(reference_data.candidates().items())
        if not each.checkpoint and not each.runnable
    )
    assert verdict("evidence", {"candidate": closed})
    trivial = {"workload": "toxic-conversations", "accuracy.value": 0.93, "accuracy.low": 0.91}
    assert verdict("evidence", trivial, task="toxicity")
    better = {"workload": "toxic-conversations", "accuracy.value": 0.95, "accuracy.low": 0.94}
    assert verdict("evidence", better, task="toxicity") == []


def test_nothing_cheaper_qualifies(verdict: Verdict) -> None:
    """Alternatives and front against the chosen option."""
    dearer = changed(OPTION, {"energy_j_per_1000.value": 30.0})
    cheaper = changed(OPTION, {"energy_j_per_1000.value": 5.0})
    worse = changed(OPTION, {"accuracy.value": 0.8, "accuracy.low": 0.78})
    bound = changed(OPTION, {"energy_j_per_1000.value": None, "energy_j_per_1000.high": 36.0})
    assert verdict("order", body={"alternatives": [dearer, bound], "front": [OPTION]}) == []
    assert verdict("order", body={"alternatives": [cheaper]})
    assert verdict("order", body={"alternatives": [worse]})
    assert verdict("order", body={"front": [cheaper]})


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy.value": 0.8, "accuracy.low": 0.78},
        {"family": "majority"},
        {"memory_gb": 20.0},
        {"accuracy.contamination": "yes"},
        {"device": "NVIDIA L4"},
        {"accuracy.low": 0.899},
    ],
)
def test_cheap_points_of_the_front_that_do_not_qualify(
    verdict: Verdict, changes: dict[str, Any]
) -> None:
    """The front holds what does not qualify, too."""
    point = changed(OPTION, {"energy_j_per_1000.value": 5.0} | changes)
    assert verdict("order", body={"front": [point]}) == []


def test_families_where_they_make_sense(verdict: Verdict) -> None:
    """No language model identifies languages, no head is trained without labels, no GPU counts."""
    llm = {"family": "zero-shot-llm"}
    assert verdict("family") == []
    assert verdict("family", llm, task="language-identification")
    assert verdict("family", llm, labels="none") == []
    assert verdict("family", labels="none")
    lexicon = changed(OPTION, {"family": "lexicon", "device": "NVIDIA T4"})
    assert verdict("family", body={"alternatives": [lexicon]})
    at_home = changed(lexicon, {"device": "AMD EPYC 7742"})
    assert verdict("family", body={"alternatives": [at_home]}) == []
    board = {"family": "tf-idf", "device": "NVIDIA Jetson Orin Nano 8GB (CPU)"}
    assert verdict("family", board, machine="Jetson Orin Nano") == []


@pytest.mark.parametrize(
    ("asked", "device", "sound"),
    [
        ("NVIDIA T4", "NVIDIA T4", True),
        ("NVIDIA T4", "AMD EPYC 7742", True),
        ("NVIDIA T4", "NVIDIA L4", False),
        ("NVIDIA T4", "Raspberry Pi 5 8GB (BCM2712)", False),
        ("g4dn.xlarge", "Intel Xeon Platinum 8259CL", True),
        ("g4dn.xlarge", "AMD EPYC 7742", False),
        ("Apple M3", "Apple M3 (CPU)", True),
        ("AMD EPYC 7763", "AMD EPYC 7742", False),
        (None, "NVIDIA L4", True),
        (None, "NVIDIA T4", False),
        ("NVIDIA T4", "abacus", False),
    ],
)
def test_devices_of_the_machine(
    verdict: Verdict, asked: str | None, device: str, sound: bool
) -> None:
    """The card or its host, the instance's own parts, the chip."""
    assert (verdict("machine", {"device": device}, machine=asked) == []) is sound


def test_memory_of_the_machine(verdict: Verdict) -> None:
    """Weights in their format, and what the answer says it needs; an instance has its own."""
    assert verdict("machine", {"n_parameters": 8e9, "precision": "fp16"})
    assert verdict("machine", {"n_parameters": 7e9, "precision": "fp16"}) == []
    assert verdict("machine", {"memory_gb": 17.0})
    cpu = {"device": "Intel Xeon Platinum 8488C", "memory_gb": 40.0}
    assert verdict("machine", cpu, machine="c7i.4xlarge")


def test_a_higher_floor_never_needs_less(verdict: Verdict) -> None:
    """The second question's choice is no cheaper, and none where the first had none."""
    above = {"chosen": changed(OPTION, {"energy_j_per_1000.value": 25.0})}
    below = {"chosen": changed(OPTION, {"energy_j_per_1000.value": 15.0})}
    assert verdict("monotone") == []
    assert verdict("monotone", higher=above) == []
    assert verdict("monotone", higher={"chosen": None}) == []
    assert verdict("monotone", higher=below)
    assert verdict("monotone", chosen=False, higher=above)


def test_small_bodies_with_a_latency(verdict: Verdict) -> None:
    """Under 15 kB; one text at a time is about its latency."""
    assert verdict("body") == []
    assert verdict("body", n_bytes=15_000)
    assert verdict("body", {"latency_ms": None}) == []
    assert verdict("body", scenario="single") == []
    assert verdict("body", {"latency_ms": None}, scenario="single")
    assert verdict("body", {"latency_ms": {"value": None}}, scenario="single")


TIMED = {"runtime_s_per_1000": {"value": 0.2, "low": 0.1, "high": 0.4, "basis": "estimated"}}


def test_mean_watts_lie_between_idle_and_the_limit(verdict: Verdict) -> None:
    """20 J in 0.2 s are 100 W, 2 J are 10 W and 200 J 1,000 W; a T4 of 70 W sits in a server."""

    def judged(joules: float, **more: Any) -> list[str]:
        return verdict("power", TIMED | {"energy_j_per_1000.value": joules} | more)

    assert judged(20.0) == []
    assert judged(0.2)
    assert judged(500.0)
    assert judged(500.0, runtime_s_per_1000=None) == []
    other = changed(OPTION, TIMED | {"energy_j_per_1000.value": 500.0})
    for name in ("alternatives", "front"):
        assert verdict("power", TIMED, body={name: [other]})
    assert verdict("power", chosen=False, body={"nearest_miss": other})


def test_bounds_of_a_measured_row_are_twice_as_wide(verdict: Verdict) -> None:
    """A counter may read what no table says; an estimate may not."""
    device = {"energy_j_per_1000.scope": "device", "energy_j_per_1000.value": 0.2 * 120}
    assert verdict("power", TIMED | device)
    assert verdict("power", TIMED | device | {"energy_j_per_1000.basis": "measured"}) == []


def test_a_share_of_a_chip_pays_a_share_of_its_idle_power(verdict: Verdict) -> None:
    """An instance with a tenth of the threads may draw less than the whole chip idle."""
    on_cpu = TIMED | {
        "device": "Intel Xeon Platinum 8488C",
        "energy_j_per_1000.value": 0.2 * 8,
        "energy_j_per_1000.scope": "device",
    }
    whole, tenth = ({"machine": {"cpu_share": share}} for share in (1.0, 0.1))
    assert verdict("power", on_cpu, body=whole, machine="c7i.4xlarge")
    assert verdict("power", on_cpu, body=tenth, machine="c7i.4xlarge") == []


def test_energies_are_factors_times_the_chosen_one(verdict: Verdict) -> None:
    """The chosen option needs 20 J."""

    def variant(joules: float, factor: float) -> dict[str, Any]:
        return {"backend": "torch", "precision": "fp32", "energy_j_per_1000": joules,
                "factor": {"value": factor}}  # fmt: skip

    assert verdict("factors", body={"variants": [variant(30.0, 1.5)]}) == []
    assert verdict("factors", body={"variants": [variant(30.0, 1.0)]})
    dear = changed(OPTION, {"energy_j_per_1000.value": 40.0, "energy_factor": {"value": 2.0}})
    assert verdict("factors", body={"alternatives": [dear]}) == []
    dear["energy_factor"]["value"] = 1.9
    assert verdict("factors", body={"alternatives": [dear]})
    assert verdict("factors", chosen=False, body={"variants": [variant(30.0, 1.0)]}) == []


def test_best_devices_do_not_contradict_the_choice(verdict: Verdict) -> None:
    """Ascending; the T4 with its 20 J, or none that needs more than 20 J."""

    def judged(*listed: tuple[str, float]) -> list[str]:
        names = [{"device": name, "energy_j_per_1000": joules} for name, joules in listed]
        return verdict("devices", body={"best_devices": names})

    assert judged() == []
    assert judged(("NVIDIA L4", 10.0), ("NVIDIA T4", 20.0)) == []
    assert judged(("NVIDIA L4", 10.0), ("NVIDIA A30", 20.0)) == []
    assert judged(("NVIDIA T4", 15.0), ("NVIDIA L4", 16.0))
    assert judged(("NVIDIA L4", 10.0), ("NVIDIA A30", 25.0))
    assert judged(("NVIDIA T4", 20.0), ("NVIDIA L4", 10.0))


def test_every_combination_once(scripts: SimpleNamespace) -> None:
    """Tasks x floors x machines x scenarios x label budgets; rates with `server` alone."""
    cases = scripts.question_cases
    questions = cases.every_question()
    assert len(cases.MACHINES) == 12
    assert len(questions) == len(tasks()) * 4 * 12 * 3 * 3
    assert len({question.url() for question in questions}) == len(questions)
    assert all((q.rate is not None) == (q.scenario == "server") for q in questions)
    known = reference_data.devices()
    assert all(part in known for machine in cases.MACHINES for part in machine.parts)


def test_a_seed_draws_the_same_questions(scripts: SimpleNamespace) -> None:
    """Without repetition; another seed draws others."""
    drawn = scripts.question_cases.drawn
    first = [question.url() for question in drawn(0, 200)]
    assert first == [question.url() for question in drawn(0, 200)]
    assert len(set(first)) == 200
    assert first != [question.url() for question in drawn(1, 200)]


def test_defaults_are_left_out_of_the_url(scripts: SimpleNamespace) -> None:
    """Only what differs from the default is asked."""
    cases = scripts.question_cases
    plain = cases.Question(task="spam", min_acc=0.9, machine=cases.MACHINES[-1])
    assert plain.url() == "/recommend?task=spam&min_acc=0.9"
    whole = cases.Question(
        task="spam", min_acc=0.9, machine=cases.MACHINES[5], scenario="server", rate=1.0,
        labels="none", language="de",
    )  # fmt: skip
    assert whole.url() == (
        "/recommend?task=spam&min_acc=0.9&device=Xeon+8480%2B&scenario=server&rate=1.0"
        "&labels=none&language=de"
    )


class Replies:
    """A client that answers a floor with a body; keeps what was asked."""

    def __init__(self, bodies: dict[str, Any], status: int = 200) -> None:
        self.bodies, self.status, self.asked = bodies, status, list[str]()

    def get(self, url: str, headers: dict[str, str]) -> httpx.Response:
        """The body for the floor in a URL; JSON is asked for."""
        assert headers == {"Accept": "application/json"}
        self.asked.append(url)
        floor = httpx.URL(url).params["min_acc"]
        return httpx.Response(self.status, json=self.bodies[floor])


def test_each_question_is_asked_twice(scripts: SimpleNamespace) -> None:
    """At its floor and 0.05 above, and judged with both answers."""
    cases = scripts.question_cases
    question = cases.Question(task="sentiment", min_acc=0.9, machine=cases.MACHINES[0])
    cheaper = changed(OPTION, {"energy_j_per_1000.value": 15.0})
    client = Replies({"0.9": {"chosen": OPTION}, "0.95": {"chosen": cheaper}})
    [judged] = scripts.questions.judge(client, [question])
    assert len(client.asked) == 2
    assert set(judged.reasons) == {"monotone"}


def test_the_summary_counts_questions(
    scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A question that fails two rules counts once against the share and once in each rule."""
    cases, questions = scripts.question_cases, scripts.questions
    asked = [
        cases.Question(task="sentiment", min_acc=floor, machine=cases.MACHINES[0])
        for floor in (0.9, 0.8)
    ]
    wrong = changed(OPTION, {"accuracy.n_test": None, "n_parameters": 8e9})
    bodies = {floor: {"chosen": OPTION} for floor in ("0.9", "0.95", "0.85")}
    judged = questions.judge(Replies(bodies | {"0.8": {"chosen": wrong}}), asked)
    found = questions.summary(judged, seed=3)
    assert (found["asked"], found["sound"], found["share"]) == (2, 1, 0.5)
    assert {rule for rule, n in found["rules"].items() if n} == {"size", "evidence", "machine"}
    [failure] = found["failures"]
    assert failure["url"] == asked[1].url()
    questions.show(judged, seed=3)
    printed = capsys.readouterr().out
    assert asked[1].url() in printed
    assert asked[0].url() not in printed
    assert "| size | 1 |" in printed
    assert "1 of 2 sound, seed 3, none dropped" in printed
    assert "0 of 2 without a choice (0%)" in printed


def test_the_share_without_a_choice_is_printed(
    scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sound answer may choose nothing; how many do is said."""
    cases, questions = scripts.question_cases, scripts.questions
    asked = [
        cases.Question(task="sentiment", min_acc=floor, machine=cases.MACHINES[0])
        for floor in (0.9, 0.8)
    ]
    none = {"chosen": None, "nearest_miss": MISS, "suggestions": [SUGGESTION]}
    bodies = {"0.9": none, "0.95": none, "0.8": {"chosen": OPTION}, "0.85": {"chosen": OPTION}}
    judged = questions.judge(Replies(bodies), asked)
    assert questions.summary(judged, seed=3)["unanswered"] == 1
    questions.show(judged, seed=3)
    assert "1 of 2 without a choice (50%)" in capsys.readouterr().out


def test_refusals_of_the_service_are_counted(scripts: SimpleNamespace) -> None:
    """A question that the service itself refuses is unsound; nothing raises."""
    cases, questions = scripts.question_cases, scripts.questions
    known = cases.Question(task="sentiment", min_acc=0.9, machine=cases.MACHINES[0])
    unknown = cases.Question(task="astrology", min_acc=0.9, machine=cases.MACHINES[0])
    with questions.bundled_service() as client:
        judged = questions.judge(client, [known, unknown])
    assert "answered" not in judged[0].reasons
    assert judged[1].reasons["answered"][0].startswith("refused: 404")


def test_the_command_prints_one_json_document(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the seed, the number and a count for every rule."""
    monkeypatch.setattr(sys, "argv", ["questions.py", "--seed", "5", "--n", "2", "--json"])
    scripts.questions.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["seed"], found["asked"]) == (5, 2)
    assert set(found["rules"]) == set(scripts.soundness.RULES)
    assert len(found["failures"]) == 2 - found["sound"]


def test_more_questions_than_there_are_is_refused(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the parameter and its range."""
    monkeypatch.setattr(sys, "argv", ["questions.py", "--n", "100000"])
    with pytest.raises(SystemExit):
        scripts.questions.main()
    assert "--n: 100000 is not allowed; 1 to 10368" in capsys.readouterr().err
