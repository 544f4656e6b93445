"""The two regressions, the memory of machines beside them, and what both predict together.

Log joules per text = log nominal power + log seconds + power regression + the machine's own
deviation. Where the runtime is unknown, log seconds = log roofline seconds + time regression + the
machine's own deviation in time. Logarithms are natural throughout.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from advisor.estimator import regression
from advisor.estimator.features import ROOFLINE, Array, Design, Mask, Positions, design
from advisor.estimator.machine_effects import (
    MANY_ROWS,
    POWER,
    TIME,
    Deviation,
    Known,
    Spread,
    by_machine,
    place,
    prior,
    seen_by,
)
from advisor.estimator.regression import Regression
from advisor.estimator.setup import Setup, source_of_team
from catalog.records import SCOPES

Groupings = Sequence[Sequence[str]]
SHRINK = 0.3
"""Rows' worth of doubt about a pair's time; of 0.3, 1, 3 the one that ranks candidates best on the
rows the method was developed on."""


class Fits(msgspec.Struct, frozen=True):
    """Power over nominal power, and time over roofline time.

    Attributes:
        pairs: By pair of candidate and workload: log time beside the time regression on the
            devices it ran on, once what is typical of each unit is taken away.
    """

    power: Regression
    time: Regression
    pairs: Mapping[str, float]


def designs(raw: Array) -> tuple[Design, Design]:
    """Features with the measured runtimes, and with the roofline time in their place."""
    return design(raw), design(raw, np.log(raw[ROOFLINE]))


def fit(
    known: Design,
    unknown: Design,
    log_joules: Array,
    groupings: Groupings,
    pairs: Sequence[str | None],
) -> Fits:
    """Fits both regressions and what is left of each pair's time.

    Args:
        known: Features with the measured runtimes.
        unknown: The same with the roofline time in their place.
        log_joules: Log of measured joules per text.
        groupings: Unit, device and source of each row.
        pairs: Candidate and workload of each row, where they are known.
    """
    power = log_joules - known.log_runtime_s - known.log_nominal_w
    time = known.log_runtime_s - unknown.log_roofline_s
    fitted = regression.fit_time(unknown.X, time, groupings)
    return Fits(
        regression.fit_power(known.X, power, groupings),
        fitted,
        _by_pair(time - fitted.predict(unknown.X), groupings[0], pairs),
    )


def _by_pair(
    residual: Array, units: Sequence[str], pairs: Sequence[str | None]
) -> dict[str, float]:
    """Shrunken mean of each pair's residuals, those of a unit taken from their median."""
    _, codes = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    typical = np.array([np.median(residual[codes == code]) for code in range(codes.max() + 1)])
    found: defaultdict[str, list[float]] = defaultdict(list)
    for pair, value in zip(pairs, residual - typical[codes], strict=True):
        if pair is not None:
            found[pair].append(float(value))
    return {name: sum(own) / (len(own) + SHRINK) for name, own in sorted(found.items())}


class Memory(msgspec.Struct, frozen=True):
    """Rows known of each machine.

    Attributes:
        power: By ``device|scope``: residuals of the power regression.
        time: By device: residuals of the time regression.
    """

    power: Mapping[str, Known] = {}
    time: Mapping[str, Known] = {}

    def joined(self, other: Memory) -> Memory:
        """Both memories in one."""

        def both(one: Mapping[str, Known], two: Mapping[str, Known]) -> dict[str, Known]:
            shared = {name: one[name].joined(two[name]) for name in one.keys() & two.keys()}
            return {**one, **two, **shared}

        return Memory(both(self.power, other.power), both(self.time, other.time))


def machine(setup: Setup) -> str:
    """A device in one scope."""
    return f"{setup.device.name}|{setup.scope}"


