"""Doubtful measurements of the calibration suite: kept as history, evidence of no time or energy.

A row is doubtful when other processes computed beside it, its repeats spread too far or the chip
was throttled, and no later attempt was better. It never supersedes a sound row of its setup, is
current in no snapshot, and so informs no estimate and no recommendation. Its accuracy holds: it
does not depend on load.
"""

from __future__ import annotations

from catalog.records import Measurement, moment

SUITE = "calibration"
"""Source of the rows the rule is about: published figures cannot be measured anew."""
REFERENCE_RUN = "joulewise-reference"
"""Source of the suite's bundled rows: sound ones of a machine of ours, measured by a script."""
DOUBTS = ("other-load", "throttled", "unstable")
"""Flags that make a row of the suite doubtful."""


def doubts(row: Measurement) -> tuple[str, ...]:
    """The flags that make a row doubtful, sorted; empty for a sound or published one."""
    if row.source != SUITE:
        return ()
    return tuple(sorted(set(row.flags).intersection(DOUBTS)))


def standing(row: Measurement) -> tuple[bool, float]:
    """Rank among the rows of one setup: sound ones before doubtful ones, then the newest."""
    return not doubts(row), moment(row.measured_at)
