"""Tests of `catalog.hardware.device_names`: devices as people type them."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from looped import failures, named

from catalog import snapshot
from catalog.errors import AmbiguousNameError, UnknownNameError
from catalog.hardware.device_names import LINES, words
from catalog.hardware.machines import ResolvedDevice
from catalog.records import Device
from catalog.snapshot import Snapshot

BUNDLED = snapshot.load()
TYPED = """
4090|NVIDIA GeForce RTX 4090
RTX4090|NVIDIA GeForce RTX 4090
rtx 4090|NVIDIA GeForce RTX 4090
rtx-4090|NVIDIA GeForce RTX 4090
RTX 4090 Laptop|NVIDIA GeForce RTX 4090 Laptop GPU
rtx 4090 mobile|NVIDIA GeForce RTX 4090 Laptop GPU
NVIDIA GeForce RTX 4090 Laptop GPU|NVIDIA GeForce RTX 4090 Laptop GPU
geforce-rtx-3060|NVIDIA GeForce RTX 3060
3060|NVIDIA GeForce RTX 3060
rtx 3060 ti|NVIDIA GeForce RTX 3060 Ti
2080ti|NVIDIA GeForce RTX 2080 Ti
4070 ti super|NVIDIA GeForce RTX 4070 Ti SUPER
rtx4070tisuper|NVIDIA GeForce RTX 4070 Ti SUPER
4060 ti|NVIDIA GeForce RTX 4060 Ti
4060 ti 16 gb|NVIDIA GeForce RTX 4060 Ti 16GB
5090|NVIDIA GeForce RTX 5090
gtx 1080 ti|NVIDIA GeForce GTX 1080 Ti
titan rtx|NVIDIA TITAN RTX
rtx a6000|NVIDIA RTX A6000
RTX 6000 Ada|NVIDIA RTX 6000 Ada
Quadro RTX 6000|NVIDIA Quadro RTX 6000
7900xtx|AMD Radeon RX 7900 XTX
RX 7900 XT|AMD Radeon RX 7900 XT
a770|Intel Arc A770
T4|NVIDIA T4
tesla t4|NVIDIA T4
NVIDIA T4 GPU|NVIDIA T4
nvidia-tesla-t4|NVIDIA T4
nvidia-l4|NVIDIA L4
l40s|NVIDIA L40S
A10|NVIDIA A10
a10g|NVIDIA A10G
a30|NVIDIA A30
p40|NVIDIA Tesla P40
B200|NVIDIA B200
a100 sxm4 80gb|NVIDIA A100-SXM4-80GB
A100 40GB PCIe|NVIDIA A100-PCIE-40GB
H100 94GB SXM|NVIDIA H100-SXM5-94GB
h100 pcie|NVIDIA H100-PCIE-80GB
h100 nvl|NVIDIA H100-NVL-94GB
NVIDIA H100 80GB HBM3|NVIDIA H100-SXM5-80GB
NVIDIA H200|NVIDIA H200-SXM5-141GB
V100 SXM 32GB|NVIDIA V100-SXM2-32GB
Tesla V100-PCIE-16GB|NVIDIA V100-PCIE-16GB
mi300x|AMD Instinct MI300X
MI250|AMD Instinct MI250
inferentia2|AWS Inferentia2
gaudi2|Intel Gaudi 2
tpu v5e|Google TPU v5e
i9 13900K|Intel Core i9-13900K
13900k|Intel Core i9-13900K
i7-12700H|Intel Core i7-12700H
i7-12700H iGPU|Intel Core i7-12700H (iGPU)
Intel(R) Core(TM) i7-10750H CPU @ 2.60GHz|Intel Core i7-10750H
12th Gen Intel(R) Core(TM) i5-12600K|Intel Core i5-12600K
core ultra 7 155h|Intel Core Ultra 7 155H
Intel(R) Core(TM) Ultra 7 258V|Intel Core Ultra 7 258V
Intel(R) N100|Intel N100
epyc7763|AMD EPYC 7763
epyc 7763|AMD EPYC 7763
AMD EPYC 9654 96-Core Processor|AMD EPYC 9654
EPYC 7R13|AMD EPYC 7R13
AMD EPYC 9R14|AMD EPYC 9R14
Xeon 8480+|Intel Xeon Platinum 8480+
Intel(R) Xeon(R) Platinum 8488C|Intel Xeon Platinum 8488C
Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz|Intel Xeon Platinum 8259CL
Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz|Intel Xeon E5-2686 v4
E5-2680 v4|Intel Xeon E5-2680 v4
ryzen 5600X|AMD Ryzen 5 5600X
AMD Ryzen 9 5900X 12-Core Processor|AMD Ryzen 9 5900X
AMD Ryzen 7 7840U w/ Radeon 780M Graphics|AMD Ryzen 7 7840U
AMD Ryzen 5 5500U with Radeon Graphics|AMD Ryzen 5 5500U
Threadripper 3990X|AMD Ryzen Threadripper 3990X
graviton4|AWS Graviton4
Neoverse-V1|AWS Graviton3
Apple M2 GPU|Apple M2 (GPU)
Apple M2 CPU|Apple M2 (CPU)
Raspberry Pi 5|Raspberry Pi 5 8GB (BCM2712)
rpi5|Raspberry Pi 5 8GB (BCM2712)
pi 4|Raspberry Pi 4B (BCM2711)
Raspberry Pi 4 Model B Rev 1.4|Raspberry Pi 4B (BCM2711)
Raspberry Pi 3 Model B Plus Rev 1.3|Raspberry Pi 3 Model B+ (BCM2837B0)
jetson orin nx 16gb|NVIDIA Jetson Orin NX 16GB
Jetson Orin Nano Super|NVIDIA Jetson Orin Nano Super
"""
"""What drivers print and people type, and the device that is meant."""
USUAL = """
M1|Apple M1 (GPU)
M3|Apple M3 (GPU)
m3 max|Apple M3 Max (GPU)
MacBook Pro M3|Apple M3 (GPU)
MacBook Pro M3 Pro|Apple M3 Pro (GPU)
mac mini m4|Apple M4 (GPU)
jetson orin nano|NVIDIA Jetson Orin Nano 8GB
NVIDIA Jetson Orin Nano Developer Kit|NVIDIA Jetson Orin Nano 8GB
jetson nano|NVIDIA Jetson Nano 4GB
"""
"""Names of several devices that usually mean one; it is said that this was assumed."""


def pairs(text: str) -> list[tuple[str, str]]:
    """Typed name and device of each line."""
    lines = [line.split("|") for line in text.strip().splitlines()]
    return [(typed, name) for typed, name in lines]


def meaning(typed: str) -> ResolvedDevice | UnknownNameError:
    """What a name means, or why it means nothing."""
    try:
        return BUNDLED.machines.find(typed)
    except UnknownNameError as error:
        return error


def test_a_device_is_found_as_people_type_it() -> None:
    """Case, spaces, hyphens and the maker's name do not matter where one device alone is meant."""
    assert failures(check_typed, named(pairs(TYPED))) == {}


