"""Lists of the catalog, page by page: filters keep rows, a cursor says where to go on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from advisor.recommend.records import BadQuestionError
from catalog.errors import UnknownNameError
from catalog.records import KEY, Measurement, Phase, Scenario
from catalog.snapshot import Snapshot
from catalog.store.newest import ALL

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """Some items of a list; `next` goes into ``cursor`` to read on, null at the end."""

    items: list[Item]
    next: str | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task, the workloads it is measured on and the one that answers by default."""

    name: str
    default_workload: str
    workloads: tuple[str, ...]


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
    precision: str | None = None
    source: str | None = None
    current: bool | None = None


def _position(cursor: str | None) -> int:
    """The place in the list a cursor stands for."""
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
    """The first `limit` of rows with their places in a list that only grows at its end.

    The cursor is the place to go on at, so walking the list meets every row once even while others
    write.
    """
    found: list[Item] = []
    for place, row in rows:
        if len(found) == limit:
            return Page(found, base64.urlsafe_b64encode(f"at:{place}".encode()).decode())
        found.append(row)
    return Page(found, None)


def page(
    rows: Sequence[Item], wanted: Callable[[Item], bool], limit: int, cursor: str | None
) -> Page[Item]:
    """The next `limit` wanted rows of a list.

    Raises:
        BadQuestionError: The cursor is none of ours.
    """
    start = _position(cursor)
    return _page(((at, row) for at, row in enumerate(rows) if at >= start and wanted(row)), limit)


def tasks(snapshot: Snapshot) -> list[Task]:
    """Every task of the catalog."""
    return [
        Task(name=name, default_workload=workloads[0], workloads=workloads)
        for name, workloads in snapshot.tasks().items()
    ]


def known(kind: str, name: str | None, names: Iterable[str]) -> None:
    """Checks a filter's name.

    Raises:
        UnknownNameError: It is none of `names`.
    """
    if name is not None and name not in (there := set(names)):
        raise UnknownNameError(kind, name, there)


def chosen(snapshot: Snapshot, asked: Filter, start: int = 0) -> Iterator[tuple[int, Measurement]]:
    """The rows a filter keeps with their places in the whole list, from a place on.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
    """
    known("task", asked.task, snapshot.tasks())
    known("workload", asked.workload, snapshot.workloads)
    known("candidate", asked.candidate, snapshot.candidates)
    known("source", asked.source, {row.source for row in snapshot.current})
    known("precision", asked.precision, {row.precision or "" for row in snapshot.current})
    wanted: dict[str, set[Any]] = {
        name: {value}
        for name in ("workload", "candidate", "phase", "scenario", "precision", "source")
        if (value := getattr(asked, name)) is not None
    }
    if asked.device is not None:
        wanted["device"] = {snapshot.device(asked.device).name}
    if asked.task is not None:
        of_task = set(snapshot.tasks()[asked.task])
        wanted["workload"] = wanted.get("workload", of_task) & of_task
    return snapshot.rows(wanted, start, current=asked.current)


def measurements(
    snapshot: Snapshot, asked: Filter, limit: int, cursor: str | None
) -> Page[Measurement]:
    """The next `limit` rows a filter keeps.

    Raises:
        UnknownNameError: The filter names something the catalog does not have.
        BadQuestionError: The cursor is none of ours.
        CatalogUnreadableError: The history of the catalog cannot be read.
    """
    return _page(chosen(snapshot, asked, _position(cursor)), limit)


def shown(row: Measurement) -> dict[str, Any]:
    """A row as JSON: what identifies it and its accuracy always, the rest where it is there."""
    always = {name: getattr(row, name) for name in (*KEY, "accuracy")}
    there: dict[str, Any] = msgspec.to_builtins(row)
    return always | there


def described(snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
    """What a run file carries beside its rows so that another catalog can read it."""
    return {
        "device": snapshot.devices,
        "workload": snapshot.workloads,
        "candidate": snapshot.candidates,
    }
