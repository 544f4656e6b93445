"""Setups of a plan in the catalog: what runs, its idle watts, its training and what else could run.

Every distinct question is asked once, however many deployments share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import msgspec

from advisor.energy_arithmetic import J_PER_KWH
from advisor.estimator.idle_power import RESIDENT, SPREAD
from advisor.recommend import request_rate
from advisor.recommend.advisor import Advisor
from advisor.recommend.entries import Entry, Key
from advisor.recommend.option import energy_from
from advisor.recommend.pricing import of_row
from advisor.recommend.query import BadQuestionError, Query
from advisor.recommend.records import Option, Recommendation
from advisor.report.records import Known, Source
from advisor.report.schema import Deployment
from advisor.report.terms import SOURCES
from advisor.report.wording import Words
from catalog.errors import UnknownNameError
from catalog.quantity import Quantity
from catalog.records import Candidate, Device, Measurement, Scope, Training, Workload
from catalog.registry.families import CLASSICAL, FAMILIES, ZERO_SHOT

UNABLE = ("does-not-fit",)
"""Reasons why a setup cannot run on a machine."""
PASSES = {"fine-tuned": (1.5, 3.0, 6.0), "head": (1.0, 1.15, 1.7), "counts": (0.7, 3.0, 19.0)}
"""Joules of training on one text over those of classifying one: low, value, high.

