"""Powermetrics by scripted property lists: units, keys of both architectures, refusals."""

from __future__ import annotations

import plistlib
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from calibration.meters.machine_meter import Sources, meter_for, meter_name
from calibration.meters.powermetrics import (
    REMEDY,
    PowermetricsMeter,
    parse_sample,
    powermetrics_command,
    reading_from_raw,
)
from catalog.records import Device

SAMPLE = b"""\0<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN"
 "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
<key>is_delta</key><true/>
<key>elapsed_ns</key><integer>200000000</integer>
<key>hw_model</key><string>Mac14,2</string>
<key>timestamp</key><date>2026-03-01T12:00:00Z</date>
<key>processor</key>
<dict>
<key>clusters</key><array><dict><key>name</key><string>E-Cluster</string></dict></array>
<key>ane_energy</key><integer>0</integer>
<key>ane_power</key><real>0</real>
<key>cpu_energy</key><integer>1923</integer>
<key>cpu_power</key><real>9615</real>
<key>gpu_energy</key><integer>58</integer>
<key>gpu_power</key><real>290</real>
<key>combined_power</key><real>9905</real>
</dict>
<key>gpu</key><dict><key>idle_ratio</key><real>0.87</real></dict>
<key>thermal_pressure</key><string>Nominal</string>
</dict>
</plist>
"""


def plist(**processor: float) -> bytes:
    """A property list of 200 ms with these keys."""
    return plistlib.dumps({"elapsed_ns": 200_000_000, "processor": processor})


def test_millijoules_become_joules() -> None:
    """Energies of Apple silicon; a leading NUL separates lists."""
    sample = parse_sample(SAMPLE)
    assert sample.seconds == 0.2
    assert sample.joules == {"cpu": 1.923, "gpu": 0.058, "npu": 0.0}
    assert not sample.throttled


@pytest.mark.parametrize(
    ("processor", "joules"),
    [
        ({"cpu_power": 9615.0, "gpu_power": 290.0}, {"cpu": 1.923, "gpu": 0.058}),
        ({"package_joules": 4.1, "package_watts": 20.5}, {"cpu": 4.1}),
        ({"package_watts": 20.5}, {"cpu": 4.1}),
        ({"cpu_energy": 5, "gpu_energy": -1}, {"cpu": 0.005}),
    ],
)
def test_other_keys_are_understood(processor: dict[str, float], joules: dict[str, float]) -> None:
    """Milliwatts times seconds, Intel's package, and negative values left out."""
    assert parse_sample(plist(**processor)).joules == pytest.approx(joules)


def test_energy_of_the_gpu_sampler_and_heat_are_read() -> None:
    """Some releases print the GPU's energy beside its frequency."""
    sample = parse_sample(
        plistlib.dumps(
            {
                "elapsed_ns": 10**9,
                "processor": {"cpu_power": 1000.0},
                "gpu": {"gpu_energy": 284},
                "thermal_pressure": "Heavy",
            }
        )
    )
    assert sample.joules == pytest.approx({"cpu": 1.0, "gpu": 0.284})
    assert sample.throttled


@pytest.mark.parametrize("text", [b"", b"<plist/>", plist(), plist(fan=3.0), SAMPLE[:300]])
def test_what_is_no_sample_is_refused(text: bytes) -> None:
    """Cut, empty and without any power."""
    with pytest.raises(ValueError, match="powermetrics printed"):
        parse_sample(text)


def raw(*cpu_j: float, heat: bool = False, every_s: float = 0.2) -> dict[str, Any]:
    """Raw values of a window of one second, samples from 0.1 s before it."""
    samples = [[n * every_s - 0.1, every_s, {"cpu": j}, heat] for n, j in enumerate(cpu_j)]
    return {"window_s": [0.0, 1.0], "samples": samples}


