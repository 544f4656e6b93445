"""Tests of `catalog.energy`: which joules belong to which scope."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.energy import energy
from catalog.records import Kind, Measurement, Scope

SCOPES: tuple[Scope, ...] = ("device", "host", "wall")
joules = st.floats(1e-3, 1e6)


def row(**values: Any) -> Measurement:
    """A measurement with these values; every component given is measured."""
    labels = {
        f"{name[:-2]}_label": "measured"
        for name in values
        if name.endswith("_j") and not name.startswith("total")
    }
    return Measurement(
        **({"n_items": 10.0} | labels | values),
        run_id="r",
        source="s",
        workload="sst2",
        candidate="bow-logistic",
        device="d",
    )


@given(gpu=joules, cpu=joules, dram=joules)
def test_host_is_the_device_and_what_is_around_it(gpu: float, cpu: float, dram: float) -> None:
    """Host scope is the sum of accelerator, CPU and DRAM; device scope the accelerator alone."""
    measured = row(gpu_j=gpu, cpu_j=cpu, dram_j=dram)
    device, host = energy(measured, "gpu", "device"), energy(measured, "gpu", "host")
    assert device is not None
    assert host is not None
    assert device.value_j == gpu
    assert host.value_j == pytest.approx(gpu + cpu + dram)
    assert energy(measured, "gpu", "wall") is None


@pytest.mark.parametrize("missing", ["gpu_j", "cpu_j", "dram_j"])
def test_a_host_with_a_part_missing_is_no_host(missing: str) -> None:
    """A sum that lacks one of its parts is missing, never smaller."""
    parts = {"gpu_j": 1.0, "cpu_j": 2.0, "dram_j": 3.0}
    del parts[missing]
    assert energy(row(**parts), "gpu", "host") is None


def test_a_cpu_is_its_own_device() -> None:
    """On a CPU the package counter is device scope, and DRAM completes the host."""
    measured = row(cpu_j=5.0, dram_j=1.0)
    device, host = energy(measured, "cpu", "device"), energy(measured, "cpu", "host")
    assert device is not None
    assert host is not None
    assert (device.value_j, host.value_j) == (5.0, 6.0)
    assert energy(measured, "gpu", "device") is None


@pytest.mark.parametrize("kind", ["soc", "gpu", "npu", "cpu"])
def test_a_board_rail_is_device_scope_and_never_host(kind: Kind) -> None:
    """The rail of a board stands for the chip; it says nothing about a host around it."""
    measured = row(board_j=4.0)
    device = energy(measured, kind, "device")
    assert device is not None
    assert device.value_j == 4.0
    assert energy(measured, kind, "host") is None


def test_one_modelled_part_makes_a_sum_mixed() -> None:
    """A sum is only called measured when all of it was."""
    parts = {"gpu_j": 1.0, "cpu_j": 2.0, "dram_j": 3.0}
    mixed = energy(row(**parts, dram_label="modelled"), "gpu", "host")
    measured = energy(row(**parts), "gpu", "host")
    assert mixed is not None
    assert measured is not None
    assert (mixed.label, measured.label) == ("mixed", "measured")


def test_a_bound_has_a_high_end_and_no_value() -> None:
    """A published upper bound stays a bound."""
    bound = energy(
        row(total_high_j=36.0, total_scope="gpu+cpu+ram", total_label="mixed"), "gpu", "host"
    )
    assert bound is not None
    assert (bound.value_j, bound.low_j, bound.high_j) == (None, None, 36.0)


@pytest.mark.parametrize(
    ("total_scope", "kind", "scope"),
    [
        ("gpu", "gpu", "device"),
        ("cpu", "cpu", "device"),
        ("gpu+cpu+ram", "gpu", "host"),
        ("cpu+ram", "cpu", "host"),
        ("npu+cpu+ram", "npu", "host"),
        ("wall", "gpu", "wall"),
        ("board", "soc", "device"),
        ("cpu", "gpu", None),
        ("cpu+ram", "gpu", None),
        ("gpu", "cpu", None),
    ],
)
def test_a_total_counts_in_one_scope_and_only_where_it_holds_the_device(
    total_scope: str, kind: Kind, scope: Scope | None
) -> None:
    """The joules of CPU and RAM beside a GPU are not the host energy of a run on that GPU."""
    measured = row(total_j=7.0, total_scope=total_scope, total_label="mixed")
    found = [s for s in SCOPES if energy(measured, kind, s) is not None]
    assert found == ([scope] if scope else [])


@pytest.mark.parametrize("total", [{"total_j": 99.0}, {"total_high_j": 99.0}])
def test_measured_parts_go_before_a_modelled_total(total: dict[str, float]) -> None:
    """A total somebody assumed does not hide what counters read."""
    parts = {"gpu_j": 1.0, "cpu_j": 2.0, "dram_j": 3.0}
    found = energy(
        row(**parts, **total, total_scope="gpu+cpu+ram", total_label="modelled"), "gpu", "host"
    )
    assert found is not None
    assert (found.value_j, found.label) == (6.0, "measured")
