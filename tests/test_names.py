"""Tests of `catalog.names`: devices as people type them."""

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
    ],
)
def test_a_device_is_found_as_people_type_it(typed: str, name: str) -> None:
    """Case, spaces, hyphens and the maker's name do not matter where one device alone is meant."""
    assert BUNDLED.device(typed).name == name


@pytest.mark.parametrize("typed", ["a100", "A 100", "v100", "M1", "gpu"])
def test_what_may_mean_several_is_refused_with_all_of_them(typed: str) -> None:
    """No device is picked among several; the error names each."""
    with pytest.raises(AmbiguousNameError) as caught:
        BUNDLED.device(typed)
    found = caught.value.known
    assert len(found) > 1
    assert set(found) <= set(BUNDLED.devices)
    assert all(name in str(caught.value) for name in found)


@pytest.mark.parametrize("typed", ["", "nvidia", "30", "t", "rtx 9999", "(R)"])
def test_part_of_a_word_means_nothing(typed: str) -> None:
    """``30`` is no A30, and a maker's name no device."""
    with pytest.raises(UnknownNameError) as caught:
        BUNDLED.device(typed)
    assert not isinstance(caught.value, AmbiguousNameError)


def test_every_name_and_alias_of_one_device_still_finds_it() -> None:
    """Folding takes nothing away: names and aliases mean what they meant."""
    for device in BUNDLED.devices.values():
        assert BUNDLED.device(device.name) is device
        assert BUNDLED.device(device.name.upper()) is device


def test_a_machine_is_known_by_its_very_name_alone() -> None:
    """What a chip reports is not what people type: a slice of it, stored before, is another."""
    guest = Device(name="AMD EPYC 7B13 (2 vCPU, KVM)", kind="cpu")
    view = Snapshot(
        measurements=(), devices={guest.name: guest}, workloads={}, candidates={}, digest="d"
    )
    assert view.device("AMD EPYC 7B13") is guest
    assert view.named("AMD EPYC 7B13") is None
    assert view.named(guest.name.lower()) is guest
