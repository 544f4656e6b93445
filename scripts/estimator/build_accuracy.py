"""Fits the bundled accuracy model on the bundled atlas and writes its scorecard.

python scripts/estimator/build_accuracy.py            # writes advisor/accuracy/artefact_files
python scripts/estimator/build_accuracy.py --check    # exit 1 if a fit anew gives another model
python scripts/estimator/build_accuracy.py --traits   # writes advisor/accuracy/encoders.csv

The traits of encoders come from MTEB's model table (../shared/data/accuracy/mteb_models.csv, facts
of github.com/embeddings-benchmark/mteb at a905523d0111, Apache-2.0).
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from advisor.accuracy import predictor
from advisor.accuracy.predictor import FOLDER
from advisor.accuracy.traits import ENCODERS
from advisor.evaluation.accuracy_training import scored, trained
from catalog.snapshot import load

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "accuracy"
COLUMNS = ("n_parameters", "n_active_parameters", "release_date", "architecture", "adapted_from")


def traits() -> None:
    """Writes what is known of each encoder; languages as ISO 639-1 where they have such a code."""
    with (DATA / "mteb_tasks.csv").open(encoding="utf-8", newline="") as file:
        tasks = list(csv.DictReader(file))
    codes = {
        row["language_codes"].split("-")[0]: row["language"]
        for row in tasks
        if len(row["language"]) == 2 and "|" not in row["language_codes"]
    }
    with (DATA / "mteb_models.csv").open(encoding="utf-8", newline="") as file:
        models = sorted(csv.DictReader(file), key=lambda row: row["model"])
    with ENCODERS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", *COLUMNS, "languages"])
        for row in models:
            stated = row["languages"].replace("|", " ").split()
            spoken = sorted({codes.get(each.split("-")[0], each.split("-")[0]) for each in stated})
            writer.writerow([row["model"], *(row[name] for name in COLUMNS), " ".join(spoken)])


def main() -> int:
    """Writes or checks the artefact; the exit status says whether it was current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--traits", action="store_true")
    given = parser.parse_args()
    if given.traits:
        traits()
        return 0
    snapshot, begun = load(), time.monotonic()
    with threadpool_limits(1):
        if given.check:
            there = predictor.load(FOLDER)
            anew = trained(snapshot, reach=there.reach)
            return int(predictor.to_text(anew) != (FOLDER / predictor.MODEL).read_bytes())
        reach, card = scored(snapshot)
        found = trained(snapshot, reach=reach)
    version = predictor.save(FOLDER, found, card)
    size = (FOLDER / predictor.MODEL).stat().st_size / 1e6
    print(f"accuracy model {version}, {size:.2f} MB, {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
