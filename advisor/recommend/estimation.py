"""Estimates of plans: entries whose joules and seconds are scaled by what measured rows needed.

On the same machine the ratio of two estimates counts whole, and its interval is that of the ratio;
from other machines a share of what the candidate needed beyond its estimates. Mean watts stay
between 0.7 x idle and the limit, as every estimate's do; a stated runtime stays below peak rates.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

import msgspec
import numpy as np

from advisor.estimator.estimator import Estimator, Prediction
from advisor.estimator.setup import batch_of
from advisor.recommend.conversion import Case, Plan, Told, from_here, scope_of
from advisor.recommend.entries import Z90, Entry, of_a_repeat
from advisor.recommend.records import EnergyPer1000, RuntimePer1000
from advisor.recommend.warnings import figure
from catalog import profiles
from catalog.records import Basis, Measurement

ELSEWHERE = 0.85
"""Share (in logs) of what a candidate needed beyond its estimates on other machines that counts."""
LEAST_SD = 0.2
"""Least standard deviation of log joules that a conversion on one machine adds."""


def estimated(plans: Sequence[Plan], estimator: Estimator) -> list[Entry]:
    """Entries of plans."""
    plans, found = _predicted(plans, estimator)
    told = [each for plan in plans for each in plan.told]
    setups = {each.setup: place for place, each in enumerate(told)}
    of_setup = dict(zip(setups, estimator.predict([*setups]), strict=True))
    of_told = iter([(each, of_setup[each.setup]) for each in told])
    spreads = iter(_ratio_sds([plan for plan in plans if plan.there and plan.told], estimator))
    entries = []
    for plan, prediction in zip(plans, found, strict=True):
        against = [next(of_told) for _ in plan.told]
        sd = next(spreads) if plan.there and plan.told else None
        entries.append(_entry(plan, prediction, against, sd))
    return entries


def _predicted(plans: Sequence[Plan], estimator: Estimator) -> tuple[list[Plan], list[Prediction]]:
    """Predictions of what plans ask; without a stated runtime that the peak rate rules out."""
    found = estimator.predict([plan.asked for plan in plans])
    kept = list(plans)
    too_fast = [
        place
        for place, (plan, each) in enumerate(zip(plans, found, strict=True))
        if plan.stated and (plan.asked.runtime_s or 0.0) < each.fastest_s
    ]
    for place in too_fast:
        kept[place] = _refused(plans[place], found[place].fastest_s)
    again = estimator.predict([kept[place].asked for place in too_fast])
    for place, each in zip(too_fast, again, strict=True):
        found[place] = each
    return kept, found


def _refused(plan: Plan, fastest_s: float) -> Plan:
    """A plan without its stated runtime, which the peak rate of its device rules out."""
    case, device = plan.case, plan.device.name
    flops = profiles.work(case.candidate, case.snapshot.workloads[case.key.workload]).flops
    rate = f" ({figure(flops / 1e9)} GFLOP a text)" if flops else ""
    said, least = (figure(1000 * seconds) for seconds in (case.stated_s or 0.0, fastest_s))
    detail = (
        f"{said} s per 1,000 texts were stated; at the peak rate of {device} in "
        f"{case.choice.precision} they take {least} s{rate}"
    )
    return plan._replace(
        case=case._replace(stated_s=None),
        asked=msgspec.structs.replace(plan.asked, runtime_s=None),
        misfit=("runtime-implausible", detail),
    )


def _ratio_sds(plans: Sequence[Plan], estimator: Estimator) -> list[float]:
    """Standard deviation of the log ratio of each plan's asked setup and its row's."""
    sds = [0.0] * len(plans)
    by_device: defaultdict[str, list[int]] = defaultdict(list)
    for place, plan in enumerate(plans):
        by_device[plan.device.name].append(place)
    for places in by_device.values():
        pairs = [plans[p].asked for p in places] + [plans[p].told[0].setup for p in places]
        n, covariance = len(places), estimator.covariance(pairs)
        own, both = np.diag(covariance), np.diag(covariance, n)
        variance = np.maximum(own[:n] + own[n:] - 2 * both, 0.0)
        for place, value in zip(places, np.sqrt(variance + LEAST_SD**2), strict=True):
            sds[place] = float(value)
    return sds


def _shift(logs: Sequence[float], otherwise: Sequence[float], share: float) -> float:
    """How far (log) an estimate moves: by the mean of one quantity, else of the other."""
    return share * fmean(logs or otherwise or [0.0])


def _entry(
    plan: Plan,
    prediction: Prediction,
    against: Sequence[tuple[Told, Prediction]],
    sd: float | None,
) -> Entry:
    """One entry: its estimate, scaled by what rows needed beyond theirs."""
    energy, share = prediction.energy_j, 1.0 if plan.there else ELSEWHERE
    given = plan.asked.runtime_s is not None
    joules, seconds = [], []
    for each, found in against:
        slower = 0.0
        if each.seconds and found.runtime_s.value:
            slower = math.log(each.seconds / found.runtime_s.value)
            seconds.append(slower)
        if each.joules and found.energy_j.value and (each.seconds or not given):
            more = math.log(each.joules / found.energy_j.value)
            joules.append(more - slower if given else more)  # of a known runtime watts alone err
    row = plan.row if plan.there else None
    spread = (row.cv or 0.0) if row is not None else 0.0
    half = math.hypot(math.log((energy.high or 1.0) / (energy.value or 1.0)), Z90 * spread)
    down = math.hypot(math.log((energy.value or 1.0) / (energy.low or 1.0)), Z90 * spread)
    basis: Basis = energy.basis
    if row is not None and joules and sd is not None:
        half = down = math.hypot(of_a_repeat(row.repeats) * spread, Z90 * sd)
        basis = basis if basis == "extrapolated" else "estimated"
    value = 1000 * (energy.value or 0.0) * math.exp(_shift(joules, seconds, share))
    runtime = _runtime(plan, prediction, _shift(seconds, joules, share), spread)
    value, low, high = _within_watts(value, down, half, runtime, prediction.watts)
    return Entry(
        candidate=plan.case.candidate,
        device=plan.device,
        choice=plan.case.choice,
        batch_size=plan.asked.batch_size,
        n_devices=plan.n_devices,
        energy=EnergyPer1000(
            value=value,
            low=low,
            high=high,
            basis=basis,
            scope=plan.case.key.scope,
            label="estimated",
        ),
        runtime=runtime,
        evidence=plan.case.known,
        row=plan.row,
        there=plan.there,
        setup=plan.asked,
        prediction=prediction,
        converted=_words(plan) if joules or (seconds and not given) else "",
        misfit=plan.misfit,
        codes=("energy-converted",) if joules and plan.there else (),
    )


def _within_watts(
    value: float,
    down: float,
    up: float,
    runtime: RuntimePer1000 | None,
    watts: tuple[float, float],
) -> tuple[float, float, float]:
    """Joules with ends that lie `down` and `up` (natural logs) from them, as the watts allow."""
    least, most = watts
    if runtime is not None:
        value = min(max(value, least * runtime.value), most * runtime.value)
    low, high = value * math.exp(-down), value * math.exp(up)
    if runtime is not None:
        low = min(max(low, least * runtime.low), value)
        high = max(min(high, most * runtime.high), value)
    return value, low, high


def _runtime(
    plan: Plan, prediction: Prediction, shift: float, spread: float
) -> RuntimePer1000 | None:
    """Seconds per 1,000 texts of an estimate; a known runtime is not shifted."""
    found = prediction.runtime_s
    if not found.value:
        return None
    if plan.stated:
        said = 1000 * found.value
        return RuntimePer1000(value=said, low=said, high=said, basis="stated")
    known = plan.asked.runtime_s is not None
    times, half = 1000 * math.exp(0.0 if known else shift), Z90 * spread
    return RuntimePer1000(
        value=times * found.value,
        low=times * (found.low or 0.0) * math.exp(-half),
        high=times * (found.high or 0.0) * math.exp(half),
        basis=found.basis,
    )


def _words(plan: Plan) -> str:
    """From what rows an energy was converted."""
    row = plan.row
    if plan.there and row is not None:
        size, scope = batch_of(row), scope_of(plan.case, row)
        said = [f"scope {scope}"] if scope else []
        said += [] if size is None else [f"batch {size:g}"]
        said += [row.precision] if row.precision else []
        return f"measured on {row.device} ({', '.join(said)})"
    devices = sorted({each.row.device for each in plan.told})
    more = f" and {len(devices) - 2} more" if len(devices) > 2 else ""
    return f"measured on {', '.join(devices[:2])}{more}"


def of_row(case: Case, row: Measurement, estimator: Estimator) -> Entry | None:
    """The estimate of a row where it was taken; ``None`` where it has neither joules nor time."""
    if row.rate_per_s is not None:
        return None  # its runtime holds waiting, which the estimator would charge as work
    if row.runtime_s is None and scope_of(case, row) is None:
        return None
    return estimated([from_here(case, row)], estimator)[0]
