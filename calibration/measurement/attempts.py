"""Repeated attempts at a doubtful trial: a way to measure in, notices and one row out.

A trial under load of others, with repeats that spread too far or on a throttled chip is measured
again at a quieter moment, a bounded number of times. The first sound attempt is the row; where
none is sound, the least doubtful one is, with its flags, and counts as history (`catalog.doubt`).
Sound attempts are never compared, so nothing is picked for being fast.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from calibration.hardware import usage
from catalog.doubt import DOUBTS, doubts
from catalog.records import Measurement

OTHER_LOAD_CORES = 0.5
"""Cores kept busy by other processes above which a row is flagged ``other-load``."""
_LOOK_S = 2.0
"""Seconds over which the load of others is read while waiting for it to fall."""
_COOLING_S = 30.0
"""Seconds that a throttled chip gets to cool."""


class Notice(msgspec.Struct, frozen=True):
    """Why a trial takes longer, in words for people."""

    said: str


def others_over(seconds: float) -> float | None:
    """Mean cores that other processes keep busy over the next seconds."""
    others = usage.OtherLoad()
    time.sleep(seconds)
    return others.mean_cores()


@dataclass
class Patience:
    """Seconds of waiting for quieter moments that a whole run has; a busy machine uses them up.

    Attributes:
        left_s: Seconds left.
        look: Mean cores that others keep busy over some seconds; ``None`` where unknown.
        sleep: Waits.
    """

    left_s: float = 300.0
    look: Callable[[float], float | None] = others_over
    sleep: Callable[[float], None] = time.sleep

    def wait(self, row: Measurement, most_s: float) -> Iterator[Notice]:
        """Waits until the doubt about a row may be gone, for at most `most_s` seconds."""
        limit = min(most_s, self.left_s)
        seen, found = other_cores(row), doubts(row)
        if "other-load" in found and seen is not None and limit > 0:
            yield Notice(f"{load_in_words(seen)}; waiting up to {limit:.0f} s")
            self.left_s -= self._until_quiet(limit)
        elif "throttled" in found and limit > 0:
            pause = min(_COOLING_S, limit)
            yield Notice(f"the chip is throttled; waiting {pause:.0f} s for it to cool")
            self.sleep(pause)
            self.left_s -= pause
        yield Notice(f"measured again, as it was {' and '.join(found)}")

    def _until_quiet(self, limit_s: float) -> float:
        """Waits until others keep at most `OTHER_LOAD_CORES` busy; returns the seconds waited."""
        waited = 0.0
        while waited < limit_s:
            busy = self.look(_LOOK_S)
            waited += _LOOK_S
            if busy is None or busy <= OTHER_LOAD_CORES:
                break
        return waited


def load_in_words(cores: float) -> str:
    """``another process uses 0.9 of 2 cores``; several where it is more than one core."""
    who = "another process uses" if cores <= 1.05 else "other processes use"
    return f"{who} {cores:.1f} of {usage.n_cores()} cores"


def other_cores(row: Measurement) -> float | None:
    """Cores that others kept busy during a row, from its fingerprint."""
    found = json.loads(row.fingerprint or "{}").get("context", {}).get("other_cores")
    return None if found is None else float(found)


def settled(
    measure: Callable[[int], Measurement], retries: int, wait_s: float, patience: Patience
) -> Iterator[Measurement | Notice]:
    """Measures until a row is sound; yields notices, then the row that is kept.

    Args:
        measure: Measures once; its argument is the number of the attempt, from 1.
        retries: Further attempts at most.
        wait_s: Seconds to wait for a quieter moment before each of them, at most.
        patience: What the run has left to wait.
    """
    rows = [measure(1)]
    while doubts(rows[-1]) and len(rows) <= retries:
        yield from patience.wait(rows[-1], wait_s)
        rows.append(measure(len(rows) + 1))
    yield min(rows, key=_doubtfulness)


def _doubtfulness(row: Measurement) -> tuple[int, float, float]:
    """Number of doubts, then load of others, then spread; 0 doubts is sound."""
    found = len(set(row.flags).intersection(DOUBTS))
    return found, other_cores(row) or 0.0, row.cv or 0.0
