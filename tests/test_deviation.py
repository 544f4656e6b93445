"""Tests of `advisor.deviation`: conditioning on rows, against sums worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.deviation import (
    MANY_ROWS,
    MOST_ELSEWHERE,
    MOST_ROWS,
    OF_DEVICE,
    OF_SOURCE,
    POWER,
    Deviation,
    Known,
    related,
    thinned,
)

HERE = np.zeros((1, 6))


def known(residual: list[float], source: str = "us", places: float = 0.0) -> Known:
    """Rows at one place."""
    n = len(residual)
    return Known([source] * n, np.full((n, 6), places), np.array(residual))


@given(residual=st.floats(-2, 2))
def test_one_row_is_believed_by_its_share_of_the_variance(residual: float) -> None:
    """At the same place: (offset + local) over all of it; far away the offset alone counts."""
    process = Deviation("m", {"m": known([residual])}, POWER)
    shared, total = POWER.offset**2 + POWER.local**2, POWER.total**2
    mean, spread = process.at("us", HERE)
    assert mean[0] == pytest.approx(residual * shared / total)
    assert spread[0] == pytest.approx(np.sqrt(total - shared**2 / total))
    far, _ = process.at("us", HERE + 100)
    assert far[0] == pytest.approx(residual * POWER.offset**2 / total)


def test_more_rows_are_believed_more_and_leave_less_spread() -> None:
    """With every further row the mean nears what was seen and the spread falls, to the noise."""
    means, spreads = [], []
    for n in (1, 2, 5, 40):
        mean, spread = Deviation("m", {"m": known([1.0] * n)}, POWER).at("us", HERE)
        means.append(mean[0])
        spreads.append(spread[0])
    assert means == sorted(means)
    assert spreads == sorted(spreads, reverse=True)
    assert means[-1] == pytest.approx(1, abs=0.01)
    assert spreads[-1] >= POWER.noise


@pytest.mark.parametrize(
    ("machine", "team", "share"),
    [
        ("m", "suite|here", 1.0),
        ("m", "suite|there", OF_DEVICE + OF_SOURCE),
        ("m", "them", OF_DEVICE),
        ("other", "suite|here", OF_SOURCE),
        ("other", "suite|there", OF_SOURCE),
        ("other", "them", 0.0),
    ],
)
def test_rows_of_other_teams_and_machines_count_in_part(
    machine: str, team: str, share: float
) -> None:
    """The device is common to all teams, the source to all machines; the rest is one team's."""
    process = Deviation("m", {machine: known([1.0], source=team)}, POWER)
    own, _ = Deviation("m", {"m": known([1.0], source="suite|here")}, POWER).at("suite|here", HERE)
    found, _ = process.at("suite|here", HERE)
    assert found == pytest.approx(share * own)


def test_what_a_source_saw_elsewhere_counts_until_a_machine_is_well_known() -> None:
    """Its rows on other machines, a share of each; none of other sources, none beyond ten rows."""
    memory = {
        "a": known([1.0] * 3),
        "b": Known(
            ["us"] * 400 + ["them"],
            np.random.default_rng(0).normal(size=(401, 6)),
            np.arange(401.0),
        ),
        "c": known([2.0], source="them"),
    }
    found = related(memory, "a", memory, "us")
    assert {name: len(rows.sources) for name, rows in found.items()} == {
        "a": 3,
        "b": MOST_ELSEWHERE,
    }
    assert {*found["b"].sources} == {"us"}
    assert [*related(memory, "new", memory, "us")] == ["a", "b"]
    assert [*related({**memory, "a": known([1.0] * MANY_ROWS)}, "a", memory, "us")] == ["a"]
    assert [*related(memory, "a", memory, "")] == ["a"]
    assert related(memory, "new", memory, "") == {}


def test_many_rows_are_thinned_evenly_and_repeats_count_once() -> None:
    """Of each source the most allowed are kept; equal rows are one."""
    random = np.random.default_rng(0)
    rows = Known(["a"] * 500 + ["b"] * 3, random.normal(size=(503, 6)), random.normal(size=503))
    kept = thinned(rows)
    assert kept.count("a") == MOST_ROWS
    assert kept.count("b") == 3
    assert np.mean(kept.residual) == pytest.approx(np.mean(rows.residual), abs=0.15)
    twice = rows.joined(rows)
    assert len(thinned(twice).sources) == len(kept.sources)
