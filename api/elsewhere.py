"""The same question asked of another comparability group: what is cheaper there, and how to ask."""

from __future__ import annotations

import shlex
from urllib.parse import urlencode

from advisor.options import rank
from advisor.records import Option, Query, Recommendation
from advisor.views import NOTABLE
from api import view

_SPECS = {
    "device_kind": "kind",
    "tdp_w": "tdp_w",
    "peak_fp32_tflops": "peak_fp32_tflops",
    "peak_fp16_tflops": "peak_fp16_tflops",
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


def in_words(option: Option, answer: Recommendation) -> str:
    """What is cheaper elsewhere, in one sentence; ``option`` is `cheaper`'s."""
    least = rank(option)[0]
    times = rank(answer.chosen)[0] / least if answer.chosen and least else 0.0
    where = view.SCENARIO[_scenario(option)]
    if option.workload != answer.group.workload:
        where += f", on {option.workload}"
    right = f" at accuracy {view.accuracy(option.accuracy.value)}" if option.accuracy else ""
    many = f"{view.number(times)} times less" if times else "less"
    return (
        f"{where}, {option.candidate} on {view.devices(option)} needs {many}: "
        f"{view.joules(option.energy_j_per_1000)} J per 1,000 texts{right}"
    )


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
        name: view.exact(value)
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
