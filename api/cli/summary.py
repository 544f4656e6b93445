"""Calibration plan and summary for people: tables, the one-line result, paths of log and plot."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import platformdirs
import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from advisor.recommend.records import Option
from api.cli.context import load_estimator, load_snapshot
from api.cli.progress import duration
from api.cli.results import (
    LOSES_ACCURACY,
    RAISES_ENERGY,
    ServingComparison,
    WorkloadResult,
    results,
    serving_comparisons,
)
from api.cli.terminal import print_table
from api.pages import wording
from catalog.registry.families import BACKEND_PRECISIONS
from catalog.store.database import Store

if TYPE_CHECKING:
    from calibration.measurement.progress import Summary
    from calibration.records import Event

_PLAN_COLUMNS = ("candidate", "precision", "batches", "as arrived", "trials", "about", "at most")


class NotMeasured(msgspec.Struct, frozen=True, kw_only=True):
    """Why a candidate was not measured on a workload."""

    candidate: str
    workload: str
    reason: str


class CalibrationSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a calibration, counted in trials; the last line of ``calibrate --json``.

    Attributes:
        done: Rows measured and stored; `present` were there, `skipped` could not run here,
            `failed` broke. Of those done and present, `doubtful` ones inform no estimate.
        interrupted: Whether Ctrl-C ended it; what is counted is stored.
        results: For each workload what is known about the planned candidates on this machine.
        serving: Backends and number formats beside the usual ones; absent where none were measured.
        plot: Path of the plot; ``None`` where there is nothing to draw.
    """

    run_id: str
    done: int
    present: int
    skipped: int
    failed: int
    reasons: tuple[NotMeasured, ...]
    doubtful: int = 0
    interrupted: bool = False
    results: tuple[WorkloadResult, ...] = ()
    log: str
    plot: str | None
    serving: tuple[ServingComparison, ...] | msgspec.UnsetType = msgspec.UNSET


def default_log(store: Store) -> Path:
    """Path of a new log in the folder ``calibrations`` beside the catalog's file.

    A catalog on a server has its logs in the user's state directory.
    """
    beside = store.file.parent if store.file else platformdirs.user_state_path("joulewise")
    now = datetime.datetime.now(datetime.UTC)
    return beside / "calibrations" / f"calibration-{now:%Y%m%dT%H%M%SZ}.jsonl"


def summarise(
    measured: Summary, asked: Mapping[str, Sequence[str]], steps: Iterable[Event], log: Path
) -> CalibrationSummary:
    """The summary of a calibration, with its plot written beside the log.

    Args:
        measured: Counts.
        asked: Its workloads, devices and candidates, whose results are those of the catalog as it
            is now; there are none where no estimator fits this version.
        steps: Its settled steps.
        log: Path of its log.
    """
    from advisor.estimator.artefact import StaleEstimatorError

    snapshot = load_snapshot()
    try:
        found = results(snapshot, load_estimator(snapshot), **asked)
    except StaleEstimatorError:
        found = []
    lost = (
        NotMeasured(candidate=candidate, workload=workload, reason=reason)
        for (candidate, workload), reason in measured.reasons.items()
    )
    return CalibrationSummary(
        **msgspec.structs.asdict(measured) | {"reasons": tuple(lost)},
        results=tuple(found),
        log=str(log),
        plot=write_plot(found, measured.run_id, log.parent),
        serving=serving_comparisons(steps) or msgspec.UNSET,
    )


def write_plot(found: Sequence[WorkloadResult], run_id: str, folder: Path) -> str | None:
    """Writes the accuracy-energy plot and returns its path; ``None`` without anything to draw."""
    if not found:
        return None
    from api.cli import front_plot

    file = folder / f"{run_id}.svg"
    drawn = front_plot.svg(found, f"{run_id}, one point for each candidate, in batches")
    file.write_text(drawn, encoding="utf-8")
    return str(file)


def sentence(summary: CalibrationSummary) -> str:
    """The counts of a calibration in one line."""
    interrupted = "interrupted; finished trials are kept, run it again to go on. "
    doubtful = (
        f"; {summary.doubtful} of them doubtful and used in no estimate, "
        "`joulewise calibrate --again` measures them anew"
    )
    return (
        f"{interrupted * summary.interrupted}{summary.run_id}: {summary.done} measured, "
        f"{summary.present} present, {summary.skipped} skipped, {summary.failed} failed"
        f"{doubtful * (summary.doubtful > 0)}"
    )


_SERVING_WARNINGS = {
    RAISES_ENERGY: "costs more than the plainer format on this backend: leave it out here",
    LOSES_ACCURACY: "loses more than one point of accuracy",
}


def serving_sentence(comparison: ServingComparison) -> str:
    """A backend or number format beside the usual one, in one line."""
    c, figures = comparison, [f"{comparison.time_ratio:.2f} x the time of {comparison.plain}"]
    if c.energy_ratio is not None:
        figures.append(f"{c.energy_ratio:.2f} x its joules")
    if c.accuracy_difference is not None:
        figures.append(f"accuracy {100 * c.accuracy_difference:+.1f} points")
    told = "".join(f"; {code}: {_SERVING_WARNINGS[code]}" for code in c.warnings)
    where = f"{c.candidate} on {c.workload}, {c.backend} {c.precision}"
    return f"{where}: {', '.join(figures)}{told}"


