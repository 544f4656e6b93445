"""Measures the whole grid on a machine with an NVIDIA GPU, in one command that can be repeated.

python scripts/gpu_grid.py OUT --data DATA --models MODELS [--part architectures]

- `weights`: MiniLM frozen and fine-tuned, with accuracy, on every workload of DATA or those named
  by --workload.
- `architectures`: DistilBERT to Llama 8B with random weights (energy and runtime hold, accuracy is
  left out) over precision, batch and length; by the plan about twenty minutes.

OUT gets catalog.sqlite (a second call measures only what is missing), rows.csv for `joulewise
catalog import` and windows.jsonl, the raw counter values of every window for the replay meter.
Idle power is measured before any model is loaded and with each one resident.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from calibration import suite
from calibration.meters.machine_meter import RECORDING_VARIABLE
from catalog.files.run_file import dump, to_frame
from catalog.snapshot import load
from catalog.store.database import Store

WEIGHTS = ("minilm-l6-frozen-logistic", "minilm-l6-finetuned")
ARCHITECTURES = ("*-untrained",)
LENGTHS = (128, 32, 512)
"""Words of a text; the first one is swept over batch and precision too."""
GRID = msgspec.structs.replace(suite.PROFILES["quick"], name="quick-grid", warmup_s=2, idle_s=3)


def _plans(
    store: Store, part: str, profile: suite.Profile, **given: Any
) -> list[suite.CalibrationPlan]:
    """What a part still lacks."""
    if part == "weights":
        return [suite.plan(load(store), candidates=WEIGHTS, profile="quick", **given)]
    given |= {"data": None, "workloads": ()}
    first, *others = [f"tokens-{words}" for words in LENGTHS]
    swept = msgspec.structs.replace(profile, sweep=True)
    return [
        suite.plan(
            load(store), candidates=ARCHITECTURES, **(given | {"workloads": names, "profile": how})
        )
        for names, how in (([first], swept), (others, profile))
    ]


def _tell(event: suite.Event) -> None:
    """One line for each settled trial."""
    if event.kind in ("started", "present"):
        return
    batch = "" if event.batch_size is None else f" {event.batch_size:g}"
    found = event.reason or (
        "no joules" if event.joules_per_1000 is None else f"{event.joules_per_1000:.4g} J per 1,000"
    )
    print(
        f"{event.done}/{event.total} {event.candidate} {event.workload} {event.phase} "
        f"{event.scenario}{batch} {event.precision}: {found}",
        flush=True,
    )


def measure(
    out: Path, parts: Sequence[str], profile: suite.Profile = GRID, **given: Any
) -> suite.Summary | None:
    """Measures what is missing and writes the files; the last part's summary.

    Args:
        out: Folder of catalog, rows and windows.
        parts: ``weights``, ``architectures``.
        profile: Windows of the architectures.
        given: Further arguments of `calibration.suite.plan`.
    """
    out.mkdir(parents=True, exist_ok=True)
    os.environ[RECORDING_VARIABLE] = str(out / "windows.jsonl")
    store = Store(f"sqlite:///{(out / 'catalog.sqlite').absolute()}")
    store.migrate()
    summary = None
    for part in parts:
        for made in _plans(store, part, profile, **given):
            if not any(device.kind == "gpu" for device in made.devices.values()):
                sys.exit("torch can use no NVIDIA GPU here; see joulewise doctor")
            print(f"{part}: {len(made.pending)} trials, about {made.estimated_s / 60:.0f} min")
            summary = suite.calibrate(made, store, on_event=_tell)
    held = store.declarations()
    (out / "rows.csv").write_bytes(dump(to_frame(store.measurements(), held), "csv"))
    return summary


def main() -> int:
    """Parses the command line; the status is 6 where a candidate was skipped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="folder of workloads [JOULEWISE_DATA]")
    parser.add_argument("--models", type=Path, help="folder of checkpoints [JOULEWISE_MODELS]")
    parser.add_argument("--workload", action="append", default=[])
    parser.add_argument("--part", action="append", choices=("weights", "architectures"))
    asked = parser.parse_args()
    parts = asked.part or ["weights", "architectures"]
    given = {"data": asked.data, "models": asked.models, "workloads": asked.workload}
    summary = measure(asked.out, parts, **given)
    return 6 if summary and (summary.skipped or summary.failed) else 0


if __name__ == "__main__":
    sys.exit(main())
