"""`joulewise evaluate`: error tables of held-out rows, for people or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
from rich.console import Console
from rich.markup import escape

from advisor.recommend.query import BadQuestionError
from api.cli import terminal

ENERGY_SPLITS = ("device", "source", "model", "family")


class Files(msgspec.Struct, frozen=True):
    """Tables that an evaluation reads and writes."""

    rows: Path
    devices: Path
    more_devices: tuple[Path, ...]
    test: Path | None
    predictions: Path | None


def _split(name: str, allowed: tuple[str, ...]) -> Any:
    """A split that exists.

    Raises:
        BadQuestionError: It does not.
    """
    if name not in allowed:
        raise BadQuestionError("split", name, f"allowed: {', '.join(allowed)}")
    return name


def energy(files: Files, split: str, subset: str, probes: str, *, as_json: bool) -> None:
    """Errors on energies with known and unknown runtime."""
    from advisor.evaluation import evaluate

    held = _split(split, ENERGY_SPLITS)
    if files.more_devices:
        raise BadQuestionError(
            "more_devices", str(files.more_devices[0]), "allowed with --target runtime"
        )
    counts = [int(part) for part in probes.split(",") if part.strip().isdigit()]
    if not counts or len(counts) != len(probes.split(",")):
        raise BadQuestionError("probes", probes, "allowed: whole numbers such as 0,1,3,5")
    with terminal.spinner("fitting, and scoring what is held out"):
        report = evaluate.evaluate(
            files.rows, files.devices, files.test, held, subset, counts, files.predictions
        )
    if as_json:
        terminal.print_json(report)
    else:
        print_evaluation(report, files.test)


def runtime(files: Files, split: str, *, with_ablation: bool, as_json: bool) -> None:
    """Errors on runtimes of devices, publishers or models that were held out."""
    from advisor.evaluation import runtime_evaluation

    held = _split(split, get_args(runtime_evaluation.RuntimeSplit))
    with terminal.spinner("fitting, and scoring what is held out"):
        report = runtime_evaluation.evaluate(
            files.rows,
            files.devices,
            files.more_devices,
            files.test,
            held,
            files.predictions,
            with_ablation=with_ablation,
        )
    if as_json:
        terminal.print_json(report)
    else:
        print_runtime(report, files.test)


def print_runtime(report: dict[str, Any], test: Path | None) -> None:
    """The error tables of the runtime model for people."""
    what = f"held out: {report['split']}" if test is None else f"tested on {test.name}"
    title = f"{what}; {report['n_train']} rows, {report['n_test']} scored"
    methods = {"estimator": report["estimator"], **report["baselines"]}
    names = "method", "MdAPE %", "device median %", "mean", "90 %", "in 2x", "covers %", "width"
    if report["estimator"]:
        terminal.print_table(
            title, names, [_method(name, found) for name, found in methods.items()]
        )
        columns = "devices", "publishers", "mdape", "mdape_median_device", "coverage90", "width90"
        terminal.print_table(
            "By class of question; (x): extrapolated, too few devices or publishers",
            ("class", "rows", "devices", "publishers", *names[1:3], *names[-2:]),
            [
                (
                    row["class"] + (" (x)" if row["extrapolated"] else ""),
                    str(row["n"]),
                    *(f"{row[name]:.3g}" for name in columns),
                )
                for row in report["classes"]
            ],
        )
    else:
        Console().print(title)
    if report["ablation"]:
        terminal.print_table(
            "Without one part each; difference: mean over devices, percentage points",
            ("part", *names[1:3], "difference", "90 %", "earns its place"),
            [
                (
                    row["part"],
                    f"{row['mdape']:.3g}",
                    f"{row['mdape_median_device']:.3g}",
                    f"{row['difference']:.2g}",
                    f"{row['low']:.2g} to {row['high']:.2g}",
                    "yes" if row["earns"] else "no",
                )
                for row in report["ablation"]
            ],
        )
    for note in report["notes"]:
        Console().print(f"[yellow]note[/] {escape(note)}")


def _method(name: str, error: dict[str, Any]) -> tuple[str, ...]:
    """One method's figures as cells."""
    keys = "mdape", "mdape_median_device", "mdape_macro_device"
    last = "within2x", "coverage90", "width90"
    ends = f"{error['mdape_macro_low']:.3g} to {error['mdape_macro_high']:.3g}"
    first = (f"{error[key]:.3g}" for key in keys)
    return (name, *first, ends, *("" if (v := error.get(k)) is None else f"{v:.3g}" for k in last))


PROBE_NOTE = (
    "k: measured rows of the device that were known; drawn at random, 20 times; with *, picked "
    "once by the rule of `joulewise probes`. Devices of up to k + 1 models count at smaller k "
    "alone. (no time): the runtime is estimated too. MdAPE and covers are means over devices, "
    "in 25 % and in 2x shares of all rows."
)


def _error_cells(name: str, probes: str, error: dict[str, Any]) -> tuple[str, ...]:
    """One method's error figures as table cells."""
    figures = ["mdape_macro_device", "within25", "within2x", "kendall_tau", "regret"]
    figures += ["coverage90", "width90"]
    cells = ("" if error.get(key) is None else f"{error[key]:.3g}" for key in figures)
    return (name, probes, *cells)


def _error_rows(report: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, number of probe rows (starred where picked) and figures of each row."""
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


def print_evaluation(report: dict[str, Any], test: Path | None) -> None:
    """Prints the error table of `evaluate`.

    Args:
        report: As `advisor.evaluation.evaluate.evaluate` returns it.
        test: File of the test rows; ``None`` where a part of the rows was held out.
    """
    names = "method", "k", "MdAPE %", "in 25 %", "in 2x", "tau", "regret %", "covers %", "width"
    what = f"held out: {report['split']}" if test is None else f"tested on {test.name}"
    title = f"{what}; {report['n_train']} rows, {report['n_test']} scored"
    cells = [_error_cells(*line) for line in _error_rows(report) if line[-1]]
    if cells:
        terminal.print_table(title, names, cells)
    else:
        Console().print(title)
    if report["probes"].keys() - {"0"}:
        Console().print(PROBE_NOTE)
    for note in report["notes"]:
        Console().print(f"[yellow]note[/] {escape(note)}")
