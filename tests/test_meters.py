"""Meters: labels say whether a counter was read, and what was not read is absent."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calibration import fallback, meters
from calibration.meters import CodeCarbonMeter, NullMeter, Reading, ReplayMeter, rapl_zones
from calibration.protocol import idle_watts


def test_nothing_is_called_measured_on_a_machine_without_counters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CodeCarbon's assumed watts are modelled, positive, and leave no file behind."""
    if meters.counter_readable():
        pytest.skip("this machine has an energy counter")
    monkeypatch.chdir(tmp_path)
    meter = CodeCarbonMeter()
    meter.start()
    time.sleep(1.1)
    reading = meter.stop()
    assert set(reading.components) == {"cpu", "dram"}
    assert {label for _, label in reading.components.values()} == {"modelled"}
    assert all(joules > 0 for joules, _ in reading.components.values())
    assert not meter.counts
    assert reading.measured_j() is None
    assert idle_watts(meter, 1.0) is None
    assert list(tmp_path.iterdir()) == []


def test_codecarbon_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """A window leaves standard output and error empty."""
    meter = CodeCarbonMeter()
    meter.start()
    meter.stop()
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_codecarbon_labels_follow_what_it_reads() -> None:
    """RAPL and NVML are counters; CPU load, TDP constants and RAM are not."""

    def part(name: str, mode: str | None = None) -> Any:
        return type(name, (SimpleNamespace,), {})(_mode=mode)

    assert fallback._labels([part("CPU", "intel_rapl"), part("GPU"), part("RAM")]) == {
        "cpu": "measured",
        "gpu": "measured",
    }
    assert fallback._labels([part("CPU", "cpu_load")]) == {"cpu": "modelled"}
    assert fallback._labels([part("CPU", "constant")]) == {"cpu": "modelled"}


def test_without_codecarbon_energy_stays_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter of last resort reads no component."""
    monkeypatch.setattr(meters.importlib.util, "find_spec", lambda _: None)
    meter = meters.meter_for(SimpleNamespace(kind="cpu"))  # type: ignore[arg-type]
    meter.start()
    assert isinstance(meter, NullMeter)
    assert meter.stop() == Reading({})
    assert meters.meter_name(SimpleNamespace(kind="cpu")) == meter.name


def test_a_replay_gives_its_readings_in_order_then_the_last_again() -> None:
    """The double serves recorded windows."""
    meter = ReplayMeter([{"cpu": (1.0, "measured")}, {"cpu": (2.0, "measured")}])
    given = [meter.stop().components["cpu"][0] for _ in range(3)]
    assert given == [1.0, 2.0, 2.0]
    assert meter.counts


def test_idle_power_is_read_from_counters_only() -> None:
    """Watts are measured joules over the seconds waited; modelled parts do not count."""
    meter = ReplayMeter([{"cpu": (3.0, "measured"), "dram": (100.0, "modelled")}])
    watts = idle_watts(meter, 0.2)
    assert watts == pytest.approx(3.0 / 0.2, rel=0.2)


def test_rapl_zones_tell_who_may_read_them(tmp_path: Path) -> None:
    """A zone without an energy file, or without rights, is there but not readable."""
    for number, name in (("0", "package-0"), ("0:0", "dram"), ("1", "package-1")):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        if name != "package-1":
            (folder / "energy_uj").write_text("1234\n")
    found = {zone.name: zone.readable for zone in rapl_zones(tmp_path)}
    assert found == {"package-0": True, "dram": True, "package-1": False}
    if os.geteuid() != 0:
        (tmp_path / "intel-rapl:0" / "energy_uj").chmod(0)
        assert not next(iter(rapl_zones(tmp_path))).readable
