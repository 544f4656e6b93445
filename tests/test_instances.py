"""Tests of cloud instances: what a provider's name stands for, or why it stays open."""

from __future__ import annotations

import pytest
from looped import failures, named

from catalog import snapshot
from catalog.errors import AmbiguousNameError, UnknownNameError, UnsettledInstanceError
from catalog.hardware.instances import instances, threads
from catalog.hardware.machines import SPECS

BUNDLED = snapshot.load()


def test_every_instance_has_a_size_a_source_and_a_licence() -> None:
    """420 types; each row says where it was read and under which licence."""
    assert len(instances()) == 420
    for each in instances().values():
        assert each.source
        assert each.licence
        assert each.vcpus > 0
        assert each.host_share is None or 0 < each.host_share <= 1
        assert (each.accelerator is None) == (each.n_accelerators is None) or each.unresolved
        assert set(each.cpu) <= BUNDLED.devices.keys()
        assert each.accelerator is None or each.accelerator in BUNDLED.devices


def test_an_instance_resolves_or_says_why_not() -> None:
    """Its device is that of its row; where the sources leave it open the choices are named."""
    assert failures(check_instance, {name: name for name in sorted(instances())}) == {}


def check_instance(name: str) -> None:
    """One instance type."""
    each = instances()[name]
    shared = 0 < (each.n_accelerators or 1) < 1
    if each.unresolved is None and not shared:
        found = BUNDLED.machines.find(name)
        assert found.instance is each
        assert found.device.name in (each.accelerator, *each.cpu)
        assert found.n_devices == (each.n_accelerators or 1)
        assert found.host_share == each.host_share
        assert found.device.name in str(found.note)
        return
    with pytest.raises(UnsettledInstanceError) as caught:
        BUNDLED.machines.find(name)
    assert ("memory and power are shared" if shared else each.unresolved) in str(caught.value)
    assert SPECS in str(caught.value)
    assert set(caught.value.nearest) <= BUNDLED.devices.keys()


PRINTED: list[tuple[str, str, int, float | None]] = [
    ("g4dn.xlarge", "NVIDIA T4", 1, 4 / 96),
    ("ml.g4dn.xlarge", "NVIDIA T4", 1, 4 / 96),
    ("G4DN.12XLARGE", "NVIDIA T4", 4, 48 / 96),
    ("c7i.4xlarge", "Intel Xeon Platinum 8488C", 1, 16 / 192),
    ("c7a.medium", "AMD EPYC 9R14", 1, 1 / 192),
    ("m7g.large", "AWS Graviton3", 1, 2 / 64),
    ("g2-standard-24", "NVIDIA L4", 2, None),
    ("a2-highgpu-1g", "NVIDIA A100-SXM4-40GB", 1, None),
    ("NC24ads_A100_v4", "NVIDIA A100-PCIE-80GB", 1, None),
    ("inf2.xlarge", "AWS Inferentia2", 1, None),
    ("n1-standard-4+1xT4", "NVIDIA T4", 1, None),
    ("p5e.48xlarge", "NVIDIA H200-SXM5-141GB", 8, None),
]


def test_what_providers_print() -> None:
    """Case, ``ml.`` and ``Standard_`` do not matter; accelerators and the share are counted."""
    assert failures(check_printed, named(PRINTED)) == {}


def check_printed(case: tuple[str, str, int, float | None]) -> None:
    """One name as a provider prints it."""
    typed, device, n_devices, share = case
    found = BUNDLED.machines.find(typed)
    assert (found.device.name, found.n_devices) == (device, n_devices)
    if share is not None:
        assert found.host_share == pytest.approx(share)


@pytest.mark.parametrize(
    ("cpu", "vcpus"),
    [
        ("Intel Xeon Platinum 8488C", 96),
        ("AMD EPYC 7R32", 96),
        ("AMD EPYC 9R14", 96),
        ("AWS Graviton3", 64),
        ("Ampere Altra Q64-30", 64),
        ("Intel Xeon Platinum 8223CL", 48),
    ],
)
def test_a_chip_makes_as_many_vcpus_as_it_has_threads_that_are_sold(cpu: str, vcpus: int) -> None:
    """Two a core; one of Arm cores and AWS's 7a types; 24 cores where none are stated."""
    assert threads(BUNDLED.devices[cpu]) == vcpus


def test_the_largest_type_of_a_family_fills_whole_chips() -> None:
    """Bare metal and the largest sizes are one or two chips, of those whose cores are known."""
    for name in ("c5.metal", "c6a.48xlarge", "c7a.48xlarge", "c7g.16xlarge", "c7i.48xlarge"):
        each = instances()[name]
        assert each.vcpus / threads(BUNDLED.devices[each.cpu[0]]) in (1, 2)


def test_an_unknown_type_names_its_family() -> None:
    """A size that is not listed is never rounded to another; the nearest ones are named."""
    with pytest.raises(UnknownNameError) as caught:
        BUNDLED.machines.find("g4dn.32xlarge")
    assert not isinstance(caught.value, AmbiguousNameError)
    assert all(name.startswith("g4dn.") for name in caught.value.nearest)
    assert SPECS in str(caught.value)


def test_a_type_that_runs_on_several_cpus_names_them() -> None:
    """Azure's Dsv5 runs on any of three; the answer does not pick one."""
    with pytest.raises(UnsettledInstanceError, match="8473C") as caught:
        BUNDLED.machines.find("Standard_D4s_v5")
    assert len(caught.value.nearest) == 3


def test_figures_of_all_licences_keep_them() -> None:
    """Facts taken from an AGPL data set say so in their own row."""
    boavizta = [each for each in instances().values() if "Boavizta" in each.source]
    assert boavizta
    assert all("AGPL-3.0" in each.licence for each in boavizta)