def print_summary(summary: CalibrationSummary) -> None:
    """Prints losses and serving choices, each workload's candidates with the front, and paths."""
    console = Console()
    whole = not console.is_terminal  # for grep; people get lines broken between words
    for lost in summary.reasons:
        text = f"{lost.candidate} on {lost.workload}: {lost.reason}"
        console.print(f"[yellow]not measured[/] {escape(text)}", highlight=False, soft_wrap=whole)
    for comparison in summary.serving or ():
        style = "yellow" if comparison.warnings else "dim"
        console.print(Text(serving_sentence(comparison), style), soft_wrap=whole)
    for result in summary.results:
        _print_result(result)
        console.print(Text(_basis_note(result), "dim"))
    console.print(Text(sentence(summary)), soft_wrap=whole)
    for name, path in (("plot", summary.plot), ("log", summary.log)):
        if path:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


def _basis_note(result: WorkloadResult) -> str:
    """How the joules of a table were obtained, and so what its order is worth."""
    if result.measured:
        return "● front: nothing here is both more accurate and cheaper. Energy read from counters."
    if any(option.energy_j_per_1000.basis == "measured" for option in result.options):
        return "● front, partly by estimate: the column energy says which joules were measured."
    note = "● front by estimate: no counter was read, so the order is by Joulewise's estimate from"
    modelled = any(option.second_opinion_j_per_1000 is not None for option in result.options)
    opinion = " Modelled joules are a second opinion and never ranked." if modelled else ""
    return f"{note} the measured runtime.{opinion}"


def _print_result(result: WorkloadResult) -> None:
    """One workload's candidates, cheapest first; ``●`` marks the front."""
    several = len({option.device for option in result.options}) > 1
    opinions = any(option.second_opinion_j_per_1000 is not None for option in result.options)
    figures = ["accuracy", "J per 1,000", "90 %", "s per 1,000", *["modelled J"] * opinions]
    front = {id(option) for option in result.front}
    print_table(
        f"{result.workload}, in batches, energy of {wording.SCOPE[result.scope]}",
        ["", "candidate", *["device"] * several, *figures, "energy"],
        (
            ["●" if id(option) in front else "", *_option_cells(option, several, opinions)]
            for option in result.options
        ),
        under=("device", "energy"),
        right=figures,
    )


def _option_cells(option: Option, several: bool, opinions: bool) -> list[str]:
    """One option's cells after its mark."""
    energy, runtime = option.energy_j_per_1000, option.runtime_s_per_1000
    return [
        option.candidate,
        *[option.device] * several,
        wording.accuracy(option.accuracy.value if option.accuracy else None),
        wording.joules(energy),
        wording.interval(energy.low, energy.high).replace(" – ", "–"),
        wording.number(runtime.value if runtime else None),
        *[wording.number(option.second_opinion_j_per_1000)] * opinions,
        f"{energy.basis}, {energy.label}" if energy.label not in (None, "measured")
        else energy.basis,
    ]  # fmt: skip


def print_plan(steps: Sequence[Event], profile: str) -> None:
    """Prints one row for each candidate over all its workloads: trials, duration, joules.

    Args:
        steps: Every planned trial, ``present`` or ``waiting``.
        profile: Name of the profile.
    """
    pending = [step for step in steps if step.kind == "waiting"]
    joules, groups = total_joules(pending), defaultdict(list)
    for step in sorted(steps, key=attrgetter("candidate")):
        groups[step.candidate].append(step)
    print_table(
        f"{profile} profile, each candidate on each workload",
        _PLAN_COLUMNS,
        map(_plan_cells, groups.values()),
        right=("trials", "about", "at most"),
    )
    for kind, name in (("workloads", "workload"), ("on", "device")):
        each = ", ".join(dict.fromkeys(getattr(step, name) for step in steps))
        typer.echo(f"{kind}: {each}")
    if not pending:
        return typer.echo(f"0 of {len(steps)} trials to measure: all is in the catalog")
    said = f"{len(pending)} of {len(steps)} trials to measure, about "
    said += duration(sum(step.estimated_s for step in pending))
    if joules is None:
        return typer.echo(f"{said}; joules: state the chip's power with --tdp-w")
    return typer.echo(f"{said}, at most {_energy_text(joules)} of the chip")


def _plan_cells(steps: Sequence[Event]) -> tuple[str, ...]:
    """One candidate's trials in a row; batch 1 is the scenario ``single``."""
    pending = [step for step in steps if step.kind == "waiting"]
    inference = [step for step in steps if step.phase == "inference"]
    plain = [step.batch_size for step in inference if step.variant is None]
    varied = [step.batch_size for step in inference if step.variant is not None]
    trials = f"{len(pending)} of {len(steps)}" if len(pending) < len(steps) else f"{len(steps)}"
    return (
        steps[0].candidate,
        " ".join(dict.fromkeys(_numeric_format(step) for step in inference)),
        _batch_sizes(plain),
        _batch_sizes(varied),
        trials,
        duration(sum(step.estimated_s for step in pending)) if pending else "present",
        _energy_text(total_joules(pending)) if pending else "",
    )


def _numeric_format(step: Event) -> str:
    """Number format, after the backend unless that is the candidate's eager one."""
    served = step.backend in BACKEND_PRECISIONS
    return f"{step.backend}-{step.precision}" if served else step.precision


def total_joules(steps: Sequence[Event]) -> float | None:
    """Estimated joules of all trials; ``None`` where one of them has no estimate."""
    known = [step.estimated_j for step in steps if step.estimated_j is not None]
    return sum(known) if len(known) == len(steps) else None


def _energy_text(joules: float | None) -> str:
    """Joules in J, kJ or kWh by their size; a dash where the chip's power is unknown."""
    if joules is None:
        return "–"
    for size, unit in ((3.6e6, "kWh"), (1e3, "kJ")):
        if joules >= size:
            return f"{wording.number(joules / size)} {unit}"
    return f"{wording.number(joules)} J"


def _batch_sizes(sizes: Sequence[float | None]) -> str:
    """Batch sizes, each once, smallest first."""
    return " ".join(f"{size:g}" for size in sorted({size for size in sizes if size is not None}))
