"""AMD SMI on a scripted stand-in: units, wrap-around, partitions, dies, numbering, refusals."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_amdsmi import Card, Library

from calibration.hardware import machine as hardware
from calibration.hardware.amd_visibility import amd_gpus, hip_order_ambiguous, load_amdsmi
from calibration.meters.amd import AmdMeter, counted_j, reading_from_raw
from calibration.meters.meter import CounterError, Reading


def meter(*cards: Card, environment: dict[str, str] | None = None, **more: Any) -> AmdMeter:
    """A meter on cards, whose counters move from now on; its thread sleeps through the test."""
    given = {"every_s": 3600.0, "in_use": lambda: False, "synchronise": lambda: None, **more}
    made = AmdMeter(Library(*cards), environment=environment or {}, **given)
    for card in cards:
        card.armed = True
    return made


def ticking(step: float) -> Callable[[], float]:
    """A clock that moves by `step` at every look."""
    return (n * step for n in itertools.count()).__next__


def window(made: AmdMeter) -> Reading:
    """One window."""
    made.start()
    return made.stop()


def test_ticks_times_resolution_are_microjoules() -> None:
    """20 million ticks of 15.3 microjoules are 306 J; state and limit are remembered."""
    made = meter(Card([5_000_000_000, 5_020_000_000]))
    reading = window(made)
    assert reading.components == {"gpu": (pytest.approx(20e6 * 15.3e-6), "measured")}
    assert (made.name, reading.flags) == ("amdsmi", ())
    assert reading.context == {
        "gpu_temperature_c": 54,
        "gpu_clock_mhz": 2100,
        "gpu_power_limit_w": 750.0,
    }


def test_the_field_of_older_releases_is_read() -> None:
    """Before ROCm 6.2 the accumulator was called power."""
    card = Card([1000, 101_000], resolution_uj=1000.0)
    card.field = "power"
    assert window(meter(card)).components["gpu"][0] == pytest.approx(100.0)


def test_a_counter_of_32_bits_wraps() -> None:
    """From just below 2**32 to a little above 0 is a small step forwards."""
    reading = window(meter(Card([2**32 - 1_000_000, 1_000_000])))
    assert reading.components["gpu"][0] == pytest.approx(2e6 * 15.3e-6)


@pytest.mark.parametrize(
    ("ticks", "why"),
    [
        ([4_750_896_266, 4_736_943_791], "went backwards"),  # seen on an MI300A
        ([3_000_000_000, 1_000_000_000], "reset or jumped"),
        ([1000, 4_000_000_000], "reset or jumped"),
        ([1000, 1000], "did not move"),
        ([1000, None], "both ends"),
        ([1000, 0], "both ends"),
        ([1000, 2**64 - 1], "both ends"),
    ],
)
def test_a_bad_counter_makes_the_window_invalid(ticks: list[int | None], why: str) -> None:
    """Reset, stuck, missing or without a value: absent, never 0, negative or replaced."""
    reading = window(meter(Card(ticks)))
    assert reading.components == {}
    assert why in reading.absent["gpu"]


@pytest.mark.parametrize("ticks", [None, 0, 2**64 - 1])
def test_without_a_counter_socket_power_is_integrated(ticks: int | None) -> None:
    """Not supported, 0 and all bits set are no counter; the name says so, the label stays."""
    made = meter(Card([ticks], 80), clock=ticking(0.2))
    reading = window(made)
    samples = reading.raw["power_s_w"][0]
    assert made.name == "amdsmi-polled"
    assert reading.components == {
        "gpu": (pytest.approx(80.0 * (samples[-1][0] - samples[0][0])), "measured")
    }


@pytest.mark.parametrize("watts", ["N/A", 0])
def test_neither_counter_nor_power_is_no_meter(watts: float | str) -> None:
    """The component is absent, with the reason."""
    made = meter(Card([None], watts))
    assert (made.has_counter, made.covers) == (False, frozenset())
    assert "guests of a hypervisor" in window(made).absent["gpu"]


def test_a_partition_reads_its_package_and_says_so() -> None:
    """Of eight partitions only the first has a counter; the sum of two counts it once."""
    parts = [Card([1000, 101_000], bdf="0000:0c:00.0", mode="CPX", resolution_uj=1000.0)]
    parts += [Card([None], "N/A", bdf=f"0000:0c:00.{n}", mode="CPX") for n in range(1, 8)]
    reading = window(meter(*parts, environment={"HIP_VISIBLE_DEVICES": "3"}))
    assert reading.components["gpu"][0] == pytest.approx(100.0)
    assert reading.flags == ("gpu-partition",)
    parts[0].ticks, parts[0].armed = [1000, 101_000], False
    assert window(meter(*parts, devices=None)).components["gpu"][0] == pytest.approx(100.0)


def test_the_second_die_of_two_reads_the_first() -> None:
    """An MI250X shows two GPUs and one counter."""
    name = "AMD Instinct MI250X"
    dies = (
        Card([1000, 101_000], bdf="0000:c1:00.0", name=name, resolution_uj=1000.0),
        Card([0], 0, bdf="0000:c6:00.0", name=name),
    )
    reading = window(meter(*dies, environment={"ROCR_VISIBLE_DEVICES": "1"}))
    assert reading.components["gpu"][0] == pytest.approx(100.0)
    assert reading.flags == ("gpu-partition",)


def test_two_gpus_add_up_when_asked_for() -> None:
    """All of them, or the first alone, which is where the suite works."""
    for devices, joules in ((None, 300.0), ((0,), 100.0)):
        cards = (
            Card([1000, 101_000], bdf="0000:0c:00.0", resolution_uj=1000.0),
            Card([1000, 201_000], bdf="0000:22:00.0", resolution_uj=1000.0),
        )
        reading = window(meter(*cards, devices=devices))
        assert reading.components["gpu"][0] == pytest.approx(joules)
        assert reading.flags == ()


@pytest.mark.parametrize(
    ("environment", "order"),
    [
        ({}, [0, 1, 2]),
        ({"HIP_VISIBLE_DEVICES": "2,0"}, [2, 0]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [1]),
        ({"HIP_VISIBLE_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "1"}, [2]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, [2]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-000002000"}, [2]),
        ({"HIP_VISIBLE_DEVICES": "0,9,1"}, [0]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_hip_numbers_are_followed(environment: dict[str, str], order: list[int]) -> None:
    """Variables select in the order the runtime reads them; what is invalid ends the list."""
    cards = [Card(bdf=f"0000:0{n}:00.0") for n in range(3)]
    assert [cards.index(gpu.handle) for gpu in amd_gpus(Library(*cards), environment)] == order


def test_hip_ids_give_the_order_where_they_are_known() -> None:
    """AMD SMI's own order is doubtful only for different models without them."""
    cards = [Card(name="A", hip_id=1), Card(name="B", hip_id=0)]
    assert [gpu.handle.name for gpu in amd_gpus(Library(*cards), {})] == ["B", "A"]
    assert not hip_order_ambiguous(Library(*cards))
    unsure = meter(Card(name="A"), Card(name="B", bdf="0000:22:00.0"))
    assert window(unsure).flags == ("gpu-order-unsure",)


