"""Tests of `catalog.device_names`: devices as people type them."""

from __future__ import annotations

import pytest

from catalog import snapshot
from catalog.errors import AmbiguousNameError, UnknownNameError
from catalog.records import Device
from catalog.snapshot import Snapshot

BUNDLED = snapshot.load()


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("RTX4090", "NVIDIA GeForce RTX 4090"),
        ("rtx 4090", "NVIDIA GeForce RTX 4090"),
        ("geforce-rtx-3060", "NVIDIA GeForce RTX 3060"),
        ("T4", "NVIDIA T4"),
        ("tesla t4", "NVIDIA T4"),
        ("nvidia-l4", "NVIDIA L4"),
        ("l40s", "NVIDIA L40S"),
        ("a100 sxm4 80gb", "NVIDIA A100-SXM4-80GB"),
        ("i9 13900K", "Intel Core i9-13900K"),
        ("epyc7763", "AMD EPYC 7763"),
        ("Apple M2 GPU", "Apple M2 (GPU)"),
        ("rtx-4090", "NVIDIA GeForce RTX 4090"),
        ("H100 94GB SXM", "NVIDIA H100-SXM5-94GB"),
        ("h100 pcie", "NVIDIA H100-PCIE-80GB"),
        ("A100 40GB PCIe", "NVIDIA A100-PCIE-40GB"),
        ("V100 SXM 32GB", "NVIDIA V100-SXM2-32GB"),
        ("ryzen 5600X", "AMD Ryzen 5 5600X"),
        ("EPYC 7R13", "AMD EPYC 7R13"),
    ],
)
def test_a_device_is_found_as_people_type_it(typed: str, name: str) -> None:
    """Case, spaces, hyphens and the maker's name do not matter where one device alone is meant."""
    assert BUNDLED.device(typed).name == name


@pytest.mark.parametrize(
    ("typed", "some"),
    [
        ("H100", {"NVIDIA H100-SXM5-94GB", "NVIDIA H100-PCIE-80GB", "NVIDIA H100-NVL-94GB"}),
        ("nvidia-h100", {"NVIDIA H100-SXM5-94GB", "NVIDIA H100-SXM5-80GB"}),
        ("H100 80GB", {"NVIDIA H100-SXM5-80GB", "NVIDIA H100-PCIE-80GB"}),
        ("H100 SXM", {"NVIDIA H100-SXM5-80GB", "NVIDIA H100-SXM5-94GB"}),
        ("H200", {"NVIDIA H200-SXM5-141GB", "NVIDIA H200-NVL-141GB"}),
        ("A100 80GB", {"NVIDIA A100-PCIE-80GB", "NVIDIA A100-SXM4-80GB"}),
        ("A100 40GB", {"NVIDIA A100-PCIE-40GB", "NVIDIA A100-SXM4-40GB"}),
        ("V100 32GB", {"NVIDIA V100-PCIE-32GB", "NVIDIA V100-SXM2-32GB"}),
    ],
)
def test_cards_that_share_a_name_are_told_apart(typed: str, some: set[str]) -> None:
    """One of them may be called just that by its driver; a person may mean each."""
    with pytest.raises(AmbiguousNameError) as caught:
        BUNDLED.device(typed)
    assert some <= set(caught.value.known)


@pytest.mark.parametrize("typed", ["a100", "v100", "M1", "i7", "Orin (nvgpu)"])
def test_what_may_mean_several_is_refused_with_all_of_them(typed: str) -> None:
    """No device is picked among several; the error names each."""
    with pytest.raises(AmbiguousNameError) as caught:
        BUNDLED.device(typed)
    found = caught.value.known
    assert len(found) > 1
    assert set(found) <= set(BUNDLED.devices)
    assert all(name in str(caught.value) for name in found)


@pytest.mark.parametrize("typed", ["", "nvidia", "30", "t", "rtx 9999", "(R)", "A10 H100"])
def test_part_of_a_word_means_nothing(typed: str) -> None:
    """``30`` is no A30, and a maker's name no device."""
    with pytest.raises(UnknownNameError) as caught:
        BUNDLED.device(typed)
    assert not isinstance(caught.value, AmbiguousNameError)


@pytest.mark.parametrize(
    "typed",
    [
        "w",
        "3.0ghz",
        "3.00GHz",
        "ada",
        "super",
        "ultra",
        "gpu",
        "16",
        "141GB",
        "96gb",
        "hbm3e",
        "v4",
    ],
)
def test_words_of_no_model_mean_no_device(typed: str) -> None:
    """What one device alone happens to have in its name does not name it."""
    with pytest.raises(UnknownNameError):
        BUNDLED.device(typed)


@pytest.mark.parametrize("typed", ["i9-13900", "RTX A400", "MI250", "RTX 3050"])
def test_a_sibling_is_not_taken_for_what_is_listed(typed: str) -> None:
    """A model that the table lacks is unknown; the error names what it may be confused with."""
    with pytest.raises(UnknownNameError) as caught:
        BUNDLED.device(typed)
    assert any(typed.split()[-1] in name for name in caught.value.nearest)


def test_every_name_and_alias_of_one_device_still_finds_it() -> None:
    """Folding takes nothing away: names and aliases mean what they meant."""
    for device in BUNDLED.devices.values():
        assert BUNDLED.device(device.name) is device
        assert BUNDLED.device(device.name.upper()) is device
        for alias in device.aliases:
            owners = [d for d in BUNDLED.devices.values() if alias in d.aliases]
            if len(owners) == 1:
                assert BUNDLED.device(alias.lower()) is device


def test_a_machine_is_known_by_its_very_name_alone() -> None:
    """What a chip reports is not what people type: a slice of it, stored before, is another."""
    guest = Device(name="AMD EPYC 7B13 (2 vCPU, KVM)", kind="cpu")
    view = Snapshot(
        measurements=(), devices={guest.name: guest}, workloads={}, candidates={}, digest="d"
    )
    assert view.device("AMD EPYC 7B13") is guest
    assert view.named("AMD EPYC 7B13") is None
    assert view.named(guest.name.lower()) is guest
