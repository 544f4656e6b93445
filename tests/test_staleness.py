"""Tests of staleness: a row holds until what moves energy has changed on its machine."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from catalog import snapshot
from catalog.records import Measurement
from catalog.snapshot import Snapshot
from catalog.staleness import Newest, newest_of

MACHINE = {"protocol": 1, "driver": "550", "power_limit_w": 300, "libraries": {"torch": "2.9"}}
ROW = Measurement(
    run_id="old",
    source="calibration",
    workload="sst2",
    candidate="minilm-l6-frozen-logistic",
    device="NVIDIA A30",
    host="h",
    n_items=1000,
    measured_at="2026-01-01",
    fingerprint=json.dumps({"energy": MACHINE}),
)


def catalog_of(*rows: Measurement) -> Snapshot:
    """A snapshot of exactly these rows."""
    whole = snapshot.load()
    return Snapshot(
        measurements=rows,
        devices=whole.devices,
        workloads=whole.workloads,
        candidates=whole.candidates,
        digest="test",
    )


def later(**changed: Any) -> Measurement:
    """A newer row of another workload on the same machine, its fingerprint changed."""
    text = json.dumps({"energy": MACHINE | changed})
    return msgspec.structs.replace(
        ROW, run_id="new", workload="agnews", measured_at="2026-02-01", fingerprint=text
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"driver": "560"}, ["driver"]),
        ({"power_limit_w": 200, "protocol": 2}, ["protocol", "power_limit_w"]),
        ({"libraries": {"torch": "2.10"}}, ["torch"]),
        ({"data": "of another workload"}, []),
    ],
)
def test_what_changed_since_is_named(changed: dict[str, Any], expected: list[str]) -> None:
    """Driver, limits, protocol and libraries make older rows stale; other data does not."""
    newest = Newest(catalog_of(ROW, new := later(**changed)))
    assert newest.changes(ROW) == expected
    assert newest.changes(new) == []


def test_another_machine_changes_nothing() -> None:
    """A new driver in another host says nothing about this one."""
    other = msgspec.structs.replace(later(driver="560"), host="elsewhere")
    assert Newest(catalog_of(ROW, other)).changes(ROW) == []


@pytest.mark.parametrize("text", [None, "no JSON", "[]", '{"energy": 3}', "{}"])
def test_rows_without_a_readable_fingerprint_are_never_stale(text: str | None) -> None:
    """Published figures have none; nobody can tell."""
    row = msgspec.structs.replace(ROW, fingerprint=text)
    assert Newest(catalog_of(row, later(driver="560"))).changes(row) == []


def test_a_snapshot_is_gone_through_once() -> None:
    """Whoever asks gets what was gathered first; another catalog has its own."""
    catalog = catalog_of(ROW, later(driver="560"))
    assert newest_of(catalog) is newest_of(catalog)
    assert newest_of(catalog).changes(ROW) == ["driver"]
    assert newest_of(catalog_of(ROW)).changes(ROW) == []
