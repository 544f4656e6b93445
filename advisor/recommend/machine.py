"""Machine of an answer: from what a question names to the chips that every option is priced on.

A GPU or NPU names a machine: itself and its host CPU, which runs counts, word lists and word
vectors. Where nothing is named a reference machine stands, which the answer states.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from advisor.estimator.power import host_watts
from advisor.recommend.qualification import rounded
from advisor.recommend.records import PricedMachine, Reason
from catalog.hardware.device_defaults import completed
from catalog.hardware.instances import Instance, threads
from catalog.hardware.machines import ResolvedDevice
from catalog.records import Candidate, Device, Family, Measurement, Scope, moment
from catalog.registry.families import CLASSICAL
from catalog.snapshot import Snapshot

REFERENCE_DEVICE = "NVIDIA L4"
"""Priced where a question names no machine and this catalog has calibrated none."""
CALIBRATION = "calibration"
MachineBasis = Literal["asked", "setting", "calibrated", "default"]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The chips of one machine.

    Attributes:
        device: The accelerator, or the CPU of a machine without one.
        host: The CPU that runs what needs no accelerator; equal to `device` without one.
        n_devices: Accelerators there are.
        basis: How it came to be the machine.
        instance: The cloud instance, where one was named.
        chips: Threads of its CPU over those of one chip: of an instance its vCPUs, above 1 on
            several sockets.
        hosts: Share of the host that is the instance's: of its vCPUs, else of its usual sockets.
        note: What was taken for granted; ``None`` where nothing was.
        host_note: Where the host CPU is from, if it was not stated.
    """

    device: Device
    host: Device
    n_devices: int = 1
    basis: MachineBasis = "asked"
    instance: Instance | None = None
    chips: float = 1.0
    hosts: float = 1.0
    note: str | None = None
    host_note: str | None = None

    def runs(self, family: Family) -> Device:
        """The chip that does the work of a family."""
        return self.host if family in CLASSICAL else self.device

    def names(self, family: Family) -> tuple[str, ...]:
        """Devices whose rows were measured on such a machine, the chip that does the work last.

        Rows of counts on a GPU machine name the GPU, where the whole machine was metered.
        """
        chip = self.runs(family).name
        return (chip,) if chip == self.device.name else (self.device.name, chip)

    def part(self, device: Device, n_devices: int | None = 1) -> dict[str, float]:
        """Fields of a setup on one of its chips that differ from those of a whole machine.

        A CPU of a cloud instance is the share of its vCPUs; an accelerator has the instance's host
        around it, shared among the accelerators of the instance.
        """
        if self.instance is None:
            return {}
        if device.kind == "cpu":
            return {"share": self.chips}
        around = host_watts(completed(self.host).device.tdp_w or 0.0, self.chips, self.hosts)
        return {"host_w": around * min((n_devices or 1) / self.n_devices, 1.0)}

    def whole(self, device: Device, scope: Scope) -> bool:
        """Whether joules that others measured on a device in a scope are those of this machine."""
        if self.instance is None:
            return True
        if device.kind == "cpu":
            return self.chips == 1
        return scope == "device" or self.hosts == 1

    def memory_gb(self, device: Device) -> float:
        """Memory for a model on one of its chips, 1e9 bytes; that of an instance as printed."""
        if self.instance is not None and device.kind == "cpu" and self.instance.memory_gb:
            return self.instance.memory_gb
        return memory_gb(device)

    def priced(self) -> PricedMachine:
        """The machine as an answer states it."""
        own = self.instance
        return PricedMachine(
            device=self.device.name,
            host_cpu=self.host.name,
            basis=self.basis,
            n_devices=self.n_devices,
            instance=None if own is None else own.name,
            vcpus=None if own is None else own.vcpus,
            cpu_share=None if own is None else rounded(self.chips),
            memory_gb=None if own is None else own.memory_gb,
        )

    def fitting(
        self, device: Device, needed_gb: float | None
    ) -> tuple[int, tuple[Reason, str] | None]:
        """How many of its devices hold a model, and why it does not fit if it does not."""
        has, needed = self.memory_gb(device), needed_gb or 0.0
        number = max(1, math.ceil(needed / has)) if has else 1
        most = self.n_devices if device.name == self.device.name else 1
        if number <= most:
            return number, None
        owner = device.name if self.instance is None or device.kind != "cpu" else self.instance.name
        count = f"{most} x {device.name}" if most > 1 else owner
        return 1, (
            "does-not-fit",
            f"does not fit: {needed:.3g} GB; {count} has {most * has:.3g} GB",
        )


