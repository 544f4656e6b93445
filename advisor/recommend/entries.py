"""Priced setups: what prices depend on, and one candidate with one serving choice and its price.

A measured row becomes an entry as it is; its joules are never altered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.estimator import Estimator, Prediction
from advisor.estimator.setup import Setup, batch_of
from advisor.recommend.machine import Machine
from advisor.recommend.query import AskedScenario
from advisor.recommend.records import EnergyPer1000, Reason, RuntimePer1000, WarningCode
from advisor.recommend.serving import BATCH, Choice, Stated
from catalog.energy import Energy, energy
from catalog.evidence import Evidence, Labels, Metric
from catalog.intervals import Array
from catalog.quantity import Quantity
from catalog.records import Candidate, Device, Measurement, Scope
from catalog.snapshot import Snapshot

Z90 = 1.645
"""Half of a 90 % interval in standard deviations."""
NOISE = 0.05
"""Natural log by which a figure of unstated spread may be off: where repeats that differ by more
are called unstable."""
_STUDENT = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833)
"""95 % points of Student's t for 1 to 9 degrees of freedom."""
COUNTS_AS: dict[AskedScenario, tuple[str, ...]] = {
    "offline": ("offline", "unstated"),
    "server": ("server",),
    "single": ("single",),
}
"""Scenarios of rows that answer a question about a scenario."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What prices depend on; see `advisor.recommend.query.Query`.

    Attributes:
        rate_per_s: Of scenario ``server``.
        measured_accuracy: Whether results of the calibration suite alone count.
        estimated_accuracy: Whether accuracies that follow from others count too.
        stated: Runtime that whoever asks has measured.
        candidate: The only one that is priced; ``None`` for all.
    """

    workload: str
    machine: Machine
    scenario: AskedScenario = "offline"
    scope: Scope = "host"
    rate_per_s: float | None = None
    backend: str | None = None
    precision: str | None = None
    batch_size: float | None = None
    basis: Literal["any", "measured"] = "any"
    labels: Labels = "full"
    metric: Metric = "accuracy"
    measured_accuracy: bool = False
    estimated_accuracy: bool = False
    stated: Stated | None = None
    candidate: str | None = None

    @property
    def batch(self) -> float:
        """Texts per call."""
        return 1.0 if self.scenario == "single" else self.batch_size or BATCH

    def holds(self, row: Measurement) -> bool:
        """Whether a row's scenario, rate and batch are those asked for."""
        if row.scenario not in COUNTS_AS[self.scenario] or row.rate_per_s != self.rate_per_s:
            return False
        return self.scenario == "server" or batch_of(row) in (None, self.batch)


