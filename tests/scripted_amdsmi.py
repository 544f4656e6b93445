"""A scripted stand-in for amdsmi: packages whose counters say what a test tells them.

Names, fields and units follow the AMD SMI Python API at 7.0.2: ticks of `resolution_uj`
microjoules, watts, ``"N/A"`` for what a GPU does not support.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any


class Card:
    """One scripted GPU or partition; `ticks` gives one value a call, the last for ever."""

    def __init__(
        self,
        ticks: Sequence[int | None] = (1000, 20_000_000),
        watts: float | str = 250,
        *,
        name: str = "AMD Instinct MI300X",
        bdf: str = "0000:0c:00.0",
        hip_id: int | str = "N/A",
        mode: str = "SPX",
        resolution_uj: float = 15.3,
    ) -> None:
        self.ticks, self.watts, self.name, self.bdf = list(ticks), watts, name, bdf
        self.hip_id, self.mode, self.resolution_uj = hip_id, mode, resolution_uj
        self.uuid = f"GPU-{bdf.replace(':', '').replace('.', '')}"
        self.pids, self.throttled = [os.getpid()], False
        self.field = "energy_accumulator"
        self.armed = False

    def take(self) -> int | None:
        """The next value of the counter; the first one until a test arms the card."""
        return self.ticks.pop(0) if self.armed and len(self.ticks) > 1 else self.ticks[0]


class Library:
    """The part of amdsmi the meter uses, on scripted cards."""

    class AmdSmiException(Exception):  # noqa: N818
        """What the library raises."""

    AmdSmiTemperatureType = SimpleNamespace(HOTSPOT=1)
    AmdSmiTemperatureMetric = SimpleNamespace(CURRENT=0)
    AmdSmiClkType = SimpleNamespace(GFX=0)

    def __init__(self, *cards: Card) -> None:
        self.cards = cards

    def amdsmi_init(self) -> None:
        """Always works."""

    def amdsmi_get_processor_handles(self) -> list[Card]:
        """All GPUs and partitions."""
        return list(self.cards)

    def amdsmi_get_gpu_device_bdf(self, card: Card) -> str:
        """PCI address."""
        return card.bdf

    def amdsmi_get_gpu_asic_info(self, card: Card) -> dict[str, Any]:
        """Its model."""
        return {"market_name": card.name, "vendor_name": "Advanced Micro Devices Inc. [AMD/ATI]"}

    def amdsmi_get_gpu_enumeration_info(self, card: Card) -> dict[str, Any]:
        """Numbers it goes by."""
        return {"drm_render": 128, "drm_card": 0, "hip_id": card.hip_id, "hip_uuid": card.uuid}

    def amdsmi_get_gpu_compute_partition(self, card: Card) -> str:
        """Partitioning of the package."""
        if card.mode == "N/A":
            raise self.AmdSmiException("AMDSMI_STATUS_NOT_SUPPORTED")
        return card.mode

    def amdsmi_get_energy_count(self, card: Card) -> dict[str, Any]:
        """Ticks since the driver was loaded."""
        ticks = card.take()
        if ticks is None:
            raise self.AmdSmiException("AMDSMI_STATUS_NOT_SUPPORTED")
        return {card.field: ticks, "counter_resolution": card.resolution_uj, "timestamp": 1}

    def amdsmi_get_power_info(self, card: Card) -> dict[str, Any]:
        """Watts, as an Instinct of the third generation gives them."""
        return {
            "socket_power": card.watts,
            "current_socket_power": card.watts,
            "average_socket_power": "N/A",
            "power_limit": 750,
        }

    def amdsmi_get_temp_metric(self, card: Card, kind: int, metric: int) -> int:  # noqa: ARG002
        """Degrees."""
        return 54

    def amdsmi_get_clock_info(self, card: Card, kind: int) -> dict[str, Any]:  # noqa: ARG002
        """MHz."""
        return {"clk": 2100, "min_clk": 500, "max_clk": 2100}

    def amdsmi_get_power_cap_info(self, card: Card) -> dict[str, Any]:  # noqa: ARG002
        """Microwatts."""
        return {"power_cap": 750_000_000, "max_power_cap": 750_000_000}

    def amdsmi_get_gpu_metrics_info(self, card: Card) -> dict[str, Any]:
        """Whether it is throttled, and by nothing else than that."""
        return {"throttle_status": card.throttled}

    def amdsmi_get_gpu_process_list(self, card: Card) -> list[dict[str, Any]]:
        """Processes."""
        return [{"pid": pid, "name": "N/A"} for pid in card.pids]

    def amdsmi_get_gpu_vram_info(self, card: Card) -> dict[str, Any]:  # noqa: ARG002
        """Mebibytes."""
        return {"vram_size": 196_592}

    def amdsmi_get_gpu_driver_info(self, card: Card) -> dict[str, Any]:  # noqa: ARG002
        """A driver."""
        return {"driver_name": "amdgpu", "driver_version": "6.12.12"}