def check_typed(case: tuple[str, str]) -> None:
    """One spelling."""
    assert BUNDLED.device(case[0]).name == case[1]


def test_a_usual_meaning_is_taken_and_said() -> None:
    """Where one of several is overwhelmingly usual it is meant, and the note gives the reason."""
    assert failures(check_usual, named(pairs(USUAL))) == {}


def check_usual(case: tuple[str, str]) -> None:
    """One name of several devices."""
    typed, name = case
    found = BUNDLED.machines.find(typed)
    assert found.device.name == name
    assert name in str(found.note)
    assert BUNDLED.machines.find(found.device.name).note is None


SHARED = [
    ("H100", {"NVIDIA H100-SXM5-94GB", "NVIDIA H100-PCIE-80GB", "NVIDIA H100-NVL-94GB"}),
    ("nvidia-h100", {"NVIDIA H100-SXM5-94GB", "NVIDIA H100-SXM5-80GB"}),
    ("H100 80GB", {"NVIDIA H100-SXM5-80GB", "NVIDIA H100-PCIE-80GB"}),
    ("H100 SXM", {"NVIDIA H100-SXM5-80GB", "NVIDIA H100-SXM5-94GB"}),
    ("H200", {"NVIDIA H200-SXM5-141GB", "NVIDIA H200-NVL-141GB"}),
    ("A100 80GB", {"NVIDIA A100-PCIE-80GB", "NVIDIA A100-SXM4-80GB"}),
    ("A100 40GB", {"NVIDIA A100-PCIE-40GB", "NVIDIA A100-SXM4-40GB"}),
    ("V100 32GB", {"NVIDIA V100-PCIE-32GB", "NVIDIA V100-SXM2-32GB"}),
]


