"""Names shared by all sources of the accuracy atlas: workloads, tasks, candidates, languages."""

from __future__ import annotations

import csv
import functools
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "catalog" / "reference" / "accuracy"
TASKS = {"hate-speech": "offensive-language", "nli": "natural-language-inference"}
"""Task names of the sources that differ from ours."""
LANGUAGES = {
    "eng": "en",
    "deu": "de",
    "fra": "fr",
    "spa": "es",
    "ita": "it",
    "por": "pt",
    "nld": "nl",
    "zho": "zh",
    "cmn": "zh",
    "jpn": "ja",
    "kor": "ko",
    "rus": "ru",
    "ara": "ar",
    "arb": "ar",
    "fas": "fa",
    "vie": "vi",
    "dan": "da",
    "pol": "pl",
    "swe": "sv",
    "nob": "nb",
    "nno": "nn",
    "nor": "no",
    "ben": "bn",
    "hin": "hi",
    "tur": "tr",
    "ukr": "uk",
    "tha": "th",
    "fin": "fi",
    "ces": "cs",
    "slk": "sk",
    "ell": "el",
    "heb": "he",
    "hun": "hu",
    "ind": "id",
    "ron": "ro",
    "bul": "bg",
    "cat": "ca",
    "hrv": "hr",
    "slv": "sl",
    "est": "et",
    "mkd": "mk",
    "zsm": "ms",
    "isl": "is",
    "lit": "lt",
    "lav": "lv",
    "srp": "sr",
    "tam": "ta",
    "tel": "te",
    "urd": "ur",
}
"""ISO 639-3 to ISO 639-1 for the languages that workloads have."""


@functools.cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """Rows of one of the hand-kept tables."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@functools.cache
def workload_names() -> dict[str, str]:
    """Hand-kept names: data set of a source -> workload."""
    return {row["dataset"]: row["workload"] for row in table("workload_names.csv")}


def slug(text: str) -> str:
    """Lower-case kebab name of a hub id's last part or of a printed name."""
    plain = re.sub(r"[^a-z0-9.]+", "-", text.split("/")[-1].lower())
    return re.sub(r"-{2,}", "-", plain).strip("-.")


def kebab(camel: str) -> str:
    """``MassiveIntent`` as ``massive-intent``."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", camel)
    return slug(parts.replace("_", "-"))


def languages_of(text: Any) -> str | None:
    """Languages of a model as ISO 639-1 codes where those exist, joined with ``;``."""
    if not isinstance(text, str):
        return None
    codes = (LANGUAGES.get(code.split("-")[0], code.split("-")[0]) for code in text.split())
    return ";".join(sorted(set(codes)))


def mteb_workloads(tasks: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Workload of each (MTEB task, subset): the hand-kept name, else by rule.

    The rule: the task's name without ``Classification``, and where it has several subsets the
    language, or the subset where a language has two.
    """
    rows = list(tasks)
    known = workload_names()
    spoken = Counter((row["mteb_task"], row["language"]) for row in rows)
    found = {}
    for row in rows:
        key = (row["mteb_task"], row["subset"])
        name = kebab(row["mteb_task"].replace("Classification", ""))
        if row["subset"] != "default":
            alone = spoken[row["mteb_task"], row["language"]] == 1
            name += f"-{row['language'] if alone else slug(row['subset'])}"
            if not alone and slug(row["subset"]) == row["language"]:
                name = f"{kebab(row['mteb_task'].replace('Classification', ''))}-{row['language']}"
        found[key] = known.get(f"mteb:{key[0]}/{key[1]}", name)
    return found


def published_workload(dataset: str, language: str) -> str:
    """Workload of a data set of the table of published figures."""
    known = workload_names()
    if dataset in known:
        per_language = dataset == "xlmt_sentiment" and language != "multi"
        return f"{known[dataset]}-{language}" if per_language else known[dataset]
    name = slug(dataset)
    return f"{name}-{language}" if dataset == "product_reviews_stars" else name


def task_of(task: str) -> str:
    """Our slug of a task."""
    return TASKS.get(task, task)