class Served(NamedTuple):
    """A machine that works when texts have arrived and waits else; see `request_rate`.

    Attributes:
        work: The entry whose joules and seconds it works at.
        seconds: Busy seconds per text.
        watts: While it waits, model loaded, in the scope of the energy.
        read: Whether those watts were read in the run.
    """

    work: Entry
    rate_per_s: float
    seconds: Quantity
    watts: Quantity
    read: bool

    @property
    def busy(self) -> float:
        """Busy seconds per second; above 1 the machine cannot keep up."""
        return self.rate_per_s * (self.seconds.value or 0.0)

    @property
    def working_w(self) -> float:
        """Mean watts at work."""
        return self.work.joules / (1000 * (self.seconds.value or math.inf))

    def joules(self, idle_w: float, times: float = 1.0) -> float:
        """Joules of 1,000 texts and the waiting between them; no work draws less than waiting.

        Args:
            idle_w: Watts while it waits.
            times: What the joules of the work beyond waiting are multiplied with.
        """
        seconds = 1000 * (self.seconds.value or 0.0)
        own = max(self.work.joules - idle_w * seconds, 0.0)
        return idle_w * max(1000 / self.rate_per_s, seconds) + own * times

    @property
    def doubt(self) -> float:
        """Standard deviation of the natural log of the idle watts."""
        value, high = self.watts.value or 0.0, self.watts.high or 0.0
        return math.log(high / value) / Z90 if 0 < value <= high else 0.0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate with one serving choice and its price.

    Attributes:
        device: What runs it.
        batch_size: Texts per call; of a measured row as its source states it.
        row: The measurement it rests on, on this machine or another; ``None`` without one.
        there: Whether `row` was measured on this machine.
        setup: What the estimator was asked; ``None`` where the energy was measured so.
        converted: From what the energy was converted, in words; empty where it was not.
        misfit: Why it can never be chosen: a reason and a sentence.
        codes: Doubts that come with how it was priced.
    """

    candidate: Candidate
    device: Device
    choice: Choice
    batch_size: float | None
    n_devices: int | None
    energy: EnergyPer1000
    runtime: RuntimePer1000 | None
    evidence: Evidence | None
    row: Measurement | None = None
    there: bool = False
    setup: Setup | None = None
    prediction: Prediction | None = None
    converted: str = ""
    misfit: tuple[Reason, str] | None = None
    served: Served | None = None
    codes: tuple[WarningCode, ...] = ()

    @property
    def joules(self) -> float:
        """What it ranks by: joules per 1,000 texts, a published bound at its high end."""
        found = self.energy.value if self.energy.value is not None else self.energy.high
        return math.inf if found is None else found

    @property
    def work(self) -> Entry:
        """The entry whose joules it works at; itself where it does not wait for requests."""
        return self if self.served is None else self.served.work

    @property
    def worked(self) -> float:
        """Share of its joules that its work takes, 0 to 1; the rest is idle power at a rate."""
        if self.served is None or not self.joules:
            return 1.0
        return min(self.work.joules / self.joules, 1.0)

    @property
    def measured(self) -> bool:
        """Whether the energy was measured as it is asked for."""
        return self.energy.basis == "measured"

    @property
    def rank(self) -> tuple[float, float, str]:
        """Order of preference: least energy, then most accurate, then by name."""
        value = self.evidence.value if self.evidence else 0.0
        return self.joules, -value, self.candidate.name


class Absent(NamedTuple):
    """A candidate that has no price, and why."""

    candidate: str
    device: str | None
    reason: Reason
    detail: str


class Prices:
    """All entries of a key, least energy first, and who has none.

    Attributes:
        entries: Least energy first.
        absent: Candidates without a price.
    """

    def __init__(self, key: Key, entries: Iterable[Entry], absent: Sequence[Absent]) -> None:
        self.key, self.absent = key, absent
        self.entries = sorted(entries, key=lambda entry: entry.rank)
        self._places = {id(entry): place for place, entry in enumerate(self.entries)}
        self._covariance: dict[str, tuple[dict[int, int], NDArray[np.float32]]] = {}

    def variances_of_ratios(
        self, first: Entry, others: Sequence[Entry], estimator: Estimator
    ) -> Array:
        """Variance of the log ratio of estimates to the first one's, what they share left out.

        Infinite where the two are not estimates for one chip. At a request rate that of their work.
        The covariance of all estimates of a chip is kept once it was needed.
        """
        found = np.full(len(others), np.inf)
        if first.setup is None:
            return found
        chip = first.device.name
        if chip not in self._covariance:
            alike = [
                (place, entry.setup)
                for place, entry in enumerate(self.entries)
                if entry.setup is not None and entry.device.name == chip
            ]
            self._covariance[chip] = (
                {place: row for row, (place, _) in enumerate(alike)},
                estimator.covariance([setup for _, setup in alike]).astype(np.float32),
            )
        rows, matrix = self._covariance[chip]
        own = rows[self._places[id(first)]]
        for at, other in enumerate(others):
            if (row := rows.get(self._places[id(other)])) is not None:
                found[at] = max(matrix[own, own] + matrix[row, row] - 2 * matrix[own, row], 0.0)
        return found


def ranked(row: Measurement, snapshot: Snapshot, scope: Scope) -> Energy | None:
    """Joules of a row in a scope that may rank: not a model's."""
    joules = energy(row, snapshot.devices[row.device].kind, scope)
    return None if joules is None or joules.label == "modelled" else joules


def of_a_repeat(n: int | None) -> float:
    """How many standard deviations, known from n repeats, hold 90 % of further ones."""
    if n is None or n < 2:
        return Z90
    student = _STUDENT[n - 2] if n - 2 < len(_STUDENT) else Z90
    return student * math.sqrt(1 + 1 / n)


def measured_energy(row: Measurement, joules: Energy, scope: Scope) -> EnergyPer1000:
    """A measured energy per 1,000 texts: 90 % of repeats lie in its interval, where stated.

    A published bound keeps its missing value and reaches from 0 to the bound.
    """
    per_1000 = 1000 / row.n_items
    value, low, high = joules.value_j, joules.low_j or 0.0, joules.high_j
    if value is not None and row.cv is not None:
        half = of_a_repeat(row.repeats) * row.cv
        low, high = value * math.exp(-half), value * math.exp(half)
    return EnergyPer1000(
        value=None if value is None else value * per_1000,
        low=low * per_1000,
        high=None if high is None else high * per_1000,
        basis="measured",
        scope=scope,
        label=joules.label,
    )


def read_runtime(row: Measurement) -> RuntimePer1000 | None:
    """The measured seconds per 1,000 texts of a row."""
    if row.runtime_s is None:
        return None
    seconds, half = 1000 * row.runtime_s / row.n_items, Z90 * (row.cv or 0.0)
    low, high = seconds * math.exp(-half), seconds * math.exp(half)
    return RuntimePer1000(value=seconds, low=low, high=high, basis="measured")
