"""The commands that list what is known: tasks, workloads, devices, candidates, accuracies."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from api.cli import terminal
from api.cli.context import load_snapshot
from api.pages import wording
from catalog.hardware.instances import Instance, instances
from catalog.profiles import text_tokens
from catalog.records import Kind
from catalog.registry.obtaining import obtained_with

if TYPE_CHECKING:
    from api.service.accuracies import AccuracyFilter
    from catalog.evidence import Evidence
    from catalog.records import Workload
    from catalog.snapshot import Snapshot

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Words = Annotated[list[str] | None, typer.Argument(help="Parts of names, all of which must fit.")]
TaskName = Annotated[str | None, typer.Option(help="Slug or synonym of a task.")]
Text = Annotated[str | None, typer.Option()]

_DEVICE_FIGURES = (("tdp_w", "TDP, W"), ("idle_w", "idle, W"), ("memory_gb", "memory, GB"))
_ALL = 1_000_000
"""More entries than any list has."""


def fits(words: list[str] | None, *names: str | None) -> bool:
    """Whether all words stand in one of some names, in any case."""
    text = " ".join(name for name in names if name).casefold()
    return all(word.casefold() in text for word in words or ())


def counted(found: Sized, noun: str, words: Sequence[str] | None = None) -> str:
    """How many were found, and what the words were where there is none."""
    few = "no" if not found else f"{len(found):,}"
    said = f"{few} {noun if len(found) == 1 else noun + 's'}"
    if found or not words:
        return said
    return f"{said} with {' and '.join(words)}; `joulewise {noun}s` lists all"


def tasks(words: Words = None, limit: terminal.Limit = None, as_json: Json = False) -> None:
    """What can be decided about a text, with synonyms and the workload that answers."""
    from api.service import listing

    found = [
        task
        for task in listing.tasks(load_snapshot())
        if fits(words, task.name, task.title, *task.synonyms)
    ]
    if as_json:
        return terminal.print_json(found)
    terminal.print_table(
        counted(found, "task", words),
        ("task", "data set that answers", "decides", "languages", "also called"),
        (
            (
                task.name,
                task.default_workload,
                task.title or "",
                " ".join(sorted(task.references)),
                ", ".join(task.synonyms),
            )
            for task in found
        ),
        under=("decides", "languages", "also called"),
        limit=limit,
    )
    return None


def workloads(
    words: Words = None,
    task: TaskName = None,
    language: Text = None,
    limit: terminal.Limit = None,
    as_json: Json = False,
) -> None:
    """Data sets with their classes, test size and most frequent class."""
    snapshot = load_snapshot()
    names = [name for own in snapshot.tasks().values() for name in own]
    slug = None if task is None else snapshot.task(task)
    found = [
        workload
        for workload in (snapshot.workloads[name] for name in names)
        if slug in (None, workload.task)
        and language in (None, workload.language)
        and fits(words, workload.name, workload.dataset, *workload.aliases)
    ]
    if as_json:
        return terminal.print_json(found)
    terminal.print_table(
        counted(found, "workload", words),
        (
            *("workload", "task", "language", "classes", "test texts", "most frequent"),
            *("mean length", "licence"),
        ),
        (
            (
                each.name,
                each.task,
                each.language or "",
                _count(each.n_classes),
                _count(each.n_test),
                "unknown" if each.majority_share is None else f"{each.majority_share:.3f}",
                _length(each),
                each.licence or "",
            )
            for each in found
        ),
        under=("task", "language", "mean length", "licence"),
        right=("classes", "test texts", "most frequent"),
        limit=limit,
    )
    return None


def _length(workload: Workload) -> str:
    """Mean length of a workload's texts and how it is known."""
    tokens, basis = text_tokens(workload)
    if basis == "characters":
        return f"{workload.mean_chars:,.0f} characters"
    return f"{tokens:,.0f} tokens{' assumed' if basis == 'assumed' else ''}"


