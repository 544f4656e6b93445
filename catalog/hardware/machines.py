"""Resolution of a machine's name: to a device of the table, or a cloud instance's hardware."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping

import msgspec

from catalog.errors import AmbiguousNameError, UnknownNameError, UnsettledInstanceError
from catalog.hardware.device_names import DeviceNames
from catalog.hardware.instances import Instance, instances
from catalog.records import Device

SPECS = "device_kind tdp_w peak_fp32_tflops peak_fp16_tflops memory_bandwidth_gbs memory_gb"
"""Parameters that describe a device the table lacks."""


class ResolvedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """The hardware a name stands for.

    Attributes:
        device: The accelerator of a cloud instance that has one, else its CPU; or the device.
        instance: The cloud instance, where one was named.
        n_devices: Accelerators of the instance; for a CPU instance 1.
        host_share: Share of the host's vCPUs that are the instance's, 0 to 1; ``None`` where the
            host is not known.
        note: What was taken for granted; ``None`` where nothing was.
    """

    device: Device
    instance: Instance | None = None
    n_devices: float | None = None
    host_share: float | None = None
    note: str | None = None


class Machines:
    """Finds devices and cloud instances by name.

    Args:
        devices: The device table.
        types: Cloud instance types by name; the bundled ones if left out.
    """

    def __init__(
        self, devices: Iterable[Device], types: Mapping[str, Instance] | None = None
    ) -> None:
        self._devices = {device.name: device for device in devices}
        self._types = types

    @functools.cached_property
    def names(self) -> DeviceNames:
        """Names of the device table."""
        return DeviceNames(self._devices.values())

    @functools.cached_property
    def _instances(self) -> dict[str, Instance]:
        """Instances by their folded names."""
        known = instances() if self._types is None else self._types
        return {_folded(name): each for name, each in known.items()}

    def find(self, asked: str) -> ResolvedDevice:
        """The hardware that a name means; instances are found by their whole names only.

        Raises:
            AmbiguousNameError: Several devices may be meant.
            UnsettledInstanceError: An instance may have any of several devices.
            UnknownNameError: None is; names the nearest devices and instances, and says that
                specs can be given instead.
        """
        if asked in self._devices:
            return _plainly(self._devices[asked])
        instance = self._instances.get(_folded(asked))
        if instance is not None:
            return self._of_instance(instance)
        try:
            device, note = self.names.find(asked)
        except AmbiguousNameError:
            raise
        except UnknownNameError as error:
            known = [*error.known, *(each.name for each in self._instances.values())]
            first = [*(each.name for each in self._nearest(asked)), *error.nearest]
            raise UnknownNameError(
                "device", asked, known, first=first, remedy=f"or give its specs: {SPECS}"
            ) from None
        return _plainly(device, note)

    def _nearest(self, asked: str) -> list[Instance]:
        """Instance types that resemble a name that looks like one."""
        if not re.search(r"[a-z]\d.*[.\-_]|standard", asked.casefold()):
            return []
        close = difflib.get_close_matches(_folded(asked), self._instances, n=5, cutoff=0.7)
        return [self._instances[name] for name in close]

    def _of_instance(self, instance: Instance) -> ResolvedDevice:
        """The hardware of an instance.

        Raises:
            UnsettledInstanceError: It may have any of several devices, a share of one, or its
                hardware is not stated.
        """
        if instance.unresolved is not None:
            listed = instance.unresolved.partition("one of ")[2]
            raise UnsettledInstanceError(
                instance.name,
                instance.unresolved,
                [name for part in listed.split(",") if (name := part.strip())],
                f"name the device that nvidia-smi or lscpu prints, or give its specs: {SPECS}",
            )
        if (share := instance.n_accelerators) is not None and 0 < share < 1:
            raise UnsettledInstanceError(
                instance.name,
                f"it has {share:.3g} of an {instance.accelerator}; memory and power are shared",
                [],
                f"give the specs of the share: {SPECS}",
            )
        name = instance.accelerator or instance.cpu[0]
        return ResolvedDevice(
            device=self.names.find(name).device,
            instance=instance,
            n_devices=instance.n_accelerators or 1,
            host_share=instance.host_share,
            note=_said(instance, name),
        )


def _plainly(device: Device, note: str | None = None) -> ResolvedDevice:
    """A device that is no instance's; says where none of its figures is known."""
    if device.status == "not found":
        nothing = f"no figure of {device.name} is known: all its figures are class defaults"
        note = f"{note}; {nothing}" if note else nothing
    return ResolvedDevice(device=device, note=note)


def _folded(name: str) -> str:
    """An instance name without case and what services put before it."""
    return re.sub(r"^(ml\.|standard_|azure |aws |gcp )", "", name.strip().casefold())


def _said(instance: Instance, device: str) -> str:
    """An instance's hardware in words."""
    count = instance.n_accelerators or 1
    chips = f"{count:g} x {device} and " if instance.accelerator else ""
    size = f"{instance.vcpus:g} vCPUs" + ("" if instance.accelerator else f" of {device}")
    if instance.host_share is not None:
        size += f", {100 * instance.host_share:.3g} % of its host"
    if instance.memory_gb is not None:
        size += f", {instance.memory_gb:g} GB of memory"
    return f"{instance.name} ({instance.provider}) has {chips}{size}"
