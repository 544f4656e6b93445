"""NVML meter: joules of NVIDIA GPUs from the total-energy counter, else from polled power.

`lib` is the pynvml module or a test double with the same functions and ``NVMLError``. NVML
measures whole GPUs: for a MIG slice, or a GPU shared with other processes, the joules include
all users. The flags ``mig`` and ``shared-gpu`` mark such windows.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from calibration.hardware.cuda_visibility import (
    VisibleGpu,
    nvml_query,
    order_ambiguous,
    visible_gpus,
)
from calibration.meters.gpu_window import gpu_reading
from calibration.meters.integration import PowerSample, integrated_j
from calibration.meters.meter import CounterError, Reading
from calibration.meters.sampler import Sampler

MIN_WINDOW_S = 2.0
"""NVML updates its counter about every 100 ms: windows below two seconds are mostly noise."""
POLL_S = 0.1
"""Default seconds between power samples."""
_REASONS = {
    "power-cap": 0x4,
    "hw-slowdown": 0x8,
    "sw-thermal": 0x20,
    "hw-thermal": 0x40,
    "hw-power-brake": 0x80,
}
"""Bits of ``nvmlClocksEventReason*``. The power cap is no slowdown: the GPU then works at its power
limit, which is part of the fingerprint. The others make a window ``throttled``."""


def cuda_in_use() -> bool:
    """Whether this process has initialised CUDA through torch; imports nothing."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and cuda.is_available() and cuda.is_initialized())


def cuda_synchronise() -> None:
    """Waits until the GPU has finished this process's work; does nothing without torch."""
    if cuda_in_use():
        sys.modules["torch"].cuda.synchronize()


