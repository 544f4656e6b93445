"""NVML on a scripted stand-in: counters that miss, stick and reset, several GPUs, slices."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_nvml import Board, Library

from calibration.hardware.cuda_visibility import order_ambiguous, visible_gpus
from calibration.hardware.machine import detect_gpus
from calibration.meters import nvml
from calibration.meters.integration import integrated_j
from calibration.meters.meter import CounterError, Reading
from calibration.meters.nvml import NvmlMeter, counted_j, reading_from_raw


def meter(*boards: Board, visible_devices: str | None = None, **more: Any) -> NvmlMeter:
    """A meter on boards; its background thread sleeps through the test."""
    environment = {} if visible_devices is None else {"CUDA_VISIBLE_DEVICES": visible_devices}
    given = {"every_s": 3600.0, "in_use": lambda: False, "synchronise": lambda: None, **more}
    return NvmlMeter(Library(*boards), environment=environment, **given)


def ticking(step: float) -> Callable[[], float]:
    """A clock that moves by `step` at every look."""
    return (n * step for n in itertools.count()).__next__


def window(made: NvmlMeter) -> Reading:
    """One window."""
    made.start()
    return made.stop()


def test_the_counter_is_read_at_both_ends() -> None:
    """Millijoules become joules; state and limit are remembered."""
    reading = window(meter(Board("GPU-a")))
    assert reading.components == {"gpu": (300.0, "measured")}
    assert reading.flags == ()
    assert reading.context == {
        "gpu_temperature_c": 61,
        "gpu_clock_mhz": 1440,
        "gpu_power_limit_w": 165.0,
    }


def test_the_gpu_is_waited_for_at_both_ends() -> None:
    """Synchronising comes before each reading of the counter."""
    board, seen = Board("GPU-a", (1, 2, 3)), []
    window(meter(board, synchronise=lambda: seen.append(len(board.mj))))
    assert seen == [3, 2]


def test_synchronising_imports_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch there is nothing to wait for; with CUDA in use it waits."""
    monkeypatch.setitem(nvml.sys.modules, "torch", None)  # type: ignore[arg-type]
    nvml.cuda_synchronise()
    calls: list[str] = []
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        synchronize=lambda: calls.append("waited"),
    )
    monkeypatch.setitem(nvml.sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    nvml.cuda_synchronise()
    assert calls == ["waited"]


def test_without_a_counter_power_is_integrated() -> None:
    """The name says so, the label stays: it is read from the hardware."""
    made = meter(Board("GPU-a", [None], 80.0), clock=ticking(0.4))
    reading = window(made)
    assert made.name == "nvml-polled"
    samples = reading.raw["power_s_w"][0]
    seconds = samples[-1][0] - samples[0][0]
    assert reading.components == {"gpu": (pytest.approx(80.0 * seconds), "measured")}


def test_neither_counter_nor_power_is_no_meter() -> None:
    """The component is absent, with the reason."""
    made = meter(Board("GPU-a", [None], None))
    assert (made.has_counter, made.covers) == (False, frozenset())
    assert window(made).absent == {"gpu": "NVML gives neither the energy nor the power of this GPU"}


@pytest.mark.parametrize(
    ("values", "step_s", "why"),
    [
        ((1000, None), 1.0, "both ends"),
        ((1000, 1000), 1.0, "stuck"),
        ((1000, 1000), 1e-4, "needs windows of 2 s"),
        ((9000, 20), 1.0, "reset"),
    ],
)
def test_a_bad_counter_makes_the_window_invalid(
    values: tuple[int | None, int | None], step_s: float, why: str
) -> None:
    """Missing at an end, stuck or reset: absent, never 0, negative or replaced by power."""
    made = meter(Board("GPU-a", values), clock=ticking(step_s))
    reading = window(made)
    assert made.name == "nvml"
    assert reading.components == {}
    assert why in reading.absent["gpu"]


def test_two_gpus_add_up_when_asked_for() -> None:
    """All of them, or the first alone, which is where the suite works."""
    boards = (Board("GPU-a", (0, 5000)), Board("GPU-b", (0, 7000)))
    assert window(meter(*boards, devices=None)).components["gpu"][0] == 12.0
    boards = (Board("GPU-a", (0, 5000)), Board("GPU-b", (0, 7000)))
    assert window(meter(*boards)).components["gpu"][0] == 5.0


def test_one_bad_gpu_of_two_takes_the_sum() -> None:
    """Half of a sum would be too low."""
    boards = (Board("GPU-a", (0, 5000)), Board("GPU-b", (9000, 20)))
    assert window(meter(*boards, devices=None)).components == {}


@pytest.mark.parametrize(
    ("asked", "uuids"),
    [
        (None, ["GPU-aa", "GPU-ab", "GPU-c"]),
        ("2,0", ["GPU-c", "GPU-aa"]),
        ("GPU-c", ["GPU-c"]),
        ("GPU-ab, 0", ["GPU-ab", "GPU-aa"]),
        ("GPU-a", []),
        ("1,-1,2", ["GPU-ab"]),
        ("0,7,1", ["GPU-aa"]),
        ("", []),
        ("NoDevFiles", []),
        ("MIG-GPU-aa-0", ["GPU-aa"]),
        ("MIG-GPU-ab/3/0", ["GPU-ab"]),
        ("MIG-unknown", []),
    ],
)
def test_renumbering_is_undone(asked: str | None, uuids: list[str]) -> None:
    """Indices, UUIDs, their beginnings and slices; what follows a bad entry is hidden."""
    lib = Library(Board("GPU-aa"), Board("GPU-ab"), Board("GPU-c"))
    environment = {} if asked is None else {"CUDA_VISIBLE_DEVICES": asked}
    assert [gpu.uuid for gpu in visible_gpus(lib, environment)] == uuids


def test_the_renumbered_gpu_is_the_one_that_is_read() -> None:
    """CUDA's device 0 may be NVML's 1."""
    boards = (Board("GPU-a", (0, 5000)), Board("GPU-b", (0, 7000)))
    assert window(meter(*boards, visible_devices="1")).components["gpu"][0] == 7.0
    assert meter(*boards, visible_devices="").absent == {
        "gpu": "NVML lists no GPU that CUDA shows to this process"
    }


def test_the_machine_lists_what_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device of a row is the GPU whose counter is read."""
    boards = (Board("GPU-a"), Board("GPU-b", [None], name="NVIDIA H100"))
    monkeypatch.setitem(nvml.sys.modules, "pynvml", Library(*boards))  # type: ignore[arg-type]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    found = detect_gpus()
    assert [gpu.name for gpu in found] == ["NVIDIA H100", "NVIDIA A30"]
    assert [gpu.total_energy_counter for gpu in found] == [False, True]
    assert (found[0].memory_gb, found[0].power_limit_w) == (24.0, 165.0)
    assert nvml.load_pynvml() is not None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert detect_gpus() == ()


def test_a_slice_has_the_energy_of_the_whole_and_says_so() -> None:
    """MIG by UUID, or by an index on a GPU with MIG switched on; slices of one GPU count once."""
    board = Board("GPU-a", (0, 5000))
    reading = window(meter(board, visible_devices="MIG-GPU-a-0"))
    assert (reading.components["gpu"][0], reading.flags) == (5.0, ("mig",))
    assert window(meter(Board("GPU-a", mig=True))).flags == ("mig",)
    board = Board("GPU-a", (0, 5000))
    board.slices.append("MIG-GPU-a-1")
    both = meter(board, visible_devices="MIG-GPU-a-0,MIG-GPU-a-1", devices=None)
    assert window(both).components["gpu"][0] == 5.0


def test_other_processes_on_the_gpu_are_told() -> None:
    """One that is not ours; inside a container ours has another number."""
    board = Board("GPU-a")
    board.pids = [os.getpid(), 99_999_999]
    assert window(meter(board)).flags == ("shared-gpu",)
    board = Board("GPU-a")
    board.pids = [99_999_999]
    assert window(meter(board, in_use=lambda: True)).flags == ()
    board = Board("GPU-a")
    board.pids = [99_999_999]
    assert window(meter(board)).flags == ("shared-gpu",)


def test_slowing_down_is_told() -> None:
    """Heat makes the window throttled; working at the power limit is only remembered."""
    board = Board("GPU-a")
    board.reasons = 0x4
    reading = window(meter(board))
    assert (reading.flags, reading.context["gpu_throttle"]) == ((), ["power-cap"])
    board = Board("GPU-a")
    board.reasons = 0x4 | 0x40
    reading = window(meter(board))
    assert reading.flags == ("throttled",)
    assert reading.context["gpu_throttle"] == ["hw-thermal", "power-cap"]


def test_cuda_may_number_different_models_otherwise() -> None:
    """The fastest first, unless told otherwise: a doubt that the row carries."""
    lib = Library(Board("GPU-a"), Board("GPU-b", name="NVIDIA H100"))
    assert order_ambiguous(lib, {})
    assert not order_ambiguous(lib, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    assert not order_ambiguous(lib, {"CUDA_VISIBLE_DEVICES": "GPU-b"})
    assert not order_ambiguous(Library(Board("GPU-a"), Board("GPU-b")), {})
    boards = (Board("GPU-a"), Board("GPU-b", name="NVIDIA H100"))
    assert window(meter(*boards)).flags == ("gpu-order-unsure",)


def samples(seconds: float, watts: float, every_s: float = 0.1) -> list[list[float]]:
    """Power as the background reads it."""
    return [[n * every_s, watts] for n in range(round(seconds / every_s) + 1)]


@pytest.mark.parametrize(
    ("watts", "seconds", "suspect"),
    [(105.0, 30.0, False), (111.0, 30.0, True), (89.0, 30.0, True), (150.0, 29.0, False)],
)
def test_power_is_held_against_the_counter(watts: float, seconds: float, suspect: bool) -> None:
    """From 30 s on, more than 10 % apart is suspect; the counter's joules stay."""
    raw = {
        "seconds": seconds,
        "counter_mj": [[0, round(100_000 * seconds)]],
        "power_s_w": [samples(seconds, watts)],
    }
    reading = reading_from_raw(raw, [False])
    assert reading.components["gpu"][0] == pytest.approx(100.0 * seconds)
    assert ("suspect" in reading.flags) == suspect
    if seconds >= 30:
        assert reading.context["integrated_over_counter"] == pytest.approx(watts / 100, abs=1e-3)


def test_gaps_in_power_make_no_verdict() -> None:
    """Samples too far apart check nothing, and make no energy where they are all there is."""
    raw = {
        "seconds": 30.0,
        "counter_mj": [[0, 3_000_000]],
        "power_s_w": [[[0, 900.0], [30.0, 900.0]]],
    }
    assert reading_from_raw(raw, [False]).flags == ()
    assert "less than once" in reading_from_raw(raw, [True]).absent["gpu"]


def test_the_background_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples come by themselves while a window is open, and stop with it."""
    made = meter(Board("GPU-a"), every_s=0.01)
    made.start()
    nvml.time.sleep(0.3)
    first = made.stop()
    assert len(first.raw["power_s_w"][0]) > 5
    nvml.time.sleep(0.05)
    assert len(made._samples[0]) == len(first.raw["power_s_w"][0])


def test_without_a_library_there_is_no_gpu() -> None:
    """No driver, no component, no error."""
    made = NvmlMeter(None)
    assert not made.has_counter
    assert window(made).components == {}


@given(
    ends=st.tuples(*[st.one_of(st.none(), st.integers(0, 2**64 - 1))] * 2),
    seconds=st.floats(0, 1e6),
)
def test_no_pair_of_values_gives_zero_or_less(
    ends: tuple[int | None, int | None], seconds: float
) -> None:
    """Any two values: positive joules or a reason."""
    with contextlib.suppress(CounterError):
        assert counted_j(*ends, seconds) > 0


@given(watts=st.lists(st.one_of(st.none(), st.floats(0, 2000)), max_size=30))
def test_no_power_trace_gives_zero_or_less(watts: list[float | None]) -> None:
    """Any samples: positive joules below the highest power, or a reason."""
    trace = [(0.5 * number, value) for number, value in enumerate(watts)]
    with contextlib.suppress(CounterError):
        joules = integrated_j(trace)
        assert 0 < joules <= max(w for w in watts if w is not None) * trace[-1][0] * 1.000001
