"""The command `joulewise`: options of each subcommand in, printed results and exit codes out.

Heavy modules are imported inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from advisor.recommend.query import BadQuestionError, UnlistedDevice, device_of
from api.cli import known, terminal
from api.cli.answer import print_warnings
from api.cli.catalog import catalog
from api.cli.context import folds_on, load_estimator, load_snapshot, open_store, settings
from api.cli.probes import probes
from api.cli.question import asks, recommend, resolve_device
from api.cli.report import report
from api.cli.terminal import CommandGroup
from api.cli.token import token

app = typer.Typer(
    name="joulewise",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Data = Annotated[Path | None, typer.Option(help="Folder of workloads [JOULEWISE_DATA].")]
Models = Annotated[Path | None, typer.Option(help="Folder of checkpoints [JOULEWISE_MODELS].")]

Scheduler = Annotated[
    str | None, typer.Option(help="Fit folds on the workers of a Dask scheduler, tcp://host:port.")
]


def _version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        typer.echo(f"joulewise {version('joulewise')}")
        raise typer.Exit


@app.callback()
def joulewise(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Which text classifier meets my accuracy for the least energy, on my hardware?"""


@asks("device", "batch_size", "scope", *UnlistedDevice.__struct_fields__)
def estimate(
    *,
    params: Annotated[float | None, typer.Option(help="Parameters of the model.")] = None,
    active_params: Annotated[
        float | None, typer.Option(help="Used for one token, in a mixture of experts.")
    ] = None,
    generates: Annotated[
        bool, typer.Option("--generates", help="Text is generated, token by token.")
    ] = False,
    runtime_s_per_1000: Annotated[
        float | None, typer.Option(help="Measured there, seconds per 1,000 texts.")
    ] = None,
    tokens: Annotated[float | None, typer.Option(help="Mean per text.")] = None,
    precision: Annotated[str | None, typer.Option(help="E.g. fp16.")] = None,
    n_devices: Annotated[int, typer.Option()] = 1,
    as_json: Json = False,
    **asked: Any,
) -> None:
    """Estimated joules of a setup that was not measured, with a 90 % interval."""
    from advisor.recommend.machine import resolve
    from api.pages import wording
    from api.service.estimate import EstimateRequest
    from api.service.estimate import estimate as estimated

    snapshot = load_snapshot()
    named = device_of(asked)
    if named is None:
        raise BadQuestionError("device", None, "name it, or give its specs (device_kind ...)")
    resolved = resolve_device(named, snapshot) if isinstance(named, str) else named
    machine = resolve(snapshot, resolved)
    request = EstimateRequest(
        device=machine.device.name,
        n_parameters=params,
        n_active_parameters=active_params,
        generates=generates,
        runtime_s_per_1000=runtime_s_per_1000,
        batch_size=asked["batch_size"],
        tokens=tokens,
        precision=precision,
        scope=asked["scope"],
        n_devices=n_devices,
    )
    answer = estimated(machine, load_estimator(snapshot), request)
    if as_json:
        return terminal.print_json(answer)
    joules = answer.energy_j_per_1000
    print_warnings(answer.warnings)
    terminal.print_table(
        f"Energy of {wording.SCOPE[joules.scope]}",
        ("device", "J per 1,000 texts", "90 % interval", "basis"),
        [
            (
                answer.device,
                wording.joules(joules),
                wording.interval(joules.low, joules.high),
                joules.basis,
            )
        ],
    )
    return None


