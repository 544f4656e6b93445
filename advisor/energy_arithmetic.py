"""The arithmetic of one deployment: joules in, kWh out, with the interval carried through.

Small pure functions over `Quantity`. Ends are added end to end, as if all errors went the same way,
so a sum's interval is never too narrow. Formulas: `docs/method.md`.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from catalog.quantity import UNKNOWN, ZERO, Quantity

J_PER_KWH = 3.6e6
S_PER_H = 3600.0
DAYS_PER_YEAR = 365.25
"""Mean length of a year in days, for the service life of hardware."""
EnergyMethod = Literal["inference-gross", "inference-net", "inference-bound"]
IdleMethod = Literal[
    "idle-remaining", "idle-all-hours", "idle-in-inference", "idle-off", "idle-missing"
]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the energy of a deployment depends on.

    Attributes:
        texts: In the period.
        j_per_text: Gross joules, idle power of the machine included.
        runtime_s: Seconds per text on one machine.
        machine_s: Seconds all machines together are provisioned; where the runtime decides how
            many there are, each end goes with that of `runtime_s`.
        left_s: What is left of them there when all texts are classified, see `left_over`; ``None``
            where the number of machines is fixed.
        idle_w: Watts of one idle machine; ``None`` where nobody knows.
        idle_in_run: Watts read in the run that gave `j_per_text`, with the model loaded and in its
            scope: only with them is the net energy known.
        holds_idle: Whether `j_per_text` was measured at a request rate, so that it and `runtime_s`
            hold the waiting between texts that come at that rate.
        off_when_idle: Whether machines cost nothing while they do not work.
    """

    texts: float
    j_per_text: Quantity
    runtime_s: Quantity
    machine_s: Quantity
    left_s: Quantity | None = None
    idle_w: Quantity | None
    idle_in_run: float | None = None
    holds_idle: bool = False
    off_when_idle: bool = False


class Joules(msgspec.Struct, frozen=True, kw_only=True):
    """Inference and idle joules of the period and how each came about."""

    inference: Quantity
    inference_method: EnergyMethod
    idle: Quantity
    idle_method: IdleMethod


def joules(setting: Setting) -> Joules:
    """Inference and idle joules of a deployment."""
    gross, bound = _bounded(setting.j_per_text)
    method: EnergyMethod = "inference-bound" if bound else "inference-gross"
    net = None if bound else _net(setting)
    if net is not None and setting.idle_in_run is not None:
        return Joules(
            inference=net * setting.texts,
            inference_method="inference-net",
            idle=setting.machine_s * setting.idle_in_run,
            idle_method="idle-all-hours",
        )
    idle, idle_method = _idle(setting)
    return Joules(
        inference=gross * setting.texts,
        inference_method=method,
        idle=idle,
        idle_method=idle_method,
    )


def _bounded(j_per_text: Quantity) -> tuple[Quantity, bool]:
    """A published upper bound counts at the bound, as it ranks; whether it is one."""
    if j_per_text.value is None and j_per_text.high is not None:
        return Quantity(j_per_text.low, j_per_text.high, j_per_text.high), True
    return j_per_text, False


def _net(setting: Setting) -> Quantity | None:
    """Joules per text above idle; ``None`` where that is not known or not above 0."""
    gross, idle, seconds = setting.j_per_text, setting.idle_in_run, setting.runtime_s.value
    if idle is None or seconds is None or gross.value is None or gross.high is None:
        return None
    if setting.holds_idle or setting.off_when_idle:
        return None
    spent = idle * seconds
    if gross.value <= spent:
        return None
    return Quantity(max(gross.least - spent, 0.0), gross.value - spent, gross.high - spent)


def _idle(setting: Setting) -> tuple[Quantity, IdleMethod]:
    """Joules of the hours in which nothing is classified."""
    if setting.off_when_idle:
        return ZERO, "idle-off"
    if setting.holds_idle and _held(setting):
        return ZERO, "idle-in-inference"
    if setting.idle_w is None:
        return UNKNOWN, "idle-missing"
    if setting.left_s is not None:
        return setting.idle_w * setting.left_s, "idle-remaining"
    busy = setting.runtime_s * setting.texts
    least = 0.0 if busy.high is None else max(setting.machine_s.least - busy.high, 0.0)
    likely = None
    if busy.value is not None and setting.machine_s.value is not None:
        likely = max(setting.machine_s.value - busy.value, 0.0)
    most = None
    if setting.machine_s.high is not None:
        most = max(setting.machine_s.high - busy.least, 0.0)
    return setting.idle_w * Quantity(least, likely, most), "idle-remaining"


def _held(setting: Setting) -> bool:
    """Whether the seconds that texts were measured in, waiting included, cover the machines'."""
    measured, there = setting.runtime_s.value, setting.machine_s.value
    if measured is None or there is None:
        return True
    return there <= setting.texts * measured * (1 + 1e-9)


def machines_for(peak_rate: float, runtime_s: float) -> int:
    """Machines that together reach a rate (texts per second); at least 1.

    Args:
        peak_rate: Texts per second.
        runtime_s: Seconds per text on one machine.
    """
    return max(1, math.ceil(peak_rate * runtime_s * (1 - 1e-12)))


def left_over(rate: float, share: float, runtime_s: Quantity) -> Quantity:
    """Machines' worth of time left over where just enough are there, over an uncertain runtime.

    ceil(r t) - s r t falls from step to step: it is least where the fewest machines are full, and
    most where one more has just been needed.

    Args:
        rate: Texts per second the machines are sized for, r.
        share: Of `rate` that comes on average, s, 0 to 1.
        runtime_s: Seconds per text on one machine, t, with both ends.
    """
    likely, slow = runtime_s.value or 0.0, runtime_s.high or 0.0
    fewest, number, most = (machines_for(rate, t) for t in (runtime_s.least, likely, slow))
    least = fewest - share * min(rate * slow, fewest)
    largest = most - share * max(rate * runtime_s.least, most - 1)
    return Quantity(max(least, 0.0), max(number - share * rate * likely, 0.0), max(largest, 0.0))


def embodied_kg(
    kg_per_machine: float, lifetime_years: float, machines: float, hours: float
) -> float:
    """What making `machines` emitted, for `hours` of each (the time share of SCI), kg CO2e."""
    return kg_per_machine * machines * hours / (lifetime_years * DAYS_PER_YEAR * 24)


def break_even_texts(training_j: Quantity, own_j: Quantity, other_j: Quantity) -> Quantity | None:
    """Texts after which a training is paid back by `other_j - own_j` joules per text.

    ``None`` where it never is or a value is missing; without a high end where it might never be.
    """
    if training_j.value is None or own_j.value is None or other_j.value is None:
        return None
    saved = other_j.value - own_j.value
    if saved <= 0:
        return None
    most = None if other_j.high is None else other_j.high - own_j.least
    least = None if own_j.high is None else other_j.least - own_j.high
    low = 0.0 if most is None else training_j.least / most
    high = None
    if training_j.high is not None and least is not None and least > 0:
        high = training_j.high / least
    return Quantity(low, training_j.value / saved, high)
