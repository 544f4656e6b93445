"""The command `joulewise recommend`; options of commands from the declaration of the question."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import typer

from advisor.recommend.query import MOST_ENTRIES, Query, parameters, query_of
from api.cli import terminal
from api.cli.answer import LIMIT, print_answer
from api.cli.context import load_estimator, load_snapshot, output_form, settings, write
from catalog.records import Device
from catalog.snapshot import Snapshot

Form = Literal["json", "csv", "parquet"]
SUFFIXES: dict[str, Form] = {".json": "json", ".csv": "csv", ".parquet": "parquet"}
"""Suffix of an output file -> format without ``--format``."""
Command = TypeVar("Command", bound=Callable[..., Any])
_HELP = {
    "task": "What is decided, e.g. sentiment.",
    "device": "Name, alias, `this`, `this-cpu`, `this-gpu`; or specs.",
    "workload": "One data set of the task.",
}
"""Help where the description speaks of an HTTP route."""


def asks(*names: str) -> Callable[[Command], Command]:
    """Gives a command the options of parameters of the question, as its keyword arguments.

    Args:
        names: Which ones; without any all of them.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        options = [_option(name) for name in names or parameters()]
        kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
        command.__signature__ = own.replace(parameters=[*options, *kept])  # type: ignore[attr-defined]
        return command

    return decorate


def _option(name: str) -> inspect.Parameter:
    """One option; a range that leaves its ends out is checked with the question."""
    asked = parameters()[name]
    text = asked.meta.description or ""
    option = typer.Option(
        min=asked.meta.ge, max=asked.meta.le, help=_HELP.get(name, f"{text[:1].upper()}{text[1:]}.")
    )
    kind = asked.type if asked.required or asked.default is not None else asked.type | None
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if asked.required else asked.default,
        annotation=Annotated[kind, option],
    )


def resolve_device(name: str | None, snapshot: Snapshot) -> str | Device | None:
    """Name or record of a device; ``this``, ``this-cpu`` and ``this-gpu`` are detected.

    Args:
        name: As on the command line; ``None`` means any device.
        snapshot: Catalog that may hold the detected device.
    """
    if name not in ("this", "this-cpu", "this-gpu"):
        return name
    from api.cli import calibrate

    return calibrate.this_device(snapshot, name)


def resolve_query(asked: Mapping[str, Any], snapshot: Snapshot) -> Query:
    """The question of a command's options, on this machine where its device is ``this``."""
    query = query_of(asked)
    if not isinstance(query.device, str):
        return query
    return msgspec.structs.replace(query, device=resolve_device(query.device, snapshot))


@asks()
def recommend(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format",
            help="csv, parquet: a row for each option, variant and rejection. Default: by the "
            "suffix of --output, else a printed table.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    **asked: Any,
) -> None:
    """The least-energy classifier that meets the floor; exit code 3 if there is none."""
    from advisor.recommend import advisor as policy

    wanted = output_form("json" if as_json else form, output, SUFFIXES)
    if wanted in ("csv", "parquet") and asked["limit"] == parameters()["limit"].default:
        asked["limit"] = MOST_ENTRIES
    snapshot = load_snapshot()
    query = resolve_query(asked, snapshot)
    machine = resolve_device(settings().device, snapshot)
    advisor = policy.Advisor(snapshot, load_estimator(snapshot), machine)
    answer = advisor.recommend(query)
    if wanted == "csv" or wanted == "parquet":
        from api.service.options import as_file

        write(as_file(answer, wanted), output)
    elif wanted == "json" and output is not None:
        write(msgspec.json.encode(answer), output)
    elif wanted == "json":
        terminal.print_json(answer)
    elif query.limit > LIMIT:
        print_answer(answer)
    else:
        print_answer(answer, advisor.recommend(msgspec.structs.replace(query, limit=MOST_ENTRIES)))
    if answer.chosen is None:
        raise typer.Exit(terminal.NOTHING_QUALIFIES)
