"""From a setup to the numbers the estimator sees: nominal power, roofline time, features.

Everything is vectorised over setups and uses nothing read inside a measured window other than
the runtime. Units: joules, seconds, watts; logarithms are natural. The physics is in
`docs/method.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.estimator.imputation import Imputation, specs
from advisor.estimator.setup import Setup, host_class, precision_bits
from catalog.records import Device, Scope

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Positions = NDArray[np.intp]

IDLE_SHARE = 0.15
"""Power of an idle device over its TDP (A100: 52-63 W of 400 W; V100: 26-40 W of 300 W,
bundled device table)."""
CPU_MEMORY_SHARE = 0.2
"""Power of a CPU's memory over the CPU's TDP, in host scope."""
SUPPLY_EFFICIENCY = 0.9
"""Share of the plug's power that a power supply passes on (80 PLUS Gold at half load)."""
HOST_W = {"edge": 3.0, "desktop": 60.0, "server": 200.0}
"""Watts around the devices of one machine, by class of host; a learned factor corrects it."""
DEFAULT_TOKENS = 64.0
"""Tokens per text where nobody stated them; a flag tells the estimator."""
DEFAULT_BATCH = 32.0
"""Texts per call where nobody stated them: those of scenario offline; a flag tells it apart."""
COMPUTE_SHARE, BANDWIDTH_SHARE = 0.3, 0.6
"""Shares of peak compute and bandwidth that inference reaches (roofline)."""
CALL_OVERHEAD_S = {"gpu": 5e-3, "npu": 2e-3, "cpu": 1e-4, "soc": 5e-3}
"""Seconds one call costs before any arithmetic: kernel launches, Python, transfers."""
_SMALL = 1e-12


def _around_w(device: Device, scope: Scope, tdp: float, host_w: float | None) -> float:
    """Watts the scope adds to the devices; the wall never adds less than the host."""
    if scope == "device":
        return 0.0
    if host_w is not None:
        return host_w
    if device.kind != "cpu":
        return HOST_W[host_class(device)]
    memory = CPU_MEMORY_SHARE * tdp
    return memory if scope == "host" else memory + HOST_W[host_class(device)]


FEATURES = (
    "log_parameters",
    "parameters_missing",
    "log_runtime",
    "log_batch",
    "batch_missing",
    "log_tokens",
    "tokens_missing",
    "compute_share",
    "bandwidth_share",
    "log_peak_per_tdp",
    "log_tdp",
    "log_devices",
    "log_idle_devices",
    "bits",
    "cpu",
    "npu",
    "beyond_device",
    "at_the_wall",
    "edge",
    "desktop",
    "llm",
    "startup",
    "on_soc",
    "startup_gpu",
    "startup_soc",
    "log_ideal_s",
)
"""Names of the columns of the design matrix."""
MEANING = 2
"""Raised where a column or the nominal power comes to mean something else under the same name."""
READ_IN_THE_WINDOW = (
    "joule",
    "energy",
    "power",
    "watt",
    "latency",
    "utilisation",
    "utilization",
    "temperature",
    "clock",
    "throttle",
    "memory_mb",
    "accuracy",
    "_j",
)
"""Parts of the names of what is read inside a measured window or after it; the runtime is the only
such quantity that a feature may use."""


class LeakError(ValueError):
    """A feature that would not be known before the energy is."""


def checked(names: Sequence[str]) -> Sequence[str]:
    """The names of features, none of which is read inside the measured window.

    Raises:
        LeakError: One is; the text names it.
    """
    for name in names:
        if any(part in name.lower() for part in READ_IN_THE_WINDOW) or name.lower().endswith("_w"):
            raise LeakError(
                f"feature {name!r} is read inside the measured window; of what is read there only "
                "the runtime may be a feature"
            )
    return names


RUNTIME_COLUMNS = tuple(
    FEATURES.index(name) for name in ("log_runtime", "compute_share", "bandwidth_share")
)
"""Columns that read the runtime; all others are known before anything runs."""
SCOPE_COLUMNS = tuple(FEATURES.index(name) for name in ("beyond_device", "at_the_wall"))
"""Columns that tell the scope: power must not fall with them, time does not know them."""


class Design(msgspec.Struct, frozen=True):
    """Features of n setups.

    Attributes:
        X: Matrix n x len(FEATURES).
        log_nominal_w: Natural log of nominal power, watts.
        log_roofline_s: Natural log of roofline seconds per text.
        log_runtime_s: Natural log of the runtime used, seconds per text.
    """

    X: Array
    log_nominal_w: Array
    log_roofline_s: Array
    log_runtime_s: Array

    def take(self, mask: Mask | Positions) -> Design:
        """The setups where `mask` holds, or at some positions."""
        return Design(*(getattr(self, name)[mask] for name in self.__struct_fields__))


ROOFLINE = 16
"""Row of `numbers` that holds the roofline seconds."""


class _Part(NamedTuple):
    """What many setups share: numbers of a device at a precision in a scope."""

    bits: float
    tdp: float
    peak: float
    bandwidth: float
    around: float
    overhead: float
    gpu: bool
    on_soc: bool
    cpu: bool
    npu: bool
    beyond_device: bool
    at_the_wall: bool
    edge: bool
    desktop: bool