def test_cards_that_share_a_name_are_told_apart() -> None:
    """One of them may be called just that by its driver; a person may mean each."""
    assert failures(check_shared, named(SHARED)) == {}


def check_shared(case: tuple[str, set[str]]) -> None:
    """One name that several cards share."""
    typed, some = case
    with pytest.raises(AmbiguousNameError) as caught:
        BUNDLED.device(typed)
    assert some <= set(caught.value.known)


def test_what_may_mean_several_is_refused_with_all_of_them() -> None:
    """No device is picked among several; the error names each."""
    several = ["a100", "v100", "i7", "Orin (nvgpu)", "7600", "RTX 6000"]
    several += ["Snapdragon 8 Gen 3", "Neoverse-N1"]
    assert failures(check_several, named(several)) == {}


def check_several(typed: str) -> None:
    """One name of several devices."""
    with pytest.raises(AmbiguousNameError) as caught:
        BUNDLED.device(typed)
    found = caught.value.known
    assert len(found) > 1
    assert set(found) <= set(BUNDLED.devices)
    assert all(name in str(caught.value) for name in found)


def test_part_of_a_word_means_nothing() -> None:
    """``30`` is no A30, and a maker's name no device."""
    parts = ["", "nvidia", "30", "t", "rtx 9999", "(R)", "A10 H100", "8480", "M5"]
    assert failures(check_part, named(parts)) == {}


def check_part(typed: str) -> None:
    """One part of a name."""
    with pytest.raises(UnknownNameError) as caught:
        BUNDLED.device(typed)
    assert not isinstance(caught.value, AmbiguousNameError)


def test_words_of_no_model_mean_no_device() -> None:
    """What one device alone happens to have in its name does not name it."""
    common = ["w", "3.0ghz", "3.00GHz", "ada", "super", "ultra", "gpu", "16", "141GB", "96gb"]
    assert failures(check_unknown, named([*common, "hbm3e", "v4"])) == {}


def check_unknown(typed: str) -> None:
    """One word."""
    with pytest.raises(UnknownNameError):
        BUNDLED.device(typed)


def test_a_sibling_is_not_taken_for_what_is_listed() -> None:
    """A model that the table lacks is unknown; the error names what it may be confused with."""
    siblings = ["i9-13900F", "RTX 3090 Super", "EPYC 7763P", "RTX 4080 D"]
    assert failures(check_sibling, named(siblings)) == {}


def check_sibling(typed: str) -> None:
    """One model beside those of the table."""
    with pytest.raises(UnknownNameError) as caught:
        BUNDLED.device(typed)
    plain = re.sub(r"(F|P| Super| D)$", "", typed)
    assert any(plain in name for name in caught.value.nearest)


