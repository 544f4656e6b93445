"""Soundness of an answer: a question and its body in, by rule the reasons why it is unsound.

Each rule is a pure function of a question and its answer that an expert of the field could check by
hand; it reads the bundled tables of devices, instances, candidates and workloads, and nothing of
`advisor`. An answer is sound where no rule gives a reason. A refused question fails `answered`
alone; where nothing is chosen, rules about the choice have nothing to judge. Bounds in joules are
those of `plausible_joules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from agreement import devices, factors, power
from model_sizes import largest
from plausible_joules import NETWORKLESS, joules_per_text, weights_gb
from question_cases import STEP, Answer, Body, Option, Question

from catalog import atlas, reference_data
from catalog.hardware.device_defaults import completed
from catalog.hardware.instances import instances
from catalog.registry.tasks import references

MAX_BYTES = 15_000
Z_RATIO = 1.2816 / 1.6449
"""One-sided 90 % bound over the half width of a two-sided 90 % interval, normal quantiles."""
LLMS = ("zero-shot-llm", "few-shot-llm", "fine-tuned-llm", "reasoning-llm")
ON_CPU = (*NETWORKLESS, "majority")
UNTRAINED = ("lexicon", "zero-shot-embedding", "zero-shot-nli", "zero-shot-reranker")
"""Families without a trained head that are no language model."""
REGIMES = {
    "none": ("zero-shot", "lexicon"),
    "few": ("few-shot", "in-context", "zero-shot", "lexicon"),
    "full": ("full", "few-shot", "in-context", "zero-shot", "lexicon"),
}
"""Regimes of evidence that a label budget can pay for."""
N_TEST_MARKS = ("test-size", "spread-unstated", "accuracy-uncertain", "self-reported")
"""Beginnings of warning codes that mark an accuracy whose test size is not stated."""


def _at(given: Body | None, *path: str) -> Any:
    """A field of nested records; ``None`` where any of them is absent."""
    for name in path:
        given = given.get(name) if isinstance(given, Mapping) else None
    return given


def joules(option: Option | None) -> float | None:
    """Energy by which an option ranks, J per 1,000 texts: its value, of a bound the high end."""
    energy = _at(option, "energy_j_per_1000")
    value: float | None = _at(energy, "value")
    high: float | None = _at(energy, "high")
    return high if value is None else value


def lower_bound(accuracy: Body | None) -> float | None:
    """One-sided 90 % lower bound from a value and the low end of its two-sided 90 % interval.

    Both are normal approximations of one error: the bound lies 1.2816 of 1.6449 as far below.
    """
    value, low = _at(accuracy, "value"), _at(accuracy, "low")
    return None if value is None or low is None else value - Z_RATIO * (value - low)


# Rule 1


def answered(_: Question, answer: Answer) -> list[str]:
    """No empty page: an option, or what misses least, by what, and what to measure next.

    Somebody who gets no option needs three things to go on: the option that comes closest, the
    constraint that binds, and commands that measure what an expert would try next.
    """
    if answer.status != 200:
        detail = _at(answer.body, "detail") or _at(answer.body, "title") or ""
        return [f"refused: {answer.status} {detail}"[:200]]
    if answer.chosen is not None:
        return []
    found = []
    if _at(answer.body, "nearest_miss") is None:
        found.append("nothing chosen and no nearest miss")
    elif not _at(answer.body, "nearest_miss", "missing", "constraint"):
        found.append("the nearest miss names no binding constraint")
    suggestions = _at(answer.body, "suggestions") or ()
    if not suggestions:
        found.append("nothing chosen and no suggestions")
    elif not all(each.get("command") for each in suggestions):
        found.append("a suggestion without a command")
    return found


# Rule 2


def size(question: Question, answer: Answer) -> list[str]:
    """The chosen model is no larger than the task needs: see `model_sizes.LARGEST`."""
    option = answer.chosen
    if option is None or option.get("family") in NETWORKLESS:
        return []
    n, most = option.get("n_parameters"), largest(question)
    if n is None:
        return [f"{option.get('candidate')} states no size"]
    if n > most:
        return [f"{option.get('candidate')} has {n:.3g} parameters, {most:.3g} suffice"]
    return []


# Rules 3 and 4


def energy_plausible(question: Question, answer: Answer) -> list[str]:
    """Joules lie where FLOP, the device's peak and its watts put them: see `joules_per_text`."""
    option = answer.chosen
    if option is None:
        return []
    name, value = option.get("candidate"), joules(option)
    bounds = joules_per_text(option, rate=question.rate)
    if value is None:
        return [f"{name} has no energy"]
    if isinstance(bounds, str):
        return [f"{name}: {bounds}"]
    low, high = (1000 * end for end in bounds)
    if not low <= value <= high:
        return [f"{name} needs {value:.3g} J per 1,000, plausible are {low:.3g} to {high:.3g}"]
    return []


