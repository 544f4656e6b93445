"""A quantity with its interval, and interval arithmetic end by end.

Joules, kWh, seconds, kg CO2e: the unit is part of the name of the field that holds the quantity.
Ends combine as if all errors went the same way, so the interval of a result is never too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Quantity(msgspec.Struct, frozen=True):
    """`low` <= `value` <= `high`, in the unit of the field that holds it.

    `value` is ``None`` where only the ends are known. An end is ``None`` where nothing bounds it;
    only a difference can be without a low end, every other quantity is 0 or more.
    """

    low: float | None
    value: float | None
    high: float | None

    @classmethod
    def exact(cls, value: float) -> Quantity:
        """A quantity without an interval."""
        return cls(value, value, value)

    @property
    def least(self) -> float:
        """The low end, 0 where nothing bounds it (of a quantity that cannot be negative)."""
        return self.low or 0.0

    def __add__(self, other: Quantity) -> Quantity:
        """The sum end by end; what is unknown in one of them is unknown in the sum."""
        return Quantity(
            _sum(self.low, other.low), _sum(self.value, other.value), _sum(self.high, other.high)
        )

    def __sub__(self, other: Quantity) -> Quantity:
        """The difference, each end against the other's opposite one."""
        return Quantity(
            _sum(self.low, _negative(other.high)),
            _sum(self.value, _negative(other.value)),
            _sum(self.high, _negative(other.low)),
        )

    def __mul__(self, other: Quantity | float) -> Quantity:
        """The product with another quantity or an exact factor, which must be 0 or more.

        An end of this quantity below 0 goes with the factor's opposite end.

        Raises:
            ValueError: The factor is below 0.
        """
        factor = other if isinstance(other, Quantity) else Quantity.exact(other)
        if factor.least < 0:
            raise ValueError(f"a factor must be 0 or more, not {factor}")
        down = factor.high if (self.low or 0.0) < 0 else factor.low
        up = factor.low if (self.high or 0.0) < 0 else factor.high
        return Quantity(
            _product(self.low, down), _product(self.value, factor.value), _product(self.high, up)
        )

    __rmul__ = __mul__


ZERO = Quantity(0.0, 0.0, 0.0)
UNKNOWN = Quantity(0.0, None, None)
"""Something present in an unknown amount: not below 0."""


def total(quantities: Iterable[Quantity]) -> Quantity:
    """The sum of quantities that are 0 or more, as far as their values are known.

    Unlike ``+``, a missing value is left out (the caller says which is missing); a missing high
    end leaves the sum's open. Without any value the sum has none.
    """
    known = list(quantities)
    values = [each.value for each in known if each.value is not None]
    highs = [each.high for each in known if each.high is not None]
    return Quantity(
        sum((each.least for each in known), 0.0),
        sum(values, 0.0) if values else None,
        sum(highs, 0.0) if len(highs) == len(known) else None,
    )


def _sum(first: float | None, second: float | None) -> float | None:
    """The sum; ``None`` where one is."""
    return None if first is None or second is None else first + second


def _product(first: float | None, second: float | None) -> float | None:
    """The product; ``None`` where one is."""
    return None if first is None or second is None else first * second


def _negative(value: float | None) -> float | None:
    """The value with the other sign; ``None`` stays."""
    return None if value is None else -value
