"""AMD SMI meter: joules of AMD GPUs from the energy accumulator, else from polled socket power.

``amdsmi_get_energy_count`` gives ticks and their resolution (15.3 microjoules on Instinct cards),
``amdsmi_get_power_info`` watts (AMD SMI Python API reference). The accumulator belongs to a whole
package: for a partition or one die of two the joules include the others, which the flag
``gpu-partition`` marks. It is not available to guests of a hypervisor, and known to go backwards
(github.com/ROCm/amdsmi/issues/115) or to count too little (issue 38) on some cards: a window in
which it does the first is invalid, the second shows in the check against integrated power.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from calibration.hardware.amd_visibility import (
    AmdGpu,
    amd_gpus,
    amdsmi_query,
    energy_ticks,
    hip_order_ambiguous,
    socket_power_w,
)
from calibration.meters.gpu_window import gpu_reading
from calibration.meters.integration import PowerSample, integrated_j
from calibration.meters.meter import CounterError, Reading
from calibration.meters.nvml import cuda_in_use, cuda_synchronise
from calibration.meters.rapl import trace_j
from calibration.meters.sampler import Sampler

MIN_WINDOW_S = 2.0
"""As for NVML: accumulator and power are means over up to a second."""
POLL_S = 0.1
"""Default seconds between power samples; the counter is read at every tenth."""
MAX_GPU_WATTS = 2500.0
"""Upper bound of a package's power (the largest is rated 1,400 W), to detect missed wraps."""
_REGISTER = 2**32
"""Range of the accumulator in firmware that keeps 32 bits; wider ones do not wrap in years."""


def counted_j(
    trace: Sequence[tuple[float, int | None]], resolution_uj: float, gpu: int = 0
) -> float:
    """Joules of one accumulator over its reads in a window, a wrap of 32 bits included.

    Args:
        trace: Seconds and ticks of successive reads, both ends of the window included.
        resolution_uj: Microjoules per tick.
        gpu: Number of the GPU, for the error's message.

    Raises:
        CounterError: An end is missing, or the counter was reset, jumped, or did not move.
    """
    narrow = all(ticks is None or ticks < _REGISTER for _, ticks in trace)
    in_uj = [(at, None if n is None else round(n * resolution_uj)) for at, n in trace]
    try:
        return trace_j(in_uj, round(_REGISTER * resolution_uj) if narrow else None, MAX_GPU_WATTS)
    except CounterError as error:
        raise CounterError(f"AMD SMI energy counter of GPU {gpu} {error}") from error


