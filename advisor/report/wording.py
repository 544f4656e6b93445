"""How each part of a report is computed, in words; `docs/codes.md` lists the same."""

from __future__ import annotations

METHODS: dict[str, str] = {
    "inference-gross": "texts x gross joules per text / 3.6e6",
    "inference-net": "texts x (gross joules per text - idle watts of the same run x seconds per "
    "text) / 3.6e6",
    "inference-bound": "texts x the published upper bound of joules per text / 3.6e6",
    "idle-remaining": "idle watts x (provisioned seconds - texts x seconds per text) / 3.6e6",
    "idle-all-hours": "idle watts x all provisioned seconds / 3.6e6; inference is net of it",
    "idle-in-inference": "nil: measured at a request rate, the joules per text hold the waiting",
    "idle-off": "nil: the plan says machines are off or used otherwise when idle",
    "idle-missing": "missing: nobody knows the idle watts",
    "training": "joules of one training x trainings in the period / 3.6e6",
    "training-none": "nil: no training in the period",
    "training-missing": "missing: no training of this candidate on this device is recorded",
    "pue": "(PUE - 1) x (inference + idle + training)",
}
