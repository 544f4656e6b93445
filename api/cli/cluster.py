"""Folds of the estimator on the workers of a Dask cluster, carried there by joblib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from api.cli import terminal

_CONNECT_S = 10


@contextmanager
def folds_on(scheduler: str | None) -> Iterator[None]:
    """Within it `joblib.Parallel` works on a cluster, or here where `scheduler` is ``None``.

    Ends the command where Dask is missing or no scheduler answers.
    """
    if scheduler is None:
        yield
        return
    import joblib

    try:
        import distributed
    except ImportError as error:
        terminal.fail(f"{error.name} is missing; install joulewise[fleet]", terminal.USAGE)
    dask: Any = distributed
    try:
        client = dask.Client(scheduler, timeout=_CONNECT_S, name="joulewise")
    except (OSError, ValueError) as error:  # TimeoutError is an OSError
        said = f"scheduler: no Dask scheduler answers at {scheduler}: {error}"
        terminal.fail(said, terminal.USAGE)
    with client, joblib.parallel_config(backend="dask", n_jobs=-1):
        yield
