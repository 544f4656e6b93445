"""Plot geometry: an answer in, positions of marks, ticks and labels in viewBox units out.

Templates draw it and style sheets colour it.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence

import msgspec

from advisor.recommend.records import EnergyPer1000, Option, Recommendation
from api.pages import names, wording
from api.pages.summary import Brief
from catalog.registry.families import FLOORS

Key = tuple[object, ...]
"""An option's key, see `wording.option_key`."""
_STEP_FACTORS = (1, 2, 2.5, 5, 10)
_CHARACTER_WIDTH = 6.7
"""Mean width of a character of a label, in pixels at its size of 12."""
_LABEL_HEIGHT = 15
"""Height of a label, pixels."""
_LABEL_DISTANCE = 10
"""Distance between the centre of a mark and its label, pixels."""


class Tick(msgspec.Struct, frozen=True):
    """Position on an axis and its text."""

    at: float
    text: str


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """An axis that maps values from `low` to `high` to positions from `start` to `end`.

    Attributes:
        log: Whether the axis is logarithmic; requires `low` > 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Position of a value; values beyond the axis are clipped to its ends."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, most: int = 7, unit: str = "") -> list[Tick]:
        """Round values on the axis, about `most` of them at most."""
        values = self._decades(most) if self.log else self._steps(most)
        return [Tick(self.at(value), wording.si_prefixed(value, unit)) for value in values]

    def _decades(self, most: int) -> list[float]:
        """Powers of ten, and their multiples by 2 and 5 where there is room."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = max(1, math.ceil((last - first) / most))
        between = (1, 2, 5) if math.log10(self.high / self.low) * 3 <= most else (1,)
        values = [m * 10.0**e for e in range(first, last + 1, every) for m in between]
        return [value for value in values if self.low <= value * 1.0001 and value <= self.high]

    def _steps(self, most: int) -> list[float]:
        """Multiples of a round step."""
        rough = (self.high - self.low) / most
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in _STEP_FACTORS if size * factor >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(n * step, 10) for n in range(first, last + 1)]


def log_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """A logarithmic axis that fits all positive `values`, with a margin at both ends."""
    positive = [value for value in values if value > 0]
    low, high = math.log10(min(positive, default=1)), math.log10(max(positive, default=10))
    margin = max(0.06 * (high - low), 0.15)
    return Scale(
        low=10 ** (low - margin), high=10 ** (high + margin), start=start, end=end, log=True
    )


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """An option in the plot.

    Attributes:
        x: Position; `x_low` to `x_high` and `y_low` to `y_high` are its intervals (`y` counts
            downwards, so `y_high` is the smaller number).
        kind: Kind of energy, see `api.pages.wording.energy_kind`.
        bound: Whether only an upper bound of its energy is known; the mark stands there.
        label: Its name where there is room, at `label_x`, `label_y` with text anchor `anchor`.
        qualifies: Whether it meets all constraints.
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
        floor: Vertical position of the accuracy floor.
        front: SVG path of the stepped line through the accuracy-energy front.
        cloud: SVG path of a dot for every candidate that was priced.
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
    cloud: str
    marks: list[Mark]


def _point_energy(energy: EnergyPer1000) -> float:
    """Joules per 1,000 texts to plot: the value, or the published upper bound."""
    return energy.value or energy.high or 0.0


def plotted_options(answer: Recommendation, brief: Brief | None = None) -> list[Option]:
    """Options with accuracy and energy, the chosen one last so that it is drawn on top.

    With the families of a `brief` the alternatives are left to its cloud.
    """
    options = [
        *(_families(brief) if brief else answer.alternatives),
        *answer.front,
        answer.chosen_by_point,
        answer.nearest_miss,
        answer.chosen,
    ]
    there = {
        wording.option_key(o): o
        for o in options
        if o and o.accuracy and _point_energy(o.energy_j_per_1000)
    }
    return list(there.values())


def _families(brief: Brief) -> list[Option]:
    """The option of each family that can be recommended at all."""
    return [each.option for each in brief.standings if each.family not in FLOORS]


def accuracy_over_energy(
    answer: Recommendation, width: int, height: int, brief: Brief | None = None
) -> Plot | None:
    """The plot of an answer; ``None`` where no option has both figures.

    Args:
        answer: Of `/recommend`.
        width: Of the viewBox.
        height: Of the viewBox.
        brief: With the families, each of which has a mark, and every candidate's figures.
    """
    options = plotted_options(answer, brief)
    if not options:
        return None
    left, right, top, bottom = 46, width - 14, 16, height - 40
    energies = [end for option in options for end in wording.bounds(option.energy_j_per_1000)]
    found = [option.accuracy for option in options if option.accuracy]
    floor = answer.query.min_acc
    ends = [floor, *(a.value if e is None else e for a in found for e in (a.low, a.high))]
    margin = max(0.02, 0.06 * (max(ends) - min(ends)))
    x_axis = log_scale(energies, left, right)
    y_axis = Scale(
        low=max(0.0, min(ends) - margin), high=min(1.0, max(ends) + margin), start=bottom, end=top
    )
    qualifying = {wording.option_key(o) for o in (answer.chosen, *answer.alternatives) if o}
    marks = [_mark(option, x_axis, y_axis, answer.chosen, qualifying) for option in options]
    front = {wording.option_key(option) for option in answer.front}
    families = {
        wording.option_key(option): names.family(option.family)
        for option in (_families(brief) if brief else ())
    }
    labels = {
        key: m.option.candidate for m in marks if (key := wording.option_key(m.option)) in front
    }
    labels |= families
    if answer.chosen is not None:
        labels[wording.option_key(answer.chosen)] = answer.chosen.candidate
    return Plot(
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        x_ticks=x_axis.ticks(7 if width > 500 else 4, "J"),
        y_ticks=y_axis.ticks(6),
        floor=y_axis.at(floor),
        front=_step_path([m for m in marks if wording.option_key(m.option) in front], right),
        cloud=_dots(brief.cloud if brief else (), x_axis, y_axis),
        marks=_with_labels(marks, labels, families, left, right, top),
    )


def _dots(figures: Iterable[tuple[float, float]], x_axis: Scale, y_axis: Scale) -> str:
    """SVG path of dots at joules and accuracies that are on the axes."""
    return "".join(
        f"M{x_axis.at(joules):g} {y_axis.at(accuracy):g}h0"
        for joules, accuracy in figures
        if x_axis.low <= joules <= x_axis.high and y_axis.low <= accuracy <= y_axis.high
    )


def _mark(
    option: Option,
    x_axis: Scale,
    y_axis: Scale,
    chosen: Option | None,
    qualifying: set[tuple[object, ...]],
) -> Mark:
    """An option's mark; without an interval both ends equal the value."""
    energy, accuracy = option.energy_j_per_1000, option.accuracy
    assert accuracy is not None  # noqa: S101  # see `plotted_options`
    joules = _point_energy(energy)
    low, high = accuracy.low, accuracy.high
    return Mark(
        option=option,
        kind=wording.energy_kind(energy),
        x=x_axis.at(joules),
        y=y_axis.at(accuracy.value),
        x_low=x_axis.at(energy.low or x_axis.low),
        x_high=x_axis.at(energy.high or joules),
        y_low=y_axis.at(accuracy.value if low is None else low),
        y_high=y_axis.at(accuracy.value if high is None else high),
        bound=energy.value is None,
        chosen=chosen is not None and wording.option_key(option) == wording.option_key(chosen),
        qualifies=wording.option_key(option) in qualifying,
    )


