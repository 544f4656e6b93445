"""Tests of `/report` over HTTP: the forms of a report, its errors, and the planner's form."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from advisor.report import grid_factors as grid
from advisor.report.report import report
from advisor.report.wording import Words
from api.report import form as planning
from api.report.document import figures
from api.report.formats import DETAILED, LISTED, MEDIA, guarded, rendered
from api.report.routes import EXAMPLE
from catalog.quantity import Quantity

Client = TestClient[Litestar]
H100 = "NVIDIA H100-SXM5-94GB"
PLAN: dict[str, Any] = {
    "title": "Two desks",
    "region": "Germany",
    "pue": 1.3,
    "price_per_kwh": 0.3,
    "deployments": [
        {
            "name": "news",
            "candidate": "llama-3.1-8b-zero-shot",
            "device": H100,
            "workload": "fktg",
            "texts_per_day": 100_000,
            "idle_w": 120,
        },
        {
            "name": "=HYPERLINK(1)|<b>",
            "recommend": {"task": "topic", "min_acc": 0.45},
            "workload": "fktg",
            "texts_per_day": 5_000,
        },
    ],
}


class Page(HTMLParser):
    """Texts and ids of a page, and whether anything is inline or foreign."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes ids, inline styles and handlers, and foreign addresses."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            loads = name in ("src", "action") or (name == "href" and tag == "link")
            foreign = loads and value is not None and value.startswith("http")
            if name == "style" or name.startswith("on") or foreign:
                self.inline.append(f"{tag} {name}={value}")
        if tag == "style":
            self.inline.append("style")


