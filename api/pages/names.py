"""Plain names of data sets, tasks, languages and families: a name of the catalog in, words out."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files

import msgspec

from catalog.records import Family, Workload
from catalog.registry import tasks as registry
from catalog.snapshot import Snapshot

FAMILIES: dict[Family, str] = {
    "majority": "most frequent class",
    "lexicon": "word list",
    "bag-of-words": "bag of words",
    "tf-idf": "TF-IDF",
    "fasttext": "fastText",
    "static-embedding": "word vectors",
    "cnn-lstm": "CNN or LSTM",
    "frozen-encoder": "frozen encoder + head",
    "setfit": "SetFit",
    "fine-tuned-encoder": "fine-tuned encoder",
    "zero-shot-embedding": "zero-shot label embedding",
    "zero-shot-nli": "zero-shot NLI model",
    "zero-shot-reranker": "zero-shot reranker",
    "zero-shot-llm": "zero-shot LLM",
    "few-shot-llm": "few-shot LLM",
    "fine-tuned-llm": "fine-tuned LLM",
    "reasoning-llm": "reasoning LLM",
    "other": "other",
}
TASK_GROUPS: dict[str, tuple[str, ...]] = {
    "What a text feels": (
        *("sentiment", "emotion", "rating", "irony", "sarcasm", "stance", "emoji"),
        "subjectivity",
    ),
    "What it is about": ("topic", "intent", "domain", "question-type", "language-identification"),
    "What to keep out": ("spam", "toxicity", "offensive-language", "clickbait", "bias"),
}
"""Groups of the tasks; what is in none of them is under ``OTHER_TASKS``."""
OTHER_TASKS = "Further tasks"


class DataSet(msgspec.Struct, frozen=True, kw_only=True):
    """Name of a data set and what its texts are; `pattern` matches workloads of the catalog."""

    pattern: str
    title: str
    about: str


def _rows(name: str) -> list[dict[str, str]]:
    """Rows of a table beside this module."""
    text = (files("api.pages") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@functools.cache
def _data_sets() -> tuple[DataSet, ...]:
    """Known data sets, exact patterns first, then the longest."""
    found = [DataSet(**row) for row in _rows("data_sets.csv")]
    return tuple(sorted(found, key=lambda each: ("*" in each.pattern, -len(each.pattern))))


@functools.cache
def _languages() -> dict[str, str]:
    """ISO 639 codes -> English names."""
    return {row["code"]: row["name"] for row in _rows("languages.csv")}


def language(code: str) -> str:
    """A language by its code; the code where the name is not known."""
    return _languages().get(code, code)


@functools.cache
def data_set(workload: str) -> DataSet | None:
    """The data set behind a workload's name; ``None`` where it has no plain name, as own ones."""
    return next((d for d in _data_sets() if fnmatchcase(workload, d.pattern)), None)


def title(workload: Workload | str) -> str:
    """A workload's plain name, e.g. ``SST-2``; its own name where there is none."""
    name = workload if isinstance(workload, str) else workload.name
    known = data_set(name)
    return known.title if known else name


def described(workload: Workload) -> str:
    """A workload in words: ``SST-2: sentences of film reviews, English``."""
    known = data_set(workload.name)
    speaks = language(workload.language or "")
    about = ", ".join(filter(None, (known.about if known else "", speaks)))
    name = known.title if known else workload.name
    return f"{name}: {about}" if about else name


def family(name: str) -> str:
    """A family in words, e.g. ``fine-tuned encoder``."""
    known: Mapping[str, str] = FAMILIES  # type: ignore[assignment]
    return known.get(name, name.replace("-", " "))


def grouped_tasks(tasks: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Tasks by group, each with its title."""
    left = dict.fromkeys(tasks)
    found: dict[str, list[str]] = {
        group: [name for name in names if name in left] for group, names in TASK_GROUPS.items()
    }
    placed = {name for names in found.values() for name in names}
    found[OTHER_TASKS] = sorted(name for name in left if name not in placed)
    known = registry.tasks()
    return {
        group: [(name, known[name].title if name in known else name) for name in names]
        for group, names in found.items()
        if names
    }


def task(name: str) -> str:
    """A task in a sentence, e.g. ``offensive language``."""
    return name.replace("-", " ")


@functools.lru_cache(maxsize=4)
def languages(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Codes and names of the languages that workloads of decision tasks are in, by name."""
    of_tasks = {name for names in snapshot.tasks().values() for name in names}
    codes = {snapshot.workloads[name].language or "" for name in of_tasks} - {"", "mul"}
    return sorted(((code, language(code)) for code in codes), key=lambda pair: pair[1])
