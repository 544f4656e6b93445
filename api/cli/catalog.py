"""The commands ``joulewise catalog``: run files in and out, lists and checks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli import tabular, terminal
from api.cli.context import opened_snapshot, opened_store
from api.pages import wording as view

if TYPE_CHECKING:
    from api.service.listing import Filter
    from catalog.records import Measurement
    from catalog.snapshot import Snapshot

catalog = typer.Typer(no_args_is_help=True, help="What was measured.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Task = Annotated[str | None, typer.Option(help="Only rows of this task.")]
Name = Annotated[str | None, typer.Option(help="Only rows of this name.")]


@catalog.command("init")
def init(as_json: Json = False) -> None:
    """Creates the database or brings it up to date."""
    store = opened_store()
    store.migrate()
    shown = store.engine.url.render_as_string(hide_password=True)
    if as_json:
        return terminal.say_json({"catalog": shown, "revision": opened_store().revision()})
    typer.echo(f"{shown} is ready")
    return None


@catalog.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Run file, .csv or .parquet.")],
    predictions: Annotated[bool, typer.Option("--predictions", help="It holds answers.")] = False,
    as_json: Json = False,
) -> None:
    """Stores a run file, all of it or nothing; doing it again changes nothing."""
    from api.service import upload as writing
    from catalog.files import run_file as runfile

    if predictions:
        return _import_predictions(file, as_json=as_json)
    run = runfile.read(file, writing.known(opened_snapshot()))
    written = writing.add(opened_store(), run)
    if as_json:
        return terminal.say_json(written)
    typer.echo(f"{written.inserted} row(s) stored, {written.present} were there")
    return None


def _import_predictions(file: Path, *, as_json: bool) -> None:
    """Stores the answers in a file of `catalog export --predictions`."""
    from api.service import upload as writing
    from catalog.files import prediction_file as predictionfile
    from catalog.records import RunFile

    snapshot, store = opened_snapshot(), opened_store()
    sets = predictionfile.read(file, writing.known(snapshot), snapshot.predictions)
    store.migrate()
    added = store.add(RunFile(measurements=(), predictions=sets)).predictions
    if as_json:
        return terminal.say_json({"inserted": added, "present": len(sets) - added})
    typer.echo(f"{added} set(s) of predictions stored, {len(sets) - added} were there")
    return None


@catalog.command("export")
def export_file(
    file: Annotated[Path, typer.Argument(help="Where to: .csv, .parquet or .boamps.json.")],
    form: Annotated[
        Literal["csv", "parquet", "boamps"] | None,
        typer.Option("--format", help="By the name's ending unless given."),
    ] = None,
    task: Task = None,
    device: Name = None,
    source: Name = None,
    own: Annotated[bool, typer.Option(help="Leave the bundled figures out.")] = False,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="The answers per test item, not the rows.")
    ] = False,
) -> None:
    """Writes rows as a run file that another catalog can read, or as BoAmps reports."""
    from api.service import listing
    from api.service import upload as writing
    from catalog.files import run_file as runfile

    if form is None:
        boamps = file.name.lower().endswith(".boamps.json")
        form = "boamps" if boamps else runfile.format_of(file.name)
    snapshot = opened_snapshot()
    asked = listing.Filter(task=task, device=device, source=source)
    kept = listing.chosen(snapshot, asked, len(snapshot.measurements) if own else 0)
    if predictions:
        return _export_predictions(file, snapshot, asked)
    rows = [row for _, row in kept]
    if not rows:
        terminal.fail("no row matches, nothing written", terminal.NOTHING_QUALIFIES)
    if form == "boamps":
        return _write_boamps(file, rows, snapshot)
    file.write_bytes(writing.as_file(rows, snapshot, form))
    typer.echo(f"{len(rows)} row(s) written to {file}")
    return None


def _export_predictions(file: Path, snapshot: Snapshot, asked: Filter) -> None:
    """Writes the answers per test item as a table another catalog can read."""
    from catalog.files import prediction_file as predictionfile
    from catalog.files import run_file as runfile

    names = snapshot.tasks()[asked.task] if asked.task else snapshot.workloads
    device = snapshot.device(asked.device).name if asked.device else None
    sets = [
        each
        for each in snapshot.predictions
        if each.workload in names
        and device in (None, each.device)
        and asked.source in (None, each.source)
    ]
    if not sets:
        terminal.fail("no predictions match, nothing written", terminal.NOTHING_QUALIFIES)
    file.write_bytes(predictionfile.write(sets, runfile.format_of(file.name)))
    typer.echo(f"{len(sets)} set(s) of predictions written to {file}")


def _write_boamps(file: Path, rows: list[Measurement], snapshot: Snapshot) -> None:
    """Writes a JSON list of reports, or one file each where the name is that of a folder."""
    import msgspec

    from api.exports import boamps

    made = boamps.export(rows, snapshot)
    named = ", ".join(f"{count} {why}" for why, count in made.left_out.items())
    lost = f"; left out: {named}" if named else ""
    if not made.reports:
        terminal.fail(f"no row makes a report, nothing written{lost}", terminal.NOTHING_QUALIFIES)
    if file.is_dir() or not file.suffix:
        file.mkdir(parents=True, exist_ok=True)
        parts: dict[Path, Any] = {
            file / f"{one['header']['reportId']}.json": one for one in made.reports
        }
    else:
        parts = {file: made.reports}
    for path, content in parts.items():
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    typer.echo(f"{len(made.reports)} BoAmps report(s) written to {file}{lost}")


@catalog.command("list")
def list_rows(
    task: Task = None,
    workload: Name = None,
    device: Name = None,
    candidate: Name = None,
    source: Name = None,
    phase: Name = None,
    scenario: Name = None,
    as_json: Json = False,
) -> None:
    """Measurements, history included."""
    import msgspec

    from advisor.recommend.records import BadQuestionError
    from api.service import listing

    given = {
        "task": task,
        "workload": workload,
        "device": device,
        "candidate": candidate,
        "source": source,
        "phase": phase,
        "scenario": scenario,
    }
    try:
        asked = msgspec.convert(given, listing.Filter)
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].rstrip("`")
        allowed = str(error).partition(" - at")[0]
        raise BadQuestionError(field, given.get(field), allowed) from error
    snapshot = opened_snapshot()
    rows = [row for _, row in listing.chosen(snapshot, asked)]
    if as_json:
        return terminal.say_json([listing.shown(row) for row in rows])
    tabular.show(
        f"{len(rows)} measurement(s)",
        (
            "candidate",
            "workload",
            "device",
            "phase",
            "scenario",
            "accuracy",
            "J per 1,000",
            "source",
        ),
        (
            (
                row.candidate,
                row.workload,
                row.device,
                row.phase,
                row.scenario,
                view.accuracy(row.accuracy),
                _joules(row),
                row.source,
            )
            for row in rows
        ),
        under=("workload", "device", "phase", "scenario", "source"),
    )
    return None


def _joules(row: Any) -> str:
    """The components of a row in joules per 1,000 texts, each with its label."""
    from catalog.energy import components

    parts = dict(components(row))
    if row.total_j is not None and row.total_label is not None:
        parts[row.total_scope or "total"] = (row.total_j, row.total_label)
    return "\n".join(
        f"{name} {view.number(1000 * joules / row.n_items)} {label}"
        for name, (joules, label) in parts.items()
    )


@catalog.command("verify")
def verify(as_json: Json = False) -> None:
    """Reads everything and checks every row against the schema again; exit code 4 on a fault."""
    from api.service import upload as writing
    from catalog.errors import BadRunFileError
    from catalog.files import run_file as runfile
    from catalog.files.validation import validate

    snapshot = opened_snapshot()
    rows = [row for _, row in snapshot.rows()]
    faults: list[str] = []
    try:
        validate(runfile.to_frame(rows), writing.known(snapshot), "catalog")
    except BadRunFileError as error:
        faults = [str(problem) for problem in error.problems]
    body = {
        "rows": len(rows),
        "own_rows": snapshot.own.count,
        "digest": snapshot.digest,
        "revision": opened_store().revision(),
        "problems": faults,
    }
    if as_json:
        terminal.say_json(body)
    else:
        typer.echo(f"{body['rows']} rows, {body['own_rows']} of them own, digest {snapshot.digest}")
    if faults:
        terminal.fail("\n".join(faults[:50]), terminal.BAD_DATA)
