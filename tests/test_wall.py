"""Wall meters as files and commands: lines, units, times, gaps, and what is refused."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calibration.measurement.windows import idle_watts
from calibration.meters.machine_meter import MachineMeter, Sources, meter_for, meter_name
from calibration.meters.wall import VARIABLE, WallMeter, parse_line, reading_from_raw
from catalog.records import Device

NOON = 1772366400.0
"""1 March 2026, 12:00 UTC, as seconds since 1970."""


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("2026-03-01T12:00:00.5Z 143.2", (NOON + 0.5, 143.2, "W")),
        ("2026-03-01T13:00:00+01:00,143.2,W", (NOON, 143.2, "W")),
        ("2026-03-01 12:00:00Z 143.2 W", (NOON, 143.2, "W")),
        ("1772366400.5 143.2 W  # plug 3", (NOON + 0.5, 143.2, "W")),
        ("1772366400 52817.4 J", (NOON, 52817.4, "J")),
        ("1772366400;0", (NOON, 0.0, "W")),
        ("", None),
        ("# time watts", None),
    ],
)
def test_lines_are_read(line: str, read: tuple[float, float, str] | None) -> None:
    """ISO 8601 or seconds since 1970, watts or cumulative joules."""
    assert parse_line(line) == read


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("143.2", "is no reading; allowed"),
        ("noon 143.2", "'noon 143.2' is no reading"),
        ("1772366400 143.2 kWh", "is no reading"),
        ("1772366400 -4", "W: -4 is not allowed; allowed: numbers from 0"),
        ("1772366400 nan J", "J: nan is not allowed"),
        ("12.5 143.2", "time: 12.5 is not allowed; allowed: ISO 8601 or seconds since 1970"),
    ],
)
def test_what_is_no_reading_is_refused(line: str, why: str) -> None:
    """The message says what came and what is allowed."""
    with pytest.raises(ValueError, match=why):
        parse_line(line)


def raw(unit: str, *readings: tuple[float, float], end: float = 10.0) -> dict[str, object]:
    """Raw values of a window of ten seconds."""
    return {"unit": unit, "window_s": [0.0, end], "readings": [list(each) for each in readings]}


def test_watts_are_integrated_and_joules_subtracted() -> None:
    """120 W for ten seconds, told in either way, with readings beside the window's ends."""
    watts = raw("W", *((n - 0.3, 120.0) for n in range(12)))
    joules = raw("J", *((n - 0.3, 7000.0 + 120.0 * n) for n in range(12)))
    for given in (watts, joules):
        assert reading_from_raw(given).components == {"wall": (pytest.approx(1200.0), "measured")}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (raw("W", (-0.3, 120.0), (4.0, 120.0)), "after the window ended"),
        (raw("W", (0.3, 120.0), (4.0, 120.0), (11.0, 120.0)), "before the window began"),
        (raw("W", (-0.3, 120.0), (4.0, 120.0), (11.0, 120.0)), "less than once in 5 s"),
        (raw("J", (-0.3, 900.0), (4.0, 950.0), (8.0, 3.0), (11.0, 9.0)), "was reset"),
        (raw("W", (-0.3, 0.0), (4.0, 0.0), (8.0, 0.0), (11.0, 0.0)), "did not move"),
    ],
)
def test_gaps_and_resets_make_the_window_invalid(given: dict[str, object], why: str) -> None:
    """Absent with the reason, never 0 or negative."""
    reading = reading_from_raw(given)
    assert reading.components == {}
    assert why in reading.absent["wall"]


@contextmanager
def logger(path: Path, watts: float, unit: str = "W", every_s: float = 0.05) -> Iterator[None]:
    """A logger that appends a reading to a file every moment."""
    done, total = threading.Event(), 0.0

    def write(value: float) -> None:
        with path.open("a") as file:
            file.write(f"{time.time():.4f} {value:g} {unit}\n")

    def run() -> None:
        nonlocal total
        while not done.wait(every_s):
            total = time.time() % 1e5 * watts
            write(watts if unit == "W" else total)

    write(watts if unit == "W" else time.time() % 1e5 * watts)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("unit", ["W", "J"])
