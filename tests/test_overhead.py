"""What a meter costs: the arithmetic on a scripted clock, and the bench in miniature."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

from calibration.meters.machine_meter import NullMeter, RaplMeter
from calibration.meters.meter import Reading
from calibration.meters.overhead import hashing_loop, measure_overhead, median_interval

BENCH = Path(__file__).resolve().parents[1] / "benchmarks" / "bench.py"


class Slow:
    """A meter that makes work slower while a window is open, on a clock of its own."""

    name, has_counter, min_window_s = "slow", False, 0.0

    def __init__(self, share: float) -> None:
        self.now, self.share, self.open = 0.0, share, False

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def work(self) -> None:
        """One second, more while metered."""
        self.now += 1.0 + (self.share if self.open else 0.0)

    def start(self) -> None:
        """Takes a fifth of a second."""
        self.now, self.open = self.now + 0.2, True

    def stop(self) -> Reading:
        """Takes a tenth."""
        self.now, self.open = self.now + 0.1, False
        return Reading({})


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25])
def test_a_slowdown_is_found(share: float) -> None:
    """What the meter adds inside the window, apart from beginning and ending it."""
    meter = Slow(share)
    found = measure_overhead(meter, meter.work, pairs=9, clock=meter.clock, cpu_clock=meter.clock)
    assert found.wall == found.cpu
    assert found.wall.median == pytest.approx(share)
    assert found.wall.low == pytest.approx(share)
    assert found.wall.high == pytest.approx(share)
    assert found.around_s == pytest.approx(0.3)
    assert (found.pairs, found.bare_s) == (9, pytest.approx(1.0))


def test_the_interval_of_a_median_covers_it() -> None:
    """In 95 % of samples and more; for 30 values it runs from the 10th to the 21st."""
    assert median_interval(range(1, 31)) == (10, 21)
    draw = random.Random(0)  # noqa: S311
    inside = 0
    for _ in range(1000):
        low, high = median_interval([draw.expovariate(1) for _ in range(30)])
        inside += low <= 0.6931 <= high
    assert inside / 1000 >= 0.94
    assert median_interval([3.0, 1.0]) == (1.0, 3.0)


def test_null_work_hashes_the_same_again_and_more_for_longer() -> None:
    """Every call does the same; a hundred times the seconds are more hashes, whatever else runs."""
    short, long = hashing_loop(0.003), hashing_loop(0.3)
    hashes = short()
    assert isinstance(hashes, int)
    assert short() == short() == hashes
    assert long() > hashes  # type: ignore[operator]


def test_the_bench_prints_its_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line a meter, with slowdown and interval."""
    monkeypatch.syspath_prepend(str(BENCH.parent))
    spec = importlib.util.spec_from_file_location("bench", BENCH)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.metering(0.002, 3, {"none": NullMeter(), "rapl": RaplMeter(tmp_path)})
    lines = capsys.readouterr().out.strip().splitlines()
    assert "3 pairs" in lines[0]
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| none", "| rapl"]
    assert lines[-1].count("%") == 6