def load_pynvml() -> Any:
    """The initialised pynvml module; ``None`` if it, the driver or a GPU is missing."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVMLError is only there with pynvml
        return None
    return pynvml


def counted_j(begin_mj: int | None, end_mj: int | None, seconds: float) -> float:
    """Joules between two values of the total-energy counter (millijoules since driver load).

    Raises:
        CounterError: A value is missing, the counter was reset, or it did not move.
    """
    if begin_mj is None or end_mj is None:
        raise CounterError("NVML energy counter could not be read at both ends of the window")
    if end_mj < begin_mj:
        raise CounterError("NVML energy counter was reset inside the window")
    if end_mj == begin_mj:
        why = "is stuck" if seconds >= MIN_WINDOW_S else f"needs windows of {MIN_WINDOW_S:g} s"
        raise CounterError(f"NVML energy counter did not move in {seconds:.1f} s: it {why}")
    return (end_mj - begin_mj) / 1000


class NvmlMeter:
    """Reads the GPUs' counters at both ends of a window and polls their power in between.

    Args:
        lib: pynvml or a test double; ``None`` if there is none.
        devices: Indices into the visible GPUs, in CUDA's numbering; ``None`` for all. Candidates
            run on the first.
        environment: Holds ``CUDA_VISIBLE_DEVICES``.
        synchronise: Waits for the GPU; called at both ends of a window.
        in_use: Whether this process itself uses a GPU.
        clock: Seconds, monotonic.
        every_s: Seconds between power samples.
    """

    min_window_s = MIN_WINDOW_S

    def __init__(
        self,
        lib: Any,
        *,
        devices: Sequence[int] | None = (0,),
        environment: Mapping[str, str] = os.environ,
        synchronise: Callable[[], None] = cuda_synchronise,
        in_use: Callable[[], bool] = cuda_in_use,
        clock: Callable[[], float] = time.perf_counter,
        every_s: float = POLL_S,
    ) -> None:
        self._lib, self._synchronise, self._in_use, self._clock = lib, synchronise, in_use, clock
        shown = visible_gpus(lib, environment) if lib else []
        wanted = range(len(shown)) if devices is None else devices
        chosen = [shown[index] for index in wanted if index < len(shown)]
        # Two slices of one GPU share one counter.
        self._gpus = list({gpu.uuid or str(id(gpu.whole)): gpu for gpu in chosen}.values())
        counted = [self._counter_mj(gpu) is not None for gpu in self._gpus]
        polled = [self._power_w(gpu) is not None for gpu in self._gpus]
        self.has_counter = bool(self._gpus) and all(
            c or p for c, p in zip(counted, polled, strict=True)
        )
        self._polled = [not there for there in counted]
        self.name = "nvml-polled" if self.has_counter and any(self._polled) else "nvml"
        self.covers = frozenset({"gpu"} if self.has_counter else ())
        self.absent: Mapping[str, str] = {} if self.has_counter else {"gpu": self._absence_reason()}
        self._flags = ["mig"] if any(gpu.mig for gpu in self._gpus) else []
        if len(shown) > 1 and order_ambiguous(lib, environment):
            self._flags.append("gpu-order-unsure")
        self._begin_s = 0.0
        self._begin_mj: list[int | None] = []
        self._samples: list[list[PowerSample]] = []
        self._states: list[dict[str, Any]] = []
        self._sampler = Sampler(every_s, self.sample)

    def _absence_reason(self) -> str:
        """Reason why no GPU can be read."""
        if not self._gpus:
            return "NVML lists no GPU that CUDA shows to this process"
        return "NVML gives neither the energy nor the power of this GPU"

    def _counter_mj(self, gpu: VisibleGpu) -> Any:
        """Counter value in millijoules; ``None`` if it cannot be read."""
        return nvml_query(self._lib, "nvmlDeviceGetTotalEnergyConsumption", gpu.whole)

    def _power_w(self, gpu: VisibleGpu) -> float | None:
        """Power in watts, NVML's mean over up to a second; ``None`` if it cannot be read."""
        milliwatts = nvml_query(self._lib, "nvmlDeviceGetPowerUsage", gpu.whole)
        return None if milliwatts is None else milliwatts / 1000

    def sample(self) -> None:
        """Samples the power, and at every tenth call the state, of each GPU; called by a thread."""
        for gpu, samples in zip(self._gpus, self._samples, strict=True):
            samples.append((self._clock(), self._power_w(gpu)))
        if self._samples and len(self._samples[0]) % 10 == 0:
            self._states += [self._state(gpu) for gpu in self._gpus]

    def _state(self, gpu: VisibleGpu) -> dict[str, Any]:
        """Temperature, clock, power limit, throttle reasons, and whether other processes use it."""
        lib, whole = self._lib, gpu.whole
        reasons = nvml_query(lib, "nvmlDeviceGetCurrentClocksEventReasons", whole)
        if reasons is None:  # the name before driver 535
            reasons = nvml_query(lib, "nvmlDeviceGetCurrentClocksThrottleReasons", whole)
        limit = nvml_query(lib, "nvmlDeviceGetEnforcedPowerLimit", whole)
        return {
            "gpu_temperature_c": nvml_query(lib, "nvmlDeviceGetTemperature", whole, 0),
            "gpu_clock_mhz": nvml_query(
                lib, "nvmlDeviceGetClockInfo", whole, 1
            ),  # clock of the multiprocessors
            "gpu_power_limit_w": None if limit is None else limit / 1000,
            "gpu_throttle": [name for name, bit in _REASONS.items() if (reasons or 0) & bit],
            "shared": self._shared(gpu),
        }

    def _shared(self, gpu: VisibleGpu) -> bool:
        """Whether another process computes on the GPU.

        In a container NVML reports the host's process ids, so one unknown id may be this process.
        """
        processes = nvml_query(self._lib, "nvmlDeviceGetComputeRunningProcesses", gpu.whole) or []
        pids = [process.pid for process in processes]
        ours = 1 if self._in_use() or os.getpid() in pids else 0
        return len(pids) > ours

    def start(self) -> None:
        """Begins a window once the GPU is idle."""
        self._sampler.stop()
        self._synchronise()
        self._samples = [[] for _ in self._gpus]
        self._states = [self._state(gpu) for gpu in self._gpus]
        self._begin_s = self._clock()
        self._begin_mj = [self._counter_mj(gpu) for gpu in self._gpus]
        self.sample()
        if self._gpus:
            self._sampler.start()

    def stop(self) -> Reading:
        """Joules since `start`, summed over the GPUs, after waiting for pending GPU work."""
        self._synchronise()
        seconds = self._clock() - self._begin_s
        end_mj = [self._counter_mj(gpu) for gpu in self._gpus]
        self._sampler.stop()
        self.sample()
        self._states += [self._state(gpu) for gpu in self._gpus]
        raw = {
            "seconds": round(seconds, 6),
            "counter_mj": [list(p) for p in zip(self._begin_mj, end_mj, strict=True)],
            "power_s_w": [
                [[round(at - self._begin_s, 3), watts] for at, watts in samples]
                for samples in self._samples
            ],
        }
        if not self.has_counter:
            return Reading({}, absent=self.absent)
        return reading_from_raw(raw, self._polled, self._flags, self._states)


def reading_from_raw(
    raw: Mapping[str, Any],
    polled: Sequence[bool],
    flags: Sequence[str] = (),
    states: Sequence[Mapping[str, Any]] = (),
) -> Reading:
    """The reading computed from a window's raw values.

    Args:
        raw: ``seconds``; ``counter_mj``, both ends by GPU; ``power_s_w``, samples by GPU.
        polled: By GPU, whether its energy is integrated from power because it has no counter.
        flags: Flags that hold for every window of the meter.
        states: States of the GPUs at both ends of the window and inside it.
    """

    def joules() -> float:
        by_gpu = zip(polled, raw["counter_mj"], raw["power_s_w"], strict=True)
        return sum(
            integrated_j(samples, "NVML power")
            if is_polled
            else counted_j(begin, end, raw["seconds"])
            for is_polled, (begin, end), samples in by_gpu
        )

    return gpu_reading(raw, joules, check=not any(polled), flags=flags, states=states)
