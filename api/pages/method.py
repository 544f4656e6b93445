"""The specification of the numbers, `docs/method.md`, as part of a page."""

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

from api.pages import wording as view

_HERE = Path(__file__).parent
_REGION = '<div class="scroll" role="region" tabindex="0" aria-label="{}">'
"""What is too wide for a small screen scrolls by itself, by keyboard too."""
_PLACES = (_HERE / "method.md", _HERE.parents[1] / "docs" / "method.md")
"""Where a wheel and where a checkout has it."""
_WORD = re.compile(r"(?<=[_{])([a-z]{2,})(?=})")


def _formula(source: str, options: dict[str, Any]) -> str:
    """A formula as MathML; subscripts of several letters are words, not products."""
    told = _WORD.sub(r"\\mathrm{\1}", source)
    if not options["display_mode"]:
        return convert(told)
    return f"{_REGION.format('Formula')}{convert(told, display='block')}</div>"


def _anchored(tokens: list[Token]) -> list[Token]:
    """Gives headings an address."""
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", view.slug(following.content))
    return tokens


class Method(msgspec.Struct, frozen=True):
    """The document as HTML, and the address and name of each of its sections."""

    body: Markup
    contents: list[tuple[str, str]]


@functools.cache
def method() -> Method:
    """The document. Its own markup is escaped, links lead out of the repository's tree.

    Raises:
        FileNotFoundError: The distribution lacks it.
    """
    path = next((place for place in _PLACES if place.is_file()), None)
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
