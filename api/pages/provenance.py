"""Where the figures of a setup come from: the rows behind a candidate on a workload and device."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend.group import rows_of
from advisor.recommend.options import measured_or_estimated, moved
from advisor.recommend.pareto import option
from advisor.recommend.records import Option
from api.pages import wording as view
from api.service.listing import known
from catalog import energy
from catalog.records import SCOPES, Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot
from catalog.staleness import Newest, fingerprint
from catalog.times import moment

_SHOWN = 60
"""Rows shown in full at most."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """One row with everything known about it.

    Attributes:
        name: A short name, the fragment of its address.
        by_scope: Its energy in each scope it is known or can be estimated in.
        components: Joules of the window and their label by part of the machine.
        changes: What changed on its machine since; a row with any is stale.
        superseded: Whether a newer row of the same setup counts instead.
    """

    name: str
    row: Measurement
    by_scope: list[Option]
    components: list[tuple[str, float | None, str]]
    fingerprint: dict[str, object]
    changes: list[str]
    superseded: bool


class Setups(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate on a device.

    Attributes:
        workload: The one that was asked for; ``None`` means all.
        origins: Its rows, the newest first.
        more: How many further rows there are.
        brought: Estimates of setups measured elsewhere, where it was never run on the device.
        elsewhere: Other devices it was run on.
        workloads: Those it was run on, on any device.
    """

    workload: Workload | None
    candidate: Candidate
    device: Device
    origins: list[Origin]
    more: int
    brought: list[Option]
    elsewhere: list[str]
    workloads: list[str]


def _components(row: Measurement) -> list[tuple[str, float | None, str]]:
    """Joules of the window by part, a published total among them."""
    found: list[tuple[str, float | None, str]] = [
        (name, joules, label) for name, (joules, label) in energy.components(row).items()
    ]
    if row.total_label and row.total_scope:
        found.append((f"total of {row.total_scope}", row.total_j, row.total_label))
    return found


def _by_scope(row: Measurement, snapshot: Snapshot, estimator: Estimator) -> list[Option]:
    """The row as an option in each scope."""
    return [
        option(offer, snapshot, estimator.version)
        for scope in SCOPES
        for offer in measured_or_estimated([row], snapshot, estimator, scope)
    ]


def _origin(
    row: Measurement, newest: Newest, current: set[int], snapshot: Snapshot, estimator: Estimator
) -> Origin:
    """Everything about one row."""
    choice = (row.scenario, row.precision, row.batch_size, row.repeat_group)
    return Origin(
        name=view.setup_id(row.run_id, *choice),
        row=row,
        by_scope=_by_scope(row, snapshot, estimator) if row.phase == "inference" else [],
        components=_components(row),
        fingerprint=fingerprint(row),
        changes=newest.changes(row),
        superseded=id(row) not in current,
    )


def setups(
    snapshot: Snapshot,
    estimator: Estimator,
    newest: Newest,
    candidate: str,
    device: str,
    workload: str | None,
) -> Setups:
    """What stands in one cell of the coverage matrix.

    Raises:
        UnknownNameError: One of the names is not in the catalog.
    """
    there = snapshot.device(device)
    known("candidate", candidate, snapshot.candidates)
    asked = snapshot.workload(workload) if workload else None
    names = [asked.name] if asked else list(snapshot.by_workload)
    current = [
        row
        for name in names
        for row in snapshot.by_workload.get(name, ())
        if row.candidate == candidate
    ]
    own = [row for row in current if row.device == there.name]
    rows = sorted([*own, *_history(snapshot, own)], key=lambda row: -moment(row.measured_at))
    counted = {id(row) for row in own}
    brought = _brought(snapshot, estimator, asked, candidate, there) if asked and not own else []
    return Setups(
        workload=asked,
        candidate=snapshot.candidates[candidate],
        device=there,
        origins=[_origin(row, newest, counted, snapshot, estimator) for row in rows[:_SHOWN]],
        more=max(0, len(rows) - _SHOWN),
        brought=brought,
        workloads=sorted({row.workload for row in current if row.phase == "inference"}),
        elsewhere=sorted({row.device for row in current if row.device != there.name}),
    )


def _brought(
    snapshot: Snapshot, estimator: Estimator, workload: Workload, candidate: str, device: Device
) -> list[Option]:
    """A candidate's setups measured elsewhere, brought to `device` in the scope of an answer."""
    rows = [row for row in rows_of(snapshot, workload.name) if row.candidate == candidate]
    offers = moved(rows, device, snapshot, estimator, "host")
    return [option(offer, snapshot, estimator.version) for offer in offers]


def _history(snapshot: Snapshot, own: Sequence[Measurement]) -> list[Measurement]:
    """Superseded rows of the setups of `own`."""
    return [row for row in snapshot.history(own) if row not in own]
