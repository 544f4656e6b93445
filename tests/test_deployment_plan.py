"""Tests of `advisor.report.plan`: every bad field is named with what came and what is allowed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from advisor.report.plan import PlanError, PlanProblem, checked, read
from advisor.report.schema import MOST_DEPLOYMENTS, Plan

GOOD: dict[str, Any] = {
    "name": "desk",
    "candidate": "tfidf-word-logistic",
    "workload": "sst2",
    "device": "NVIDIA A30",
    "texts_per_day": 1000,
}
ASKED: dict[str, Any] = {
    "name": "desk",
    "recommend": {"task": "sentiment", "min_acc": 0.8},
    "texts_per_day": 1000,
}


def problems(deployment: dict[str, Any], **plan: Any) -> list[PlanProblem]:
    """The faults of a plan of one deployment."""
    with pytest.raises(PlanError) as caught:
        checked({"deployments": [deployment], **plan})
    assert not caught.value.nothing_qualifies
    return caught.value.problems


BAD = [
    ("texts_per_day", 0),
    ("texts_per_day", "many"),
    ("texts_per_day", float("nan")),
    ("peak_rate", -1),
    ("hours_per_day", 25),
    ("hours_per_day", 0),
    ("machines", 0),
    ("machines", 1.5),
    ("idle_w", -5),
    ("pue", 0.9),
    ("pue", float("inf")),
    ("scope", "device"),
    ("scenario", "unstated"),
    ("retrainings", -1),
    ("training_kwh", -1),
    ("runtime_s_per_1000", 0),
    ("period_days", 0),
    ("price_per_kwh", -0.1),
    ("batch_size", 0),
    ("name", ""),
    ("off_when_idle", "perhaps"),
    ("grid_kg_per_kwh", -0.1),
    ("grid_kg_per_kwh", "green"),
    ("grid_kg_per_kwh", 380),
]


@pytest.mark.parametrize(("field", "came"), BAD)
def test_a_bad_value_names_deployment_field_value_and_what_is_allowed(
    field: str, came: Any
) -> None:
    """One sentence is enough to mend the plan."""
    (fault,) = problems(GOOD | {field: came})
    assert fault.field == field
    assert fault.deployment == ("1" if field == "name" else "desk")
    assert fault.allowed.startswith("allowed: ")
    assert str(fault.came) == str(came)
    assert field in str(fault)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"texts_per_dya": 5}, "texts_per_dya"),
        ({"recommend": {"task": "sentiment", "min_acc": 2}, "candidate": None}, "min_acc"),
        ({"recommend": {"task": "sentiment"}, "candidate": None}, "recommend.min_acc"),
        ({"device": {"kind": "tpu"}}, "device.kind"),
        ({"device": {"tdp_w": 300}}, "device.kind"),
        ({"device": {"kind": "gpu", "tdp": 300}}, "device.tdp"),
        ({"device": 3}, "device"),
        ({"grid_kg_per_kwh": {"low": 0.5, "value": 0.4, "high": 0.6}}, "grid_kg_per_kwh"),
        ({"grid_kg_per_kwh": {"value": 0.4}}, "grid_kg_per_kwh.low"),
        ({"embodied": {"kg_per_machine": 100}}, "embodied.lifetime_years"),
        ({"period_days": 3, "period_years": 1}, "period_days"),
        ({"region": "DE", "grid_kg_per_kwh": 0.4}, "region"),
    ],
)
def test_a_bad_shape_is_named_by_its_path(change: dict[str, Any], field: str) -> None:
    """Misspelt, missing, nested and contradicting fields are all found."""
    given = {name: value for name, value in (GOOD | change).items() if value is not None}
    assert field in ", ".join(fault.field for fault in problems(given))


@pytest.mark.parametrize(
    ("deployment", "field"),
    [
        ({"texts_per_day": 5}, "candidate"),
        (GOOD | {"recommend": ASKED["recommend"]}, "candidate"),
        ({k: v for k, v in GOOD.items() if k != "device"}, "device"),
        ({k: v for k, v in GOOD.items() if k != "workload"}, "workload"),
        ({k: v for k, v in GOOD.items() if k != "texts_per_day"}, "texts_per_day"),
        (ASKED | {"precision": "fp16"}, "precision"),
    ],
)
def test_what_belongs_together_is_asked_for(deployment: dict[str, Any], field: str) -> None:
    """A candidate needs its device and workload; one of candidate and recommend is needed."""
    assert [fault.field for fault in problems(deployment)] == [field]


def test_every_fault_of_a_plan_is_listed() -> None:
    """Nobody mends a plan of a thousand deployments one error at a time."""
    bad = GOOD | {"pue": 0}
    with pytest.raises(PlanError) as caught:
        checked({"deployments": [bad] * 70 + [GOOD], "currency": ""})
    assert len(caught.value.problems) == 71
    assert "and 21 more" in str(caught.value)


@pytest.mark.parametrize("found", [[], "plan", {}, {"deployments": []}, {"deployments": [3]}])
def test_what_is_no_plan_is_refused(found: Any) -> None:
    """A list, a text, an empty table, an empty list."""
    with pytest.raises(PlanError):
        checked(found)


def test_too_many_deployments_are_refused() -> None:
    """There is a limit, and it is said."""
    with pytest.raises(PlanError, match=str(MOST_DEPLOYMENTS)):
        checked({"deployments": [GOOD] * (MOST_DEPLOYMENTS + 1)})


def test_toml_and_json_are_the_same_plan() -> None:
    """Both are read; numbers may be whole; a device may be specs; intervals may be tables."""
    text = """
    title = "Year"
    pue = 1.2
    [[deployments]]
    candidate = "tfidf-word-logistic"
    workload = "sst2"
    device = {kind = "cpu", tdp_w = 65}
    grid_kg_per_kwh = {low = 0.3, value = 0.4, high = 0.5}
    texts_per_day = 1_000
    """
    same = {
        "title": "Year",
        "pue": 1.2,
        "deployments": [
            GOOD
            | {
                "device": {"kind": "cpu", "tdp_w": 65},
                "grid_kg_per_kwh": {"low": 0.3, "value": 0.4, "high": 0.5},
            }
        ],
    }
    del same["deployments"][0]["name"]
    plan = read(text, "toml")
    assert isinstance(plan, Plan)
    assert plan == read(json.dumps(same).encode(), "json")


@pytest.mark.parametrize(
    ("content", "form"),
    [(b"title = ", "toml"), (b"{", "json"), (b"\xff\xfe", "json"), (b"[" * 100_000, "json")],
)
def test_broken_documents_are_one_clear_error(content: bytes, form: Any) -> None:
    """Neither a stray byte nor endless nesting is a fault of ours."""
    with pytest.raises(PlanError) as caught:
        read(content, form)
    assert caught.value.problems[0].field == "plan"
    assert form.upper() in str(caught.value)
