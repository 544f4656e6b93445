"""Rows to learn from: what was run, on what, and the joules and seconds it took per text.

From tables in the columns of `data/energy` and from measurements of the catalog; each energy once
for each scope it is known in. Only energies with a measured part train (``measured`` and
``mixed``): modelled ones would teach the estimator their own assumptions.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from advisor.estimator.power import setup_columns
from advisor.estimator.profiles import profile_columns
from advisor.estimator.setup import CALIBRATION, columns, from_measurement
from advisor.estimator.table import (
    Array,
    Column,
    Mask,
    Table,
    by_value,
    filled,
    numbers,
    take,
    texts,
)
from advisor.estimator.table import joined as joined_columns
from catalog.energy import energy
from catalog.records import SCOPES, Device, Measurement, Scope
from catalog.registry.families import FAMILIES
from catalog.snapshot import Snapshot
from catalog.staleness import newest_of

MIN_ROWS, MIN_DEVICES, MOST_PROBES = 30, 3, 300


class TooFewRowsError(ValueError):
    """There are too few measured energies to learn from."""


class Rows(msgspec.Struct, frozen=True):
    """n rows.

    Attributes:
        setups: Columns of the power model; see `advisor.estimator.power.setup_columns`.
        profiles: Columns of the runtime model; see `advisor.estimator.profiles`.
        log_joules: Natural log of measured joules per text; NaN where there are none.
        models: Candidate of each row.
        works: The work each row competes for in its unit: a user chooses among those.
    """

    setups: Table
    profiles: Table
    log_joules: Array
    models: list[str]
    works: list[str]

    def take(self, chosen: Column) -> Rows:
        """The rows where a mask holds, or at some positions."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return Rows(
            take(self.setups, places),
            take(self.profiles, places),
            self.log_joules[places],
            [self.models[i] for i in places],
            [self.works[i] for i in places],
        )

    def __len__(self) -> int:
        return len(self.models)

    @property
    def log_seconds(self) -> Array:
        """Natural log of measured seconds per text; NaN where there are none."""
        return np.asarray(np.log(self.setups["runtime_s"]), dtype=float)

    @property
    def devices(self) -> list[str]:
        """Device of each row."""
        return list(self.setups["device"].tolist())

    @property
    def sources(self) -> list[str]:
        """Source of each row."""
        return list(self.setups["source"].tolist())

    @property
    def units(self) -> list[str]:
        """Unit of each row: one device in one scope as one source measured it."""
        return list(self.setups["unit"].tolist())

    @property
    def once(self) -> Mask:
        """Rows whose runtime is not another row's, too: a run counts once, not in each scope."""
        s = self.setups
        columns = [s[k].tolist() for k in ("source", "device", "runtime_s", "parameters")]
        first: dict[tuple[object, ...], int] = {}
        runs = list(zip(*columns, strict=True))
        places = [first.setdefault(run, place) for place, run in enumerate(runs)]
        return np.asarray(np.array(places) == np.arange(len(places)), dtype=bool)


def runtime_columns(given: Mapping[str, Column], n: int) -> Table:
    """Columns of the runtime model from those of a table of measured energies.

    MLPerf's runs are tuned, whatever the library; a generated text is an item of many tokens.
    """
    flag = texts(given, "flag", n).tolist()
    words = ("llm", "classical", "startup", "no_kv_cache")
    llm, classical, startup, cacheless = (
        np.array([word in text for text in flag], dtype=bool) for word in words
    )
    source, backend = texts(given, "source", n), texts(given, "backend", n)
    tuned = by_value(source, lambda name: name.startswith("mlcommons"))
    served = np.where(llm & ~cacheless, "vllm", "")
    framework = np.where(backend != "", backend, np.where(tuned, "TensorRT", served))
    scenario = by_value(
        texts(given, "scenario", n),
        lambda name: name if name in ("single", "server", "offline") else "batch",
    )
    work = np.select([startup, classical, llm], ["startup", "classical", "generate"], "encoder")
    total = numbers(given, "n_devices", n)
    size = numbers(given, "model_params", n)
    found: Table = {
        "source": np.where(tuned, "mlperf-inference", source).astype(object),
        "framework": framework.astype(object),
        "scenario": scenario.astype(object),
        "seq_len_basis": np.where(tuned, "max", "unknown").astype(object),
        "work": work.astype(object),
        "n_devices": filled(numbers(given, "n_active_devices", n), total),
        "model_params": filled(numbers(given, "active_params", n), size),
    }
    renamed = {
        "precision": "precision",
        "device": "device",
        "batch_size": "batch_size",
        "seq_len": "seq_len_or_tokens",
        "flops": "flops_per_inference",
        "n_layers": "n_layers",
        "hidden": "hidden",
        "pipeline": "pipeline",
        "share": "share",
    }
    return found | {name: given[own] for name, own in renamed.items() if own in given}


def specs_of(given: Mapping[str, Column], machines: Table) -> Table:
    """Completed specs of the device of each row; `machines` holds every device."""
    places = {str(name): place for place, name in enumerate(machines["device"])}
    return take(machines, np.array([places[n] for n in given["device"].tolist()], dtype=np.intp))


def rows_of(
    given: Mapping[str, Column],
    machines: Table,
    log_joules: Array,
    models: list[str],
    works: list[str],
) -> Rows:
    """Rows of a table in the columns of `advisor.estimator.setup.columns`.

    Args:
        given: n rows.
        machines: From `advisor.estimator.hardware.completed`; holds every device.
        log_joules: Natural log of measured joules per text; NaN where there are none.
        models: Candidate of each row.
        works: Work of each row.
    """
    n, part = len(models), specs_of(given, machines)
    setups = setup_columns(given, part, n)
    units = [f"{unit}|{work}" for unit, work in zip(setups["unit"], works, strict=True)]
    profiles = profile_columns(runtime_columns(given, n), part, n)
    return Rows(setups, profiles, log_joules, models, units)


