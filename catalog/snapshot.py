"""Snapshot of the catalog, immutable: bundled figures joined with what the store holds.

Everything that answers a question reads a snapshot, so an answer is pinned to its `digest`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from catalog import reference_data as bundled
from catalog.accuracies import Accuracies, of_measurements
from catalog.accuracy import Accuracy, accuracy_digest
from catalog.doubt import doubts
from catalog.errors import CatalogUnreadableError, UnknownNameError
from catalog.hardware.machines import Machines
from catalog.predictions import Predictions
from catalog.records import Candidate, Device, Measurement, SetupKey, Workload, moment
from catalog.registry.tasks import Reference, plain_name, references, task_names
from catalog.registry.workloads import WORKLOADS
from catalog.store.location import is_absent
from catalog.store.newest import Stored, deferred_collection, newest

if TYPE_CHECKING:
    from catalog.store.database import Store  # only who has one waits for its libraries


class Snapshot:
    """An immutable view of the catalog.

    Args:
        measurements: Rows that are not the store's, history included.
        devices: Records by name, likewise `workloads` and `candidates`.
        digest: SHA-256 of the content.
        version: The store's version it was read at.
        own: The newest rows of the store, and what pins its history.
        store: Where that history is read when somebody asks for it.
        predictions: All sets of the store, history included; bundled ones join where bundled
            results do.
        accuracies: Results of the store, joined by the bundled ones, which are read when they are
            looked at; ``None`` where rows alone tell accuracies.

    Attributes:
        current: Of each setup the newest sound row; the others are history.
        doubtful: Of each setup that has no sound row the newest one; see `catalog.doubt`.
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
        store: Store | None = None,
        predictions: Sequence[Predictions] = (),
        accuracies: Sequence[Accuracy] | None = None,
    ) -> None:
        self.measurements = tuple(measurements)
        self.own, self._store = own or Stored(), store
        self.devices = MappingProxyType(dict(devices))
        self.workloads = MappingProxyType(dict(workloads))
        self.candidates = MappingProxyType(dict(candidates))
        self.digest, self.version = digest, version
        with deferred_collection():
            current = newest((*self.measurements, *self.own.rows))
        self.doubtful = tuple(row for row in current if doubts(row))
        self.current = tuple(row for row in current if not doubts(row))
        self.predictions = tuple(predictions)
        self._bundled = accuracies is not None
        telling = self.own.rows if self._bundled else self.current
        beside = functools.partial(of_measurements, telling, self.candidates)
        self.accuracies = Accuracies(
            accuracies or (), self.workloads, beside=beside, bundled=self._bundled
        )

    @classmethod
    def load(cls, catalog: Store | str | None = None) -> Snapshot:
        """Reads a catalog: bundled figures and what was stored.

        Args:
            catalog: A store or the URL of its database; default: SQLite in the user's data
                directory. Where nothing was stored yet, no database is opened.

        Raises:
            CatalogUnreadableError: The store cannot be read.
        """
        if isinstance(catalog, str) or catalog is None:
            if is_absent(catalog):
                return load()
            from catalog.store.database import Store

            catalog = Store(catalog)
        return load(catalog)

    def __len__(self) -> int:
        """All rows, history included."""
        return len(self.measurements) + self.own.count

    def rows(
        self,
        wanted: Mapping[str, Collection[Any]] | None = None,
        start: int = 0,
        *,
        current: bool | None = None,
    ) -> Iterator[tuple[int, Measurement]]:
        """Rows with their places in one list that only grows at its end, the store's last.

        Args:
            wanted: Values of fields, e.g. of ``device``; all if left out.
            start: The place to begin at.
            current: True for rows of `current`, False for history, else both.

        Raises:
            CatalogUnreadableError: The store's history cannot be read.
        """
        asked, first = wanted or {}, len(self.measurements)
        held = itertools.chain(enumerate(self.measurements), self._own_places())
        for place, row in held if current else enumerate(self.measurements):
            fits = all(getattr(row, name) in values for name, values in asked.items())
            if fits and place >= start and current in (None, place in self._current_places):
                yield place, row
        if current:
            return
        for id_, row in self._older(asked, max(start - first - 1, 0)):
            if current is None or first + id_ not in self._current_places:
                yield first + id_, row

    def _older(
        self, wanted: Mapping[str, Collection[Any]], after: int = 0
    ) -> Iterator[tuple[int, Measurement]]:
        """The store's rows as they were when the snapshot was taken, with their ids."""
        store, own = self._store, self.own
        if store is None or after >= own.last:
            return
        if not store.holds(own.last, own.last_digest):
            raise CatalogUnreadableError("another catalog took the place of this one; ask again")
        yield from store.rows(wanted, after, own.last)

    def _own_places(self) -> Iterator[tuple[int, Measurement]]:
        """The newest rows of the store with their places."""
        first = len(self.measurements)
        return ((first + id_, row) for id_, row in zip(self.own.ids, self.own.rows, strict=True))

    @functools.cached_property
    def _current_places(self) -> frozenset[int]:
        """Places of `current`."""
        current = set(map(id, self.current))
        held = itertools.chain(enumerate(self.measurements), self._own_places())
        return frozenset(place for place, row in held if id(row) in current)

    def history(self, rows: Sequence[Measurement]) -> list[Measurement]:
        """Every row of the setups of `rows`, oldest first.

        Raises:
            CatalogUnreadableError: The store's history cannot be read.
        """
        setups = {SetupKey.of(row) for row in rows}
        found = [row for row in self.measurements if SetupKey.of(row) in setups]
        if self.own.count and setups:
            from catalog.store.hashes import setup_of

            hashes = {setup_of(row) for row in rows}
            found += [row for _, row in self._older({"setup": hashes})]
        return found

    @functools.cached_property
    def by_workload(self) -> Mapping[str, tuple[Measurement, ...]]:
        """Current rows by workload."""
        found: defaultdict[str, list[Measurement]] = defaultdict(list)
        for row in self.current:
            found[row.workload].append(row)
        return MappingProxyType({name: tuple(rows) for name, rows in found.items()})

    @functools.cached_property
    def networks(self) -> Mapping[str, int]:
        """How many networks have rows of inference on each device; heads on one count once."""
        found: defaultdict[str, set[object]] = defaultdict(set)
        for row in self.current:
            known = self.candidates.get(row.candidate)
            if row.phase == "inference" and known is not None and known.n_parameters:
                found[row.device].add(known.checkpoint or known.n_parameters)
        return MappingProxyType({name: len(each) for name, each in found.items()})

    @functools.cached_property
    def own_candidates(self) -> frozenset[str]:
        """Candidates that the store has rows or results of: who runs the catalog can run them."""
        results = {result.candidate for result in self.accuracies.alone}
        return frozenset(results.union(row.candidate for row in self.own.rows))

    @functools.cached_property
    def predicted(self) -> Mapping[tuple[str, str], tuple[Predictions, ...]]:
        """Sets of predictions by (workload, candidate), the newest first."""
        found: defaultdict[tuple[str, str], list[Predictions]] = defaultdict(list)
        sets = (*(bundled.predictions() if self._bundled else ()), *self.predictions)
        for each in sorted(sets, key=lambda e: moment(e.measured_at), reverse=True):
            found[each.workload, each.candidate].append(each)
        return MappingProxyType({key: tuple(sets) for key, sets in found.items()})

    @functools.cached_property
    def machines(self) -> Machines:
        """Devices and cloud instances by what people and machines call them."""
        return Machines(self.devices.values())

    def named(self, name: str, kinds: Collection[str] = ()) -> Device | None:
        """The device of this very name or alias, as a machine reports its chips; else ``None``.

        Args:
            name: What NVML, lscpu or the like print.
            kinds: The kinds it may be, all if empty.
        """
        return self.machines.names.printed(name, kinds)

    def device(self, name: str) -> Device:
        """The device a name means, an instance's if it is one's; see `catalog.hardware.machines`.

        Raises:
            AmbiguousNameError: It may mean several; names them.
            UnknownNameError: Names the nearest ones.
        """
        return self.machines.find(name).device

    def workload(self, name: str) -> Workload:
        """A workload by name, or by one that another source gives it.

        Raises:
            UnknownNameError: Names the nearest ones.
        """
        found = self.workloads.get(name)
        if found is None:
            folded = name.casefold()
            owners = [
                each
                for each in self.workloads.values()
                if folded in (each.name.casefold(), *(alias.casefold() for alias in each.aliases))
            ]
            if len(owners) != 1:
                raise UnknownNameError("workload", name, self.workloads)
            found = owners[0]
        return found

    def task(self, name: str) -> str:
        """The slug of a task, by its slug or a synonym in any spelling.

        Raises:
            UnknownNameError: Names the nearest ones.
        """
        plain = plain_name(name)
        found = plain if plain in self.tasks() else task_names().get(plain, plain)
        if found not in self.tasks():
            raise UnknownNameError("task", name, self.tasks())
        return found

    def tasks(self) -> Mapping[str, tuple[str, ...]]:
        """Task -> its workloads that are declared or have an accuracy, the default first."""
        return self._tasks

    @functools.cached_property
    def _tasks(self) -> Mapping[str, tuple[str, ...]]:
        """See `tasks`."""
        judged = {row.workload for row in self.current if row.accuracy is not None}
        judged |= {workload.name for workload in WORKLOADS} | self.accuracies.workloads()
        found: defaultdict[str, list[str]] = defaultdict(list)
        for workload in self.workloads.values():
            if workload.name in judged:
                found[workload.task].append(workload.name)
        first = {task: own.workload for task in found if (own := self.reference(task))}
        return {
            task: tuple(sorted(names, key=lambda name: (name != first.get(task), name)))
            for task, names in sorted(found.items())
        }

    def reference(
        self, task: str, language: str | None = None, metric: str = "accuracy"
    ) -> Reference | None:
        """The reference workload of a task in a language, English where none is named.

        Without one in English: several languages at once, else the one of most candidates.
        """
        if language is not None:
            return references().get((task, language, metric))
        known = [r for (t, _, m), r in references().items() if (t, m) == (task, metric)]
        order = {"en": 0, "mul": 1}
        return min(known, key=lambda r: (order.get(r.language, 2), -r.n_candidates), default=None)