def test_a_file_that_grows_is_a_meter(tmp_path: Path, unit: str) -> None:
    """A window of half a second at 200 W."""
    path = tmp_path / "plug.log"
    with logger(path, 200.0, unit):
        made = WallMeter({VARIABLE: str(path)}, wait_s=3.0)
        assert (made.has_counter, made.covers) == (True, frozenset({"wall"}))
        made.start()
        made.mark()
        begin = time.time()
        time.sleep(0.5)
        made.mark()
        seconds = time.time() - begin
        reading = made.stop()
    assert reading.components["wall"][0] == pytest.approx(200.0 * seconds, rel=0.1)


PRINTS = "import time\nwhile True:\n print(time.time(), 75, flush=True)\n time.sleep(0.05)"
ONCE = "import time\nprint(time.time(), 75)"


@pytest.mark.parametrize("code", [PRINTS, ONCE])
def test_a_command_is_a_meter(code: str) -> None:
    """One that prints for ever, and one that prints once and is run again."""
    made = WallMeter({VARIABLE: f'{sys.executable} -c "{code}"'}, wait_s=10.0)
    assert made.has_counter, made.detail
    made.start()
    made.mark()
    begin = time.time()
    time.sleep(0.8)
    made.mark()
    seconds = time.time() - begin
    reading = made.stop()
    assert reading.components["wall"][0] == pytest.approx(75.0 * seconds, rel=0.1)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("no-such-program --watts", "no-such-program cannot be run"),
        (f"{sys.executable} -c \"import sys; sys.exit('no plug found')\"", "code 1: no plug found"),
        (f"{sys.executable} -c \"print('143 W')\"", "is no reading; allowed"),
        (f'{sys.executable} -c "print(1772366400, 5)"', "no reading of the last minute"),
    ],
)
def test_a_meter_that_does_not_work_says_why(source: str, why: str) -> None:
    """The reason names the variable; doctor shows the same."""
    made = WallMeter({VARIABLE: source}, wait_s=5.0)
    assert (made.present, made.has_counter) == (True, False)
    assert made.absent["wall"].startswith(f"{VARIABLE}: ")
    assert why in made.absent["wall"]
    assert made.detail == made.absent["wall"]


def test_a_file_nobody_writes_gives_no_window(tmp_path: Path) -> None:
    """A logger that stopped: the window waits, then is invalid."""
    path = tmp_path / "plug.log"
    path.write_text(f"{time.time():.3f} 90\n")
    made = WallMeter({VARIABLE: str(path)}, wait_s=0.3)
    assert made.has_counter
    made.start()
    made.mark()
    made.mark()
    assert "after the window ended" in made.stop().absent["wall"]


def test_units_may_not_change(tmp_path: Path) -> None:
    """Watts and joules in one file are refused."""
    path = tmp_path / "plug.log"
    path.write_text(f"{time.time():.3f} 90 W\n{time.time():.3f} 90 J\n")
    made = WallMeter({VARIABLE: str(path)}, wait_s=1.0)
    time.sleep(0.05)
    assert made.has_counter or "unit" in made.absent["wall"]
    made.start()
    made.mark()
    made.mark()
    assert "J after W" in made.stop().absent["wall"]


def test_nothing_is_configured() -> None:
    """Without the variable there is no meter and no reason."""
    made = WallMeter({})
    assert (made.present, made.has_counter, made.absent) == (False, False, {})
    assert made.stop().components == {}


def test_the_machine_adds_the_plug_to_its_counters(tmp_path: Path) -> None:
    """Beside modelled chips the plug is measured; idle power is the plug's alone."""
    path = tmp_path / "plug.log"
    cpu = Device(name="x", kind="cpu")
    with logger(path, 200.0):
        sources = Sources(
            powercap=tmp_path, i2c=tmp_path, environment={VARIABLE: str(path)}, powermetrics=list
        )
        made = meter_for(cpu, sources)
        assert isinstance(made, MachineMeter)
        assert made.name == meter_name(cpu, sources) == "wall+codecarbon"
        assert made.min_window_s == 10.0
        assert idle_watts(made, 1.5) == pytest.approx(200.0, rel=0.1)