def train(
    out: Annotated[Path, typer.Option(help="Folder for artefact and scorecard.")] = Path(
        "estimator"
    ),
    force: Annotated[
        bool, typer.Option("--force", help="Replace an estimator that errs less, too.")
    ] = False,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Fits the estimator from the catalog; serve it with JOULEWISE_ESTIMATOR."""
    from advisor.evaluation import train as training

    with folds_on(scheduler), terminal.spinner("fitting, and scoring what is held out"):
        scorecard = training.train(load_snapshot(), out, force=force)
    if as_json:
        return terminal.print_json(scorecard)
    typer.echo(f"wrote {out}; use it with JOULEWISE_ESTIMATOR={out.resolve()}")
    return None


def evaluate(
    rows: Annotated[Path, typer.Option(help="Published rows to learn from, CSV.")],
    devices: Annotated[
        Path | None, typer.Option(help="Specs of their devices, CSV; of energies and runtimes.")
    ] = None,
    more_devices: Annotated[
        list[Path] | None,
        typer.Option(help="Further specs of devices, CSV; of runtimes; repeatable."),
    ] = None,
    target: Annotated[
        Literal["energy", "runtime", "accuracy"], typer.Option(help="What is predicted.")
    ] = "energy",
    tasks: Annotated[
        Path | None, typer.Option(help="Facts of their workloads, CSV; of accuracies.")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(help="Facts of their models, CSV; of accuracies.")
    ] = None,
    test_tasks: Annotated[
        Path | None, typer.Option(help="Facts of the workloads of --test; of accuracies.")
    ] = None,
    probe_models: Annotated[
        str, typer.Option(help="Models of --test whose accuracies are used, by commas.")
    ] = "",
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Leave out parts of the model, too; not of energies.")
    ] = False,
    test: Annotated[Path | None, typer.Option(help="Other rows to predict.")] = None,
    split: Annotated[
        Literal["device", "source", "model", "family", "task", "publisher", "both"],
        typer.Option(
            help="What is held out; of accuracies task (default) or family, of runtimes device, "
            "publisher, both or model."
        ),
    ] = "device",
    subset: Annotated[
        Literal["all", "encoders"], typer.Option(help="Which rows are scored; of energies.")
    ] = "all",
    probes: Annotated[
        str, typer.Option(help="Measured rows on the held-out device; of energies.")
    ] = "0,1,3,5",
    predictions: Annotated[Path | None, typer.Option(help="Predictions of --test, CSV.")] = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Errors of the estimator and of every baseline on rows it did not see."""
    from api.cli import accuracy, evaluation

    if predictions is not None and test is None:
        raise BadQuestionError("predictions", str(predictions), "needs --test")
    if predictions is not None and (
        predictions.is_dir() or not os.access(predictions.absolute().parent, os.W_OK)
    ):
        allowed = "allowed: a file in a folder that is there and can be written to"
        raise BadQuestionError("predictions", str(predictions), allowed)
    if target == "accuracy":
        files = accuracy.Files(rows, tasks, models, test, test_tasks, predictions)
        return accuracy.evaluate(
            files, split, probes, probe_models, ablation=ablation, as_json=as_json
        )
    if devices is None:
        raise BadQuestionError("devices", None, "needed: specs of the rows' devices, CSV")
    tables = evaluation.Files(rows, devices, tuple(more_devices or ()), test, predictions)
    if target == "runtime":
        return evaluation.runtime(tables, split, with_ablation=ablation, as_json=as_json)
    with folds_on(scheduler):
        return evaluation.energy(tables, split, subset, probes, as_json=as_json)


def serve(
    host: Annotated[str | None, typer.Option(help="[JOULEWISE_HOST]")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="[JOULEWISE_PORT]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="[JOULEWISE_WORKERS]")] = None,
) -> None:
    """The HTTP service and its pages."""
    from granian import Granian
    from granian.constants import Interfaces

    configured, store = settings(), open_store()
    address, number = host or configured.host, configured.port if port is None else port
    terminal.require_free_port(address, number)
    store.migrate()
    Granian(
        "api.main:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=address,
        port=number,
        workers=workers or configured.workers,
        websockets=False,
    ).serve()


def doctor(
    data: Data = None,
    models: Models = None,
    strict: Annotated[bool, typer.Option(help="Exit 5 without a readable counter.")] = False,
    as_json: Json = False,
) -> None:
    """What can be measured here, by which counter, what is missing and the remedy."""
    from api.cli import calibrate

    configured = settings()
    readable = calibrate.print_diagnosis(
        load_snapshot(), data or configured.data, models or configured.models, as_json=as_json
    )
    if strict and not readable:
        raise typer.Exit(terminal.NOT_MEASURABLE)


def calibrate(
    profile: Annotated[str, typer.Option(help="quick, standard or reference.")] = "quick",
    workload: Annotated[
        list[str] | None, typer.Option(help="Name, or file (CSV, Parquet, JSONL); repeatable.")
    ] = None,
    candidate: Annotated[list[str] | None, typer.Option(help="Name or glob; repeatable.")] = None,
    probes: Annotated[
        bool, typer.Option("--probes", help="Three to five candidates that tell most, once each.")
    ] = False,
    accuracy_probes: Annotated[
        bool,
        typer.Option(
            "--accuracy-probes",
            help="A few cheap candidates whose accuracies on texts of yours tell those of others.",
        ),
    ] = False,
    rate: Annotated[
        list[float] | None,
        typer.Option(help="Texts arriving per second: scenario server; repeatable."),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Serving backend, name or glob: torch, onnxruntime, openvino, vllm; repeatable. "
            "Default: the usual one, in profile standard all that are installed."
        ),
    ] = None,
    tdp_w: Annotated[
        float | None, typer.Option(help="TDP of this chip, watts, where the device table lacks it.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what is stored as doubtful.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would run.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit 5 without a readable counter.")] = False,
    data: Data = None,
    models: Models = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Calibrate the workers of a Dask scheduler, tcp://host:port.")
    ] = None,
    machines: Annotated[
        int, typer.Option(min=1, help="With --scheduler: machines to wait for before it may end.")
    ] = 1,
    per_hardware: Annotated[
        int, typer.Option(min=1, max=100, help="With --scheduler: times to measure each hardware.")
    ] = 1,
    log: Annotated[
        Path | None, typer.Option(help="Log file; default: a new one beside the catalog.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines, one for each step, the summary last.")
    ] = False,
) -> None:
    """Measures this machine and appends to the catalog; a second run does what is missing."""
    from api.cli import calibrate

    calibrate.prepare_process()
    options: dict[str, Any] = {
        "workloads": workload or (),
        "candidates": candidate or (),
        "profile": profile,
        "probing": probes,
        "rates": rate or (),
        "backends": backend or (),
        "again": again,
    }
    if accuracy_probes and (probes or candidate or scheduler):
        other = "--probes" if probes else "--candidate" if candidate else "--scheduler"
        terminal.fail(f"--accuracy-probes names what runs; not with {other}", terminal.USAGE)
    if scheduler is not None:
        if strict or tdp_w is not None:
            name = "--strict" if strict else "--tdp-w"
            terminal.fail(f"{name} is about one machine; not with --scheduler", terminal.USAGE)
        fleet = calibrate.FleetOptions(scheduler, machines, per_hardware)
        options |= {"data": data, "models": models}
        raise typer.Exit(calibrate.run_fleet(fleet, options, plan=plan, log=log, as_json=as_json))
    if strict and not calibrate.counter_readable():
        terminal.fail(
            "no energy counter can be read; see `joulewise doctor`", terminal.NOT_MEASURABLE
        )
    configured, snapshot = settings(), load_snapshot()
    folders = {"data": data or configured.data, "models": models or configured.models}
    if accuracy_probes:
        options |= calibrate.accuracy_probing(snapshot, workload or (), profile, **folders)
    made = calibrate.make_plan(snapshot, **options, **folders, tdp_w=tdp_w)
    if plan:
        return calibrate.print_plan(made, as_json=as_json)
    raise typer.Exit(calibrate.calibrate(made, open_store(), log=log, as_json=as_json))


COMMANDS: dict[str, tuple[Callable[..., Any], ...]] = {
    "Ask": (recommend, estimate, report),
    "Look up": (known.tasks, known.workloads, known.devices, known.candidates),
    "Measure": (doctor, calibrate, probes),
    "Serve": (serve,),
    "Estimator": (train, evaluate),
}
"""Commands by panel of the help."""
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(catalog, name="catalog", rich_help_panel="Look up")
app.add_typer(token, name="token", rich_help_panel="Serve")
