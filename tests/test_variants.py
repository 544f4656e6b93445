"""Tests of `variants`: quantised and batched variants that raise energy are pointed out."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend.advisor import Advisor, recommend
from advisor.recommend.query import Query
from advisor.recommend.records import Recommendation
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
            name: Candidate(name=name, family="fine-tuned-encoder", n_parameters=6e7)
            for name in "ab"
        },
        digest="d",
    )


def query(**asked: Any) -> Query:
    """A question in scope `device`."""
    return Query(**({"task": "sentiment", "min_acc": 0.0, "scope": "device"} | asked))


def ask(*rows: Measurement, **asked: Any) -> Recommendation:
    """The answer from some rows."""
    return recommend(catalog(*rows), ESTIMATOR, query(**asked))


def said(answer: Recommendation) -> str:
    """The sentence about variants; empty where there is none."""
    return next((c.message for c in answer.warnings if c.code == CODE), "")


def test_int8_that_needs_more_is_named_with_both_figures() -> None:
    """The plain setup is chosen, and who would have quantised learns what that costs."""
    answer = ask(row(100), row(126, "int8"))
    assert answer.chosen is not None
    assert (answer.chosen.precision, CODE in answer.chosen.warnings) == ("fp32", False)
    assert [CODE in option.warnings for option in answer.alternatives] == [True]
    assert "a on C in batches of 32: int8 126 J per 1,000 texts, fp32 100 J" in said(answer)


def test_a_larger_batch_that_needs_more_is_named_with_both_figures() -> None:
    """Padding to the longest text may cost more than calls save."""
    answer = ask(row(100, batch=8), row(90, batch=32), row(150, batch=128))
    assert "a on C in fp32: batches of 128 150 J per 1,000 texts, batches of 32 90 J" in said(
        answer
    )
    assert "batches of 8 " not in said(answer)


def test_a_variant_is_named_where_it_alone_is_offered() -> None:
    """Its plain setup may miss a limit: the chosen variant still says that it raises energy."""
    slow, quick = row(100, latency_p95_ms=50.0), row(126, "int8", latency_p95_ms=5.0)
    answer = ask(slow, quick, max_latency_ms=10)
    assert answer.chosen is not None
    assert (answer.chosen.precision, CODE in answer.chosen.warnings) == ("int8", True)
    assert "int8 126 J" in said(answer)


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
    answer = ask(row(100), other)
    assert not said(answer)
    options = (answer.chosen, *answer.alternatives, *answer.other_groups)
    assert not any(CODE in option.warnings for option in options if option)


def test_options_listed_apart_are_told_too() -> None:
    """A variant of another scenario that the answer lists."""
    apart = {"scenario": "single", "batch_size": 1.0}
    answer = ask(row(100), row(300, **apart), row(400, "bf16", **apart))
    assert "in batches of 1: bf16 400 J per 1,000 texts, fp32 300 J" in said(answer)


def test_many_variants_are_counted() -> None:
    """Five are named, the others counted."""
    batches = [row(100.0 * n, batch=float(n)) for n in range(1, 9)]
    assert said(ask(*batches)).endswith("; and 2 more")


setups = st.builds(
    lambda joules, precision, batch, cv, share: row(
        joules, precision, batch, cv=cv, accuracy=share
    ),
    st.sampled_from([90.0, 100.0, 104.0, 110.0, 150.0]),
    st.sampled_from(["fp32", "bf16", "fp16", "int8"]),
    st.sampled_from([8.0, 32.0, 128.0]),
    st.sampled_from([None, 0.001, 0.01, 0.1]),
    st.sampled_from([0.6, 0.7, 0.8]),
)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(setups, max_size=8, unique_by=lambda r: (r.precision, r.batch_size)),
    floors=st.lists(st.sampled_from([0.0, 0.65, 0.75, 0.9]), min_size=1, max_size=3),
)
def test_brute_force_finds_the_same_variants_at_every_floor(
    rows: list[Measurement], floors: list[float]
) -> None:
    """Each setup against the cheapest plainer one; kept answers are those of a fresh advisor."""
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
    advisor = Advisor(catalog(*rows), ESTIMATOR)
    for floor in floors:
        for limit in (1, 100):
            each = query(min_acc=floor, limit=limit)
            fresh = recommend(catalog(*rows), ESTIMATOR, each)
            assert advisor.encode(each) == msgspec.json.encode(fresh)
            for option in (fresh.chosen, *fresh.alternatives, *fresh.front):
                if option is not None:
                    setup = (option.precision, option.batch_size)
                    assert (CODE in option.warnings) == (setup in raised)
                    if setup in raised:
                        assert said(fresh)
