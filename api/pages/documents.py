"""The specification in `docs` as HTML with a table of contents."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from api.pages import wording

DOCUMENTS = ("method", "measurement", "codes", "errors", "data")
"""Documents with a page, the first at ``/method``, the others below it."""
_FOLDERS = (Path(__file__).parent / "docs", Path(__file__).parents[2] / "docs")
"""Folder in a wheel, then in a checkout."""
_REGION = '<div class="scroll" role="region" tabindex="0" aria-label="{}">'
"""Opening tag of a region that scrolls by itself on small screens, also by keyboard."""


class Document(msgspec.Struct, frozen=True):
    """A document as HTML, its title, and fragment and title of each section."""

    title: str
    body: Markup
    contents: list[tuple[str, str]]


def path_of(name: str) -> str:
    """Path of a document's page."""
    return "/method" if name == DOCUMENTS[0] else f"/method/{name}"


def _anchored(tokens: list[Token]) -> list[Token]:
    """Adds an ``id`` to each heading, turns links between documents to their pages."""
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", wording.slug(following.content))
        for link in token.children or ():
            name, _, place = str(link.attrGet("href") or "").partition(".md")
            if link.type == "link_open" and name in DOCUMENTS:
                link.attrSet("href", path_of(name) + place)
    return tokens


@functools.cache
def document(name: str) -> Document:
    """The rendered document of a name in `DOCUMENTS`; HTML markup in the source is escaped.

    Raises:
        FileNotFoundError: The distribution lacks it.
    """
    path = next((each for folder in _FOLDERS if (each := folder / f"{name}.md").is_file()), None)
    if path is None:
        raise FileNotFoundError(f"docs/{name}.md is neither in the package nor beside it")
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule(
        "table_open",
        lambda _, tokens, at, *__: f"{_REGION.format(f'Table, line {tokens[at].map[0]}')}<table>\n",
    )
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = _anchored(reader.parse(path.read_text(encoding="utf-8")))
    headings = [
        (token.tag, str(token.attrGet("id")), following.content)
        for token, following in pairwise(tokens)
        if token.type == "heading_open"
    ]
    body = Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704  # html is off
    return Document(headings[0][2], body, [(at, text) for tag, at, text in headings if tag == "h2"])
