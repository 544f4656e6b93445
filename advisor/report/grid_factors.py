"""Grid factors: kg CO2e of one kWh of electricity, by country, as cited yearly averages.

The table is none of the catalog's: nothing that is measured or estimated depends on it, so it has
a digest of its own. A plan's own factor always wins.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
from collections.abc import Mapping
from importlib.resources import files

import msgspec

from catalog.errors import UnknownNameError

CITATION = (
    "Ember, Yearly Electricity Data (CC BY 4.0), as carried by The Green Web Foundation, CO2.js "
    "0.16.8 (Apache-2.0), data/output/average-intensities.json, commit 6628f83"
)
ACCOUNTING = (
    "yearly average of the electricity generated in the country (imports and grid losses left "
    "out), life cycle of fuels and plants included, location-based; the source states no interval"
)
_FILE = files("advisor.report") / "grid_factors.csv"


class GridFactor(msgspec.Struct, frozen=True, kw_only=True):
    """One country's factor.

    Attributes:
        code: ISO 3166-1 alpha-3, or ``EU``, ``EUROPE``, ``WORLD``.
        year: Of the generation it averages.
        kg_per_kwh: kg CO2e per kWh.
    """

    code: str
    name: str
    year: int
    kg_per_kwh: float


@functools.cache
def _table() -> tuple[Mapping[str, GridFactor], Mapping[str, str]]:
    """Factors by code, and every folded code and name -> code."""
    factors, names = {}, {}
    for row in csv.DictReader(io.StringIO(_FILE.read_text(encoding="utf-8"), newline="")):
        code = row["code"]
        factors[code] = GridFactor(
            code=code,
            name=row["name"],
            year=int(row["year"]),
            kg_per_kwh=float(row["g_co2e_per_kwh"]) / 1000,
        )
        for name in (code, row["alpha_2"], row["name"]):
            if name:
                names[name.casefold()] = code
    return factors, names


def factors() -> Mapping[str, GridFactor]:
    """Every bundled factor by code."""
    return _table()[0]


@functools.cache
def factor(region: str) -> GridFactor:
    """The factor of a region by ISO code (two or three letters) or English name.

    Raises:
        UnknownNameError: Names the nearest ones.
    """
    table, names = _table()
    code = names.get(region.strip().casefold())
    if code is None:
        raise UnknownNameError("region", region, [entry.name for entry in table.values()])
    return table[code]


@functools.cache
def digest() -> str:
    """SHA-256 of the table."""
    return hashlib.sha256(_FILE.read_bytes()).hexdigest()