class Asked(msgspec.Struct, frozen=True):
    """Setups with everything that the machines' own rows do not change.

    Attributes:
        raw: Their raw numbers.
        known: Features with their runtimes (of the roofline where they have none).
        unknown: Features with the roofline time.
        trees: The power regression's trees; `linear` is added for the runtime in use.
        log_seconds: Log seconds per text without the machine's deviation; NaN where not asked.
        machines: Device in one scope; `devices` without the scope.
        sources: Who measures.
    """

    raw: Array
    known: Design
    unknown: Design
    trees: Array
    log_seconds: Array
    machines: list[str]
    devices: list[str]
    sources: list[str]

    def take(self, chosen: Positions) -> Asked:
        """Some of the setups, by position."""
        lists = (self.machines, self.devices, self.sources)
        return Asked(
            self.raw[:, chosen],
            self.known.take(chosen),
            self.unknown.take(chosen),
            self.trees[chosen],
            self.log_seconds[chosen],
            *([values[i] for i in chosen] for values in lists),
        )


def asked(fits: Fits, setups: Sequence[Setup], raw: Array, given: Mask | None = None) -> Asked:
    """Evaluates what is static about setups.

    Args:
        fits: Both regressions.
        setups: What is asked about.
        raw: Their numbers.
        given: Where the runtime will be taken as it is, so that none is predicted (NaN).
    """
    known, unknown = designs(raw)
    timeless = np.arange(len(setups)) if given is None else np.flatnonzero(~given)
    log_seconds = np.full(len(setups), np.nan)
    log_seconds[timeless] = (
        fits.time.predict(unknown.X[timeless])
        + np.array([fits.pairs.get(setups[int(i)].pair or "", 0.0) for i in timeless])
        + unknown.log_roofline_s[timeless]
    )
    return Asked(
        raw,
        known,
        unknown,
        fits.power.trees.predict(known.X),
        log_seconds,
        [machine(setup) for setup in setups],
        [setup.device.name for setup in setups],
        [setup.source or "" for setup in setups],
    )


def remembered(fits: Fits, rows: Asked, log_joules: Array) -> Memory:
    """What measured rows tell about their machines; rows without joules (NaN) tell the time."""
    power = log_joules - _log_joules(fits, rows, rows.known)
    has_energy = np.flatnonzero(np.isfinite(power))
    part = rows.take(has_energy)
    return Memory(
        by_machine(part.machines, part.sources, place(part.known), power[has_energy]),
        by_machine(
            rows.devices,
            rows.sources,
            place(rows.unknown),
            rows.known.log_runtime_s - rows.log_seconds,
        ),
    )


class Predicted(msgspec.Struct, frozen=True):
    """Predictions of n setups in natural logs.

    Attributes:
        log_joules: Joules per text; `spread` its standard deviation as the process sees it.
        log_seconds: Seconds per text; `time_spread` likewise, 0 where it was given.
    """

    log_joules: Array
    spread: Array
    log_seconds: Array
    time_spread: Array


def _log_joules(fits: Fits, rows: Asked, features: Design) -> Array:
    """Log joules per text without the machines' deviations."""
    power = fits.power.linear(features.X) + rows.trees
    return np.asarray(power + features.log_runtime_s + features.log_nominal_w)


def nearest(memory: Mapping[str, Known], name: str) -> str | None:
    """The machine in its scope, else in the nearest scope that was measured.

    What a machine draws beside its data sheet shows in every scope; taking it from one that was
    measured keeps the wall above the host and the host above the device. It makes the estimate
    better, but hardly surer: its spread stays that of an unknown machine.
    """
    device, _, scope = name.rpartition("|")
    own = SCOPES.index(scope)
    near = sorted(SCOPES, key=lambda other: abs(SCOPES.index(other) - own))
    return next((found for s in near if (found := f"{device}|{s}") in memory), None)