WIDEST = {"measured": 3.0, "estimated": 10.0, "estimated-runtime": 10.0, "extrapolated": 30.0}
"""Largest high/low of an energy by its basis."""


def width(_: Question, answer: Answer) -> list[str]:
    """The energy's 90 % interval is narrow enough to act on.

    A counter read over 5 s and more repeats within some percent, hosts differ by less than 3
    times; an estimate over 10 times wide cannot tell an encoder from its large variant; 30 times
    are two sizes of GPU and go with a warning. A published bound has no low end: warned too.
    """
    if (option := answer.chosen) is None:
        return []
    energy = _at(option, "energy_j_per_1000") or {}
    low, value, high = (energy.get(name) for name in ("low", "value", "high"))
    codes = _codes(option, answer.body)
    if value is None and high is not None:
        return [] if "energy-bound" in codes else ["a bound on the energy without its warning"]
    if low is None or value is None or high is None or not 0 < low <= value <= high:
        return [f"energy is no interval: low {low}, value {value}, high {high}"]
    basis = str(energy.get("basis"))
    if basis not in WIDEST:
        return [f"unknown basis of energy {basis!r}"]
    found = []
    if high / low > WIDEST[basis]:
        found.append(f"{basis} energy is {high / low:.3g} times wide, at most {WIDEST[basis]:g}")
    warned = any("extrapolat" in code or code == "out-of-range" for code in codes)
    if basis == "extrapolated" and not warned:
        found.append("extrapolated energy without a warning")
    return found


def _codes(option: Option, body: Body) -> set[str]:
    """Warning codes of an option, its accuracy and the answer."""
    codes = {str(code) for code in option.get("warnings") or ()}
    codes |= {str(code) for code in _at(option, "accuracy", "warnings") or ()}
    return codes | {str(each.get("code")) for each in body.get("warnings") or ()}


# Rule 5


def evidence(question: Question, answer: Answer) -> list[str]:
    """The accuracy has a value, an interval, a source and a test set, and qualifies.

    Choosing the cheapest of hundreds of noisy values picks the lucky ones; hence a one-sided 90 %
    lower bound at the floor. Regime and labels fit, the model has open weights or our suite builds
    it, was not trained on the test set, beats the most frequent class, and reads the language.
    """
    if (option := answer.chosen) is None:
        return []
    return [
        *_accuracy_stated(option, answer.body),
        *_unqualified(question, option),
        *_excluded(option),
        *_other_workload(question, option),
    ]


def _accuracy_stated(option: Option, body: Body) -> Iterator[str]:
    """What an accuracy lacks."""
    accuracy = _at(option, "accuracy") or {}
    for field in ("value", "low", "source", "regime"):
        if accuracy.get(field) is None:
            yield f"accuracy states no {field}"
    marked = any(code.startswith(N_TEST_MARKS) for code in _codes(option, body))
    if not accuracy.get("n_test") and not marked and accuracy.get("basis") != "estimated":
        yield "accuracy states no n_test and has no mark"