def _step_path(front: Sequence[Mark], right: float) -> str:
    """SVG path that rises at each option of the front and continues to `right`."""
    ordered = sorted(front, key=lambda mark: (mark.x, -mark.y))
    if not ordered:
        return ""
    path = f"M{ordered[0].x} {ordered[0].y}"
    for mark in ordered[1:]:
        path += f"H{mark.x}V{mark.y}"
    return f"{path}H{right}"


Box = tuple[float, float, float, float]


def _overlap(first: Box, second: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) overlap."""
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


class _LabelPlace(msgspec.Struct, frozen=True):
    """A possible position of a label and the box it covers."""

    anchor: str
    x: float
    y: float
    box: Box


def _label_places(
    mark: Mark, label: str, left: float, right: float, top: float
) -> list[_LabelPlace]:
    """Label positions inside the plot, best first: above, below, beside the mark."""
    width = _CHARACTER_WIDTH * len(label)
    found = []
    for offset, y in (
        (5, mark.y - _LABEL_DISTANCE),
        (5, mark.y + 2 * _LABEL_DISTANCE),
        (_LABEL_DISTANCE, mark.y + 4),
    ):
        for anchor, x in (("start", mark.x + offset), ("end", mark.x - offset)):
            start = x if anchor == "start" else x - width
            box = (start, y - _LABEL_HEIGHT + 4, start + width, y + 4)
            if left <= box[0] and box[2] <= right and box[1] >= top - 4:
                found.append(_LabelPlace(anchor, x, y, box))
    return found


def _with_labels(
    marks: Sequence[Mark],
    labels: Mapping[Key, str],
    first: Container[Key],
    left: float,
    right: float,
    top: float,
) -> list[Mark]:
    """The marks, with a label where it covers nothing, the chosen one always.

    Args:
        marks: In the order they are drawn.
        labels: By the option's key; marks without one get none.
        first: Keys of marks that are labelled before others.
        left: Of the plot; `right` and `top` likewise.
        right: See `left`.
        top: See `left`.
    """
    taken: list[Box] = [(m.x - 5, m.y - 5, m.x + 5, m.y + 5) for m in marks]
    placed: dict[Key, Mark] = {}
    named = [(key, mark) for mark in marks if (key := wording.option_key(mark.option)) in labels]
    named.sort(key=lambda pair: (not pair[1].chosen, pair[0] not in first, pair[1].x))
    for key, mark in named:
        inside = _label_places(mark, labels[key], left, right, top)
        free = [p for p in inside if not any(_overlap(p.box, other) for other in taken)]
        for place in (free or (inside if mark.chosen else []))[:1]:
            taken.append(place.box)
            placed[key] = msgspec.structs.replace(
                mark, label=labels[key], label_x=place.x, label_y=place.y, anchor=place.anchor
            )
    return [placed.get(wording.option_key(mark.option), mark) for mark in marks]