class AmdMeter:
    """Reads the GPUs' accumulators at both ends of a window and polls their power in between.

    Args:
        lib: amdsmi or a test double; ``None`` if there is none.
        devices: Indices into the visible GPUs, in HIP's numbering; ``None`` for all. Candidates
            run on the first.
        environment: Holds the variables by which HIP selects GPUs.
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
        shown = amd_gpus(lib, environment)
        wanted = range(len(shown)) if devices is None else devices
        chosen = [shown[index] for index in wanted if index < len(shown)]
        # Partitions and dies of one package share one counter.
        self._gpus = list({id(gpu.whole): gpu for gpu in chosen}.values())
        counters = [energy_ticks(lib, gpu.whole) for gpu in self._gpus]
        powers = [socket_power_w(lib, gpu.whole) for gpu in self._gpus]
        self._resolution_uj = [found[1] if found else None for found in counters]
        self.has_counter = bool(self._gpus) and all(
            c is not None or p is not None for c, p in zip(counters, powers, strict=True)
        )
        polled = self.has_counter and None in self._resolution_uj
        self.name = "amdsmi-polled" if polled else "amdsmi"
        self.covers = frozenset({"gpu"} if self.has_counter else ())
        self.absent: Mapping[str, str] = {} if self.has_counter else {"gpu": self._absence_reason()}
        self._flags = ["gpu-partition"] if any(gpu.part for gpu in self._gpus) else []
        if len(shown) > 1 and hip_order_ambiguous(lib):
            self._flags.append("gpu-order-unsure")
        self._begin_s = 0.0
        self._traces: list[list[tuple[float, int | None]]] = []
        self._samples: list[list[PowerSample]] = []
        self._states: list[dict[str, Any]] = []
        self._sampler = Sampler(every_s, self.sample)

    def _absence_reason(self) -> str:
        """Reason why no GPU can be read."""
        if not self._gpus:
            return "AMD SMI lists no GPU that HIP shows to this process"
        return (
            "AMD SMI gives neither the energy nor the power of this GPU; guests of a hypervisor "
            "cannot read them"
        )

    def sample(self) -> None:
        """Samples the power, and at every tenth call counter and state; called by a thread."""
        for gpu, samples in zip(self._gpus, self._samples, strict=True):
            samples.append((self._clock(), socket_power_w(self._lib, gpu.whole)))
        if self._samples and len(self._samples[0]) % 10 == 0:
            self._read_counters()
            self._states += [self._state(gpu) for gpu in self._gpus]

    def _read_counters(self) -> None:
        """Reads every accumulator."""
        for gpu, trace in zip(self._gpus, self._traces, strict=True):
            found = energy_ticks(self._lib, gpu.whole)
            trace.append((self._clock(), found[0] if found else None))

    def _state(self, gpu: AmdGpu) -> dict[str, Any]:
        """Temperature, clock, power limit, throttling, and whether other processes use it.

        AMD SMI tells that a GPU is throttled but not why, so that the power limit may be the
        reason: it is remembered and makes no window ``throttled``.
        """
        lib, whole = self._lib, gpu.whole
        spot, now = lib.AmdSmiTemperatureType.HOTSPOT, lib.AmdSmiTemperatureMetric.CURRENT
        celsius = amdsmi_query(lib, "amdsmi_get_temp_metric", whole, spot, now)
        clock = amdsmi_query(lib, "amdsmi_get_clock_info", whole, lib.AmdSmiClkType.GFX) or {}
        limit = (amdsmi_query(lib, "amdsmi_get_power_cap_info", whole) or {}).get("power_cap")
        metrics = amdsmi_query(lib, "amdsmi_get_gpu_metrics_info", whole) or {}
        processes = amdsmi_query(lib, "amdsmi_get_gpu_process_list", gpu.handle) or []
        pids = [process["pid"] for process in processes]
        ours = 1 if self._in_use() or os.getpid() in pids else 0
        return {
            "gpu_temperature_c": _number(celsius),
            "gpu_clock_mhz": _number(clock.get("clk")),
            "gpu_power_limit_w": limit / 1e6 if isinstance(limit, int) else None,
            "gpu_throttle": ["unspecified"] if metrics.get("throttle_status") is True else [],
            "shared": len(pids) > ours,
        }

    def start(self) -> None:
        """Begins a window once the GPU is idle."""
        self._sampler.stop()
        self._synchronise()
        self._samples, self._traces = [[] for _ in self._gpus], [[] for _ in self._gpus]
        self._states = [self._state(gpu) for gpu in self._gpus]
        self._begin_s = self._clock()
        self._read_counters()
        self.sample()
        if self._gpus:
            self._sampler.start()

    def stop(self) -> Reading:
        """Joules since `start`, summed over the GPUs, after waiting for pending GPU work."""
        self._synchronise()
        self._sampler.stop()
        self._read_counters()
        seconds = self._clock() - self._begin_s
        self.sample()
        self._states += [self._state(gpu) for gpu in self._gpus]
        if not self.has_counter:
            return Reading({}, absent=self.absent)
        raw = {
            "seconds": round(seconds, 6),
            "resolution_uj": self._resolution_uj,
            "ticks_s": [self._relative(trace) for trace in self._traces],
            "power_s_w": [self._relative(samples) for samples in self._samples],
        }
        return reading_from_raw(raw, self._flags, self._states)

    def _relative(self, samples: Sequence[tuple[float, Any]]) -> list[list[Any]]:
        """Samples with seconds since the window began."""
        return [[round(at - self._begin_s, 4), value] for at, value in samples]


def _number(value: object) -> float | None:
    """A number; ``None`` for ``"N/A"`` and failed queries."""
    return value if isinstance(value, int | float) else None


def reading_from_raw(
    raw: Mapping[str, Any],
    flags: Sequence[str] = (),
    states: Sequence[Mapping[str, Any]] = (),
) -> Reading:
    """The reading computed from a window's raw values.

    Args:
        raw: ``seconds``; by GPU ``resolution_uj`` (``None`` where power is integrated),
            ``ticks_s`` (seconds and ticks) and ``power_s_w`` (seconds and watts).
        flags: Flags that hold for every window of the meter.
        states: States of the GPUs at both ends of the window and inside it.
    """

    def joules() -> float:
        by_gpu = zip(raw["resolution_uj"], raw["ticks_s"], raw["power_s_w"], strict=True)
        return sum(
            integrated_j(samples, "AMD SMI power")
            if resolution_uj is None
            else counted_j(trace, resolution_uj, number)
            for number, (resolution_uj, trace, samples) in enumerate(by_gpu)
        )

    check = None not in raw["resolution_uj"]
    return gpu_reading(raw, joules, check=check, flags=flags, states=states)
