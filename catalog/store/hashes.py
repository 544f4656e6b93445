"""Hashes that tell measurements apart: their key, their setup and their content."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from catalog.records import EAGER_BACKENDS, KEY, Measurement, SetupKey

FIELDS = [field.name for field in msgspec.structs.fields(Measurement)]
_ADDED = ("rate_per_s", "backend")
"""Fields that came with a later migration: where they are missing they enter no hash, so that the
hashes of older rows stay what they were."""


def _hasher(names: Sequence[str], *, identifies: bool = False) -> Callable[[Measurement], str]:
    """A function: SHA-256 of these fields of a row; 32 and 32.0 are the same number.

    Args:
        names: The fields.
        identifies: Whether the hash tells rows apart, as `SetupKey.of` does: an eager backend
            counts as one that is not stated.
    """
    plain = operator.attrgetter(*(name for name in names if name not in _ADDED))
    added = [name for name in names if name in _ADDED]

    def hash_of(row: Measurement) -> str:
        values: list[Any] = [float(v) if type(v) is int else v for v in plain(row)]
        for name in added:
            value = getattr(row, name)
            if value is not None and not (identifies and value in EAGER_BACKENDS):
                values.append([name, float(value) if type(value) is int else value])
        return hashlib.sha256(msgspec.json.encode(values)).hexdigest()

    return hash_of


_key, _setup = _hasher(KEY, identifies=True), _hasher(SetupKey._fields, identifies=True)
_digest = _hasher(FIELDS)


def key_of(row: Measurement) -> str:
    """Hash of the fields that identify a row."""
    return _key(row)


def setup_of(row: Measurement) -> str:
    """Hash of the fields that identify a row's setup."""
    return _setup(row)


def digest_of(row: Measurement) -> str:
    """Hash of everything a row says."""
    return _digest(row)
