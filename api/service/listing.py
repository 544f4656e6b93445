"""Paginated lists of the catalog: filter, limit and cursor in, a page of rows out."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from advisor.recommend.query import BadQuestionError
from catalog.errors import UnknownNameError
from catalog.hardware.device_defaults import completed
from catalog.hardware.device_names import MAKERS, words
from catalog.hardware.instances import instances
from catalog.records import KEY, Device, Kind, Measurement, Phase, Scenario
from catalog.registry import tasks as registry
from catalog.snapshot import Snapshot
from catalog.store.newest import ALL

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Some items of a list; `next` goes into ``cursor`` to read on, null at the end."""

    items: list[Item]
    next: str | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, the workloads it is judged on and the one that answers by default.

    Attributes:
        synonyms: Other names that mean it.
        references: The workload that answers for a language, by ISO 639-1 code (``mul``: several).
        usual_tool: What practitioners use where it has no published accuracy, with the command
            that measures it.
    """

    name: str
    default_workload: str
    workloads: tuple[str, ...]
    title: str | None = None
    synonyms: tuple[str, ...] = ()
    references: dict[str, str] = {}
    usual_tool: str | None = None
    usual_tool_command: str | None = None


class ListedDevice(Device, frozen=True, kw_only=True, omit_defaults=True):
    """A device with what stands for the figures that no source states.

    Attributes:
        device_class: The class whose defaults it takes.
        defaults: Memory, TDP and idle watts that are class defaults; not among its own figures.
        host_cpu: The usual host CPU, or the chip's own; null where neither is known.
    """

    device_class: str
    defaults: dict[str, float]
    host_cpu: str | None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which measurements are wanted; ``None`` means all.

    Attributes:
        current: True keeps the newest row of each setup, False the superseded ones.
    """

    task: str | None = None
    device: str | None = None
    workload: str | None = None
    candidate: str | None = None
    phase: Phase | None = None
    scenario: Scenario | None = None
    backend: str | None = None
    precision: str | None = None
    source: str | None = None
    current: bool | None = None


def _decode_cursor(cursor: str | None) -> int:
    """Position in the list that a cursor encodes, 0 without one."""
    if cursor is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
        if text.startswith("at:") and text[3:].isascii() and text[3:].isdigit():
            return min(int(text[3:]), ALL)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise BadQuestionError("cursor", cursor, "the value of `next` in the page before")


def _page(rows: Iterable[tuple[int, Item]], limit: int) -> Page[Item]:
    """The first `limit` of rows that come with their positions in an append-only list.

    The cursor encodes the next position, so a walk over the pages meets every row once even
    while others write.
    """
    found: list[Item] = []
    for position, row in rows:
        if len(found) == limit:
            return Page(found, base64.urlsafe_b64encode(f"at:{position}".encode()).decode())
        found.append(row)
    return Page(found, None)


def page(
    rows: Sequence[Item], wanted: Callable[[Item], bool], limit: int, cursor: str | None
) -> Page[Item]:
    """The next `limit` wanted rows of a list.

    Raises:
        BadQuestionError: The cursor is malformed.
    """
    start = _decode_cursor(cursor)
    return _page(((at, row) for at, row in enumerate(rows) if at >= start and wanted(row)), limit)


def listed(device: Device) -> ListedDevice:
    """A device as it is listed."""
    found = completed(device)
    return ListedDevice(
        **msgspec.structs.asdict(device),
        device_class=found.device_class.device_class,
        defaults=found.defaults,
        host_cpu=found.host_cpu,
    )


def _words(text: str) -> set[str]:
    """Words of a device's name, its maker's with them."""
    return {*words(text), *(MAKERS & {*re.findall(r"[a-z]+", text.casefold())})}


def devices(
    snapshot: Snapshot, kind: Kind | None, q: str | None, limit: int, cursor: str | None
) -> Page[ListedDevice]:
    """Devices of a kind whose names hold all words; an instance's name lists its device.

    Raises:
        BadQuestionError: The cursor is none of ours.
        UnknownNameError: The hardware of the instance that is named is not settled.
    """
    typed = _words(q or "")
    instance = (q or "") in instances()
    rows = [snapshot.device(q)] if q and instance else list(snapshot.devices.values())

    def wanted(row: Device) -> bool:
        own = set().union(*map(_words, (row.name, *row.aliases)))
        return kind in (None, row.kind) and (instance or typed <= own)

    found = page(rows, wanted, limit, cursor)
    return Page([listed(row) for row in found.items], found.next)


def tasks(snapshot: Snapshot) -> list[Task]:
    """Every task of the catalog with its workloads."""
    of = {
        (reference.task, reference.language): reference.workload
        for reference in registry.references().values()
        if reference.metric == "accuracy"
    }
    found = []
    for name, workloads in snapshot.tasks().items():
        known = registry.tasks().get(name)
        task = Task(
            name=name,
            default_workload=workloads[0],
            workloads=workloads,
            title=known.title if known else None,
            synonyms=known.synonyms if known else (),
            references={language: w for (task, language), w in of.items() if task == name},
            usual_tool=known.usual_tool if known else None,
            usual_tool_command=known.usual_tool_command if known else None,
        )
        found.append(task)
    return found


def check_name(kind: str, name: str | None, names: Iterable[str]) -> None:
    """Checks that a filter's name exists; ``None`` passes.

    Raises:
        UnknownNameError: `name` is none of `names`.
    """
    if name is not None and name not in (known := set(names)):
        raise UnknownNameError(kind, name, known)


def filtered_rows(
    snapshot: Snapshot, wanted: Filter, start: int = 0
) -> Iterator[tuple[int, Measurement]]:
    """Rows a filter keeps with their positions in the whole list, from position `start` on.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
    """
    check_name("workload", wanted.workload, snapshot.workloads)
    check_name("candidate", wanted.candidate, snapshot.candidates)
    check_name("source", wanted.source, {row.source for row in snapshot.current})
    check_name("backend", wanted.backend, {row.backend or "" for row in snapshot.current})
    check_name("precision", wanted.precision, {row.precision or "" for row in snapshot.current})
    values: dict[str, set[Any]] = {
        name: {value}
        for name in ("workload", "candidate", "phase", "scenario", "backend", "precision", "source")
        if (value := getattr(wanted, name)) is not None
    }
    if wanted.device is not None:
        values["device"] = {snapshot.device(wanted.device).name}
    if wanted.task is not None:
        of_task = set(snapshot.tasks()[snapshot.task(wanted.task)])
        values["workload"] = values.get("workload", of_task) & of_task
    return snapshot.rows(values, start, current=wanted.current)


def measurements(
    snapshot: Snapshot, wanted: Filter, limit: int, cursor: str | None
) -> Page[Measurement]:
    """The next `limit` rows a filter keeps.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
        BadQuestionError: The cursor is malformed.
        CatalogUnreadableError: The history of the catalog cannot be read.
    """
    return _page(filtered_rows(snapshot, wanted, _decode_cursor(cursor)), limit)


def to_json(row: Measurement) -> dict[str, Any]:
    """A row as JSON: its key and accuracy always, other fields where they have a value."""
    always = {name: getattr(row, name) for name in (*KEY, "accuracy")}
    present: dict[str, Any] = msgspec.to_builtins(row)
    return always | present


def named_records(snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
    """Records by name that a run file includes so that another catalog can read it."""
    return {
        "device": snapshot.devices,
        "workload": snapshot.workloads,
        "candidate": snapshot.candidates,
    }
