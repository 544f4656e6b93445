"""What a fleet's client and its workers say to each other; as bytes, never as live objects.

No text of a workload is in any of it: a worker loads the texts where it runs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from calibration.records import PROTOCOL_VERSION, Profile, Trial
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot

T = TypeVar("T")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of every machine: the arguments of `calibration.plan.planner.plan`.

    Attributes:
        data: Folder of workloads as the workers see it; their ``JOULEWISE_DATA`` without one.
            Likewise `models`.
        devices: The catalog's records by name; likewise `known`, its workloads, and `declared`,
            its candidates.
    """

    workloads: tuple[str, ...]
    candidates: tuple[str, ...]
    profile: Profile
    data: str | None
    models: str | None
    seed: int
    probing: bool
    rates: tuple[float, ...]
    backends: tuple[str, ...] = ()
    devices: dict[str, Device]
    known: dict[str, Workload]
    declared: dict[str, Candidate]
    again: bool = False

    def snapshot(self, rows: Sequence[Measurement] = ()) -> Snapshot:
        """The catalog as far as a plan needs it."""
        return Snapshot(
            measurements=rows,
            devices=self.devices,
            workloads=self.known,
            candidates=self.declared,
            digest="",
        )


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Which machine a worker runs on.

    Attributes:
        node: Tells machines apart, whatever number of workers or containers each runs.
        name: Its host name, for people; it is stored nowhere.
        host: The machine in words, as rows have it.
        process: Number of the worker's process.
        version: See `version`.
    """

    node: str
    name: str
    host: str
    process: int
    version: str


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine would measure.

    Attributes:
        passes: The trials of the first, second ... pass over this hardware; they differ in what
            is `present`.
        devices: Records of its chips by name.
        data: SHA-256 of each workload's data by name.
        workloads: Records by name.
        refused: Why nothing can be measured there; then the rest is empty.
    """

    passes: tuple[tuple[Trial, ...], ...] = ()
    devices: dict[str, Device] = {}
    data: dict[str, str] = {}
    workloads: dict[str, Workload] = {}
    refused: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A pair to be measured.

    Attributes:
        attempt: Names this order; what a worker says carries it.
        process: The worker's process it is meant for.
        hardware: What was surveyed there (`hardware`).
        run_id: Of the rows.
        trials: Of one candidate on one workload, training first.
    """

    attempt: str
    process: int
    hardware: str
    run_id: str
    trials: tuple[Trial, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an order ended.

    Attributes:
        told: Every `calibration.measurement.progress.TrialStep`, encoded, in order.
        busy: Why the machine measures for somebody else.
        refused: Why the order was not meant for this worker.
    """

    told: tuple[bytes, ...] = ()
    busy: str | None = None
    refused: str | None = None


def version() -> str:
    """What client and workers must agree in: releases and the version of the protocol."""
    try:
        release = importlib.metadata.version("joulewise")
    except importlib.metadata.PackageNotFoundError:
        release = "unknown"
    return f"joulewise {release}, protocol {PROTOCOL_VERSION}"


def hardware(trials: Sequence[Trial]) -> str:
    """Hash of setups and of what moves their energy: machines that agree in it are alike."""
    told = sorted(encode([trial.key(), trial.energy]) for trial in trials)
    return hashlib.sha256(b"\0".join(told)).hexdigest()


def encode(what: Any) -> bytes:
    """A message as bytes."""
    return msgspec.msgpack.encode(what, order="deterministic")


def decode(content: bytes, kind: type[T]) -> T:
    """A message from its bytes.

    Raises:
        msgspec.ValidationError: They are none of this kind.
    """
    return msgspec.msgpack.decode(content, type=kind)
