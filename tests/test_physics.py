"""Physics of estimates as properties: every candidate with a profile, 40 devices, three scopes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from advisor.estimator.estimator import Columns, Estimator, load
from advisor.estimator.hardware import machines
from advisor.estimator.power import IDLE_FLOOR, LIMIT
from advisor.estimator.setup import Setup, from_candidate, from_measurement
from advisor.estimator.table import Array, Mask, Table
from catalog import snapshot
from catalog.records import SCOPES, Candidate, Device
from catalog.registry.families import CLASSICAL

SNAPSHOT = snapshot.load()
ESTIMATOR: Estimator = load().informed(SNAPSHOT)
KNOWN = sorted({*ESTIMATOR.known.devices} & SNAPSHOT.devices.keys())
OTHERS = sorted(SNAPSHOT.devices.keys() - {*KNOWN})
NAMES = [*KNOWN[:: len(KNOWN) // 12], *OTHERS[:: len(OTHERS) // 29], *ESTIMATOR.home]
DEVICES = [SNAPSHOT.devices[name] for name in dict.fromkeys(NAMES)]
"""Some 40 devices: with measured rows, without any, and the calibrated one."""
CANDIDATES = [
    each
    for _, each in sorted(SNAPSHOT.candidates.items())
    if each.n_parameters is not None or each.family in CLASSICAL
]
TOKENS = (4.0, 16.0, 31.0, 33.0, 64.0, 127.0, 129.0, 256.0, 511.0, 513.0, 1024.0)
EPSILON = 1e-9


def asked(
    candidates: Sequence[Candidate], device: Device, tokens: float, batch: float
) -> list[Setup]:
    """Setups of candidates on a device, each once for all scopes."""
    return [
        from_candidate(each, device, tokens=tokens, n_classes=2, batch_size=batch)
        for each in candidates
    ]


def in_scope(setups: Sequence[Setup], scope: str) -> Columns:
    """Predictions in a scope."""
    return ESTIMATOR.vectorised([msgspec.structs.replace(each, scope=scope) for each in setups])


@pytest.fixture(scope="module")
def everything() -> tuple[list[Setup], dict[str, Columns]]:
    """All candidates on 40 devices, by scope."""
    setups = [s for device in DEVICES for s in asked(CANDIDATES, device, 40.0, 32.0)]
    return setups, {scope: in_scope(setups, scope) for scope in SCOPES}


def specs(setups: Sequence[Setup]) -> Table:
    """Completed data sheets, a row for each setup."""
    table = machines([setup.device for setup in setups])
    places = {name: place for place, name in enumerate(table["device"].tolist())}
    rows = np.array([places[setup.device.name] for setup in setups])
    return {name: values[rows] for name, values in table.items()}


def test_wider_scopes_never_need_less(everything: tuple[list[Setup], dict[str, Columns]]) -> None:
    """Joules and both ends of their intervals: device <= host <= wall."""
    _, found = everything
    for narrow, wide in itertools.pairwise(SCOPES):
        assert (found[narrow].joules <= found[wide].joules + EPSILON).all()


def test_one_runtime_for_every_scope(everything: tuple[list[Setup], dict[str, Columns]]) -> None:
    """Seconds and their interval do not depend on the meter."""
    _, found = everything
    for scope in SCOPES[1:]:
        np.testing.assert_allclose(found["device"].seconds, found[scope].seconds, rtol=0, atol=1e-9)


def test_mean_power_lies_between_idle_and_limit(
    everything: tuple[list[Setup], dict[str, Columns]],
) -> None:
    """The chip draws at least 0.7 x its idle watts (a module's CPU less) and at most its limit."""
    setups, found = everything
    table = specs(setups)
    watts = np.exp(found["device"].joules[:, 0] - found["device"].seconds[:, 0])
    jetson = np.array(["Jetson" in setup.device.name for setup in setups])
    module = jetson & (table["kind"] == "cpu")
    assert (watts <= LIMIT * table["limit_w"] * (1 + EPSILON)).all()
    assert (watts[~module] >= IDLE_FLOOR * table["idle_w"][~module] * (1 - EPSILON)).all()
    for scope in SCOPES[1:]:
        wider = np.exp(found[scope].joules[:, 0] - found[scope].seconds[:, 0])
        assert (wider >= watts * (1 - EPSILON)).all()


def test_no_network_passes_the_peak_rate(
    everything: tuple[list[Setup], dict[str, Columns]],
) -> None:
    """FLOP over seconds, also at the fast end of the interval, is at most the data sheet's rate."""
    setups, found = everything
    table = specs(setups)
    half = np.array([setup.precision != "fp32" for setup in setups])
    peak = np.where(half, table["fp16"], table["fp32"])
    flops = np.array([0.0 if setup.classical else setup.flops or 0.0 for setup in setups])
    assert (flops / np.exp(found["device"].seconds[:, 1]) <= peak * (1 + EPSILON)).all()


def dominated(setups: Sequence[Setup]) -> Mask:
    """Pairs (i, j), served alike, of which j has no less of any kind of work than i."""
    names = ("n_parameters", "n_active_parameters", "flops", "tokens", "n_layers", "width")
    work = np.array([[getattr(s, name) or np.nan for name in names] for s in setups], dtype=float)
    unknown = np.isnan(work)
    work = np.where(unknown, 0.0, work)
    alike = [
        (s.backend, s.precision, s.llm, s.classical, s.pipeline, *u)
        for s, u in zip(setups, unknown.tolist(), strict=True)
    ]
    codes = np.array([{key: i for i, key in enumerate(dict.fromkeys(alike))}[key] for key in alike])
    found = codes[:, None] == codes
    for column in work.T:
        found &= column[:, None] <= column
    return np.asarray(found, dtype=bool)


@pytest.mark.parametrize("batch", [1.0, 32.0])
def test_a_larger_model_never_needs_less(batch: float) -> None:
    """At equal batch, backend and device: no less of any work, then no fewer seconds or joules."""
    pairs: dict[tuple[str | None, ...], Mask] = {}
    for device in DEVICES:
        setups = asked(CANDIDATES, device, 40.0, batch)
        served = tuple(text for setup in setups for text in (setup.backend, setup.precision))
        if served not in pairs:
            pairs[served] = dominated(setups)
        more = pairs[served]
        assert more.sum() > 10_000
        found = in_scope(setups, "host")
        for logs in (found.seconds[:, 0], found.joules[:, 0]):
            less = np.argwhere(more & (logs[:, None] > logs + EPSILON))
            assert not len(less), [
                (device.name, CANDIDATES[i].name, CANDIDATES[j].name, float(logs[i] - logs[j]))
                for i, j in less[:5]
            ]


@pytest.mark.parametrize("batch", [1.0, 32.0])
def test_a_longer_text_never_needs_less(batch: float) -> None:
    """The same for more tokens per text."""
    longest = [each for each in CANDIDATES if (each.max_tokens or 1e9) >= max(TOKENS)]
    for device in DEVICES:
        some = longest[:: max(len(longest) // 50, 1)]
        setups = [s for tokens in TOKENS for s in asked(some, device, tokens, batch)]
        found = in_scope(setups, "host")
        for logs in (found.seconds[:, 0], found.joules[:, 0]):
            assert (np.diff(by_length(logs), axis=0) >= -EPSILON).all()


def by_length(values: Array) -> Array:
    """Values of setups, lengths x candidates."""
    return values.reshape(len(TOKENS), -1)


def test_the_cost_of_a_text_does_not_depend_on_how_many_there_are() -> None:
    """Twice the texts take twice the seconds and joules: all figures are per text."""
    row = next(row for row in SNAPSHOT.measurements if row.runtime_s and row.phase == "inference")
    twice = msgspec.structs.replace(
        row, n_items=2 * row.n_items, runtime_s=2 * (row.runtime_s or 0.0)
    )
    device, candidate = SNAPSHOT.devices[row.device], SNAPSHOT.candidates.get(row.candidate)
    one, two = (from_measurement(each, device, candidate, "host") for each in (row, twice))
    assert ESTIMATOR.estimate(one) == ESTIMATOR.estimate(two)
