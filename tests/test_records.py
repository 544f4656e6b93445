"""Tests of `catalog.records`: the nouns hold together."""

from __future__ import annotations

import msgspec
import pytest

from catalog.records import COMPONENTS, KEY, Device, Measurement, SetupKey


def test_key_and_setup_are_fields_and_differ_by_the_run() -> None:
    """What identifies a row is a run and a setup."""
    names = set(Measurement.__struct_fields__)
    assert set(KEY) <= names
    assert set(KEY) - set(SetupKey._fields) == {"run_id"}


def test_every_component_has_joules_and_a_label() -> None:
    """No energy without its label."""
    names = set(Measurement.__struct_fields__)
    assert {f"{name}_{part}" for name in COMPONENTS for part in ("j", "label")} <= names


def test_records_cannot_be_changed_and_know_their_kinds() -> None:
    """A record is a value; an unknown kind of device is refused on reading."""
    with pytest.raises(AttributeError):
        Device(name="d", kind="cpu").name = "e"  # type: ignore[misc]
    with pytest.raises(msgspec.ValidationError, match="kind"):
        msgspec.convert({"name": "d", "kind": "abacus"}, Device)
