"""Tests of `idle_power`: watts of a machine that waits, recomputed from its data sheet."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from looped import failures

from advisor.estimator.estimator import load
from advisor.estimator.idle_power import LIGHT, RESIDENT, SPREAD, STATED
from advisor.estimator.power import SERVER_HOST_W
from advisor.estimator.setup import Setup
from catalog import reference_data
from catalog.records import SCOPES, Device

ESTIMATOR = load()
CARD = Device(name="Card", kind="gpu", tdp_w=300.0, memory_gb=80.0, idle_w=30.0)
CPU = Device(name="Some Xeon", kind="cpu", tdp_w=200.0, cores=40)
ENDS = (1 / SPREAD, 1.0, SPREAD)


def ends(setup: Setup) -> tuple[float, ...]:
    """Low, value and high of idle watts."""
    found = ESTIMATOR.machine_watts(setup).idle
    return found.least, found.value or 0.0, found.high or 0.0


def light(setup: Setup) -> float:
    """Watts of the lightest work on a machine."""
    (found,) = ESTIMATOR.predict([msgspec.structs.replace(setup, **LIGHT)])
    return (found.energy_j.value or 0.0) / (found.runtime_s.value or 1.0)


def test_a_card_with_a_model_on_it_draws_more_than_bare() -> None:
    """Its idle watts count twice, from once to four times; beside it stands the model's host."""
    chips = [30 * factor for factor in RESIDENT]
    assert ends(Setup(device=CARD, scope="device")) == pytest.approx(chips)
    around = light(Setup(device=CARD, scope="host")) - light(Setup(device=CARD, scope="device"))
    assert 5 < around < SERVER_HOST_W / 4
    wanted = [chip + around * end for chip, end in zip(chips, ENDS, strict=True)]
    assert ends(Setup(device=CARD, scope="host")) == pytest.approx(wanted)


def test_a_cpu_waits_at_a_tenth_of_its_tdp_and_a_share_at_its_part() -> None:
    """What is loaded on it changes little; memory and board come with the wider scopes."""
    own = [20 * end for end in ENDS]
    assert ends(Setup(device=CPU, scope="device")) == pytest.approx(own)
    for scope in SCOPES:
        whole = ends(Setup(device=CPU, scope=scope))
        part = ends(Setup(device=CPU, scope=scope, share=1 / 8))
        assert part == pytest.approx([watts / 8 for watts in whole], rel=0.2)
        assert part[1] < whole[1]
        assert whole[1] <= light(Setup(device=CPU, scope=scope))


def test_a_machine_with_another_host_waits_at_its_watts() -> None:
    """A host of 8 W around a card instead of a quarter of a server."""
    small = ends(Setup(device=CARD, scope="host", host_w=8.0))
    assert 60 < small[1] < 68
    assert small[1] < ends(Setup(device=CARD, scope="host"))[1]


def test_stated_idle_watts_of_a_cpu_are_not_doubled() -> None:
    """A board with 2.7 W idle waits at 2.7 W."""
    board = Device(name="Raspberry Pi 5", kind="cpu", tdp_w=12.0, idle_w=2.7)
    assert ends(Setup(device=board, scope="device")) == pytest.approx([2.7 * f for f in STATED])


def test_no_device_waits_above_its_limit_and_wider_scopes_need_more() -> None:
    """Every twelfth bundled device, 1 and 2 of them: low < value <= high <= limit."""
    some = dict(list(reference_data.devices().items())[::12])
    assert failures(check_device, some) == {}


def check_device(device: Device) -> None:
    """One device."""
    for n_devices in (1.0, 2.0):
        found = [
            ESTIMATOR.machine_watts(Setup(device=device, scope=scope, n_devices=n_devices))
            for scope in SCOPES
        ]
        for each in found:
            low, value, high = each.idle.least, each.idle.value or 0.0, each.idle.high or 0.0
            assert 0 < low < value <= high <= each.limit
        for narrow, wide in itertools.pairwise(found):
            assert (narrow.idle.value or 0.0) <= (wide.idle.value or 0.0) * (1 + 1e-9)
            assert narrow.limit <= wide.limit
