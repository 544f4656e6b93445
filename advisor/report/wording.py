"""Wording of reports in English and German: sentences by key, and figures as people read them."""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files
from typing import Any

from advisor.recommend.records import WarningCode
from advisor.recommend.warnings import CAUTIONS, figure
from advisor.report.records import Language

LANGUAGES: tuple[Language, ...] = ("en", "de")


@functools.cache
def table() -> dict[str, tuple[str, str]]:
    """Every sentence by key, ``group.name``, in the order of `LANGUAGES`."""
    text = (files("advisor.report") / "words.toml").read_text(encoding="utf-8")
    return {
        f"{group}.{name}": (said[0], said[1])
        for group, found in tomllib.loads(text).items()
        for name, said in found.items()
    }


class Words:
    """Sentences and figures of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._place = LANGUAGES.index(language)

    def __call__(self, key: str, /, **values: Any) -> str:
        """The sentence of a key with its values filled in; numbers at three significant digits."""
        said = {
            name: self.number(value) if isinstance(value, int | float) else value
            for name, value in values.items()
        }
        return table()[key][self._place].format(**said)

    def number(self, value: float | None) -> str:
        """Three significant digits with the marks of the language; a dash where it is missing."""
        if value is None:
            return "–"
        said = figure(value) if abs(value) < 1000 else f"{float(f'{value:.3g}'):,.0f}"
        return said if self.language == "en" else said.translate(str.maketrans(",.", ".,"))

    def caution(self, code: WarningCode) -> str:
        """What a warning code means."""
        return CAUTIONS[code] if self.language == "en" else self(f"caution.{code}")


METHODS = {
    name.removeprefix("method."): said[0]
    for name, said in table().items()
    if name.startswith("method.")
}
"""How each part of a report is computed, by id; `docs/codes.md` lists the same."""