def load(store: Store | None = None, before: Snapshot | None = None) -> Snapshot:
    """Reads bundled figures and `store` (nothing of a store that is not there).

    Args:
        store: What users measured.
        before: An earlier snapshot of it, so that only what was added since is read.

    Raises:
        CatalogUnreadableError: The store cannot be read.
    """
    version = store.version() if store else 0
    own = store.newest(before.own if before else None) if store else Stored()
    declared = store.declarations() if store else {"device": {}, "workload": {}, "candidate": {}}
    total = hashlib.sha256(bundled.digest().encode())
    if own.count:
        total.update(own.digest())
    predictions = store.predictions() if store else []
    accuracies = store.accuracies() if store else []
    for digest in sorted(each.digest() for each in predictions):
        total.update(digest.encode())
    for digest in sorted(map(accuracy_digest, accuracies)):
        total.update(digest.encode())
    for kind, records in sorted(declared.items()):
        for name, record in sorted(records.items()):
            total.update(f"{kind}\0{name}\0{record!r}\0".encode())
    return Snapshot(
        measurements=bundled.measurements(),
        devices=declared["device"] | bundled.devices(),
        workloads=declared["workload"] | bundled.workloads(),
        candidates=declared["candidate"] | bundled.candidates(),
        digest=total.hexdigest(),
        version=version,
        own=own,
        store=store,
        predictions=predictions,
        accuracies=accuracies,
    )
