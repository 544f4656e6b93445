"""Class defaults of devices: memory, idle power and usual host where no source states them.

Every device belongs to one class of `reference/device_classes.csv` (kind, name, power); its
figures are medians of the bundled devices of the class or assumptions, each with its rule.
Defaults stay apart from what was read: a completed device names the fields that are defaults, and
estimators train on the device table alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from catalog import reference_data, reference_files
from catalog.errors import ImplausibleSpecError
from catalog.records import Device, Kind

DEFAULTED = ("memory_gb", "tdp_w", "idle_w")
"""Fields of a device that have class defaults."""
SPEC_RATIOS = {
    "tdp_w": None,
    "memory_gb": None,
    "peak_fp32_tflops": "tdp_w",
    "peak_fp16_tflops": "tdp_w",
    "peak_int8_tops": "tdp_w",
    "bandwidth_gbs": "tdp_w",
}
"""Spec -> the spec it is divided by for its range, where it is a ratio that has one."""
_UNITS = {
    "tdp_w": "W",
    "memory_gb": "GB",
    "peak_fp32_tflops": "TFLOP/s",
    "peak_fp16_tflops": "TFLOP/s",
    "peak_int8_tops": "TOP/s",
    "bandwidth_gbs": "GB/s",
}
_ASKED_AS = {"bandwidth_gbs": "memory_bandwidth_gbs"}


class DeviceClass(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Devices that resemble each other in memory, power and host; see `device_defaults`.

    Attributes:
        device_class: Its name, e.g. ``gpu-sxm``.
        kinds: Kinds of device it holds.
        pattern: Regular expression that is found in their names.
        max_tdp_w: It holds devices of at most this TDP, watts, where one is given.
        host_class: What kind of machine they sit in.
        host_cpu: Table name of the usual host CPU; ``None`` where the chip or board has its own.
        host_sockets: CPUs of the host.
        devices_per_host: Devices that share a host.
        memory_gb: Memory of such a device, or of its machine where it has none of its own.
        tdp_w: Thermal design power, watts.
        idle_share: Idle power over TDP; `idle_share_low` and `idle_share_high` bound it.
        rule: Where each figure comes from.
    """

    device_class: str
    kinds: tuple[str, ...]
    pattern: str
    max_tdp_w: float | None = None
    host_class: Literal["edge", "desktop", "server"]
    host_cpu: str | None = None
    host_sockets: int
    devices_per_host: int
    memory_gb: float
    tdp_w: float
    idle_share: float
    idle_share_low: float
    idle_share_high: float
    rule: str


class SpecRange(msgspec.Struct, frozen=True, kw_only=True):
    """What a spec of a kind of device can be; a rate is one over the TDP, per watt."""

    kind: Kind
    spec: str
    low: float
    high: float
    rule: str


class CompletedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device whose missing figures are those of its class.

    Attributes:
        device: The device with memory, TDP and idle power; its other fields as read.
        device_class: The class whose defaults it takes.
        defaults: Field -> the value that is a class default and not a figure of the device.
        idle_low_w: Low end of its idle power, watts; equal to `device.idle_w` where it was read.
        idle_high_w: High end of the same.
        host_cpu: Table name of the CPU that runs what the device cannot: its usual host, or the
            device's own CPU; ``None`` where the table has neither.
    """

    device: Device
    device_class: DeviceClass
    defaults: dict[str, float]
    idle_low_w: float
    idle_high_w: float
    host_cpu: str | None


@functools.cache
def device_classes() -> tuple[DeviceClass, ...]:
    """The bundled classes in the order in which they are tried."""
    return reference_files.read(DeviceClass, "device_classes.csv")


@functools.cache
def spec_ranges() -> dict[tuple[str, str], SpecRange]:
    """Plausible specs by (kind of device, spec)."""
    ranges = reference_files.read(SpecRange, "spec_ranges.csv")
    return {(each.kind, each.spec): each for each in ranges}


def device_class(device: Device, classes: Sequence[DeviceClass] | None = None) -> DeviceClass:
    """The first class that holds a device; the last rows of the table hold any of their kind.

    Args:
        device: By its kind, name and TDP.
        classes: The bundled ones if left out.
    """
    for each in device_classes() if classes is None else classes:
        power = device.tdp_w or device.power_max_w
        fits = each.max_tdp_w is None or (power is not None and power <= each.max_tdp_w)
        if device.kind in each.kinds and fits and _pattern(each.pattern).search(device.name):
            return each
    raise AssertionError(f"no class for devices of kind {device.kind!r}")


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    """A compiled pattern of the class table."""
    return re.compile(text)


def completed(device: Device) -> CompletedDevice:
    """A device with class defaults for the memory, TDP and idle power it does not state.

    Idle power is the class's share of the TDP, where that is stated, else of the TDP default.
    """
    own = device_class(device)
    nominal = device.tdp_w or device.power_max_w or own.tdp_w
    found = {"memory_gb": own.memory_gb, "tdp_w": nominal, "idle_w": own.idle_share * nominal}
    defaults = {name: found[name] for name in DEFAULTED if getattr(device, name) is None}
    idle = (own.idle_share_low * nominal, own.idle_share_high * nominal)
    if device.idle_w is not None:
        idle = (device.idle_w, device.idle_w)
    return CompletedDevice(
        device=msgspec.structs.replace(device, **defaults),
        device_class=own,
        defaults=defaults,
        idle_low_w=idle[0],
        idle_high_w=idle[1],
        host_cpu=_host_cpu(device, own),
    )


def _host_cpu(device: Device, own: DeviceClass) -> str | None:
    """Table name of the usual host CPU, or of a chip's or board's own CPU."""
    if device.kind == "cpu":
        return device.name
    if own.host_cpu:
        return own.host_cpu
    table = reference_data.devices()
    chip = re.sub(r" \((GPU|iGPU|NPU|CPU\+iGPU|Hexagon NPU|SoC)\)$", "", device.name)
    for name in (f"{chip} (CPU)", chip):
        if name != device.name and name in table and table[name].kind == "cpu":
            return name
    return None


@functools.cache
def _largest_rates() -> dict[str, float]:
    """Rates and bandwidth that no device has, whatever its TDP: 4 times the table's largest."""
    rates = [name for name, over in SPEC_RATIOS.items() if over]
    table = reference_data.devices().values()
    return {name: 4 * max(getattr(device, name) or 0.0 for device in table) for name in rates}


def spec_ratios(device: Device) -> dict[str, float]:
    """The stated specs whose ranges are known; rates over TDP, as long as that is stated."""
    found = {}
    for name, over in SPEC_RATIOS.items():
        value, below = getattr(device, name), getattr(device, over) if over else 1.0
        if value and below:
            found[name] = value / below
    return found


def check_specs(device: Device) -> None:
    """Refuses specs that no device of the kind can have, such as 500 TFLOP/s on 5 W.

    The ranges are those of the bundled devices, widened; `reference/spec_ranges.csv` states them.

    Raises:
        ImplausibleSpecError: Names the spec, what came and the range.
    """
    for name, most in _largest_rates().items():
        if (value := getattr(device, name)) is not None and value > most:
            raise ImplausibleSpecError(
                field=_ASKED_AS.get(name, name),
                came=value,
                allowed=f"at most {most:.3g} {_UNITS[name]}, 4 times the largest of the table",
            )
    for name, ratio in spec_ratios(device).items():
        allowed = spec_ranges()[device.kind, name]
        if not allowed.low <= ratio <= allowed.high:
            over = SPEC_RATIOS[name]
            low, high = allowed.low, allowed.high
            if over:
                low, high = (end * getattr(device, over) for end in (low, high))
            raise ImplausibleSpecError(
                field=_ASKED_AS.get(name, name),
                came=getattr(device, name),
                allowed=f"{low:.3g} to {high:.3g} {_UNITS[name]} for a {device.kind}"
                + (f" of {getattr(device, over):g} W" if over else "")
                + f" ({allowed.rule})",
            )