def post(client: Client, plan: Any = PLAN, accept: str = "*/*", **more: Any) -> httpx.Response:
    """A plan sent as JSON."""
    return client.post("/report", json=plan, headers={"Accept": accept}, **more)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """A problem details body of the expected status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    return body


def test_json_is_the_default_and_pinned(client: Client) -> None:
    """The report as JSON, with digests of catalog and grid table, the same bytes every time."""
    first, second = post(client), post(client, accept="application/json")
    assert first.status_code == 200
    assert first.content == second.content
    body = first.json()
    ready = client.get("/health/ready").json()
    assert body["catalog_digest"] == ready["catalog_digest"]
    assert body["estimator_version"] == ready["estimator_version"]
    assert body["grid_digest"] == grid.digest()
    news, picked = body["deployments"]
    assert news["kwh"]["low"] <= news["kwh"]["value"] <= news["kwh"]["high"]
    per_1000, texts = news["setup"]["energy_j_per_1000"]["value"], 100_000 * 365
    assert news["parts"][0]["kwh"]["value"] == pytest.approx(texts * per_1000 / 1000 / 3.6e6)
    assert news["alternative"]["saved_kwh"]["value"] > 0
    assert picked["chosen_by"] == "advisor"
    assert picked["setup"]["accuracy"]["value"] >= 0.45
    assert {part["name"] for part in picked["parts"]} == {"inference", "idle", "training", "pue"}


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/json", "application/json"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/markdown", "text/markdown; charset=utf-8"),
        ("image/png", "application/json"),
        ("text/html;q=0.2, text/csv", "text/csv; charset=utf-8"),
    ],
)
def test_accept_decides_the_form(client: Client, accept: str, media: str) -> None:
    """The client's best liked form; JSON where it likes none of ours."""
    answer = post(client, accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media
    assert "Accept" in answer.headers["vary"].split(",")


def test_format_goes_before_accept(client: Client) -> None:
    """A link can name the form; an unknown one is an error."""
    answer = post(client, accept="text/html", params={"format": "csv"})
    assert answer.headers["content-type"].startswith(MEDIA["csv"])
    assert problem(post(client, params={"format": "pdf"}), 400)["field"] == "format"


def test_csv_has_a_row_for_each_part_and_no_formula(client: Client) -> None:
    """One row per deployment and part, with source and digests; no cell a spreadsheet runs."""
    rows = list(csv.DictReader(io.StringIO(post(client, accept="text/csv").text)))
    body = post(client).json()
    assert len(rows) == 4 * len(PLAN["deployments"])
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
        assert row["catalog_digest"] == body["catalog_digest"]
        assert row["source"] or row["basis"] == "missing"
    assert rows[4]["deployment"] == "'=HYPERLINK(1)|<b>"
    total = sum(float(row["kwh"]) for row in rows if row["kwh"])
    assert total == pytest.approx(body["totals"]["kwh"]["value"])
    assert guarded(-3.5) == -3.5


def test_markdown_keeps_its_tables(client: Client) -> None:
    """Names cannot break a table or bring markup in; totals and sources are there."""
    text = post(client, accept="text/markdown").text
    assert text.startswith("# Two desks\n")
    assert "\\|&lt;b&gt;" in text
    assert "<b>" not in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    for table in tables:
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1, table
    assert "## Sources" in text


def test_html_is_one_safe_page(client: Client) -> None:
    """Escaped, with nothing inline, every anchor there, under the strict policy."""
    answer = post(client, accept="text/html")
    page = Page(answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert page.inline == []
    assert len(page.ids) == len(set(page.ids))
    assert "<b>" not in answer.text
    for anchor in re.findall(r'href="#([^"]+)"', answer.text):
        assert anchor in page.ids
    assert "Two desks" in answer.text


def test_long_plans_are_cut_in_html_only(client: Client) -> None:
    """A page lists the first hundreds and says so; CSV has them all."""
    many = PLAN | {"deployments": [PLAN["deployments"][0]] * (LISTED + 5)}
    page = post(client, many, accept="text/html").text
    assert len(re.findall(r'<tr class="[^"]*deployment"', page)) == LISTED
    assert page.count(">Total<") == DETAILED
    assert f"The first {LISTED} of {LISTED + 5} are listed" in page
    rows = post(client, many, accept="text/csv").text.strip().splitlines()
    assert len(rows) == 1 + 4 * (LISTED + 5)


def test_a_bad_plan_is_a_422_that_lists_every_fault(client: Client) -> None:
    """Deployment, field, what came and what is allowed, for each of them."""
    bad = PLAN | {"deployments": [PLAN["deployments"][0] | {"pue": 0.5, "hours_per_day": 30}]}
    body = problem(post(client, bad), 422)
    assert [(fault["deployment"], fault["field"]) for fault in body["problems"]] == [
        ("news", "pue"),
        ("news", "hours_per_day"),
    ]
    assert body["problems"][0]["came"] == 0.5
    assert "from 1 to 10" in body["problems"][0]["allowed"][0]
    unknown = PLAN | {"deployments": [PLAN["deployments"][0] | {"device": "NVIDIA H1OO"}]}
    (fault,) = problem(post(client, unknown), 422)["problems"]
    assert fault["field"] == "device"
    assert "NVIDIA A10" in fault["allowed"][0]


def test_other_bodies_are_refused(client: Client) -> None:
    """Broken JSON, another media type, too large: each its own status."""
    headers = {"Content-Type": "application/json"}
    assert problem(client.post("/report", content=b"{", headers=headers), 422)["problems"]
    body = problem(client.post("/report", content=b"x", headers={"Content-Type": "text/x"}), 415)
    assert "application/toml" in body["allowed"]
    large = b'{"title": "' + b"x" * 6_000_000 + b'"}'
    problem(client.post("/report", content=large, headers=headers), 413)


def test_toml_is_read(client: Client) -> None:
    """The same plan as TOML gives the same report."""
    plan = {"deployments": [PLAN["deployments"][0]], "title": "one"}
    lines = ['title = "one"', "[[deployments]]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in plan["deployments"][0].items()]
    headers = {"Content-Type": "application/toml"}
    answer = client.post("/report", content="\n".join(lines).encode(), headers=headers)
    assert answer.content == post(client, plan).content


def test_the_documented_example_runs(client: Client) -> None:
    """OpenAPI describes body and answer, and its example is a plan that works."""
    operation = client.get("/schema/openapi.json").json()["paths"]["/report"]["post"]
    media = operation["requestBody"]["content"]
    assert media["application/json"]["example"] == EXAMPLE
    properties = media["application/json"]["schema"]["properties"]
    assert properties["deployments"]["items"]["properties"]["texts_per_day"]
    assert "$ref" not in json.dumps(media)
    answered = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answered["$ref"].endswith("Report")
    assert post(client, EXAMPLE).status_code == 200


FORM = {
    "title": "Two desks",
    "region": "DEU",
    "pue": "1.3",
    "grid_kg_per_kwh": "",
    "1-name": "news",
    "1-workload": "fktg",
    "1-candidate": "llama-3.1-8b-zero-shot",
    "1-device": H100,
    "1-texts_per_day": "100000",
    "1-idle_w": "120",
    "2-workload": "fktg",
    "2-candidate": "",
    "2-min_acc": ".45",
    "2-texts_per_day": "5000",
    "2-off_when_idle": "true",
}


def test_the_form_makes_the_report_below_itself(client: Client) -> None:
    """What was filled in stays, empty fields were not stated, the report follows."""
    answer = client.post("/report", data=FORM | {"do": "report"})
    assert answer.status_code == 200, answer.text
    assert len(re.findall(r'<tr class="[^"]*deployment"', answer.text)) == 2
    assert 'value="100000"' in answer.text
    assert Page(answer.text).inline == []


@pytest.mark.parametrize("form", ["json", "html", "csv", "md", "xlsx"])
def test_the_form_downloads_the_report(client: Client, form: str) -> None:
    """Each form as a file; the HTML stands alone, without any address to fetch."""
    answer = client.post("/report", data=FORM | {"do": form})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'"joulewise-report.{form}"')
    if form != "xlsx":
        assert "news" in answer.text
    if form == "html":
        assert "<style>" in answer.text
        assert "<link" not in answer.text
        assert "<script" not in answer.text
    if form == "json":
        assert len(answer.json()["deployments"]) == 2


def test_rows_come_and_go_without_script(client: Client) -> None:
    """Buttons add and remove deployments on the server; what was typed stays."""
    more = client.post("/report", data=FORM | {"do": "add"}).text
    assert 'name="3-texts_per_day"' in more
    assert 'value="100000"' in more
    fewer = client.post("/report", data=FORM | {"do": "remove-1"}).text
    assert 'name="2-texts_per_day"' not in fewer
    assert 'value="100000"' not in fewer
    assert 'name="1-min_acc"' in fewer
    assert 'value=".45"' in fewer


def test_faults_of_the_form_are_said_above_it(client: Client) -> None:
    """The page comes back with what is wrong and what was typed."""
    answer = client.post("/report", data=FORM | {"1-texts_per_day": "many", "pue": "0.2"})
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    for said in ("texts_per_day", "many", "pue", 'value="0.2"'):
        assert said in answer.text
    problem(client.post("/report", data={"1-colour": "red"}), 400)
    rows = {f"{n}-name": "x" for n in range(1, planning.MOST_ROWS + 2)}
    assert "at most" in problem(client.post("/report", data=rows), 400)["detail"]


def test_the_planner_is_filled_in_from_its_address(client: Client) -> None:
    """A link may carry a plan's fields; without any there is an example that works."""
    page = client.get("/report").text
    assert client.post("/report", data=planning.FIRST).status_code == 200
    assert f'value="{planning.FIRST["1-texts_per_day"]}"' in page
    linked = client.get("/report", params={"1-candidate": "bow-logistic", "1-name": 'a"b'}).text
    assert "<option selected>bow-logistic</option>" in linked
    assert "a&#34;b" in linked
    assert client.get("/report", params={"colour": "red"}).status_code == 400


def test_the_planner_without_a_catalog_says_so(client: Client) -> None:
    """Every choice of the form is one the service knows."""
    choices = planning.choices(client.app.state.served.now.snapshot)
    assert "fktg" in choices["workloads"]["topic"]
    assert "llama-3.1-8b-zero-shot" in choices["candidates"]
    assert H100 in choices["devices"]["with measurements"]
    assert "Germany" in {entry.name for entry in choices["regions"]}


def test_an_open_end_is_said_so() -> None:
    """A quantity without an upper end is told with its low end; a missing one is no 0."""
    say = Words("en")
    assert figures(say, Quantity(2.0, 5.0, None)) == ("5", "at least 2")
    assert figures(say, Quantity(0.0, 5.0, None)) == ("5", "not bounded above")
    assert figures(say, Quantity(0.0, None, None)) == ("missing", "")
    assert figures(say, Quantity.exact(3.0)) == ("3", "")
    assert figures(Words("de"), Quantity(1.5, 2.5, 3500.0)) == ("2,5", "1,5 – 3.500")


def test_a_report_in_german(client: Client) -> None:
    """By parameter or by the plan; headings, marks of numbers and sentences of warnings."""
    page = post(client, accept="text/html", params={"lang": "de"}).text
    assert 'lang="de"' in page
    for said in ("Zusammenfassung", "Annahmen", "Formeln", "standortbasiert", "Klassenwert"):
        assert said in page
    assert post(client, PLAN | {"language": "de"}, accept="text/html").text == page
    body = post(client, params={"lang": "de"}).json()
    assert body["language"] == "de"
    assert post(client).json()["totals"] == body["totals"]
    assert problem(post(client, params={"lang": "fr"}), 400)["field"] == "lang"


FIVE: dict[str, Any] = PLAN | {
    "title": "Five deployments of a ministry",
    "number": "2026-17",
    "date": "2026-11-30",
    "market_kg_per_kwh": 0.05,
    "water_l_per_kwh": 1.2,
    "deployments": [
        PLAN["deployments"][0] | {"idle_w": None},
        {
            "name": "picked",
            "recommend": {"task": "topic", "min_acc": 0.45},
            "workload": "fktg",
            "texts_per_day": 5_000,
        },
        {
            "name": "intents",
            "machine": "shared server",
            "candidate": "minilm-l6-frozen-logistic",
            "device": "NVIDIA L4",
            "workload": "banking77",
            "texts_per_day": 200_000,
            "retrainings": 12,
        },
        {
            "name": "reviews",
            "machine": "shared server",
            "candidate": "minilm-l6-finetuned",
            "device": "NVIDIA L4",
            "workload": "sst2",
            "texts_per_day": 400_000,
            "retrainings": 4,
        },
        {
            "name": "opinions",
            "recommend": {"task": "sentiment", "min_acc": 0.85},
            "texts_per_day": 10_000,
            "hours_per_day": 10,
            "peak_rate": 5,
        },
    ],
}


@pytest.mark.parametrize("lang", ["en", "de"])
def test_five_deployments_print_on_two_to_four_pages(
    client: Client, tmp_path: Path, lang: str
) -> None:
    """A file for the record: dated, numbered, titled, the summary before the details, on A4."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    page = post(client, FIVE, accept="text/html", params={"lang": lang})
    assert page.status_code == 200, page.text
    html, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    form = client.app.state.served.now
    answer = report(form.advisor, FIVE | {"language": lang})
    html.write_bytes(rendered(answer, "html", alone=True))
    for said in ("2026-17", "2026-11-30", "Five deployments of a ministry"):
        assert said in page.text
    assert page.text.index("report-summary") < page.text.index("report-parts")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    subprocess.run(
        [chromium, *options, f"--user-data-dir={tmp_path / 'own'}", f"--print-to-pdf={pdf}", html],
        check=True,
        capture_output=True,
        timeout=110,
    )
    pages = len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))
    assert 2 <= pages <= 4
    box = re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", pdf.read_bytes())
    assert box is not None
    assert [round(float(side)) for side in box.groups()] == [595, 842]  # A4 in points


def test_a_workbook_holds_every_table_with_numbers(client: Client) -> None:
    """A sheet a table, low, value and high as numbers; no cell is a formula."""
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    sent = post(client, params={"format": "xlsx"})
    assert sent.headers["content-type"].startswith(MEDIA["xlsx"])
    book, body = openpyxl.load_workbook(io.BytesIO(sent.content)), post(client).json()
    assert book.sheetnames[0] == "Summary"
    assert {"Deployments", "Parts", "Assumptions", "Sources", "data"} <= set(book.sheetnames)
    first = {row[0]: row[1:] for row in book["Summary"].iter_rows(values_only=True)}
    kwh = body["totals"]["kwh"]
    told = first["Electricity, kWh"][:3]
    assert told == pytest.approx((kwh["low"], kwh["value"], kwh["high"]))
    head, *rows = book["data"].iter_rows(values_only=True)
    place = head.index("kwh")
    assert sum(row[place] for row in rows) == pytest.approx(kwh["value"])
    cells = [cell for sheet in book for line in sheet.iter_rows() for cell in line]
    assert not [cell for cell in cells if cell.data_type == "f"]


def test_the_workbook_opens_in_libreoffice(client: Client, tmp_path: Path) -> None:
    """Converted to CSV by LibreOffice without a screen."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        pytest.skip("LibreOffice is not installed")
    (tmp_path / "r.xlsx").write_bytes(post(client, params={"format": "xlsx"}).content)
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    subprocess.run(
        [office, profile, "--headless", "--convert-to", "csv", "--outdir", tmp_path,
         tmp_path / "r.xlsx"],
        check=True, capture_output=True, timeout=110,
    )  # fmt: skip
    assert "Electricity, kWh" in (tmp_path / "r.csv").read_text(encoding="latin-1")


def test_the_untouched_planner_charges_a_machine_that_is_on_all_day(client: Client) -> None:
    """What the form holds at first: idle watts for every hour that is not busy."""
    now = client.app.state.served.now
    (entry,) = report(now.advisor, planning.plan_of(planning.FIRST, now.snapshot)).deployments
    assert entry.hours_per_day == 24
    assert entry.machines == 1
    assert entry.idle_w is not None
    on_s = 8760 * 3600
    for end, busy in (("low", "high"), ("value", "value"), ("high", "low")):
        busy_s = entry.texts * getattr(entry.setup.runtime_s_per_1000, busy) / 1000
        charged = getattr(entry.idle_w, end) * (on_s - busy_s) / 3.6e6
        assert getattr(entry.parts[1].kwh, end) == pytest.approx(charged)
    assert entry.parts[1].kwh.value > 100 * entry.parts[0].kwh.value
