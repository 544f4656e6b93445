"""Tests of `variants`: quantised and batched variants that raise energy are pointed out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend.advisor import recommend
from advisor.recommend.query import Query
from advisor.recommend.variants import dearer
from catalog.records import Candidate, Device, Measurement, Workload
from catalog.snapshot import Snapshot

ESTIMATOR = load()
CODE = "variant-raises-energy"


def row(joules: float, precision: str = "fp32", batch: float = 32.0, **values: Any) -> Measurement:
    """1,000 texts of candidate ``a`` on a CPU, repeats within 1 %."""
    cells: dict[str, Any] = {
        "run_id": "r",
        "source": "lab",
        "workload": "sst2",
        "candidate": "a",
        "device": "C",
        "scenario": "offline",
        "precision": precision,
        "batch_size": batch,
        "n_items": 1000.0,
        "runtime_s": 1.0,
        "cpu_j": joules,
        "cpu_label": "measured",
        "cv": 0.01,
        "accuracy": 0.8,
        "n_test": 1000,
    }
    return Measurement(**(cells | values))


def catalog(*rows: Measurement) -> Snapshot:
    """A snapshot of these rows."""
    return Snapshot(
        measurements=rows,
        devices={name: Device(name=name, kind="cpu", tdp_w=65.0) for name in "CD"},
        workloads={"sst2": Workload(name="sst2", task="sentiment")},
        candidates={
            name: Candidate(
                name=name, family="fine-tuned-encoder", n_parameters=6e7, checkpoint="o/m"
            )
            for name in "ab"
        },
        digest="d",
    )


def said(*rows: Measurement) -> str:
    """The sentence about variants of a question on machine C; empty where there is none."""
    query = Query(task="sentiment", min_acc=0.0, scope="device", device="C")
    answer = recommend(catalog(*rows), ESTIMATOR, query)
    return next((c.message for c in answer.warnings if c.code == CODE), "")


def test_int8_that_needs_more_is_named_with_both_figures() -> None:
    """Who would quantise learns what that costs."""
    text = said(row(100), row(126, "int8"))
    assert "a on C in batches of 32: int8 126 J per 1,000 texts, fp32 100 J" in text


def test_a_larger_batch_that_needs_more_is_named_with_both_figures() -> None:
    """Padding to the longest text may cost more than calls save."""
    text = said(row(100, batch=8), row(90, batch=32), row(150, batch=128))
    assert "a on C in fp32: batches of 128 150 J per 1,000 texts, batches of 32 90 J" in text
    assert "batches of 8 " not in text


@pytest.mark.parametrize(
    "other",
    [
        row(90, "int8"),
        row(102, "int8"),
        row(126, "int8", cpu_label="modelled"),
        row(126, "int8", batch=8.0),
        row(126, "int8", device="D"),
        row(126, "int8", host="another"),
        row(126, "int8", candidate="b"),
        row(126, "int8", scenario="single"),
        row(126, "int8", repeat_group="length-sorted"),
        row(104, "int8", cv=None),
    ],
    ids=[
        *("less", "overlapping", "modelled", "two-changes", "device", "host", "candidate"),
        *("scenario", "group", "noise"),
    ],
)
def test_what_cannot_be_said_to_raise_energy_is_not(other: Measurement) -> None:
    """Less, overlapping, not measured, of another machine, or differing in more than one thing."""
    assert not said(row(100), other)


def test_many_variants_are_counted() -> None:
    """Five are named, the others counted."""
    batches = [row(100.0 * n, batch=float(n)) for n in range(1, 9)]
    assert said(*batches).endswith("; and 2 more")


setups = st.builds(
    lambda joules, precision, batch, cv: row(joules, precision, batch, cv=cv),
    st.sampled_from([90.0, 100.0, 104.0, 110.0, 150.0]),
    st.sampled_from(["fp32", "bf16", "fp16", "int8"]),
    st.sampled_from([8.0, 32.0, 128.0]),
    st.sampled_from([None, 0.001, 0.01, 0.1]),
)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(setups, max_size=8, unique_by=lambda r: (r.precision, r.batch_size)))
def test_brute_force_finds_the_same_variants(rows: list[Measurement]) -> None:
    """Each setup against the cheapest plainer one."""
    bits = {"fp32": 32, "bf16": 16, "fp16": 16, "int8": 8}

    def ends(r: Measurement) -> tuple[float, float]:
        joules, half = r.cpu_j or 0.0, 0.05 if r.cv is None else 1.645 * r.cv
        return joules * math.exp(-half), joules * math.exp(half)

    def plainer(r: Measurement) -> tuple[list[Measurement], list[Measurement]]:
        others = [o for o in rows if o.precision == r.precision and o.batch_size < r.batch_size]  # type: ignore[operator]
        finer = [o for o in rows if o.batch_size == r.batch_size]
        return others, [o for o in finer if bits[o.precision or ""] > bits[r.precision or ""]]

    raised = set()
    for r in rows:
        for plain in plainer(r):
            if plain:
                least = min(o.cpu_j or 0.0 for o in plain)
                tops = [ends(o)[1] for o in plain if o.cpu_j == least]
                if ends(r)[0] > max(tops):
                    raised.add((r.precision, r.batch_size))
                elif ends(r)[0] > min(tops):
                    return  # two plain setups of equal energy: either may be the one compared
    found = dearer(rows, catalog(*rows), "device")
    assert {(pair.variant.precision, pair.variant.batch_size) for pair in found} == raised
    assert all(pair.joules[0] > pair.joules[1] for pair in found)
