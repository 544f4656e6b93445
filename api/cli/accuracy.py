"""Output of `joulewise evaluate --target accuracy`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape

from advisor.recommend.query import BadQuestionError
from api.cli import terminal

SPLITS = ("task", "family")
MOST_PROBES = 20
_COLUMNS = ("mae", "mae_clean", "within5", "kendall_tau", "coverage90", "width90")
_HEADS = ("MAE", "MAE clean", "in 5 points %", "tau", "covers %", "width")


class Files(NamedTuple):
    """The tables of an evaluation of accuracies; those that are needed may be missing yet."""

    rows: Path
    tasks: Path | None
    models: Path | None
    test: Path | None
    test_tasks: Path | None
    predictions: Path | None


def evaluate(
    files: Files, split: str, probes: str, probe_models: str, *, ablation: bool, as_json: bool
) -> None:
    """Prints errors on held-out data sets or on another table; writes its predictions.

    Args:
        files: The tables.
        split: ``task`` or ``family``; ``device``, the default of energies, means ``task``.
        probes: Numbers of probes, separated by commas.
        probe_models: Models of the test table that are probes, separated by commas.
        ablation: Whether noisy, larger and packaged probes and ablations are evaluated, too.
        as_json: Whether the report is printed as JSON.

    Raises:
        BadQuestionError: An option cannot be used.
        BadTableError: A table cannot be used.
    """
    from advisor.evaluation import accuracy

    split = "task" if split == "device" else split
    if split not in SPLITS:
        raise BadQuestionError("split", split, f"allowed: {', '.join(SPLITS)}")
    counts = _counts(probes)
    if files.tasks is None or files.models is None:
        missing = "models" if files.tasks else "tasks"
        raise BadQuestionError(missing, None, "--target accuracy needs --tasks and --models, CSV")
    named = [name.strip() for name in probe_models.split(",") if name.strip()]
    if named and files.test is None:
        raise BadQuestionError("probe_models", probe_models, "needs --test")
    with terminal.spinner("fitting, and scoring what is held out"):
        report = accuracy.evaluate(
            files.rows,
            files.tasks,
            files.models,
            files.test,
            files.test_tasks,
            named,
            "family" if split == "family" else "task",
            counts,
            files.predictions,
            details=ablation,
        )
    if as_json:
        terminal.print_json(report)
    else:
        print_report(report, files.test)


def _counts(probes: str) -> list[int]:
    """Numbers of probes, each once, smallest first."""
    parts = [part.strip() for part in probes.split(",")]
    if not all(part.isdigit() and int(part) <= MOST_PROBES for part in parts):
        allowed = f"allowed: whole numbers from 0 to {MOST_PROBES}, such as 0,1,3,5"
        raise BadQuestionError("probes", probes, allowed)
    return sorted({int(part) for part in parts})


def _lines(name: str, table: dict[str, Any]) -> list[Sequence[str]]:
    """Cells of one method, a line for each number of probes."""
    return [
        (name, k, *(f"{figures[c]:.3g}" if c in figures else "" for c in _COLUMNS))
        for k, figures in table.items()
        if figures
    ]


def print_report(report: dict[str, Any], test: Path | None) -> None:
    """Prints the error tables, in points (hundredths of accuracy)."""
    what = f"held out: {report['split']}" if test is None else f"tested on {test.name}"
    parts = [(what, report), ("English, 80 models and more", report.get("english", {}))]
    for title, part in parts:
        cells = _lines("model", part.get("probes", {}))
        for name, table in part.get("baselines", {}).items():
            cells += _lines(name, table)
        if cells:
            terminal.print_table(f"{title}; points", ("method", "k", *_HEADS), cells)
    for kind in ("scenarios", "ablations"):
        cells = [c for name, table in report.get(kind, {}).items() for c in _lines(name, table)]
        if cells:
            terminal.print_table(f"{kind}, English", (kind, "k", *_HEADS), cells)
    for note in report["notes"]:
        Console().print(f"[yellow]note[/] {escape(note)}")
