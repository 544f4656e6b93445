"""Agreement of the figures of one answer: a question and its body in, contradictions out.

Rules of `soundness` that need no judgement: power is energy over time, a factor is a ratio of two
energies, and one machine has one price.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from plausible_joules import Bounds, watts
from question_cases import Answer, Option, Question

from catalog import reference_data

IDLE_SHARE = 0.7
"""Least mean watts over the idle watts of the table: readings scatter."""
LIMIT_SHARE = 1.1
"""Most over the limit: boards that state none draw somewhat more than their TDP."""
DIGITS = 1e-3
"""Relative difference of two figures that count as equal: answers write five digits."""


def _energy(option: Option | None) -> float | None:
    """Joules per 1,000 texts, without a published bound's."""
    value: float | None = ((option or {}).get("energy_j_per_1000") or {}).get("value")
    return value


def _equal(one: float, other: float) -> bool:
    """Whether two figures are equal at the digits of an answer."""
    return math.isclose(one, other, rel_tol=DIGITS)


def options(answer: Answer) -> Iterator[Option]:
    """Every option of an answer, the chosen one first."""
    body = answer.body
    yield from filter(None, (body.get(name) for name in ("chosen", "nearest_miss")))
    for name in ("alternatives", "front"):
        yield from body.get(name) or ()


def power_limits(option: Option, machine: dict[str, Any] | None) -> Bounds | None:
    """Watts between which an option can draw on average; ``None`` for an unknown device.

    A cloud instance that is a share of its host's CPU is charged that share of its idle power.
    """
    device = reference_data.devices().get(str(option.get("device")))
    if device is None:
        return None
    scope = (option.get("energy_j_per_1000") or {}).get("scope") or "host"
    found = watts(device, scope, option.get("n_devices") or 1)
    alone = watts(device, "device", option.get("n_devices") or 1)
    share = (machine or {}).get("cpu_share") or 1.0 if device.kind == "cpu" else 1.0
    return Bounds(
        IDLE_SHARE * min(share, 1.0) * alone.low, LIMIT_SHARE * max(share, 1) * found.high
    )


def power(_: Question, answer: Answer) -> list[str]:
    """Mean watts of every option, joules over seconds, lie between idle and the limit.

    A machine that works draws no less than 0.7 x what it draws idle, and no more than all its parts
    at their limits; a measured row may differ from the tables, so its bounds are twice as wide.
    """
    found = []
    for option in options(answer):
        joules, runtime = _energy(option), option.get("runtime_s_per_1000")
        limits = power_limits(option, answer.body.get("machine"))
        if joules is None or not runtime or limits is None:
            continue
        slack = 2.0 if option["energy_j_per_1000"].get("basis") == "measured" else 1.0
        mean = joules / runtime["value"]
        if not limits.low / slack <= mean <= limits.high * slack:
            found.append(
                f"{option.get('candidate')} on {option.get('device')} draws {mean:.3g} W, "
                f"{limits.low:.3g} to {limits.high:.3g} are possible"
            )
    return found


def factors(_: Question, answer: Answer) -> list[str]:
    """Energies of variants and alternatives are their factors times the chosen one's."""
    chosen = _energy(answer.chosen)
    if chosen is None:
        return []
    found = []
    for each in answer.body.get("variants") or ():
        joules, factor = each.get("energy_j_per_1000"), (each.get("factor") or {}).get("value")
        name = f"variant {each.get('backend')} {each.get('precision')}"
        if joules is not None and factor is not None and not _equal(joules, factor * chosen):
            found.append(f"{name} needs {joules:.4g} J, {factor:.4g} x {chosen:.4g} by its factor")
    for each in answer.body.get("alternatives") or ():
        other, factor = _energy(each), (each.get("energy_factor") or {}).get("value")
        if other is not None and factor is not None and not _equal(other, factor * chosen):
            name = each.get("candidate")
            found.append(f"{name} needs {other:.4g} J, {factor:.4g} x {chosen:.4g} by its factor")
    return found


def devices(_: Question, answer: Answer) -> list[str]:
    """The devices of least energy do not contradict the answer.

    They ascend; the chosen option's own device has its energy there, and is left out only where
    none of those listed needs more.
    """
    listed = answer.body.get("best_devices") or ()
    chosen, energies = _energy(answer.chosen), [each["energy_j_per_1000"] for each in listed]
    found = [] if energies == sorted(energies) else ["best_devices do not ascend"]
    if chosen is None or not listed:
        return found
    own = {each["device"]: each["energy_j_per_1000"] for each in listed}
    name = str((answer.chosen or {}).get("device"))
    if name in own and not _equal(own[name], chosen):
        found.append(f"{name} needs {own[name]:.4g} J among best_devices, {chosen:.4g} as chosen")
    if name not in own and max(energies) > chosen * (1 + DIGITS):
        found.append(f"{name} is no best device at {chosen:.4g} J, one of {max(energies):.4g} J is")
    return found
