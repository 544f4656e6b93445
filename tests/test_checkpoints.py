"""Forward passes: order is kept, memory running short halves them and is remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from calibration.classifiers.checkpoints import ForwardPasses, is_out_of_memory


def lengths_of(items: list[str]) -> Any:
    """A stand-in for a model: the length of each text."""
    return np.array([len(item) for item in items])


TEXTS = ["a" * (7 * n % 23) for n in range(50)]


def test_passes_keep_the_order_and_group_by_length() -> None:
    """Answers stand where their texts stood; no pass is larger than allowed."""
    seen: list[list[str]] = []
    passes = ForwardPasses(16)
    found = passes.run(TEXTS, lengths_of(TEXTS), lambda b: (seen.append(b), lengths_of(b))[1])
    np.testing.assert_array_equal(found, lengths_of(TEXTS))
    assert [len(batch) for batch in seen] == [16, 16, 16, 2]
    assert [len(text) for batch in seen for text in batch] == sorted(map(len, TEXTS))
    assert not passes.halved


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_short_memory_halves_the_pass(error: Exception) -> None:
    """What fits is found once and kept; every text is answered."""
    sizes = []

    def forward(batch: list[str]) -> Any:
        sizes.append(len(batch))
        if len(batch) > 10:
            raise error
        return lengths_of(batch)

    passes = ForwardPasses(32)
    found = passes.run(TEXTS, lengths_of(TEXTS), forward)
    np.testing.assert_array_equal(found, lengths_of(TEXTS))
    assert sizes[:3] == [32, 16, 8]
    assert (passes.halved, passes.max_items) == (True, 8)


def test_one_text_that_does_not_fit_is_out_of_memory() -> None:
    """Halving ends at one; other errors pass through untouched."""

    def full(_: list[str]) -> Any:
        raise MemoryError

    def broken(_: list[str]) -> Any:
        raise RuntimeError("shapes differ")

    with pytest.raises(MemoryError):
        ForwardPasses(4).run(TEXTS, lengths_of(TEXTS), full)
    with pytest.raises(RuntimeError, match="shapes differ"):
        ForwardPasses(4).run(TEXTS, lengths_of(TEXTS), broken)
    assert not is_out_of_memory(ValueError("can't allocate memory"))