class Deviations:
    """The memory's processes, each made when first asked for; safe to share between threads."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._made: dict[tuple[str, str, str], Deviation] = {}
        self._seen: dict[tuple[str, str], dict[str, Known]] = {}

    def elsewhere(self, name: str, team: str) -> dict[str, Known]:
        """What the same source took on other machines in its scope, or on other devices."""
        source, (_, bar, scope) = source_of_team(team), name.rpartition("|")
        if not source:
            return {}
        scope = scope if bar else ""
        if (scope, source) not in self._seen:
            memory = self.memory.power if bar else self.memory.time
            machines = [other for other in memory if not bar or other.endswith(f"|{scope}")]
            self._seen[scope, source] = seen_by(source, memory, machines)
        return {other: rows for other, rows in self._seen[scope, source].items() if other != name}

    def known(self, name: str, team: str) -> tuple[int, bool]:
        """How many rows of a team a machine has; whether its source has some elsewhere."""
        memory = self.memory.power if "|" in name else self.memory.time
        own = memory.get(name)
        return 0 if own is None else own.count(team), bool(self.elsewhere(name, team))

    def _process(self, name: str, team: str, near: str, spread: Spread) -> Deviation | None:
        """The process of a machine for a team's rows; none where no row tells about them.

        `near` is the machine whose own rows count: the same, or in another scope.
        """
        own = (self.memory.power if spread is POWER else self.memory.time).get(near)
        known = own is not None and own.count(team) >= MANY_ROWS
        key = name, near, "" if known else source_of_team(team)
        if key not in self._made:
            rows = {} if own is None else {near: own}
            rows |= {} if known else self.elsewhere(name, team)
            if not rows:
                return None
            self._made[key] = Deviation(near, rows, spread)
        return self._made[key]

    def power(self, machines: Sequence[str], teams: Sequence[str], places: Array) -> Array:
        """Mean and standard deviation (2 x n) of each setup's log power deviation."""
        found = np.zeros((2, len(teams)))
        found[1] = POWER.total
        for (name, team), rows in _grouped(machines, teams):
            near = nearest(self.memory.power, name) or name
            process = self._process(name, team, near, POWER)
            if process is not None:
                found[:, rows] = process.at(team, places[rows])
                if near != name:
                    alone = self._process(name, team, name, POWER)
                    found[1, rows] = alone.at(team, places[rows])[1] if alone else POWER.total
        return found

    def time(self, devices: Sequence[str], teams: Sequence[str], places: Array) -> Array:
        """Mean and standard deviation (2 x n) of each setup's log time deviation."""
        found = np.zeros((2, len(teams)))
        found[1] = TIME.total
        for (name, team), rows in _grouped(devices, teams):
            if process := self._process(name, team, name, TIME):
                found[:, rows] = process.at(team, places[rows])
        return found

    def covariance(self, rows: Asked, given: Array) -> tuple[Array, Array]:
        """Covariances (n x n) of log time and log power of setups on one machine.

        Where the runtime is not `given` a setup lies where its roofline time puts it.
        """
        timeless = place(rows.unknown)
        places = np.where(np.asarray(given, dtype=bool)[:, None], place(rows.known), timeless)
        name, device, team = rows.machines[0], rows.devices[0], rows.sources[0]
        near = nearest(self.memory.power, name) or name
        found = []
        for process, spread, where in (
            (self._process(device, team, device, TIME), TIME, timeless),
            (self._process(name, team, near, POWER), POWER, places),
        ):
            found.append(process.covariance(team, where) if process else prior(where, spread))
        return found[0], found[1]


def covariance(rows: Asked, deviations: Deviations, given: Array) -> Array:
    """Covariance (n x n) of log joules of setups on one machine, repeats' noise left out."""
    time, power = deviations.covariance(rows, given)
    unknown = 1.0 - given
    return np.asarray(power + time * np.outer(unknown, unknown))


def _grouped(one: Sequence[str], two: Sequence[str]) -> list[tuple[tuple[str, str], list[int]]]:
    """Positions by pairs of names."""
    found: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(zip(one, two, strict=True)):
        found.setdefault(pair, []).append(i)
    return list(found.items())


def predict(fits: Fits, rows: Asked, deviations: Deviations, given: Array) -> Predicted:
    """Predicts setups; where `given` holds with their runtime, else with a predicted one."""
    time, time_spread = np.zeros((2, len(given)))
    if len(timeless := np.flatnonzero(np.logical_not(given))):
        devices, sources = ([names[i] for i in timeless] for names in (rows.devices, rows.sources))
        places = place(rows.unknown)[timeless]
        time[timeless], time_spread[timeless] = deviations.time(devices, sources, places)
    log_seconds = np.where(given, rows.known.log_runtime_s, rows.log_seconds + time)
    features = design(rows.raw, log_seconds)
    own, spread = deviations.power(rows.machines, rows.sources, place(features))
    return Predicted(
        _log_joules(fits, rows, features) + own,
        np.hypot(spread, time_spread),
        log_seconds,
        time_spread,
    )
