"""The same question asked of another comparability group: what is cheaper there, and how to ask."""

from __future__ import annotations

import shlex
from urllib.parse import urlencode

from advisor.recommend.pareto import rank
from advisor.recommend.query import Query
from advisor.recommend.records import Option, Recommendation
from advisor.recommend.views import NOTABLE
from api.pages import wording as view

_SPECS = {
    "device_kind": "kind",
    "tdp_w": "tdp_w",
    "peak_fp32_tflops": "peak_fp32_tflops",
    "peak_fp16_tflops": "peak_fp16_tflops",
    "peak_int8_tops": "peak_int8_tops",
    "memory_bandwidth_gbs": "bandwidth_gbs",
    "memory_gb": "memory_gb",
}
"""Parameter of a URL -> field of a device."""
_DEFAULTS = {"scope": "host", "basis": "any", "scenario": "offline"}


def cheaper(answer: Recommendation) -> Option | None:
    """The option of another group that needs notably less than the chosen one; else ``None``.

    Where there is one it stands first among `other_groups`. Beside a request rate none is: its
    joules hold the waiting between texts.
    """
    if answer.chosen is None or not answer.other_groups or answer.group.scenario == "server":
        return None
    first = answer.other_groups[0]
    return first if rank(first)[0] * NOTABLE <= rank(answer.chosen)[0] else None


def instead(answer: Recommendation) -> Option | None:
    """Where nothing qualifies: the first option of another group that does; else ``None``."""
    if answer.chosen is not None or not answer.other_groups:
        return None
    return answer.other_groups[0]


def nothing(answer: Recommendation) -> str:
    """That nothing qualifies: nowhere, or only not where it was asked for."""
    if answer.other_groups:
        return "Nothing of this data set and scenario qualifies."
    return "Nothing in the catalog qualifies."


def in_words(option: Option, answer: Recommendation) -> str:
    """An option of another group in one sentence, against the chosen one where there is one.

    Args:
        option: `cheaper`'s or `instead`'s.
        answer: What it stands beside.
    """
    where = view.SCENARIO[_scenario(option)]
    if option.workload != answer.group.workload:
        where += f", on {option.workload}"
    right = f" at accuracy {view.accuracy(option.accuracy.value)}" if option.accuracy else ""
    energy, chosen = option.energy_j_per_1000, answer.chosen
    origin = view.ENERGY_KIND[view.energy_kind(energy)]
    if energy.basis != "measured" and (interval := view.interval(energy.low, energy.high)):
        origin += f", 90 % interval {interval}"
    return (
        f"{where}, {option.candidate} on {view.device_count(option)} needs "
        f"{_less(option, chosen) if chosen else ''}"
        f"{view.joules(energy)} J per 1,000 texts ({origin}){right}"
    )


def _less(option: Option, chosen: Option) -> str:
    """How many times less than the chosen option, by estimate where either is one."""
    least = rank(option)[0]
    if not least:
        return "less: "
    both = option.energy_j_per_1000, chosen.energy_j_per_1000
    by = "" if all(energy.basis == "measured" for energy in both) else ", by estimate"
    return f"{view.number(rank(chosen)[0] / least)} times less{by}: "


def _scenario(option: Option) -> str:
    """The scenario to ask for."""
    return "offline" if option.scenario == "unstated" else option.scenario


def question(asked: Query, option: Option) -> dict[str, str]:
    """The parameters of a question whose answer ranks an option of another group.

    Figures keep all their digits. A chip that was found here and that the catalog lacks has no name
    to ask by: it is this machine's.
    """
    given: dict[str, object] = {"task": asked.task, "min_acc": asked.min_acc}
    device = asked.device
    if isinstance(device, str):
        given["device"] = device
    elif device is not None and device.status == "asked":
        given |= {name: getattr(device, field) for name, field in _SPECS.items()}
    elif device is not None:
        given["device"] = f"this-{device.kind}"
    given |= {"workload": option.workload, "scenario": _scenario(option)}
    given["rate"] = option.rate_per_s
    kept = ("scope", "basis", "batch_size", "confidence", "max_latency_ms", "max_memory_gb")
    given |= {name: getattr(asked, name) for name in (*kept, "language", "licence")}
    return {
        name: view.full_digits(value)
        for name, value in given.items()
        if value is not None and _DEFAULTS.get(name) != value
    }


def url(asked: Query, option: Option) -> str:
    """The page that answers it."""
    return f"/?{urlencode(question(asked, option))}"


def command(asked: Query, option: Option) -> str:
    """The command that answers it."""
    words = [
        part
        for name, value in question(asked, option).items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    return shlex.join(["joulewise", "recommend", *words])
