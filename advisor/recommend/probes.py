"""Which candidates to measure next so that a pending decision on a machine gets surest.

Estimates for one machine err together: its host, its cooling and its software are in all of them.
So one measured row narrows many intervals, and by how much follows from the estimator's process
before anything is measured (`advisor.estimator.probe_selection`), for those that may still be the
answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from advisor.estimator.estimator import Estimator
from advisor.estimator.machine_effects import noise
from advisor.estimator.probe_selection import picked
from advisor.estimator.setup import Setup, from_measurement
from advisor.estimator.table import Array
from advisor.recommend.advisor import Advisor
from advisor.recommend.options import Z90, Offer
from advisor.recommend.query import BadQuestionError, Query


class Probe(msgspec.Struct, frozen=True):
    """A candidate worth measuring.

    Attributes:
        width: High over low of the 90 % intervals of what may be the answer, their geometric
            mean, once this candidate and those before it are measured; by the estimator's process
            alone, so before the widening that its held-out errors ask for.
    """

    candidate: str
    width: float


class Pending(msgspec.Struct, frozen=True):
    """What would make an answer surer.

    Attributes:
        workload: What the candidates are to be measured on.
        rate_per_s: At what request rate, in scenario ``server``.
        contenders: Candidates whose estimate may be the least energy.
        width: High over low of their intervals now, see `Probe`.
        probes: What to measure, the most telling first.
        settled: Why there are no contenders: nothing qualifies; what needs least was timed there
            and no counter was read, so another run would leave its joules an estimate; or what
            needs least is measured. ``None`` where there are some.
    """

    workload: str
    rate_per_s: float | None
    contenders: list[str]
    width: float | None
    probes: list[Probe]
    settled: Literal["nothing-qualifies", "timed-there", "measured"] | None = None


def pending(advisor: Advisor, query: Query, k: int) -> Pending:
    """Which candidates to measure on the asked device, so that the answer gets surer.

    Nothing is left to measure where no estimate can be the least energy.

    Raises:
        BadQuestionError: No device is asked about, no rate of requests is stated or known, or what
            `Advisor.recommend` raises.
    """
    if query.device is None:
        raise BadQuestionError("device", None, "name the machine that is to be measured")
    pool, places = advisor.contest(query)
    if query.scenario == "server" and pool.asked.rate_per_s is None:
        raise BadQuestionError("rate", None, "texts per second; scenario server is measured at one")
    least = min((_high(pool.offers[place]) for place in places), default=math.inf)
    open_ones = {
        place
        for place in places
        if _open(pool.offers[place]) and (pool.offers[place].energy.low or 0.0) <= least
    }
    names = [pool.offers[place].row.candidate for place in sorted(open_ones)]
    workload, rate = pool.asked.workload, pool.asked.rate_per_s
    if not open_ones:
        return Pending(workload, rate, [], None, [], _settled([pool.offers[p] for p in places]))
    shown = [p for p, offer in enumerate(pool.offers) if _open(offer) and p not in pool.unfit]
    known = advisor.snapshot.candidates
    setups = [
        msgspec.structs.replace(
            from_measurement(
                offer.row, offer.device, known.get(offer.row.candidate), pool.asked.scope
            ),
            source=None,
        )
        for offer in (pool.offers[place] for place in shown)
    ]
    candidates = [pool.offers[place].row.candidate for place in shown]
    runs = [name in known and known[name].runnable for name in candidates]
    contenders = [place in open_ones for place in shown]
    width, found = next_probes(advisor.estimator, setups, candidates, contenders, runs, k)
    return Pending(workload, rate, list(dict.fromkeys(names)), width, found)


def _settled(
    qualified: Sequence[Offer],
) -> Literal["nothing-qualifies", "timed-there", "measured"]:
    """Why none of the offers is worth measuring."""
    if not qualified:
        return "nothing-qualifies"
    least = min(qualified, key=_high)
    return "measured" if least.prediction is None else "timed-there"


def _open(offer: Offer) -> bool:
    """Whether an offer's energy could be measured on its device and is not."""
    return offer.prediction is not None and not offer.ran_there


def _high(offer: Offer) -> float:
    """The high end of an offer's energy."""
    return math.inf if offer.energy.high is None else offer.energy.high


def next_probes(
    estimator: Estimator,
    setups: Sequence[Setup],
    names: Sequence[str],
    contenders: Sequence[bool],
    probeable: Sequence[bool],
    k: int,
) -> tuple[float, list[Probe]]:
    """The width now and at most k candidates, the most telling first.

    Args:
        estimator: Knows what is known of the machine.
        setups: n setups on one device.
        names: Candidate of each.
        contenders: Which of them may be the answer.
        probeable: Which of them can be run.
        k: Candidates at most.
    """
    given = np.array([setup.runtime_s is not None for setup in setups])
    covariance, own, open_ones = estimator.covariance(setups), noise(given), np.array(contenders)

    def width(variance: Array) -> float:
        spread = np.sqrt(np.maximum(variance[open_ones], 0) + own[open_ones])
        return math.exp(2 * Z90 * float(spread.mean()))

    rows = picked(covariance, own, open_ones, np.array(probeable), names, k)
    found = [Probe(names[place], width(variance)) for place, variance in rows]
    return width(np.diag(covariance)), found
