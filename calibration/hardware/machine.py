"""Finds out what this machine is: chips, memory, hypervisor.

Reads files and NVML and needs neither torch nor psutil. A figure of a data sheet (TDP, peak
rates) is never guessed here: it comes from the catalog's device table or stays missing.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import msgspec

from calibration.hardware.cuda_visibility import VisibleGpu, decode_name, nvml_query, visible_gpus
from catalog.errors import UnknownNameError
from catalog.records import Device
from catalog.snapshot import Snapshot

_GIB = 1024**3
_HYPERVISOR_OF_CLOCK = {"kvm-clock": "KVM", "hyperv": "Hyper-V", "xen": "Xen"}
_CPU_NAME_NOISE = re.compile(
    r"\((?:R|TM|C)\)|\bCPU\b|\bProcessor\b|\b\d+-Core\b|@.*$|\bRev \S+$", re.IGNORECASE
)


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One NVIDIA GPU as NVML describes it; `power_limit_w` is the limit in force."""

    name: str
    memory_gb: float
    driver: str
    power_limit_w: float | None = None
    total_energy_counter: bool = False


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a machine.

    Attributes:
        cpu: Model name as the system prints it.
        cores: Physical cores over all sockets; `threads` what the system schedules on.
        hypervisor: Its name; ``None`` on bare metal.
        memory_gib: Main memory, GiB, rounded so that it is the same at every boot.
        governor: Frequency governor of the first core, where readable.
    """

    cpu: str
    sockets: int
    cores: int
    threads: int
    memory_gib: int
    hypervisor: str | None = None
    governor: str | None = None
    gpus: tuple[Gpu, ...] = ()

    def description(self) -> str:
        """The machine in words; holds no host name."""
        if self.hypervisor:
            cpu = f"{self.threads} vCPU {self.hypervisor}"
        else:
            cpu = f"{self.sockets} x {clean_cpu_name(self.cpu)}, {self.cores} cores"
        gpus = f"{len(self.gpus)} x {self.gpus[0].name}, " if self.gpus else ""
        return f"{gpus}{cpu}, {self.memory_gib} GiB"


def clean_cpu_name(name: str) -> str:
    """A CPU's printed name without trademarks, clock and core count."""
    return " ".join(_CPU_NAME_NOISE.sub(" ", name).split())


def read_system_file(path: Path) -> str:
    """A small system file; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _cpuinfo_values(cpuinfo: str, field: str) -> list[str]:
    """All values of one field of ``/proc/cpuinfo``, in order."""
    return re.findall(rf"^{re.escape(field)}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)


def _hypervisor(root: Path, cpuinfo: str) -> str | None:
    """Name of the hypervisor, from the clock it offers; ``VM`` if only the flag is there."""
    clocks = read_system_file(
        root / "sys/devices/system/clocksource/clocksource0/available_clocksource"
    )
    for clock, name in _HYPERVISOR_OF_CLOCK.items():
        if clock in clocks:
            return name
    flags = _cpuinfo_values(cpuinfo, "flags")
    return "VM" if flags and "hypervisor" in flags[0].split() else None


def _detect_linux(root: Path) -> Machine:
    """The machine from ``/proc`` and ``/sys`` below `root`."""
    cpuinfo = read_system_file(root / "proc/cpuinfo")
    names = _cpuinfo_values(cpuinfo, "model name")
    board = read_system_file(root / "proc/device-tree/model")
    sockets = _cpuinfo_values(cpuinfo, "physical id")
    cores = set(zip(sockets, _cpuinfo_values(cpuinfo, "core id"), strict=False))
    threads = len(_cpuinfo_values(cpuinfo, "processor")) or os.cpu_count() or 1
    total = re.search(r"MemTotal:\s*(\d+) kB", read_system_file(root / "proc/meminfo"))
    return Machine(
        cpu=names[0] if names else board or platform.machine(),
        sockets=len(set(sockets)) or 1,
        cores=len(cores) or threads,
        threads=threads,
        memory_gib=round(int(total[1]) * 1024 / _GIB) if total else 0,
        hypervisor=_hypervisor(root, cpuinfo),
        governor=read_system_file(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        or None,
    )


def _sysctl(name: str) -> str:
    """One macOS kernel variable; empty where it does not exist."""
    try:
        ran = subprocess.run(  # noqa: S603
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5
        )
    except OSError:
        return ""
    return ran.stdout.strip()


def _detect_macos() -> Machine:
    """The machine from ``sysctl``."""
    threads = os.cpu_count() or 1
    return Machine(
        cpu=_sysctl("machdep.cpu.brand_string") or platform.machine(),
        sockets=1,
        cores=int(_sysctl("hw.physicalcpu") or threads),
        threads=threads,
        memory_gib=round(int(_sysctl("hw.memsize") or 0) / _GIB),
        hypervisor="VM" if _sysctl("kern.hv_vmm_present") == "1" else None,
    )


def detect_gpus() -> tuple[Gpu, ...]:
    """The GPUs that CUDA shows to this process, in its order, as NVML describes them.

    None where pynvml, the driver or a GPU is missing, or ``CUDA_VISIBLE_DEVICES`` hides them.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVMLError is only there with pynvml
        return ()
    try:
        return tuple(_describe_gpu(pynvml, gpu) for gpu in visible_gpus(pynvml))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _describe_gpu(nvml: Any, gpu: VisibleGpu) -> Gpu:
    """One GPU, or the slice of one; limit and counter are those of the whole."""
    memory = nvml_query(nvml, "nvmlDeviceGetMemoryInfo", gpu.handle)
    limit = nvml_query(nvml, "nvmlDeviceGetEnforcedPowerLimit", gpu.whole)
    counter = nvml_query(nvml, "nvmlDeviceGetTotalEnergyConsumption", gpu.whole)
    return Gpu(
        name=decode_name(nvml_query(nvml, "nvmlDeviceGetName", gpu.handle)),
        memory_gb=round(getattr(memory, "total", 0) / _GIB, 0),
        driver=decode_name(nvml_query(nvml, "nvmlSystemGetDriverVersion")),
        power_limit_w=limit / 1000 if isinstance(limit, int) else None,
        total_energy_counter=counter is not None,
    )


