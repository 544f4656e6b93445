"""Results of a calibration: candidates and accuracy-energy front of each measured workload.

Figures and front are the advisor's, so that the summary agrees with ``recommend``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend.machine import CALIBRATION
from advisor.recommend.option import front, option, rank
from advisor.recommend.pricing import of_row
from advisor.recommend.records import Option
from catalog.accuracy import numeric_format_of
from catalog.records import Scope
from catalog.registry.families import FLOORS
from catalog.snapshot import Snapshot

if TYPE_CHECKING:
    from calibration.records import Event


class WorkloadResult(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of one workload as measured here, in batches, within one scope.

    Attributes:
        options: The least-energy variant of each candidate on each device, cheapest first.
        front: Those that no other beats in both accuracy and energy.
    """

    workload: str
    scope: Scope
    options: tuple[Option, ...]
    front: tuple[Option, ...]

    @property
    def measured(self) -> bool:
        """Whether every energy was read from a counter, so that the order is a measured one."""
        return all(each.energy_j_per_1000.basis == "measured" for each in self.options)


class ServingComparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A backend or number format of a candidate beside its plain one, in batches of 32.

    Attributes:
        time_ratio: Its seconds over those of the plain one; `energy_ratio` likewise joules, where
            both were measured.
        plain: Backend and number format it is compared with: what the candidate usually runs as.
        accuracy_difference: Its accuracy less that of the plain one, -1 to 1.
        warnings: ``variant-raises-energy`` (of a lower number format: more measured joules than in
            fp32 on its backend, or more seconds where joules were not measured) and
            ``variant-loses-accuracy`` (more than one point).
    """

    candidate: str
    workload: str
    device: str
    backend: str
    precision: str
    plain: str
    time_ratio: float
    energy_ratio: float | None = None
    accuracy_difference: float | None = None
    warnings: tuple[str, ...] = ()


RAISES_ENERGY, LOSES_ACCURACY = "variant-raises-energy", "variant-loses-accuracy"
_NOISE = 1.05
"""Ratio below which two measurements count as equal; more of a spread is unstable."""
_POINT = 0.01


def serving_comparisons(steps: Iterable[Event]) -> tuple[ServingComparison, ...]:
    """Comparisons of the serving choices of each candidate, workload and device.

    Args:
        steps: Events of a calibration; of each setup the last with figures counts.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, str], Event]] = {}
    for step in steps:
        compared = step.kind in ("finished", "present") and step.seconds_per_1000
        if compared and (step.scenario, step.batch_size, step.variant) == ("offline", 32, None):
            key = (step.candidate, step.workload, step.device, step.place or "")
            groups.setdefault(key, {})[step.backend, step.precision] = step
    found = []
    for group in groups.values():
        plain, *others = group.values()  # planned first
        exact = {step.backend: step for step in reversed(group.values())}
        found += [_comparison(step, plain, exact[step.backend]) for step in others]
    return tuple(found)


def _comparison(step: Event, plain: Event, exact: Event) -> ServingComparison:
    """One choice beside the usual one; `exact` is the least coarse number format on its backend."""
    accuracy = _difference(step.accuracy, plain.accuracy)
    beside = exact if exact is not step else plain
    energy, seconds = _ratio(step, beside, "joules_per_1000"), _ratio(step, beside)
    raises = step.precision != beside.precision and (energy or seconds or 0) > _NOISE
    loses = accuracy is not None and accuracy < -_POINT
    return ServingComparison(
        candidate=step.candidate,
        workload=step.workload,
        device=step.device,
        backend=step.backend,
        precision=step.precision,
        plain=f"{plain.backend} {plain.precision}",
        time_ratio=round(_ratio(step, plain) or 0.0, 4),
        energy_ratio=_ratio(step, plain, "joules_per_1000"),
        accuracy_difference=accuracy,
        warnings=(*[RAISES_ENERGY] * raises, *[LOSES_ACCURACY] * loses),
    )


def _ratio(step: Event, other: Event, figure: str = "seconds_per_1000") -> float | None:
    """Ratio of a figure of two steps; ``None`` of joules that were not measured."""
    one, two = getattr(step, figure), getattr(other, figure)
    measured = figure != "joules_per_1000" or step.label == other.label == "measured"
    return round(one / two, 4) if one and two and measured else None


def _difference(one: float | None, two: float | None) -> float | None:
    """Difference of two accuracies that are both known."""
    return None if one is None or two is None else round(one - two, 6)


def results(
    snapshot: Snapshot,
    estimator: Estimator,
    *,
    workloads: Iterable[str],
    devices: Collection[str],
    candidates: Collection[str],
) -> list[WorkloadResult]:
    """One result for each workload that has an option with a known accuracy.

    The scope is the host's; the chip's where energy was measured for the chip alone.
    """
    found = []
    for workload in workloads:
        if workload not in snapshot.workloads:
            continue
        scopes: tuple[Scope, ...] = ("host", "device")
        of_scope = {
            scope: _cheapest(_options(snapshot, estimator, workload, scope), devices, candidates)
            for scope in scopes
        }
        measured = [
            scope
            for scope in scopes
            if any(each.energy_j_per_1000.basis == "measured" for each in of_scope[scope])
        ]
        scope = measured[0] if measured else "host"
        if options := of_scope[scope]:
            best = tuple(front(options))
            found.append(
                WorkloadResult(workload=workload, scope=scope, options=tuple(options), front=best)
            )
    return found


def _options(snapshot: Snapshot, estimator: Estimator, workload: str, scope: Scope) -> list[Option]:
    """Every calibrated setup in batches whose accuracy is known."""
    found = []
    for row in snapshot.by_workload.get(workload, ()):
        if row.source != CALIBRATION or row.phase != "inference" or row.scenario != "offline":
            continue
        numeric = numeric_format_of(row.precision)
        known = snapshot.accuracies.answers(workload, numeric_format=numeric).get(row.candidate)
        candidate = snapshot.candidates.get(row.candidate)
        floor = candidate is not None and candidate.family in FLOORS
        if known is not None and not floor:
            priced = of_row(row, scope, snapshot, estimator, known)
            found += [option(*priced, snapshot)] if priced is not None else []
    return found


def _cheapest(
    options: Iterable[Option], devices: Collection[str], candidates: Collection[str]
) -> list[Option]:
    """The cheapest calibrated variant of each candidate on these devices."""
    cheapest: dict[tuple[str, str], Option] = {}
    for each in options:
        if each.device in devices and each.candidate in candidates:
            key = (each.candidate, each.device)
            cheapest[key] = min(cheapest.get(key, each), each, key=rank)
    return sorted(cheapest.values(), key=rank)
