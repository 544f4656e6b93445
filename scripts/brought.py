"""How good an answer is for a setup that was measured on other devices alone.

python scripts/brought.py

Takes about three minutes on one core and needs the bundled figures only. Every device with five
and more setups whose candidate was also measured elsewhere is taken out of the catalog; the
estimator is fitted without it; its setups are brought back by `advisor.offers.moved`, as an answer
would, after 0, 1, 3 and 5 rows of other candidates there (drawn five times); and what comes out is
held against what was measured. It prints

1. the grid of `advisor.carrying.Carrying`: first the share, then the reach, on the half of the
   devices that chooses and, for comparison only, on the half that reports;
2. what is served, beside the estimator alone and two baselines (the candidate's mean energy on
   other devices, as it is and times the ratio of thermal design powers, both shifted by the probe
   rows as the baselines of `joulewise evaluate` are), on the half that reports;
3. the same where the whole publication is left out of the fit as well, and its rows on other
   devices inform the estimator as further rows of a catalog do;
4. each device with what is served.

Devices are dealt to the halves in turn, by name. The share is the one of least error (mean over
devices, numbers of probes, energy and runtime of the median absolute log error); the reach the
least one that covers 90 % of energies and of runtimes, each device weighing 1: one at 1, 3 and 5
probes, one without any. MdAPE, coverage and tau are means over devices, with 90 % bootstrap
intervals over devices. A choice is the setups of one workload and scenario on one device; its
regret is the mean over floors: the setup of least predicted energy among those at least as accurate
(where nobody stated accuracies: at least as large) as each one in turn. Before any multiplication
the intervals' reach is the bundled artefact's, which was taken with these devices among the
held-out ones.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits
from withheld import ALONE, PROBES, Columns, cases_of, gathered

from advisor.carrying import CARRYING, Carrying
from advisor.estimator import load
from advisor.features import Array, Mask
from advisor.validation import bootstrap, ranking
from catalog import snapshot as catalog

LEAST = 5
"""Setups that a device must have."""
SHARES = (0.0, 0.3, 0.5, 0.7, 0.85, 1.0)
REACHES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
WANTED = 0.9
"""Coverage that a reach must keep for every number of probe rows, of energy and of runtime."""

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
        taus.append(ranking(log[own], truth[own], list(columns.choice[own]))[0])
        index, choices = [], []
        for choice in sorted(set(columns.choice[own])):
            inside = own[columns.choice[own] == choice]
            for floor in sorted(set(columns.floor[inside])):
                reached = inside[columns.floor[inside] >= floor]
                index += list(reached)
                choices += [f"{choice}|{floor}"] * len(reached)
        regrets.append(ranking(log[index], truth[index], choices)[1])
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
            print(line(columns, devices, k, name, "energy", log, np.full(len(log), np.nan)))


def error_of(columns: Columns, devices: Sequence[str], share: float) -> float:
    """Median absolute log error, mean over devices, probes, energy and runtime."""
    found = []
    for quantity, k in itertools.product(("energy", "runtime"), PROBES):
        log, _ = columns.served(quantity, Carrying(share, 1.0, 1.0))
        error = np.abs(log - columns.truth[quantity])
        found.append(
            by_device(columns, columns.of(devices, k), error, lambda v: float(np.median(v))).mean()
        )
    return float(np.mean(found))


def coverage_of(
    columns: Columns, devices: Sequence[str], share: float, reach: float, probes: Sequence[int]
) -> float:
    """Least share inside the interval over probes, energy and runtime, each device weighing 1."""
    found = []
    for quantity, k in itertools.product(("energy", "runtime"), probes):
        log, half = columns.served(quantity, Carrying(share, reach, reach))
        inside = np.abs(log - columns.truth[quantity]) <= half
        found.append(float(by_device(columns, columns.of(devices, k), inside, mean_of).mean()))
    return min(found)


def choose(columns: Columns, halves: Sequence[Sequence[str]]) -> Carrying:
    """Prints the grid; gives what the first half chooses."""
    print("| share | error (log), choosing half | reporting half |\n|---|---|---|")
    for share in SHARES:
        errors = (f"{error_of(columns, half, share):.3f}" for half in halves)
        print(f"| {share:g} | {' | '.join(errors)} |")
    share = min(SHARES, key=lambda value: error_of(columns, halves[0], value))
    chosen = []
    for name, probes in (("k > 0", PROBES[1:]), ("k = 0", PROBES[:1])):
        print(f"\n| reach, {name} | least coverage, choosing half | reporting half |")
        print("|---|---|---|")
        enough = []
        for reach in REACHES:
            both = [coverage_of(columns, half, share, reach, probes) for half in halves]
            enough += [reach] if both[0] >= WANTED else []
            print(f"| {reach:g} | {' | '.join(f'{100 * value:.0f} %' for value in both)} |")
        chosen.append(enough[0] if enough else REACHES[-1])
    return Carrying(share, *chosen)


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
        columns = gathered(snapshot, devices, reach, by_source=False)
        print(f"{len(halves[0])} devices choose: {', '.join(halves[0])}\n")
        print(f"\nThey choose {choose(columns, halves)}; served is {CARRYING}.\n")
        print("Reporting half:\n")
        report(columns, halves[1])
        print("\nReporting half, the publication left out of the fit:\n")
        report(gathered(snapshot, halves[1], reach, by_source=True), halves[1])
    print("\nMdAPE of energy / runtime, every device:\n")
    each(columns, devices)


if __name__ == "__main__":
    main()
