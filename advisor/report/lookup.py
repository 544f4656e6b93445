"""What the catalog says about a planned deployment: its setup, idle watts, training, rivals.

Every distinct question is asked once, however many deployments share it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from advisor.recommend.advisor import Advisor
from advisor.recommend.group import Asked, Pool, in_words, rate_of
from advisor.recommend.options import measured_or_estimated
from advisor.recommend.pareto import option as shown
from advisor.recommend.pareto import ran_there, rank
from advisor.recommend.query import AskedScenario, Query
from advisor.recommend.records import Option, Recommendation, WarningCode
from advisor.report.records import PartBasis
from catalog.energy import energy
from catalog.errors import UnknownNameError
from catalog.quantity import Quantity
from catalog.records import Device, Label, Measurement, Scope
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
    label: Label | None
    option: Option


class Desk:
    """Answers a report's questions from a snapshot and remembers the answers."""

    def __init__(self, advisor: Advisor) -> None:
        self.advisor = advisor
        self._found: dict[Wanted, Found | NoSetupError] = {}
        self._advice: dict[Query, Recommendation] = {}
        self._rivals: dict[tuple[object, ...], Option | None] = {}
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
        options = self._offers(wanted)
        fitting = [
            option
            for option in options
            if wanted.precision in (None, option.precision)
            and wanted.batch_size in (None, option.batch_size)
        ]
        if not fitting:
            raise self._nothing(wanted, options)
        best = min(fitting, key=rank)
        return Found(best, self.row(best), self.device(wanted.device), len(fitting))

    def _offers(self, wanted: Wanted) -> list[Option]:
        """Every option of a candidate on a device."""
        workload, device = self.snapshot.workload(wanted.workload), self.device(wanted.device)
        rate, stated = self._rate(wanted), wanted.rate is not None
        pool = self._pool(workload.name, wanted.scenario, wanted.scope, device, rate, stated)
        own = [
            place
            for place, offer in enumerate(pool.offers)
            if offer.row.candidate == wanted.candidate
        ]
        fitting = [pool.option(place) for place in own if place not in pool.unfit]
        if own and not fitting:
            raise NoSetupError("device", device.name, pool.unfit[own[0]].detail)
        return fitting

    def _rate(self, wanted: Wanted) -> float | None:
        """The request rate a plan means: its own, else the commonest of the candidate there.

        Else the commonest on the workload, as where the advisor is asked without a rate.
        """
        rows = self.snapshot.by_workload.get(wanted.workload, ())
        name = self.device(wanted.device).name
        own = [row for row in rows if (row.candidate, row.device) == (wanted.candidate, name)]
        own = [row for row in own if row.scenario == "server"] or list(rows)
        return rate_of(own, wanted.scenario, wanted.rate)

    def _pool(
        self,
        workload: str,
        scenario: AskedScenario,
        scope: Scope,
        device: Device,
        rate: float | None,
        worked_out: bool,
    ) -> Pool:
        """Every offer on a device; `worked_out` adds what nobody measured at the rate."""
        return self.advisor.pool(
            Asked(
                workload=workload,
                scenario=scenario,
                scope=scope,
                basis="any",
                batch_size=None,
                device=device,
                rate_per_s=rate,
                worked_out=worked_out,
                published=True,
            )
        )

    def _nothing(self, wanted: Wanted, options: Sequence[Option]) -> NoSetupError:
        """Why nothing fits, with what there is."""
        if options:
            field = "precision" if wanted.precision is not None else "batch_size"
            there = {
                f"{option.precision or 'precision not stated'}"
                + (f" at batch size {option.batch_size:g}" if option.batch_size else "")
                for option in options
            }
            return NoSetupError(field, getattr(wanted, field), f"known: {', '.join(sorted(there))}")
        own = [row for row in self.snapshot.current if row.candidate == wanted.candidate]
        here = {
            in_words(row.scenario, row.rate_per_s) for row in own if row.workload == wanted.workload
        }
        if here:
            ways = ", ".join(sorted(here))
            said = f"{wanted.candidate} is measured on {wanted.workload} as {ways} only"
            if wanted.rate is not None:
                return NoSetupError("rate", wanted.rate, said)
            if wanted.scenario == "server":
                said += "; state a rate to have it worked out"
            return NoSetupError("scenario", wanted.scenario, said)
        there = {row.workload for row in own if row.phase == "inference"}
        known = f"on {', '.join(sorted(there))}" if there else "nowhere yet; calibrate a machine"
        return NoSetupError("workload", wanted.workload, f"{wanted.candidate} is measured {known}")

    def row(self, option: Option) -> Measurement | None:
        """The row an option was measured in; ``None`` for a setup brought from elsewhere."""
        if not ran_there(option):
            return None
        named = (option.candidate, option.device, option.precision, option.variant)
        for row in self.snapshot.by_workload.get(option.workload, ()):
            if (
                (row.candidate, row.device, row.precision, row.repeat_group) == named
                and row.phase == "inference"
                and row.run_id == option.provenance.run_id
                and row.batch_size == option.batch_size
                and row.n_devices == option.n_devices
                and (row.scenario, row.rate_per_s) == (option.scenario, option.rate_per_s)
            ):
                return row
        return None

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
        estimator = self.advisor.estimator
        found = measured_or_estimated([row], self.snapshot, estimator, scope)
        if not found:
            return None
        per_1000, share = found[0].energy, row.n_items / 1000
        high = None if per_1000.high is None else per_1000.high * share
        value = high if per_1000.value is None else per_1000.value * share
        amount = Quantity((per_1000.low or 0.0) * share, value, high)
        made = shown(found[0], self.snapshot, estimator.version)
        return Trained(amount, per_1000.basis, per_1000.label, made)

    def zero_shot(
        self,
        workload: str,
        scenario: AskedScenario,
        scope: Scope,
        device: Device,
        rate: float | None,
    ) -> Option | None:
        """The zero-shot option of least energy on a device and workload, at a rate if any."""
        key = (workload, scenario, scope, device, rate)
        if key not in self._rivals:
            pool = self._pool(workload, scenario, scope, device, rate, rate is not None)
            fitting = (
                place
                for place, offer in enumerate(pool.offers)
                if offer.energy.value is not None and pool.family(place) in ZERO_SHOT
            )
            place = next(fitting, None)
            self._rivals[key] = None if place is None else pool.option(place)
        return self._rivals[key]


LOWER: WarningCode = "idle-lower-bound"


def amount_of(low: float | None, value: float | None, high: float | None) -> Quantity:
    """Bounds of the catalog per 1,000 texts as an amount per text."""
    return Quantity(
        (low or 0.0) / 1000,
        None if value is None else value / 1000,
        None if high is None or math.isinf(high) else high / 1000,
    )
