"""Diagnosis of a machine: available counters, libraries and data in; findings and remedies out."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import msgspec

from calibration.classifiers.backends import available
from calibration.hardware.machine import Gpu, Machine, cpu_device, detect_machine, gpu_device
from calibration.hardware.threads import usable_cores
from calibration.meters import powermetrics, wall
from calibration.meters.amd import AmdMeter
from calibration.meters.jetson import JetsonMeter
from calibration.meters.machine_meter import Sources, meter_name
from calibration.meters.powermetrics import PowermetricsMeter
from calibration.meters.rapl import Zone, permission_remedy, rapl_zones
from calibration.meters.wall import WallMeter
from calibration.workloads.errors import WorkloadError
from calibration.workloads.hub import folder_from_environment, local_checkpoint
from calibration.workloads.load import workload_paths
from catalog.errors import install_command
from catalog.registry.candidates import MINILM, MINILM_REVISION
from catalog.registry.families import ENCODER_BACKENDS
from catalog.snapshot import Snapshot


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one check.

    Attributes:
        what: Subject of the check, in a word or two.
        ok: Whether it can be used.
        detail: What was found.
        remedy: How to fix it; ``None`` if there is nothing to fix or no way to.
        counter: Whether the subject is a hardware energy counter.
    """

    what: str
    ok: bool
    detail: str
    remedy: str | None = None
    counter: bool = False


def _check_device(machine: Machine, snapshot: Snapshot) -> Finding:
    """The device that ``this`` stands for in queries on this machine."""
    device = gpu_device(machine, snapshot) or cpu_device(machine, snapshot)
    listed = device.status != "probed"
    stated = not listed and device.tdp_w is not None
    return Finding(
        what="device",
        ok=True,
        detail=f"{device.name} ({machine.description()})"
        + ("" if listed else "; not in the device table, so its data-sheet figures are missing")
        + (f"; TDP {device.tdp_w:g} W as its owner states it" if stated else ""),
        remedy=None
        if listed or stated
        else "joulewise calibrate --tdp-w W states its TDP (of a guest, the share of its host's "
        "chip): estimates get a narrower interval",
    )


def _check_nvml(gpus: tuple[Gpu, ...]) -> Iterator[Finding]:
    """Energy counters of NVIDIA GPUs."""
    if importlib.util.find_spec("pynvml") is None:
        remedy = f"{install_command('calibration')} if this machine has an NVIDIA GPU"
        yield Finding(
            what="NVML", ok=False, detail="pynvml is not installed", remedy=remedy, counter=True
        )
    elif not gpus:
        yield Finding(what="NVML", ok=False, detail="no NVIDIA GPU or driver answers", counter=True)
    for index, gpu in enumerate(gpus):
        if gpu.vendor != "NVIDIA":
            continue
        counted = gpu.total_energy_counter
        detail = "total-energy counter readable" if counted else "no total-energy counter"
        yield Finding(
            what=f"NVML GPU {index}", ok=counted, detail=f"{gpu.name}: {detail}", counter=True
        )


def _check_rapl(zones: list[Zone], machine: Machine) -> Iterator[Finding]:
    """RAPL domains and whether they are readable."""
    if not zones:
        why = f"hidden by the hypervisor ({machine.hypervisor})" if machine.hypervisor else "absent"
        remedy = (
            "run on bare metal, or have the host pass its energy counters through"
            if machine.hypervisor
            else "load the kernel module intel_rapl_common (Linux on Intel or AMD)"
        )
        yield Finding(
            what="RAPL",
            ok=False,
            detail=f"no powercap domain: {why}",
            remedy=remedy,
            counter=True,
        )
    for zone in zones:
        yield Finding(
            what=f"RAPL {zone.name}",
            ok=zone.readable,
            detail=f"{zone.path}/energy_uj " + ("readable" if zone.readable else "not readable"),
            remedy=permission_remedy(zone),
            counter=zone.name.startswith("package"),
        )


def _check_amd(sources: Sources, driver: Path = Path("/dev/kfd")) -> Iterator[Finding]:
    """Energy counters of AMD GPUs, where there is AMD SMI or the driver of such a GPU."""
    lib = sources.amdsmi()
    if lib is None and not driver.exists():
        return
    meter = AmdMeter(lib, environment=sources.environment)
    if lib is None:
        detail = "the driver of an AMD GPU is loaded, but the module amdsmi does not start"
        remedy = "install amdsmi in the version of this machine's ROCm (amd-smi version)"
    elif meter.has_counter:
        polled = meter.name.endswith("polled")
        kind = "socket power readable, no energy counter" if polled else "energy counter readable"
        detail, remedy = f"{kind}; candidates run through PyTorch for ROCm", None
    else:
        detail = meter.absent["gpu"]
        remedy = "run on bare metal, and check HIP_VISIBLE_DEVICES and membership in group render"
    yield Finding(what="AMD SMI", ok=meter.has_counter, detail=detail, remedy=remedy, counter=True)


def _check_board(sources: Sources, machine: Machine) -> Iterator[Finding]:
    """Power monitors of a Jetson board, where this is one."""
    meter = JetsonMeter(sources.i2c)
    if meter.present:
        names = "+".join(rail.label for rail in meter.rails)
        detail = meter.absent.get("board", f"{names} readable: the whole board, as component board")
        yield Finding(
            what="Jetson rails",
            ok=meter.has_counter,
            detail=detail,
            remedy=meter.remedy if meter.remedy or meter.has_counter else wall.REMEDY,
            counter=True,
        )
    elif any("Jetson" in gpu.name for gpu in machine.gpus):
        yield Finding(
            what="Jetson rails",
            ok=False,
            detail="no INA3221 or INA238 in /sys/bus/i2c/drivers shows labelled rails",
            remedy="JetPack 5 or newer; in a container, mount /sys; else " + wall.REMEDY,
            counter=True,
        )


