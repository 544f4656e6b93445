"""Planner: the trials of candidates x workloads x scenarios, less what the catalog has."""

from __future__ import annotations

import fnmatch
import importlib.util
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from calibration.classifiers.backends.available import matching
from calibration.classifiers.build import runs_on, unsuited
from calibration.hardware.machine import Machine, cpu_device, detect_machine, gpu_device
from calibration.meters.machine_meter import meter_name
from calibration.meters.meter import Meter
from calibration.plan import probe_set as probes
from calibration.plan.calibration_plan import CalibrationPlan, PlanError, row_of, stored_rows
from calibration.plan.fingerprint import energy_part, holds, with_backend
from calibration.plan.forecast import fit_s, power_w, score_s
from calibration.plan.trial_grid import shapes
from calibration.records import PROFILES, Profile, Trial, server_window_s
from calibration.workloads.hub import folder_from_environment
from calibration.workloads.load import Texts, load, workload_paths
from calibration.workloads.synthetic import FIXED_LENGTH_PREFIX
from catalog.errors import UnknownNameError
from catalog.records import Candidate, Device, Measurement, SetupKey
from catalog.registry.families import FAMILIES
from catalog.registry.obtaining import builds
from catalog.snapshot import Snapshot

RATES = (1e-3, 1e6)
"""Texts per second that scenario ``server`` takes."""
STATED_TDP_W = (0.1, 5000.0)
"""Watts a user may state for a chip."""
_STATED = "TDP stated by the user of joulewise calibrate; the rest read from the system"


def choose_candidates(
    snapshot: Snapshot, globs: Sequence[str], profile: str = "quick"
) -> dict[str, Candidate]:
    """Runnable candidates that match any glob; without one all, in quick those of quick families.

    A few-shot head costs what the same head on all texts does, so quick leaves it out. Random
    weights, and heads on encoders that published results name, only run where they are named.

    Raises:
        UnknownNameError: A glob matches none.
    """
    runnable = {name: c for name, c in snapshot.candidates.items() if c.runnable}
    if not globs:
        cheap = {
            name: c
            for name, c in runnable.items()
            if FAMILIES[c.family].quick and c.samples_per_label is None
        }
        real = {name: c for name, c in runnable.items() if c.features != "architecture"}
        return cheap if profile == "quick" else real
    chosen: dict[str, Candidate] = {}
    for glob in globs:
        names = fnmatch.filter(runnable, glob)
        known = snapshot.candidates.get(glob)
        if not names and (known is None or not builds(known)):
            raise UnknownNameError("candidate", glob, runnable)
        chosen |= {name: snapshot.candidates[name] for name in names or [glob]}
    return chosen


