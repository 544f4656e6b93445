"""What would be measured: candidates x workloads x scenarios, less what the catalog has."""

from __future__ import annotations

import fnmatch
import importlib.util
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from calibration.candidates import precisions, preparation, runs_on
from calibration.fingerprint import energy_part, holds
from calibration.hub import folder_from_environment
from calibration.meters import meter_name
from calibration.probe import Machine, cpu_device, gpu_device, read_machine
from calibration.protocol import PROFILES, Profile
from calibration.reading import Meter
from calibration.workloads import Texts, load, places
from catalog.errors import UnknownNameError
from catalog.records import SETUP, Candidate, Device, Kind, Measurement, Phase, Scenario
from catalog.snapshot import Snapshot

SOURCE = "calibration"
SCENARIOS: dict[Scenario, int] = {"single": 1, "offline": 32}
"""Scenario -> texts per call."""
SWEEP = (8, 128)
"""Further texts per call of a profile that sweeps."""
BY_LENGTH = "length-sorted"
"""Repeat group of rows whose calls hold texts of like length."""

# Seconds of fitting per 1,000 training texts on two cores: an order of magnitude, used only
# until the catalog holds a training time of the same pair.
_FIT_S = {"logistic": 0.5, "linear-svm": 0.2, "complement-nb": 0.1, "lightgbm": 3.0}
_EMBED_S = 8.0
_TUNE_S = 20.0
_LOAD_GB_S = 0.5


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is to be measured.

    Attributes:
        present: Whether the catalog has it already, under the same setup and fingerprint.
        estimated_s: Seconds it will take; 0 if it is present.
        energy: The part of its fingerprint that moves energy.
    """

    candidate: str
    workload: str
    device: str
    host: str
    n_devices: int
    phase: Phase
    scenario: Scenario
    precision: str
    batch_size: float | None
    repeat_group: str | None = None
    present: bool
    estimated_s: float
    energy: dict[str, Any]

    def key(self) -> dict[str, Any]:
        """The fields of its row that identify the setup."""
        own = {name: getattr(self, name) for name in SETUP if hasattr(self, name)}
        return own | {"source": SOURCE, "n_nodes": 1}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The trials of one invocation and all they need; made by `plan`.

    Attributes:
        trials: In the order they would run: pairs of workload and candidate shuffled by
            `seed`, the trials of a pair together, training first.
        candidates: Declarations by name; likewise `devices` and `texts` by workload.
        new_devices: Records the catalog does not have yet, likewise `new_workloads`.
        meter: The meter to use instead of the best one of the machine.
    """

    trials: tuple[Trial, ...]
    profile: Profile
    seed: int
    machine: Machine
    models: Path | None
    candidates: Mapping[str, Candidate]
    devices: Mapping[str, Device]
    texts: Mapping[str, Texts]
    new_devices: frozenset[str]
    new_workloads: frozenset[str]
    meter: Meter | None = None

    @property
    def pending(self) -> tuple[Trial, ...]:
        """The trials that are not in the catalog."""
        return tuple(trial for trial in self.trials if not trial.present)

    @property
    def estimated_s(self) -> float:
        """Seconds the pending trials will take, to an order of magnitude for training."""
        return sum(trial.estimated_s for trial in self.pending)

    def pairs(self) -> Iterator[tuple[str, str, list[Trial]]]:
        """Pending trials by (workload, candidate), in order."""
        for (workload, candidate), trials in groupby(
            self.pending, key=lambda trial: (trial.workload, trial.candidate)
        ):
            yield workload, candidate, list(trials)


QUICK_FAMILIES = ("bag-of-words", "tf-idf", "frozen-encoder")
"""What a quick profile measures unless candidates are named: nothing that trains an encoder or
fetches gigabytes."""


