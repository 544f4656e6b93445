"""What people see in a terminal: tables, one clear block for an error, and exit codes."""

from __future__ import annotations

import socket
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from advisor.recommend.records import BadQuestionError, Option, Recommendation
from api.cli import tabular
from api.pages import at_rate
from api.pages import other_groups as elsewhere
from api.pages import wording as view
from catalog.errors import (
    BadRunFileError,
    CatalogUnreadableError,
    ConflictError,
    UnknownNameError,
)

USAGE, NOTHING_QUALIFIES, BAD_DATA, NOT_MEASURABLE, SKIPPED = 2, 3, 4, 5, 6
"""Exit codes; 0 is done."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""
SHOWN = 15
"""Rows of a list shown to people; ``--json`` has all of them."""


class Commands(TyperGroup):
    """Commands whose domain errors end in a message and an exit code, not in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except (RuntimeError, ValueError, LookupError) as error:
            code = _code(error)
            if code is None:
                raise
            fail(_said(error), code)


def _code(error: Exception) -> int | None:
    """The exit code of a domain error; ``None`` for a fault of ours."""
    from pydantic import ValidationError

    from advisor.estimator.artefact import StaleEstimatorError
    from advisor.estimator.training_rows import TooFewRowsError
    from advisor.evaluation.published_rows import BadTableError
    from advisor.evaluation.train import WorseEstimatorError
    from advisor.report.plan import PlanError

    usage = (BadQuestionError, UnknownNameError, ValidationError)
    bad_data = (BadRunFileError, ConflictError, CatalogUnreadableError, BadTableError)
    if isinstance(error, usage):
        return USAGE
    if isinstance(error, PlanError):
        return NOTHING_QUALIFIES if error.nothing_qualifies else BAD_DATA
    ours = (StaleEstimatorError, TooFewRowsError, WorseEstimatorError)
    return BAD_DATA if isinstance(error, (*bad_data, *ours)) else None


def _said(error: Exception) -> str:
    """An error's message; settings name the variable that is wrong."""
    faults = getattr(error, "errors", None)
    if faults is None:
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'value'}: {fault['msg']}"
        for fault in faults()
    )


def refuse_taken_port(host: str, port: int) -> None:
    """Ends with a usage error where something listens on a port already.

    The server lets several processes share one port, so a forgotten one would go on answering
    from its own catalog.
    """
    try:
        with socket.create_connection((host, port), timeout=1):
            pass
    except OSError:
        return
    fail(f"port {port} on {host} is taken; set JOULEWISE_PORT or --port to another", USAGE)


def fail(message: str, code: int) -> NoReturn:
    """Says what is wrong on stderr and ends."""
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}")
    raise typer.Exit(code)