def _unqualified(question: Question, option: Option) -> Iterator[str]:
    """Why an option does not answer a question, by its accuracy."""
    bound = lower_bound(_at(option, "accuracy"))
    if bound is not None and bound < question.min_acc - 1e-3:
        yield f"{option.get('candidate')}: lower bound {bound:.3f} under {question.min_acc}"
    regime = _at(option, "accuracy", "regime")
    if regime is not None and regime not in REGIMES[question.labels]:
        yield f"{option.get('candidate')}: regime {regime} under labels={question.labels}"


def _excluded(option: Option) -> Iterator[str]:
    """Why the bundled records keep a candidate from being chosen."""
    name, workload = str(option.get("candidate")), str(option.get("workload"))
    candidate = reference_data.candidates().get(name)
    if candidate is not None and not (candidate.checkpoint or candidate.runnable):
        yield f"{name} is not obtainable"
    known = reference_data.workloads().get(workload)
    rows = atlas.results(known.task, workload) if known else ()
    regime = _at(option, "accuracy", "regime")
    seen = {row.contamination for row in rows if (row.candidate, row.regime) == (name, regime)}
    if seen == {"yes"} or _at(option, "accuracy", "contamination") == "yes":
        yield f"{name} was trained on {workload}"
    bound = lower_bound(_at(option, "accuracy"))
    if known and bound is not None and bound <= (known.majority_share or 0.0):
        yield f"{name} is no better than the most frequent class of {workload}"


def _other_workload(question: Question, option: Option) -> Iterator[str]:
    """Why an option's workload does not answer the question; English is the default language."""
    known = reference_data.workloads().get(str(option.get("workload")))
    if known is None:
        yield f"unknown workload {option.get('workload')}"
        return
    if known.task != question.task:
        yield f"{known.name} is of task {known.task}"
    in_english = (question.task, "en", "accuracy") in references()
    language = question.language or ("en" if in_english else None)
    if language and known.language not in (language, "mul"):
        yield f"{known.name} is in {known.language}, asked {question.language or 'the default'}"


# Rules 6 and 9


def order(question: Question, answer: Answer) -> list[str]:
    """Nothing that qualifies needs less than the chosen one.

    Alternatives are no cheaper and qualify themselves; no point of the front that surely
    qualifies (two-sided low end at the floor, regime allowed) lies under the chosen energy.
    """
    if (least := joules(answer.chosen)) is None:
        return []
    found = []
    for option in answer.body.get("alternatives") or ():
        found += list(_unqualified(question, option))
        if (need := joules(option)) is None or need < least * (1 - 1e-6):
            found.append(f"alternative {option.get('candidate')} needs {need}, chosen {least:.4g}")
    for option in answer.body.get("front") or ():
        need = joules(option)
        if need is not None and need < least * (1 - 1e-6) and _surely_qualifies(question, option):
            found.append(f"front point {option['candidate']} needs {need:.4g}, chosen {least:.4g}")
    return found


def _surely_qualifies(question: Question, option: Option) -> bool:
    """Whether an option qualifies by the two-sided low end, which is stricter than the bound."""
    low = _at(option, "accuracy", "low")
    known = reference_data.workloads().get(str(option.get("workload")))
    majority = (known.majority_share if known else None) or 0.0
    if low is None or low < question.min_acc or low <= majority:
        return False
    if option.get("family") == "majority":
        return False
    return not [
        *_unqualified(question, option),
        *_excluded(option),
        *_misplaced(question, option),
    ]


def monotone(question: Question, answer: Answer) -> list[str]:
    """A higher floor never needs less: what qualifies for it qualifies for the lower one."""
    above = joules(_at(answer.higher, "chosen"))
    if above is None:
        return []
    name, floor = _at(answer.higher, "chosen", "candidate"), question.min_acc + STEP
    if (here := joules(answer.chosen)) is None:
        return [f"nothing at {question.min_acc}, {name} at {floor:.2f}"]
    if above < here * (1 - 1e-6):
        return [f"{here:.4g} J at {question.min_acc}, {above:.4g} ({name}) at {floor:.2f}"]
    return []


