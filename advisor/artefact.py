"""The trained estimator as plain text: one JSON file of numbers and one scorecard beside it.

Loading parses JSON into records and runs nothing; the version is a hash of the content, so the
same catalog gives the same version.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

import msgspec

from advisor.features import FEATURES, Imputation
from advisor.ridge import Ridge

ESTIMATOR, SCORECARD = "estimator.json", "scorecard.json"


class StaleEstimatorError(RuntimeError):
    """An artefact that cannot be used with this version; retraining mends it."""


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an estimate needs.

    Attributes:
        power: Predicts log(mean power / nominal power); `time` log(runtime / roofline time).
        half_widths: Half of the 90 % interval in log space, by what was held out (``model``:
            the device is known; ``device``: it is not; ``source``: nor is the software around
            it) and by ``known_runtime`` or ``unknown_runtime``.
    """

    catalog_digest: str
    features: list[str]
    stand_in: Imputation
    power: Ridge
    time: Ridge
    half_widths: dict[str, dict[str, float]]
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


def _text(value: Any) -> bytes:
    """Canonical JSON of a record."""
    plain = _rounded(msgspec.to_builtins(value, str_keys=True))
    return msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=1) + b"\n"


def version_of(content: bytes) -> str:
    """A version from an artefact's bytes."""
    return f"{importlib.metadata.version('joulewise')}+{hashlib.sha256(content).hexdigest()[:12]}"


def save(folder: Path, artefact: Artefact, scorecard: dict[str, Any]) -> dict[str, Any]:
    """Writes both files, each through a temporary one; returns the scorecard with its version."""
    libraries = {name: importlib.metadata.version(name) for name in ("numpy",)}
    content = _text(msgspec.structs.replace(artefact, libraries=libraries))
    card = {"version": version_of(content), "catalog_digest": artefact.catalog_digest} | scorecard
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((ESTIMATOR, content), (SCORECARD, _text(card))):
        temporary = folder / f".{name}.tmp"
        temporary.write_bytes(text)
        temporary.replace(folder / name)
    return card


def _fits(artefact: Artefact) -> bool:
    """Whether the numbers belong to the features of this version and none is missing."""
    lists = [
        values
        for model in (artefact.power, artefact.time)
        for values in (model.mean, model.scale, model.slopes, model.low, model.high)
    ]
    regimes = [artefact.half_widths.get(name, {}).keys() for name in ("model", "device", "source")]
    return (
        artefact.features == list(FEATURES)
        and all(len(values) == len(FEATURES) for values in lists)
        and all(names >= {"known_runtime", "unknown_runtime"} for names in regimes)
    )


def read(folder: Any) -> tuple[Artefact, dict[str, Any], str]:
    """The artefact, scorecard and version in a folder.

    Raises:
        StaleEstimatorError: Missing, damaged or made for other features.
    """
    try:
        content = (folder / ESTIMATOR).read_bytes()
        artefact = msgspec.json.decode(content, type=Artefact)
        scorecard = msgspec.json.decode((folder / SCORECARD).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise StaleEstimatorError(
            f"no usable estimator in {folder}: {error}; write one with: joulewise train --out DIR"
        ) from error
    if not _fits(artefact):
        raise StaleEstimatorError(
            f"the estimator in {folder} was trained by another version; write a new one with: "
            "joulewise train --out DIR"
        )
    return artefact, scorecard, version_of(content)
