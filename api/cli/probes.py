"""The command `joulewise probes`: a question in, suggestions of what to measure next out."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from advisor.recommend.records import AskedScenario, Query
from api.cli import terminal
from api.cli.context import load_estimator, load_snapshot, resolve_device, settings
from api.pages import wording
from catalog.records import Scope

_NOTHING_TO_MEASURE = {
    "nothing-qualifies": "Nothing here reaches the floor, so no order is open; "
    "`joulewise recommend` names what comes nearest.",
    "timed-there": "Nothing to measure: what needs least was timed on this machine, and no counter "
    "was read. Its joules stay an estimate until one can be: `joulewise doctor`.",
    "measured": "Nothing to measure: no estimate can be the least energy.",
}
"""Reason why no measurement is suggested -> sentence."""


def probes(
    task: Annotated[str, typer.Option(help="What is decided, e.g. sentiment.")],
    min_acc: Annotated[float, typer.Option(min=0, max=1, help="Least accuracy.")],
    device: Annotated[str, typer.Option(help="Name, alias, `this`, `this-cpu`, `this-gpu`.")],
    workload: Annotated[str | None, typer.Option(help="One data set of the task.")] = None,
    scenario: Annotated[AskedScenario, typer.Option(help="How texts arrive.")] = "offline",
    rate: Annotated[float | None, typer.Option(help="Texts per second; scenario server.")] = None,
    scope: Annotated[Scope, typer.Option(help="Whose joules count.")] = "host",
    most: Annotated[int, typer.Option(min=1, max=20, help="Candidates at most.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Which candidates to measure on a machine next to narrow the decision most."""
    from advisor.recommend.advisor import Advisor
    from advisor.recommend.probes import pending
    from calibration.workloads.load import has_texts

    snapshot = load_snapshot()
    query = Query(
        task=task,
        min_acc=min_acc,
        device=resolve_device(device, snapshot),
        workload=workload,
        scenario=scenario,
        scope=scope,
        rate=rate,
    )
    found = pending(Advisor(snapshot, load_estimator(snapshot)), query, most)
    if as_json:
        return terminal.print_json(found)
    if not found.contenders or found.width is None:
        return typer.echo(_NOTHING_TO_MEASURE[found.settled or "measured"])
    if not found.probes:
        left = ", ".join(found.contenders)
        return typer.echo(
            f"Nothing to measure: the suite can run no candidate that would narrow {left}."
        )
    terminal.print_table(
        f"May be the least energy: {', '.join(found.contenders)}; within x {found.width:.3g}",
        ("measure", "leaves x"),
        ((probe.candidate, f"{probe.width:.3g}") for probe in found.probes),
    )
    if scope == "wall":
        typer.echo("note: calibrate reads chip, CPU and memory; the plug is estimated from them.")
    if not has_texts(found.workload, settings().data):
        typer.echo(
            f"note: the texts of {found.workload} are not on this machine; calibrate needs them as "
            f"{found.workload}.csv (columns text, label) in the folder JOULEWISE_DATA."
        )
    candidates = [part for probe in found.probes for part in ("--candidate", probe.candidate)]
    at = [] if found.rate_per_s is None else ["--rate", wording.full_digits(found.rate_per_s)]
    return typer.echo(
        shlex.join(["joulewise", "calibrate", "--workload", found.workload, *at, *candidates])
    )
