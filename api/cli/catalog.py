"""The commands `joulewise catalog`: import, export, list and verify measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from api.cli import terminal
from api.cli.context import load_snapshot, open_store
from api.cli.known import accuracies, counted
from api.pages import wording

if TYPE_CHECKING:
    from api.service.listing import Filter
    from catalog.records import Measurement
    from catalog.snapshot import Snapshot

catalog = typer.Typer(no_args_is_help=True, help="What was measured.")
catalog.command("accuracies")(accuracies)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Task = Annotated[str | None, typer.Option(help="Only rows of this task.")]
Name = Annotated[str | None, typer.Option(help="Only rows of this name.")]


@catalog.command("init")
def init(as_json: Json = False) -> None:
    """Creates the database or brings it up to date."""
    store = open_store()
    store.migrate()
    shown = store.engine.url.render_as_string(hide_password=True)
    if as_json:
        return terminal.print_json({"catalog": shown, "revision": open_store().revision()})
    typer.echo(f"{shown} is ready")
    return None


@catalog.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Run file, .csv or .parquet.")],
    predictions: Annotated[bool, typer.Option("--predictions", help="It holds answers.")] = False,
    as_json: Json = False,
) -> None:
    """Stores a run file, all of it or nothing; importing it again changes nothing."""
    from api.service import upload
    from catalog.files import run_file

    if predictions:
        return _import_predictions(file, as_json=as_json)
    run = run_file.read(file, upload.known_names(load_snapshot()))
    written = upload.store_run(open_store(), run)
    if as_json:
        return terminal.print_json(written)
    typer.echo(f"{written.inserted} row(s) stored, {written.present} were there")
    if run.accuracies:
        there = f"{written.accuracies_present} were there"
        typer.echo(f"{written.accuracies} accuracies without a measurement stored, {there}")
    return None


def _import_predictions(file: Path, *, as_json: bool) -> None:
    """Stores predictions per test item from a file of `catalog export --predictions`."""
    from api.service import upload
    from catalog.files import prediction_file
    from catalog.records import RunFile

    snapshot, store = load_snapshot(), open_store()
    sets = prediction_file.read(file, upload.known_names(snapshot), snapshot.predictions)
    store.migrate()
    added = store.add(RunFile(measurements=(), predictions=sets)).predictions
    if as_json:
        return terminal.print_json({"inserted": added, "present": len(sets) - added})
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
    from api.service import listing, upload
    from catalog.files import run_file

    if form is None:
        boamps = file.name.lower().endswith(".boamps.json")
        form = "boamps" if boamps else run_file.format_of(file.name)
    snapshot = load_snapshot()
    wanted = listing.Filter(task=task, device=device, source=source)
    kept = listing.filtered_rows(snapshot, wanted, len(snapshot.measurements) if own else 0)
    if predictions:
        return _export_predictions(file, snapshot, wanted)
    rows = [row for _, row in kept]
    if not rows:
        terminal.fail("no row matches, nothing written", terminal.NOTHING_QUALIFIES)
    if form == "boamps":
        return _write_boamps(file, rows, snapshot)
    file.write_bytes(upload.to_run_file(rows, snapshot, form))
    typer.echo(f"{len(rows)} row(s) written to {file}")
    return None


def _export_predictions(file: Path, snapshot: Snapshot, wanted: Filter) -> None:
    """Writes predictions per test item as a table that another catalog can import."""
    from catalog.files import prediction_file, run_file

    names = snapshot.tasks()[wanted.task] if wanted.task else snapshot.workloads
    device = snapshot.device(wanted.device).name if wanted.device else None
    sets = [
        each
        for each in snapshot.predictions
        if each.workload in names
        and device in (None, each.device)
        and wanted.source in (None, each.source)
    ]
    if not sets:
        terminal.fail("no predictions match, nothing written", terminal.NOTHING_QUALIFIES)
    file.write_bytes(prediction_file.write(sets, run_file.format_of(file.name)))
    typer.echo(f"{len(sets)} set(s) of predictions written to {file}")


def _write_boamps(file: Path, rows: list[Measurement], snapshot: Snapshot) -> None:
    """Writes a JSON list of reports; one file for each report where `file` is a folder."""
    import msgspec

    from api.exports import boamps

    exported = boamps.export(rows, snapshot)
    reasons = ", ".join(f"{count} {reason}" for reason, count in exported.left_out.items())
    lost = f"; left out: {reasons}" if reasons else ""
    if not exported.reports:
        terminal.fail(f"no row makes a report, nothing written{lost}", terminal.NOTHING_QUALIFIES)
    if file.is_dir() or not file.suffix:
        file.mkdir(parents=True, exist_ok=True)
        parts: dict[Path, Any] = {
            file / f"{one['header']['reportId']}.json": one for one in exported.reports
        }
    else:
        parts = {file: exported.reports}
    for path, content in parts.items():
        path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    typer.echo(f"{len(exported.reports)} BoAmps report(s) written to {file}{lost}")


@catalog.command("list")
def list_rows(
    task: Task = None,
    workload: Name = None,
    device: Name = None,
    candidate: Name = None,
    source: Name = None,
    phase: Name = None,
    scenario: Name = None,
    limit: terminal.Limit = None,
    as_json: Json = False,
) -> None:
    """Measurements, history included."""
    import msgspec

    from advisor.recommend.query import BadQuestionError
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
        wanted = msgspec.convert(given, listing.Filter)
    except msgspec.ValidationError as error:
        field = str(error).partition("$.")[2].rstrip("`")
        allowed = str(error).partition(" - at")[0]
        raise BadQuestionError(field, given.get(field), allowed) from error
    snapshot = load_snapshot()
    rows = [row for _, row in listing.filtered_rows(snapshot, wanted)]
    if as_json:
        return terminal.print_json([listing.to_json(row) for row in rows])
    terminal.print_table(
        counted(rows, "measurement"),
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
                wording.accuracy(row.accuracy),
                _joules(row),
                row.source,
            )
            for row in rows
        ),
        under=("workload", "device", "phase", "scenario", "source"),
        limit=limit,
    )
    return None


def _joules(row: Any) -> str:
    """Joules per 1,000 texts and label of each component of a row, one a line."""
    from catalog.energy import components

    parts = dict(components(row))
    if row.total_j is not None and row.total_label is not None:
        parts[row.total_scope or "total"] = (row.total_j, row.total_label)
    return "\n".join(
        f"{name} {wording.number(1000 * joules / row.n_items)} {label}"
        for name, (joules, label) in parts.items()
    )


@catalog.command("verify")
def verify(as_json: Json = False) -> None:
    """Reads the whole catalog and validates every row; exit code 4 on a violation."""
    from api.service import upload
    from catalog.errors import BadRunFileError
    from catalog.files import run_file
    from catalog.files.validation import validate

    snapshot = load_snapshot()
    rows = [row for _, row in snapshot.rows()]
    faults: list[str] = []
    try:
        validate(run_file.to_frame(rows), upload.known_names(snapshot), "catalog")
    except BadRunFileError as error:
        faults = [str(problem) for problem in error.problems]
    body = {
        "rows": len(rows),
        "own_rows": snapshot.own.count,
        "digest": snapshot.digest,
        "revision": open_store().revision(),
        "problems": faults,
    }
    if as_json:
        terminal.print_json(body)
    else:
        typer.echo(f"{body['rows']} rows, {body['own_rows']} of them own, digest {snapshot.digest}")
    if faults:
        terminal.fail("\n".join(faults[:50]), terminal.BAD_DATA)
