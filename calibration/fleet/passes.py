"""Who measures what next in a fleet, and for how long it may take: bookkeeping without a network.

A *pass* walks through the plan of one hardware, on one machine of it as long as that machine is
there: two specimens of a chip differ by several percent, and candidates are to be compared. Another
machine of the same hardware takes over what the first one could not bring to an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from calibration.records import Profile, Trial

ATTEMPTS = 2
"""How often a pair is begun before it is given up: what kills two workers would kill a third."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a fleet waits.

    Attributes:
        factor: A trial may take this many times what was planned, an order of magnitude,
        least_s: and this many seconds more.
        survey_s: Seconds in which a machine must have loaded the texts and planned.
        grace_s: Seconds in which a machine must come (back) to trials that no machine is left for.
        again_s: Seconds after which a machine that measures for somebody else is asked again.
    """

    factor: float = 10.0
    least_s: float = 120.0
    survey_s: float = 600.0
    grace_s: float = 60.0
    again_s: float = 5.0

    def allowance_s(self, planned_s: float, profile: Profile) -> float:
        """Seconds after which a trial counts as hung; idle power is read beside it."""
        around_s = 2 * profile.idle_s
        return self.factor * (planned_s + around_s) + self.least_s


@dataclass(eq=False)
class Unit:
    """The trials of a candidate on a workload that share one fit; `open` are not settled yet.

    Attributes:
        planned_s: Seconds planned for those that are settled: the fit is among them, and has to
            be made again for the rest.
        attempts: How often it was begun and not ended.
        avoid: Nodes on which it hung; they get it again only where there is no other.
        reason: What became of the last attempt.
        stranded_s: Since when there is no machine for it.
    """

    open: list[Trial]
    planned_s: float = 0.0
    attempts: int = 0
    avoid: set[str] = field(default_factory=set)
    reason: str = ""
    stranded_s: float | None = None

    def settle(self, trial: Trial) -> bool:
        """Takes a trial off; false where it was settled before."""
        if trial not in self.open:
            return False
        self.open.remove(trial)
        self.planned_s += trial.estimated_s
        return True


@dataclass(eq=False)
class Node:
    """A machine.

    Attributes:
        workers: Address -> process of each worker on it.
        surveyed: The worker whose plan `hardware` is; the only one that measures.
        measures: Whether a survey or a pair runs on it.
        again_s: When it may be asked again after it was busy for somebody else.
        left_out: Why it is not used.
    """

    id: str
    name: str
    host: str
    workers: dict[str, int] = field(default_factory=dict)
    surveyed: str | None = None
    hardware: str | None = None
    measures: bool = False
    again_s: float | None = None
    left_out: str | None = None

    @property
    def there(self) -> bool:
        """Whether something may be asked of it, now or once it is free."""
        return bool(self.workers) and self.left_out is None

    def free(self, now_s: float) -> bool:
        """Whether something may be asked of it now."""
        return self.there and not self.measures and (self.again_s or 0.0) <= now_s

    def leave(self, address: str) -> None:
        """A worker is gone; what it said about the machine must be asked of another one."""
        self.workers.pop(address, None)
        if self.surveyed == address:
            self.surveyed = self.hardware = None


@dataclass(eq=False)
class Pass:
    """One walk through the plan of one hardware.

    Attributes:
        place: Name of the hardware for people.
        units: What is left of it, the next one first.
        home: The node it is at.
        running: Whether one of its units is being measured.
    """

    place: str
    hardware: str
    run_id: str
    units: list[Unit]
    home: str | None = None
    running: bool = False

    @property
    def finished(self) -> bool:
        """Whether nothing is left of it."""
        return not self.units and not self.running


def units(trials: Iterable[Trial]) -> list[Unit]:
    """Pending trials by pair, in order."""
    pending = (trial for trial in trials if not trial.present)
    pairs = groupby(pending, key=lambda trial: (trial.workload, trial.candidate))
    return [Unit(list(each)) for _, each in pairs]


def place_of(trials: Sequence[Trial], number: int, taken: Iterable[str]) -> str:
    """A name for hardware, its chips; told apart from `taken` ones, and by the pass over it."""
    name = " + ".join(sorted({trial.device for trial in trials})) or "nothing to measure"
    again = f", pass {number}" if number > 1 else ""
    known, others, found = set(taken), 1, name + again
    while found in known:
        others += 1
        found = f"{name} ({others}){again}"
    return found


def next_unit(
    one: Pass, others: Sequence[Pass], nodes: Sequence[Node], now_s: float
) -> tuple[Unit, Node] | None:
    """What a pass measures next and where; ``None`` while it has to wait.

    Args:
        one: The pass.
        others: All passes of the fleet.
        nodes: All machines.
        now_s: Now, on the clock of `Node.again_s`.
    """
    if one.running:
        return None
    taken = {p.home for p in others if p is not one and not p.finished}
    alike = [node for node in nodes if node.hardware == one.hardware and node.there]
    for unit in one.units:
        fit = [node for node in alike if node.id not in unit.avoid] or alike
        home = [node for node in fit if node.id == one.home]
        # What one machine could not do, any other may, be it the home of another pass.
        spare = [node for node in fit if node.id not in taken or unit.attempts]
        for node in home or spare:
            if node.free(now_s):
                return unit, node
    return None


def stranded(one: Pass, nodes: Sequence[Node], now_s: float, grace_s: float) -> list[Unit]:
    """Units of a pass that no machine has been there for in the last `grace_s` seconds."""
    found = []
    for unit in one.units:
        some = any(
            # one that is not surveyed may turn out to be of this hardware
            node.there and (node.hardware or one.hardware) == one.hardware
            for node in nodes
        )
        if some:
            unit.stranded_s = None
        elif unit.stranded_s is None:
            unit.stranded_s = now_s
        elif now_s - unit.stranded_s >= grace_s:
            found.append(unit)
    return found
