"""The form of the planner: what it offers, and from its fields to a plan.

Every deployment's fields carry its number, ``1-candidate``, ``2-candidate`` ...; what the plan
states once carries none. An empty field was not stated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from advisor.recommend.query import BadQuestionError
from advisor.report import grid_factors as grid
from advisor.report.schema import Common, Conditions, Deployment
from catalog.snapshot import Snapshot

_MADE = {"embodied_kg": "kg_per_machine", "lifetime_years": "lifetime_years"}
"""Fields of the form -> fields of the table `embodied`."""
COMMON = (
    *(name for name in Common.model_fields if name not in ("period_years", "embodied")),
    *_MADE,
)
"""Fields stated once."""
OWN = (
    *(
        name
        for name in Deployment.model_fields
        if name not in {*Conditions.model_fields, "recommend"}
    ),
    "min_acc",
)
"""Fields of one deployment."""
MOST_ROWS = 50
"""Deployments a form may hold; more go into a file."""
FIRST = {
    "title": "Planned deployments",
    "region": "DEU",
    "1-name": "Support tickets",
    "1-workload": "fktg",
    "1-min_acc": "0.45",
    "1-texts_per_day": "100000",
}
"""What the form holds before anybody filled it in."""
_FIELD = re.compile(r"([1-9][0-9]?)-([a-z_0-9]+)")


def numbers(fields: Mapping[str, str]) -> list[int]:
    """The deployments a form holds, by number.

    Raises:
        BadQuestionError: There are more than `MOST_ROWS`.
    """
    found = sorted({int(m[1]) for name in fields if (m := _FIELD.fullmatch(name))}) or [1]
    if len(found) > MOST_ROWS:
        allowed = f"at most {MOST_ROWS} in the form; send more as a TOML or JSON file"
        raise BadQuestionError("deployments", len(found), allowed)
    return found


def unknown(fields: Mapping[str, str]) -> str | None:
    """The first field no form has."""
    for name in fields:
        own = _FIELD.fullmatch(name)
        if (own is None and name not in (*COMMON, "do")) or (own and own[2] not in OWN):
            return name
    return None


def renumbered(fields: Mapping[str, str], do: str) -> dict[str, str]:
    """The fields after ``add`` or ``remove-N`` of the form's buttons; rows count from 1."""
    kept = numbers(fields)
    if do.startswith("remove-"):
        kept = [number for number in kept if str(number) != do.removeprefix("remove-")] or [1]
    places = {old: new for new, old in enumerate(kept, start=1)}
    result = {name: value for name, value in fields.items() if name in COMMON}
    for name, value in fields.items():
        own = _FIELD.fullmatch(name)
        if own and int(own[1]) in places:
            result[f"{places[int(own[1])]}-{own[2]}"] = value
    if do == "add" and len(kept) < MOST_ROWS:
        last = len(kept)
        new = {"name": "", "workload": result.get(f"{last}-workload", "")}
        result |= {f"{last + 1}-{name}": value for name, value in new.items()}
    return result


def plan_of(fields: Mapping[str, str], snapshot: Snapshot) -> dict[str, Any]:
    """A plan from the form's fields, still to be checked."""
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    plan: dict[str, Any] = {
        name: given[name] for name in COMMON if name in given and name not in _MADE
    }
    if "grid_kg_per_kwh" in plan:
        plan.pop("region", None)
    embodied = {field: given[name] for name, field in _MADE.items() if name in given}
    if embodied:
        plan["embodied"] = embodied
    plan["deployments"] = [_deployment(number, given, snapshot) for number in numbers(fields)]
    return plan


def _deployment(number: int, given: Mapping[str, str], snapshot: Snapshot) -> dict[str, Any]:
    """One deployment from its fields; without a candidate the advisor is asked."""
    own = {name: given[f"{number}-{name}"] for name in OWN if f"{number}-{name}" in given}
    floor = own.pop("min_acc", None)
    if "candidate" in own:
        return own
    workload = snapshot.workloads.get(own.get("workload", ""))
    task = workload.task if workload else own.get("workload", "")
    return own | {"recommend": {"task": task} | ({} if floor is None else {"min_acc": floor})}


def choices(snapshot: Snapshot) -> dict[str, Any]:
    """What the form offers: data sets with an accuracy by task, candidates, devices, regions."""
    judged: dict[str, set[str]] = {}
    for row in snapshot.current:
        if row.phase == "inference" and row.accuracy is not None:
            judged.setdefault(row.workload, set()).add(row.candidate)
    measured = {row.device for row in snapshot.current}
    tasks = {
        task: [name for name in names if name in judged] for task, names in snapshot.tasks().items()
    }
    return {
        "workloads": {task: names for task, names in tasks.items() if names},
        "candidates": sorted(set().union(*judged.values())) if judged else [],
        "devices": {
            "with measurements": sorted(name for name in snapshot.devices if name in measured),
            "estimated only": sorted(name for name in snapshot.devices if name not in measured),
        },
        "regions": sorted(grid.factors().values(), key=lambda entry: entry.name),
    }