def test_a_window_is_the_sum_of_its_samples() -> None:
    """2 J every 0.2 s are 10 J a second, the ends shared by proportion."""
    reading = reading_from_raw(raw(*[2.0] * 7), frozenset({"cpu"}))
    assert reading.components == {"cpu": (pytest.approx(10.0), "measured")}
    assert reading.flags == ()
    assert reading_from_raw(raw(*[2.0] * 7, heat=True), frozenset({"cpu"})).flags == ("throttled",)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (raw(2.0, 2.0, 2.0), "after the window ended"),
        (raw(*[0.0] * 7), "did not move"),
        (raw(2.0, 2.0, every_s=1.3), "less than once"),
    ],
)
def test_a_bad_window_is_absent(given: dict[str, Any], why: str) -> None:
    """Never 0: the neural engine at rest is absent as well."""
    reading = reading_from_raw(given, frozenset({"cpu"}))
    assert reading.components == {}
    assert why in reading.absent["cpu"]


def test_a_component_that_a_sample_leaves_out_is_absent() -> None:
    """Part of a sum would be too low."""
    given = raw(*[2.0] * 7)
    given["samples"][3][2] = {}
    assert "left out cpu" in reading_from_raw(given, frozenset({"cpu"})).absent["cpu"]


def script(tmp_path: Path, body: str) -> list[str]:
    """A stand-in for powermetrics."""
    path = tmp_path / "powermetrics.py"
    path.write_text(f"import sys, time\nSAMPLE = {SAMPLE!r}\n{body}")
    return [sys.executable, str(path)]


PRINTS = """
count = int(sys.argv[sys.argv.index("--sample-count") + 1]) if "--sample-count" in sys.argv else 999
assert sys.argv[sys.argv.index("--format") + 1] == "plist"
for _ in range(count):
    time.sleep(0.2)
    sys.stdout.buffer.write(SAMPLE)
    sys.stdout.buffer.flush()
"""


def test_a_stream_of_lists_is_a_meter(tmp_path: Path) -> None:
    """9.6 W over a second, by the samples' own times."""
    made = PowermetricsMeter(script(tmp_path, PRINTS))
    assert (made.has_counter, made.covers, made.remedy) == (True, frozenset({"cpu"}), None)
    made.start()
    made.mark()
    begin = time.perf_counter()
    time.sleep(1.0)
    made.mark()
    seconds = time.perf_counter() - begin
    reading = made.stop()
    assert set(reading.components) == {"cpu"}
    assert reading.components["cpu"][0] == pytest.approx(9.615 * seconds, rel=0.25)


def test_a_mac_is_metered_by_powermetrics(tmp_path: Path) -> None:
    """Chips in one stream, memory by CodeCarbon's model."""
    command = script(tmp_path, PRINTS)
    cpu = Device(name="Apple M2 (CPU)", kind="cpu")
    sources = Sources(powercap=tmp_path, i2c=tmp_path, environment={}, powermetrics=lambda: command)
    assert meter_name(cpu, sources) == "powermetrics+codecarbon"
    made = meter_for(cpu, sources)
    made.start()
    time.sleep(1.1)
    reading = made.stop()
    assert reading.components["cpu"][1] == "measured"
    assert reading.components["dram"][1] == "modelled"


def test_without_the_superuser_the_remedy_is_named(tmp_path: Path) -> None:
    """What powermetrics says, and how to allow it."""
    body = "sys.exit('powermetrics must be invoked as the superuser')"
    made = PowermetricsMeter(script(tmp_path, body))
    assert (made.present, made.has_counter, made.remedy) == (True, False, REMEDY)
    assert "must be invoked as the superuser" in made.absent["cpu"]
    assert made.stop().components == {}


def test_a_stream_that_breaks_makes_the_window_invalid(tmp_path: Path) -> None:
    """A crash inside the window is its reason."""
    body = PRINTS + "if count == 999: pass\n"
    body = body.replace("range(count)", "range(min(count, 2))")
    body += "if '--sample-count' not in sys.argv: sys.exit('killed')\n"
    made = PowermetricsMeter(script(tmp_path, body))
    made.start()
    made.mark()
    time.sleep(0.8)
    made.mark()
    reading = made.stop()
    assert reading.components == {}
    assert "killed" in reading.absent["cpu"]


def test_other_systems_have_no_powermetrics() -> None:
    """There is no command outside of macOS, and no meter."""
    if sys.platform != "darwin":
        assert powermetrics_command() == []
    made = PowermetricsMeter([])
    assert (made.present, made.has_counter, made.absent) == (False, False, {})
