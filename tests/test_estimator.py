"""Tests of `advisor.estimator.estimator`: physics as properties of the bundled estimator."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.estimator.estimator import Estimator, load
from advisor.estimator.setup import Setup
from catalog import reference_data as bundled
from catalog import snapshot
from catalog.records import Device, Estimate, Measurement
from catalog.snapshot import Snapshot

ESTIMATOR: Estimator = load()
DEVICES = sorted(bundled.devices().values(), key=lambda device: device.name)
SOURCES = [None, "calibration", *ESTIMATOR.artefact.sources]

setups = st.builds(
    Setup,
    device=st.sampled_from(DEVICES),
    n_parameters=st.none() | st.floats(1e3, 1e12),
    runtime_s=st.none() | st.floats(1e-7, 1e3),
    batch_size=st.none() | st.integers(1, 4096).map(float),
    tokens=st.none() | st.floats(1, 1e4),
    precision=st.sampled_from([None, "fp32", "bf16", "int8", "int4"]),
    scope=st.sampled_from(["device", "host", "wall"]),
    n_devices=st.sampled_from([1.0, 2.0, 8.0]),
    llm=st.booleans(),
    startup=st.booleans(),
    source=st.sampled_from(SOURCES),
)


def changed(setup: Setup, **fields: Any) -> Setup:
    """The setup with some fields exchanged."""
    return msgspec.structs.replace(setup, **fields)


def spread(estimate: Estimate) -> float:
    """High end over low end."""
    assert estimate.high is not None
    assert estimate.low is not None
    return estimate.high / estimate.low


@given(setup=setups)
def test_an_estimate_is_positive_and_inside_its_interval(setup: Setup) -> None:
    """Energy and time are above zero, the value between its ends, the interval never a point."""
    (found,) = ESTIMATOR.predict([setup])
    for estimate in (found.energy_j, found.runtime_s):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 < estimate.low <= estimate.value <= estimate.high
    assert spread(found.energy_j) > 1.5


@given(setup=setups, seconds=st.floats(1e-6, 100), factor=st.floats(1.001, 100))
def test_energy_rises_with_time(setup: Setup, seconds: float, factor: float) -> None:
    """Everything else equal, a longer run never costs less."""
    short, long = (
        ESTIMATOR.estimate(changed(setup, runtime_s=s)).value for s in (seconds, seconds * factor)
    )
    assert short is not None
    assert long is not None
    assert long > short


@given(setup=setups, others=st.lists(setups, max_size=4))
def test_an_estimate_does_not_depend_on_its_neighbours(setup: Setup, others: list[Setup]) -> None:
    """Asking for many setups at once gives what asking for each would."""
    alone = ESTIMATOR.predict([setup])[0]
    together = ESTIMATOR.predict([*others, setup])[-1]
    assert together.energy_j.value == pytest.approx(alone.energy_j.value, rel=1e-9)
    assert together.energy_j.basis == alone.energy_j.basis


@given(setup=setups)
def test_an_unknown_runtime_widens_the_interval(setup: Setup) -> None:
    """Guessing the time as well is never more certain, and the basis says so."""
    guessed = ESTIMATOR.predict([changed(setup, runtime_s=None)])[0]
    time = guessed.runtime_s.value
    known = ESTIMATOR.predict([changed(setup, runtime_s=time)])[0]
    assert known.runtime_s.basis == "measured"
    if guessed.energy_j.basis != "extrapolated" and known.energy_j.basis != "extrapolated":
        assert guessed.energy_j.basis == "estimated-runtime"
        assert known.energy_j.basis == "estimated"
        assert spread(guessed.energy_j) > spread(known.energy_j)


@pytest.mark.parametrize("kind", ["cpu", "gpu", "npu", "soc"])
def test_an_unknown_power_widens_the_interval(kind: Any) -> None:
    """A device of which only the kind is known gets a stand-in, a wider interval and a flag."""
    bare = Device(name="mine", kind=kind, cores=16)
    setup = Setup(device=bare, n_parameters=1e8, runtime_s=0.01, source="ml-energy-leaderboard")
    (guess,) = ESTIMATOR.predict([setup])
    stated = changed(setup, device=msgspec.structs.replace(bare, tdp_w=100.0))
    (known,) = ESTIMATOR.predict([stated])
    assert guess.assumed_power
    assert not known.assumed_power
    assert guess.energy_j.basis == "extrapolated"
    assert spread(guess.energy_j) > spread(known.energy_j) or known.outside


def test_outside_the_data_an_estimate_is_extrapolated() -> None:
    """A model a thousand times larger than any measured one is told to lie outside."""
    (device,) = [d for d in DEVICES if d.name == "NVIDIA A100-SXM4-80GB"]
    setup = Setup(device=device, n_parameters=1e9, runtime_s=0.01, source="ml-energy-leaderboard")
    inside = ESTIMATOR.predict([setup])[0]
    far = ESTIMATOR.predict([changed(setup, n_parameters=1e16)])[0]
    assert inside.energy_j.basis == "estimated"
    assert inside.outside == ()
    assert far.energy_j.basis == "extrapolated"
    assert "log_parameters" in far.outside


def below(found: Estimate) -> float:
    """The value over the low end, which no limit of watts cuts."""
    return (found.value or 0) / (found.low or 1)


def test_a_device_of_the_data_is_surer_than_a_new_one() -> None:
    """The source's own rows of a device narrow the interval most.

    Its rows of other devices narrow it too, and so do another source's rows of the device.
    """
    known, new = (bundled.devices()[name] for name in ("NVIDIA H100-SXM5-80GB", "NVIDIA A30"))
    setup = Setup(
        device=known,
        n_parameters=8e9,
        runtime_s=0.2,
        batch_size=64,
        tokens=300,
        scope="device",
        llm=True,
    )
    own = ESTIMATOR.predict([changed(setup, source="ml-energy-leaderboard")])[0]
    other = ESTIMATOR.predict([changed(setup, source="ml-energy-leaderboard", device=new)])[0]
    foreign = ESTIMATOR.predict([setup])[0]
    nobody = ESTIMATOR.predict([changed(setup, device=new)])[0]
    for some in (foreign, other):
        assert below(own.energy_j) < below(some.energy_j)
        assert below(some.energy_j) <= below(nobody.energy_j) * (1 + 1e-9)
    assert own.known_device
    assert not other.known_device


def measured(joules: float | None, seconds: float, number: int) -> Measurement:
    """A row of a run nobody trained on, 1,000 texts on an A30."""
    own = {"gpu_j": joules, "gpu_label": "measured"} if joules else {}
    return Measurement(
        run_id=f"new-{number}",
        source="calibration",
        workload="w",
        candidate=f"c{number}",
        device="NVIDIA A30",
        scenario="offline",
        n_items=1000.0,
        batch_size=32.0,
        runtime_s=seconds,
        n_parameters=6.6e7 * (number + 1),
        **own,
    )


def catalog(*rows: Measurement) -> Snapshot:
    """A catalog of these rows alone."""
    devices = {"NVIDIA A30": bundled.devices()["NVIDIA A30"]}
    return Snapshot(measurements=rows, devices=devices, workloads={}, candidates={}, digest="d")


def test_new_rows_correct_the_estimates_of_their_machine() -> None:
    """Further runs pull estimates there, narrow them, and move no other machine."""
    setup = Setup(
        device=bundled.devices()["NVIDIA A30"],
        n_parameters=1e8,
        runtime_s=0.02,
        batch_size=32.0,
        scope="device",
    )
    before = ESTIMATOR.estimate(setup)
    assert before.value is not None
    truth = 0.6 * before.value / 0.02
    rows = [measured(truth * seconds, seconds, i) for i, seconds in enumerate((10, 20, 40))]
    informed = ESTIMATOR.informed(catalog(*rows))
    after = informed.estimate(setup)
    assert after.value == pytest.approx(0.6 * before.value, rel=0.25)
    assert abs(after.value - truth * 0.02) < abs(before.value - truth * 0.02)
    assert spread(after) < spread(before)
    elsewhere = changed(setup, device=bundled.devices()["NVIDIA L4"])
    assert informed.estimate(elsewhere) == ESTIMATOR.estimate(elsewhere)
    assert informed.version == ESTIMATOR.version


def test_runtimes_alone_correct_the_estimated_time() -> None:
    """On a machine without counters, measured runtimes correct the times of what never ran."""
    setup = Setup(
        device=bundled.devices()["NVIDIA A30"],
        n_parameters=1e8,
        batch_size=32.0,
    )
    before = ESTIMATOR.predict([setup])[0].runtime_s
    assert before.value is not None
    rows = [measured(None, 5000 * before.value, number) for number in range(3)]
    after = ESTIMATOR.informed(catalog(*rows)).predict([setup])[0].runtime_s
    assert after.value is not None
    assert 2 < after.value / before.value < 8
    assert spread(after) < spread(before)


def test_what_was_trained_on_informs_nothing_twice() -> None:
    """Rows of the training data leave the estimator as it is."""
    known = snapshot.load()
    setup = Setup(device=bundled.devices()["NVIDIA B200"], n_parameters=1e9, runtime_s=0.1)
    assert ESTIMATOR.informed(known).estimate(setup) == ESTIMATOR.estimate(setup)


def test_no_setups_give_no_predictions() -> None:
    """An empty question has an empty answer."""
    assert ESTIMATOR.predict([]) == []


def test_rows_of_another_host_correct_less() -> None:
    """Our own rows on another host of the same chip are another source's."""
    setup = Setup(device=bundled.devices()["NVIDIA A30"], n_parameters=1e8, batch_size=32.0)
    before = ESTIMATOR.predict([setup])[0].runtime_s.value
    assert before is not None
    rows = [measured(None, 5000 * before, number) for number in range(3)]
    informed = ESTIMATOR.informed(catalog(*rows))
    home = informed.predict([setup])[0].runtime_s
    foreign = msgspec.structs.replace(setup, source="calibration|elsewhere")
    away = informed.predict([foreign])[0].runtime_s
    assert home.value is not None
    assert away.value is not None
    assert before < away.value < home.value
    assert spread(home) < spread(away)


def test_conversion_between_scopes_is_no_surer_than_measurement() -> None:
    """A machine measured in one scope is estimated in another with a wider interval."""
    for name in ("NVIDIA H100-SXM5-94GB", "NVIDIA B200"):
        setup = Setup(device=bundled.devices()[name], n_parameters=8e9, runtime_s=0.2, batch_size=1)
        widths = {}
        for scope in ("device", "host", "wall"):
            asked = msgspec.structs.replace(setup, scope=scope)
            (found,) = ESTIMATOR.predict([asked])
            widths[found.known_device, scope] = below(found.energy_j)
        known = [width for (seen, _), width in widths.items() if seen]
        converted = [width for (seen, _), width in widths.items() if not seen]
        assert known
        assert converted
        assert min(converted) >= max(known) * (1 - 1e-9)
