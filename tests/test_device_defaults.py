"""Tests of class defaults and plausible specs of devices."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import msgspec
import pytest
from looped import failures, named

from catalog import reference_data
from catalog.errors import ImplausibleSpecError
from catalog.hardware.device_defaults import (
    DEFAULTED,
    check_specs,
    completed,
    device_class,
    device_classes,
    spec_ranges,
)
from catalog.records import Device, Kind

DEVICES = reference_data.devices()


CLASSES = {
    "NVIDIA H100-SXM5-80GB": "gpu-sxm",
    "AMD Instinct MI300X": "gpu-sxm",
    "NVIDIA T4": "gpu-pcie",
    "NVIDIA A100-PCIE-80GB": "gpu-pcie",
    "NVIDIA A30 (MIG 1g.6gb)": "gpu-slice",
    "NVIDIA RTX A6000": "gpu-workstation",
    "NVIDIA GeForce RTX 4090": "gpu-desktop",
    "Intel Arc A770": "gpu-desktop",
    "NVIDIA GeForce RTX 4090 Laptop GPU": "gpu-laptop",
    "Intel Arc A770M": "gpu-laptop",
    "Intel Core i9-13900K (iGPU)": "gpu-integrated",
    "Intel Core i9-13900K (CPU+iGPU)": "cpu-and-gpu",
    "Apple M3 Max (GPU)": "mac",
    "Apple M3 (CPU)": "mac",
    "NVIDIA Jetson Orin Nano 8GB": "edge-module",
    "Raspberry Pi 5 8GB (BCM2712)": "single-board",
    "Qualcomm Snapdragon 8 Gen 3 (SoC)": "phone-soc",
    "Samsung Exynos 2300 (NPU)": "phone-soc",
    "Qualcomm Snapdragon X Elite (SoC)": "laptop-soc",
    "Qualcomm QCS8550 (Hexagon NPU)": "edge-soc",
    "QUALCOMM Cloud AI 100 Pro": "npu-server",
    "QUALCOMM Cloud AI 100 DM.2": "npu-module",
    "AWS Inferentia2": "npu-server",
    "Intel Xeon Platinum 8480+": "cpu-server",
    "Intel Xeon E5-2680 v4": "cpu-server",
    "AMD EPYC 9R14": "cpu-server",
    "AWS Graviton4": "cpu-server",
    "Intel Xeon W-2245": "cpu-workstation",
    "Intel Core i9-13900K": "cpu-desktop",
    "AMD Ryzen 9 7950X 16-Core Processor": "cpu-desktop",
    "Intel Core i7-12700H": "cpu-laptop",
    "Intel Core i7-1165G7": "cpu-laptop",
    "AMD Ryzen 7 7840U": "cpu-laptop",
    "Intel Core Ultra 7 155H": "cpu-laptop",
    "Intel N100": "cpu-embedded",
    "Intel Atom x6425E": "cpu-embedded",
}


def test_devices_fall_into_the_class_of_their_form() -> None:
    """Kind and name tell the class."""
    found = {name: device_class(DEVICES[name]).device_class for name in CLASSES}
    assert found == CLASSES


def test_every_device_has_memory_power_and_a_host() -> None:
    """What was read stays as it is; the rest is the class's and is marked as such."""
    assert failures(check_completed, DEVICES) == {}


def check_completed(device: Device) -> None:
    """Figures, idle range and host of one device."""
    found = completed(device)
    for name in DEFAULTED:
        value, read = getattr(found.device, name), getattr(device, name)
        assert value > 0
        assert (read is None) == (name in found.defaults)
        assert value == (found.defaults[name] if read is None else read)
    untouched = msgspec.structs.replace(found.device, **dict.fromkeys(DEFAULTED))
    assert untouched == msgspec.structs.replace(device, **dict.fromkeys(DEFAULTED))
    assert 0 < found.idle_low_w <= (found.device.idle_w or 0) <= found.idle_high_w
    assert (found.device.idle_w or 0) < (found.device.tdp_w or 0)
    own = found.device_class
    assert own.rule
    assert own.devices_per_host >= 1
    if own.host_class == "server" or own.device_class in ("gpu-laptop", "gpu-desktop"):
        assert found.host_cpu in DEVICES
    if found.host_cpu is not None:
        assert DEVICES[found.host_cpu].kind == "cpu"


def test_defaults_are_recomputed_from_the_table() -> None:
    """A class default is the median of what the class's devices state, as its rule says."""
    own = [each for each in DEVICES.values() if device_class(each).device_class == "gpu-pcie"]
    stated = sorted(each.memory_gb for each in own if each.memory_gb is not None)
    middle = len(stated) // 2
    median = stated[middle] if len(stated) % 2 else sum(stated[middle - 1 : middle + 1]) / 2
    (row,) = [each for each in device_classes() if each.device_class == "gpu-pcie"]
    assert row.memory_gb == median
    assert f"median of {len(stated)} devices" in row.rule
    shares = [each.idle_w / each.tdp_w for each in own if each.idle_w and each.tdp_w]
    assert row.idle_share_low == pytest.approx(min(shares), rel=0.01)
    assert row.idle_share_high == pytest.approx(max(shares), rel=0.01)


