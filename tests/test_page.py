"""The pages in a real browser: a newcomer asks, finds the source, walks the matrix."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.browser
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SETUP = "/setups?candidate=llama-3.1-8b-zero-shot&device=NVIDIA+H100-SXM5-94GB"
THREE = ("tfidf-word-logistic", "minilm-l6-frozen-logistic", "llama-3.1-8b-zero-shot")
PAGES = [
    "/",
    "/?task=topic&workload=fktg&min_acc=0.4&device=NVIDIA+A30",
    "/?min_acc=1",
    "/?minacc=0.9",
    "/catalog",
    "/catalog?workload=mlperf-squad",
    SETUP,
    "/setups?candidate=llama-3.1-8b-zero-shot&device=NVIDIA+A30&workload=rotten-tomatoes",
    "/compare",
    f"/compare?candidate={'&candidate='.join(THREE)}&device=NVIDIA+L4&device=M3",
    "/accuracies",
    "/accuracies?workload=banking77",
    "/devices",
    "/devices/nvidia-a30",
    "/estimator",
    "/report",
    "/method",
    "/nothing-here",
]


def _chromium() -> str:
    """The system's Chromium; tests are skipped without one."""
    known = (shutil.which("chromium"), shutil.which("chromium-browser"), "/usr/bin/chromium")
    found = next((path for path in known if path and Path(path).exists()), None)
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A running Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=_chromium(), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(params=[(1440, "light"), (390, "dark")], ids=["desk", "phone"])
def page(browser: Any, server: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that fails its test on any script fault, policy violation or foreign request.

    An error status that a page is meant to have is no fault.
    """
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []

    def heard(message: Any) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            said.append(message.text)

    opened.on("console", heard)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith(server) else said.append(r.url))
    yield opened
    opened.close()
    assert said == []


def test_newcomer_gets_an_answer_with_its_source(page: Any, server: str) -> None:
    """The first look shows a winner, its joules, the basis and the source; a plot beside it."""
    answer = httpx.get(f"{server}/recommend?task=sentiment&min_acc=0.85").json()["chosen"]
    page.goto(server)
    result = page.locator(".result").inner_text()
    assert answer["candidate"] in result
    assert "J per 1,000 texts" in result
    assert answer["provenance"]["source"] in page.locator(".origin").inner_text()
    page.locator("tr.chosen .source summary").click()
    source = page.locator("tr.chosen .source").inner_text()
    assert answer["provenance"]["reference"][:30] in source
    assert page.locator(".plot:visible").count() == 1
    assert page.locator(".plot:visible .point.chosen").count() == 1


def test_a_first_look_holds_the_answer_a_rival_and_every_family(page: Any, server: str) -> None:
    """The share of another family's energy, a year, a labelled mark and a row for each family."""
    page.goto(server)
    assert "of the energy of the cheapest" in page.locator(".headline").first.inner_text()
    assert "kWh" in page.locator(".figures").inner_text()
    rows = page.locator(".standings tbody tr")
    assert rows.count() > 8
    assert page.locator(".plot:visible .cloud").count() == 1
    assert page.locator(".plot:visible .point .name").count() >= 4
    page.locator(".cite summary").click()
    assert page.locator("#citation").inner_text().startswith("For sentiment (SST-2")
    page.get_by_role("button", name="Copy", exact=True).click()
    page.locator("[data-copy]", has_text=re.compile("Copied|Selected")).wait_for()


@pytest.mark.parametrize(
    ("typed", "machine"),
    [("g4dn", "g4dn.xlarge"), ("4090", "NVIDIA GeForce RTX 4090"), ("M3", "Apple M3 (GPU)")],
)
def test_a_machine_is_chosen_by_typing(page: Any, server: str, typed: str, machine: str) -> None:
    """Part of a name lists it; the answer is asked for once the name is whole."""
    page.goto(server)
    field = page.get_by_label("Machine: a device or cloud instance")
    field.click()
    field.press_sequentially(typed)
    page.wait_for_function(
        "name => [...document.querySelectorAll('#machines option')].some(o => o.value === name)",
        arg=machine,
    )
    assert page.locator(".trouble").count() == 0
    field.fill(machine)
    page.wait_for_function(
        "name => document.querySelector('.group').innerText.includes(name)", arg=machine
    )
    assert f"device={machine.split()[0]}" in page.url


def test_three_candidates_are_compared_from_an_answer(page: Any, server: str) -> None:
    """The marked families are set side by side, with the conditions of the question."""
    page.goto(f"{server}/?min_acc=0.8")
    marks = page.locator(".standings input[type=checkbox]")
    for n in range(marks.count()):
        if page.locator(".standings input:checked").count() < 3:
            marks.nth(n).check()
    names = page.locator(".standings input:checked").evaluate_all("all => all.map(o => o.value)")
    page.get_by_role("button", name="Compare the marked ones").click()
    page.wait_for_url("**/compare?**")
    assert "min_acc=0.8" in page.url
    shown = page.locator(".compared tbody .name").all_inner_texts()
    assert shown == names
    assert len(shown) == 3
    told = page.locator("main").inner_text()
    for wanted in ("s per 1,000 texts", "Memory, GB", "kg CO₂e a year", "Evidence"):
        assert wanted.casefold() in told.casefold() or page.viewport_size["width"] < 500
    page.locator(".compared .source summary").first.click()
    assert "Accuracy" in page.locator(".compared .source").first.inner_text()


def test_a_table_is_sorted_and_filtered(page: Any, server: str) -> None:
    """A click on a head sorts by its figures; what is typed leaves the rows that hold it."""
    page.goto(f"{server}/accuracies")
    page.get_by_role("button", name="Sort by sentiment").click()
    cells = page.locator(".matrix tbody tr td:nth-child(2)")
    heads = page.locator(".matrix thead th").all_inner_texts()
    at = next(n for n, head in enumerate(heads) if head.startswith("sentiment")) + 1
    said = page.locator(f".matrix tbody tr > :nth-child({at})").all_inner_texts()
    values = [int(text.strip("*")) for text in said if text.strip("*").isdigit()]
    assert values == sorted(values, reverse=True)
    assert len(values) > 50
    page.get_by_placeholder("minilm, bge").fill("minilm")
    assert 0 < page.locator(".matrix tbody tr:visible").count() < cells.count()


def test_raising_the_floor_moves_the_answer(page: Any, server: str) -> None:
    """Typing another floor changes answer, address and plot without a new page."""
    page.goto(server)
    before = page.locator(".result").inner_text()
    floor = page.locator(".plot:visible .floor").get_attribute("d")
    page.get_by_label("Least accuracy, 0 to 1").fill("0.9")
    page.wait_for_function("b => document.querySelector('.result').innerText !== b", arg=before)
    assert "min_acc=0.9" in page.url
    assert page.locator("#said").inner_text()
    assert page.locator(".plot:visible .floor").get_attribute("d") != floor
    page.get_by_label("Least accuracy, 0 to 1").fill("1")
    page.wait_for_selector(".winner.none")
    assert "Closest is" in page.locator(".result").inner_text()


def test_a_mark_of_the_plot_leads_to_its_origin(page: Any, server: str) -> None:
    """Enter on a mark opens an address of its own with source, citation, run, label and scope."""
    asked = "task=topic&workload=fktg&min_acc=0.4&scope=host&basis=measured&device=NVIDIA+A30"
    answer = httpx.get(f"{server}/recommend?{asked}").json()["chosen"]
    page.goto(f"{server}/?{asked}")
    mark = page.locator(".plot:visible .point.chosen")
    assert answer["candidate"] in mark.get_attribute("aria-label")
    mark.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/setups?**")
    told = page.locator("article:target").inner_text()
    provenance = answer["provenance"]
    for wanted in (provenance["source"], provenance["citation"], provenance["run_id"]):
        assert wanted in told
    assert "part read, part modelled" in told
    assert "chip, CPU and memory" in told


def test_a_mark_without_a_measurement_leads_to_its_accuracy(page: Any, server: str) -> None:
    """What is known of a candidate by its accuracy alone opens the results behind it."""
    answer = httpx.get(f"{server}/recommend?task=sentiment&min_acc=0.85").json()["chosen"]
    page.goto(server)
    mark = page.locator(".plot:visible .point.chosen")
    assert answer["candidate"] in mark.get_attribute("aria-label")
    mark.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/accuracies?**")
    assert answer["candidate"] in page.locator("main").inner_text()


def test_the_matrix_is_walked_with_arrow_keys(page: Any, server: str) -> None:
    """One tab stop, arrows between cells, Enter to the setups; headings stay in sight."""
    page.goto(f"{server}/catalog?workload=mlperf-squad")
    cells = page.locator(".matrix a.cell")
    assert cells.count() > 40
    assert page.locator(".matrix a.cell[tabindex='0']").count() == 1
    cells.first.focus()
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowDown")
    below = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert below != first
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == first
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url("**/setups?**")
    assert page.locator("article").count() >= 1
    page.goto(f"{server}/catalog?workload=mlperf-squad")
    page.evaluate("document.querySelector('.matrix').scrollTo(400, 400)")
    heads = page.locator(".matrix thead th").first.bounding_box()
    region = page.locator(".matrix").bounding_box()
    assert abs(heads["y"] - region["y"]) < 3
    assert abs(heads["x"] - region["x"]) < 3


def test_filters_of_the_catalog_narrow_the_matrix(page: Any, server: str) -> None:
    """Choosing a family leaves its rows only; the address says what was chosen."""
    page.goto(f"{server}/catalog")
    before = page.locator(".matrix tbody tr").count()
    page.get_by_label("Family").select_option("reasoning-llm")
    page.get_by_role("button", name="Show").click()
    assert "family=reasoning-llm" in page.url
    assert 0 < page.locator(".matrix tbody tr").count() < before


def faults(page: Any) -> list[Any]:
    """What makes a page hard to use, everything opened: sideways scrolling, serious axe faults."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    grave: list[Any] = [
        (fault["id"], [node["html"][:160] for node in fault["nodes"][:3]])
        for fault in axe.Axe().run(page).response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    beyond = page.evaluate(wide)
    return grave + ([f"{beyond} px too wide"] if beyond > 0 else [])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_fit_to_be_used(page: Any, server: str, path: str) -> None:
    """One heading of the first rank, no sideways scrolling, no serious fault."""
    page.goto(server + path)
    assert page.locator("h1").count() == 1
    assert faults(page) == []


def test_the_skip_link_comes_first(page: Any, server: str) -> None:
    """The first tab stop leads past the header into the content."""
    page.goto(server)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_task_is_chosen_with_the_keyboard(page: Any, server: str) -> None:
    """The question is asked without a mouse."""
    page.goto(server)
    page.get_by_label("Task", exact=True).focus()
    page.keyboard.type("topic")
    page.wait_for_url("**task=topic**")


@pytest.mark.parametrize("script", [True, False])
def test_a_request_rate_is_asked_for_where_texts_arrive(
    browser: Any, server: str, script: bool
) -> None:
    """The field shows with that scenario alone; its number is asked, with script and without."""
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(server)
    rate = page.get_by_label("Texts per second")
    volume = page.get_by_label("Texts a day")
    assert not rate.is_visible()
    assert volume.is_visible()
    page.get_by_label("How texts arrive").select_option("server")
    assert rate.is_visible()
    assert not volume.is_visible()
    rate.fill("5")
    page.get_by_label("Least accuracy, 0 to 1").fill("0.8")
    if not script:
        page.get_by_role("button", name="Find it").click()
    page.wait_for_url("**rate=5**")
    page.wait_for_function("() => document.querySelector('.group').innerText.includes('requests')")
    assert "joulewise calibrate --rate 5" in page.locator(".result").inner_text()
    assert "432,000 texts a day" in page.locator(".figures").inner_text()
    page.get_by_label("How texts arrive").select_option("")
    assert not rate.is_visible()
    if not script:
        page.get_by_role("button", name="Find it").click()
    page.wait_for_function("() => !document.querySelector('.group').innerText.includes('requests')")
    assert page.locator(".trouble").count() == 0
    context.close()


def test_form_works_without_script(browser: Any, server: str) -> None:
    """The form is sent and answered by the server alone; empty fields are not asked."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server)
    page.get_by_label("Least accuracy, 0 to 1").fill("0.5")
    page.get_by_role("button", name="Find it").click()
    page.wait_for_load_state()  # the stylesheet hides one of two plots
    assert "min_acc=0.5" in page.url
    assert page.locator(".winner").count() == 1
    assert page.locator(".plot:visible").count() == 1
    page.goto(f"{server}/?min_acc=abc")
    assert "min_acc" in page.locator(".trouble").inner_text()
    context.close()


def test_a_plan_of_two_deployments_becomes_a_file(page: Any, server: str) -> None:
    """A newcomer adds a deployment, makes the report and downloads it in every form."""
    page.goto(f"{server}/report")
    page.get_by_role("button", name="Add a deployment").click()
    page.locator("[name='2-name']").fill("Reviews")
    page.locator("[name='2-workload']").select_option("imdb")
    page.locator("[name='2-candidate']").select_option("flan-t5-base-zero-shot")
    page.locator("[name='2-device']").select_option("NVIDIA A100-SXM4-80GB")
    page.locator("[name='2-scenario']").select_option("single")
    page.locator("[name='2-texts_per_day']").fill("20000")
    page.locator("[name='2-idle_w']").fill("900")
    page.get_by_role("button", name="Make the report").click()
    page.locator("#report .deployment").nth(1).wait_for()
    told = page.locator("#report").inner_text()
    for wanted in (
        "Support tickets",
        "Reviews",
        "Inference",
        "Idle",
        "kWh",
        "Sources",
        "Report JW-",
    ):
        assert wanted in told
    assert faults(page) == []
    for name, start in (("CSV", b"deployment,part"), ("JSON", b"{"), ("Markdown", b"# Planned")):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name, exact=True).click()
        assert Path(waiting.value.path()).read_bytes().startswith(start)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="HTML", exact=True).click()
    alone = page.context.browser.new_page()
    alone.set_content(Path(waiting.value.path()).read_text(encoding="utf-8"))
    assert alone.locator(".deployment").count() == 2
    alone.close()


def test_a_plan_works_without_script_and_says_what_is_wrong(browser: Any, server: str) -> None:
    """Rows come and go, faults are told, and the report is made by the server alone."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server}/report")
    page.get_by_role("button", name="Add a deployment").click()
    page.get_by_role("button", name="Remove deployment 2").click()
    assert page.locator("fieldset.row").count() == 2
    page.locator("[name='1-candidate']").select_option("llama-3.1-8b-zero-shot")
    page.get_by_role("button", name="Make the report").click()
    assert "device" in page.locator(".trouble").inner_text()
    page.locator("[name='1-device']").select_option("NVIDIA H100-SXM5-94GB")
    page.get_by_role("button", name="Make the report").click()
    assert page.locator(".deployment").count() == 1
    context.close()
