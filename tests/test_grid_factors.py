"""Tests of `advisor.report.grid_factors`: the bundled grid factors and how a region is named."""

from __future__ import annotations

import csv
from importlib.resources import files

import pytest

from advisor.report import grid_factors as grid
from catalog import reference_data as bundled
from catalog.errors import UnknownNameError


@pytest.mark.parametrize("name", ["DEU", "de", "Germany", " germany "])
def test_a_region_is_known_by_code_and_name(name: str) -> None:
    """Two letters, three letters and the English name are one region."""
    assert grid.factor(name).code == "DEU"


def test_every_factor_is_a_plausible_figure_with_its_year() -> None:
    """Between hydropower and the dirtiest grid; kg, not grams; a year; no name twice."""
    table = grid.factors()
    assert {"WORLD", "EU", "USA", "FRA", "DEU", "CHN", "IND"} <= table.keys()
    for entry in table.values():
        assert 0.015 <= entry.kg_per_kwh <= 1.5
        assert 2020 <= entry.year <= 2026
    names = [entry.name for entry in table.values()]
    assert len(set(names)) == len(names)


def test_figures_are_those_of_the_cited_table() -> None:
    """Spot values of Ember's Yearly Electricity Data for 2024, g CO2e per kWh."""
    published = {"DEU": 344.14, "FRA": 44.18, "SWE": 35.82, "USA": 383.55, "WORLD": 473.05}
    for code, grams in published.items():
        entry = grid.factor(code)
        assert entry.kg_per_kwh * 1000 == pytest.approx(grams)
        assert entry.year == 2024


def test_unknown_region_names_the_nearest() -> None:
    """A misspelt country is an error that offers the right one."""
    with pytest.raises(UnknownNameError, match="Germany"):
        grid.factor("Germny")


def test_the_table_is_none_of_the_catalogs() -> None:
    """Grid factors have a digest of their own, and the catalog's does not depend on them."""
    assert len(grid.digest()) == 64
    assert grid.digest() != bundled.digest()
    assert not [entry for entry in bundled.FOLDER.iterdir() if "grid" in entry.name]
    text = (files("advisor.report") / "grid_factors.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ["code", "alpha_2", "name", "year", "g_co2e_per_kwh"]
    assert len(rows) == len(grid.factors())
