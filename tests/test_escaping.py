"""Names and descriptions in an upload are shown as text and never run, in pages and in files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from catalog.errors import BadRunFileError
from catalog.files import run_file as runfile
from catalog.files.validation import Known

Client = TestClient[Litestar]
Csv = Callable[..., bytes]
Tried = Callable[[int], None]
FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd|x", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1")
MARKUP = (
    "<script>boom()</script>",
    '"><img src=x onerror=boom()>',
    "</title></textarea><svg/onload=boom()>",
    "{{ 7*7 }}<a href='javascript:boom()'>&lt;b&gt;",
    "a,\"b\"\n=cmd|' /C calc'!A0",
)


class Page(HTMLParser):
    """What a browser would run of a page, the links it has and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.run: list[str] = []
        self.links: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes event handlers, links and sources of an element."""
        for name, value in attrs:
            self.links += [value or ""] if name == "href" else []
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.run.append(f"{tag} {name}={value}")
        if tag == "script" and not dict(attrs).get("src", "").startswith("/static/"):
            self.run.append(tag)

    def handle_data(self, data: str) -> None:
        """Collects visible text."""
        self.said += data


def described(name: str) -> dict[str, str]:
    """A row whose device, workload and candidate have this name, and so has the rest."""
    return {
        "run_id": name, "source": name, "host": name, "notes": name, "citation": name,
        "reference": name, "licence": name, "meter": name, "device": name, "workload": name,
        "candidate": name, "device_kind": "gpu", "device_tdp_w": "165",
        "device_source": name, "device_vendor": name, "device_aliases": f"{name} again",
        "workload_task": "hostile", "workload_dataset": name, "workload_licence": name,
        "candidate_family": "other", "candidate_checkpoint": name, "candidate_prompt": name,
    }  # fmt: skip


@pytest.fixture
def hostile(client: Client, writer: dict[str, str], run_csv: Csv) -> Client:
    """A service that was sent a run of each name."""
    content = run_csv(*map(described, MARKUP))
    said = client.post("/measurements", content=content, headers=writer)
    assert said.status_code == 201, said.text
    return client


def test_markup_in_names_is_text_on_every_page(hostile: Client, tried: Tried) -> None:
    """No page gets an element, handler or link from a name; those that list it show it."""
    visited = 0
    for name in MARKUP:
        named = urlencode({"device": name, "candidate": name, "workload": name})
        showing = ["/devices", f"/devices/{quote(name, safe='')}", f"/setups?{named}"]
        showing += [f"/catalog?{urlencode({'q': name})}", "/?task=hostile&min_acc=0.1&scope=host"]
        for path in (*showing, "/", "/report", f"/?{named}", f"/{quote(name)}"):
            answer = hostile.get(path, headers={"Accept": "text/html"})
            assert answer.headers["content-type"].startswith("text/html"), path
            page = Page(answer.text)
            assert page.run == [], path
            if path in showing and answer.status_code == 200:
                assert " ".join(name.split()) in " ".join(page.said.split()), path
                visited += 1
    assert visited >= 4 * len(MARKUP)
    tried(9 * len(MARKUP))


def test_markup_in_names_stays_one_cell_of_an_export(hostile: Client) -> None:
    """The CSV export has a row for each, the name whole in its cells, and none is a formula."""
    text = hostile.get("/measurements?task=hostile&format=csv").text
    rows = {row["device"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert {*rows} == {*MARKUP}
    for name, row in rows.items():
        for column in ("candidate", "workload", "source", "device_source", "candidate_prompt"):
            assert row[column] == name
        assert not [c for c in row.values() if c.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("formula", FORMULAS)
def test_formulas_are_refused_wherever_a_text_may_stand(
    formula: str, run_csv: Csv, tried: Tried
) -> None:
    """A text that a spreadsheet would run is refused by row and column, in descriptions too."""
    texts = [column for column, cell in described("x").items() if cell.startswith("x")]
    assert len(texts) > 15
    rows = [described(f"sound {column}") | {column: formula} for column in texts]
    with pytest.raises(BadRunFileError) as caught:
        runfile.parse(run_csv(*rows), "csv", Known({}, {}, {}))
    refused = {(problem.row, problem.column) for problem in caught.value.problems}
    assert refused >= {*enumerate(texts, start=1)}
    tried(len(texts))
