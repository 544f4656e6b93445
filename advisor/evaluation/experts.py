"""How many parameters of a mixture of experts work for one token, where its name tells."""

from __future__ import annotations

import functools
import re

from catalog import reference_data as bundled

_MIXTRAL = {"8x7b": 12.9e9, "8x22b": 39e9}
"""Two of eight experts and what all tokens share (Mistral AI, announcements of both models)."""


@functools.cache
def _published() -> dict[str, float]:
    """By checkpoint in small letters, of the bundled candidates."""
    return {
        candidate.checkpoint.lower(): candidate.n_active_parameters
        for candidate in bundled.candidates().values()
        if candidate.checkpoint and candidate.n_active_parameters
    }


def of_name(model: str) -> float | None:
    """Parameters used for one token, as a model's name states: 3e9 for ``Qwen3-30B-A3B``."""
    if stated := re.search(r"[-_]a(\d{1,3}(?:\.\d+)?)b(?![a-z0-9])", model.lower()):
        return float(stated[1]) * 1e9
    for name, active in _MIXTRAL.items():
        if name in model.lower():
            return active
    return None


def active_parameters(model: str) -> float | None:
    """What is stated with the bundled candidate of that checkpoint, else in the name."""
    return _published().get(model.lower()) or of_name(model)
