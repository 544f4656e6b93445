"""Tests of `energy_arithmetic`: the arithmetic of one deployment, as properties and by hand."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.energy_arithmetic import (
    Setting,
    break_even_texts,
    embodied_kg,
    joules,
    left_over,
    machines_for,
)
from catalog.quantity import UNKNOWN, ZERO, Quantity, total

positive = st.floats(1e-6, 1e9)
ends = st.lists(positive, min_size=3, max_size=3).map(lambda found: Quantity(*sorted(found)))


def ordered(amount: Quantity) -> bool:
    """Whether low <= value <= high, up to the last bits."""
    there = [end for end in (amount.low, amount.value, amount.high) if end is not None]
    return all(a <= b * (1 + 1e-12) + 1e-9 for a, b in itertools.pairwise(there))


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    """A deployment's setting in which the machines can do the work."""
    texts, runtime, spare = draw(positive), draw(ends), draw(st.floats(1, 100))
    busy = texts * (runtime.value or 0.0) * spare
    return Setting(
        texts=texts,
        j_per_text=draw(ends),
        runtime_s=runtime,
        machine_s=Quantity.exact(busy),
        idle_w=draw(st.none() | ends | positive.map(lambda w: Quantity(w, w, None))),
        idle_in_run=draw(st.none() | positive),
        holds_idle=draw(st.booleans()),
        off_when_idle=draw(st.booleans()),
    )


@given(settings())
def test_low_value_and_high_stand_in_order(setting: Setting) -> None:
    """Whatever is known or not, every interval holds its value, and so does the sum."""
    found = joules(setting)
    assert ordered(found.inference)
    assert ordered(found.idle)
    assert ordered(total((found.inference, found.idle)))


@given(settings())
def test_doubling_texts_doubles_inference_exactly(setting: Setting) -> None:
    """Twice the texts on enough machines are twice the inference joules, to the last bit."""
    once = joules(setting)
    twice = joules(
        Setting(
            **{name: getattr(setting, name) for name in setting.__struct_fields__}
            | {"texts": 2 * setting.texts}
        )
    )
    assert twice.inference == once.inference * 2
    assert twice.inference_method == once.inference_method


@given(ends, st.lists(ends, min_size=1, max_size=5))
def test_sums_and_products_keep_the_order(factor: Quantity, amounts: list[Quantity]) -> None:
    """Adding and multiplying ends end by end never puts low above high."""
    assert ordered(total(amounts))
    assert ordered(factor * amounts[0])


def test_net_and_gross_come_to_the_same_total() -> None:
    """Net joules plus all hours idle are gross joules plus the remaining hours idle.

    10,000 texts x 2 J, 0.01 s each; 30 W idle; one machine for 1 h: busy 100 s, so
    20,000 J + 30 W x 3,500 s = 125,000 J; net: 10,000 x (2 - 0.3) + 30 x 3,600 = 125,000 J.
    """
    common = {
        "texts": 10_000.0,
        "j_per_text": Quantity(1.9, 2.0, 2.1),
        "runtime_s": Quantity.exact(0.01),
        "machine_s": Quantity.exact(3600.0),
        "idle_w": Quantity.exact(30.0),
    }
    gross, net = joules(Setting(**common)), joules(Setting(**common, idle_in_run=30.0))
    assert (gross.inference_method, net.inference_method) == ("inference-gross", "inference-net")
    assert gross.inference.value == pytest.approx(20_000)
    assert gross.idle.value == pytest.approx(105_000)
    assert net.inference.value == pytest.approx(17_000)
    assert net.idle.value == pytest.approx(108_000)
    for found in (gross, net):
        assert total((found.inference, found.idle)).value == pytest.approx(125_000)


def test_unknown_idle_is_missing_and_leaves_the_sum_open() -> None:
    """Nobody's watts make no value and no upper end, never a silent 0."""
    found = joules(
        Setting(
            texts=1e3,
            j_per_text=Quantity.exact(1.0),
            runtime_s=Quantity.exact(0.1),
            machine_s=Quantity.exact(3600),
            idle_w=None,
        )
    )
    assert found.idle == UNKNOWN
    assert found.idle_method == "idle-missing"
    assert total((found.inference, found.idle)) == Quantity(1000.0, 1000.0, None)