def resolve(
    snapshot: Snapshot, asked: str | Device | None, setting: str | Device | None = None
) -> Machine:
    """The machine a question is about.

    Args:
        snapshot: The device table and the calibrations.
        asked: As in the question; ``None`` takes `setting`, else the machine whose calibration is
            the newest of this catalog's own, else `REFERENCE_DEVICE`.
        setting: Of ``JOULEWISE_DEVICE``.

    Raises:
        UnknownNameError: It is not in the catalog.
    """
    if asked is not None:
        return _named(snapshot, asked, "asked")
    if setting is not None:
        return _named(snapshot, setting, "setting")
    newest = _last_calibrated(snapshot)
    if newest is not None:
        return _named(snapshot, newest, "calibrated")
    return _named(snapshot, REFERENCE_DEVICE, "default")


def worker(snapshot: Snapshot, row: Measurement, candidate: Candidate) -> Device:
    """The chip that did the work of a row: of counts on a GPU machine its usual host CPU."""
    device = snapshot.devices[row.device]
    if candidate.family not in CLASSICAL or device.kind == "cpu":
        return device
    return _host(snapshot, ResolvedDevice(device=device))[0]


def _named(snapshot: Snapshot, asked: str | Device, basis: MachineBasis) -> Machine:
    """A machine by name or record."""
    found = (
        ResolvedDevice(device=asked) if isinstance(asked, Device) else snapshot.machines.find(asked)
    )
    host, note = _host(snapshot, found)
    chips, hosts = _shares(found.instance, host)
    return Machine(
        device=found.device,
        host=host,
        n_devices=max(1, int(found.n_devices or 1)),
        basis=basis,
        instance=found.instance,
        chips=chips,
        hosts=hosts,
        note=found.note,
        host_note=note,
    )


def _shares(instance: Instance | None, host: Device) -> tuple[float, float]:
    """Chips and hosts that the vCPUs of an instance are worth; 1 of each where none was named."""
    if instance is None:
        return 1.0, 1.0
    chips = instance.vcpus / threads(host)
    return chips, instance.host_share or min(chips / completed(host).device_class.host_sockets, 1.0)


def _host(snapshot: Snapshot, found: ResolvedDevice) -> tuple[Device, str | None]:
    """The host CPU of a machine, and where it is from if it was not stated."""
    device = found.device
    if device.kind == "cpu":
        return device, None
    if found.instance is not None:
        for name in found.instance.cpu:
            if name in snapshot.devices:
                return snapshot.devices[name], None
    own = _calibrated_host(snapshot, device.name)
    if own is not None:
        return own, None
    usual = completed(device)
    if usual.host_cpu is not None and usual.host_cpu in snapshot.devices:
        kind = usual.device_class.device_class
        return (
            snapshot.devices[usual.host_cpu],
            f"host CPU not stated: {usual.host_cpu}, usual for {kind}",
        )
    if device.kind == "soc":
        return device, None
    part = Device(
        name=f"{device.name} (CPU)",
        kind="cpu",
        memory_gb=usual.device.memory_gb,
        tdp_w=usual.device.tdp_w,
        status="derived",
        source="power of the whole module; its rates are class defaults",
    )
    return part, f"no figures of the CPU of {device.name} are known: class defaults"


def _of_calibration(snapshot: Snapshot) -> list[Measurement]:
    """Rows of this catalog's own calibrations."""
    return [row for row in snapshot.own.rows if row.source == CALIBRATION]


def _last_calibrated(snapshot: Snapshot) -> str | None:
    """The device of the newest own calibration: the accelerator where its host has one."""
    rows = [row for row in _of_calibration(snapshot) if row.device in snapshot.devices]
    if not rows:
        return None
    newest = max(rows, key=lambda row: moment(row.measured_at))
    same = [row for row in rows if (row.host, row.host is None) == (newest.host, False)]
    kinds: Mapping[str, Device] = snapshot.devices
    chips = [row.device for row in same if kinds[row.device].kind != "cpu"]
    return chips[-1] if chips else newest.device


def _calibrated_host(snapshot: Snapshot, device: str) -> Device | None:
    """The CPU that own calibrations found in the machine of a device."""
    rows = _of_calibration(snapshot)
    hosts = {row.host for row in rows if row.device == device and row.host}
    for row in rows:
        chip = snapshot.devices.get(row.device)
        if row.host in hosts and chip is not None and chip.kind == "cpu":
            return chip
    return None


def memory_gb(device: Device) -> float:
    """Memory of a device, 1e9 bytes; the class default where none is stated."""
    return completed(device).device.memory_gb or 0.0
