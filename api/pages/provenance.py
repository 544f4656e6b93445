"""Provenance of figures: a candidate, device and workload in, the catalog rows behind them out."""

from __future__ import annotations

import msgspec

from advisor.estimator.estimator import Estimator
from advisor.recommend.advisor import Advisor
from advisor.recommend.option import option
from advisor.recommend.pricing import of_row
from advisor.recommend.query import Query
from advisor.recommend.records import Option
from api.pages import wording
from api.service.listing import check_name
from catalog import energy
from catalog.records import SCOPES, Candidate, Device, Measurement, Workload, moment
from catalog.snapshot import Snapshot
from catalog.staleness import Newest, fingerprint

_MAX_ROWS = 60
"""Most rows on a page."""


class RowProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """One catalog row with its energies, components and fingerprint.

    Attributes:
        name: Short name, the fragment of its address.
        by_scope: Its energy in each scope where it is known or can be estimated.
        components: Part of the machine, joules of the whole window, label.
        changes: Later changes of its machine; a row with any is stale.
        superseded: Whether a newer row of the same setup replaces it.
    """

    name: str
    row: Measurement
    by_scope: list[Option]
    components: list[tuple[str, float | None, str]]
    fingerprint: dict[str, object]
    changes: list[str]
    superseded: bool


class CellProvenance(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and estimates of a candidate on a device.

    Attributes:
        workload: Requested workload; ``None`` means all.
        rows: Newest first, `_MAX_ROWS` at most.
        more: Number of further rows.
        transferred: Estimates from other devices, where it was never run on this one.
        other_devices: Other devices it was run on.
        workloads: Workloads it was run on, on any device.
    """

    workload: Workload | None
    candidate: Candidate
    device: Device
    rows: list[RowProvenance]
    more: int
    transferred: list[Option]
    other_devices: list[str]
    workloads: list[str]


def _components(row: Measurement) -> list[tuple[str, float | None, str]]:
    """Part, joules of the window and label of each component, and of a published total."""
    found: list[tuple[str, float | None, str]] = [
        (name, joules, label) for name, (joules, label) in energy.components(row).items()
    ]
    if row.total_label and row.total_scope:
        found.append((f"total of {row.total_scope}", row.total_j, row.total_label))
    return found


def _by_scope(row: Measurement, snapshot: Snapshot, estimator: Estimator) -> list[Option]:
    """The row as an option in each scope where it has an energy."""
    found = (of_row(row, scope, snapshot, estimator) for scope in SCOPES)
    return [option(entry, key, snapshot) for entry, key in filter(None, found)]


def _row_provenance(
    row: Measurement, newest: Newest, current: set[int], snapshot: Snapshot, estimator: Estimator
) -> RowProvenance:
    """Provenance of one row; `current` holds ids of the rows that are not superseded."""
    choice = (row.scenario, row.backend, row.precision, row.batch_size, row.repeat_group)
    return RowProvenance(
        name=wording.setup_id(row.run_id, *choice),
        row=row,
        by_scope=_by_scope(row, snapshot, estimator) if row.phase == "inference" else [],
        components=_components(row),
        fingerprint=fingerprint(row),
        changes=newest.changes(row),
        superseded=id(row) not in current,
    )


def setups(
    advisor: Advisor,
    newest: Newest,
    candidate: str,
    device: str,
    workload: str | None,
) -> CellProvenance:
    """Provenance of one cell of the coverage matrix.

    Args:
        advisor: With the catalog, and for energies that were not measured.
        newest: Newest fingerprint of each machine.
        candidate: Its name.
        device: Its name or an alias.
        workload: Its name; ``None`` means all.

    Raises:
        UnknownNameError: One of the names is not in the catalog.
    """
    snapshot, estimator = advisor.snapshot, advisor.estimator
    record = snapshot.device(device)
    check_name("candidate", candidate, snapshot.candidates)
    wanted = snapshot.workload(workload) if workload else None
    names = [wanted.name] if wanted else list(snapshot.by_workload)
    current = [
        row
        for name in names
        for row in snapshot.by_workload.get(name, ())
        if row.candidate == candidate
    ]
    own = [row for row in current if row.device == record.name]
    rows = sorted(
        [*own, *(row for row in snapshot.history(own) if row not in own)],
        key=lambda row: -moment(row.measured_at),
    )
    current_ids = {id(row) for row in own}
    transferred = []
    if wanted and not own:
        transferred = _transferred(advisor, wanted, candidate, record)
    return CellProvenance(
        workload=wanted,
        candidate=snapshot.candidates[candidate],
        device=record,
        rows=[
            _row_provenance(row, newest, current_ids, snapshot, estimator)
            for row in rows[:_MAX_ROWS]
        ],
        more=max(0, len(rows) - _MAX_ROWS),
        transferred=transferred,
        workloads=sorted({row.workload for row in current if row.phase == "inference"}),
        other_devices=sorted({row.device for row in current if row.device != record.name}),
    )


def _transferred(
    advisor: Advisor, workload: Workload, candidate: str, device: Device
) -> list[Option]:
    """A candidate's price on a device where it was never run, in scope ``host``."""
    query = Query(task=workload.task, min_acc=0.0, device=device, workload=workload.name)
    entries, key = advisor.setups(query, candidate)
    return [advisor.option(entry, key) for entry in entries]