def _measured(row: Measurement, device: Device) -> list[tuple[Scope, float]]:
    """Log joules per text in each scope that was measured, at least in part."""
    found = []
    for scope in SCOPES:
        joules = energy(row, device.kind, scope)
        if joules is not None and joules.value_j is not None and joules.label != "modelled":
            found.append((scope, float(np.log(joules.value_j / row.n_items))))
    return found


def _gathered(
    measurements: Iterable[Measurement],
    snapshot: Snapshot,
    machines: Table,
    *,
    runtime_will_do: bool,
) -> Rows:
    """Inference rows with a runtime, once per measured scope.

    Args:
        measurements: Rows of the snapshot.
        snapshot: Knows devices and candidates.
        machines: Completed specs of its devices.
        runtime_will_do: Whether rows without a measured energy count, once, joules NaN.
    """
    setups, logs, models, works = [], [], [], []
    for row in measurements:
        if not _tells(row):
            continue
        device, candidate = snapshot.devices[row.device], snapshot.candidates.get(row.candidate)
        workload = snapshot.workloads.get(row.workload)
        scopes = _measured(row, device)
        if not scopes and runtime_will_do:
            scopes = [("device", math.nan)]
        for scope, log_joules in scopes:
            setups.append(from_measurement(row, device, candidate, scope, workload))
            logs.append(log_joules)
            models.append(row.candidate)
            works.append(f"{row.workload}|{row.scenario}")
    return rows_of(columns(setups), machines, np.array(logs, dtype=float), models, works)


IN_TRAINING_TABLES = frozenset(
    {"luccioni-2024", "ml-energy-leaderboard", "mlperf-inference-power", "protran-2022"}
)
"""Sources of bundled measurements whose rows are among the bundled training tables, too."""


def catalog_rows(snapshot: Snapshot, machines: Table) -> Rows:
    """Current inference rows with a runtime and a measured energy, once per scope.

    Those that the training tables hold already are left out.
    """
    own = (row for row in snapshot.current if row.source not in IN_TRAINING_TABLES)
    return _gathered(own, snapshot, machines, runtime_will_do=False)


def joined(one: Rows, two: Rows) -> Rows:
    """Rows of two tables in one.

    Raises:
        TooFewRowsError: Under `MIN_ROWS` rows or `MIN_DEVICES` devices.
    """
    found = Rows(
        joined_columns([one.setups, two.setups]),
        joined_columns([one.profiles, two.profiles]),
        np.concatenate([one.log_joules, two.log_joules]),
        [*one.models, *two.models],
        [*one.works, *two.works],
    )
    if len(found) < MIN_ROWS or len(set(found.devices)) < MIN_DEVICES:
        raise TooFewRowsError(
            f"{len(found)} rows with a measured energy and a runtime; at least {MIN_ROWS} "
            f"rows on {MIN_DEVICES} devices are needed"
        )
    return found


def trained_runs(snapshot: Snapshot) -> list[str]:
    """Runs with a row in the training data, sorted."""
    telling = filter(_tells, snapshot.current)
    trained = {row.run_id for row in telling if _measured(row, snapshot.devices[row.device])}
    return sorted(run for run in trained if run)


def _tells(row: Measurement) -> bool:
    """Whether a row tells about power or time: at a rate its runtime holds idle time."""
    if row.phase != "inference" or row.runtime_s is None:
        return False
    return row.scenario != "server" and row.rate_per_s is None


def _tells_of_others(row: Measurement, snapshot: Snapshot) -> bool:
    """Whether a row's time tells about other candidates: a constant's or a lexicon's does not."""
    candidate = snapshot.candidates.get(row.candidate)
    return candidate is None or FAMILIES[candidate.family].probe


def probes(snapshot: Snapshot, trained: frozenset[str]) -> list[Measurement]:
    """Current inference rows with a runtime that were not trained on.

    Of the `trained` runs these are the rows without a measured energy: they tell the time alone.
    Of a source's rows on one device at most `MOST_PROBES` count, spread evenly over the catalog,
    the last one among them: a machine is known long before its hundredth row. Of these, stale ones
    are left out: they were measured on a machine that is no longer.
    """
    newest = newest_of(snapshot)
    found: defaultdict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for row in filter(_tells, snapshot.current):
        if not _tells_of_others(row, snapshot):
            continue
        if row.run_id not in trained or not _measured(row, snapshot.devices[row.device]):
            found[row.device, row.source].append(row)
    return [
        rows[i]
        for rows in found.values()
        for i in sorted({round(x) for x in np.linspace(0, len(rows) - 1, MOST_PROBES)})
        if not newest.changes(rows[i])
    ]


def calibrated(snapshot: Snapshot) -> Iterator[Measurement]:
    """Rows of calibrations that tell about their machine as it is, in the catalog's order."""
    newest = newest_of(snapshot)
    for row in snapshot.current:
        telling = _tells(row) and _tells_of_others(row, snapshot)
        if row.source == CALIBRATION and telling and not newest.changes(row):
            yield row


def probe_rows(rows: Iterable[Measurement], snapshot: Snapshot, machines: Table) -> Rows:
    """What `probes` tell; joules are NaN where none were measured."""
    return _gathered(rows, snapshot, machines, runtime_will_do=True)
