"""Tests of `calibration.fleet.passes`: who measures what next, without any network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.fleet.passes import (
    ATTEMPTS,
    Node,
    Pass,
    Patience,
    Unit,
    next_unit,
    place_of,
    stranded,
)
from calibration.fleet.passes import units as pending
from calibration.records import PROFILES, Trial


def trial(candidate: str = "x", scenario: str = "offline", *, present: bool = False) -> Trial:
    """A trial of 10 s on a CPU."""
    return Trial(
        candidate=candidate, workload="w", device="CPU", host="h", n_devices=1, phase="inference",
        scenario=scenario, backend="sklearn", precision="fp64", batch_size=1.0, present=present,
        estimated_s=10.0, energy={},
    )  # fmt: skip


def node(name: str, hardware: str | None = "hw", **values: object) -> Node:
    """A machine with one worker that was surveyed."""
    made = Node(name, name, "h", workers={f"tcp://{name}": 1}, hardware=hardware)
    made.surveyed = f"tcp://{name}" if hardware else None
    for field, value in values.items():
        setattr(made, field, value)
    return made


def a_pass(*units: Unit, hardware: str = "hw", home: str | None = None) -> Pass:
    """A pass with these units left."""
    return Pass("CPU", hardware, "run", list(units), home)


def test_units_are_pairs_without_what_is_present() -> None:
    """Trials of one candidate stay together; a pair that is measured makes no unit."""
    trials = [trial("a", "single"), trial("a"), trial("b", present=True), trial("c")]
    assert [[each.candidate for each in unit.open] for unit in pending(trials)] == [
        ["a"] * 2,
        ["c"],
    ]


def test_a_trial_is_settled_once() -> None:
    """A second row of it is not wanted, and its planned seconds count for a repeated fit."""
    unit = Unit([trial("a", "single"), trial("a")])
    assert unit.settle(trial("a"))
    assert not unit.settle(trial("a"))
    assert unit.planned_s == 10.0


def test_a_pass_stays_at_home() -> None:
    """While its machine is busy it waits, though a twin is idle; the twin steps in once it left."""
    unit, home, twin = Unit([trial()]), node("a", measures=True), node("b")
    one = a_pass(unit, home="a")
    assert next_unit(one, [one], [home, twin], 0) is None
    home.leave("tcp://a")
    assert next_unit(one, [one], [home, twin], 0) == (unit, twin)


def test_two_passes_use_two_machines_where_there_are_two() -> None:
    """The second pass leaves the first one's machine alone until that is finished."""
    first, second = a_pass(Unit([trial()]), home="a"), a_pass(Unit([trial()]))
    passes = [first, second]
    assert next_unit(second, passes, [node("a")], 0) is None
    found = next_unit(second, passes, [node("a"), node("b")], 0)
    assert found is not None
    assert found[1].id == "b"
    first.units.clear()
    assert next_unit(second, passes, [node("a")], 0) is not None


def test_where_it_hung_it_goes_last() -> None:
    """Another machine is preferred to that one, which still is better than none."""
    unit = Unit([trial()], attempts=1, avoid={"a"})
    one = a_pass(unit, home="a")
    found = next_unit(one, [one], [node("a"), node("b")], 0)
    assert found is not None
    assert found[1].id == "b"
    alone = next_unit(one, [one], [node("a"), node("c", "other")], 0)
    assert alone is not None
    assert alone[1].id == "a"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["hw", "other", None]), st.booleans(), st.booleans(), st.booleans()
        ),
        max_size=6,
    )
)
def test_nothing_is_ever_asked_of_a_machine_that_cannot(
    machines: list[tuple[str | None, bool, bool, bool]],
) -> None:
    """A machine at work, left out, busy for others or of other hardware gets no unit."""
    nodes = [
        node(
            f"n{number}", hardware, measures=measures, left_out="broken" if out else None,
            again_s=100.0 if waits else None,
        )
        for number, (hardware, measures, out, waits) in enumerate(machines)
    ]  # fmt: skip
    one = a_pass(Unit([trial()]))
    found = next_unit(one, [one], nodes, 50.0)
    able = [n for n in nodes if n.hardware == "hw" and not (n.measures or n.left_out or n.again_s)]
    assert (found is not None) == bool(able)
    if found is not None:
        assert found[1] in able


def test_without_a_machine_a_unit_is_given_up_after_a_while() -> None:
    """A machine that may turn out to fit stops the clock; one of other hardware does not."""
    unit = Unit([trial()])
    one = a_pass(unit)
    other = node("o", "other")
    assert stranded(one, [other], 0, 60) == []
    assert stranded(one, [other, node("new", None)], 59, 60) == []
    assert stranded(one, [other], 61, 60) == []
    assert stranded(one, [other], 120, 60) == []
    assert stranded(one, [other], 121, 60) == [unit]


def test_hardware_of_one_name_is_told_apart() -> None:
    """By a number, and by the pass over it."""
    assert place_of([trial()], 1, []) == "CPU"
    assert place_of([trial()], 1, ["CPU"]) == "CPU (2)"
    assert place_of([trial()], 2, ["CPU"]) == "CPU, pass 2"


def test_patience_grows_with_the_forecast() -> None:
    """Ten times what is planned, idle power included, and two minutes."""
    quick = PROFILES["quick"]
    assert Patience().allowance_s(20, quick) == pytest.approx(10 * (20 + 10) + 120)
    assert ATTEMPTS == 2