Fine-tuned: a pass forward and a backward one of twice its work (METHOD 5), a declared factor 2 to
either side. The others are times of the bundled reference run: a head on a frozen encoder on 4 data
sets (its ends rounded outwards), counts and word vectors on 40 (5, 50 and 95 % of them)."""
Answer = TypeVar("Answer")


class Found(msgspec.Struct, frozen=True):
    """The setup that answers: its price, what it was priced for, and how it is shown."""

    entry: Entry
    key: Key
    option: Option

    @property
    def row(self) -> Measurement | None:
        """The measurement behind it, if it was taken on this machine."""
        return self.entry.row if self.entry.there else None

    @property
    def n_devices(self) -> int:
        """Devices of one machine that work."""
        return self.option.n_devices or self.option.n_devices_at_least or 1

    @property
    def j_per_text(self) -> Quantity:
        """Gross joules per text."""
        found = self.option.energy_j_per_1000
        high = None if found.high is None or math.isinf(found.high) else found.high / 1000
        value = None if found.value is None else found.value / 1000
        return Quantity((found.low or 0.0) / 1000, value, high)

    @property
    def bounded(self) -> Quantity:
        """Gross joules per text, a published upper bound counted at the bound."""
        found = self.j_per_text
        return found if found.value is not None else Quantity(found.low, found.high, found.high)


class Desk:
    """Answers a report's questions from a catalog, remembers the answers and keeps the sources."""

    def __init__(self, advisor: Advisor, words: Words) -> None:
        self.advisor, self.snapshot, self.words = advisor, advisor.snapshot, words
        self.sources = {source.id: source for source in SOURCES}
        self._kept: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """What was made for a key, an error included."""
        if key not in self._kept:
            try:
                self._kept[key] = make()
            except (BadQuestionError, UnknownNameError) as error:
                self._kept[key] = error
        found: Answer = self._kept[key]
        if isinstance(found, BadQuestionError | UnknownNameError):
            raise found
        return found

    def recommend(self, query: Query) -> Recommendation:
        """The advisor's answer; raises what `Advisor.recommend` does."""
        return self.once(query, lambda: self.advisor.recommend(query))

    def _found(self, entry: Entry, key: Key) -> Found:
        """A price as a setup."""
        return Found(entry, key, self.advisor.option(entry, key))

    def picked(self, query: Query) -> Found | None:
        """The advisor's choice; raises what `Advisor.recommend` does."""

        def make() -> Found | None:
            asked = self.advisor.asked(query)
            if not asked.qualified:
                return None
            return self._found(asked.qualified[0], asked.judged.prices.key)

        return self.once(("picked", query), make)

    def find(self, query: Query, entry: Deployment) -> Found:
        """The setup of least energy that fits what a deployment names.

        Raises:
            UnknownNameError: A name is not in the catalog.
            BadQuestionError: The catalog has nothing that fits; names the field.
        """
        wanted = (entry.candidate or "", entry.precision, entry.batch_size)
        return self.once((query, wanted), lambda: self._search(query, *wanted))

    def _search(
        self, query: Query, candidate: str, precision: str | None, batch: float | None
    ) -> Found:
        """See `find`."""
        if candidate not in self.snapshot.candidates:
            raise UnknownNameError("candidate", candidate, self.snapshot.candidates)
        entries, key = self.advisor.setups(query, candidate)
        able = [each for each in entries if each.misfit is None or each.misfit[0] not in UNABLE]
        if entries and not able:
            misfit = entries[0].misfit
            raise BadQuestionError("device", key.machine.device.name, misfit[1] if misfit else "")
        fitting = [
            each
            for each in able
            if precision in (None, served_in(each)) and batch in (None, each.batch_size)
        ]
        if not fitting:
            raise self._nothing(query.workload, candidate, precision, batch, able)
        return self._found(min(fitting, key=lambda each: each.rank), key)

    def _nothing(
        self,
        workload: str | None,
        candidate: str,
        precision: str | None,
        batch: float | None,
        entries: Sequence[Entry],
    ) -> BadQuestionError:
        """Why nothing fits, with what there is."""
        if entries:
            there = {
                served_in(each) + (f" at batch size {each.batch_size:g}" if each.batch_size else "")
                for each in entries
            }
            said = f"known: {', '.join(sorted(there))}"
            if precision is not None:
                return BadQuestionError("precision", precision, said)
            return BadQuestionError("batch_size", batch, said)
        own = [row for row in self.snapshot.current if row.candidate == candidate]
        places = ", ".join(sorted({row.workload for row in own if row.phase == "inference"}))
        known = f"on {places}" if places else "nowhere yet; calibrate a machine"
        return BadQuestionError("workload", workload, f"{candidate} is measured {known}")

    def idle(self, found: Found, scope: Scope) -> Known:
        """Watts of one idle machine with the model loaded: read, else by class.

        They have a label only where they were read in this very run and scope.
        """
        return self.once(("idle", id(found), scope), lambda: self._idle(found, scope))

    def _idle(self, found: Found, scope: Scope) -> Known:
        """See `idle`."""
        option, row, device = found.option, found.row, found.entry.device
        watts, whole = (None, False) if row is None else request_rate.reading(row, device, scope)
        if watts is not None and whole:
            return Known(
                amount=Quantity.exact(watts),
                basis="measured",
                label="measured",
                sources=(self.source(option, "energy"),),
            )
        key = msgspec.structs.replace(found.key, scope=scope)
        waiting = self.once(
            ("waiting", key.machine, scope),
            lambda: request_rate.Waiting(key, self.snapshot, self.advisor.estimator),
        )
        known = waiting.of(device, found.n_devices)
        return Known(
            amount=known.watts,
            basis="measured" if known.read else "data-sheet" if device.idle_w else "assumed",
            sources=(self.device_source(device), self.idle_source()),
            warnings=known.codes,
        )

    def trained(self, found: Found, scope: Scope) -> Known | None:
        """Joules of one training on the machine: recorded, else estimated; ``None`` if unknown."""
        option = found.option
        rows = [
            row
            for row in self.snapshot.by_workload.get(option.workload, ())
            if (row.phase, row.candidate, row.device) == ("train", option.candidate, option.device)
        ]
        key = ("trained", option.candidate, option.device, option.workload, scope)
        if rows:
            newest = max(rows, key=lambda row: row.measured_at or "")
            recorded = self.once(key, lambda: self._recorded(newest, scope))
            if recorded is not None:
                return recorded
        texts = _texts_trained(found.entry.candidate, self.snapshot.workloads[option.workload])
        if texts is None:
            return None
        passes, number = texts
        return Known(
            amount=found.bounded * Quantity(*PASSES[passes]) * number,
            basis="estimated",
            label="estimated",
            method=f"training-{passes}",
            sources=(self.source(option, "energy"),),
            warnings=("training-estimated",),
        )

    def _recorded(self, row: Measurement, scope: Scope) -> Known | None:
        """Joules of a recorded training."""
        priced = of_row(row, scope, self.snapshot, self.advisor.estimator)
        if priced is None:
            return None
        made = self._found(*priced)
        basis = made.option.energy_j_per_1000.basis
        return Known(
            amount=made.bounded * row.n_items,
            basis=basis,
            label=made.option.energy_j_per_1000.label,
            method="training",
            sources=(self.source(made.option, "training"),),
            warnings=() if basis == "measured" else ("training-estimated",),
        )

    def zero_shot(self, query: Query) -> Found | None:
        """The zero-shot setup of least energy where a setup runs, at its rate if any."""

        def make() -> Found | None:
            asked = self.advisor.asked(query)
            able = (
                entry
                for entry in asked.entries
                if entry.energy.value is not None
                and (entry.misfit is None or entry.misfit[0] not in UNABLE)
                and entry.candidate.family in ZERO_SHOT
            )
            entry = next(able, None)
            return None if entry is None else self._found(entry, asked.judged.prices.key)

        return self.once(("zero-shot", query), make)

    def source(self, option: Option, what: str) -> str:
        """The id of an option's measurement, or of the estimate made from it."""
        origin, version = option.provenance, self.advisor.estimator.version
        key = (
            what,
            origin.run_id,
            *(option.candidate, option.device, option.workload, option.scenario, option.backend),
            *(option.precision, option.batch_size, option.variant, option.n_devices),
        )
        name = self.once(key, lambda: f"m{sum(each[0] == 'm' for each in self.sources) + 1}")
        if name not in self.sources:
            self.sources[name] = Source(
                id=name,
                what=f"{self.words(f'source.{what}')}: {option.candidate}, {option.device}, "
                f"{option.workload}",
                **(msgspec.structs.asdict(origin) | {"source": energy_from(option, version)}),
            )
        return name

    def device_source(self, device: Device) -> str:
        """The id of a device's row in the device table."""
        name = f"device:{device.name}"
        self.sources[name] = Source(
            id=name,
            what=self.words("source.device", device=device.name),
            source=device.source or "device table, source not stated",
            notes=device.status,
        )
        return name

    def idle_source(self) -> str:
        """The id of the declared idle watts of classes."""
        bare, loaded, most = RESIDENT
        self.sources["idle"] = Source(
            id="idle",
            what=self.words("source.idle"),
            source="Joulewise: the median read on such a machine, else idle watts of its chips by "
            f"data sheet or class, of a card x {loaded:g} ({bare:g} to {most:g}) with a model "
            "loaded, and around them what the power model charges for the lightest work, "
            f"factor {SPREAD:g} to either side; docs/method.md",
        )
        return "idle"


def _texts_trained(candidate: Candidate, workload: Workload) -> tuple[str, float] | None:
    """How a candidate is trained (a key of `PASSES`), and on how many texts, epochs counted."""
    if not FAMILIES[candidate.family].trains:
        return None
    number = workload.n_train
    if candidate.samples_per_label is not None and workload.n_classes is not None:
        number = candidate.samples_per_label * workload.n_classes
    if number is None:
        return None
    if candidate.family in CLASSICAL:
        return "counts", number
    if candidate.family == "frozen-encoder":
        return "head", number
    given = candidate.training or Training()
    return "fine-tuned", max(number * given.epochs, given.least_steps * given.batch_size)


def served_in(entry: Entry) -> str:
    """The numeric format of a priced setup, as its source names it."""
    row = entry.row
    named = row.precision if row is not None and entry.measured else None
    return named or entry.choice.precision


def stated_training(kwh: float) -> Known:
    """One training as the plan states it."""
    amount = Quantity.exact(kwh * J_PER_KWH)
    return Known(amount=amount, basis="stated", method="training", sources=("plan",))
