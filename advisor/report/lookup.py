"""What the catalog says about a planned deployment: its setup, idle watts, training, rivals.

Every distinct question is asked once, however many deployments share it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from advisor.recommend.advisor import Advisor
from advisor.recommend.entries import Entry, Key
from advisor.recommend.pricing import of_row
from advisor.recommend.query import ANY_BACKEND, AskedScenario, Query
from advisor.recommend.records import AnyLabel, Option, Recommendation, WarningCode
from advisor.report.records import PartBasis
from catalog.energy import energy
from catalog.errors import UnknownNameError
from catalog.quantity import Quantity
from catalog.records import Device, Measurement, Scope
from catalog.registry.families import ZERO_SHOT
from catalog.snapshot import Snapshot


class Wanted(NamedTuple):
    """A candidate on a device as a plan names it; `rate` in texts per second at one machine."""

    candidate: str
    device: str | Device
    workload: str
    scenario: AskedScenario
    scope: Scope
    precision: str | None
    batch_size: float | None
    rate: float | None = None


class NoSetupError(LookupError):
    """The catalog has nothing to compute a deployment from; names the field and what there is."""

    def __init__(self, field: str, came: object, allowed: str) -> None:
        self.field, self.came, self.allowed = field, came, allowed
        super().__init__(f"{field}: {came!r}; {allowed}")


class Found(msgspec.Struct, frozen=True):
    """The setup that answers, the row it was measured in (if it ran there) and how many fitted."""

    option: Option
    row: Measurement | None
    device: Device
    fitting: int


class Idle(msgspec.Struct, frozen=True):
    """Watts of one idle machine, where they are from, and what is doubtful about them.

    `in_run` are the watts read in the run itself, with the model loaded and in the asked scope.
    """

    watts: Quantity | None
    basis: PartBasis
    source: str
    code: WarningCode | None = None
    in_run: float | None = None


class Trained(msgspec.Struct, frozen=True):
    """Joules of one training as the catalog has them."""

    joules: Quantity
    basis: PartBasis
    label: AnyLabel | None
    option: Option


class Desk:
    """Answers a report's questions from a snapshot and remembers the answers."""

    def __init__(self, advisor: Advisor) -> None:
        self.advisor = advisor
        self._found: dict[Wanted, Found | NoSetupError] = {}
        self._advice: dict[Query, Recommendation] = {}
        self._rivals: dict[Query, Option | None] = {}
        self._trained: dict[tuple[str, str, str, Scope], Trained | None] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The catalog that answers."""
        return self.advisor.snapshot

    def recommend(self, query: Query) -> Recommendation:
        """The advisor's answer.

        Raises:
            UnknownNameError: A name is not in the catalog.
            BadQuestionError: A value is out of its range.
        """
        if query not in self._advice:
            self._advice[query] = self.advisor.recommend(query)
        return self._advice[query]

    def device(self, asked: str | Device) -> Device:
        """The device a plan means.

        Raises:
            UnknownNameError: It is not in the catalog.
        """
        return self.snapshot.device(asked) if isinstance(asked, str) else asked

    def find(self, wanted: Wanted) -> Found:
        """The setup of least energy that fits what a plan names.

        Raises:
            UnknownNameError: A name is not in the catalog.
            NoSetupError: The catalog has nothing that fits.
        """
        known = self._found.get(wanted)
        if known is None:
            try:
                known = self._search(wanted)
            except NoSetupError as error:
                known = error
            self._found[wanted] = known
        if isinstance(known, NoSetupError):
            raise known
        return known

    def _search(self, wanted: Wanted) -> Found:
        """See `find`."""
        if wanted.candidate not in self.snapshot.candidates:
            raise UnknownNameError("candidate", wanted.candidate, self.snapshot.candidates)
        entries, key = self._entries(wanted)
        fitting = [
            entry
            for entry in entries
            if wanted.precision in (None, served_in(entry))
            and wanted.batch_size in (None, entry.batch_size)
        ]
        if not fitting:
            raise self._nothing(wanted, entries)
        best = min(fitting, key=lambda entry: entry.rank)
        return self._of(best, key, len(fitting))

    def _of(self, entry: Entry, key: Key, fitting: int = 1) -> Found:
        """A priced setup as the report's."""
        row = entry.row if entry.there else None
        return Found(self.advisor.option(entry, key), row, entry.device, fitting)

    def _entries(self, wanted: Wanted) -> tuple[list[Entry], Key]:
        """Every price of a candidate on a machine.

        Raises:
            NoSetupError: It cannot run there.
        """
        workload = self.snapshot.workload(wanted.workload)
        query = Query(
            task=workload.task,
            min_acc=0.0,
            device=wanted.device,
            workload=workload.name,
            scenario=wanted.scenario,
            scope=wanted.scope,
            batch_size=wanted.batch_size if wanted.scenario != "single" else None,
            rate=wanted.rate,
            backend=ANY_BACKEND if wanted.precision is not None else None,
        )
        entries, key = self.advisor.setups(query, wanted.candidate)
        able = [each for each in entries if each.misfit is None or each.misfit[0] not in UNABLE]
        if entries and not able:
            misfit = entries[0].misfit
            raise NoSetupError("device", key.machine.device.name, misfit[1] if misfit else "")
        return able, key

    def _nothing(self, wanted: Wanted, entries: Sequence[Entry]) -> NoSetupError:
        """Why nothing fits, with what there is."""
        if entries:
            field = "precision" if wanted.precision is not None else "batch_size"
            there = {
                served_in(each) + (f" at batch size {each.batch_size:g}" if each.batch_size else "")
                for each in entries
            }
            return NoSetupError(field, getattr(wanted, field), f"known: {', '.join(sorted(there))}")
        own = [row for row in self.snapshot.current if row.candidate == wanted.candidate]
        there = {row.workload for row in own if row.phase == "inference"}
        known = f"on {', '.join(sorted(there))}" if there else "nowhere yet; calibrate a machine"
        return NoSetupError("workload", wanted.workload, f"{wanted.candidate} is measured {known}")

    def picked(self, query: Query) -> tuple[Found | None, Recommendation]:
        """The advisor's choice as a setup, and its answer."""
        answer, asked = self.recommend(query), self.advisor.asked(query)
        if answer.chosen is None:
            return None, answer
        return self._of(asked.qualified[0], asked.judged.prices.key), answer

    def idle(self, found: Found, scope: Scope) -> Idle:
        """Watts of one idle machine, the best that is known.

        With the model loaded, from the run itself; before it was loaded; the card's own from the
        device table (with a model on it, it is 2 to 4 times that); else missing.
        """
        row, device = found.row, found.device
        if row is not None and row.idle_resident_w:
            watts, source = row.idle_resident_w, "catalog"
            joules = energy(row, device.kind, scope)
            if joules is not None and joules.label == "measured":
                return Idle(Quantity(watts, watts, watts), "measured", source, None, watts)
            return Idle(Quantity(watts, watts, None), "measured", source, "idle-lower-bound")
        if row is not None and row.idle_w:
            return Idle(Quantity(row.idle_w, row.idle_w, None), "measured", "catalog", LOWER)
        if device.idle_w:
            watts = device.idle_w * (found.option.n_devices or found.option.n_devices_at_least or 1)
            return Idle(Quantity(watts, watts, None), "data-sheet", "device", LOWER)
        return Idle(None, "missing", "", "idle-missing")

    def trained(self, option: Option, scope: Scope) -> Trained | None:
        """Joules of one training of a candidate on its device; ``None`` where none is recorded."""
        key = (option.candidate, option.device, option.workload, scope)
        if key not in self._trained:
            self._trained[key] = self._training(option, scope)
        return self._trained[key]

    def _training(self, option: Option, scope: Scope) -> Trained | None:
        """See `trained`."""
        rows = [
            row
            for row in self.snapshot.by_workload.get(option.workload, ())
            if row.phase == "train"
            and (row.candidate, row.device) == (option.candidate, option.device)
        ]
        if not rows:
            return None
        row = max(rows, key=lambda row: row.measured_at or "")
        found = of_row(row, scope, self.snapshot, self.advisor.estimator)
        if found is None:
            return None
        entry, key = found
        per_1000, share = entry.energy, row.n_items / 1000
        high = None if per_1000.high is None else per_1000.high * share
        value = high if per_1000.value is None else per_1000.value * share
        amount = Quantity((per_1000.low or 0.0) * share, value, high)
        made = self.advisor.option(entry, key)
        return Trained(amount, per_1000.basis, per_1000.label, made)

    def zero_shot(
        self, option: Option, device: Device, scenario: AskedScenario, scope: Scope
    ) -> Option | None:
        """The zero-shot option of least energy where a setup runs, at its rate if any."""
        query = Query(
            task=self.snapshot.workloads[option.workload].task,
            min_acc=0.0,
            device=device,
            workload=option.workload,
            scenario=scenario,
            scope=scope,
            rate=option.rate_per_s,
        )
        if query not in self._rivals:
            asked = self.advisor.asked(query)
            fitting = (
                entry
                for entry in asked.entries
                if entry.energy.value is not None
                and (entry.misfit is None or entry.misfit[0] not in UNABLE)
                and entry.candidate.family in ZERO_SHOT
            )
            entry = next(fitting, None)
            self._rivals[query] = (
                None if entry is None else self.advisor.option(entry, asked.judged.prices.key)
            )
        return self._rivals[query]


UNABLE = ("does-not-fit",)
"""Reasons why a setup cannot run on a machine."""
LOWER: WarningCode = "idle-lower-bound"


def served_in(entry: Entry) -> str:
    """The numeric format of a priced setup, as its source names it."""
    row = entry.row
    named = row.precision if row is not None and entry.measured else None
    return named or entry.choice.precision


def amount_of(low: float | None, value: float | None, high: float | None) -> Quantity:
    """Bounds of the catalog per 1,000 texts as an amount per text."""
    return Quantity(
        (low or 0.0) / 1000,
        None if value is None else value / 1000,
        None if high is None or math.isinf(high) else high / 1000,
    )