def _check_powermetrics(sources: Sources) -> Iterator[Finding]:
    """Apple's powermetrics, on a Mac."""
    meter = PowermetricsMeter(sources.powermetrics(), frozenset({"cpu", "gpu", "npu"}))
    if meter.present:
        found = f"{', '.join(sorted(meter.covers))} readable; candidates run on the CPU, not on MPS"
        yield Finding(
            what="powermetrics",
            ok=meter.has_counter,
            detail=found
            if meter.has_counter
            else meter.absent["cpu"].removesuffix(f"; {powermetrics.REMEDY}"),
            remedy=meter.remedy,
            counter=True,
        )


def _check_wall(sources: Sources) -> Finding:
    """The wall meter that the environment names."""
    meter = WallMeter(sources.environment)
    return Finding(
        what="wall meter",
        ok=meter.has_counter,
        detail=meter.detail,
        remedy=None if meter.has_counter else wall.REMEDY,
        counter=True,
    )


def _check_meter(machine: Machine, snapshot: Snapshot, sources: Sources) -> Finding:
    """The meter a calibration would use for this machine's device."""
    device = gpu_device(machine, snapshot) or cpu_device(machine, snapshot)
    name = meter_name(device, sources)
    counters = [part for part in name.split("+") if part not in ("none", "codecarbon")]
    detail = f"{name}: " + (
        f"measures by {' and '.join(counters)}" if counters else "no component is measured"
    )
    if name.endswith("codecarbon"):
        detail += "; CodeCarbon models what no counter reads"
    return Finding(
        what="meter",
        ok=bool(counters),
        detail=detail,
        remedy=None if counters else "make one of the counters above readable",
    )


def _check_library(name: str, purpose: str) -> Finding:
    """Whether an optional library is installed."""
    installed = importlib.util.find_spec(name) is not None
    return Finding(
        what=name,
        ok=installed,
        detail=purpose if installed else f"not installed; {purpose} is not possible",
        remedy=None if installed else install_command("calibration"),
    )


def _check_backends() -> Iterator[Finding]:
    """Serving backends of encoders beside PyTorch, and the threads they get."""
    for backend in ENCODER_BACKENDS[1:]:
        reason = available.missing(backend)
        detail, _, remedy = (reason or f"serves encoders on {usable_cores()} threads").partition(
            "; "
        )
        yield Finding(what=backend, ok=reason is None, detail=detail, remedy=remedy or None)


def _check_checkpoint(models: Path | None) -> Finding:
    """Whether the weights of the frozen encoder MiniLM are on this machine."""
    local = local_checkpoint(MINILM, models)
    place = (models or Path("<JOULEWISE_MODELS>")) / MINILM
    return Finding(
        what="MiniLM checkpoint",
        ok=local is not None,
        detail=str(local or f"not in {place}; it will be downloaded from the hub"),
        remedy=None if local else f"put {MINILM} at {MINILM_REVISION[:12]} into {place}",
    )


def _check_data(data: Path | None) -> Finding:
    """The data folder and its workloads."""
    remedy = "set JOULEWISE_DATA or --data to a folder of <name>/data.csv.gz + meta.json"
    try:
        names = list(workload_paths(data))
    except WorkloadError as error:
        return Finding(what="data", ok=False, detail=str(error), remedy=remedy)
    if data is None or not names:
        detail = (
            f"no workload in {data}"
            if data
            else "no data folder; only the synthetic workload is available"
        )
        return Finding(what="data", ok=False, detail=detail, remedy=remedy)
    return Finding(what="data", ok=True, detail=f"{data}: {', '.join(names)}")


def diagnose(
    snapshot: Snapshot,
    *,
    data: Path | None = None,
    models: Path | None = None,
    machine: Machine | None = None,
    sources: Sources | None = None,
) -> list[Finding]:
    """Checks everything a calibration could use; changes nothing.

    Args:
        snapshot: The catalog, for its device table.
        data: Folder of workloads; default ``JOULEWISE_DATA``.
        models: Folder of checkpoints; default ``JOULEWISE_MODELS``.
        machine: The machine; detected by default.
        sources: Where counters are read.
    """
    machine, sources = machine or detect_machine(), sources or Sources()
    virtual = f"guest of {machine.hypervisor}" if machine.hypervisor else "bare metal"
    return [
        _check_device(machine, snapshot),
        Finding(
            what="bare metal",
            ok=machine.hypervisor is None,
            detail=virtual,
            remedy="measure on bare metal for figures of the whole chip"
            if machine.hypervisor
            else None,
        ),
        *_check_nvml(machine.gpus),
        *_check_amd(sources),
        *_check_rapl(list(rapl_zones(sources.powercap)), machine),
        *_check_board(sources, machine),
        *_check_powermetrics(sources),
        _check_wall(sources),
        _check_meter(machine, snapshot, sources),
        _check_library("codecarbon", "the fallback meter (modelled where no counter is read)"),
        _check_library("torch", "running encoders"),
        _check_library("transformers", "loading encoders"),
        *_check_backends(),
        _check_checkpoint(folder_from_environment("JOULEWISE_MODELS", models)),
        _check_data(folder_from_environment("JOULEWISE_DATA", data)),
    ]
