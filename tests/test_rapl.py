"""RAPL on fake powercap trees: the right joules or a clear reason, never 0 or less."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.meters.meter import CounterError, Reading
from calibration.meters.rapl import MAX_PACKAGE_WATTS, RaplMeter, component_j, rapl_zones, trace_j

RANGE = 262_143_328_850


class Tree:
    """A powercap folder whose counters a test turns."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def zone(self, folder: str, name: str, uj: int | None, range_uj: int | None = RANGE) -> None:
        """One zone; without microjoules it has no energy file."""
        path = self.root / folder
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        if uj is not None:
            (path / "energy_uj").write_text(f"{uj}\n")
        if range_uj is not None:
            (path / "max_energy_range_uj").write_text(f"{range_uj}\n")

    def turn(self, **values: int | str) -> None:
        """Sets counters; ``__`` in a name stands for ``:`` and ``_`` for ``-``."""
        for name, value in values.items():
            folder = name.replace("__", ":").replace("_", "-")
            (self.root / folder / "energy_uj").write_text(f"{value}\n")

    def window(self, **values: int | str) -> Reading:
        """One window in which the counters are turned to `values`."""
        meter = RaplMeter(self.root)
        meter.start()
        self.turn(**values)
        return meter.stop()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty tree."""
    return Tree(tmp_path / "powercap")


def test_two_sockets_add_up_with_their_memory(tree: Tree) -> None:
    """Packages make ``cpu``, their DRAM zones ``dram``; core and uncore lie in the package."""
    for socket in (0, 1):
        tree.zone(f"intel-rapl:{socket}", f"package-{socket}", 5_000_000 + socket)
        tree.zone(f"intel-rapl:{socket}:0", "core", 1_000_000)
        tree.zone(f"intel-rapl:{socket}:1", "uncore", 1_000_000)
        tree.zone(f"intel-rapl:{socket}:2", "dram", 2_000_000 + socket)
    reading = tree.window(
        intel_rapl__0=15_000_000,
        intel_rapl__1=25_000_001,
        intel_rapl__0__0=9_000_000,
        intel_rapl__0__1=9_000_000,
        intel_rapl__0__2=3_000_000,
        intel_rapl__1__2=4_000_001,
    )
    assert reading.components == {
        "cpu": (pytest.approx(30.0), "measured"),
        "dram": (pytest.approx(3.0), "measured"),
    }
    assert reading.absent == {}


def test_psys_is_never_added(tree: Tree) -> None:
    """Psys holds the packages: it adds nothing, and alone it makes no CPU energy."""
    tree.zone("intel-rapl:1", "psys", 1_000_000)
    tree.zone("intel-rapl:1:0", "dram", 1_000_000)
    assert tree.window(intel_rapl__1=9_000_000, intel_rapl__1__0=9_000_000).components == {}
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    reading = tree.window(intel_rapl__0=3_000_000, intel_rapl__1=99_000_000)
    assert reading.components == {"cpu": (pytest.approx(2.0), "measured")}


def test_memory_is_absent_without_a_domain(tree: Tree) -> None:
    """A CPU without a DRAM zone says so."""
    tree.zone("intel-rapl:0", "package-0", 1)
    reading = tree.window(intel_rapl__0=2_000_001)
    assert reading.components == {"cpu": (pytest.approx(2.0), "measured")}
    assert reading.absent == {"dram": "RAPL shows no dram domain"}


def test_the_same_package_under_msr_and_mmio_counts_once(tree: Tree) -> None:
    """One name is one package, whatever the control types read a moment apart."""
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    tree.zone("intel-rapl-mmio:0", "package-0", 1_000_040)
    tree.zone("intel-rapl:0:0", "dram", 1_000_000)
    tree.zone("intel-rapl-mmio:0:0", "dram", 1_000_000)
    turned = {"intel_rapl__0": 4_000_000, "intel_rapl_mmio__0": 4_000_090}
    reading = tree.window(**turned, intel_rapl__0__0=2_000_000, intel_rapl_mmio__0__0=2_000_000)
    assert reading.components["cpu"][0] == pytest.approx(3.0)
    assert reading.components["dram"][0] == pytest.approx(1.0)


def test_mmio_serves_where_the_other_is_closed(tree: Tree) -> None:
    """The readable zone of a package is taken."""
    tree.zone("intel-rapl:0", "package-0", None)
    tree.zone("intel-rapl-mmio:0", "package-0", 1_000_000)
    assert tree.window(intel_rapl_mmio__0=3_000_000).components["cpu"][0] == pytest.approx(2.0)


def test_a_mirrored_die_counts_once(tree: Tree) -> None:
    """Two dies that show one and the same counter at both ends are one; others are two."""
    tree.zone("intel-rapl:0", "package-0-die-0", 7_000_000)
    tree.zone("intel-rapl:1", "package-0-die-1", 7_000_000)
    tree.zone("intel-rapl:2", "package-1-die-0", 7_000_000)
    reading = tree.window(
        intel_rapl__0=12_000_000, intel_rapl__1=12_000_000, intel_rapl__2=10_000_000
    )
    assert reading.components["cpu"][0] == pytest.approx(5.0 + 3.0)
    assert [c["copy_of"] for c in reading.raw["cpu"]] == [None, "package-0-die-0", None]


def test_nested_trees_are_found_once(tree: Tree) -> None:
    """Zones below their control type, as in ``/sys/devices``, and links to them."""
    tree.zone("intel-rapl/intel-rapl:0", "package-0", 1_000_000)
    tree.zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", 1_000_000)
    (tree.root / "intel-rapl:0").symlink_to(tree.root / "intel-rapl/intel-rapl:0")
    (tree.root / "intel-rapl:0:0").symlink_to(tree.root / "intel-rapl/intel-rapl:0/intel-rapl:0:0")
    assert [zone.name for zone in rapl_zones(tree.root)] == ["package-0", "dram"]
    reading = tree.window(intel_rapl__0=2_000_000, intel_rapl__0__0=3_000_000)
    assert reading.measured_j() == pytest.approx(3.0)


def test_a_wrap_inside_a_window_is_mended(tree: Tree) -> None:
    """The counter starts from 0 at its range; the joules do not."""
    tree.zone("intel-rapl:0", "package-0", RANGE - 3_000_000)
    assert tree.window(intel_rapl__0=2_000_000).components["cpu"][0] == pytest.approx(5.0)


def test_every_wrap_of_a_long_window_is_seen(tree: Tree) -> None:
    """Reads in between count as many wraps as there were."""
    tree.zone("intel-rapl:0", "package-0", 50_000_000, range_uj=100_000_000)
    meter = RaplMeter(tree.root, every_s=3600)
    meter.start()
    for step in (95_000_000, 35_000_000, 75_000_000, 15_000_000, 55_000_000):
        tree.turn(intel_rapl__0=step)
        meter.sample()
    assert meter.stop().components["cpu"][0] == pytest.approx(45 + 40 + 40 + 40 + 40)


def test_the_background_reads_by_itself(tree: Tree) -> None:
    """A small range makes it read often enough without being asked."""
    tree.zone("intel-rapl:0", "package-0", 50_000_000, range_uj=100_000_000)
    meter = RaplMeter(tree.root, every_s=0.02)
    meter.start()
    for step in (95_000_000, 35_000_000, 75_000_000):
        time.sleep(0.15)
        tree.turn(intel_rapl__0=step)
    time.sleep(0.15)
    reading = meter.stop()
    assert len(reading.raw["cpu"][0]["trace_s_uj"]) > 4
    assert reading.components["cpu"][0] == pytest.approx(125.0)


def test_read_too_seldom_is_invalid() -> None:
    """Where a wrap could have been missed nothing is claimed."""
    with pytest.raises(CounterError, match="too seldom"):
        trace_j([(0, 1), (300, 1_000_000)], RANGE)


def test_a_reset_is_invalid(tree: Tree) -> None:
    """Going back from the middle of the range is no wrap: no package draws that much."""
    tree.zone("intel-rapl:0", "package-0", RANGE // 2)
    tree.zone("intel-rapl:0:0", "dram", 1_000_000)
    reading = tree.window(intel_rapl__0=5_000_000, intel_rapl__0__0=2_000_000)
    assert reading.components == {"dram": (pytest.approx(1.0), "measured")}
    assert "package-0 was reset" in reading.absent["cpu"]


def test_going_back_without_a_known_range_is_invalid(tree: Tree) -> None:
    """No range file, no mending."""
    tree.zone("intel-rapl:0", "package-0", 9_000_000, range_uj=None)
    reading = tree.window(intel_rapl__0=5_000_000)
    assert "range is not known" in reading.absent["cpu"]
    assert reading.components == {}


@pytest.mark.parametrize("value", ["", "garbage", "-5"])
def test_what_becomes_unreadable_is_absent(tree: Tree, value: str) -> None:
    """A file that stops making sense at the end of a window makes that window invalid."""
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    reading = tree.window(intel_rapl__0=value)
    assert reading.components == {}
    assert "both ends" in reading.absent["cpu"]


def test_a_counter_that_stands_still_is_absent(tree: Tree) -> None:
    """Nothing used is nothing read: never 0."""
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    reading = tree.window()
    assert reading.components == {}
    assert "did not move" in reading.absent["cpu"]


def test_one_closed_package_takes_the_whole_component(tree: Tree) -> None:
    """Half of the sockets would be too low a sum; the remedy is told."""
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    tree.zone("intel-rapl:1", "package-1", None)
    meter = RaplMeter(tree.root)
    assert (meter.has_counter, meter.covers) == (False, frozenset())
    assert "sudo chmod a+r" in meter.absent["cpu"]
    assert tree.window(intel_rapl__0=2_000_000).components == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied_tells_the_remedy(tree: Tree) -> None:
    """A file for root only is there but not readable."""
    tree.zone("intel-rapl:0", "package-0", 1_000_000)
    (tree.root / "intel-rapl:0" / "energy_uj").chmod(0)
    assert f"sudo chmod a+r {tree.root}" in RaplMeter(tree.root).absent["cpu"]


def test_an_empty_tree_counts_nothing(tree: Tree) -> None:
    """No powercap, no component, no error."""
    reading = tree.window()
    assert reading.components == {}
    assert set(reading.absent) == {"cpu", "dram"}


def test_stop_needs_start(tree: Tree) -> None:
    """A window that was never begun cannot end."""
    with pytest.raises(RuntimeError, match="start"):
        RaplMeter(tree.root).stop()


@given(
    start=st.integers(0, RANGE),
    steps=st.lists(st.floats(0, MAX_PACKAGE_WATTS * 0.9), min_size=1, max_size=40),
)
def test_any_true_trace_gives_its_joules(start: int, steps: list[float]) -> None:
    """Whatever is used in 20-second steps, wraps included, comes out again."""
    total, trace = start, [(0.0, start)]
    for number, watts in enumerate(steps, start=1):
        total += round(watts * 20 * 1e6)
        trace.append((20.0 * number, total % RANGE))
    if total == start:
        with pytest.raises(CounterError, match="did not move"):
            trace_j(trace, RANGE)
    else:
        assert trace_j(trace, RANGE) == pytest.approx((total - start) / 1e6)


@given(
    values=st.lists(st.one_of(st.none(), st.integers(0, 2 * RANGE)), max_size=12),
    range_uj=st.one_of(st.none(), st.integers(1, RANGE)),
    gap=st.floats(0.001, 1000),
)
def test_no_trace_gives_zero_or_less(
    values: list[int | None], range_uj: int | None, gap: float
) -> None:
    """Any values at all: positive joules a package can draw, or a reason."""
    trace = [(gap * number, value) for number, value in enumerate(values)]
    with contextlib.suppress(CounterError):
        joules = trace_j(trace, range_uj)
        assert 0 < joules <= MAX_PACKAGE_WATTS * (trace[-1][0] + len(values))


def test_recorded_traces_make_the_same_joules(tree: Tree) -> None:
    """The raw form holds everything the arithmetic needs."""
    tree.zone("intel-rapl:0", "package-0", RANGE - 1_000_000)
    reading = tree.window(intel_rapl__0=1_000_000)
    assert component_j(reading.raw["cpu"]) == reading.components["cpu"][0] == pytest.approx(2.0)
