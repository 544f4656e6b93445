"""Tests of `metrics`: the figures that describe an error, recomputed with pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from advisor.evaluation.baselines import BASELINES
from advisor.evaluation.metrics import (
    errors,
    folds,
    grouped_quantile,
    held_out_quantiles,
    many_folds,
)

names = st.lists(st.sampled_from("abcde"), min_size=2, max_size=40)


@given(seed=st.integers(0, 2**32 - 1), groups=names)
def test_error_figures_agree_with_pandas(seed: int, groups: list[str]) -> None:
    """Each figure is what its definition gives on a table."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=len(groups))
    guess = truth + random.normal(scale=0.5, size=len(groups))
    half = random.uniform(0, 1, size=len(groups))
    table = pd.DataFrame({"device": groups, "true": np.exp(truth), "guess": np.exp(guess)})
    table["ape"] = 100 * (table.guess - table.true).abs() / table.true
    table["ratio"] = table[["guess", "true"]].max(axis=1) / table[["guess", "true"]].min(axis=1)
    table["inside"] = np.abs(guess - truth) <= half
    found = errors(guess, truth, groups, half)
    by_device = table.groupby("device")
    assert found.mdape == pytest.approx(table.ape.median(), abs=0.006)
    assert found.mape == pytest.approx(table.ape.mean(), abs=0.006)
    assert found.mdape_macro_device == pytest.approx(by_device.ape.median().mean(), abs=0.006)
    assert found.mdape_macro_low <= found.mdape_macro_device <= found.mdape_macro_high
    assert found.within25 == pytest.approx(100 * (table.ape <= 25).mean(), abs=0.006)
    assert found.within2x == pytest.approx(100 * (table.ratio <= 2).mean(), abs=0.006)
    assert found.coverage90 == pytest.approx(100 * by_device.inside.mean().mean(), abs=0.006)
    assert found.width90 == pytest.approx(np.exp(2 * np.median(half)), abs=0.0006)


def test_setups_are_ranked_in_their_unit_and_in_their_choice() -> None:
    """Tau-b is scipy's inside each group, and regret is what the pick costs beyond the best."""
    random = np.random.default_rng(5)
    truth, guess = random.normal(size=(2, 24))
    units, works = ["u", "v"] * 12, [f"{'uv'[i % 2]}{i // 2 % 3}" for i in range(24)]
    found = errors(guess, truth, units, None, units, works)
    for groups, prefix in ((units, ""), (works, "choice_")):
        own = pd.DataFrame({"true": truth, "guess": guess}).groupby(groups)
        taus = [kendalltau(part.guess, part.true).statistic for _, part in own]
        extra = [np.exp(p.true[p.guess.idxmin()] - p.true.min()) - 1 for _, p in own]
        for name, each in (("kendall_tau", taus), ("regret", [100 * e for e in extra])):
            figure = getattr(found, prefix + name), getattr(found, f"{prefix}{name}_median")
            assert figure == pytest.approx((np.mean(each), np.median(each)), abs=0.0006)


def test_a_method_that_tells_nothing_apart_is_no_better_than_a_draw() -> None:
    """One prediction for all: tau 0, and the regret of a pick at random, not of the first row."""
    truth = np.log([1.0, 2.0, 3.0])
    for order in ([0, 1, 2], [2, 1, 0]):
        found = errors(np.zeros(3), truth[order], ["d"] * 3, None, ["u"] * 3)
        assert (found.kendall_tau, found.regret) == (0, pytest.approx(100))


@pytest.mark.parametrize("split", [folds, many_folds])
@given(groups=names)
def test_no_group_is_on_both_sides_of_a_split(split: object, groups: list[str]) -> None:
    """Every row is tested once, and none of its group is trained on."""
    tested = np.zeros(len(groups))
    for _, training, test in split(groups):  # type: ignore[operator]
        assert (training != test).all()
        inside = {g for g, keep in zip(groups, training, strict=True) if keep}
        assert not inside & {g for g, keep in zip(groups, test, strict=True) if keep}
        tested += test
    assert (tested == 1).all()


def test_every_group_weighs_the_same_in_the_quantile() -> None:
    """A thousand small errors of one device do not hide the large ones of another."""
    small, large = np.full(1000, 0.1), np.full(3, 2.0)
    groups = ["a"] * 1000 + ["b"] * 3
    assert grouped_quantile(np.concatenate([small, large]), groups) == 2.0
    assert grouped_quantile(np.concatenate([small, large]), groups, 0.5) == 0.1
    assert grouped_quantile(np.arange(1, 101) / 100, ["a"] * 100) == pytest.approx(0.9)


def test_an_interval_is_made_without_the_device_it_is_for() -> None:
    """Each device's reach comes from the errors of the others."""
    residual = np.array([1.0, 1.0, 5.0, 5.0, 9.0])
    widths = held_out_quantiles(residual, ["a", "a", "b", "b", "c"])
    assert widths == pytest.approx([9, 9, 9, 9, 5])


def test_baselines_recover_what_they_assume() -> None:
    """Each baseline is exact on data made by its own law."""
    random = np.random.default_rng(0)
    t, p, w = random.normal(size=(3, 50))
    laws = {
        "tdp_time": t + w,
        "const_power": t + 4.0,
        "ols_time": 0.7 * t + 1.0,
        "ols_time_tdp_params": 0.9 * t + 0.1 * p + 0.8 * w - 2,
    }
    for name, energy in laws.items():
        assert BASELINES[name](t, p, w, energy)(t, p, w) == pytest.approx(energy)
