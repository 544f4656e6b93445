"""The command `joulewise probes`: a question in, suggestions of what to measure next out."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from advisor.recommend.query import BadQuestionError
from api.cli import terminal
from api.cli.context import load_estimator, load_snapshot, settings
from api.cli.question import asks, resolve_query
from api.pages import wording

_NOTHING_TO_MEASURE = {
    "nothing-qualifies": "Nothing here reaches the floor, so no order is open; "
    "`joulewise recommend` names what comes nearest.",
    "timed-there": "Nothing to measure: what needs least was timed on this machine, and no counter "
    "was read. Its joules stay an estimate until one can be: `joulewise doctor`.",
    "measured": "Nothing to measure: no estimate can be the least energy.",
}
"""Reason why no measurement is suggested -> sentence."""


@asks("task", "min_acc", "device", "workload", "scenario", "rate", "scope")
def probes(
    *,
    most: Annotated[int, typer.Option(min=1, max=20, help="Candidates at most.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    **asked: Any,
) -> None:
    """Which candidates to measure on a machine next to narrow the decision most."""
    from advisor.recommend.advisor import Advisor
    from api.cli.calibrate import has_texts

    snapshot = load_snapshot()
    if asked["device"] is None:
        raise BadQuestionError("device", None, "name the machine, e.g. `this`")
    query = resolve_query(asked, snapshot)
    found = Advisor(snapshot, load_estimator(snapshot)).pending(query, most)
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
    if query.scope == "wall":
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
