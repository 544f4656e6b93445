"""How good an answer is for a setup that was measured on other devices alone.

python scripts/brought.py

Takes about four minutes on one core and needs the bundled figures only. Every device with five
and more setups whose candidate was also measured elsewhere is taken out of the catalog; the
estimator is fitted without it; its setups are brought back by `advisor.recommend.options.moved`,
as an answer
would, after 0, 1, 3 and 5 rows of other candidates there (drawn five times); and what comes out is
held against what was measured. It prints

1. the grid of `advisor.estimator.transfer.Carrying`: first both shares, on the half of the devices
that
   chooses and, for comparison only, on the half that reports; then the reach, on both halves;
2. what is served, beside the estimator alone and two baselines (the candidate's mean energy on
   other devices, as it is and times the ratio of thermal design powers, both shifted by the probe
   rows as the baselines of `joulewise evaluate` are), on the half that reports;
3. the same where of what was measured elsewhere the seconds alone are told;
4. the same where the whole publication is left out of the fit as well, and its rows on other
   devices inform the estimator as further rows of a catalog do;
5. each device with what is served.

Devices are dealt to the halves in turn, by name. The share is the least one within 0.01 of the
least error (mean over devices, numbers of probes, energy and runtime of the median absolute log
error), and so is the share where only seconds are known elsewhere, chosen on the same cases without
the others' joules; the reach the least one that covers 90 % of energies and of runtimes on either
half, with joules and without, each device weighing 1: one at 1, 3 and 5 probes, one without any.
How well such a choice covers a device that took no part in it is told by leaving each device out of
both halves. MdAPE, coverage and tau are means over devices, with 90 % bootstrap intervals over
devices. A choice is the setups of one workload and scenario on one device; its regret is the mean
over floors: the setup of least predicted energy among those at least as accurate (where nobody
stated accuracies: at least as large) as each one in turn. Before any multiplication the intervals'
reach is the bundled artefact's, which was taken with these devices among the held-out ones.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits
from withheld import ALONE, PROBES, Columns, cases_of, gathered

from advisor.estimator.estimator import load
from advisor.estimator.table import Array, Mask
from advisor.estimator.transfer import CARRYING, Carrying
from advisor.evaluation.metrics import bootstrap, ranking
from catalog import snapshot as catalog

LEAST = 5
"""Setups that a device must have."""
SHARES = (0.0, 0.3, 0.5, 0.7, 0.85, 1.0)
REACHES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
ALIKE = 0.01
"""Errors (log) that differ by no more count as the same; the smaller share is taken then."""
WANTED = 0.9
"""Coverage that a reach must keep for every number of probe rows, of energy and of runtime."""
WITHOUT = (("k > 0", PROBES[1:]), ("k = 0", PROBES[:1]))
"""Numbers of probe rows that share a reach: with rows of the device, and without any."""

Reduce = Callable[[Array], float]


def mean(values: Array, form: str = ".0f") -> str:
    """The mean with its bootstrap interval over devices; a dash where there is none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    low, high = bootstrap(values)
    return f"{values.mean():{form}} ({low:{form}} - {high:{form}})"


def by_device(columns: Columns, mask: Mask, values: Array, reduce: Reduce) -> Array:
    """A statistic of every device's entries."""
    names = columns.device[mask]
    return np.array([reduce(values[mask][names == name]) for name in sorted(set(names))])


def mean_of(values: Array) -> float:
    """The mean."""
    return float(np.mean(values))


def median_error(error: Array) -> float:
    """Median absolute percentage error of log errors."""
    return 100 * float(np.median(np.abs(np.expm1(error))))


def orders(columns: Columns, mask: Mask, log: Array) -> tuple[Array, Array]:
    """Tau of the joules of each device's choices, and the regret of the pick over floors."""
    taus, regrets = [], []
    for name in sorted(set(columns.device[mask])):
        own = np.flatnonzero(mask & (columns.device == name))
        truth = columns.truth["energy"]
        taus.append(ranking(log[own], truth[own], list(columns.choice[own])).kendall_tau)
        index, choices = [], []
        for choice in sorted(set(columns.choice[own])):
            inside = own[columns.choice[own] == choice]
            for floor in sorted(set(columns.floor[inside])):
                reached = inside[columns.floor[inside] >= floor]
                index += list(reached)
                choices += [f"{choice}|{floor}"] * len(reached)
        regrets.append(ranking(log[index], truth[index], choices).regret)
    return np.array(taus), np.array(regrets)


