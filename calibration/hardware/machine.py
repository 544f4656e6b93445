"""Hardware detection: the machine's CPU, GPUs, memory and hypervisor, and its catalog devices.

Reads system files, NVML and AMD SMI; needs neither torch nor psutil. Data-sheet figures (TDP, peak
rates) are never guessed: they come from the catalog's device table or stay missing.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any, Literal

import msgspec

from calibration.hardware.amd_visibility import (
    amd_gpus,
    amdsmi_query,
    energy_ticks,
    load_amdsmi,
    market_name,
)
from calibration.hardware.cuda_visibility import VisibleGpu, decode_name, nvml_query, visible_gpus
from catalog.errors import UnknownNameError
from catalog.records import Device
from catalog.snapshot import Snapshot

_GIB = 1024**3
_SOURCES = {"NVIDIA": "NVML", "AMD": "AMD SMI"}
_HYPERVISOR_OF_CLOCK = {"kvm-clock": "KVM", "hyperv": "Hyper-V", "xen": "Xen"}
_CPU_NAME_NOISE = re.compile(
    r"\((?:R|TM|C)\)|\bCPU\b|\bProcessor\b|\b\d+-Core\b|@.*$|\bRev \S+$", re.IGNORECASE
)


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU as NVML or AMD SMI describes it, or that of a Jetson module.

    Attributes:
        memory_gb: Memory, GiB, rounded.
        power_limit_w: Enforced power limit, watts; ``None`` if unreadable.
        total_energy_counter: Whether the total-energy counter is readable.
    """

    name: str
    memory_gb: float
    driver: str
    power_limit_w: float | None = None
    total_energy_counter: bool = False
    vendor: str = "NVIDIA"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Detected hardware of a machine.

    Attributes:
        cpu: Model name as reported by the system.
        cores: Physical cores of all sockets.
        threads: Logical processors.
        memory_gib: Main memory, GiB, rounded so that it is the same at every boot.
        hypervisor: Name of the hypervisor; ``None`` on bare metal.
        governor: Frequency governor of the first core; ``None`` if unreadable.
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
        """One line for people, such as ``2 vCPU KVM, 24 GiB``; contains no host name."""
        if self.hypervisor:
            cpu = f"{self.threads} vCPU {self.hypervisor}"
        else:
            cpu = f"{self.sockets} x {clean_cpu_name(self.cpu)}, {self.cores} cores"
        gpus = f"{len(self.gpus)} x {self.gpus[0].name}, " if self.gpus else ""
        return f"{gpus}{cpu}, {self.memory_gib} GiB"


def clean_cpu_name(name: str) -> str:
    """A CPU's reported name without trademarks, clock and core count."""
    return " ".join(_CPU_NAME_NOISE.sub(" ", name).split())


def read_system_file(path: Path) -> str:
    """Content of a small system file, stripped; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _cpuinfo_values(cpuinfo: str, field: str) -> list[str]:
    """All values of one field of ``/proc/cpuinfo``, in order."""
    return re.findall(rf"^{re.escape(field)}\s*:\s*(.*)$", cpuinfo, re.MULTILINE)


def _hypervisor(root: Path, cpuinfo: str) -> str | None:
    """Name of the hypervisor from its clock source; ``VM`` if only the CPU flag is set."""
    clocks = read_system_file(
        root / "sys/devices/system/clocksource/clocksource0/available_clocksource"
    )
    for clock, name in _HYPERVISOR_OF_CLOCK.items():
        if clock in clocks:
            return name
    flags = _cpuinfo_values(cpuinfo, "flags")
    return "VM" if flags and "hypervisor" in flags[0].split() else None


def _detect_linux(root: Path) -> Machine:
    """Detects the machine from ``/proc`` and ``/sys`` below `root`."""
    cpuinfo = read_system_file(root / "proc/cpuinfo")
    names = _cpuinfo_values(cpuinfo, "model name")
    board = read_system_file(root / "proc/device-tree/model")
    sockets = _cpuinfo_values(cpuinfo, "physical id")
    cores = set(zip(sockets, _cpuinfo_values(cpuinfo, "core id"), strict=False))
    threads = len(_cpuinfo_values(cpuinfo, "processor")) or os.cpu_count() or 1
    total = re.search(r"MemTotal:\s*(\d+) kB", read_system_file(root / "proc/meminfo"))
    memory_gib = round(int(total[1]) * 1024 / _GIB) if total else 0
    jetson = _jetson_gpu(root, board, memory_gib)
    if jetson:  # its cores call themselves "ARMv8 Processor"
        names = [f"{board}, Arm cores"]
    return Machine(
        cpu=names[0] if names else board or platform.machine(),
        sockets=len(set(sockets)) or 1,
        cores=len(cores) or threads,
        threads=threads,
        memory_gib=memory_gib,
        gpus=jetson,
        hypervisor=_hypervisor(root, cpuinfo),
        governor=read_system_file(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        or None,
    )


def _jetson_gpu(root: Path, board: str, memory_gib: int) -> tuple[Gpu, ...]:
    """The GPU of a Jetson module, which NVML does not describe before JetPack 7; else none.

    The system sees less than the module's memory, whose sizes are powers of two.
    """
    if "Jetson" not in board:
        return ()
    release = read_system_file(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    return (
        Gpu(
            name=re.sub(r"( Engineering Reference)? Developer Kit.*", "", board),
            memory_gb=float(2 ** max(memory_gib - 1, 0).bit_length()),
            driver=f"L4T {found[1]}.{found[2]}" if found else "L4T",
        ),
    )


def _sysctl(name: str) -> str:
    """One macOS kernel variable; empty if it does not exist."""
    try:
        ran = subprocess.run(  # noqa: S603
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False, timeout=5
        )
    except OSError:
        return ""
    return ran.stdout.strip()


def _detect_macos() -> Machine:
    """Detects the machine from ``sysctl``."""
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
    """The GPUs that CUDA or HIP shows to this process, in its order: NVIDIA's, else AMD's.

    Empty if library, driver or GPU is missing, or ``CUDA_VISIBLE_DEVICES`` hides them.
    """
    return _detect_nvidia() or _detect_amd()


def _detect_nvidia() -> tuple[Gpu, ...]:
    """NVIDIA GPUs as NVML describes them."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVMLError exists only with pynvml
        return ()
    try:
        return tuple(_describe_gpu(pynvml, gpu) for gpu in visible_gpus(pynvml))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _detect_amd() -> tuple[Gpu, ...]:
    """AMD GPUs as AMD SMI describes them; power limit and counter are those of the package."""
    lib = load_amdsmi()
    found = []
    for gpu in amd_gpus(lib):
        memory = amdsmi_query(lib, "amdsmi_get_gpu_vram_info", gpu.handle) or {}
        driver = amdsmi_query(lib, "amdsmi_get_gpu_driver_info", gpu.handle) or {}
        limit_uw = (amdsmi_query(lib, "amdsmi_get_power_cap_info", gpu.whole) or {}).get(
            "power_cap"
        )
        found.append(
            Gpu(
                name=market_name(lib, gpu.handle) or "AMD GPU",
                memory_gb=round(float(memory.get("vram_size") or 0) / 1024, 0),
                driver=str(driver.get("driver_version") or ""),
                power_limit_w=limit_uw / 1e6 if isinstance(limit_uw, int) else None,
                total_energy_counter=energy_ticks(lib, gpu.whole) is not None,
                vendor="AMD",
            )
        )
    return tuple(found)


