"""A setup: what is known about a candidate on a device before its energy is.

Built from a question or from a measured row; of a measured row only the runtime enters, nothing
else that was read inside the window.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import numpy as np

from advisor.estimator import hardware
from advisor.estimator.classical import pipeline_of
from advisor.estimator.table import Table
from catalog import profiles
from catalog.records import Candidate, Device, Measurement, Scope, Workload
from catalog.registry.families import CLASSICAL, FAMILIES

CALIBRATION = "calibration"
"""Source of every row that a calibration measured, on whatever machine."""
ENGLISH_TABLE = 1.3
"""Parameters of an encoder with an English token table over those of its layers (BERT base: 110 of
86 million), as published rows count them."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate on a device at one serving choice, per text.

    Attributes:
        n_parameters: Parameters; ``None`` where unknown.
        n_active_parameters: Those used for one token, where a mixture of experts uses fewer.
        runtime_s: Seconds per text; ``None`` asks for an estimate of it too.
        tokens: Mean tokens per text.
        n_devices: Devices whose energy counts; `n_active` of them do the work (default: all).
        share: Of a CPU: threads that are the setup's over all threads of one chip, e.g. the vCPUs
            of a cloud instance; above 1 on several sockets. It pays this share of what the chip,
            its memory and its board draw idle, and its own dynamic power.
        host_w: Measured power of the host around the devices, watts; replaces the class guess.
        llm: Whether text is generated token by token.
        classical: Whether it is no network: counts or numbers that go to a linear model or trees.
        startup: Whether process start and model load lie inside the window.
        source: Who measured it; known sources have an offset of their own.
        pair: Which candidate on which workload.
        backend: Library that runs it; ``None``: PyTorch, of generated text a server such as vLLM.
        scenario: How texts arrive.
        n_layers: Blocks of the network; `width` of its residual stream.
        pipeline: Kind of a model without a network; see `advisor.estimator.classical`.
    """

    device: Device
    n_parameters: float | None = None
    n_active_parameters: float | None = None
    runtime_s: float | None = None
    batch_size: float | None = None
    tokens: float | None = None
    precision: str | None = None
    scope: Scope = "host"
    n_devices: float | None = 1
    n_active: float | None = None
    share: float = 1.0
    flops: float | None = None
    host_w: float | None = None
    llm: bool = False
    classical: bool = False
    startup: bool = False
    source: str | None = None
    pair: str | None = None
    backend: str | None = None
    scenario: str | None = None
    n_layers: float | None = None
    width: float | None = None
    pipeline: str = ""


def columns(setups: Sequence[Setup]) -> Table:
    """Setups in the columns of a table of measured energies, as the models read them."""
    given = {name: [getattr(setup, name) for setup in setups] for name in Setup.__struct_fields__}
    found: Table = {column: np.array(given[name], dtype=float) for column, name in _NUMBERS.items()}
    for name in _TEXTS:
        found[name] = np.array([value or "" for value in given[name]], dtype=object)
    found["device"] = np.array([device.name for device in given["device"]], dtype=object)
    flags = [*zip(*(given[name] for name in _FLAGS), strict=True)]
    words = {
        each: ";".join(name for name, own in zip(_FLAGS, each, strict=True) if own)
        for each in {*flags}
    }
    found["flag"] = np.array([words[each] for each in flags], dtype=object)
    return found


_FLAGS = ("llm", "classical", "startup")
_TEXTS = ("scope", "source", "precision", "backend", "scenario", "pipeline")
_NUMBERS = {
    "model_params": "n_parameters",
    "active_params": "n_active_parameters",
    "batch_size": "batch_size",
    "seq_len_or_tokens": "tokens",
    "n_devices": "n_devices",
    "n_active_devices": "n_active",
    "share": "share",
    "runtime_s_per_inference": "runtime_s",
    "flops_per_inference": "flops",
    "host_w": "host_w",
    "n_layers": "n_layers",
    "hidden": "width",
}
"""By column: the field of a setup; one that is missing is NaN."""


BITS = (2, 3, 4, 5, 6, 8, 16, 32, 64)
"""Bits of a weight that a precision can have."""


def host_class(device: Device) -> str:
    """Which class of machine a device usually sits in: ``edge``, ``desktop`` or ``server``."""
    return hardware.host_class(device.name, device.tdp_w or device.power_max_w)


def stated_bits(precision: str) -> int | None:
    """Bits of a weight by the first number in a precision's name; ``None`` where it tells none."""
    found = re.search(r"\d+", precision)
    return int(found.group()) if found and int(found.group()) in BITS else None


def precision_bits(precision: str | None) -> float:
    """Bits of a weight; 16 where nobody stated them."""
    return float(stated_bits(precision or "") or 16)


def batch_of(row: Measurement) -> float | None:
    """Texts per call; one where the scenario says so, ``None`` where nothing does."""
    return row.batch_size or (1.0 if row.scenario == "single" else None)