def candidates(
    words: Words = None,
    task: TaskName = None,
    language: Annotated[
        str | None, typer.Option(help="Of the data set that answers for the task.")
    ] = None,
    limit: terminal.Limit = None,
    as_json: Json = False,
) -> None:
    """Ways to classify texts; with a task those that have an accuracy in it, the best first."""
    snapshot = load_snapshot()
    if task is not None:
        return _judged_candidates(snapshot, words, snapshot.task(task), language, limit, as_json)
    found = [
        candidate
        for candidate in snapshot.candidates.values()
        if fits(words, candidate.name, candidate.family, candidate.checkpoint)
    ]
    if as_json:
        return terminal.print_json(found)
    terminal.print_table(
        counted(found, "candidate", words),
        ("candidate", "family", "parameters", "licence", "obtained with"),
        (
            (
                each.name,
                each.family,
                wording.short_count(each.n_parameters) if each.n_parameters else "",
                each.licence or "",
                obtained_with(each) or "not obtainable",
            )
            for each in found
        ),
        under=("family", "licence", "obtained with"),
        right=("parameters",),
        limit=limit,
    )
    return None


def _judged_candidates(
    snapshot: Snapshot,
    words: list[str] | None,
    task: str,
    language: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Candidates with an accuracy in a task, with their value on its reference workload."""
    names = snapshot.tasks()[task]
    judged = {row.candidate for row in snapshot.accuracies.rows(names)}
    reference = snapshot.reference(task, language)
    workload = reference.workload if reference else names[0]
    known = snapshot.accuracies.answers(workload)
    found = [
        each
        for name in judged
        if (each := snapshot.candidates.get(name)) is not None
        and fits(words, each.name, each.family, each.checkpoint)
    ]
    found.sort(key=lambda each: (-known[each.name].value if each.name in known else 1, each.name))
    if as_json:
        parts = [msgspec.to_builtins(each) for each in found]
        for part in parts:
            own = known.get(part["name"])
            part |= {"workload": workload, "accuracy": msgspec.to_builtins(own) if own else None}
        return terminal.print_json(parts)
    terminal.print_table(
        f"{counted(found, 'candidate', words)} in {task}; accuracy on {workload}",
        ("candidate", "accuracy", "90 % interval", "regime", "parameters", "obtained with"),
        (
            (
                each.name,
                *_value_cells(known.get(each.name)),
                wording.short_count(each.n_parameters) if each.n_parameters else "",
                obtained_with(each) or "not obtainable",
            )
            for each in found
        ),
        under=("regime", "obtained with"),
        right=("accuracy", "parameters"),
        limit=limit,
    )
    return None


def _value_cells(known: Evidence | None) -> tuple[str, str, str]:
    """Value, interval and regime of evidence; of none that other data sets alone have it."""
    if known is None:
        return "", "", "other data sets"
    interval = "" if known.low is None else f"{known.low:.3f}-{known.high:.3f}"
    return f"{known.value:.3f}", interval, known.regime


def accuracies(
    task: TaskName = None,
    workload: Text = None,
    candidate: Text = None,
    language: Text = None,
    regime: Text = None,
    source: Text = None,
    results: Annotated[
        bool, typer.Option("--results", help="Every result, not one value per candidate.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write every result to a .csv or .parquet file.")
    ] = None,
    limit: terminal.Limit = None,
    as_json: Json = False,
) -> None:
    """What is known about accuracy: values with intervals, or each result with its source."""
    import msgspec

    from advisor.recommend.query import BadQuestionError
    from api.service import accuracies as service

    given = {"task": task, "workload": workload, "candidate": candidate, "language": language}
    given |= {"regime": regime, "source": source}
    try:
        wanted = msgspec.convert(given, service.AccuracyFilter)
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].rstrip("`")
        allowed = str(error).partition(" - at")[0]
        raise BadQuestionError(field, given.get(field), allowed) from error
    snapshot = load_snapshot()
    if out is not None:
        from catalog.files import run_file

        rows = [*service.results(snapshot, wanted)]
        out.write_bytes(service.as_file(rows, run_file.format_of(out.name)))
        typer.echo(f"{counted(rows, 'result')} written to {out}")
        return None
    if results:
        found = [service.to_json(row) for row in service.results(snapshot, wanted)]
        return terminal.print_json(found) if as_json else _print_results(found, limit)
    known = [*service.combined(snapshot, wanted)]
    return terminal.print_json(known) if as_json else _print_evidence(known, wanted, limit)


def _print_results(rows: list[dict[str, Any]], limit: int | None) -> None:
    """Every result with its source."""
    terminal.print_table(
        counted(rows, "result"),
        ("candidate", "workload", "regime", "accuracy", "macro-F1", "n", "split", "source"),
        (
            (
                row["candidate"],
                row["workload"],
                row["regime"],
                *(f"{row[name]:.3f}" if row[name] is not None else "" for name in MEASURES),
                _count(row["n_test"]),
                row["split"] or "",
                row["source"],
            )
            for row in rows
        ),
        under=("workload", "regime", "split", "source"),
        right=("accuracy", "macro-F1", "n"),
        limit=limit,
    )


MEASURES = ("accuracy", "macro_f1")


def _print_evidence(rows: list[Evidence], wanted: AccuracyFilter, limit: int | None) -> None:
    """One value with interval per candidate, regime and format."""
    about = wanted.workload or wanted.task or wanted.candidate or "every workload"
    terminal.print_table(
        f"{counted(rows, 'value')} on {about}",
        ("candidate", "workload", "regime", "accuracy", "90 % interval", "sources", "doubts"),
        (
            (
                row.candidate,
                row.workload,
                row.regime,
                f"{row.value:.3f}",
                "" if row.low is None else f"{row.low:.3f}-{row.high:.3f}",
                ", ".join(row.sources),
                ", ".join(row.warnings),
            )
            for row in rows
        ),
        under=("workload", "regime", "sources", "doubts"),
        right=("accuracy",),
        limit=limit,
    )


def _count(value: float | None) -> str:
    """A whole number with thousands, empty where there is none."""
    return "" if value is None else f"{value:,.0f}"


def devices(
    words: Annotated[
        list[str] | None, typer.Argument(help="Words of a name, or of a cloud instance type.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only cpu, gpu, npu or soc.")] = None,
    limit: terminal.Limit = None,
    as_json: Json = False,
) -> None:
    """Devices whose names hold all words; ~ marks a default of the device's class."""
    from api.service import listing

    asked, snapshot = " ".join(words or ()), load_snapshot()
    types = [each for each in instances().values() if words and fits(words, each.name)]
    if types and asked not in instances():  # part of a name: every type with its device
        names = dict.fromkeys(name for each in types if (name := _chip(each)))
        found = [
            listing.listed(device)
            for name in names
            if kind in (None, (device := snapshot.device(name)).kind)
        ]
    else:
        found = listing.devices(snapshot, kind, asked or None, _ALL, None).items
    if as_json:
        return terminal.print_json(found)
    if types:
        terminal.print_table(
            counted(types, "cloud instance"),
            ("instance", "of", "device", "vCPUs", "memory, GB"),
            (
                (
                    each.name,
                    each.provider,
                    f"{each.n_accelerators or 1:g} x {_chip(each) or each.unresolved or 'unknown'}",
                    f"{each.vcpus:g}",
                    _count(each.memory_gb),
                )
                for each in types
            ),
            under=("device",),
            right=("vCPUs", "memory, GB"),
            limit=limit,
        )
    figures = [title for _, title in _DEVICE_FIGURES]
    terminal.print_table(
        f"{counted(found, 'device', words)}{'; ~ a default of its class' * bool(found)}",
        ("device", "kind", *figures, "usual host CPU"),
        [(each.name, each.kind, *_device_figures(each), each.host_cpu or "") for each in found],
        under=("usual host CPU",),
        right=figures,
        limit=limit,
    )
    return None


def _chip(instance: Instance) -> str | None:
    """Device of a cloud instance: its accelerator, else its CPU where only one can be meant."""
    if instance.unresolved is not None:
        return None
    return instance.accelerator or (instance.cpu[0] if instance.cpu else None)


def _device_figures(device: Any) -> list[str]:
    """What is shown of a device's figures, class defaults marked."""
    return [
        f"~{device.defaults[name]:.3g}" if name in device.defaults else f"{getattr(device, name):g}"
        for name, _ in _DEVICE_FIGURES
    ]
