"""Tests of the plots of held-out devices: what they show is what the scorecard says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from advisor.estimator import estimator
from api.pages import held_out

CARD = estimator.load().scorecard
PART = CARD["splits"]["device"]
WIDTHS = (350, 1040)


def test_every_held_out_device_has_its_plot() -> None:
    """Each is drawn once with its own figures, the smallest error first."""
    drawn = held_out.devices(CARD)
    told = {own["device"]: own for own in PART["by_device"]}
    assert {own.device for own in drawn} == {row[0] for row in PART["points"]}
    assert len(drawn) == len({own.device for own in drawn})
    assert [own.mdape for own in drawn] == sorted(own.mdape for own in drawn)
    for own in drawn:
        assert (own.n, own.coverage90) == (told[own.device]["n"], told[own.device]["coverage90"])
        assert len(own.dots) == sum(row[0] == own.device for row in PART["points"])


def test_a_dot_is_above_the_diagonal_where_too_much_was_predicted() -> None:
    """On the diagonal x and y add up to the side; intervals hold the dots of their predictions."""
    for own in held_out.devices(CARD):
        rows = [row[1:] for row in PART["points"] if row[0] == own.device]
        for dot, (measured, predicted, _, _) in zip(own.dots, rows, strict=True):
            beyond = own.side - dot.x - dot.y
            assert abs(beyond) <= 0.2 or (beyond > 0) == (predicted > measured)
            assert dot.low >= dot.y >= dot.high
            assert own.start <= dot.x <= own.end
            assert own.start <= dot.y <= own.end


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["errors", "coverage"])
def test_curves_are_as_high_as_their_figures(width: int, name: str) -> None:
    """A larger figure stands higher, whatever its method; more probe runs stand further right."""
    plot = getattr(held_out, name)(CARD, width)
    marks = [mark for curve in plot.curves for mark in curve.marks]
    by_value = sorted((float(v.split("\u202f")[0].replace(",", "")), y) for _, y, v in marks)
    heights = [y for _, y in by_value]
    assert all(below >= above - 1 for below, above in pairwise(heights))
    for curve in plot.curves:
        across = [x for x, _, _ in curve.marks]
        assert across == sorted(across)
        assert len(across) == len(PART["probes"])


@pytest.mark.parametrize("width", WIDTHS)
def test_ours_is_told_with_and_without_a_runtime(width: int) -> None:
    """Joulewise's own two curves and the rules it is compared with are there, labels apart."""
    plot = held_out.errors(CARD, width)
    assert plot is not None
    assert sorted(curve.known for curve in plot.curves if curve.ours) == [False, True]
    assert [curve for curve in plot.curves if not curve.ours]
    heights = sorted(curve.label_y for curve in plot.curves)
    assert all(below - above >= 16 for above, below in pairwise(heights))
    assert heights[-1] <= plot.height


def test_the_table_has_every_figure_of_the_curves() -> None:
    """What is drawn of ours can be read as numbers too."""
    told = {
        (words, k): own for split, words, k, own in held_out.by_probes(CARD) if split == "device"
    }
    for k, own in PART["probes"].items():
        assert told["runtime measured", int(k)] == own
    for k, own in PART["probes_unknown_runtime"].items():
        assert told["runtime estimated too", int(k)] == own
    assert told["runtime measured, runs picked", 3] == PART["picked"]["3"]


def test_a_scorecard_without_held_out_devices_draws_nothing() -> None:
    """An estimator trained elsewhere may tell less; no empty frame is drawn then."""
    card = {"splits": {"model": {"known_runtime": {}}}}
    assert held_out.devices(card) == []
    assert held_out.by_probes(card) == []
    assert held_out.errors(card, 1040) is None
    assert held_out.coverage(card, 1040) is None