def detect_machine(root: Path = Path("/")) -> Machine:
    """Describes the machine this runs on.

    Args:
        root: Where ``proc`` and ``sys`` hang; another one describes a recorded machine (which
            has no GPUs, as those are asked through NVML).
    """
    if root != Path("/"):
        return _detect_linux(root)
    system = {"Linux": lambda: _detect_linux(root), "Darwin": _detect_macos}.get(platform.system())
    if system is None:
        cpu, threads = platform.processor() or platform.machine(), os.cpu_count() or 1
        machine = Machine(cpu=cpu, sockets=1, cores=threads, threads=threads, memory_gib=0)
    else:
        machine = system()
    return msgspec.structs.replace(machine, gpus=detect_gpus())


def _find_device(snapshot: Snapshot, names: list[str], kinds: tuple[str, ...]) -> Device | None:
    """The first record of the catalog that carries one of `names` and a fitting kind."""
    for name in names:
        found = snapshot.named(name)
        if found is not None and found.kind in kinds:
            return found
    return None


def cpu_device(machine: Machine, snapshot: Snapshot) -> Device:
    """The CPU as a device: the table's record, or a probed one.

    A guest that sees fewer threads than the part has cores is not that part: it shares the
    package with others, so the part's figures (its TDP above all) do not hold for it.
    """
    name = clean_cpu_name(machine.cpu)
    part = _find_device(snapshot, [machine.cpu, name], ("cpu", "soc"))
    whole = machine.hypervisor is None or (
        part is not None and machine.threads >= (part.cores or machine.threads + 1)
    )
    if part is not None and part.status != "probed" and whole:
        return part
    if machine.hypervisor:
        named = part.name if part else name
        name = f"{named} ({machine.threads} vCPU, {machine.hypervisor})"
    return snapshot.devices.get(name) or Device(
        name=name,
        kind="cpu",
        vendor=name.split()[0] if name else None,
        cores=machine.threads if machine.hypervisor else machine.cores,
        memory_gb=float(machine.memory_gib) or None,
        source="read from /proc/cpuinfo, sysctl or platform by joulewise calibrate",
        status="probed",
    )


def gpu_device(machine: Machine, snapshot: Snapshot) -> Device | None:
    """The first GPU as a device, or ``None``; figures only from the table."""
    if not machine.gpus:
        return None
    first = machine.gpus[0]
    part = _find_device(snapshot, [first.name, f"NVIDIA {first.name}"], ("gpu",))
    return part or Device(
        name=first.name,
        kind="gpu",
        vendor="NVIDIA",
        memory_gb=first.memory_gb,
        source="read from NVML by joulewise calibrate",
        status="probed",
    )


def this_device(snapshot: Snapshot, kind: Literal["cpu", "gpu"] | None = None) -> Device:
    """What "this machine" means in a question: its first GPU, else its CPU.

    Args:
        snapshot: The catalog, for its device table.
        kind: The chip that is meant, where it is said.

    Raises:
        UnknownNameError: A GPU is meant and there is none.

    Returns:
        The catalog's record where the name or an alias matches, else a probed record whose
        name is the same at every call.
    """
    machine = detect_machine()
    gpu = None if kind == "cpu" else gpu_device(machine, snapshot)
    if kind == "gpu" and gpu is None:
        raise UnknownNameError("device", "this-gpu", ["this", "this-cpu"])
    return gpu or cpu_device(machine, snapshot)
