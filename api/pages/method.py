"""The specification `docs/method.md` as HTML with MathML and a table of contents."""

from __future__ import annotations

import functools
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup
from mdit_py_plugins.dollarmath import dollarmath_plugin

from api.pages import wording

_REGION = '<div class="scroll" role="region" tabindex="0" aria-label="{}">'
"""Opening tag of a region that scrolls by itself on small screens, also by keyboard."""
_PATHS = (
    Path(__file__).parent / "method.md",
    Path(__file__).parents[2] / "docs" / "method.md",
)
"""Path in a wheel, then in a checkout."""
_SUBSCRIPT_WORD = re.compile(r"(?<=[_{])([a-z]{2,})(?=})")


def _formula(source: str, options: dict[str, Any]) -> str:
    """A formula as MathML; subscripts of several letters are words, not products."""
    source = _SUBSCRIPT_WORD.sub(r"\\mathrm{\1}", source)
    if not options["display_mode"]:
        return convert(source)
    return f"{_REGION.format('Formula')}{convert(source, display='block')}</div>"


def _anchored(tokens: list[Token]) -> list[Token]:
    """Adds an ``id`` to each heading; returns the same tokens."""
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", wording.slug(following.content))
    return tokens


class Method(msgspec.Struct, frozen=True):
    """The document as HTML, and fragment and title of each section."""

    body: Markup
    contents: list[tuple[str, str]]


@functools.cache
def method() -> Method:
    """The rendered document; HTML markup in the source is escaped.

    Raises:
        FileNotFoundError: The distribution lacks it.
    """
    path = next((path for path in _PATHS if path.is_file()), None)
    if path is None:
        raise FileNotFoundError("docs/method.md is neither in the package nor beside it")
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.use(dollarmath_plugin, renderer=_formula)
    reader.add_render_rule(
        "table_open",
        lambda _, tokens, at, *__: f"{_REGION.format(f'Table, line {tokens[at].map[0]}')}<table>\n",
    )
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = _anchored(reader.parse(path.read_text(encoding="utf-8")))
    contents = [
        (str(token.attrGet("id")), following.content)
        for token, following in pairwise(tokens)
        if token.type == "heading_open" and token.tag == "h2"
    ]
    body = Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704  # html is off
    return Method(body, contents)
