"""Runs `joulewise` in processes of its own that need not load its libraries each time.

A process that has loaded them reads one JSON line for each command and forks. The child has the
command's environment, folder and files as standard output and error; the exit status is the answer.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

LOADED = (
    "advisor.estimator.estimator",
    "alembic.command",
    "api.main",
    "api.pages.routes",
    "api.report.routes",
    "api.cli.main",
    "api.cli.calibrate",
    "api.service.upload",
    "catalog.files.prediction_file",
    "catalog.files.run_file",
    "catalog.snapshot",
    "litestar",
    "psycopg",
    "rich",
)
"""What commands load, of ours and of others."""


def run(words: list[str], environment: dict[str, str], folder: str) -> int:
    """Runs a command in this process; its exit status."""
    from api.cli.main import app

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    sys.argv = ["joulewise", *words]
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def forked(words: list[str], environment: dict[str, str], folder: str, out: str, err: str) -> int:
    """Runs a command in a child of this process; its exit status."""
    with warnings.catch_warnings(action="ignore"):  # of threads: those of BLAS have nothing to do
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        for number, file in ((1, out), (2, err)):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, number)
            os.close(opened)
        status = run(words, environment, folder)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main() -> None:
    """Answers until the input ends."""
    for name in LOADED:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        print(forked(**json.loads(line)), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
