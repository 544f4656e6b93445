"""The sources a report names, each once and under a short id."""

from __future__ import annotations

from advisor.recommend.option import energy_from
from advisor.recommend.records import Option
from advisor.report.records import Source
from advisor.report.terms import GRID_SOURCE, PLAN_SOURCE, PUE_SOURCE
from catalog.records import Device


class Book:
    """The sources a report names, each once.

    Args:
        version: The estimator's, for the words about an estimate.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self.sources = {source.id: source for source in (PLAN_SOURCE, PUE_SOURCE, GRID_SOURCE)}
        self._ids: dict[tuple[object, ...], str] = {}

    def option(self, option: Option, what: str) -> str:
        """The id of an option's measurement, or of the estimate made from it."""
        key = (
            what,
            option.provenance.run_id,
            option.candidate,
            option.device,
            option.workload,
            option.scenario,
            option.precision,
            option.batch_size,
            option.variant,
            option.n_devices,
        )
        if key not in self._ids:
            self._ids[key] = name = f"m{len(self._ids) + 1}"
            origin = option.provenance
            self.sources[name] = Source(
                id=name,
                what=f"{what} of {option.candidate} on {option.device}, {option.workload}",
                source=energy_from(option, self._version),
                reference=origin.reference,
                citation=origin.citation,
                licence=origin.licence,
                measured_at=origin.measured_at,
                meter=origin.meter,
                host=origin.host,
                run_id=origin.run_id,
                notes=origin.notes,
            )
        return self._ids[key]

    def device(self, device: Device) -> str:
        """The id of a device's row in the device table."""
        name = f"device:{device.name}"
        if name not in self.sources:
            self.sources[name] = Source(
                id=name,
                what=f"idle watts of {device.name}, the card without a process",
                source=device.source or "device table, source not stated",
                notes=device.status,
            )
        return name
