"""The fitted accuracy model as text: JSON without code, with a version that hashes the content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from advisor.accuracy.factors import Factors
from advisor.accuracy.model import AccuracyModel
from advisor.accuracy.records import Contamination
from catalog.files.atomic_write import atomic_write

LAYOUT = 1
"""Version of the fields below; an artefact of another one is refused."""
_DIGITS = 6


class BadModelError(ValueError):
    """An artefact that cannot be used; fitting anew mends it."""


def _plain(value: Any) -> Any:
    """Arrays as lists of numbers with few digits, sets as sorted lists."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, float):
        return None if value != value else float(f"{value:.{_DIGITS}g}")
    return value


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table of traits, each with its ``name``."""
    rows = frame.astype(object).to_dict("records")
    named = zip(frame.index, rows, strict=True)
    return [{"name": str(n)} | {str(k): _plain(v) for k, v in row.items()} for n, row in named]


def _frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Inverse of `_records`."""
    frame = pd.DataFrame(records).set_index("name")
    if "languages" in frame:
        sets = [frozenset(cell) if isinstance(cell, list) else None for cell in frame["languages"]]
        frame["languages"] = pd.Series(sets, index=frame.index, dtype=object)
    return frame


def content_of(model: AccuracyModel) -> dict[str, Any]:
    """A model as plain values."""
    return {
        "layout": LAYOUT,
        "candidates": _records(model.candidates),
        "workloads": _records(model.workloads),
        "factors": {k: _plain(v) for k, v in msgspec.structs.asdict(model.factors).items()},
        "contamination": {
            k: _plain(v) for k, v in msgspec.structs.asdict(model.contamination).items()
        },
        "multiplier": _plain(model.multiplier),
        "side_information": model.side_information,
        "reach": reach_content(model.reach),
    }


def reach_content(reach: Mapping[int, float]) -> dict[str, float]:
    """Factors of intervals by number of probes, as plain values."""
    return {str(k): _plain(v) for k, v in sorted(reach.items())}


def canonical(content: Mapping[str, Any]) -> bytes:
    """Canonical JSON of plain values: the same values give the same bytes."""
    return json.dumps(content, sort_keys=True, allow_nan=False).encode() + b"\n"


def to_text(model: AccuracyModel) -> bytes:
    """Canonical JSON of a model; the same model gives the same bytes."""
    return canonical(content_of(model))


def from_text(text: bytes) -> AccuracyModel:
    """A model from its text.

    Raises:
        BadModelError: No such JSON, or of another layout.
    """
    try:
        return model_of(json.loads(text))
    except ValueError as error:
        if isinstance(error, BadModelError):
            raise
        raise BadModelError(f"not an accuracy model: {error}") from error


def model_of(content: Mapping[str, Any]) -> AccuracyModel:
    """A model from its plain values.

    Raises:
        BadModelError: They are of another layout, or of no model.
    """
    try:
        if content["layout"] != LAYOUT:
            raise BadModelError(f"layout {content['layout']!r}; allowed: {LAYOUT}; fit it anew")
        stated: dict[str, Any] = {
            name: np.array(value) if isinstance(value, list) else value
            for name, value in content["factors"].items()
        }
        return AccuracyModel(
            _frame(content["candidates"]),
            _frame(content["workloads"]),
            Factors(**stated),
            Contamination(**content["contamination"]),
            content["multiplier"],
            content["side_information"],
            {int(k): v for k, v in content["reach"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BadModelError):
            raise
        raise BadModelError(f"not an accuracy model: {error}") from error


def version_of(text: bytes) -> str:
    """Version of a model: the first digits of its text's SHA-256."""
    return hashlib.sha256(text).hexdigest()[:12]


def save(path: Path, model: AccuracyModel) -> str:
    """Writes a model whole; returns its version."""
    text = to_text(model)
    with atomic_write(path) as part:
        part.write_bytes(text)
    return version_of(text)


def load(path: Path) -> AccuracyModel:
    """Reads a model.

    Raises:
        BadModelError: It cannot be used.
    """
    return from_text(path.read_bytes())
