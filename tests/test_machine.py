"""The device probe: what a machine is, and what it must not be taken for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from calibration.hardware.machine import (
    Gpu,
    Machine,
    cpu_device,
    detect_machine,
    gpu_device,
    this_device,
)
from catalog.errors import UnknownNameError
from catalog.records import Device
from catalog.snapshot import Snapshot

EPYC = Device(
    name="AMD EPYC 7763",
    kind="cpu",
    cores=64,
    tdp_w=280,
    aliases=("AMD EPYC 7763 64-Core Processor",),
    status="verified",
)
A30 = Device(name="NVIDIA A30", kind="gpu", tdp_w=165, aliases=("A30",), status="verified")
CORE = """\
processor\t: {n}
model name\t: {model}
physical id\t: {socket}
core id\t\t: {core}
flags\t\t: fpu sse2 {flag}

"""


def snapshot(*more: Device) -> Snapshot:
    """A catalog of two chips and nothing else."""
    devices = {device.name: device for device in (EPYC, A30, *more)}
    return Snapshot(measurements=(), devices=devices, workloads={}, candidates={}, digest="")


def recorded(root: Path, model: str, cores: int, *, sockets: int = 1, clock: str = "tsc") -> Path:
    """The system files of a machine, below `root`."""
    flag = "hypervisor" if clock != "tsc" else ""
    cpuinfo = "".join(
        CORE.format(n=n, model=model, socket=n % sockets, core=n // sockets, flag=flag)
        for n in range(cores)
    )
    clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource"
    for name, text in {
        "proc/cpuinfo": cpuinfo,
        "proc/meminfo": "MemTotal:       24689152 kB\n",
        clocks: clock,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_masked_name_on_a_guest_is_no_real_part(tmp_path: Path) -> None:
    """A bare "AMD EPYC" with two virtual CPUs becomes a probed device without a TDP."""
    machine = detect_machine(recorded(tmp_path, "AMD EPYC", 2, clock="tsc kvm-clock"))
    device = cpu_device(machine, snapshot())
    assert device.name == "AMD EPYC (2 vCPU, KVM)"
    assert (device.kind, device.cores, device.status) == ("cpu", 2, "probed")
    assert device.tdp_w is None
    assert device.source
    assert machine.description() == "2 vCPU KVM, 24 GiB"


def test_a_slice_of_a_real_part_is_a_device_of_its_own(tmp_path: Path) -> None:
    """A guest with 4 of 64 cores does not get the part's TDP."""
    model = "AMD EPYC 7763 64-Core Processor"
    machine = detect_machine(recorded(tmp_path, model, 4, clock="tsc kvm-clock"))
    device = cpu_device(machine, snapshot())
    assert device.name == "AMD EPYC 7763 (4 vCPU, KVM)"
    assert device.tdp_w is None


def test_a_whole_part_is_the_tables_record(tmp_path: Path) -> None:
    """Bare metal whose printed name is an alias gets the record, on both sockets."""
    machine = detect_machine(recorded(tmp_path, "AMD EPYC 7763 64-Core Processor", 128, sockets=2))
    assert cpu_device(machine, snapshot()) is EPYC
    assert (machine.sockets, machine.cores, machine.hypervisor) == (2, 128, None)


def test_an_unlisted_cpu_on_bare_metal_is_probed(tmp_path: Path) -> None:
    """Trademarks, clock and core count leave the name, and nothing is guessed."""
    model = "Intel(R) Xeon(R) E-9999 CPU @ 3.10GHz"
    device = cpu_device(detect_machine(recorded(tmp_path, model, 8)), snapshot())
    assert device.name == "Intel Xeon E-9999"
    assert device.tdp_w is None


def test_a_probed_device_in_the_catalog_is_found_again(tmp_path: Path) -> None:
    """The stored record is used as it is, so that a rerun never conflicts with it."""
    machine = detect_machine(recorded(tmp_path, "AMD EPYC", 2, clock="kvm-clock"))
    first = cpu_device(machine, snapshot())
    assert cpu_device(machine, snapshot(first)) is first


@pytest.mark.parametrize(
    ("printed", "name", "tdp_w"), [("A30", "NVIDIA A30", 165), ("NVIDIA X1", "NVIDIA X1", None)]
)
def test_gpus_match_by_name_or_alias(printed: str, name: str, tdp_w: float | None) -> None:
    """A listed GPU is the table's record; another one is probed without a TDP."""
    gpu = Gpu(name=printed, memory_gb=24, driver="570.1")
    machine = Machine(cpu="x", sockets=1, cores=1, threads=1, memory_gib=1, gpus=(gpu,))
    device = gpu_device(machine, snapshot())
    assert device is not None
    assert (device.name, device.kind, device.tdp_w) == (name, "gpu", tdp_w)


def test_the_gpu_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What "this" names is the GPU where it has one, its CPU otherwise."""
    cpu_only = Machine(cpu="AMD EPYC 7763", sockets=1, cores=64, threads=64, memory_gib=1)
    monkeypatch.setattr("calibration.hardware.machine.detect_machine", lambda: cpu_only)
    assert this_device(snapshot()) is EPYC
    gpu = Gpu(name="NVIDIA A30", memory_gb=24, driver="570.1")
    with_gpu = Machine(cpu="x", sockets=1, cores=1, threads=1, memory_gib=1, gpus=(gpu,))
    monkeypatch.setattr("calibration.hardware.machine.detect_machine", lambda: with_gpu)
    assert this_device(snapshot()) is A30


def test_both_chips_of_a_machine_can_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its CPU beside a GPU; a GPU that is not there is an unknown name."""
    gpu = Gpu(name="NVIDIA A30", memory_gb=24, driver="570.1")
    both = Machine(cpu="AMD EPYC 7763", sockets=1, cores=64, threads=64, memory_gib=1, gpus=(gpu,))
    monkeypatch.setattr("calibration.hardware.machine.detect_machine", lambda: both)
    assert this_device(snapshot(), "cpu") is EPYC
    assert this_device(snapshot(), "gpu") is A30
    bare = Machine(cpu="AMD EPYC 7763", sockets=1, cores=64, threads=64, memory_gib=1)
    monkeypatch.setattr("calibration.hardware.machine.detect_machine", lambda: bare)
    with pytest.raises(UnknownNameError, match="this-cpu"):
        this_device(snapshot(), "gpu")


def test_this_machine_has_the_same_name_at_every_call() -> None:
    """Probing twice gives equal records."""
    assert this_device(snapshot()) == this_device(snapshot())
    assert detect_machine().cores >= 1


def test_the_base_install_can_probe() -> None:
    """Importing the suite and probing needs none of the benchmark libraries."""
    script = """
import sys
for name in ("torch", "transformers", "codecarbon", "psutil", "pynvml", "huggingface_hub"):
    sys.modules[name] = None
import calibration.suite
from catalog.snapshot import Snapshot
empty = Snapshot(measurements=(), devices={}, workloads={}, candidates={}, digest="")
assert calibration.suite.this_device(empty).name
assert calibration.suite.diagnose(empty)
calibration.suite.counter_readable()
slow = {"pandas", "sklearn", "lightgbm"} & set(sys.modules)
assert not slow, slow
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
