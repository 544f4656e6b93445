"""Tests of `machine_effects`: conditioning on rows, against sums worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.estimator.machine_effects import (
    MANY_ROWS,
    MOST_ELSEWHERE,
    MOST_ROWS,
    OF_DEVICE,
    OF_SOURCE,
    POWER,
    Deviation,
    Known,
    seen_by,
    thinned,
)
from advisor.estimator.model import Deviations, Memory

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
        ("m", "calibration|here", 1.0),
        ("m", "calibration|there", OF_DEVICE + OF_SOURCE),
        ("m", "them|here", OF_DEVICE),
        ("other", "calibration|here", OF_SOURCE),
        ("other", "calibration|there", OF_SOURCE),
        ("other", "them|there", 0.0),
    ],
)
def test_rows_of_other_teams_and_machines_count_in_part(
    machine: str, team: str, share: float
) -> None:
    """The device is common to all teams, the source to all machines; the rest is one team's."""
    process = Deviation("m", {machine: known([1.0], source=team)}, POWER)
    own, _ = Deviation("m", {"m": known([1.0], source="calibration|here")}, POWER).at(
        "calibration|here", HERE
    )
    found, _ = process.at("calibration|here", HERE)
    assert found == pytest.approx(share * own)


def test_what_a_source_saw_elsewhere_is_bounded() -> None:
    """As many rows of each machine, however many teams or machines of the source there are."""
    random = np.random.default_rng(0)
    teams = [f"calibration|host{i % 20}" for i in range(600)] + ["them"]
    big = Known(teams, random.normal(size=(601, 6)), np.arange(601.0))
    memory = {"a": known([1.0], "calibration|x"), "b": big, "c": known([2.0], source="them")}
    found = seen_by("calibration", memory, memory)
    sizes = {name: len(rows.sources) for name, rows in found.items()}
    assert sizes == {"a": 1, "b": MOST_ELSEWHERE // 2}
    assert "them" not in found["b"].sources
    many = {f"m{i}": known([1.0, 2.0], "calibration|x") for i in range(400)}
    assert sum(len(rows.sources) for rows in seen_by("calibration", many, many).values()) <= (
        MOST_ELSEWHERE
    )
    assert seen_by("nobody", memory, memory) == {}


def test_rows_elsewhere_count_until_a_machine_is_well_known() -> None:
    """They move a machine with few rows of the team, in their own scope, and none with ten."""
    memory = Memory(
        power={
            "few|host": known([0.0]),
            "many|host": known([0.0] * MANY_ROWS),
            "other|host": known([1.0] * 5),
            "other|wall": known([-9.0] * 5),
        },
        time={},
    )
    deviations = Deviations(memory)

    def mean(name: str, team: str = "us") -> float:
        return float(deviations.power([name], [team], HERE)[0, 0])

    assert 0 < mean("few|host") < mean("new|host") < 1
    assert mean("many|host") == 0
    assert mean("new|host", "") == mean("new|host", "them") == 0
    assert deviations.known("few|host", "us") == (1, True)
    assert deviations.known("new|host", "") == (0, False)
    assert not deviations.elsewhere("other|wall", "us")


def test_a_row_in_another_scope_leaves_what_the_source_told() -> None:
    """A machine seen in another scope by somebody else is no less sure than one never seen."""
    power = {"other|host": known([1.0] * 5)}
    blank = Deviations(Memory(power=power)).power(["m|host"], ["us"], HERE)
    seen = Deviations(Memory(power={**power, "m|device": known([0.0], source="them")}))
    mean, spread = seen.power(["m|host"], ["us"], HERE)
    assert spread == blank[1] < POWER.total
    assert mean == pytest.approx(blank[0])


def test_one_process_serves_every_team_that_asks_for_nothing_else() -> None:
    """Well-known machines are inverted once, and unknown names are not kept."""
    rows = Known([f"t{i % 3}" for i in range(60)], np.zeros((60, 6)), np.arange(60.0))
    deviations = Deviations(Memory(power={"m|host": rows}))
    deviations.power(["m|host"] * 3 + ["new|host"], ["t0", "t1", "t2", "x"], np.zeros((4, 6)))
    assert len(deviations._made) == 1


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
