"""Plots as geometry worked out on the server: what stands where, in the units of an SVG's viewBox.

Templates draw it, style sheets colour it; nothing here knows a colour or a tag.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from advisor.recommend.records import EnergyPer1000, Option, Recommendation
from api.pages import wording as view

_STEPS = (1, 2, 2.5, 5, 10)
_CHARACTER = 6.7
"""Mean width of a character of a label, in pixels at its size of 12."""
_LINE = 15
"""Height of a label, pixels."""
_REACH = 10
"""Between the middle of a mark and its label, pixels."""


class Tick(msgspec.Struct, frozen=True):
    """A place on an axis and what is written there."""

    at: float
    text: str


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """An axis: values from `low` to `high` stand at `start` to `end`.

    Attributes:
        log: Whether the axis is logarithmic; `low` is above 0 then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value stands; one beyond the axis at its end."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, most: int = 7, unit: str = "") -> list[Tick]:
        """Round values on the axis, at most about `most` of them."""
        values = self._decades(most) if self.log else self._steps(most)
        return [Tick(self.at(value), view.prefixed(value, unit)) for value in values]

    def _decades(self, most: int) -> list[float]:
        """Powers of ten, with 2 and 5 between them where there is room."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(1, math.ceil((last - first) / most))
        between = (1, 2, 5) if math.log10(self.high / self.low) * 3 <= most else (1,)
        values = [m * 10.0**e for e in range(first, last + 1, every) for m in between]
        return [value for value in values if self.low <= value * 1.0001 and value <= self.high]

    def _steps(self, most: int) -> list[float]:
        """Multiples of a round step."""
        rough = (self.high - self.low) / most
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in _STEPS if size * factor >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(n * step, 10) for n in range(first, last + 1)]


def log_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic axis that holds all `values`, with a little room at its ends."""
    there = [value for value in values if value > 0]
    low, high = math.log10(min(there, default=1)), math.log10(max(there, default=10))
    room = max(0.06 * (high - low), 0.15)
    return Scale(low=10 ** (low - room), high=10 ** (high + room), start=start, end=end, log=True)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """An option in the plot.

    Attributes:
        x: Where it stands; `x_low` to `x_high` and `y_low` to `y_high` are its intervals
            (`y` counts downwards, so `y_high` is the smaller one).
        kind: What its energy is, see `api.pages.wording.kind`.
        bound: Whether only an upper bound of its energy is known; it stands there.
        label: Its name where there is room for it, from `label_x`, anchored at `anchor`.
        qualifies: Whether it meets all conditions.
    """

    option: Option
    kind: str
    x: float
    y: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    bound: bool
    chosen: bool
    qualifies: bool
    label: str = ""
    label_x: float = 0
    label_y: float = 0
    anchor: str = "start"


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy over energy.

    Attributes:
        floor: Where the asked accuracy stands.
        front: Path of the stepped line through options nothing beats in both.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    floor: float
    front: str
    marks: list[Mark]


def _middle(energy: EnergyPer1000) -> float:
    """Where an energy stands: its value, or the bound a source published."""
    return energy.value or energy.high or 0.0


def shown(answer: Recommendation) -> list[Option]:
    """The options of an answer that can be plotted, the chosen one last so that it lies on top."""
    options = [*answer.front, *answer.alternatives, answer.nearest_miss, answer.chosen]
    there = {view.key(o): o for o in options if o and o.accuracy and _middle(o.energy_j_per_1000)}
    return list(there.values())


