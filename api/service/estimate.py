"""Energy estimate of one setup: the request body in, joules with a 90 % interval out."""

from __future__ import annotations

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from advisor.estimator.estimator import Estimator, Prediction, Setup
from advisor.estimator.setup import BITS, stated_bits
from advisor.estimator.specs import DeviceSpecs
from advisor.recommend.machine import Machine, resolve
from advisor.recommend.records import Caution, EnergyPer1000, WarningCode
from advisor.recommend.warnings import CAUTIONS
from catalog.records import Scope
from catalog.snapshot import Snapshot


class EstimateRequest(BaseModel):
    """A setup: model size, device and, where somebody timed it there, the runtime."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, title="EstimateAsked")

    device: str | DeviceSpecs = Field(description="name in GET /devices, or specs")
    n_parameters: float | None = Field(default=None, gt=0, le=1e14)
    n_active_parameters: float | None = Field(
        default=None, gt=0, le=1e14, description="used for one token, in a mixture of experts"
    )
    generates: bool = Field(default=False, description="whether text is generated, token by token")
    runtime_s_per_1000: float | None = Field(default=None, gt=0, le=1e9, description="seconds")
    batch_size: float | None = Field(default=None, ge=1, le=1e7)
    tokens: float | None = Field(default=None, gt=0, le=1e7, description="mean per text")
    precision: str | None = Field(
        default=None, max_length=40, description="names the bits of a weight: fp32, bf16, int8 ..."
    )
    scope: Scope = "host"
    n_devices: int = Field(default=1, ge=1, le=100_000)

    @field_validator("n_active_parameters")
    @classmethod
    def _at_most_all(cls, active: float | None, info: ValidationInfo) -> float | None:
        """Refuses more active parameters than parameters."""
        if active is None or "n_parameters" not in info.data:  # an error of its own
            return active
        if active > (info.data["n_parameters"] or 0.0):
            raise PydanticCustomError(
                "too_many", "may not exceed n_parameters, which is needed beside it"
            )
        return active

    @field_validator("precision")
    @classmethod
    def _states_bits(cls, precision: str | None) -> str | None:
        """Refuses a precision that does not name the bits of a weight."""
        if precision is not None and stated_bits(precision) is None:
            bits = ", ".join(map(str, BITS))
            raise PydanticCustomError(
                "no_bits", f"must name the bits of a weight ({bits}), as fp32, bf16 or int8 do"
            )
        return precision


class EstimateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Joules per 1,000 texts with the 90 % interval."""

    device: str
    energy_j_per_1000: EnergyPer1000
    warnings: tuple[Caution, ...]
    estimator_version: str


def _warnings(
    prediction: Prediction, request: EstimateRequest, machine: Machine
) -> tuple[Caution, ...]:
    """Warnings about an estimate, in the order of their codes below."""
    setup = {
        "parameters": request.n_parameters,
        "batch size": request.batch_size,
        "tokens": request.tokens,
        "precision": request.precision,
    }
    lacking = ", ".join(name for name, value in setup.items() if value is None)
    conditions: list[tuple[WarningCode, bool]] = [
        ("device-assumed", machine.instance is None and machine.note is not None),
        ("instance-hardware", machine.instance is not None),
        ("device-not-calibrated", not prediction.known_device),
        ("device-specs-assumed", prediction.assumed_power),
        ("out-of-range", bool(prediction.outside)),
        ("setup-assumed", bool(lacking)),
    ]
    texts = CAUTIONS | {"setup-assumed": f"{CAUTIONS['setup-assumed']} (here: {lacking})"}
    if machine.note:
        for code in ("device-assumed", "instance-hardware"):
            texts[code] = f"{CAUTIONS[code]} (here: {machine.note})"
    return tuple(Caution(code=code, message=texts[code]) for code, holds in conditions if holds)


def requested_machine(snapshot: Snapshot, request: EstimateRequest) -> Machine:
    """The machine of a request, by name or by its specs, and what was assumed of the name.

    Raises:
        UnknownNameError: The device is not in the catalog.
    """
    device = request.device
    return resolve(snapshot, device if isinstance(device, str) else device.device())


def estimate(machine: Machine, estimator: Estimator, request: EstimateRequest) -> EstimateAnswer:
    """Estimated energy of a requested setup on a machine, joules per 1,000 texts."""
    device = machine.device
    per_1000 = request.runtime_s_per_1000
    setup = Setup(
        device=device,
        n_parameters=request.n_parameters,
        n_active_parameters=request.n_active_parameters,
        runtime_s=None if per_1000 is None else per_1000 / 1000,
        batch_size=request.batch_size,
        tokens=request.tokens,
        precision=request.precision,
        scope=request.scope,
        llm=request.generates,
        n_devices=request.n_devices,
    )
    part = machine.part(device, request.n_devices)
    (prediction,) = estimator.predict([msgspec.structs.replace(setup, **part)])
    joules = prediction.energy_j
    value, low, high = (
        None if bound is None else 1000 * bound for bound in (joules.value, joules.low, joules.high)
    )
    return EstimateAnswer(
        device=device.name,
        energy_j_per_1000=EnergyPer1000(
            value=value,
            low=low,
            high=high,
            basis=joules.basis,
            scope=request.scope,
            label="estimated",
        ),
        warnings=_warnings(prediction, request, machine),
        estimator_version=estimator.version,
    )
