"""The bundled figures and declarations of `catalog/reference` and the registry, by name."""

from __future__ import annotations

import functools
import hashlib
from typing import TypeVar

import msgspec

from catalog import atlas
from catalog.accuracies import by_pair, joined
from catalog.predictions import Predictions
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.reference_files import FOLDER, read, reference_runs
from catalog.registry.candidates import CANDIDATES
from catalog.registry.workloads import WORKLOADS

Named = TypeVar("Named", Workload, Candidate)


def measurement_files() -> list[str]:
    """Names of the bundled measurement files, sorted."""
    return sorted(
        f"measurements/{entry.name}"
        for entry in (FOLDER / "measurements").iterdir()
        if entry.name.endswith(".csv")
    )


def filled(first: Named, second: Named | None) -> Named:
    """A record whose missing fields take another's values."""
    if second is None:
        return first
    empty = {f.name for f in msgspec.structs.fields(first) if getattr(first, f.name) == f.default}
    given = {name: getattr(second, name) for name in empty if name != "family"}
    return msgspec.structs.replace(first, **given)


@functools.cache
def devices() -> dict[str, Device]:
    """The bundled device table by name, and the machines of reference runs that it lacks."""
    measured = (f"devices/{name}" for name in reference_runs("devices", ".csv"))
    files = (*measured, "devices.csv")
    return {device.name: device for name in files for device in read(Device, name)}


@functools.cache
def predictions() -> tuple[Predictions, ...]:
    """Answers per test item of the reference runs; no texts."""
    packed = ((FOLDER / name).read_bytes() for name in _prediction_files())
    sets = (msgspec.msgpack.decode(each, type=tuple[Predictions, ...]) for each in packed)
    return tuple(each for some in sets for each in some)


def _prediction_files() -> list[str]:
    """Names of the bundled files of predictions."""
    return [f"predictions/{name}" for name in reference_runs("predictions", ".msgpack")]


@functools.cache
def workloads() -> dict[str, Workload]:
    """Bundled workloads by name; what the registry says wins, the atlas adds its facts."""
    known = {each.name: each for each in read(Workload, "workloads.csv")}
    known |= {each.name: each for each in WORKLOADS}
    facts = atlas.workloads()
    return {**facts, **{name: filled(each, facts.get(name)) for name, each in known.items()}}


@functools.cache
def candidates() -> dict[str, Candidate]:
    """Bundled candidates by name; what the registry says wins, the atlas adds its profiles."""
    known = {each.name: each for each in read(Candidate, "candidates.csv")}
    own = {each.name: filled(each, known.get(each.name)) for each in CANDIDATES}
    profiles = atlas.candidates()
    return {
        **profiles,
        **{name: filled(each, profiles.get(name)) for name, each in (known | own).items()},
    }


@functools.cache
def measurements() -> tuple[Measurement, ...]:
    """Every bundled measurement, with the accuracy of its run."""
    results = by_pair(row for rows in atlas.measured().values() for row in rows)
    rows = (row for name in measurement_files() for row in read(Measurement, name))
    return tuple(joined(row, results) for row in rows)


@functools.cache
def digest() -> str:
    """SHA-256 over the declarations of the registry and the bundled files, names included."""
    total = hashlib.sha256(msgspec.json.encode([WORKLOADS, CANDIDATES]))
    tables: tuple[str, ...] = (
        "devices.csv",
        "device_classes.csv",
        "instances.csv",
        "usual_devices.csv",
        "spec_ranges.csv",
        *(f"training/{name}.csv.gz" for name in ("devices", "energy", "runtime")),
    )
    tables += tuple(f"devices/{name}" for name in reference_runs("devices", ".csv"))
    rows = [*measurement_files(), *_prediction_files()]
    for name in [*tables, "workloads.csv", "candidates.csv", *rows]:
        total.update(name.encode() + b"\0" + (FOLDER / name).read_bytes() + b"\0")
    total.update(atlas.digest().encode())
    return total.hexdigest()