def test_the_idle_default_follows_the_stated_tdp() -> None:
    """A class with readings uses their share of the TDP, one without 0.1 TDP."""
    desktop = completed(DEVICES["NVIDIA GeForce RTX 4080"])
    assert desktop.defaults.keys() == {"idle_w"}
    assert desktop.device.idle_w == pytest.approx(320 * 0.05, rel=0.05)
    server = completed(DEVICES["AMD EPYC 7763"])
    assert server.device.idle_w == pytest.approx(28.0)
    assert (server.idle_low_w, server.idle_high_w) == (pytest.approx(14.0), pytest.approx(84.0))
    read = completed(DEVICES["NVIDIA T4"])
    assert (read.defaults, read.idle_low_w, read.idle_high_w) == ({}, 9.5, 9.5)


def test_hosts_are_the_usual_ones() -> None:
    """A GPU has its class's host; a chip's GPU has the chip's CPU."""
    assert completed(DEVICES["NVIDIA H100-SXM5-80GB"]).host_cpu == "AMD EPYC 7742"
    assert completed(DEVICES["Apple M3 (GPU)"]).host_cpu == "Apple M3 (CPU)"
    assert completed(DEVICES["Intel Core i9-13900K (iGPU)"]).host_cpu == "Intel Core i9-13900K"
    assert completed(DEVICES["AMD EPYC 7763"]).host_cpu == "AMD EPYC 7763"


def test_an_unlisted_device_has_defaults_too() -> None:
    """Specs without a name fall into the last classes of their kind."""
    kinds: tuple[Kind, ...] = ("cpu", "gpu", "npu", "soc")
    cases = list(itertools.product(kinds, (None, 10.0, 400.0)))
    assert failures(check_unlisted, named(cases)) == {}


def check_unlisted(case: tuple[Kind, float | None]) -> None:
    """Defaults of a device of a kind and a TDP."""
    kind, tdp_w = case
    found = completed(Device(name="as specified", kind=kind, tdp_w=tdp_w))
    assert found.device.memory_gb
    assert found.device.idle_w
    assert found.device_class.host_class == "edge" or tdp_w != 10.0


def test_the_device_table_holds_no_defaults() -> None:
    """Estimators train on the table: a device of unknown figures has none in it."""
    bare = [each for each in DEVICES.values() if each.status == "not found"]
    assert len(bare) > 30
    for each in bare:
        assert (each.tdp_w, each.idle_w, each.peak_fp32_tflops) == (None, None, None)


def test_every_bundled_device_is_plausible() -> None:
    """The ranges refuse nothing that is in the table."""
    for device in DEVICES.values():
        check_specs(device)
    assert Counter(kind for kind, _ in spec_ranges()) == {"cpu": 6, "gpu": 6, "npu": 6, "soc": 6}


IMPLAUSIBLE: list[tuple[Kind, dict[str, float], str]] = [
    ("gpu", {"tdp_w": 5.0, "peak_fp32_tflops": 500.0}, "peak_fp32_tflops"),
    ("gpu", {"tdp_w": 5.0, "peak_fp16_tflops": 500.0}, "peak_fp16_tflops"),
    ("gpu", {"tdp_w": 90_000.0}, "tdp_w"),
    ("gpu", {"tdp_w": 300.0, "memory_gb": 90_000.0}, "memory_gb"),
    ("cpu", {"tdp_w": 65.0, "peak_fp32_tflops": 80.0}, "peak_fp32_tflops"),
    ("cpu", {"tdp_w": 65.0, "bandwidth_gbs": 90_000.0}, "memory_bandwidth_gbs"),
    ("npu", {"tdp_w": 2.0, "peak_int8_tops": 9_000.0}, "peak_int8_tops"),
]


def test_implausible_specs_are_refused() -> None:
    """The error names the spec, what came and the range with its rule."""
    assert failures(check_implausible, named(IMPLAUSIBLE)) == {}


def check_implausible(case: tuple[Kind, dict[str, float], str]) -> None:
    """One device whose spec is out of its range."""
    kind, specs, field = case
    device = Device(name="as specified", kind=kind, **specs)  # type: ignore[arg-type]
    with pytest.raises(ImplausibleSpecError) as caught:
        check_specs(device)
    assert caught.value.field == field
    assert f"{caught.value.came:g}" in str(caught.value)
    assert re.search("widened|4 times", caught.value.allowed)


RESEMBLING = {
    "NVIDIA RTX A1000": "gpu-workstation",
    "Intel Arc Pro A40": "gpu-workstation",
    "NVIDIA A100-SXM4-80GB": "gpu-sxm",
    "NVIDIA A40": "gpu-pcie",
    "Intel Xeon E5-1650 v4": "cpu-workstation",
    "AMD EPYC 7763": "cpu-server",
}


def test_names_that_resemble_another_class() -> None:
    """A pattern finds its own devices and not those whose names hold it."""
    found = {}
    for name, expected in RESEMBLING.items():
        kind: Kind = "cpu" if expected.startswith("cpu") else "gpu"
        found[name] = device_class(Device(name=name, kind=kind)).device_class
    assert found == RESEMBLING
