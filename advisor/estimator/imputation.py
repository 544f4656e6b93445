"""Specs that stand in where a device states none: medians of devices alike in kind and host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from advisor.estimator.setup import host_class
from catalog.records import Device

HOSTS = ("edge", "desktop", "server")
"""Classes of host; see `host_class`."""


class Imputation(msgspec.Struct, frozen=True):
    """What stands in for specs nobody stated: medians of the device table, by `part_class`.

    Attributes:
        watts: TDP per core of a CPU, TDP of any other device, watts.
        spread: Standard deviation of its natural logarithm; widens the interval.
        tflops_per_watt: Peak fp32 rate over TDP.
        gbs_per_watt: Peak bandwidth over TDP.
    """

    watts: dict[str, float]
    spread: dict[str, float]
    tflops_per_watt: dict[str, float]
    gbs_per_watt: dict[str, float]


def part_class(device: Device) -> str:
    """Devices that resemble each other in power, e.g. ``cpu/server``."""
    return f"{device.kind}/{host_class(device)}"


CLASSES = [f"{kind}/{host}" for kind in ("cpu", "gpu", "npu", "soc") for host in HOSTS]
_FEWEST = 3
_Z90 = 1.645


def _watts(device: Device) -> float | None:
    """TDP per core of a CPU, TDP of any other device."""
    if device.kind != "cpu" or device.tdp_w is None:
        return device.tdp_w
    return device.tdp_w / device.cores if device.cores else None


def _ratio(top: str) -> Callable[[Device], float | None]:
    """A spec over TDP."""

    def ratio(device: Device) -> float | None:
        value: float | None = getattr(device, top)
        return value / device.tdp_w if value and device.tdp_w else None

    return ratio


def _by_class(
    devices: Sequence[Device], value: Callable[[Device], float | None]
) -> dict[str, list[float]]:
    """Values of the devices of each class; of its kind, or of all, where a class has few."""
    found = [(device, v) for device in devices if (v := value(device)) is not None]
    result = {}
    for name in CLASSES:
        own = [v for device, v in found if part_class(device) == name]
        kind = [v for device, v in found if device.kind == name.split("/")[0]]
        result[name] = next(
            (values for values in (own, kind) if len(values) >= _FEWEST), [v for _, v in found]
        )
    return result


def imputation(devices: Sequence[Device]) -> Imputation:
    """Medians of the table for specs a device lacks.

    Only devices that measured energies name count, with those of a user's own catalog and tables:
    another machine in the bundled table changes no estimate.
    """
    devices = [device for device in devices if device.dataset in (None, "energy")]

    def medians(value: Callable[[Device], float | None]) -> dict[str, float]:
        return {name: float(np.median(v)) for name, v in _by_class(devices, value).items()}

    watts = _by_class(devices, _watts)
    return Imputation(
        watts=medians(_watts),
        spread={name: float(np.std(np.log(values))) for name, values in watts.items()},
        tflops_per_watt=medians(_ratio("peak_fp32_tflops")),
        gbs_per_watt=medians(_ratio("bandwidth_gbs")),
    )


def tdp_is_assumed(device: Device) -> bool:
    """Whether the nominal power of a device is a stand-in."""
    return not (device.tdp_w or device.power_max_w)


def assumed_half(device: Device, stand_in: Imputation) -> float:
    """Half of the 90 % interval, in natural logs, that a stand-in for the nominal power adds."""
    return _Z90 * stand_in.spread[part_class(device)] if tdp_is_assumed(device) else 0.0


def specs(device: Device, stand_in: Imputation, bits: float) -> tuple[float, float, float]:
    """Nominal watts, peak FLOP/s at a precision, bandwidth B/s; stand-ins where missing.

    Weights of fewer than 8 bits are unpacked and computed with in 16.
    """
    name = part_class(device)
    cores = (device.cores or 8) if device.kind == "cpu" else 1
    tdp = device.tdp_w or device.power_max_w or stand_in.watts[name] * cores
    peak32 = device.peak_fp32_tflops or stand_in.tflops_per_watt[name] * tdp
    peak16 = device.peak_fp16_tflops or peak32
    peak8 = max(device.peak_int8_tops or 0.0, device.peak_fp16_tflops or 0.0) or peak32
    peak = peak8 if bits == 8 else peak16 if bits <= 16 else peak32
    bandwidth = device.bandwidth_gbs or stand_in.gbs_per_watt[name] * tdp
    return tdp, peak * 1e12, bandwidth * 1e9