def test_other_processes_and_throttling_are_remembered() -> None:
    """A process that is not ours is flagged; throttling for an unknown reason is not."""
    card = Card()
    card.pids, card.throttled = [99_999_999], True
    reading = window(meter(card))
    assert reading.flags == ("shared-gpu",)
    assert reading.context["gpu_throttle"] == ["unspecified"]


def test_a_counter_that_counts_too_little_is_suspect() -> None:
    """From 30 s on integrated power checks the counter; its joules stay."""
    raw = {
        "seconds": 30.0,
        "resolution_uj": [15.3],
        "ticks_s": [[[0.0, 10**9], [15.0, 10**9 + 30_000], [30.0, 10**9 + 65_628]]],
        "power_s_w": [[[n / 2, 90.0] for n in range(61)]],
    }
    reading = reading_from_raw(raw)
    assert reading.components["gpu"][0] == pytest.approx(1.004, rel=1e-3)
    assert reading.flags == ("suspect",)


def test_the_machine_lists_amd_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, memory, driver and limit of the row's device; the catalog knows the card."""
    monkeypatch.setattr(hardware, "load_amdsmi", lambda: Library(Card()))
    monkeypatch.setattr(hardware, "_detect_nvidia", lambda: ())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (gpu,) = hardware.detect_gpus()
    assert (gpu.vendor, gpu.memory_gb, gpu.driver) == ("AMD", 192.0, "6.12.12")
    assert (gpu.power_limit_w, gpu.total_energy_counter) == (750.0, True)


def test_without_a_library_there_is_no_gpu() -> None:
    """No driver, no component, no error."""
    assert load_amdsmi() is None or amd_gpus(load_amdsmi())
    made = AmdMeter(None)
    assert not made.has_counter
    assert window(made).components == {}


@given(
    ends=st.tuples(*[st.one_of(st.none(), st.integers(0, 2**64 - 1))] * 2),
    seconds=st.floats(0.1, 1e4),
)
def test_no_pair_of_ticks_gives_zero_or_less(
    ends: tuple[int | None, int | None], seconds: float
) -> None:
    """Any two values: positive joules below what a card can draw, or a reason."""
    with contextlib.suppress(CounterError):
        joules = counted_j([(0.0, ends[0]), (seconds, ends[1])], 15.3)
        assert 0 < joules <= 2500.0 * (seconds + 1.0)
