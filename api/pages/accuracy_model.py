"""The accuracy model as pages show it: its scorecard, and an answer's accuracies by their basis."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any, NamedTuple

from advisor.recommend.records import Accuracy, Option, Recommendation

METHODS = {
    "task_mean": "mean of the data set",
    "probe_mean": "mean of the probes",
    "probe_offset": "mean of the candidate, shifted by the probes",
    "nearest_task": "most similar data set, shifted by the probes",
}


@functools.cache
def card() -> dict[str, Any]:
    """The scorecard of the bundled accuracy model."""
    file = resources.files("advisor.accuracy").joinpath("artefact_files", "accuracy_scorecard.json")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found


class Line(NamedTuple):
    """Errors of one method with so many probes, in points."""

    held_out: str
    method: str
    k: str
    figures: dict[str, Any]
    ours: bool


def lines(found: dict[str, Any]) -> list[Line]:
    """Errors on data sets that were held out, ours before the baselines."""
    told = []
    parts = {"English, 80 candidates and more": found["english"], "all languages": found["all"]}
    for name, part in parts.items():
        told += [Line(name, "Joulewise", k, own, True) for k, own in part["probes"].items()]
        if name != "all languages":
            told += [
                Line(name, METHODS.get(method, method), k, own, False)
                for method, by_k in part["baselines"].items()
                for k, own in by_k.items()
                if k in ("1", "3")
            ]
    alone = found["packaged"]
    told += [
        Line(f"English, {alone['candidate']} alone", "Joulewise", k, own, True)
        for k, own in alone["probes"].items()
    ]
    return told


def by_basis(answer: Recommendation) -> tuple[list[Option], list[Option]]:
    """Options of an answer with a known accuracy, and those whose accuracy is an estimate."""
    shown = [answer.chosen, answer.nearest_miss, *answer.alternatives, *answer.front]
    options = {each.candidate: each for each in shown if each is not None and each.accuracy}
    known = [each for each in options.values() if not is_estimate(each.accuracy)]
    return known, [each for each in options.values() if is_estimate(each.accuracy)]


def is_estimate(accuracy: Accuracy | None) -> bool:
    """Whether an accuracy follows from others."""
    return accuracy is not None and accuracy.basis == "estimated"