def accuracy_over_energy(answer: Recommendation, width: int, height: int) -> Plot | None:
    """The plot of an answer; ``None`` where no option has both figures.

    Args:
        answer: What `/recommend` answers.
        width: Of the viewBox.
        height: Of the viewBox.
    """
    options = shown(answer)
    if not options:
        return None
    left, right, top, bottom = 46, width - 14, 16, height - 40
    energies = [end for option in options for end in view.ends(option.energy_j_per_1000)]
    found = [option.accuracy for option in options if option.accuracy]
    floor = answer.query.min_acc
    ends = [floor, *(a.value if e is None else e for a in found for e in (a.low, a.high))]
    room = max(0.02, 0.06 * (max(ends) - min(ends)))
    across = log_scale(energies, left, right)
    up = Scale(
        low=max(0.0, min(ends) - room), high=min(1.0, max(ends) + room), start=bottom, end=top
    )
    qualifying = {view.key(o) for o in (answer.chosen, *answer.alternatives) if o}
    marks = [_mark(option, across, up, answer.chosen, qualifying) for option in options]
    front = {view.key(option) for option in answer.front}
    named = [m for m in marks if m.chosen or view.key(m.option) in front]
    return Plot(
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=across.ticks(7 if width > 500 else 4, "J"),
        y_ticks=up.ticks(6),
        floor=up.at(floor),
        front=_steps([m for m in marks if view.key(m.option) in front], right),
        marks=_labelled(marks, named, left, right, top),
    )


def _mark(
    option: Option,
    across: Scale,
    up: Scale,
    chosen: Option | None,
    qualifying: set[tuple[object, ...]],
) -> Mark:
    """An option's place; without an interval its ends are its middle."""
    energy, accuracy = option.energy_j_per_1000, option.accuracy
    assert accuracy is not None  # noqa: S101  # `shown` keeps no other
    middle = _middle(energy)
    low, high = accuracy.low, accuracy.high
    return Mark(
        option=option,
        kind=view.kind(energy),
        x=across.at(middle),
        y=up.at(accuracy.value),
        x_low=across.at(energy.low or across.low),
        x_high=across.at(energy.high or middle),
        y_low=up.at(accuracy.value if low is None else low),
        y_high=up.at(accuracy.value if high is None else high),
        bound=energy.value is None,
        chosen=chosen is not None and view.key(option) == view.key(chosen),
        qualifies=view.key(option) in qualifying,
    )


def _steps(front: Sequence[Mark], right: float) -> str:
    """A line that rises at each option of the front and runs on to the right."""
    ordered = sorted(front, key=lambda mark: (mark.x, -mark.y))
    if not ordered:
        return ""
    path = f"M{ordered[0].x} {ordered[0].y}"
    for mark in ordered[1:]:
        path += f"H{mark.x}V{mark.y}"
    return f"{path}H{right}"


Box = tuple[float, float, float, float]


def _meet(first: Box, second: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) overlap."""
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


class _Place(msgspec.Struct, frozen=True):
    """Where a label could stand and the box it would fill."""

    anchor: str
    x: float
    y: float
    box: Box


def _places(mark: Mark, left: float, right: float, top: float) -> list[_Place]:
    """Places for a mark's name inside the plot, the best first: above, below, beside."""
    wide = _CHARACTER * len(mark.option.candidate)
    found = []
    for away, y in (
        (5, mark.y - _REACH),
        (5, mark.y + 2 * _REACH),
        (_REACH, mark.y + 4),
    ):
        for anchor, x in (("start", mark.x + away), ("end", mark.x - away)):
            start = x if anchor == "start" else x - wide
            box = (start, y - _LINE + 4, start + wide, y + 4)
            if left <= box[0] and box[2] <= right and box[1] >= top - 4:
                found.append(_Place(anchor, x, y, box))
    return found


def _labelled(
    marks: Sequence[Mark], named: Sequence[Mark], left: float, right: float, top: float
) -> list[Mark]:
    """The marks, those of `named` with a name where it covers nothing; the chosen one's anyway."""
    taken: list[Box] = [(m.x - 5, m.y - 5, m.x + 5, m.y + 5) for m in marks]
    placed: dict[object, Mark] = {}
    for mark in sorted(named, key=lambda m: (not m.chosen, m.x)):
        inside = _places(mark, left, right, top)
        free = [p for p in inside if not any(_meet(p.box, other) for other in taken)]
        for place in (free or (inside if mark.chosen else []))[:1]:
            taken.append(place.box)
            placed[view.key(mark.option)] = msgspec.structs.replace(
                mark,
                label=mark.option.candidate,
                label_x=place.x,
                label_y=place.y,
                anchor=place.anchor,
            )
    return [placed.get(view.key(mark.option), mark) for mark in marks]
