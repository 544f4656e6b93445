"""Idle watts of a machine with a model loaded, and its limit, in the scope of a setup.

The chips' idle watts are the device table's; what a scope holds around them is what the power model
charges beyond the device for the lightest work. So no machine waits by other rules than it works.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from advisor.estimator.table import Table
from catalog.quantity import Quantity

LIGHT = {"n_parameters": 1e7, "batch_size": 1.0, "tokens": 16.0}
"""The lightest work of a network: about the smallest encoder, one short text at a time."""
RESIDENT = (1.0, 2.0, 4.0)
"""Watts of a card with a model on it over its idle watts without one: A40 110 of 30 W, P40 45 of
10 W, and no more than bare where the driver clocks down (bundled device table)."""
STATED = (0.7, 1.0, 1.5)
"""Idle watts of a CPU or board over those its table states; what is loaded on it changes little.
Low end: that of mean watts at work, see `advisor.estimator.power.IDLE_FLOOR`; high end assumed."""
SPREAD = 2.5
"""Declared factor to either side of idle watts that no table states, and of the watts around the
devices: bare cards draw 5 to 15 % of TDP, an A40 with a model on it 37 %."""


class MachineWatts(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine draws, watts.

    Attributes:
        idle: While it waits with a model loaded; its ends are declared.
        limit: The most.
        stated: Whether the device's own idle watts or its rated power are a data sheet's.
    """

    idle: Quantity
    limit: float
    stated: bool


def machine_watts(setups: Table, light_w: Sequence[float]) -> MachineWatts:
    """Idle watts and limit of one machine.

    Args:
        setups: From `advisor.estimator.power.setup_columns`: the machine in scope device and in
            each wider one up to the asked.
        light_w: Watts that the power model estimates of `LIGHT` work in these scopes.
    """
    chips = _chips(setups, light_w[0])
    ends = [0.0, 0.0, 0.0]
    for watts, supply in zip(light_w, setups["efficiency"].tolist(), strict=True):
        around = max(watts * supply - light_w[0], 0.0)
        found = ((chip + around * end) / supply for chip, end in zip(chips, _ENDS, strict=True))
        ends = [max(pair) for pair in zip(ends, found, strict=True)]  # wider never draws less
    limit = float(setups["limit_w"][-1])
    low, value, high = (min(end, limit) for end in ends)
    return MachineWatts(
        idle=Quantity(low, value, high),
        limit=limit,
        stated=bool(setups["idle_stated"][0]) or not setups["tdp_imputed"][0],
    )


_ENDS = (1 / SPREAD, 1.0, SPREAD)


def _chips(setups: Table, light_w: float) -> list[float]:
    """Low, value and high of the chips' idle watts; the value is no more than light work draws."""
    card = setups["kind"][0] in ("gpu", "npu") and not setups["on_soc"][0]
    bare = float(setups["idle_w"][0])
    low, middle, high = RESIDENT if card else STATED
    if not setups["idle_stated"][0]:
        low, high = middle / SPREAD, middle * SPREAD
    value = min(bare * middle, max(light_w, bare))
    return [min(bare * low, value), value, max(bare * high, value)]