def test_a_server_measurement_already_holds_its_idle() -> None:
    """Waiting at the measured rate is not charged again; hours beyond what it fills are."""
    setting = Setting(
        texts=1e3,
        j_per_text=Quantity.exact(1.0),
        runtime_s=Quantity.exact(0.1),
        machine_s=Quantity.exact(100),
        idle_w=Quantity.exact(50),
        idle_in_run=50.0,
        holds_idle=True,
    )
    found = joules(setting)
    assert (found.idle, found.idle_method) == (ZERO, "idle-in-inference")
    longer = joules(msgspec.structs.replace(setting, machine_s=Quantity.exact(3600)))
    assert (longer.idle, longer.idle_method) == (Quantity.exact(50 * 3500), "idle-remaining")
    assert found.inference.value == pytest.approx(1000)


def test_a_published_bound_counts_at_the_bound() -> None:
    """Where a source prints only "under 2 J", 2 J count, and 0 is the low end."""
    setting = Setting(
        texts=10,
        j_per_text=Quantity(0.0, None, 2.0),
        runtime_s=Quantity.exact(0.1),
        machine_s=Quantity.exact(1),
        idle_w=Quantity.exact(10),
        idle_in_run=10.0,
    )
    found = joules(setting)
    assert found.inference == Quantity(0.0, 20.0, 20.0)
    assert found.inference_method == "inference-bound"
    assert found.idle_method == "idle-remaining"


def test_idle_never_goes_below_nothing() -> None:
    """Machines that are busy all the time have no idle hours left."""
    setting = Setting(
        texts=100,
        j_per_text=Quantity.exact(1.0),
        runtime_s=Quantity(0.9, 1.0, 1.3),
        machine_s=Quantity.exact(100),
        idle_w=Quantity.exact(10),
    )
    assert joules(setting).idle == Quantity(0.0, 0.0, pytest.approx(100.0))


@given(
    st.floats(0.1, 1e4),
    st.floats(0, 1),
    st.tuples(*[st.floats(1e-4, 1e-1)] * 3).map(sorted),
)
def test_what_is_left_over_lies_between_its_ends(
    rate: float, share: float, runtime: list[float]
) -> None:
    """Whatever the runtime in its interval is, just enough machines leave no less and no more."""
    found = left_over(rate, share, Quantity(*runtime))
    assert ordered(found)
    low, _, high = runtime
    steps = [low + (high - low) * part / 500 for part in range(501)]
    full = [n / rate for n in range(1, 2000) if low <= n / rate <= high][:200]
    left = [machines_for(rate, t) - share * rate * t for t in (*steps, *full)]
    assert found.high is not None
    scale = 1e-6 * (1 + rate * high)
    assert all(found.low - scale <= each <= found.high + scale for each in left)
    if full:
        assert min(left) <= found.low + scale


@pytest.mark.parametrize(
    ("rate", "seconds", "needed"), [(1, 0.5, 1), (2, 0.5, 1), (2.1, 0.5, 2), (100, 0.1, 10)]
)
def test_machines_reach_the_rate(rate: float, seconds: float, needed: int) -> None:
    """Just enough machines, without a spare one for rounding."""
    assert machines_for(rate, seconds) == needed


def test_embodied_share_is_the_share_of_the_service_life() -> None:
    """A machine of 1,000 kg and 4 years, on for one of them all day: a quarter for each."""
    hours = 365.25 * 24
    assert embodied_kg(1000, 4, 3, hours) == pytest.approx(750)


@given(ends, ends, ends)
def test_break_even_pays_the_training_back(
    training: Quantity, own: Quantity, other: Quantity
) -> None:
    """After so many texts what was saved is what the training cost; else it never is."""
    texts = break_even_texts(training, own, other)
    saved = (other.value or 0) - (own.value or 0)
    if texts is None:
        assert saved <= 0
        return
    assume(saved > 1e-3)
    assert texts.value is not None
    assert texts.value * saved == pytest.approx(training.value)
    assert ordered(texts)


def test_a_difference_turns_the_ends_round() -> None:
    """What is saved least is the low end against the other's high end."""
    found = Quantity(8, 10, 12) - Quantity(1, 2, 3)
    assert (found.low, found.value, found.high) == (5, 8, 11)
    open_above = Quantity(8, 10, None) - Quantity(1, 2, None)
    assert (open_above.low, open_above.value, open_above.high) == (None, 8, None)
    assert (Quantity(0, None, 3) - Quantity.exact(1)).value is None
