"""An unlisted device by its data sheet, as people send it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from catalog.hardware.device_defaults import check_specs
from catalog.records import Device, Kind


class DeviceSpecs(BaseModel):
    """An unlisted device by its data sheet."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Kind = Field(description="cpu, gpu, npu or soc")
    tdp_w: float | None = Field(default=None, ge=1e-3, le=1e9, description="watts, 1e-3 to 1e9")
    peak_fp32_tflops: float | None = Field(default=None, ge=1e-3, le=1e9, description="1e-3 to 1e9")
    peak_fp16_tflops: float | None = Field(default=None, ge=1e-3, le=1e9, description="1e-3 to 1e9")
    peak_int8_tops: float | None = Field(
        default=None, ge=1e-3, le=1e9, description="dense, 1e-3 to 1e9"
    )
    memory_bandwidth_gbs: float | None = Field(
        default=None, ge=1e-3, le=1e9, description="1e-3 to 1e9"
    )
    memory_gb: float | None = Field(default=None, ge=1e-3, le=1e9, description="1e-3 to 1e9")

    def device(self) -> Device:
        """The record the estimator reads.

        Raises:
            ImplausibleSpecError: No device of the kind has such a spec.
        """
        given = self.model_dump(exclude_none=True, exclude={"memory_bandwidth_gbs"})
        made = Device(
            name="as specified", status="asked", bandwidth_gbs=self.memory_bandwidth_gbs, **given
        )
        check_specs(made)
        return made