def choose_candidates(
    snapshot: Snapshot, globs: Sequence[str], profile: str = "quick"
) -> dict[str, Candidate]:
    """Runnable candidates that match any glob; without one all, in quick those of `QUICK_FAMILIES`.

    Raises:
        UnknownNameError: A glob matches none.
    """
    runnable = {name: c for name, c in snapshot.candidates.items() if c.runnable}
    if not globs:
        cheap = {name: c for name, c in runnable.items() if c.family in QUICK_FAMILIES}
        return cheap if profile == "quick" else runnable
    chosen: dict[str, Candidate] = {}
    for glob in globs:
        names = fnmatch.filter(runnable, glob)
        if not names:
            raise UnknownNameError("candidate", glob, runnable)
        chosen |= {name: runnable[name] for name in names}
    return chosen


def _profile(profile: str | Profile) -> Profile:
    """A profile by name."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise UnknownNameError("profile", profile, PROFILES)
    return PROFILES[profile]


def _stored(snapshot: Snapshot) -> dict[tuple[Any, ...], list[Measurement]]:
    """Rows of earlier calibrations by setup."""
    found: defaultdict[tuple[Any, ...], list[Measurement]] = defaultdict(list)
    for row in snapshot.measurements:
        if row.source == SOURCE:
            found[tuple(getattr(row, name) for name in SETUP)].append(row)
    return found


def _shapes(candidate: Candidate, kind: Kind, sweep: bool) -> Iterator[dict[str, Any]]:
    """What tells the trials of one pair apart; those of one precision follow each other."""
    usual, *others = precisions(candidate, kind)
    yield {"phase": preparation(candidate), "scenario": "unstated", "precision": usual}
    for precision in (usual, *(others if sweep else ())):
        for scenario, size in SCENARIOS.items():
            yield {"scenario": scenario, "batch_size": float(size), "precision": precision}
        if not sweep or precision != usual:
            continue
        offline = {"scenario": "offline", "precision": precision}
        for size in SWEEP:
            yield offline | {"batch_size": float(size)}
        if candidate.checkpoint:  # padding is what like lengths spare
            for size in (SCENARIOS["offline"], SWEEP[-1]):
                yield offline | {"batch_size": float(size), "repeat_group": BY_LENGTH}


def _fit_s(candidate: Candidate, texts: Texts) -> float:
    """A guess of the seconds of training."""
    if candidate.features == "zero-shot":
        return 5.0 + (candidate.n_parameters or 0.0) * 2e-9 / _LOAD_GB_S
    thousands = len(texts.train) / 1000
    if candidate.training:
        rows = (
            thousands
            + len(texts.extra.get(candidate.training.extra_split or "", ((), ()))[0]) / 1000
        )
        rows = min(rows, thousands + candidate.training.extra_rows / 1000)
        steps = 1000 * rows * candidate.training.epochs / candidate.training.batch_size
        rows *= max(1.0, candidate.training.least_steps / max(1.0, steps))
        size = (candidate.n_parameters or 22.7e6) / 22.7e6
        return rows * candidate.training.epochs * _TUNE_S * size
    per_thousand = _FIT_S.get(candidate.head or "", 1.0)
    if candidate.head == "lightgbm":  # one tree per class and round
        per_thousand *= max(1.0, (texts.workload.n_classes or 2) / 8)
    return thousands * (per_thousand + (_EMBED_S if candidate.checkpoint else 0.0))


def _trials(
    candidate: Candidate,
    texts: Texts,
    device: Device,
    machine: Machine,
    profile: Profile,
    meters: Mapping[str, str],
    stored: Mapping[tuple[Any, ...], list[Measurement]],
) -> Iterator[Trial]:
    """The trials of one pair."""
    energy = energy_part(machine, device, candidate, texts.sha256, meters[device.name])
    windows_s = profile.warmup_s + profile.repeats * profile.window_s
    for shape in _shapes(candidate, device.kind, profile.sweep):
        phase = shape.get("phase", "inference")
        trial = Trial(
            **({"phase": phase, "batch_size": None} | shape),
            candidate=candidate.name,
            workload=texts.workload.name,
            device=device.name,
            host=machine.words(),
            n_devices=_chips(machine, device),
            present=False,
            estimated_s=windows_s if phase == "inference" else _fit_s(candidate, texts),
            energy=energy,
        )
        key = trial.key()
        rows = stored.get(tuple(key.get(name) for name in SETUP), [])
        if any(holds(row.fingerprint, energy, profile) for row in rows):
            trial = msgspec.structs.replace(trial, present=True, estimated_s=0.0)
        yield trial


def _chips(machine: Machine, device: Device) -> int:
    """How many of a device the machine has; a probed CPU's record holds all its sockets."""
    return machine.sockets if device.kind == "cpu" and device.status != "probed" else 1


