"""Tasks with their synonyms, and the workload that answers for each in a language."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import msgspec

from catalog.reference_files import from_cells, table


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided about a text.

    Attributes:
        name: Slug, e.g. ``offensive-language``.
        synonyms: Other slugs that mean it.
        usual_tool: What practitioners use where it has no published accuracy here, with the
            command that measures it.
        usual_candidates: It and other fast ones without a network, as the suite builds them.
    """

    name: str
    title: str
    synonyms: tuple[str, ...] = ()
    usual_tool: str | None = None
    usual_tool_command: str | None = None
    usual_candidates: tuple[str, ...] = ()


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The workload that answers for a task in a language and metric.

    Attributes:
        n_candidates: Candidates with the metric on it, as bundled.
        rule: ``first choice`` (the set practitioners name) or ``most candidates``.
        better_known: The first choice, where it has too few candidates to answer.
    """

    task: str
    language: str
    metric: str
    workload: str
    n_candidates: int
    rule: str
    better_known: str | None = None


@functools.cache
def tasks() -> Mapping[str, Task]:
    """Every task by its slug."""
    rows = ({**row, "name": row["task"]} for row in table("accuracy/tasks.csv"))
    return {task.name: task for task in from_cells(Task, rows)}


@functools.cache
def task_names() -> Mapping[str, str]:
    """Slug or synonym, in lower case with hyphens -> slug."""
    known = {name: task.name for task in tasks().values() for name in task.synonyms}
    return {plain_name(name): task for name, task in known.items()} | {
        name: name for name in tasks()
    }


def plain_name(name: str) -> str:
    """A task's name as `task_names` spells it."""
    return "-".join(name.lower().replace("_", " ").replace("-", " ").split())


@functools.cache
def references() -> Mapping[tuple[str, str, str], Reference]:
    """Reference workloads by (task, language, metric)."""
    found = from_cells(Reference, table("accuracy/references.csv"))
    return {(each.task, each.language, each.metric): each for each in found}
