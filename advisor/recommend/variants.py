"""Variants that raise energy: a lower precision or a larger batch that needs more than without it.

Compared are measured setups of one candidate on one machine that differ in nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from advisor.estimator.setup import batch_of, precision_bits
from advisor.recommend.messages import figure
from advisor.recommend.options import Offer
from advisor.recommend.records import WarningCode

DEARER: WarningCode = "variant-raises-energy"
NOISE = 0.05
"""Natural log by which a figure of unstated spread may be off: where repeats that differ by more
are called unstable."""
_TOLD = 5
"""Variants that a sentence names."""


def dearer(offers: Sequence[Offer]) -> dict[int, int]:
    """Places of variants that need more energy, each with that of the cheapest plainer setup.

    The interval of the variant lies above the other's.

    Args:
        offers: Of one comparability group, least energy first.
    """
    found: dict[int, int] = {}
    measured = [at for at, offer in enumerate(offers) if _measured(offer)]
    for choice, fixed in ((_coarseness, "batch_size"), (_batch, "precision")):
        groups: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
        for at in measured:
            size = choice(offers[at])
            if size is not None:
                key = (*_machine(offers[at]), getattr(offers[at].row, fixed))
                groups.setdefault(key, []).append((size, at))
        for group in groups.values():
            for variant, plain in _raised(group, offers):
                found[variant] = min(plain, found.get(variant, plain))
    return found


def _measured(offer: Offer) -> bool:
    """Whether an offer has a measured value that can be compared."""
    return offer.energy.basis == "measured" and offer.energy.value is not None


def _machine(offer: Offer) -> tuple[Any, ...]:
    """What must be equal beside precision and batch size."""
    row = offer.row
    arrival = (row.scenario, row.rate_per_s)
    return (
        row.candidate,
        row.device,
        row.host,
        row.n_devices,
        row.source,
        row.backend,
        row.repeat_group,
        *arrival,
    )


def _coarseness(offer: Offer) -> float | None:
    """Rises as bits of a weight fall; ``None`` where nobody stated the precision."""
    return None if offer.row.precision is None else -precision_bits(offer.row.precision)


def _batch(offer: Offer) -> float | None:
    """Texts per call."""
    return offer.row.batch_size


def _raised(
    group: Iterable[tuple[float, int]], offers: Sequence[Offer]
) -> Iterable[tuple[int, int]]:
    """Pairs (variant, plain) of a group, given with how far each is from plain."""
    least: int | None = None
    for _, level in itertools.groupby(sorted(group), key=lambda pair: pair[0]):
        places = [at for _, at in level]
        if least is not None:
            plain = least
            yield from (
                (at, plain) for at in places if _ends(offers[at])[0] > _ends(offers[plain])[1]
            )
        least = min(places if least is None else [least, *places])


def _ends(offer: Offer) -> tuple[float, float]:
    """Low and high end of measured joules, as wide as noise at least where no spread is stated."""
    joules = offer.energy
    value, noise = joules.value or 0.0, NOISE if offer.row.cv is None else 0.0
    low, high = joules.low or 0.0, math.inf if joules.high is None else joules.high
    return min(low, value * math.exp(-noise)), max(high, value * math.exp(noise))


def sentence(pairs: Sequence[tuple[Offer, Offer]]) -> str:
    """The variants and plain setups in words, each with its figure.

    Args:
        pairs: Variant and plain setup.
    """
    words = "; ".join(_told(*pair) for pair in pairs[:_TOLD])
    more = f"; and {len(pairs) - _TOLD} more" if len(pairs) > _TOLD else ""
    return f"measured to need more energy than without it: {words}{more}"


def _told(variant: Offer, plain: Offer) -> str:
    """One pair in words."""
    row, other = variant.row, plain.row
    if row.precision != other.precision:
        one, two = row.precision or "", other.precision or ""
        same = f" in batches of {figure(row.batch_size)}" if row.batch_size else ""
    else:
        one, two = (
            f"batches of {figure(size)}" if size else "an unstated batch"
            for size in map(batch_of, (row, other))
        )
        same = f" in {row.precision}" if row.precision else ""
    return (
        f"{row.candidate} on {row.device}{same}: {one} {figure(variant.joules)} J per 1,000 texts, "
        f"{two} {figure(plain.joules)} J"
    )