# Rules 7, 8 and 10


def family(question: Question, answer: Answer) -> list[str]:
    """Families are used where they make sense.

    Language identification is solved by character n-grams (Joulin et al. 2016; Cavnar and Trenkle
    1994), never by a language model; sparse features, word lists and word vectors run on a CPU
    also where the machine has a GPU; without labelled texts nothing can be trained.
    """
    if (chosen := answer.chosen) is None:
        return []
    found = []
    if question.task == "language-identification" and chosen.get("family") in LLMS:
        found.append(f"{chosen.get('candidate')} is a language model")
    shown = [chosen, *(answer.body.get("alternatives") or ()), *(answer.body.get("front") or ())]
    for option in shown:
        if option.get("family") in ON_CPU and _on_gpu(str(option.get("device"))):
            found.append(f"{option.get('candidate')} on {option.get('device')}")
    if question.labels == "none":
        untrained = (*UNTRAINED, "zero-shot-llm", "reasoning-llm")
        listed = [chosen, *(answer.body.get("alternatives") or ())]
        found += [
            f"{option.get('candidate')} is trained, labels=none"
            for option in listed
            if option.get("family") not in untrained
        ]
    return found


def _on_gpu(device: str) -> bool:
    """Whether a device is a GPU or NPU that has a CPU of the table beside it."""
    known = reference_data.devices().get(device)
    return known is not None and known.kind in ("gpu", "npu") and bool(completed(known).host_cpu)


def machine(question: Question, answer: Answer) -> list[str]:
    """The chosen option runs on a part of the machine asked about and fits its memory.

    Weights in the stated format (fp32 where none is) are the least that has to fit; a CPU
    instance has the memory printed for it, other devices theirs or their class default.
    """
    return [] if answer.chosen is None else _misplaced(question, answer.chosen)


def _misplaced(question: Question, option: Option) -> list[str]:
    """Why an option cannot run on the machine of a question."""
    name, asked = str(option.get("device")), question.machine
    device = reference_data.devices().get(name)
    if device is None:
        return [f"unknown device {name}"]
    own = completed(device)
    is_host = device.kind == "cpu" and own.device_class.host_class == "server" and asked.any_host
    if name not in asked.parts and not is_host:
        return [f"{name} is no part of {asked.asked or 'the default machine'}"]
    memory = (own.device.memory_gb or 0.0) * (option.get("n_devices") or 1)
    instance = instances().get(asked.asked or "")
    if instance is not None and device.kind == "cpu" and instance.memory_gb:
        memory = instance.memory_gb
    need = max(option.get("memory_gb") or 0.0, weights_gb(option))
    if need >= memory:
        return [f"{option.get('candidate')} needs {need:.3g} GB, {name} has {memory:.3g}"]
    return []


def body(question: Question, answer: Answer) -> list[str]:
    """A body under 15 kB, and for one text at a time the latency that it is asked for."""
    found = []
    if answer.n_bytes >= MAX_BYTES:
        found.append(f"{answer.n_bytes} bytes")
    if question.scenario == "single" and answer.chosen is not None:
        latency = answer.chosen.get("latency_ms")
        latency = _at(latency, "value") if isinstance(latency, Mapping) else latency
        if latency is None:
            found.append("no latency_ms for one text at a time")
    return found


RULES: Mapping[str, Callable[[Question, Answer], Sequence[str]]] = {
    "answered": answered,
    "size": size,
    "energy-plausible": energy_plausible,
    "width": width,
    "evidence": evidence,
    "order": order,
    "family": family,
    "machine": machine,
    "monotone": monotone,
    "body": body,
    "power": power,
    "factors": factors,
    "devices": devices,
}


def unsound(question: Question, answer: Answer) -> dict[str, list[str]]:
    """Reasons against an answer by rule; empty for a sound one."""
    if answer.status != 200:
        return {"answered": answered(question, answer)}
    found = {name: list(rule(question, answer)) for name, rule in RULES.items()}
    return {name: reasons for name, reasons in found.items() if reasons}