def _part(setup: Setup, stand_in: Imputation) -> _Part:
    """The shared numbers of a setup's device."""
    device, scope, host = setup.device, setup.scope, host_class(setup.device)
    bits = precision_bits(setup.precision)
    tdp, peak, bandwidth = specs(device, stand_in, bits)
    return _Part(
        bits=bits,
        tdp=tdp,
        peak=peak,
        bandwidth=bandwidth,
        around=_around_w(device, scope, tdp, setup.host_w),
        overhead=CALL_OVERHEAD_S[device.kind],
        gpu=device.kind == "gpu",
        on_soc=device.kind == "soc" or (host == "edge" and device.kind in ("cpu", "gpu")),
        cpu=device.kind == "cpu",
        npu=device.kind == "npu",
        beyond_device=scope != "device",
        at_the_wall=scope == "wall",
        edge=host == "edge",
        desktop=host == "desktop",
    )


def _parts(setups: Sequence[Setup], stand_in: Imputation) -> Array:
    """The fields of `_Part` for n setups, one row each field."""
    places: dict[object, int] = {}
    parts: list[_Part] = []
    codes = np.empty(len(setups), dtype=np.intp)
    for i, setup in enumerate(setups):
        key = id(setup.device), setup.scope, setup.precision, setup.host_w
        place = places.get(key)
        if place is None:
            place = places[key] = len(parts)
            parts.append(_part(setup, stand_in))
        codes[i] = place
    return np.array(parts, dtype=float).reshape(-1, len(_Part._fields)).T[:, codes]


def _stated(setups: Sequence[Setup], name: str) -> Array:
    """A field of n setups as numbers; NaN where it is not stated."""
    return np.array([getattr(setup, name) for setup in setups], dtype=float)


def _or(stated: Array, default: Array | float) -> Array:
    """What is stated, else a default; 0 states nothing."""
    return np.where((stated == 0) | np.isnan(stated), default, stated)


def _read(share: Array, together: Array) -> Array:
    """Share of the weights that a pass over so many tokens reads.

    Each token uses a share of them; which ones, is independent of the others. That is right for one
    token and for many; between, too much, as what all tokens share is taken for experts.
    """
    return 1 - (1 - share) ** together


def numbers(setups: Sequence[Setup], stand_in: Imputation) -> Array:
    """The raw numbers of n setups, one column each; `design` knows their order.

    Args:
        setups: What is asked about.
        stand_in: Specs for devices that state none.
    """
    part = _Part(*_parts(setups, stand_in))
    names = ("runtime_s", "n_parameters", "n_active_parameters", "batch_size", "tokens")
    given, sizes, used, batches, lengths = (_stated(setups, name) for name in names)
    llm, startup = _stated(setups, "llm"), _stated(setups, "startup")
    total = _or(_stated(setups, "n_devices"), 1.0)
    active = _or(_stated(setups, "n_active"), total)
    parameters, tokens = _or(sizes, _or(used, 1e8)), _or(lengths, DEFAULT_TOKENS)
    batch = _or(batches, DEFAULT_BATCH)
    starting = startup * part.gpu * (1 - part.on_soc)  # starting a process is the CPU's work
    working = active * (1 - starting)
    idle = np.maximum(total, active) - working
    nominal = part.tdp * working + IDLE_SHARE * part.tdp * idle + part.around
    share = np.minimum(_or(used, parameters) / parameters, 1.0)  # below 1: a mixture of experts
    flops = _or(_stated(setups, "flops"), 2 * share * parameters * tokens)
    calls = np.where(llm, tokens, 1.0)
    together = np.maximum(batch * tokens / calls, 1.0)
    weights = _read(share, together) * parameters * part.bits / 8 * calls / batch
    roofline = (
        flops / (COMPUTE_SHARE * part.peak * active)
        + weights / (BANDWIDTH_SHARE * part.bandwidth * active)
        + part.overhead * calls / batch
    )
    return np.array(
        [
            parameters,
            np.isnan(sizes),
            _or(given, roofline),
            batch,
            np.isnan(batches),
            tokens,
            np.isnan(lengths),
            flops,
            weights,
            part.peak,
            part.bandwidth,
            part.tdp,
            total,
            active,
            part.bits,
            nominal / np.where(part.at_the_wall, SUPPLY_EFFICIENCY, 1.0),
            roofline,
            part.cpu,
            part.npu,
            part.beyond_device,
            part.at_the_wall,
            part.edge,
            part.desktop,
            llm,
            startup,
            part.on_soc,
            startup * part.gpu,
            startup * part.on_soc,
            flops / (part.peak * active),
        ],
        dtype=float,
    )


def design(raw: Array, log_runtime_s: Array | None = None) -> Design:
    """Features of n setups from their raw numbers.

    Args:
        raw: From `numbers`.
        log_runtime_s: Runtimes that replace the setups' own; the roofline time stands in where
            neither is known.
    """
    (parameters, no_parameters, given, batch, no_batch, tokens, no_tokens, *rest) = raw
    (flops, weights, peak, bandwidth, tdp, total, active, bits, *rest) = rest
    (nominal, roofline, *flags, ideal) = rest
    runtime = given if log_runtime_s is None else np.exp(log_runtime_s)
    compute = np.log(flops / (runtime * peak * active) + _SMALL)
    memory = np.log(weights / (runtime * bandwidth * active) + _SMALL)
    columns = [
        np.log(parameters),
        no_parameters,
        np.log(runtime),
        np.log(batch),
        no_batch,
        np.log(tokens),
        no_tokens,
        np.clip(compute, -14, 1),
        np.clip(memory, -14, 2),
        np.log(peak / tdp) - 25,  # 1e11 FLOP/J is about exp(25)
        np.log(tdp),
        np.log(total),
        np.log(total / active),
        np.log2(bits / 16),
        *flags,
        np.log(ideal + _SMALL),
    ]
    return Design(np.column_stack(columns), np.log(nominal), np.log(roofline), np.log(runtime))
