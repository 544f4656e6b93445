"""Settings, catalog, estimator, cluster and output file of one command, opened on first use."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from api.cli import terminal
from catalog.files.atomic_write import atomic_write

if TYPE_CHECKING:
    from advisor.estimator.estimator import Estimator
    from api.service.settings import Settings
    from catalog.snapshot import Snapshot
    from catalog.store.database import Store

Form = TypeVar("Form", bound=str)


@functools.cache
def settings() -> Settings:
    """Settings from the environment; read once per process."""
    from api.service.settings import Settings

    return Settings()


def open_store() -> Store:
    """The store of the configured catalog; creates nothing."""
    from catalog.store.database import Store

    return Store(settings().catalog)


def load_snapshot() -> Snapshot:
    """The current catalog; the bundled figures alone where no database exists yet."""
    from catalog.snapshot import Snapshot

    return Snapshot.load(settings().catalog)


def load_estimator(snapshot: Snapshot) -> Estimator:
    """The configured estimator, updated with the runs in the catalog.

    Raises:
        StaleEstimatorError: There is none, or it fits another version.
    """
    from advisor.estimator import estimator

    return estimator.load(settings().estimator).informed(snapshot)


@contextmanager
def folds_on(scheduler: str | None) -> Iterator[None]:
    """Runs `joblib.Parallel` inside the block on a Dask cluster; locally without a `scheduler`.

    Ends the command where Dask is missing or no scheduler answers within 10 s.
    """
    if scheduler is None:
        yield
        return
    import joblib

    from catalog.errors import install_command

    try:
        import distributed
    except ImportError as error:
        terminal.fail(f"{error.name} is missing; {install_command('fleet')}", terminal.USAGE)
    dask: Any = distributed
    try:
        client = dask.Client(scheduler, timeout=10, name="joulewise")
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        message = f"scheduler: no Dask scheduler answers at {scheduler}: {error}"
        terminal.fail(message, terminal.USAGE)
    with client, joblib.parallel_config(backend="dask", n_jobs=-1):
        yield


def output_form(
    form: Form | None, output: Path | None, suffixes: Mapping[str, Form]
) -> Form | None:
    """The requested format, else that of the output file's suffix; ``None`` is a printed table.

    Raises:
        BadQuestionError: The output file has another suffix than `suffixes`.
    """
    if form is not None or output is None:
        return form
    from advisor.recommend.query import BadQuestionError

    found = suffixes.get(output.suffix.lower())
    if found is None:
        allowed = f"allowed suffixes: {', '.join(suffixes)}; or give --format"
        raise BadQuestionError("output", output.name, allowed)
    return found


def write(content: bytes, output: Path | None) -> None:
    """Writes a file whole or not at all and says so; without one to stdout."""
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        with atomic_write(output) as part:
            part.write_bytes(content)
    except OSError as error:
        terminal.fail(f"{output}: cannot be written, {error.strerror}", terminal.USAGE)
    typer.echo(f"wrote {output}")
