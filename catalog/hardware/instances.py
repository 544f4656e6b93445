"""Cloud instance types: size, hardware and share of the host, by name."""

from __future__ import annotations

import functools
import re

import msgspec

from catalog import reference_files
from catalog.records import Device

_ONE_THREAD = re.compile(r"Graviton|Altra|EPYC (9R14|7B13)")
"""CPUs whose cores are sold as one vCPU each: Arm ones have no second thread, and AWS (7a types)
and Google (T2D) switch it off on these."""
USUAL_CORES = 24
"""Cores of a server CPU whose table states none: the median of the bundled ones."""


class Instance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cloud instance type and the hardware under it.

    Attributes:
        provider: ``aws``, ``gcp``, ``azure``, ``ovhcloud`` or ``scaleway``.
        memory_gb: As printed, mostly GiB.
        accelerator: Device of the table; ``None`` for CPU instances and where `unresolved` says
            why it cannot be given.
        n_accelerators: A fraction where an instance has a share of one.
        accelerator_memory_gb: Of each accelerator.
        cpu: CPU of the table; several where the type runs on any of them, none where unknown.
        host_vcpus: Of the whole host, likewise `host_memory_gb`.
        unresolved: Why its hardware is not settled.
        source: Where each figure was read, `source_commit` and `licence` in the same order.
    """

    provider: str
    name: str
    vcpus: float
    memory_gb: float | None = None
    accelerator: str | None = None
    n_accelerators: float | None = None
    accelerator_memory_gb: float | None = None
    cpu: tuple[str, ...] = ()
    host_vcpus: float | None = None
    host_memory_gb: float | None = None
    unresolved: str | None = None
    source: str
    source_commit: str | None = None
    licence: str
    notes: str | None = None

    @property
    def host_share(self) -> float | None:
        """Share of the host's vCPUs that are the instance's, 0 to 1."""
        return min(self.vcpus / self.host_vcpus, 1.0) if self.host_vcpus else None


def threads(cpu: Device) -> float:
    """Number of vCPUs that one chip makes: two a core where the provider sells both threads."""
    return (cpu.cores or USUAL_CORES) * (1.0 if _ONE_THREAD.search(cpu.name) else 2.0)


@functools.cache
def instances() -> dict[str, Instance]:
    """The bundled instance types by name."""
    return {each.name: each for each in reference_files.read(Instance, "instances.csv")}