def line(
    columns: Columns,
    devices: Sequence[str],
    k: int,
    name: str,
    quantity: str,
    log: Array,
    half: Array,
) -> str:
    """A row of the error table."""
    mask = columns.of(devices, k) & np.isfinite(log)
    error = log - columns.truth[quantity]
    medians = by_device(columns, mask, error, median_error)
    inside = 100 * by_device(columns, mask, np.abs(error) <= half, mean_of)
    known = bool(np.isfinite(half[mask]).all())
    cells = [name, quantity, str(k), f"{len(medians)}", mean(medians), f"{np.median(medians):.0f}"]
    cells += [mean(inside) if known else "-"]
    cells += [f"{math.exp(2 * np.median(half[mask])):.3g}" if known else "-"]
    if quantity == "energy":
        taus, regrets = orders(columns, mask, log)
        cells += [mean(taus, ".2f"), mean(regrets, ".1f")]
    return f"| {' | '.join(cells)} |"


HEAD = """\
| what says it | of | k | devices | MdAPE, % | median | covered, % | high / low | tau | regret, % |
|---|---|---|---|---|---|---|---|---|---|"""


def report(columns: Columns, devices: Sequence[str]) -> None:
    """Prints the error table of some devices."""
    print(HEAD)
    for k in PROBES:
        for quantity in ("energy", "runtime"):
            for name, carrying in (("**Joulewise**", CARRYING), ("estimator alone", ALONE)):
                served = columns.served(quantity, carrying)
                print(line(columns, devices, k, name, quantity, *served))
        for name, log in columns.baselines.items():
            if not np.isfinite(log).any():
                continue
            print(line(columns, devices, k, name, "energy", log, np.full(len(log), np.nan)))


def error_of(columns: Columns, devices: Sequence[str], share: float, by_time: float) -> float:
    """Median absolute log error, mean over devices, probes, energy and runtime."""
    found = []
    for quantity, k in itertools.product(("energy", "runtime"), PROBES):
        log, _ = columns.served(quantity, Carrying(share, by_time, 1.0, 1.0))
        error = np.abs(log - columns.truth[quantity])
        found.append(
            by_device(columns, columns.of(devices, k), error, lambda v: float(np.median(v))).mean()
        )
    return float(np.mean(found))


class Covered:
    """Shares inside intervals, by reach, probes, quantity and device, whatever witness tells."""

    def __init__(self, told: Sequence[Columns], share: float, by_time: float) -> None:
        self._inside: dict[tuple[float, int], list[dict[str, float]]] = {}
        for reach, k in itertools.product(REACHES, PROBES):
            tables = self._inside[reach, k] = []
            for columns, quantity in itertools.product(told, ("energy", "runtime")):
                log, half = columns.served(quantity, Carrying(share, by_time, reach, reach))
                inside = np.abs(log - columns.truth[quantity]) <= half
                names = columns.device[columns.k == k]
                values = inside[columns.k == k]
                tables.append({n: float(values[names == n].mean()) for n in sorted(set(names))})

    def least(self, devices: Sequence[str], reach: float, probes: Sequence[int]) -> float:
        """Least coverage over probes, quantities and witnesses, each device weighing 1."""
        return min(self.all(devices, reach, probes))

    def all(self, devices: Sequence[str], reach: float, probes: Sequence[int]) -> list[float]:
        """Coverage for each number of probes, quantity and witness."""
        return [
            float(np.mean(own))
            for k in probes
            for table in self._inside[reach, k]
            if (own := [table[name] for name in devices if name in table])
        ]

    def reach(self, groups: Sequence[Sequence[str]], probes: Sequence[int]) -> float:
        """The least reach that covers enough in each group of devices."""
        return next(
            (
                reach
                for reach in REACHES
                if all(self.least(group, reach, probes) >= WANTED for group in groups)
            ),
            REACHES[-1],
        )

    def unseen(self, halves: Sequence[Sequence[str]], probes: Sequence[int]) -> tuple[float, str]:
        """Least coverage of devices with the reach chosen without them, and the reaches."""
        reaches: dict[str, float] = {}
        for name in itertools.chain(*halves):
            others = [[other for other in half if other != name] for half in halves]
            reaches[name] = self.reach(others, probes)
        found: dict[int, list[float]] = {}
        for name, reach in reaches.items():
            own = (self._inside[reach, k] for k in probes)
            for i, table in enumerate(itertools.chain(*own)):
                found.setdefault(i, []).extend([table[name]] if name in table else [])
        chosen = ", ".join(f"{reach:g}" for reach in sorted(set(reaches.values())))
        return min(float(np.mean(values)) for values in found.values()), chosen


