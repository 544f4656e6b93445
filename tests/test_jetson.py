"""Jetson rails in recorded trees of sysfs: the board's rail, units, closed files, detection."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from calibration.hardware.machine import detect_machine, gpu_device
from calibration.meters.jetson import JetsonMeter, board_rails, rails
from calibration.meters.meter import Reading
from catalog.snapshot import Snapshot

ORIN_NANO = {"VDD_IN": (5048, 952), "VDD_CPU_GPU_CV": (5048, 160), "VDD_SOC": (5048, 280)}
AGX_ORIN = {"VDD_GPU_SOC": (19_816, 160), "VDD_CPU_CV": (19_816, 40), "VIN_SYS_5V0": (5032, 640)}
AGX_ORIN_MORE = {"NC": (0, 0), "VDDQ_VDD2_1V8AO": (5032, 104)}
XAVIER = {"GPU": (19_000, 40), "CPU": (19_000, 60), "SOC": (19_000, 120)}


def monitor(root: Path, address: str, channels: dict[str, tuple[int, int]]) -> Path:
    """An INA3221 as the kernel shows it: millivolts, milliamperes, and sums that are no rails."""
    folder = root / "ina3221" / address / "hwmon" / "hwmon1"
    folder.mkdir(parents=True)
    for number, (label, (millivolts, milliamperes)) in enumerate(channels.items(), start=1):
        (folder / f"in{number}_label").write_text(f"{label}\n")
        (folder / f"in{number}_input").write_text(f"{millivolts}\n")
        (folder / f"curr{number}_input").write_text(f"{milliamperes}\n")
    (folder / "in7_label").write_text("sum of shunt voltages\n")
    (folder / "curr4_input").write_text("1392\n")
    return folder


def meter(root: Path, step_s: float = 0.5, **more: Any) -> JetsonMeter:
    """A meter whose clock moves by `step_s` at every look; its thread sleeps."""
    clock = (n * step_s for n in itertools.count()).__next__
    return JetsonMeter(root, clock=clock, every_s=3600.0, synchronise=lambda: None, **more)


def window(made: JetsonMeter, samples: int = 3) -> Reading:
    """One window with samples inside it."""
    made.start()
    for _ in range(samples):
        made.sample()
    return made.stop()


def test_the_input_rail_is_the_board(tmp_path: Path) -> None:
    """Millivolts times milliamperes are microwatts: 4.8 W over 2 s; rails behind it do not add."""
    monitor(tmp_path, "1-0040", ORIN_NANO)
    made = meter(tmp_path)
    reading = window(made)
    assert reading.components == {"board": (pytest.approx(5.048 * 0.952 * 2.0), "measured")}
    assert (made.name, made.covers, made.remedy) == ("ina", frozenset({"board"}), None)
    assert reading.raw["board"]["rails"] == ["VDD_IN"]


def test_the_inputs_of_an_agx_orin_add_up_without_what_one_of_them_feeds(tmp_path: Path) -> None:
    """Two monitors; memory is behind VIN_SYS_5V0, unconnected channels are no rails."""
    monitor(tmp_path, "1-0040", AGX_ORIN)
    monitor(tmp_path, "1-0041", AGX_ORIN_MORE)
    assert [rail.label for rail in rails(tmp_path)] == [*AGX_ORIN, "VDDQ_VDD2_1V8AO"]
    watts = sum(mv * ma for mv, ma in AGX_ORIN.values()) / 1e6
    assert window(meter(tmp_path)).components["board"][0] == pytest.approx(watts * 2.0)


def test_thor_gives_its_power_in_microwatts(tmp_path: Path) -> None:
    """An INA238 without a label is the input."""
    folder = tmp_path / "ina238" / "2-0044" / "hwmon" / "hwmon3"
    folder.mkdir(parents=True)
    (folder / "power1_input").write_text("41250000\n")
    assert window(meter(tmp_path)).components["board"][0] == pytest.approx(41.25 * 2.0)


def test_rails_that_overlap_are_not_added_up(tmp_path: Path) -> None:
    """An AGX Xavier has no rail of the whole board: the reason names what there is."""
    monitor(tmp_path, "1-0040", XAVIER)
    made = meter(tmp_path)
    assert (made.present, made.has_counter, board_rails(rails(tmp_path))) == (True, False, [])
    assert made.absent == {"board": "none of the rails GPU, CPU, SOC is the whole board's"}
    assert window(made).components == {}


def test_a_closed_rail_names_the_command(tmp_path: Path) -> None:
    """Files of mode 400, as some releases have them, are absent with the remedy."""
    folder = monitor(tmp_path, "1-0040", ORIN_NANO)
    if os.geteuid() == 0:
        (folder / "curr1_input").unlink()
    else:
        (folder / "curr1_input").chmod(0)
    made = meter(tmp_path)
    assert not made.has_counter
    assert made.remedy == f"sudo chmod a+r {folder}/in1_input {folder}/curr1_input"
    assert "VDD_IN is not readable" in made.absent["board"]


@pytest.mark.parametrize(("value", "why"), [("", "both ends"), ("-8", "both ends"), ("0", "both")])
def test_a_rail_that_fails_in_the_window_makes_it_invalid(
    tmp_path: Path, value: str, why: str
) -> None:
    """Unreadable, negative or 0: absent, never a number."""
    folder = monitor(tmp_path, "1-0040", ORIN_NANO)
    made = meter(tmp_path)
    made.start()
    (folder / "curr1_input").write_text(value)
    reading = made.stop()
    assert reading.components == {}
    assert why in reading.absent["board"]


def test_rare_samples_are_no_energy(tmp_path: Path) -> None:
    """Power read less than once a second is not integrated."""
    monitor(tmp_path, "1-0040", ORIN_NANO)
    assert "less than once" in window(meter(tmp_path, 1.5)).absent["board"]


def test_no_monitor_is_no_meter(tmp_path: Path) -> None:
    """Another machine: nothing is present and nothing is said to be missing."""
    made = meter(tmp_path)
    assert (made.present, made.has_counter, made.absent) == (False, False, {})


@pytest.mark.parametrize(
    ("model", "kib", "name"),
    [
        ("NVIDIA Jetson Orin Nano Developer Kit", 7_802_112, "NVIDIA Jetson Orin Nano 8GB"),
        ("NVIDIA Jetson AGX Orin Developer Kit", 64_288_000, "NVIDIA Jetson AGX Orin 64GB"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 15_900_000,
         "NVIDIA Jetson Orin NX 16GB"),
    ],
)  # fmt: skip
def test_a_jetson_is_detected_by_its_device_tree(
    tmp_path: Path, model: str, kib: int, name: str
) -> None:
    """Its GPU is the catalog's device, its cores are named after the board."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: ARMv8 Processor rev 1 (v8l)\n",
        "proc/meminfo": f"MemTotal:  {kib} kB\n",
        "proc/device-tree/model": f"{model}\0",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    machine = detect_machine(tmp_path)
    device = gpu_device(machine, Snapshot.load())
    assert device is not None
    assert (device.name, machine.gpus[0].driver) == (name, "L4T 36.4.3")
    assert machine.cpu == f"{model}, Arm cores"
