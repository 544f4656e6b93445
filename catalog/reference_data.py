"""Reference data: reads the bundled figures and declarations of `catalog/reference`.

The files are checked by the test-suite with the same schema as any run file, so reading them
here trusts them and needs no table library: a cold command line waits for nothing.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any, TypeVar

import msgspec

from catalog.records import Candidate, Device, Measurement, Training, Workload
from catalog.registry.candidates import CANDIDATES
from catalog.registry.workloads import WORKLOADS

FOLDER = files("catalog") / "reference"
Record = TypeVar("Record", bound=msgspec.Struct)


@functools.cache
def _fields_of(kind: type[msgspec.Struct], type_: object) -> frozenset[str]:
    """Names of the fields of a record that have a type."""
    return frozenset(f.name for f in msgspec.structs.fields(kind) if f.type == type_)


def from_cells(kind: type[Record], cells: Iterable[dict[str, Any]]) -> Iterator[Record]:
    """Records from rows of text cells: empty means missing, tuples are joined with ``;``.

    A record inside a record is JSON.

    Raises:
        msgspec.ValidationError: A cell does not fit its field; the text names the field.
    """
    tuples, nested = _fields_of(kind, tuple[str, ...]), _fields_of(kind, Training | None)
    for row in cells:
        given: dict[str, Any] = {name: cell for name, cell in row.items() if cell not in ("", None)}
        for name in tuples & given.keys():
            given[name] = tuple(part.strip() for part in given[name].split(";") if part.strip())
        for name in nested & given.keys():
            try:
                given[name] = msgspec.json.decode(str(given[name]), type=Training)
            except msgspec.DecodeError as error:
                raise msgspec.ValidationError(f"{error} - at `$.{name}`") from error
        yield msgspec.convert(given, kind, strict=False)


def read(kind: type[Record], name: str) -> tuple[Record, ...]:
    """All records of one bundled CSV file."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return tuple(from_cells(kind, csv.DictReader(io.StringIO(text, newline=""))))


def measurement_files() -> list[str]:
    """Names of the bundled measurement files, sorted."""
    return sorted(
        f"measurements/{entry.name}"
        for entry in (FOLDER / "measurements").iterdir()
        if entry.name.endswith(".csv")
    )


@functools.cache
def devices() -> dict[str, Device]:
    """The bundled device table by name."""
    return {device.name: device for device in read(Device, "devices.csv")}


@functools.cache
def workloads() -> dict[str, Workload]:
    """Bundled workloads by name; those of the registry win."""
    published = {workload.name: workload for workload in read(Workload, "workloads.csv")}
    return published | {workload.name: workload for workload in WORKLOADS}


@functools.cache
def candidates() -> dict[str, Candidate]:
    """Bundled candidates by name; those of the registry win."""
    published = {candidate.name: candidate for candidate in read(Candidate, "candidates.csv")}
    return published | {candidate.name: candidate for candidate in CANDIDATES}


@functools.cache
def measurements() -> tuple[Measurement, ...]:
    """Every bundled measurement."""
    return tuple(row for name in measurement_files() for row in read(Measurement, name))


@functools.cache
def digest() -> str:
    """SHA-256 over the declarations of the registry and the bundled files, names included."""
    total = hashlib.sha256(msgspec.json.encode([WORKLOADS, CANDIDATES]))
    tables = (
        "devices.csv",
        "device_classes.csv",
        "instances.csv",
        "usual_devices.csv",
        "spec_ranges.csv",
        *(f"training/{name}.csv.gz" for name in ("devices", "energy", "runtime")),
    )
    for name in [*tables, "workloads.csv", "candidates.csv", *measurement_files()]:
        total.update(name.encode() + b"\0" + (FOLDER / name).read_bytes() + b"\0")
    return total.hexdigest()
