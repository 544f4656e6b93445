"""Learning from the catalog: training rows, the two fits, grouped validation, the scorecard.

Only energies with a measured part train (``measured`` and ``mixed``); all-modelled ones would
teach the estimator its own assumptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from advisor import ridge
from advisor.artefact import Artefact, save
from advisor.features import (
    FEATURES,
    ROOFLINE,
    SCOPE_COLUMNS,
    Array,
    Design,
    Imputation,
    design,
    imputation,
    numbers,
)
from advisor.setups import Setup, from_measurement
from advisor.validation import (
    BASELINES,
    errors,
    folds,
    grouped_quantile,
    held_out_half_widths,
    many_folds,
)
from catalog.energy import energy
from catalog.records import SCOPES
from catalog.snapshot import Snapshot

MIN_ROWS, MIN_DEVICES = 30, 3
POWER_PENALTY, TIME_PENALTY = 30.0, 100.0
"""Ridge penalties, chosen from 1, 3, 10, 30, 100, 300 by the error on held-out devices and held-out
sources of the bundled figures; so those two rows of the error table are not free of selection."""


Groupings = list[list[str]]


class TooFewRowsError(ValueError):
    """The catalog holds too few measured energies to learn from."""


class Rows(msgspec.Struct, frozen=True):
    """n training rows.

    Attributes:
        log_joules: Natural log of measured joules per text.
        models: Candidate of each row; `devices`, `sources` and `units` likewise.
    """

    setups: list[Setup]
    log_joules: Array
    models: list[str]
    devices: list[str]
    sources: list[str]
    units: list[str]

    def take(self, mask: Array) -> Rows:
        """The rows where `mask` holds."""
        chosen = np.flatnonzero(mask)
        lists = (self.models, self.devices, self.sources, self.units)
        return Rows(
            [self.setups[i] for i in chosen],
            self.log_joules[chosen],
            *([values[i] for i in chosen] for values in lists),
        )

    def groupings(self, mask: Array | None = None) -> Groupings:
        """Unit, device and source of the rows where `mask` holds (all without one)."""
        wanted = np.ones(len(self.models), dtype=bool) if mask is None else mask
        return [
            np.asarray(values, dtype=str)[wanted].tolist()
            for values in (self.units, self.devices, self.sources)
        ]


def training_rows(snapshot: Snapshot) -> Rows:
    """Every current inference row with a runtime and a measured energy, once per scope.

    Rows at a stated request rate are left out.

    Raises:
        TooFewRowsError: Under `MIN_ROWS` rows or `MIN_DEVICES` devices.
    """
    found = []
    for row in snapshot.current:
        device = snapshot.devices[row.device]
        if row.phase != "inference" or row.runtime_s is None or row.rate_per_s is not None:
            continue  # at a rate the runtime holds idle time: its power is not that of work
        for scope in SCOPES:
            joules = energy(row, device.kind, scope)
            if joules is None or joules.value_j is None or joules.label == "modelled":
                continue
            setup = from_measurement(row, device, snapshot.candidates.get(row.candidate), scope)
            found.append((setup, np.log(joules.value_j / row.n_items), row))
    if len(found) < MIN_ROWS or len({row.device for _, _, row in found}) < MIN_DEVICES:
        raise TooFewRowsError(
            f"{len(found)} rows with a measured energy and a runtime; at least {MIN_ROWS} rows on "
            f"{MIN_DEVICES} devices are needed"
        )
    return Rows(
        [setup for setup, _, _ in found],
        np.array([value for _, value, _ in found]),
        [row.candidate for _, _, row in found],
        [row.device for _, _, row in found],
        [row.source for _, _, row in found],
        [f"{row.source}|{row.device}|{setup.scope}" for setup, _, row in found],
    )


class Fits(msgspec.Struct, frozen=True):
    """The two fits: power over nominal power, and time over roofline time."""

    power: ridge.Ridge
    time: ridge.Ridge


def fit(known: Design, unknown: Design, log_joules: Array, groupings: Groupings) -> Fits:
    """Fits both targets with random intercepts for unit, device and source.

    Args:
        known: Features with the measured runtimes.
        unknown: The same with the roofline time in their place.
        log_joules: Natural log of measured joules per text.
        groupings: Unit, device and source of each row.
    """
    power = log_joules - known.log_runtime_s - known.log_nominal_w
    time = known.log_runtime_s - unknown.log_roofline_s
    return Fits(
        ridge.fit(known.X, power, groupings, POWER_PENALTY, rising=SCOPE_COLUMNS),
        ridge.fit(unknown.X, time, groupings, TIME_PENALTY, unused=SCOPE_COLUMNS),
    )


def predict(
    fits: Fits, raw: Array, known: Design, unknown: Design, groupings: Groupings
) -> tuple[Array, Array]:
    """Log joules per text, with the measured runtime and as if it were unknown."""
    power_offset = ridge.offsets(fits.power, groupings)
    with_runtime = fits.power.predict(known.X) + known.log_runtime_s + known.log_nominal_w
    log_time = fits.time.predict(unknown.X) + unknown.log_roofline_s
    log_time = log_time + ridge.offsets(fits.time, groupings)
    guessed = design(raw, log_time)
    without = fits.power.predict(guessed.X) + log_time + guessed.log_nominal_w
    return with_runtime + power_offset, without + power_offset


Splitter = Callable[[Sequence[str]], Any]


def designs(raw: Array) -> tuple[Design, Design]:
    """Features with the measured runtimes, and with the roofline time in their place."""
    return design(raw), design(raw, np.log(raw[ROOFLINE]))


def cross_validate(
    rows: Rows, stand_in: Imputation, groups: Sequence[str], split: Splitter = folds
) -> dict[str, Array]:
    """Held-out predictions (log joules) of ours and of every baseline."""
    names = ("known_runtime", "unknown_runtime", *BASELINES)
    found = {name: np.empty(len(groups)) for name in names}
    raw = numbers(rows.setups, stand_in)
    known, unknown = designs(raw)
    t, w, e = known.log_runtime_s, known.log_nominal_w, rows.log_joules
    p = known.X[:, FEATURES.index("log_parameters")]
    for _, training, test in split(groups):
        inside, outside = rows.groupings(training), rows.groupings(test)
        fits = fit(known.take(training), unknown.take(training), e[training], inside)
        own = predict(fits, raw[:, test], known.take(test), unknown.take(test), outside)
        found["known_runtime"][test], found["unknown_runtime"][test] = own
        for name, baseline in BASELINES.items():
            method = baseline(t[training], p[training], w[training], e[training])
            found[name][test] = method(t[test], p[test], w[test])
    return found


def _card(rows: Rows, predicted: dict[str, Array], groups: Sequence[str]) -> dict[str, Any]:
    """Error figures of one split: ours with intervals, the baselines beside it."""

    def ours(name: str) -> Any:
        residual = np.abs(predicted[name] - rows.log_joules)
        widths = held_out_half_widths(residual, groups)
        return msgspec.to_builtins(errors(predicted[name], rows.log_joules, rows.devices, widths))

    return {
        "n_rows": len(rows.models),
        "n_groups": len(set(groups)),
        "known_runtime": {
            "estimator": ours("known_runtime"),
            "baselines": {
                name: msgspec.to_builtins(errors(predicted[name], rows.log_joules, rows.devices))
                for name in BASELINES
            },
        },
        "unknown_runtime": {"estimator": ours("unknown_runtime")},
    }


def learn(snapshot: Snapshot) -> tuple[Artefact, dict[str, Any]]:
    """Fits the estimator and validates it on held-out devices, sources and models.

    Returns:
        The artefact and its scorecard.

    Raises:
        TooFewRowsError: Too little to learn from.
    """
    rows = training_rows(snapshot)
    stand_in = imputation(list(snapshot.devices.values()))
    splits = {
        "device": (rows.devices, folds),
        "source": (rows.sources, folds),
        "model": (rows.models, many_folds),
    }
    half_widths: dict[str, dict[str, float]] = {}
    scorecard: dict[str, Any] = {}
    for name, (groups, split) in splits.items():
        predicted = cross_validate(rows, stand_in, groups, split)
        interval_groups = rows.sources if name == "source" else rows.devices
        scorecard[name] = _card(rows, predicted, interval_groups)
        half_widths[name] = {
            kind: grouped_quantile(np.abs(predicted[kind] - rows.log_joules), rows.devices)
            for kind in ("known_runtime", "unknown_runtime")
        }
    known, unknown = designs(numbers(rows.setups, stand_in))
    fits = fit(known, unknown, rows.log_joules, rows.groupings())
    artefact = Artefact(
        catalog_digest=snapshot.digest,
        features=list(FEATURES),
        stand_in=stand_in,
        power=fits.power,
        time=fits.time,
        half_widths=half_widths,
        n_rows=len(rows.models),
        n_devices=len(set(rows.devices)),
        sources=sorted(set(rows.sources)),
    )
    return artefact, {
        "n_rows": artefact.n_rows,
        "n_devices": artefact.n_devices,
        "devices": sorted(set(rows.devices)),
        "sources": artefact.sources,
        "splits": scorecard,
    }


def train(snapshot: Snapshot, out: Path) -> dict[str, Any]:
    """Fits, validates and writes the artefact and its scorecard to the folder `out`.

    Raises:
        TooFewRowsError: Too little to learn from.
    """
    with threadpool_limits(1):  # one thread: same sums in the same order, and faster at this size
        return save(out, *learn(snapshot))