def profile_of(profile: str | Profile) -> Profile:
    """A profile by name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise UnknownNameError("profile", profile, PROFILES)
    return PROFILES[profile]


def check_rates(rates: Sequence[float]) -> None:
    """Refuses rates that scenario ``server`` does not take.

    Raises:
        PlanError: One of them is out of `RATES`.
    """
    for rate in rates:
        if not RATES[0] <= rate <= RATES[1]:
            raise PlanError(f"rate: {rate:g} is not allowed; allowed: {RATES[0]:g} to 1e6 per s")


@dataclass(frozen=True)
class _Surroundings:
    """What all trials of one plan share."""

    machine: Machine
    profile: Profile
    probe: bool
    rates: Sequence[float]
    meters: Mapping[str, str]
    backends: frozenset[str]
    stored: Mapping[SetupKey, Measurement]


def _window_s(profile: Profile, rate: float | None) -> float:
    """Seconds of warm-up and all windows of one trial."""
    window = profile.window_s if rate is None else server_window_s(rate, profile)
    return profile.warmup_s + profile.repeats * window


def _trials(
    candidate: Candidate, texts: Texts, device: Device, around: _Surroundings
) -> Iterator[Trial]:
    """The trials of one pair."""
    machine, profile = around.machine, around.profile
    meter = around.meters[device.name]
    energy = energy_part(machine, device, candidate, texts.sha256, meter)
    whole = device.kind != "cpu" or device.status == "probed"  # a probed CPU's record: all sockets
    n_devices = 1 if whole else machine.sockets
    watts = power_w(device, machine, n_devices)
    idle_s = 0.0 if meter in ("none", "codecarbon") else profile.idle_s
    scoring_s, pending_fit_s, scored = score_s(candidate, texts, device.kind), 0.0, set()
    for shape in shapes(
        candidate,
        device.kind,
        sweep=profile.sweep,
        probe=around.probe,
        rates=around.rates,
        equal_lengths=texts.workload.name.startswith(FIXED_LENGTH_PREFIX),
        backends=around.backends,
    ):
        moved = with_backend(energy, shape["backend"], shape["precision"])
        trial = Trial(
            **({"phase": "inference", "batch_size": None} | shape),
            candidate=candidate.name,
            workload=texts.workload.name,
            device=device.name,
            host=machine.description(),
            n_devices=n_devices,
            present=False,
            estimated_s=0.0,
            energy=moved,
        )
        row = row_of(trial, around.stored)
        present = row is not None and holds(row.fingerprint, moved, profile)
        if trial.phase == "inference":
            seconds = _window_s(profile, trial.rate_per_s)
        else:
            fit = row.runtime_s if row and row.runtime_s else fit_s(candidate, texts, device.kind)
            pending_fit_s, seconds = fit + idle_s, 0.0
        if present:
            yield msgspec.structs.replace(trial, present=True)
            continue
        if trial.phase == "inference" and (trial.backend, trial.precision) not in scored:
            scored.add((trial.backend, trial.precision))
            seconds += scoring_s
        seconds, pending_fit_s = seconds + pending_fit_s, 0.0
        joules = None if watts is None else watts * seconds
        yield msgspec.structs.replace(trial, estimated_s=seconds, estimated_j=joules)


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


def _stated(devices: dict[str, Device], tdp_w: float) -> Device:
    """The record of the machine's one chip the device table lacks, with the TDP a user states.

    Raises:
        PlanError: The figure is no TDP, or the table knows the chips of this machine.
    """
    low, high = STATED_TDP_W
    if not low <= tdp_w <= high:
        raise PlanError(f"tdp_w: {tdp_w:g} is not allowed; allowed: {low:g} to {high:g} watts")
    unlisted = [device for device in devices.values() if device.status == "probed"]
    if not unlisted:
        names = " and ".join(device.name for device in devices.values())
        raise PlanError(
            f"tdp_w: {tdp_w:g} is not allowed; the device table has {names}, and a stated figure "
            "is for chips it lacks"
        )
    return msgspec.structs.replace(
        unlisted[0],
        tdp_w=tdp_w,
        source=_STATED,
    )


def _pairs(
    texts: Iterable[Texts],
    chosen: Mapping[str, Candidate],
    devices: Mapping[str, Device],
    probing: bool,
    seed: int,
    named: bool,
) -> list[tuple[Texts, Candidate]]:
    """Workloads and candidates in the order they are to run.

    A lexicon of another task than the workload's is left out unless it was `named`.
    """
    if probing:
        kinds = {name: _device_of(each, devices).kind for name, each in chosen.items()}
        return [(each, c) for each in texts for c in probes.choose(chosen, each, kinds)]
    pairs = [
        (each, candidate)
        for each in texts
        for candidate in chosen.values()
        if named or unsuited(candidate, each) is None
    ]
    random.Random(seed).shuffle(pairs)  # noqa: S311
    return pairs


def _device_of(candidate: Candidate, devices: Mapping[str, Device]) -> Device:
    """The chip of the machine that runs a candidate."""
    return devices.get(runs_on(candidate), devices["cpu"])


def _loaded(
    snapshot: Snapshot, workloads: Sequence[str], data: Path | None, probing: bool
) -> dict[str, Texts]:
    """The texts of the workloads that are named, or of those there are."""
    data = folder_from_environment("JOULEWISE_DATA", data)
    names = list(workloads) or list(workload_paths(data))[: 1 if probing else None] or ["synthetic"]
    loaded = [load(name, data, snapshot.workloads) for name in names]
    return {each.workload.name: each for each in loaded}


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
    probing: bool = False,
    rates: Sequence[float] = (),
    tdp_w: float | None = None,
    backends: Sequence[str] = (),
    texts: Mapping[str, Texts] | None = None,
    declared: Mapping[str, Candidate] | None = None,
    again: bool = False,
) -> CalibrationPlan:
    """What a calibration of this machine would do; measures nothing.

    Args:
        snapshot: The catalog, for its names and for what is measured already.
        workloads: Names, paths or hub ids (see `calibration.workloads.load.load`). Without any:
            everything in the data folder (the first of it for probes), or the synthetic one
            where there is no folder.
        candidates: Globs over runnable candidates; without any see `choose_candidates`.
        profile: ``quick``, ``standard`` or ``reference``.
        data: Folder of workloads; default ``JOULEWISE_DATA``.
        models: Folder of checkpoints; default ``JOULEWISE_MODELS``.
        seed: Of the order of the pairs; drawn and recorded without one.
        machine: The machine, if it is not to be probed.
        meter: The meter, if it is not to be chosen by the machine.
        probing: Measure three to five candidates (`calibration.plan.probe_set`), once each.
        rates: Texts per second of further trials of scenario ``server``.
        tdp_w: TDP of this machine's chip, watts, where the device table lacks it.
        backends: Globs over serving backends; without any the usual one of each candidate and, in
            a profile that sweeps, the others that are installed.
        texts: Workloads that are loaded already, by name; then nothing is loaded.
        declared: Candidates to measure once each, in this order, instead of chosen ones.
        again: Measure trials anew whose stored rows are doubtful (`catalog.doubt`); without, they
            count as present.

    Raises:
        UnknownNameError: Unknown workload, candidate, profile or backend.
        WorkloadError: Texts that cannot be used.
        PlanError: A rate or TDP that cannot be.
    """
    settings = profile_of(profile)
    check_rates(rates)
    models = folder_from_environment("JOULEWISE_MODELS", models)
    chosen = dict(declared or {})
    if not chosen:
        chosen = choose_candidates(snapshot, candidates, "" if probing else settings.name)
        chosen = probes.pool(chosen, models) if probing and not candidates else chosen
    if texts is None:
        texts = _loaded(snapshot, workloads, data, probing)
    machine = machine or detect_machine()
    devices = _devices(machine, snapshot)
    if tdp_w is not None:
        stated = _stated(devices, tdp_w)
        devices[stated.kind] = stated
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    kept, named = texts.values(), bool(candidates)
    pairs = [(each, candidate) for each in kept for candidate in chosen.values()]
    if declared is None:
        pairs = _pairs(kept, chosen, devices, probing, seed, named)
    around = _Surroundings(
        machine=machine,
        profile=settings,
        probe=probing or declared is not None,
        rates=tuple(dict.fromkeys(rates)),
        meters={d.name: meter.name if meter else meter_name(d) for d in devices.values()},
        backends=matching(backends),
        stored=stored_rows(snapshot, again=again),
    )
    return CalibrationPlan(
        trials=tuple(
            trial
            for each, candidate in pairs
            for trial in _trials(candidate, each, _device_of(candidate, devices), around)
        ),
        profile=settings,
        seed=seed,
        machine=machine,
        models=models,
        candidates=chosen,
        devices={device.name: device for device in devices.values()},
        texts=texts,
        new_devices=frozenset(d.name for d in devices.values() if d.name not in snapshot.devices),
        new_workloads=frozenset(name for name in texts if name not in snapshot.workloads),
        new_candidates=frozenset(name for name in chosen if name not in snapshot.candidates),
        restated=frozenset(
            d.name for d in devices.values() if snapshot.devices.get(d.name, d) != d
        ),
        meter=meter,
    )