def _torch_reaches_gpu() -> bool:
    """Whether torch is installed in a build that can use a GPU of this machine."""
    if not importlib.util.find_spec("torch"):
        return False
    import torch

    return bool(torch.cuda.is_available())


def _devices(machine: Machine, snapshot: Snapshot) -> dict[str, Device]:
    """The machine's devices by kind; the GPU only counts where torch can use it."""
    gpu = gpu_device(machine, snapshot)
    gpu = gpu if gpu is not None and _torch_reaches_gpu() else None
    return {"cpu": cpu_device(machine, snapshot), **({"gpu": gpu} if gpu else {})}


def plan(
    snapshot: Snapshot,
    *,
    workloads: Sequence[str] = (),
    candidates: Sequence[str] = (),
    profile: str | Profile = "quick",
    data: Path | None = None,
    models: Path | None = None,
    seed: int | None = None,
    machine: Machine | None = None,
    meter: Meter | None = None,
) -> Plan:
    """What a calibration of this machine would do; measures nothing.

    Args:
        snapshot: The catalog, for its names and for what is measured already.
        workloads: Names, paths or hub ids (see `calibration.workloads.load`). Without any:
            everything in the data folder, or the synthetic one where there is no folder.
        candidates: Globs over runnable candidates; without any see `choose_candidates`.
        profile: ``quick``, ``standard`` or ``reference``.
        data: Folder of workloads; default ``JOULEWISE_DATA``.
        models: Folder of checkpoints; default ``JOULEWISE_MODELS``.
        seed: Of the order of the pairs; drawn and recorded without one.
        machine: The machine, if it is not to be probed.
        meter: The meter, if it is not to be chosen by the machine.

    Raises:
        UnknownNameError: A workload, candidate or profile nobody knows.
        WorkloadError: Texts that cannot be used.
    """
    settings = _profile(profile)
    chosen = choose_candidates(snapshot, candidates, settings.name)
    data = folder_from_environment("JOULEWISE_DATA", data)
    names = list(workloads) or list(places(data)) or ["synthetic"]
    loaded = [load(name, data, snapshot.workloads) for name in names]
    texts = {each.workload.name: each for each in loaded}
    machine = machine or read_machine()
    devices = _devices(machine, snapshot)
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    pairs = [(each, candidate) for each in texts.values() for candidate in chosen.values()]
    random.Random(seed).shuffle(pairs)  # noqa: S311
    stored = _stored(snapshot)
    meters = {d.name: meter.name if meter else meter_name(d) for d in devices.values()}
    trials = [
        trial
        for each, candidate in pairs
        for trial in _trials(
            candidate,
            each,
            devices.get(runs_on(candidate), devices["cpu"]),
            machine,
            settings,
            meters,
            stored,
        )
    ]
    return Plan(
        trials=tuple(trials),
        profile=settings,
        seed=seed,
        machine=machine,
        models=folder_from_environment("JOULEWISE_MODELS", models),
        candidates=chosen,
        devices={device.name: device for device in devices.values()},
        texts=texts,
        new_devices=frozenset(d.name for d in devices.values() if d.name not in snapshot.devices),
        new_workloads=frozenset(name for name in texts if name not in snapshot.workloads),
        meter=meter,
    )
