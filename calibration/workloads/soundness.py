"""Soundness of texts for accuracy probes: enough, labelled, none on both sides of the split.

Accuracies of other candidates follow from those of a few; what is wrong with the texts would be
wrong with all of them.
"""

from __future__ import annotations

from collections import Counter

from calibration.workloads.errors import WorkloadError
from calibration.workloads.load import Texts
from catalog.registry.candidates import SAMPLES_PER_LABEL

FEWEST_TEST = 100
"""Test texts: an accuracy is uncertain by 8 points on so many, by 4 on 400."""
MOST_CLASSES = 329
"""Classes of the largest workload that the estimates learned from."""
MOST_SHARED = 0.01
"""Share of the test texts that may stand in train as well."""


def check(texts: Texts) -> None:
    """Refuses texts whose accuracies would mislead.

    Raises:
        WorkloadError: Names every fault with what came and what is needed.
    """
    faults = _faults(texts)
    if faults:
        raise WorkloadError(f"{texts.workload.name}: {'; '.join(faults)}; nothing was measured")


def _faults(texts: Texts) -> list[str]:
    """Every fault in words, without quoting a text."""
    found = []
    counts = Counter(texts.train_labels)
    if texts.multiple_choice:
        found.append("multiple-choice questions; accuracy probes need texts of fixed classes")
    if len(counts) > MOST_CLASSES:
        found.append(
            f"{len(counts)} classes; at most {MOST_CLASSES} are allowed, the largest data set that "
            "estimates learned from"
        )
    if len(texts.test) < FEWEST_TEST:
        found.append(
            f"{len(texts.test)} test text(s); at least {FEWEST_TEST} are needed (an accuracy is "
            "uncertain by 8 points on those), 400 for 4 points"
        )
    if missing := texts.test_labels.count(""):
        found.append(f"{missing} test text(s) without a label; every one needs it")
    few = [count for count in counts.values() if count < SAMPLES_PER_LABEL]
    if few and len(counts) <= MOST_CLASSES:
        found.append(
            f"{len(few)} of {len(counts)} classes have under {SAMPLES_PER_LABEL} training texts "
            f"(the fewest {min(few)}); at least {SAMPLES_PER_LABEL} of each are needed"
        )
    strange = sum(label not in counts and label != "" for label in texts.test_labels)
    if strange:
        found.append(f"{strange} test text(s) of a class without a training text; 0 are allowed")
    train = {_plain(text) for text in texts.train}
    shared = sum(_plain(text) in train for text in texts.test)
    if shared > MOST_SHARED * len(texts.test):
        found.append(
            f"{shared} of {len(texts.test)} test texts stand in train as well; at most "
            f"{MOST_SHARED:.0%} are allowed: take them out of one of the two"
        )
    return found


def _plain(text: str) -> str:
    """A text without case and repeated blanks."""
    return " ".join(text.casefold().split())
