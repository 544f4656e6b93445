"""The runtime regressions of Zschache & Hartwig beside this estimator, from the bundled figures.

python scripts/estimator/paper.py

Refits the paper's equation for its cluster Capella (H100) on the rows it prints, then lets that
equation, as printed and as refitted, and the estimator, which saw no row of the device, predict
the rows of its A30 and V100 nodes. Source: arXiv 2508.14170 v1, tables 3, B1 and B3.
"""

from __future__ import annotations

import msgspec
import numpy as np

from advisor.estimator.table import Array
from advisor.estimator.training_rows import Rows
from advisor.evaluation.cross_validation import Fold, draws, learned
from advisor.evaluation.train import training_data
from catalog.energy import energy
from catalog.records import Measurement
from catalog.snapshot import Snapshot, load

SOURCE = "zschache-hartwig-2025"
CAPELLA = "NVIDIA H100-SXM5-94GB"
OTHERS = ("NVIDIA A30", "NVIDIA V100-PCIE-32GB")
PRINTED = (0.097, -0.500, 0.090, -6.205)
"""Table 3, Capella: Wh = a s + b g + c s g + d for a run of s seconds on g GPUs, 44 points."""
ERRORS = (0.008, 2.297, 0.004, 5.725)
"""Their standard errors, from the same table."""


class Runs(msgspec.Struct, frozen=True):
    """Runs with a printed runtime and energy.

    Attributes:
        seconds: Of the whole run; `gpus` used, `wh` of the host.
    """

    seconds: Array
    gpus: Array
    wh: Array

    def predicted(self, coefficients: Array) -> Array:
        """Watt-hours by the paper's equation."""
        return np.asarray(self._terms() @ coefficients)

    def refitted(self) -> tuple[Array, Array]:
        """Least squares coefficients and their standard errors."""
        terms = self._terms()
        found, (squares,), _, _ = np.linalg.lstsq(terms, self.wh, rcond=None)
        variance = squares / (len(self.wh) - terms.shape[1]) * np.linalg.inv(terms.T @ terms)
        return found, np.sqrt(np.diag(variance))

    def _terms(self) -> Array:
        """s, g, s g, 1."""
        ones = np.ones(len(self.seconds))
        return np.column_stack([self.seconds, self.gpus, self.seconds * self.gpus, ones])


def _wh(snapshot: Snapshot, row: Measurement) -> float | None:
    """Watt-hours of a row's host, where they are printed as a figure."""
    used = energy(row, snapshot.devices[row.device].kind, "host")
    return None if used is None or used.value_j is None else used.value_j / 3600


def runs(snapshot: Snapshot, device: str, gpus: float | None = None) -> Runs:
    """The paper's runs on a device whose GPUs are printed, or with `gpus` where they are not."""
    found = [
        (row.runtime_s, row.n_devices or gpus, wh)
        for row in snapshot.current
        if row.source == SOURCE and row.device == device and row.runtime_s is not None
        if (row.n_devices or gpus) and (wh := _wh(snapshot, row)) is not None
    ]
    return Runs(*np.array(found, dtype=float).T)


def unseen(snapshot: Snapshot, device: str) -> tuple[Rows, Fold]:
    """The paper's rows on a device and the estimator fitted without any row of it."""
    rows, _ = training_data(snapshot)
    is_device = np.array([name == device for name in rows.devices])
    own = is_device & np.array([source == SOURCE for source in rows.sources])
    test = rows.take(own)
    return test, learned(rows.take(~is_device), test, np.arange(int(own.sum())))


def ours(rows: Rows, fold: Fold, k: int) -> float:
    """Median absolute percentage error once k other models are measured there."""
    errors = []
    for probes, rest in draws(rows, k):
        found = fold.probed(probes, rest, True) if k else fold.predicted(True)
        errors.append(np.abs(np.expm1(found.log_joules - rows.log_joules[rest])))
    return 100 * float(np.median(np.concatenate(errors)))


def mdape(predicted: Array, measured: Array) -> float:
    """Median absolute percentage error; of short runs the intercept alone is many times the sum."""
    return 100 * float(np.median(np.abs(predicted / measured - 1)))


def main() -> None:
    """Prints both tables."""
    snapshot = load()
    capella = runs(snapshot, CAPELLA)
    refitted, errors = capella.refitted()
    print(
        "| Wh = a s + b g + c s g + d, Capella | a | b | c | d | points | MdAPE on those refitted |"
    )
    print("|---|---|---|---|---|---|---|")
    lines = (("as printed", PRINTED, ERRORS, "44"), ("refitted", refitted, errors, None))
    for name, values, spreads, points in lines:
        cells = (f"{v:.3f} ({e:.3f})" for v, e in zip(values, spreads, strict=True))
        error = mdape(capella.predicted(np.asarray(values)), capella.wh)
        count = points or str(len(capella.wh))
        print(f"| {name} | {' | '.join(cells)} | {count} | {error:.1f} % |")
    print(
        "\n| MdAPE on | rows | equation as printed | refitted | Joulewise, device unseen | k = 1 |"
    )
    print("|---|---|---|---|---|---|")
    for device in OTHERS:
        other = runs(snapshot, device, gpus=1)
        equations = (mdape(other.predicted(np.asarray(c)), other.wh) for c in (PRINTED, refitted))
        rows, fold = unseen(snapshot, device)
        every = (*equations, ours(rows, fold, 0), ours(rows, fold, 1))
        print(f"| {device} | {len(other.wh)} | {' | '.join(f'{e:.0f} %' for e in every)} |")
    print("\nA30 and V100: the paper prints no number of GPUs; its equation is given 1.")


if __name__ == "__main__":
    main()
