"""Staleness: rows whose machine has since changed in what moves energy.

A row is stale when a newer row of the same device and host has another driver, power limit,
governor, protocol or meter, or another minor version of a library that both used. Rows without a
fingerprint (published figures) are never called stale, as it cannot be known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from catalog.records import Measurement, moment
from catalog.snapshot import Snapshot

MACHINE = (
    "protocol",
    "cpu",
    "gpu",
    "driver",
    "power_limit_w",
    "governor",
    "hypervisor",
    "meter",
)
"""Parts of a fingerprint that describe the machine and how it was measured."""


def fingerprint(row: Measurement) -> dict[str, Any]:
    """A row's fingerprint; empty where there is none that can be read."""
    try:
        found = json.loads(row.fingerprint or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _energy_part(row: Measurement) -> dict[str, Any]:
    """What of a fingerprint moves energy."""
    part = fingerprint(row).get("energy")
    return part if isinstance(part, dict) else {}


def _differing(old: dict[str, Any], new: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Names under which both state something and not the same."""
    return [n for n in names if n in old and n in new and old[n] != new[n]]


def newest_of(snapshot: Snapshot) -> Newest:
    """The newest rows of a snapshot, gathered once for as long as it lives."""
    found = _GATHERED.get(snapshot)
    if found is None:
        found = _GATHERED[snapshot] = Newest(snapshot)
    return found


class Newest:
    """The newest fingerprinted row of every machine, and of every family of candidates there."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._families = {c.name: c.family for c in snapshot.candidates.values()}
        self._rows: dict[tuple[str, str | None, str | None], Measurement] = {}
        for row in snapshot.current:
            if row.fingerprint is None:
                continue
            for family in (None, self._families.get(row.candidate, "other")):
                place = (row.device, row.host, family)
                before = self._rows.get(place)
                if before is None or moment(row.measured_at) >= moment(before.measured_at):
                    self._rows[place] = row
        self._parts: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}

    def _part(self, place: tuple[str, str | None, str | None]) -> dict[str, Any]:
        """What moves energy in the newest row of a place, read once."""
        found = self._parts.get(place)
        if found is None:
            found = self._parts[place] = _energy_part(self._rows[place])
        return found

    def changes(self, row: Measurement) -> list[str]:
        """What changed on the machine of `row` since it was measured; empty if it still holds."""
        place = (row.device, row.host, None)
        if row.fingerprint is None or place not in self._rows:
            return []
        own = _energy_part(row)
        family = self._families.get(row.candidate, "other")
        akin = self._part((row.device, row.host, family))
        libraries = own.get("libraries") or {}
        return _differing(own, self._part(place), MACHINE) + _differing(
            libraries, akin.get("libraries") or {}, libraries
        )


_GATHERED: WeakKeyDictionary[Snapshot, Newest] = WeakKeyDictionary()
