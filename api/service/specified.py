"""The device a question means, by name or by its specs; the URL and the command line ask alike."""

from __future__ import annotations

from typing import Any

from advisor.recommend.records import BadQuestionError
from catalog.records import Device, Kind

SPECIFIED = "as specified"
"""Name of a device that was asked for by its specs."""


def specified(device: str | None, kind: Kind | None, specs: dict[str, Any]) -> str | Device | None:
    """The device a question means: a name, one made of its specs, or any.

    Without a kind a dense tensor rate stands for a GPU; the device in the answer says so.

    Raises:
        BadQuestionError: A name came together with specs, or specs came without a kind.
    """
    given = {name: value for name, value in specs.items() if value is not None}
    if kind is None and not given:
        return device
    if device is not None:
        raise BadQuestionError(
            "device", device, "give a device by name or by its specs (device_kind ...), not both"
        )
    source = None
    if kind is None and "peak_fp16_tflops" in given:
        kind, source = "gpu", "kind not stated; taken for a gpu, as it has a dense fp16 tensor rate"
    if kind is None:
        allowed = "specs need it: cpu, gpu, npu or soc (gpu where peak_fp16_tflops is stated)"
        raise BadQuestionError("device_kind", None, allowed)
    return Device(name=SPECIFIED, kind=kind, status="asked", source=source, **given)
