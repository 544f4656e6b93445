"""Tests of `api.pages.names`: plain names of what the catalog holds."""

from __future__ import annotations

from typing import get_args

from api.pages import names
from catalog import snapshot
from catalog.records import Family, Workload

CATALOG = snapshot.load()


def test_every_data_set_of_a_task_has_a_name_and_says_what_it_is() -> None:
    """No task of the bundled catalog is answered by a data set known by its slug alone."""
    sets = {name for own in CATALOG.tasks().values() for name in own}
    assert {name for name in sets if names.data_set(name) is None} == set()
    assert names.described(CATALOG.workloads["sst2"]) == (
        "SST-2: sentences of film reviews, English"
    )
    assert names.title("banking77") == "Banking77"


def test_a_data_set_of_ones_own_keeps_its_name() -> None:
    """Where nothing is known about it, nothing is said."""
    assert names.described(Workload(name="tickets", task="intent")) == "tickets"
    assert names.title("tickets") == "tickets"


def test_no_pattern_is_left_over() -> None:
    """Each names a workload of the catalog."""
    used = {known.pattern for name in CATALOG.workloads if (known := names.data_set(name))}
    assert {each.pattern for each in names._data_sets()} == used


def test_every_task_is_in_one_group() -> None:
    """Grouping loses none and repeats none; unknown ones are further tasks."""
    grouped = names.grouped_tasks([*CATALOG.tasks(), "own-task"])
    listed = [name for own in grouped.values() for name, _ in own]
    assert sorted(listed) == sorted([*CATALOG.tasks(), "own-task"])
    assert ("own-task", "own-task") in grouped[names.OTHER_TASKS]
    assert "sentiment" in dict(grouped["What a text feels"])


def test_every_language_and_family_has_a_name() -> None:
    """No code is shown where a word is known."""
    assert all(name != code for code, name in names.languages(CATALOG))
    assert names.language("xx") == "xx"
    assert set(names.FAMILIES) == set(get_args(Family))
