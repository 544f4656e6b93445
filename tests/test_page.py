"""The page in a real browser: a newcomer asks, reads the answer and its source, asks again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.browser
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


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
    """A page that fails its test on any console error, policy violation or foreign request."""
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    opened.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith(server) else said.append(r.url))
    yield opened
    opened.close()
    assert said == []


def test_newcomer_gets_an_answer_with_its_source(page: Any, server: str) -> None:
    """The first look shows a winner, its joules with interval, the basis and the source."""
    answer = httpx.get(f"{server}/recommend?task=sentiment&min_acc=0.85").json()["chosen"]
    page.goto(server)
    verdict = page.locator(".verdict").inner_text()
    assert answer["candidate"] in verdict
    assert "J per 1,000 texts" in verdict
    assert answer["provenance"]["source"] in page.locator(".origin").inner_text()
    page.locator("tr.chosen .source summary").click()
    assert answer["provenance"]["citation"][:30] in page.locator("tr.chosen .source").inner_text()
    page.wait_for_selector("#plot .main-svg")
    assert page.locator("#plot .scatterlayer .point").count() >= 1


def test_raising_the_floor_moves_the_answer(page: Any, server: str) -> None:
    """Typing another floor changes answer, address and plot without a new page."""
    page.goto(server)
    page.wait_for_selector("#plot .main-svg")
    before = page.locator(".verdict").inner_text()
    page.get_by_label("Least accuracy, 0 to 1").fill("0.9")
    page.wait_for_function("b => document.querySelector('.verdict').innerText !== b", arg=before)
    assert "min_acc=0.9" in page.url
    assert page.locator("#said").inner_text()
    page.wait_for_selector("#plot .main-svg")
    page.get_by_label("Least accuracy, 0 to 1").fill("1")
    page.wait_for_selector(".winner.none")
    assert "Closest is" in page.locator(".verdict").inner_text()


def test_nothing_is_wider_than_the_screen(page: Any, server: str) -> None:
    """No sideways scrolling, with every source opened."""
    page.goto(server)
    page.wait_for_selector("#plot .main-svg")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0


def test_every_control_has_a_name_and_takes_the_keyboard(page: Any, server: str) -> None:
    """A screen reader hears what a field is; the question is asked without a mouse."""
    page.goto(server)
    unnamed = (
        "[...document.querySelectorAll('input,select,button')].filter(e => !(e.labels?.length ||"
        " e.ariaLabel || e.textContent.trim())).length"
    )
    assert page.evaluate(unnamed) == 0
    assert page.locator("h1").count() == 1
    page.get_by_label("Task", exact=True).focus()
    page.keyboard.type("topic")
    page.wait_for_url("**task=topic**")


def test_form_works_without_script(browser: Any, server: str) -> None:
    """The form is sent and answered by the server alone; empty fields are not asked."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server)
    page.get_by_label("Least accuracy, 0 to 1").fill("0.5")
    page.get_by_role("button", name="Find it").click()
    assert "min_acc=0.5" in page.url
    assert page.locator(".winner").count() == 1
    page.goto(f"{server}/?min_acc=abc")
    assert "min_acc" in page.locator(".trouble").inner_text()
    context.close()
