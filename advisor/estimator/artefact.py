"""The trained estimator as plain text: one JSON file of numbers and one scorecard beside it.

Loading parses JSON into records and runs nothing; the version is a hash of the content, so the
same catalog gives the same version.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_origin

import msgspec
import numpy as np

from advisor.estimator import power, runtime
from advisor.estimator.intervals import REGIMES as REGIMES_OF_TIME
from advisor.estimator.intervals import Intervals
from advisor.estimator.machine_effects import MANY_ROWS, POWER, TIME, Known
from advisor.estimator.model import Model
from advisor.estimator.table import Array

ESTIMATOR, SCORECARD = "estimator.json", "scorecard.json"


class StaleEstimatorError(RuntimeError):
    """An artefact that cannot be used with this version; retraining mends it."""


REGIMES = ("source", "device", "1", "3", "5", "model")
"""What may be known of a machine, from nothing to much."""
Reach = dict[str, dict[str, float]]


def half_width(reach: Reach, k: int, spread: Array, *, given: bool, source_known: bool) -> Array:
    """Halves of 90 % intervals in natural logs, never wider than where nothing is known.

    Args:
        reach: `Artefact.quantiles`.
        k: Rows known of the machine.
        spread: Standard deviation of each estimate as the process sees it.
        given: Whether the runtime is known.
        source_known: Whether rows of the same source on other machines are.
    """
    kind = "known_runtime" if given else "unknown_runtime"
    regime = "device" if source_known else "source"
    if k:
        regime = "model" if k >= MANY_ROWS else next(str(n) for n in (5, 3, 1) if k >= n)
    most = reach["source"][kind] * unknown_spread(given=given)
    return np.minimum(reach[regime][kind] * spread, most)


def unknown_spread(*, given: bool) -> float:
    """Standard deviation of an estimate for a machine nobody knows."""
    return POWER.total if given else math.hypot(POWER.total, TIME.total)


def widest(reach: Reach, *, given: bool) -> float:
    """Half of the interval beyond the data: the wider one of a machine nobody knows."""
    kind = "known_runtime" if given else "unknown_runtime"
    return max(reach[name][kind] for name in ("source", "device")) * unknown_spread(given=given)


class LeakError(ValueError):
    """A feature that would not be known before the energy is."""


READ_IN_THE_WINDOW = (
    "joule",
    "energy",
    "power",
    "watt",
    "latency",
    "utilisation",
    "utilization",
    "temperature",
    "clock",
    "throttle",
    "memory_mb",
    "accuracy",
    "_j",
)
"""Parts of the names of what is read inside a measured window or after it; the runtime is the only
such quantity that a feature may use."""


def checked(names: Sequence[str]) -> Sequence[str]:
    """The names of features, none of which is read inside the measured window.

    Raises:
        LeakError: One is; the text names it.
    """
    for name in names:
        if any(part in name.lower() for part in READ_IN_THE_WINDOW):
            raise LeakError(
                f"feature {name!r} is read inside the measured window; of what is read there only "
                "the runtime may be a feature"
            )
    return names


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an estimate needs.

    Attributes:
        model: Power and runtime model.
        known: What the machines of the training rows did beside them.
        quantiles: How many spreads reach to the end of the 90 % interval of an energy, by what is
            known of the machine (``source``: nothing; ``device``: others of the same source; ``1``,
            ``3``, ``5``: so many rows; ``model``: many rows of other candidates), with
            ``known_runtime``: the runtime's own doubt is in `intervals`.
        intervals: Those of an estimated runtime of a pass through a network, by class of question;
            `other_intervals` of other work.
        low: Least value of each feature of the power model in training; `high` the largest.
        runs: Run ids with rows in the training data; further rows inform the machines they ran on.
    """

    catalog_digest: str
    features: list[str]
    model: Model
    known: Known
    quantiles: Reach
    intervals: Intervals
    other_intervals: Intervals
    low: list[float]
    high: list[float]
    runs: list[str]
    n_rows: int
    n_devices: int
    sources: list[str]
    libraries: dict[str, str] = {}


def _rounded(value: Any) -> Any:
    """Floats at 10 significant digits: what two machines agree on, and shorter to read."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """What msgspec cannot write by itself."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError


def _read(kind: type, value: Any) -> Any:
    """What msgspec cannot read by itself."""
    if kind is np.ndarray or get_origin(kind) is np.ndarray:
        return np.asarray(value, dtype=float)
    raise NotImplementedError


def _text(value: Any) -> bytes:
    """Canonical JSON of a record."""
    plain = _rounded(msgspec.to_builtins(value, str_keys=True, enc_hook=_plain))
    return msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=1) + b"\n"


def version_of(content: bytes) -> str:
    """A version from an artefact's bytes."""
    return f"{importlib.metadata.version('joulewise')}+{hashlib.sha256(content).hexdigest()[:12]}"


def save(folder: Path, artefact: Artefact, scorecard: dict[str, Any]) -> dict[str, Any]:
    """Writes both files, each through a temporary one; returns the scorecard with its version."""
    libraries = {
        name: importlib.metadata.version(name) for name in ("lightgbm", "numpy", "scikit-learn")
    }
    content = _text(msgspec.structs.replace(artefact, libraries=libraries))
    card = {"version": version_of(content), "catalog_digest": artefact.catalog_digest} | scorecard
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((ESTIMATOR, content), (SCORECARD, _text(card))):
        temporary = folder / f".{name}.tmp"
        temporary.write_bytes(text)
        temporary.replace(folder / name)
    return card


def _names(artefact: Artefact) -> list[str]:
    """Features that the models read."""
    model = artefact.model
    ridges = (model.power.ridge, model.passes.ridge, model.others.ridge)
    return [name for ridge in ridges if ridge is not None for name in ridge.features]


def _fits(artefact: Artefact) -> bool:
    """Whether the numbers belong to the features of this version and none is missing."""
    model = artefact.model
    ours = model.passes.ridge, model.others.ridge, model.power.ridge
    expected = list(runtime.FEATURES), list(runtime.FEATURES), list(power.FEATURES)
    return (
        artefact.features == expected[-1]
        and all(
            own is not None and own.features == e for own, e in zip(ours, expected, strict=True)
        )
        and all(own is not None and own.sound() for own in ours)
        and len(artefact.low) == len(artefact.high) == len(artefact.features)
        and all("known_runtime" in artefact.quantiles.get(name, {}) for name in REGIMES)
        and artefact.intervals.quantile.keys() >= {*REGIMES_OF_TIME}
        and artefact.other_intervals.quantile.keys() >= {*REGIMES_OF_TIME}
    )


def read(folder: Any) -> tuple[Artefact, dict[str, Any], str]:
    """The artefact, scorecard and version in a folder.

    Raises:
        StaleEstimatorError: Missing, damaged or made for other features.
    """
    try:
        content = (folder / ESTIMATOR).read_bytes()
        artefact = msgspec.json.decode(content, type=Artefact, dec_hook=_read)
        scorecard = msgspec.json.decode((folder / SCORECARD).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise StaleEstimatorError(
            f"no usable estimator in {folder}: {error}; write one with: joulewise train --out DIR"
        ) from error
    try:
        checked([*artefact.features, *_names(artefact)])
    except LeakError as error:
        raise StaleEstimatorError(f"the estimator in {folder}: {error}") from error
    if not _fits(artefact):
        raise StaleEstimatorError(
            f"the estimator in {folder} was trained by another version; write a new one with: "
            "joulewise train --out DIR"
        )
    return artefact, scorecard, version_of(content)
