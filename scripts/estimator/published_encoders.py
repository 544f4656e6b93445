"""Estimated against published joules of encoders, and what other devices tell of a candidate.

python scripts/estimator/published_encoders.py [--split source|device] [--rows] [--transfer]

Whoever published a row, or the device it ran on, is held out of both models. The first table has a
line for each source and device: published joules per text, estimated over published with the
runtime known and estimated, and how many published values lie in the 90 % intervals. `--transfer`
prints the error, rank agreement and regret of the choice inside a held-out device from 0, 1, 3 and
5 rows of it, by the share of a candidate's deviation on other devices that counts.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec
import numpy as np
import transfer
from threadpoolctl import threadpool_limits

from advisor.estimator.estimator import Columns, Estimator, load
from advisor.estimator.model import ask, fit, remember
from advisor.estimator.table import Array
from advisor.estimator.training_rows import Rows
from advisor.evaluation.cross_validation import Split, encoders, groups_of, held_out
from advisor.evaluation.runtime_rows import RuntimeRows
from advisor.evaluation.train import training_data
from catalog.snapshot import load as load_catalog

Published = tuple[Rows, RuntimeRows]


def without(published: Published, split: Split, name: str) -> Estimator:
    """The estimator of all rows but one source's or one device's; intervals as bundled."""
    rows, timed = published
    train = rows.take(np.array(groups_of(rows, split)) != name)
    profiles = timed.profiles
    own = profiles["device"] == name
    if split == "source":
        own = profiles["publisher"] == name.split("-")[0].lower()
    others = ~own.to_numpy(dtype=bool)
    model = fit(train, (profiles[others], timed.log_seconds[others]))
    known = remember(ask(model, train, np.ones(len(train), dtype=bool)), train.log_joules)
    bundled = load()
    artefact = msgspec.structs.replace(bundled.artefact, model=model, known=known)
    return Estimator(artefact, {}, bundled.version)


def blank(rows: Rows) -> Rows:
    """Rows without their runtimes."""
    nothing = {"runtime_s": np.full(len(rows), np.nan)}
    return msgspec.structs.replace(rows, setups=rows.setups | nothing)


def line(rows: Rows, own: Array, found: tuple[Columns, Columns]) -> dict[str, Any]:
    """Figures of some rows: published joules and estimates with known and unknown runtime."""
    measured = rows.log_joules[own]
    cells: dict[str, Any] = {
        "source": rows.sources[own[0]],
        "device": f"{rows.devices[own[0]]}, {rows.units[own[0]].rsplit('|', 1)[-1]}",
        "models": len({rows.models[i] for i in own}),
        "rows": len(own),
        "published J/text": f"{np.exp(np.median(measured)):.3g}",
    }
    for name, columns in zip(("runtime known", "runtime estimated"), found, strict=True):
        value, low, high = columns.joules[own].T
        ratios = np.exp(np.quantile(value - measured, (0.1, 0.5, 0.9)))
        inside = 100 * np.mean((low <= measured) & (measured <= high))
        width = np.exp(np.median(high - low))
        cells[name] = f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})"
        cells[f"{name}: covered, width"] = f"{inside:.0f} %, {width:.3g}"
    return cells


def printed(lines: list[dict[str, Any]]) -> None:
    """Prints a table in Markdown."""
    print("| " + " | ".join(lines[0]) + " |\n|" + "---|" * len(lines[0]))
    for cells in lines:
        print("| " + " | ".join("" if v is None else str(v) for v in cells.values()) + " |")


def compared(published: Published, split: Split, *, each: bool) -> list[dict[str, Any]]:
    """A line for each source and device of encoders, or for each row."""
    rows, lines = published[0], []
    wanted, groups = encoders(rows), np.array(groups_of(rows, split))
    for name in sorted({*groups[wanted].tolist()}):
        asked = rows.take(wanted & (groups == name))
        estimator = without(published, split, name)
        found = estimator.of_rows(asked), estimator.of_rows(blank(asked))
        units = np.array(asked.units)
        for unit in sorted({*units.tolist()}):
            own = np.flatnonzero(units == unit)
            parts = own[:, None] if each else own[None, :]
            lines += [
                line(asked, part, found) | ({"model": asked.models[part[0]]} if each else {})
                for part in parts
            ]
    return lines


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--split", choices=("source", "device"), default="source")
    parser.add_argument("--rows", action="store_true", help="a line for each published row")
    parser.add_argument("--transfer", action="store_true", help="candidates known elsewhere, too")
    asked = parser.parse_args()
    with threadpool_limits(1):
        published = training_data(load_catalog())
        printed(compared(published, asked.split, each=asked.rows))
        if asked.transfer:
            print()
            printed(transfer.table(published[0], held_out(published[0], "device")))


if __name__ == "__main__":
    main()