def team(row: Measurement) -> str:
    """Who measured a row: its source; of our own calibrations also the host, one of many."""
    return f"{row.source}|{row.host}" if row.source == CALIBRATION else row.source


def source_of_team(team: str) -> str:
    """The source of a team of `team`: all calibrations are one, whatever their host."""
    return CALIBRATION if team.startswith(f"{CALIBRATION}|") else team


def from_measurement(
    row: Measurement,
    device: Device,
    candidate: Candidate | None,
    scope: Scope,
    workload: Workload | None = None,
) -> Setup:
    """The setup of a measured row, per text, for an estimate in `scope`.

    Parameters are the row's own count, else the candidate's; scenario single is a batch of 1. With
    its workload, a candidate that reads a text once for each class has the tokens of all passes.
    """
    total = row.n_devices
    tokens, flops = _read_of(row, candidate, workload)
    return Setup(
        device=device,
        n_parameters=row.n_parameters or (candidate.n_parameters if candidate else None),
        n_active_parameters=candidate.n_active_parameters if candidate else None,
        runtime_s=row.runtime_s / row.n_items if row.runtime_s else None,
        batch_size=batch_of(row),
        tokens=tokens,
        precision=row.precision,
        scope=scope,
        n_devices=float(total) if total else None,
        n_active=float(row.n_active_devices) if row.n_active_devices else None,
        flops=flops,
        llm="llm" in row.flags or (candidate is not None and candidate.family == "reasoning-llm"),
        classical=candidate is not None and candidate.family in CLASSICAL,
        startup="startup-in-window" in row.flags,
        source=team(row),
        pair=f"{row.candidate}|{row.workload}",
        backend=row.backend,
        scenario=row.scenario,
        n_layers=candidate.n_layers if candidate else None,
        width=candidate.width if candidate else None,
        pipeline=pipeline_of(candidate),
    )


def _read_of(
    row: Measurement, candidate: Candidate | None, workload: Workload | None
) -> tuple[float | None, float | None]:
    """Tokens and FLOP per text of a row, which states the tokens of one pass."""
    if candidate is None or workload is None or not candidate.one_pass_per_class:
        return row.tokens_mean, row.flops_per_item
    tokens = row.tokens_mean or workload.mean_tokens
    need = profiles.work(candidate, msgspec.structs.replace(workload, mean_tokens=tokens))
    return need.tokens * need.passes, row.flops_per_item or need.flops


def from_candidate(
    candidate: Candidate,
    device: Device,
    *,
    tokens: float | None,
    n_classes: int | None,
    backend: str | None = None,
    precision: str | None = None,
    batch_size: float | None = None,
    scope: Scope = "host",
    runtime_s: float | None = None,
    source: str | None = None,
) -> Setup:
    """The setup of a candidate that was not measured, by its compute profile.

    Args:
        candidate: With its size, unless it is no network.
        device: Where it runs, alone.
        tokens: Mean word pieces of a text, without prompt; ``None`` takes the usual length.
        n_classes: Of the workload: a candidate may read a text once for each.
        backend: Library; ``None`` takes the family's usual one: of causal models on GPUs vLLM.
        precision: Numeric format; ``None`` takes the usual one of the family on the device.
        batch_size: Texts per call.
        scope: Whose joules are asked for.
        runtime_s: Seconds per text, where they are known.
        source: Who runs it, where its rows are known.
    """
    texts = Workload(name="", task="", mean_tokens=tokens, n_classes=n_classes)
    traits, need = FAMILIES[candidate.family], profiles.work(candidate, texts)
    on_gpu = device.kind == "gpu"
    return Setup(
        device=device,
        n_parameters=_multiplied(candidate),
        n_active_parameters=candidate.n_active_parameters,
        runtime_s=runtime_s,
        batch_size=batch_size,
        tokens=need.tokens * need.passes if need.generated_tokens <= 1 else need.generated_tokens,
        precision=precision or usual_precision(candidate, device),
        scope=scope,
        flops=need.flops,
        llm=need.generated_tokens > 1,
        classical=candidate.family in CLASSICAL,
        source=source,
        backend=backend or ("vllm" if traits.causal and on_gpu else traits.backends[0]),
        n_layers=candidate.n_layers,
        width=candidate.width,
        pipeline=pipeline_of(candidate),
    )


def usual_precision(candidate: Candidate, device: Device) -> str:
    """Numeric format a candidate is served in: 16 bits on a GPU, else the family's usual one."""
    traits = FAMILIES[candidate.family]
    usual = traits.gpu_precisions if device.kind == "gpu" else traits.precisions
    return "fp16" if device.kind == "gpu" and "fp16" in usual else usual[0]


def _multiplied(candidate: Candidate) -> float | None:
    """Parameters that a token is multiplied with; those of a large token table are looked up."""
    size = candidate.n_parameters
    if size is None or not candidate.flops_per_token or candidate.family in CLASSICAL:
        return size
    return min(size, ENGLISH_TABLE * candidate.flops_per_token / 2)
