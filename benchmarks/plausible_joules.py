"""Plausible joules of one text: an option of an answer in, bounds from FLOP, peak and watts out.

A calculation of its own, from the bundled profiles and data sheets: nothing of the estimators. It
is wide on purpose; what lies outside is wrong by physics, not by taste.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from catalog import reference_data
from catalog.hardware.device_defaults import CompletedDevice, completed
from catalog.records import Candidate, Device, Workload

NETWORKLESS = ("lexicon", "bag-of-words", "tf-idf", "fasttext", "static-embedding")
"""Families without a network: one text costs some microseconds to milliseconds of a CPU."""
UTILISATION = (0.02, 0.9)
"""Share of the peak rate that a network's multiplications reach while they run."""
S_PER_BLOCK = 2e-3
"""Most seconds of starting one transformer block's kernels, once a call: a small batch waits for
them, not for arithmetic. Zschache and Hartwig 2025 print 8.68 ms a text for 12 blocks on an H100,
0.72 ms each and 0.08 % of the peak; hosts of edge boards are some three times slower."""
CPU_HEADROOM = 2.0
"""Turbo clocks over the base clock that peaks of CPUs are stated at."""
MATRIX_UNITS = 32.0
"""Most a CPU gains in 8 and 16 bit: AMX does 2,048 int8 operations a cycle, AVX-512 64 FLOP."""
TEXT_S = (1e-6, 20e-3)
"""Seconds that a text costs a CPU in a family without a network: hashing some words into a dot
product, and a whole scikit-learn call for one text with every check."""
EDGE_SLOWER = 10.0
"""How much slower a single-board computer is."""
LEAST_WATTS = 2.0
WATTS_PER_GB = 0.375
"""Memory power: CodeCarbon's 3 W per 8 GB."""
WALL_OVER_HOST = 1.5
"""Most that supplies, fans, disks and network add."""
BYTES = {"fp64": 8, "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1, "int4": 0.5}
CHARS_PER_TOKEN = (3.0, 5.0)
"""Characters of a word piece in Latin letters; other scripts have 1 to 3."""
UNKNOWN_TOKENS = (15.0, 150.0)
"""Word pieces of a text whose length no source states."""
TOKENS_PER_LABEL = 3.0
OFFLINE_BATCH = 32.0

Option = Mapping[str, Any]


class Bounds(NamedTuple):
    """The least and the most a quantity can be."""

    low: float
    high: float


def weights_gb(option: Option) -> float:
    """Weights in the option's numeric format, 1e9 bytes; fp32 where none is stated."""
    width = BYTES.get(str(option.get("precision")), 4)
    return (option.get("n_parameters") or 0.0) * width / 1e9


def text_tokens(workload: Workload) -> Bounds:
    """Word pieces of a text: as counted, else from its characters."""
    if workload.mean_tokens is not None:
        return Bounds(workload.mean_tokens, workload.mean_tokens)
    if workload.mean_chars is None:
        return Bounds(*UNKNOWN_TOKENS)
    latin = workload.language in ("en", "de", "fr", "nl", "pl", "id", "cs", "es", "it", "pt")
    fewest, most = CHARS_PER_TOKEN if latin else (1.0, CHARS_PER_TOKEN[1])
    return Bounds(workload.mean_chars / most, workload.mean_chars / fewest + 2)


def flop_per_text(candidate: Candidate, workload: Workload) -> Bounds | None:
    """FLOP of a text: 2 x parameters outside the token table x tokens x passes.

    A profile's own FLOP per token wins (ALBERT uses each weight 12 times); a mixture of experts
    counts its active parameters. Attention's share is under a tenth up to 512 tokens.
    """
    per_token = candidate.flops_per_token
    if per_token is None:
        size = candidate.n_active_parameters or candidate.n_parameters
        if size is None:
            return None
        per_token = 2 * max(size - (candidate.n_embedding_parameters or 0.0), 0.1 * size)
    classes = workload.n_classes or 2
    found = []
    for text in text_tokens(workload):
        tokens = text + (candidate.prompt_tokens or 0.0)
        if candidate.generated_tokens:
            shown = (candidate.demonstrations_per_class or 0.0) * classes
            tokens += TOKENS_PER_LABEL * classes + shown * (text + TOKENS_PER_LABEL)
        tokens = min(tokens, candidate.max_tokens or tokens)
        tokens = tokens * (classes if candidate.one_pass_per_class else 1)
        found.append(per_token * (tokens + (candidate.generated_tokens or 0.0)))
    return Bounds(*found)


def peak_flops(device: Device, precision: str | None) -> Bounds | None:
    """FLOP/s at the peak: the slowest unit that may do the work and the fastest that exists."""
    vector, half = device.peak_fp32_tflops, device.peak_fp16_tflops
    known = [rate for rate in (vector, half) if rate]
    if not known:
        return None
    slow, fast = min(known), max(known)
    if precision in ("fp16", "bf16") and half:
        slow = half
    if precision in ("int8", "int4", "fp8"):
        fast = max(fast, device.peak_int8_tops or 2 * fast)
    if device.kind == "cpu":
        fast *= CPU_HEADROOM * (1 if precision in (None, "fp32", "fp64") else MATRIX_UNITS)
    return Bounds(1e12 * slow, 1e12 * fast)


def watts(device: Device, scope: str, n_devices: float = 1) -> Bounds:
    """Watts while a text is worked on, by scope: from idle to everything at its limit.

    The host of a card adds at least its share of the idle power and at most all of its CPUs and
    memory; class defaults stand for what a data sheet leaves out.
    """
    own = completed(device)
    most = max(own.device.tdp_w or 0.0, device.power_max_w or 0.0)
    low, high = own.idle_low_w * n_devices, most * n_devices
    if scope == "device":
        return Bounds(low, high)
    host = _host(own)
    if host is None or host.device.name == device.name:
        high *= own.device_class.host_sockets
        high += WATTS_PER_GB * (own.device.memory_gb or 0.0)
    else:
        sockets = own.device_class.host_sockets
        low += host.idle_low_w * sockets / own.device_class.devices_per_host
        high += sockets * max(host.device.tdp_w or 0.0, host.device.power_max_w or 0.0)
        high += WATTS_PER_GB * (host.device.memory_gb or 0.0)
    return Bounds(low, high * (WALL_OVER_HOST if scope == "wall" else 1.0))


def _host(own: CompletedDevice) -> CompletedDevice | None:
    """The CPU beside a card, or a CPU itself."""
    found = reference_data.devices().get(own.host_cpu or "")
    return completed(found) if found else None


def network_seconds(
    flop: Bounds, peak: Bounds, option: Option, candidate: Candidate, bandwidth_gbs: float | None
) -> Bounds:
    """Seconds of a text: FLOP / (peak x utilisation), and once a call its kernels and weights.

    The low end is arithmetic at 90 % of the fastest peak. The high end is 2 % of the slowest, the
    start of each block (`S_PER_BLOCK`) and one reading of the weights, both shared by a batch and
    repeated for each generated token.
    """
    is_offline = option.get("scenario") == "offline"
    batch = option.get("batch_size") or (OFFLINE_BATCH if is_offline else 1.0)
    calls = (1 + (candidate.generated_tokens or 0.0)) / batch
    per_call = S_PER_BLOCK * (candidate.n_layers or 12)
    if bandwidth_gbs:
        per_call += weights_gb(option) / bandwidth_gbs
    low = flop.low / (peak.high * UTILISATION[1])
    return Bounds(low, flop.high / (peak.low * UTILISATION[0]) + calls * per_call)


def joules_per_text(option: Option, rate: float | None = None) -> Bounds | str:
    """The least and the most joules that one text can cost, in the option's scope.

    A network: seconds of `network_seconds` times `watts`. Families without one: `TEXT_S` (ten
    times that on single-board computers) times 2 W to `watts`. At a request rate the machine is
    also charged while it waits: at most its highest watts over the rate.

    Args:
        option: An option of an answer.
        rate: Texts per second of scenario ``server``.

    Returns:
        Bounds, or in words what they cannot be computed from.
    """
    device = reference_data.devices().get(str(option.get("device")))
    candidate = reference_data.candidates().get(str(option.get("candidate")))
    workload = reference_data.workloads().get(str(option.get("workload")))
    if device is None or candidate is None or workload is None:
        return "its device, candidate or workload is in no table"
    scope = (option.get("energy_j_per_1000") or {}).get("scope") or "host"
    power = watts(device, scope, option.get("n_devices") or 1)
    if option.get("family") in NETWORKLESS:
        is_edge = completed(device).device_class.host_class == "edge"
        seconds = Bounds(TEXT_S[0], TEXT_S[1] * (EDGE_SLOWER if is_edge else 1))
        power = Bounds(min(LEAST_WATTS, power.high), power.low + power.high)
    else:
        flop = flop_per_text(candidate, workload)
        peak = peak_flops(device, option.get("precision"))
        if flop is None or peak is None:
            return "its size or the device's peak rate is unknown"
        seconds = network_seconds(flop, peak, option, candidate, device.bandwidth_gbs)
    waiting = power.high / rate if rate else 0.0
    return Bounds(seconds.low * power.low, seconds.high * power.high + waiting)
