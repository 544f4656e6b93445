"""Tests of the plots' geometry: where a value stands, recomputed."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.estimator.estimator import load
from advisor.recommend import advisor as policy
from advisor.recommend.query import Query
from advisor.recommend.records import Recommendation
from api.pages import estimator, plots, wording
from catalog import snapshot

CATALOG, ESTIMATOR = snapshot.load(), load()


def ask(**asked: object) -> Recommendation:
    """An answer of the bundled catalog."""
    query = Query(**({"task": "sentiment", "min_acc": 0.85} | asked))  # type: ignore[arg-type]
    return policy.recommend(CATALOG, ESTIMATOR, query)


@given(st.floats(1e-6, 1e9), st.floats(1.5, 1e6), st.floats(0, 1))
def test_a_logarithmic_axis_is_logarithmic(low: float, ratio: float, share: float) -> None:
    """A value a share of the way in logarithms stands that share of the way in pixels."""
    axis = plots.Scale(low=low, high=low * ratio, start=40, end=640, log=True)
    value = low * ratio**share
    assert axis.at(value) == pytest.approx(40 + 600 * share, abs=0.1)


@given(st.floats(1e-3, 1e8), st.floats(1.2, 1e7), st.booleans())
def test_ticks_are_few_round_and_on_the_axis(low: float, ratio: float, log: bool) -> None:
    """Never more than about a dozen, in order, all between the ends."""
    axis = plots.Scale(low=low, high=low * ratio, start=0, end=600, log=log)
    places = [tick.at for tick in axis.ticks()]
    assert len(places) <= 14
    assert places == sorted(places)
    assert all(0 <= at <= 600 for at in places)


@pytest.mark.parametrize("width", [360, 680])
def test_marks_stand_where_their_figures_say(width: int) -> None:
    """Higher accuracy is higher up, more energy further right; intervals hold their marks."""
    plot = plots.accuracy_over_energy(ask(), width, 400)
    assert plot is not None
    for mark in plot.marks:
        assert mark.option.accuracy is not None
        assert (mark.y <= plot.floor) == (mark.option.accuracy.value >= 0.85)
        assert plot.left <= mark.x_low <= mark.x <= mark.x_high <= plot.right
        assert plot.top <= mark.y_high <= mark.y <= mark.y_low <= plot.bottom
    energies = [(m.option.energy_j_per_1000.value or math.inf, m.x) for m in plot.marks]
    assert [x for _, x in sorted(energies)] == sorted(m.x for m in plot.marks)


def test_everything_an_answer_ranks_is_in_its_plot() -> None:
    """Chosen, alternatives and front are marked once each; the line runs through the front."""
    answer = ask()
    plot = plots.accuracy_over_energy(answer, 680, 400)
    assert plot is not None
    shown = [wording.option_key(mark.option) for mark in plot.marks]
    wanted = {
        wording.option_key(o)
        for o in (answer.chosen, answer.chosen_by_point, *answer.alternatives, *answer.front)
        if o
    }
    assert set(shown) == wanted
    assert len(shown) == len(set(shown))
    assert [mark.chosen for mark in plot.marks].count(True) == 1
    steps = [float(x) for x in re.findall(r"[MH]([\d.]+)", plot.front)]
    assert steps == sorted(steps)
    assert len(steps) == len(answer.front) + 1


def test_labels_never_cover_one_another() -> None:
    """Names are left out where there is no room; the chosen option's stands."""
    plot = plots.accuracy_over_energy(ask(min_acc=0.0), 680, 400)
    assert plot is not None
    boxes = []
    for mark in plot.marks:
        if mark.label:
            wide = 6.7 * len(mark.label)
            left = mark.label_x - (wide if mark.anchor == "end" else 0)
            boxes.append((left, mark.label_y - 11, left + wide, mark.label_y + 4))
    assert boxes
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_an_answer_without_options_has_no_plot() -> None:
    """Where nothing has both figures, no empty frame is drawn."""
    assert plots.accuracy_over_energy(ask(task="intent", basis="measured"), 680, 400) is None


def test_the_scorecards_plots_show_its_figures() -> None:
    """Every method's error has a line as long as its logarithm says; coverage likewise."""
    card = ESTIMATOR.scorecard
    plot = estimator.errors(card, 1000)
    values = [bar.value for panel in plot.panels for bar in panel.bars]
    assert sorted(values) == sorted(
        own["mdape_macro_device"] for *_, own in estimator.figures(card)
    )
    ordered = sorted((bar.value, bar.x) for panel in plot.panels for bar in panel.bars)
    assert [x for _, x in ordered] == sorted(x for _, x in ordered)
    held = estimator.coverage(card, 1000)
    for panel in held.panels:
        for bar in panel.bars:
            assert held.mark is not None
            assert (bar.x >= held.mark) == (bar.value >= 90) or abs(bar.value - 90) < 0.1
    assert len(estimator.sentences(card)) == len(card["splits"])