def say_json(content: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(msgspec.json.encode(content).decode() + "\n")


def _cells(mark: str, option: Option) -> tuple[str, ...]:
    """One option as a row."""
    accuracy, energy = option.accuracy, option.energy_j_per_1000
    shown = view.accuracy(accuracy.value if accuracy else None)
    if accuracy and accuracy.low is not None:
        shown += f"\n{view.accuracy(accuracy.low)} – {view.accuracy(accuracy.high)}"
    interval = view.span(energy.low, energy.high)
    origin = f"{view.KIND[energy.basis]}{f', {energy.label}' if energy.label else ''}"
    return (
        mark,
        option.candidate,
        view.devices(option),
        shown,
        f"{view.joules(energy)}\n{interval}".strip(),
        f"{origin}\n{_origin(option)}",
    )


def _origin(option: Option) -> str:
    """Where an option's figures come from, and what a tool modelled beside them."""
    runtime, source = option.runtime_s_per_1000, option.provenance.source
    brought = option.energy_j_per_1000.basis != "measured" and (
        runtime is None or runtime.basis != "measured"
    )
    said = f"accuracy: {source}" if brought else source
    if option.second_opinion_j_per_1000 is not None:
        said += f"\nmodelled: {view.number(option.second_opinion_j_per_1000)}"
    return said


def say_answer(answer: Recommendation) -> None:
    """An answer for people: the ranking, the doubts and why the others lost."""
    console, group = Console(), answer.group
    ranked, alike = at_rate.folded(answer)
    if ranked:
        marks = ["→", *(str(place) for place in range(2, len(ranked) + 1))]
        title = (
            f"{answer.query.task}: least energy first, on {group.workload} "
            f"{view.SCENARIO[group.scenario]}, energy of {view.SCOPE[group.scope]}"
        )
        columns = ("", "candidate", "device", "accuracy", "J per 1,000 texts", "basis and source")
        tabular.show(
            title,
            columns,
            (_cells(*pair) for pair in zip(marks, ranked, strict=True)),
            under=("device", "basis and source"),
        )
    else:
        console.print(f"[bold red]{elsewhere.nothing(answer)}[/]")
    if answer.nearest_miss and (miss := answer.nearest_miss.missing):
        near = answer.nearest_miss
        where = f"{near.candidate} on {view.devices(near)}, {near.workload}"
        console.print(escape(f"Closest: {where}: {view.misses(miss)}"))
    if alike:
        console.print(f"[dim]... and {escape(at_rate.alike(alike))}; --json has all[/]")
    if hint := at_rate.to_measure(answer):
        console.print(f"[bold green]at a rate[/] {escape(hint)}")
    if less := elsewhere.cheaper(answer):
        console.print(f"[bold green]less elsewhere[/] {escape(elsewhere.in_words(less, answer))}")
        asking = elsewhere.command(answer.query, less)
        console.print(f"  [dim]ask:[/] {escape(asking)}", soft_wrap=True)
    elif instead := elsewhere.instead(answer):
        console.print(f"[bold green]elsewhere[/] {escape(elsewhere.in_words(instead, answer))}")
        asking = elsewhere.command(answer.query, instead)
        console.print(f"  [dim]ask:[/] {escape(asking)}", soft_wrap=True)
    for caution in answer.warnings:
        console.print(f"[yellow]note[/] {escape(caution.message)} [dim]({caution.code})[/]")
    _say_paired(answer, console)
    if answer.rejected:
        lost = [
            (entry.candidate, view.reason(entry.reason), entry.detail, str(entry.setups))
            for entry in answer.rejected[:SHOWN]
        ]
        more = len(answer.rejected) - len(lost)
        tabular.show("Why the others lost", ("candidate", "reason", "in figures", "setups"), lost)
        if more:
            console.print(f"[dim]... and {more} more; --json has all[/]")
    if answer.other_groups:
        console.print(f"[dim]{len(answer.other_groups)} not comparable option(s); see --json[/]")


def _say_paired(answer: Recommendation, console: Console) -> None:
    """What the answers to the same test items say: comparisons, and cascades that would win."""
    for each in answer.comparisons[:3]:
        console.print(f"[green]item by item[/] {escape(view.compared(each))}")
    for cascade in answer.cascades[:3]:
        console.print(f"[green]cascade[/] {escape(view.cascade(cascade))}")


PROBE_ROWS = (
    "k: measured rows of the device that were known; drawn at random, 20 times; with *, picked "
    "once by the rule of `joulewise probes`. Devices of up to k + 1 models count at smaller k "
    "alone. (no time): the runtime is estimated too. MdAPE and covers are means over devices, "
    "in 25 % and in 2x shares of all rows."
)


def at_work(what: str) -> AbstractContextManager[object]:
    """Shows, in a terminal alone, that a command that takes minutes is at work."""
    return Console(stderr=True).status(f"{what}; this can take minutes")


def _error_cells(name: str, probes: str, error: dict[str, Any]) -> tuple[str, ...]:
    """One method's figures as cells."""
    figures = ["mdape_macro_device", "within25", "within2x", "kendall_tau", "regret"]
    figures += ["coverage90", "width90"]
    cells = ("" if error.get(key) is None else f"{error[key]:.3g}" for key in figures)
    return (name, probes, *cells)


def _errors(report: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Methods, their number of probe rows (starred where picked) and their figures."""
    known = report["known_runtime"]
    found = [("estimator", "0", known["estimator"])]
    found += [(name, "0", error) for name, error in known["baselines"].items()]
    found.append(("estimator (no time)", "0", report["unknown_runtime"]["estimator"]))
    for k in (k for k in report["probes"] if k != "0"):
        for part, how in (("probes", k), ("picked", f"{k}*")):
            found.append(("estimator", how, report[part][k]))
            found += [(name, how, own) for name, own in report[f"{part}_baselines"][k].items()]
            found.append(("estimator (no time)", how, report[f"{part}_unknown_runtime"][k]))
    return found


def say_evaluation(report: dict[str, Any], test: Path | None) -> None:
    """The error table of `evaluate` for people; of `test` where nothing is held out."""
    names = "method", "k", "MdAPE %", "in 25 %", "in 2x", "tau", "regret %", "covers %", "width"
    what = f"held out: {report['split']}" if test is None else f"tested on {test.name}"
    title = f"{what}; {report['n_train']} rows, {report['n_test']} scored"
    cells = [_error_cells(*line) for line in _errors(report) if line[-1]]
    if cells:
        tabular.show(title, names, cells)
    else:
        Console().print(title)
    if report["probes"].keys() - {"0"}:
        Console().print(PROBE_ROWS)
    for note in report["notes"]:
        Console().print(f"[yellow]note[/] {escape(note)}")
