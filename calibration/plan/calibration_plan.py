"""Calibration plan: trials with all they need, and the rows the catalog has of them already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from calibration.hardware.machine import Machine
from calibration.meters.meter import Meter
from calibration.plan.trial_grid import halved_group
from calibration.records import SOURCE, Profile, Trial
from calibration.workloads.load import Texts
from catalog.records import Candidate, Device, Measurement, SetupKey, moment
from catalog.snapshot import Snapshot
from catalog.staleness import fingerprint


class PlanError(ValueError):
    """An option no plan can be made with; names it, what came and what is allowed."""


class CalibrationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The trials of one invocation and all they need; made by `plan`.

    Attributes:
        trials: In the order they would run: pairs of workload and candidate shuffled by
            `seed` (probes in the order of `calibration.plan.probe_set`), the trials of a pair
            together, training first.
        candidates: Declarations by name; likewise `devices` and `texts` by workload.
        new_devices: Records the catalog does not have yet, likewise `new_workloads` and
            `new_candidates`.
        restated: Devices whose record in the catalog is to be replaced, as a figure was stated.
        meter: The meter to use instead of the best one of the machine.
    """

    trials: tuple[Trial, ...]
    profile: Profile
    seed: int
    machine: Machine
    models: Path | None
    candidates: Mapping[str, Candidate]
    devices: Mapping[str, Device]
    texts: Mapping[str, Texts]
    new_devices: frozenset[str]
    new_workloads: frozenset[str]
    new_candidates: frozenset[str] = frozenset()
    restated: frozenset[str] = frozenset()
    meter: Meter | None = None

    @property
    def pending(self) -> tuple[Trial, ...]:
        """The trials that are not in the catalog."""
        return tuple(trial for trial in self.trials if not trial.present)

    @property
    def estimated_s(self) -> float:
        """Seconds the pending trials will take, to an order of magnitude for training."""
        return sum(trial.estimated_s for trial in self.pending)

    @property
    def estimated_j(self) -> float | None:
        """Joules of the pending trials; ``None`` where one of them has none."""
        joules = [trial.estimated_j for trial in self.pending]
        known = [each for each in joules if each is not None]
        return sum(known) if len(known) == len(joules) else None

    def pairs(self) -> Iterator[tuple[str, str, list[Trial]]]:
        """Pending trials by (workload, candidate), in order."""
        for (workload, candidate), trials in groupby(
            self.pending, key=lambda trial: (trial.workload, trial.candidate)
        ):
            yield workload, candidate, list(trials)


def stored_rows(snapshot: Snapshot, *, again: bool = False) -> dict[SetupKey, Measurement]:
    """Rows of earlier calibrations by setup: the current one, else the newest doubtful one.

    Superseded rows are left out: what a question is answered from must hold, not its history. A
    row whose batch was halved has no batch size here (`repeat_group` holds the planned one).

    Args:
        snapshot: The catalog.
        again: Leave doubtful rows out, so that their trials are measured anew.
    """
    found = {}
    for row in snapshot.current if again else (*snapshot.doubtful, *snapshot.current):
        if row.source == SOURCE:
            setup = SetupKey.of(row)
            if "batch-halved" in row.flags:
                setup = setup._replace(batch_size=None)
            found[setup] = row
    return found


def measured_often(rows: Sequence[Measurement], times: int) -> list[Measurement]:
    """Rows of setups that have at least `times` rows alike in all that moves energy.

    Those of the newest row count: what was measured before a change of the machine is history.
    """
    by_setup: defaultdict[SetupKey, list[Measurement]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: moment(row.measured_at)):
        by_setup[SetupKey.of(row)].append(row)
    kept = []
    for same in by_setup.values():
        newest = fingerprint(same[-1]).get("energy")
        if sum(fingerprint(row).get("energy") == newest for row in same) >= times:
            kept += same
    return kept


def row_of(trial: Trial, stored: Mapping[SetupKey, Measurement]) -> Measurement | None:
    """The current row of a trial, whether its batch was halved or not."""
    group = halved_group(trial.repeat_group, trial.batch_size)
    halved = trial.setup._replace(batch_size=None, repeat_group=group)
    rows = [stored[setup] for setup in (trial.setup, halved) if setup in stored]
    return max(rows, key=lambda row: moment(row.measured_at), default=None)