def _describe_gpu(nvml: Any, gpu: VisibleGpu) -> Gpu:
    """One GPU or MIG slice; power limit and counter are those of the whole GPU."""
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
    """Detects the hardware of this machine.

    Args:
        root: Folder that holds ``proc`` and ``sys``. Any other than ``/`` describes a recorded
            machine, without the GPUs that are read through NVML and AMD SMI.
    """
    if root != Path("/"):
        return _detect_linux(root)
    system = {"Linux": lambda: _detect_linux(root), "Darwin": _detect_macos}.get(platform.system())
    if system is None:
        cpu, threads = platform.processor() or platform.machine(), os.cpu_count() or 1
        machine = Machine(cpu=cpu, sockets=1, cores=threads, threads=threads, memory_gib=0)
    else:
        machine = system()
    return msgspec.structs.replace(machine, gpus=detect_gpus() or machine.gpus)


def _find_device(snapshot: Snapshot, names: list[str], kinds: tuple[str, ...]) -> Device | None:
    """The first device of the catalog with one of `names` or aliases and one of `kinds`."""
    for name in names:
        found = snapshot.named(name, kinds)
        if found is not None and found.status != "not found":
            return found
    return None


def cpu_device(machine: Machine, snapshot: Snapshot) -> Device:
    """The machine's CPU as a device: the catalog's record, or a detected one.

    A virtual machine with fewer threads than the CPU has cores shares the package with others, so
    that the CPU's data-sheet figures (above all its TDP) do not hold for it.
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
    """The machine's first GPU as a device, or ``None``: the catalog's record, or a detected one."""
    if not machine.gpus:
        return None
    first = machine.gpus[0]
    names = [first.name, f"{first.vendor} {first.name}", f"{first.name} {first.memory_gb:g}GB"]
    part = _find_device(snapshot, names, ("gpu",))
    return part or Device(
        name=first.name,
        kind="gpu",
        vendor=first.vendor,
        memory_gb=first.memory_gb,
        source=f"read from {_SOURCES.get(first.vendor, first.vendor)} by joulewise calibrate",
        status="probed",
    )


def this_device(snapshot: Snapshot, kind: Literal["cpu", "gpu"] | None = None) -> Device:
    """The device that ``this`` stands for in a query: the first GPU, else the CPU.

    Args:
        snapshot: The catalog, for its device table.
        kind: Kind of device; ``None`` for the default.

    Raises:
        UnknownNameError: A GPU is requested and the machine has none.

    Returns:
        The catalog's record if the name or an alias matches, else a detected record whose name
        is the same at every call.
    """
    machine = detect_machine()
    gpu = None if kind == "cpu" else gpu_device(machine, snapshot)
    if kind == "gpu" and gpu is None:
        raise UnknownNameError("device", "this-gpu", ["this", "this-cpu"])
    return gpu or cpu_device(machine, snapshot)
