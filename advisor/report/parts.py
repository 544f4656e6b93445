"""The parts of a deployment's energy as the answer shows them, each with its origin."""

from __future__ import annotations

from advisor.energy_arithmetic import J_PER_KWH
from advisor.recommend.records import AnyLabel
from advisor.report.plan import Deployment
from advisor.report.records import Part, PartBasis, PartName, PlannedSetup
from advisor.report.sizing import Work
from advisor.report.sources import Book
from advisor.report.terms import PLAN_SOURCE, Terms
from catalog.quantity import Quantity
from catalog.records import Device
from catalog.registry.families import ZERO_SHOT


def planned_setup(done: Work, book: Book, scope: str) -> PlannedSetup:
    """The setup of a piece of work, for the answer."""
    option = done.option
    said = "stated by the plan" if done.runtime_stated else "the source of the energy"
    return PlannedSetup(
        candidate=option.candidate,
        family=option.family,
        device=option.device,
        n_devices=option.n_devices,
        workload=option.workload,
        scenario=option.scenario,
        scope=scope,
        precision=option.precision,
        batch_size=option.batch_size,
        accuracy=option.accuracy,
        energy_j_per_1000=option.energy_j_per_1000,
        runtime_s_per_1000=done.runtime,
        runtime_from=said,
        source=book.option(option, "energy"),
        rate_per_s=option.rate_per_s,
    )


def parts(
    done: Work, book: Book, entry: Deployment, conditions: Terms, device: Device
) -> tuple[Part, ...]:
    """The four parts of a deployment's energy."""
    energy, source = done.option.energy_j_per_1000, book.option(done.option, "energy")

    def part(
        name: PartName,
        kwh: Quantity,
        basis: PartBasis,
        label: AnyLabel | None,
        method: str,
        *sources: str,
    ) -> Part:
        cost = None if conditions.price is None else kwh * conditions.price
        return Part(
            name=name,
            kwh=kwh,
            kg_co2e=kwh * conditions.grid.kg_per_kwh,
            cost=cost,
            basis=basis,
            label=label,
            method=method,
            sources=tuple(dict.fromkeys(sources)),
        )

    inference = done.joules.inference * (1 / J_PER_KWH)
    method = done.joules.inference_method
    return (
        part("inference", inference, energy.basis, energy.label, method, source),
        part("idle", done.joules.idle * (1 / J_PER_KWH), *_idle_origin(done, book, device)),
        part("training", done.training * (1 / J_PER_KWH), *_training_origin(done, entry)),
        part(
            "pue",
            done.it_kwh * (conditions.pue - 1),
            "stated" if conditions.pue_source == PLAN_SOURCE.id else "assumed",
            None,
            "pue",
            conditions.pue_source,
        ),
    )


Origin = tuple[PartBasis, AnyLabel | None, str, str] | tuple[PartBasis, AnyLabel | None, str]


def _idle_origin(done: Work, book: Book, device: Device) -> Origin:
    """Basis, label, method and sources of the idle part."""
    method, idle = done.joules.idle_method, done.idle
    own = book.option(done.option, "energy")
    if method == "idle-missing":
        return "missing", None, method
    if method == "idle-off":
        return "none-needed", None, method, PLAN_SOURCE.id
    if method == "idle-in-inference":
        return "none-needed", None, method, own
    if idle.basis == "measured":
        return "measured", "measured", method, own
    if idle.basis == "stated":
        return "stated", None, method, PLAN_SOURCE.id
    return idle.basis, None, method, book.device(device)


def _training_origin(done: Work, entry: Deployment) -> Origin:
    """Basis, label, method and sources of the training part."""
    if entry.retrainings == 0 or done.option.family in ZERO_SHOT:
        return "none-needed", None, "training-none", PLAN_SOURCE.id
    if done.once is None:
        return "missing", None, "training-missing"
    return done.once.basis, done.once.label, "training", done.once.source