def test_every_name_and_alias_of_one_device_still_finds_it() -> None:
    """A name, and an alias that no other device shares, mean their device however written."""
    for device in BUNDLED.devices.values():
        for written in (device.name, device.name.upper(), device.name.replace("-", " ")):
            assert BUNDLED.device(written) is device
        for alias in device.aliases:
            owners = [d for d in BUNDLED.devices.values() if alias in d.aliases]
            if len(owners) == 1:
                assert BUNDLED.device(alias.lower()) is device


def test_an_alias_of_several_devices_is_refused_or_documented() -> None:
    """What drivers print for several chips means one of them only by a documented choice."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for device in BUNDLED.devices.values():
        for alias in device.aliases:
            owners[alias.casefold()].add(device.name)
    shared = {alias: names for alias, names in owners.items() if len(names) > 1}
    assert "apple m3" in shared
    for alias, names in shared.items():
        if any(alias == name.casefold() for name in BUNDLED.devices):
            continue
        found = meaning(alias)
        if isinstance(found, AmbiguousNameError):
            assert names <= set(found.known)
        else:
            assert isinstance(found, ResolvedDevice)
            assert found.note
            assert found.device.name in names


def test_no_spelling_of_a_device_means_another_one() -> None:
    """Words left out or glued together never lead from one device to another."""
    for device in list(BUNDLED.devices.values())[::5]:
        short = " ".join(word for word in words(device.name) if word not in LINES)
        for written in (short, short.replace(" ", ""), f"{device.name} laptop"):
            found = meaning(written)
            if isinstance(found, ResolvedDevice):
                laptop = found.device.name == f"{device.name} Laptop GPU"
                assert found.device is device or found.note or laptop, written


VARIANTS = [
    ("RTX 4090 Laptop", "NVIDIA GeForce RTX 4090"),
    ("RTX 3070 Ti", "NVIDIA GeForce RTX 3070"),
    ("L40S", "NVIDIA L40"),
    ("A10G", "NVIDIA A10"),
    ("MacBook Pro M3", "Apple M3 Pro (GPU)"),
    ("i9-13900KF", "Intel Core i9-13900K"),
    ("Xeon 8480CL", "Intel Xeon Platinum 8480+"),
    ("Jetson Orin Nano 4GB", "NVIDIA Jetson Orin Nano 8GB"),
    ("A100 MIG 1g.5gb", "NVIDIA A100-SXM4-40GB"),
    ("RTX 4090 D", "NVIDIA GeForce RTX 4090"),
    ("GTX 1060 3GB", "NVIDIA GeForce GTX 1060 6GB"),
]


def test_a_variant_is_never_its_plain_form() -> None:
    """A laptop chip, a Ti or a cloud part is another device, known or not."""
    assert failures(check_variant, named(VARIANTS)) == {}


def check_variant(case: tuple[str, str]) -> None:
    """One variant."""
    typed, never = case
    found = meaning(typed)
    assert not isinstance(found, AmbiguousNameError)
    assert isinstance(found, UnknownNameError) or found.device.name != never


def test_what_a_machine_prints_is_found_by_kind() -> None:
    """The CPU and the GPU of a Mac report one name; the kind tells which is meant."""
    assert BUNDLED.named("Apple M3") is None
    assert BUNDLED.named("Apple M3", ["cpu", "soc"]) is BUNDLED.devices["Apple M3 (CPU)"]
    printed = "AMD Ryzen 9 5900X 12-Core Processor"
    assert BUNDLED.named(printed) is BUNDLED.devices["AMD Ryzen 9 5900X"]
    assert BUNDLED.named("RTX 4090 of somebody") is None


def test_a_machine_is_known_by_its_very_name_alone() -> None:
    """What a chip reports is not what people type: a slice of it, stored before, is another."""
    guest = Device(name="AMD EPYC 7B13 (2 vCPU, KVM)", kind="cpu")
    view = Snapshot(
        measurements=(), devices={guest.name: guest}, workloads={}, candidates={}, digest="d"
    )
    assert view.device("AMD EPYC 7B13") is guest
    assert view.named("AMD EPYC 7B13") is None
    assert view.named(guest.name.lower()) is guest
