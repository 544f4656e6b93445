"""The catalog as one immutable value: bundled figures joined with what the store holds.

Everything that answers a question reads a snapshot, so an answer is pinned to its `digest`.
"""

from __future__ import annotations

import functools
import hashlib
import math
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from catalog import bundled, names
from catalog.errors import UnknownNameError
from catalog.predictions import Predictions
from catalog.records import SETUP, Candidate, Device, Measurement, Workload
from catalog.registry import DEFAULT_WORKLOAD, WORKLOADS
from catalog.stored import Stored, collected_later

if TYPE_CHECKING:
    from catalog.store import Store  # only who has one waits for its libraries


@functools.cache
def moment(text: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 date or time; UTC where it states no zone."""
    if text is None:
        return -math.inf
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


_setup = operator.attrgetter(*SETUP)


def _newest(rows: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Of the rows of each setup the newest; a later row wins a tie."""
    newest: dict[tuple[object, ...], Measurement] = {}
    for row in rows:
        setup = _setup(row)
        before = newest.setdefault(setup, row)
        if before is not row and moment(row.measured_at) >= moment(before.measured_at):
            newest[setup] = row
    return tuple(newest.values())


class Snapshot:
    """An immutable view of the catalog.

    Args:
        measurements: All rows, history included.
        devices: Records by name, likewise `workloads` and `candidates`.
        digest: SHA-256 of the content.
        version: The store's version it was read at.
        own: Which of the rows are the store's, as it gave them.
        predictions: All sets, history included.

    Attributes:
        current: Of each setup the newest row; the others are superseded.
    """

    def __init__(
        self,
        *,
        measurements: Sequence[Measurement],
        devices: Mapping[str, Device],
        workloads: Mapping[str, Workload],
        candidates: Mapping[str, Candidate],
        digest: str,
        version: int = 0,
        own: Stored | None = None,
        predictions: Sequence[Predictions] = (),
    ) -> None:
        self.measurements = tuple(measurements)
        self.own = own or Stored([], 0)
        self.devices = MappingProxyType(dict(devices))
        self.workloads = MappingProxyType(dict(workloads))
        self.candidates = MappingProxyType(dict(candidates))
        self.digest, self.version = digest, version
        with collected_later():
            self.current = _newest(self.measurements)
        self.predictions = tuple(predictions)

    @functools.cached_property
    def by_workload(self) -> Mapping[str, tuple[Measurement, ...]]:
        """Current rows by workload."""
        found: defaultdict[str, list[Measurement]] = defaultdict(list)
        for row in self.current:
            found[row.workload].append(row)
        return MappingProxyType({name: tuple(rows) for name, rows in found.items()})

    @functools.cached_property
    def predicted(self) -> Mapping[tuple[str, str], tuple[Predictions, ...]]:
        """Sets of predictions by (workload, candidate), the newest first."""
        found: defaultdict[tuple[str, str], list[Predictions]] = defaultdict(list)
        for each in sorted(self.predictions, key=lambda e: moment(e.measured_at), reverse=True):
            found[each.workload, each.candidate].append(each)
        return MappingProxyType({key: tuple(sets) for key, sets in found.items()})

    @functools.cached_property
    def _aliases(self) -> Mapping[str, str]:
        """Folded device names and aliases -> name; a name wins, an ambiguous alias drops out."""
        owners: defaultdict[str, set[str]] = defaultdict(set)
        for device in self.devices.values():
            for alias in device.aliases:
                owners[alias.casefold()].add(device.name)
        unique = {alias: owner for alias, (owner, *more) in owners.items() if not more}
        return unique | {name.casefold(): name for name in self.devices}

    def device(self, name: str) -> Device:
        """A device by name or alias, or by what can mean no other one; see `catalog.names`.

        Raises:
            AmbiguousNameError: It may mean several; names them.
            UnknownNameError: Names the nearest ones.
        """
        found = self._aliases.get(name.casefold())
        if found is None:
            found = names.meant("device", name, {k: d.aliases for k, d in self.devices.items()})
        return self.devices[found]

    def workload(self, name: str) -> Workload:
        """A workload by name.

        Raises:
            UnknownNameError: Names the nearest ones.
        """
        if name not in self.workloads:
            raise UnknownNameError("workload", name, self.workloads)
        return self.workloads[name]

    def tasks(self) -> Mapping[str, tuple[str, ...]]:
        """Task -> its workloads that are declared or have an accuracy, the default first."""
        return self._tasks

    @functools.cached_property
    def _tasks(self) -> Mapping[str, tuple[str, ...]]:
        """See `tasks`."""
        judged = {row.workload for row in self.current if row.accuracy is not None}
        judged |= {workload.name for workload in WORKLOADS}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for workload in self.workloads.values():
            if workload.name in judged:
                found[workload.task].append(workload.name)
        return {
            task: tuple(sorted(names, key=lambda n: (n != DEFAULT_WORKLOAD.get(task), n)))
            for task, names in sorted(found.items())
        }


def _read(store: Store, before: Snapshot | None) -> Stored:
    """The rows of a store; only those that are new are read where `before` has the others."""
    known = before.own if before else Stored([], 0)
    if not known.rows or not store.holds(known.last, known.rows[-1]):
        return store.read()
    added = store.read(known.last)
    return Stored([*known.rows, *added.rows], added.last or known.last)


def load(store: Store | None = None, before: Snapshot | None = None) -> Snapshot:
    """Reads bundled figures and `store` (nothing of a store that is not there).

    Args:
        store: What users measured.
        before: An earlier snapshot of it, so that only what was added since is read.

    Raises:
        CatalogUnreadableError: The store cannot be read.
    """
    version = store.version() if store else 0
    own = _read(store, before) if store else Stored([], 0)
    declared = store.declarations() if store else {"device": {}, "workload": {}, "candidate": {}}
    total = hashlib.sha256(bundled.digest().encode())
    if store and own.rows:
        for digest in store.digests(own.last):
            total.update(digest.encode())
    predictions = store.predictions() if store else []
    for digest in sorted(each.digest() for each in predictions):
        total.update(digest.encode())
    for kind, records in sorted(declared.items()):
        for name, record in sorted(records.items()):
            total.update(f"{kind}\0{name}\0{record!r}\0".encode())
    return Snapshot(
        measurements=(*bundled.measurements(), *own.rows),
        devices=declared["device"] | bundled.devices(),
        workloads=declared["workload"] | bundled.workloads(),
        candidates=declared["candidate"] | bundled.candidates(),
        digest=total.hexdigest(),
        version=version,
        own=own,
        predictions=predictions,
    )
