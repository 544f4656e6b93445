"""Tests of `calibration.hardware.usage`: whose memory is read, without a GPU."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from calibration.hardware import usage


class Allocator:
    """torch.cuda as far as memory goes: a level, and the highest since the last reset."""

    def __init__(self, *, there: bool = True) -> None:
        self.there, self.level, self.peak = there, 0, 0

    def is_available(self) -> bool:
        """Whether there is a GPU."""
        return self.there

    def hold(self, n_bytes: int) -> None:
        """Allocates up to a level, or frees down to it."""
        self.level, self.peak = n_bytes, max(self.peak, n_bytes)

    def reset_peak_memory_stats(self) -> None:
        """The peak is the present level, as torch has it."""
        self.peak = self.level

    def max_memory_allocated(self) -> int:
        """Bytes."""
        return self.peak


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> Allocator:
    """In torch's place."""
    cuda = Allocator()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return cuda


def test_what_others_keep_busy_leaves_own_work_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 7 CPU seconds in 2 s this process had 4, so others kept 1.5 cores busy; never below 0."""
    for busy, own, cores in (([10.0, 17.0], [3.0, 7.0], 1.5), ([10.0, 11.0], [3.0, 7.0], 0.0)):
        times = iter([100.0, 102.0])
        monkeypatch.setattr(usage, "_busy_seconds", iter(busy).__next__)
        monkeypatch.setattr(usage, "_own_seconds", iter(own).__next__)
        monkeypatch.setattr(usage.time, "perf_counter", times.__next__)
        assert usage.OtherLoad().mean_cores() == pytest.approx(cores)
    monkeypatch.undo()
    monkeypatch.setattr(usage, "_busy_seconds", lambda: None)
    assert usage.OtherLoad().mean_cores() is None


def test_child_processes_are_no_other_load() -> None:
    """What a child of ours burns counts as our own, while it runs and after."""
    before, others = usage._own_seconds(), usage.OtherLoad()
    burn = "import time\nwhile time.process_time() < 0.7: pass\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE) as child:
        while usage._own_seconds() - before < 0.5:
            time.sleep(0.02)
        assert child.poll() is None
        child.communicate(b"\n")
    assert usage._own_seconds() - before >= 0.6
    assert others.mean_cores() is not None


def test_a_load_elsewhere_is_seen() -> None:
    """A process that is no child of ours is other load."""
    burn = "import time\nend = time.time() + 1.5\nwhile time.time() < end: pass"
    command = f"{sys.executable} -c '{burn}' >/dev/null 2>&1 &"
    others = usage.OtherLoad()
    subprocess.run(["setsid", "sh", "-c", command], check=True)
    time.sleep(1.0)
    assert (others.mean_cores() or 0) > 0.3


def test_a_gpus_peak_is_its_own_memory_since_the_reset(allocator: Allocator) -> None:
    """An earlier, larger trial does not count, the weights that stay do; the host never does."""
    allocator.hold(9_000_000_000)
    allocator.hold(1_500_000_000)
    usage.reset_peak_memory("gpu")
    assert usage.peak_memory_mb("gpu") == 1500
    allocator.hold(2_000_000_000)
    allocator.hold(1_500_000_000)
    assert usage.peak_memory_mb("gpu") == 2000


def test_a_gpu_that_nobody_used_or_has_no_peak(
    allocator: Allocator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing allocated, no GPU or no torch: missing, and not the host's memory in its place."""
    assert usage.peak_memory_mb("gpu") is None
    allocator.there = False
    allocator.hold(1)
    usage.reset_peak_memory("gpu")
    assert usage.peak_memory_mb("gpu") is None
    monkeypatch.setitem(sys.modules, "torch", None)
    usage.reset_peak_memory("gpu")
    assert usage.peak_memory_mb("gpu") is None


def test_elsewhere_it_is_the_processs_resident_memory(allocator: Allocator) -> None:
    """A Python process takes megabytes, whatever a GPU holds."""
    allocator.hold(9_000_000_000_000)
    usage.reset_peak_memory("cpu")
    assert 5 < (usage.peak_memory_mb("cpu") or 0) < 1e6
