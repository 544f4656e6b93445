"""Energy of a measurement in a scope: joules of its components in, their sum and label out.

``device`` is the chip that runs the model, ``host`` adds CPU and DRAM around it, ``wall`` is
the plug. Converting one scope into another is estimation and belongs to `advisor`.
"""

from __future__ import annotations

import msgspec

from catalog.records import COMPONENTS, Kind, Label, Measurement, Scope

SCOPE_OF_SOURCE: dict[str, Scope] = {
    "gpu": "device",
    "npu": "device",
    "cpu": "device",
    "board": "device",
    "cpu+ram": "host",
    "gpu+cpu": "host",
    "gpu+cpu+ram": "host",
    "npu+cpu+ram": "host",
    "wall": "wall",
}
"""A source's own word for what a total covers -> one of the three scopes."""

_DEVICE_COMPONENTS: dict[Kind, tuple[str, ...]] = {
    "gpu": ("gpu", "board"),
    "npu": ("npu", "board"),
    "cpu": ("cpu", "board"),
    "soc": ("board",),
}


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Joules of one window in one scope; a bound has `high_j` and no `value_j`.

    `parts` names what was added up, in a source's words.
    """

    value_j: float | None
    low_j: float | None
    high_j: float | None
    label: Label
    parts: str


def components(row: Measurement) -> dict[str, tuple[float, Label]]:
    """Joules and label of every component of `row` that is there."""
    found = {}
    for name in COMPONENTS:
        joules, label = getattr(row, f"{name}_j"), getattr(row, f"{name}_label")
        if joules is not None and label is not None:
            found[name] = (joules, label)
    return found


def _summed(parts: dict[str, tuple[float, Label]]) -> Energy:
    """The sum of components as one `Energy`."""
    joules = sum(value for value, _ in parts.values())
    (label, *others) = {label for _, label in parts.values()}
    return Energy(
        value_j=joules,
        low_j=joules,
        high_j=joules,
        label="mixed" if others else label,
        parts="+".join(sorted(parts)),
    )


def _from_components(row: Measurement, kind: Kind, scope: Scope) -> Energy | None:
    """`row`'s energy in `scope`, added up from components; ``None`` if one is missing."""
    there = components(row)
    if scope == "wall":
        return _summed({"wall": there["wall"]}) if "wall" in there else None
    own = next((name for name in _DEVICE_COMPONENTS[kind] if name in there), None)
    if own is None:
        return None
    if scope == "device":
        return _summed({own: there[own]})
    if own == "board":  # a board rail feeds CPU and memory too, but no power supply
        return None
    wanted = {own, "cpu", "dram"}
    return _summed({name: there[name] for name in wanted}) if wanted <= there.keys() else None


def _covers(total_scope: str, kind: Kind) -> bool:
    """Whether a total holds the device itself: ``cpu+ram`` on a GPU machine does not."""
    parts = set(total_scope.split("+"))
    return kind == "soc" or bool(parts & {kind, "board", "wall"})


def _from_total(row: Measurement, kind: Kind, scope: Scope) -> Energy | None:
    """`row`'s published total, if its scope is the asked one."""
    if row.total_scope is None or SCOPE_OF_SOURCE[row.total_scope] != scope:
        return None
    if not _covers(row.total_scope, kind):
        return None
    if row.total_label is None:
        return None
    low = row.total_low_j if row.total_low_j is not None else row.total_j
    high = row.total_high_j if row.total_high_j is not None else row.total_j
    if row.total_j is None and high is None:
        return None
    return Energy(
        value_j=row.total_j, low_j=low, high_j=high, label=row.total_label, parts=row.total_scope
    )


def energy(row: Measurement, kind: Kind, scope: Scope) -> Energy | None:
    """The joules of `row`'s window in `scope`, or ``None`` where they were not taken.

    Args:
        row: The measurement.
        kind: Kind of the device it ran on; decides which counter is the device's own.
        scope: Which of the three scopes is asked for.

    Returns:
        Joules of the whole window (all `n_items` texts), gross, with label and parts; a total
        goes before a sum of components unless it is modelled or a mere bound.
    """
    found = (_from_total(row, kind, scope), _from_components(row, kind, scope))
    there = [joules for joules in found if joules is not None]
    return min(there, key=lambda j: (j.label == "modelled", j.value_j is None), default=None)
