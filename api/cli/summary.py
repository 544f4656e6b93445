"""The end of a calibration: what was measured, the front of each workload, the plot, the log."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import msgspec
import platformdirs
from rich.console import Console
from rich.markup import escape

from advisor.recommend.records import Option
from api.cli import tabular
from api.cli.context import opened_estimator, opened_snapshot
from api.cli.results import Result, results
from api.pages import wording as view
from catalog.store.database import Store


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Why a candidate was not measured on a workload."""

    candidate: str
    workload: str
    reason: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a calibration, counted in trials; the last line of ``calibrate --json``.

    Attributes:
        done: Rows measured and stored; `present` were there, `skipped` could not run here,
            `failed` broke.
        interrupted: Whether Ctrl-C ended it; what is counted is stored.
        results: For each workload what is known about the planned candidates on this machine.
        plot: Path of the plot; ``None`` where there is nothing to draw.
    """

    run_id: str
    done: int
    present: int
    skipped: int
    failed: int
    reasons: tuple[Lost, ...]
    interrupted: bool = False
    results: tuple[Result, ...] = ()
    log: str
    plot: str | None


def new_log(store: Store) -> Path:
    """A log's path in the folder ``calibrations`` beside the catalog's file.

    A catalog on a server has its logs in the user's state directory.
    """
    beside = store.file.parent if store.file else platformdirs.user_state_path("joulewise")
    now = datetime.datetime.now(datetime.UTC)
    return beside / "calibrations" / f"calibration-{now:%Y%m%dT%H%M%SZ}.log"


def found(
    workloads: Sequence[str], devices: Sequence[str], candidates: Sequence[str]
) -> tuple[Result, ...]:
    """What the catalog knows now; nothing where no estimator fits this version."""
    from advisor.estimator.artefact import StaleEstimatorError

    known = opened_snapshot()
    try:
        fitted = opened_estimator(known)
    except StaleEstimatorError:
        return ()
    return tuple(
        results(known, fitted, workloads=workloads, devices=devices, candidates=candidates)
    )


def draw(found: Sequence[Result], run_id: str, folder: Path) -> str | None:
    """Writes the plot and returns its path; ``None`` without anything to draw."""
    if not found:
        return None
    from api.cli import front_plot as plot

    file = folder / f"{run_id}.svg"
    devices = sorted({option.device for result in found for option in result.options})
    drawn = plot.svg(
        found, ", ".join(devices), f"{run_id}, one point for each candidate, in batches"
    )
    file.write_text(drawn, encoding="utf-8")
    return str(file)


def sentence(ended: Ended) -> str:
    """What a run came to, in one line."""
    begun = "interrupted; finished trials are kept, run it again to go on. " * ended.interrupted
    return (
        f"{begun}{ended.run_id}: {ended.done} measured, {ended.present} present, "
        f"{ended.skipped} skipped, {ended.failed} failed"
    )


def say(ended: Ended) -> None:
    """The summary for people: each workload's candidates with the front, then where files are."""
    console = Console()
    for result in ended.results:
        _table(result)
        console.print(f"[dim]{escape(_basis(result))}[/]\n", soft_wrap=True)
    for lost in ended.reasons:
        said = f"{lost.candidate} on {lost.workload}: {lost.reason}"
        console.print(f"[yellow]not measured[/] {escape(said)}", soft_wrap=True)
    console.print(sentence(ended), highlight=False, soft_wrap=True)
    for name, path in (("plot", ended.plot), ("log", ended.log)):
        if path:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


def _basis(result: Result) -> str:
    """How the joules of a table were obtained, and so what its order is worth."""
    if result.measured:
        return "● front: nothing here is both more accurate and cheaper. Energy read from counters."
    if any(option.energy_j_per_1000.basis == "measured" for option in result.options):
        return "● front, partly by estimate: the column energy says which joules were measured."
    said = "● front by estimate: no counter was read, so the order is by Joulewise's estimate from"
    modelled = any(option.second_opinion_j_per_1000 is not None for option in result.options)
    opinion = " Modelled joules are a second opinion and never ranked." if modelled else ""
    return f"{said} the measured runtime.{opinion}"


def _table(result: Result) -> None:
    """One workload's candidates, cheapest first."""
    several = len({option.device for option in result.options}) > 1
    opinions = any(option.second_opinion_j_per_1000 is not None for option in result.options)
    figures = ["accuracy", "J per 1,000", "90 %", "s per 1,000", *["modelled J"] * opinions]
    fronted = {id(option) for option in result.front}
    tabular.show(
        f"{result.workload}, in batches, energy of {view.SCOPE[result.scope]}",
        ["", "candidate", *["device"] * several, *figures, "energy"],
        (
            ["●" if id(option) in fronted else "", *_cells(option, several, opinions)]
            for option in result.options
        ),
        under=("device", "energy"),
        right=figures,
    )


def _cells(option: Option, several: bool, opinions: bool) -> list[str]:
    """One option's cells behind its mark."""
    energy, runtime = option.energy_j_per_1000, option.runtime_s_per_1000
    return [
        option.candidate,
        *[option.device] * several,
        view.accuracy(option.accuracy.value if option.accuracy else None),
        view.joules(energy),
        view.span(energy.low, energy.high).replace(" – ", "–"),
        view.number(runtime.value if runtime else None),
        *[view.number(option.second_opinion_j_per_1000)] * opinions,
        f"{energy.basis}, {energy.label}" if energy.label not in (None, "measured")
        else energy.basis,
    ]  # fmt: skip
