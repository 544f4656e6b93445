"""Whether a device that a setup was never run on could run it: its kind and its memory."""

from __future__ import annotations

import math

import msgspec

from advisor.estimator.setup import precision_bits
from advisor.recommend.messages import figure
from advisor.recommend.options import Offer
from advisor.recommend.records import Missing, Reason
from catalog.records import Device, Measurement
from catalog.registry.candidates import SPARSE


class Verdict(msgspec.Struct, frozen=True):
    """Why an offer does not qualify: the reason, a sentence, and what it misses."""

    reason: Reason
    detail: str
    missing: Missing


def weights_gb(row: Measurement, n_parameters: float) -> float:
    """What the weights take, 1e9 bytes; 2 bytes each where nobody stated the precision."""
    return n_parameters * precision_bits(row.precision) / 8 / 1e9


def least_devices(row: Measurement, device: Device, n_parameters: float | None) -> int | None:
    """The fewest GPUs a row can have run on, where it does not state how many.

    One for each node, and as many as hold the weights; activations are left out. ``None`` where
    the row states a number, or ran on something else than a GPU.
    """
    if row.n_devices is not None or device.kind != "gpu":
        return None
    known = n_parameters is not None and device.memory_gb
    hold = math.ceil(weights_gb(row, n_parameters or 0.0) / (device.memory_gb or 1)) if known else 1
    return max(1, hold, row.n_nodes or 1)


def unfit(offer: Offer, family: str, n_parameters: float | None) -> Verdict | None:
    """Why the device of an offer cannot run it, or ``None``."""
    if offer.ran_there:
        return None
    device, row = offer.device, offer.row
    if family in SPARSE and device.kind != "cpu":
        missing = Missing(constraint="device", asked=device.kind, has="cpu")
        return Verdict("needs-cpu", f"runs on a CPU, not on a {device.kind}", missing)
    if n_parameters is None or device.memory_gb is None:
        return None
    needed = weights_gb(row, n_parameters)
    if needed <= device.memory_gb * (row.n_devices or 1):
        return None
    missing = Missing(constraint="device", asked=figure(device.memory_gb), has=figure(needed))
    detail = f"weights of {figure(needed)} GB do not fit into {figure(device.memory_gb)} GB"
    return Verdict("does-not-fit", detail, missing)