def least_error(columns: Columns, halves: Sequence[Sequence[str]], by_time: float | None) -> float:
    """Prints the errors of every share; gives the least one that errs little on the first half.

    Args:
        columns: Cases.
        halves: Of the devices.
        by_time: The share of seconds that holds; ``None`` where it is the one to be chosen.
    """
    name = "share" if by_time is not None else "share of seconds"
    print(f"| {name} | error (log), choosing half | reporting half |\n|---|---|---|")
    errors = {}
    for share in SHARES:
        told = share if by_time is None else by_time
        errors[share] = [error_of(columns, half, share, told) for half in halves]
        print(f"| {share:g} | {' | '.join(f'{error:.3f}' for error in errors[share])} |")
    print()
    least = min(error for error, _ in errors.values())
    return min(share for share, (error, _) in errors.items() if error <= least + ALIKE)


def choose(columns: Columns, seconds: Columns, halves: Sequence[Sequence[str]]) -> Carrying:
    """Prints the grid; gives what it chooses.

    Args:
        columns: Cases with all that was measured elsewhere.
        seconds: The same without the others' joules.
        halves: Of the devices.
    """
    by_time = least_error(seconds, halves, None)
    share = least_error(columns, halves, by_time)
    covered, chosen = Covered((columns, seconds), share, by_time), []
    for name, probes in WITHOUT:
        print(f"| reach, {name} | least coverage, one half | other half |\n|---|---|---|")
        for reach in REACHES:
            both = (covered.least(half, reach, probes) for half in halves)
            print(f"| {reach:g} | {' | '.join(f'{100 * value:.0f} %' for value in both)} |")
        least, reaches = covered.unseen(halves, probes)
        print(f"\nEach device left out of the choice ({reaches}): {100 * least:.0f} %\n")
        chosen.append(covered.reach(halves, probes))
    return Carrying(share, by_time, *chosen)


def each(columns: Columns, devices: Sequence[str]) -> None:
    """Prints the error of what is served on each device."""
    print(f"| device | setups | {' | '.join(f'k = {k}' for k in PROBES)} |")
    print("|---|---|---|---|---|---|")
    for device in devices:
        cells = []
        for k in PROBES:
            mask = columns.of([device], k)
            pair = (
                columns.served(q, CARRYING)[0] - columns.truth[q] for q in ("energy", "runtime")
            )
            found = (f"{median_error(error[mask]):.0f}" for error in pair)
            cells.append(" / ".join(found) if mask.any() else "-")
        print(f"| {device} | {int(columns.of([device], 0).sum())} | {' | '.join(cells)} |")


def main() -> None:
    """Prints all tables."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    snapshot, reach = catalog.load(), load().artefact
    names = sorted({row.device for row in snapshot.current})
    devices = [name for name in names if len(cases_of(snapshot, name)) >= LEAST]
    halves = devices[::2], devices[1::2]
    with threadpool_limits(1):
        columns = gathered(snapshot, devices, reach)
        seconds = gathered(snapshot, devices, reach, by_time=True)
        print(f"{len(halves[0])} devices choose: {', '.join(halves[0])}\n")
        print(f"Chosen is {choose(columns, seconds, halves)}; served is {CARRYING}.\n")
        print("Reporting half:\n")
        report(columns, halves[1])
        print("\nReporting half, of what was measured elsewhere the seconds alone:\n")
        report(seconds, halves[1])
        print("\nReporting half, the publication left out of the fit:\n")
        report(gathered(snapshot, halves[1], reach, by_source=True), halves[1])
    print("\nMdAPE of energy / runtime, every device:\n")
    each(columns, devices)


if __name__ == "__main__":
    main()
