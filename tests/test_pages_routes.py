"""Tests of the pages over HTTP: what they say, what they refuse, for browsers and for programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from advisor.estimator.estimator import Estimator, load
from advisor.estimator.setup import Setup
from api.pages import device as device_page
from api.pages import wording
from api.pages.documents import DOCUMENTS
from catalog import snapshot
from catalog.hardware.device_defaults import completed
from catalog.records import Device

Client = TestClient[Litestar]
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
WHOLE = snapshot.load()


def links(text: str, beginning: str) -> list[str]:
    """The addresses on a page that begin so, entities resolved, fragments dropped."""
    found = re.findall(rf'href="({re.escape(beginning)}[^"#]*)', text)
    return [address.replace("&amp;", "&") for address in dict.fromkeys(found)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("minacc=0.9", "minacc"),
        ("min_acc=0.8&min_acc=0.9", "min_acc"),
        ("min_acc=2", "min_acc"),
        ("scenario=sometimes", "scenario"),
        ("tdp_w=-3&device_kind=gpu", "tdp_w"),
        ("tdp_w=300", "device_kind"),
        ("device_kind=gpu&device=NVIDIA+A30", "device"),
    ],
)
def test_the_advisor_refuses_what_the_api_refuses(client: Client, query: str, field: str) -> None:
    """An unknown, repeated or unfit parameter is named with what is allowed, on both."""
    page = client.get(f"/?task=sentiment&{query}")
    assert page.status_code == 400
    assert f"<p>{field}:" in page.text
    task = "" if "min_acc" in query else "&min_acc=0.85"
    assert client.get(f"/recommend?task=sentiment{task}&{query}").status_code == 400


def test_the_advisor_answers_what_the_api_answers(client: Client) -> None:
    """Every parameter of the API works on the page too: the same candidate is chosen."""
    for query in (
        "task=sentiment&min_acc=0.85&scenario=single&scope=device",
        "task=sentiment&min_acc=0.85&device_kind=gpu&tdp_w=300&memory_bandwidth_gbs=900",
        "task=topic&min_acc=0.4&workload=fktg&confidence=0.9&limit=3",
    ):
        chosen = client.get(f"/recommend?{query}").json()["chosen"]
        text = client.get(f"/?{query}&licence=").text
        if chosen is not None:
            where = "the device as specified" if "device_kind" in query else chosen["device"]
            assert f">{chosen['candidate']}</a> on {where}" in text


def test_the_form_asks_again_about_the_device_that_was_answered(client: Client) -> None:
    """An alias selects the device it means; specs stay in their fields, named as such above."""
    text = client.get("/?task=sentiment&min_acc=0.85&device=RTX+4090").text
    assert re.search(r'name="device"[^>]* value="NVIDIA GeForce RTX 4090"', text)
    assert re.search(r'name="device"[^>]* placeholder="NVIDIA L4"', client.get("/").text)
    text = client.get("/?device=g4dn.xlarge").text
    assert re.search(r'name="device"[^>]* value="g4dn.xlarge"', text)
    specs = "device_kind=gpu&tdp_w=300&memory_gb=24"
    text = client.get(f"/?task=sentiment&min_acc=0.85&{specs}").text
    assert re.search(r'name="device"[^>]* placeholder="the device below"', text)
    assert re.search(r'name="tdp_w"[^>]* value="300"', text)
    assert "<option selected>gpu</option>" in text
    assert "on as specified" not in text
    assert "device=as+specified" not in text


def test_every_link_of_an_answer_leads_to_its_setup(client: Client) -> None:
    """The origin of each ranked option has an address, with an element of the named fragment."""
    text = client.get(
        "/?task=topic&workload=fktg&min_acc=0.3&device=NVIDIA+H100-SXM5-94GB&confidence=0"
    ).text
    found = re.findall(r'class="name" href="(/setups[^"#]*)#(\w+)"', text)
    assert len(found) > 5
    for address, fragment in found[:6]:
        page = client.get(address.replace("&amp;", "&"))
        assert page.status_code == 200
        assert f'id="{fragment}"' in page.text


def test_options_without_a_row_lead_to_the_results_behind_their_accuracy(client: Client) -> None:
    """A candidate that nobody ran has an address, too."""
    text = client.get("/?task=sentiment&min_acc=0.85").text
    found = re.findall(r'class="name" href="(/accuracies[^"]*)"', text)
    assert len(found) > 5
    page = client.get(found[0].replace("&amp;", "&"), headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "sst2" in page.text


def test_accuracies_are_a_matrix_and_a_list(client: Client) -> None:
    """Candidates by tasks in a language; the results of one data set with their sources."""
    html = {"Accept": "text/html"}
    whole = client.get("/accuracies", headers=html).text
    assert whole.count("<tr>") > 350
    assert "minilm-l6-frozen-logistic" in whole
    one = client.get("/accuracies?workload=banking77&limit=1000", headers=html).text
    assert "0.800" in one
    assert "few-shot, 8 per class" in one
    assert "logistic head (C = 1) on a frozen encoder" in one
    assert "https://github.com/embeddings-benchmark/results/blob/f4cc6c8b365a/results/" in one
    german = client.get("/accuracies?language=de", headers=html).text
    assert "offensive language: Multilingual HateCheck" in german


def test_results_have_pages_that_hold_each_result_once(client: Client) -> None:
    """The next page begins where one ends; the last has no next."""
    html, address, found = {"Accept": "text/html"}, "/accuracies?workload=banking77&limit=60", []
    while address:
        text = client.get(address, headers=html).text
        found.append(text.count('<td data-label="Data set">'))
        (address,) = links(text, "/accuracies?workload=banking77&amp;limit=60&amp;cursor") or ("",)
    evidence = client.get("/accuracies?workload=banking77&evidence=true&limit=1000").json()
    assert sum(found) == len(evidence["items"]) > 120
    assert set(found[:-1]) == {60}


def test_devices_are_found_by_name_and_empty_fields_are_not_asked(client: Client) -> None:
    """Words of a name in any order, or a cloud instance; nothing found says what to do."""
    text = client.get("/devices?q=4090&kind=", headers=BROWSER).text
    assert "NVIDIA GeForce RTX 4090</a>" in text
    assert "RTX 3090" not in text
    assert "NVIDIA T4</a>" in client.get("/devices?q=g4dn.xlarge", headers=BROWSER).text
    assert "data sheet" in client.get("/devices?q=abacus", headers=BROWSER).text


def test_an_answer_is_a_sentence_to_copy_and_says_a_year(client: Client) -> None:
    """With the address that asks again; the year follows the stated volume."""
    text = client.get("/?task=sentiment&min_acc=0.85&texts_per_day=2000000").text
    said = re.search(r'id="citation">([^<]+)<', text)
    assert said
    assert "min_acc=0.85&amp;texts_per_day=2000000" in said[1]
    assert "SST-2: sentences of film reviews, English" in said[1]
    assert "2,000,000 texts a day" in text
    once, twice = (
        float(re.search(r"<b>([\d.,]+) kWh</b>", client.get(f"/?texts_per_day={n}").text)[1])  # type: ignore[index]
        for n in (1_000_000, 2_000_000)
    )
    assert twice == pytest.approx(2 * once, rel=0.02)
    assert client.get("/?texts_per_day=none").status_code == 400


def test_where_nothing_qualifies_the_page_says_what_to_ask(client: Client) -> None:
    """And where a name is not known, the nearest ones are links."""
    text = client.get("/?min_acc=0.9999").text
    found = links(text.split("Ask instead:")[1].split("</ul>")[0], "/?")
    assert found
    assert "needs the least" in client.get(found[0]).text
    wrong = client.get("/?device=NVIDIA+A30X").text
    assert any("device=NVIDIA+A30" in address for address in links(wrong, "/?"))
    unlike = client.get("/?device=4O9O")
    assert unlike.status_code == 404
    assert "There is no device named “4O9O”" in unlike.text


def test_every_cell_of_the_matrix_leads_to_setups(client: Client) -> None:
    """Cells of several workloads open; each page holds as many setups as its cell says."""
    for workload in ("rotten-tomatoes", "mlperf-squad", "fktg"):
        text = client.get(f"/catalog?workload={workload}").text
        cells = re.findall(r'class="cell \w+" href="([^"]+)"[^>]*>(\d+)<', text)
        for address, setups in cells[:: max(1, len(cells) // 5)]:
            page = client.get(address.replace("&amp;", "&")).text
            assert page.count("<article") == int(setups)


def test_a_stored_row_shows_its_fingerprint_and_its_history(
    client: Client, writer: dict[str, str], run_csv: Callable[..., bytes]
) -> None:
    """Run, meter, fingerprint and labels of a calibrated row are told; an older one is marked."""
    new = {
        "run_id": "lab-2",
        "measured_at": "2026-07-01",
        "fingerprint": '{"energy": {"driver": "560.1"}}',
        "meter": "nvml+rapl",
    }
    assert client.post("/measurements", content=run_csv({}, new), headers=writer).is_success
    address = "/setups?candidate=tfidf-word-logistic&device=NVIDIA+A30&workload=sst2"
    page = client.get(address)
    for told in ("lab-2", "nvml+rapl", "560.1", "superseded by a newer row", "0.900"):
        assert told in page.text
    assert page.text.index("lab-2") < page.text.index("lab-1")
    assert re.search(r"chip, CPU and memory\)</th><td[^>]*><b>100</b>", page.text)


def test_a_setup_nobody_ran_is_shown_as_an_estimate(client: Client) -> None:
    """The page says so, gives the estimate with its interval and where it was run."""
    asked = "candidate=llama-3.1-8b-zero-shot&device=NVIDIA+L4&workload=rotten-tomatoes"
    text = client.get(f"/setups?{asked}").text
    assert "Never run on this device" in text
    assert "extrapolated" in text  # few publishers measured such servers
    assert "NVIDIA H100-SXM5-94GB" in text
    every = client.get(f"/setups?{asked.partition('&workload')[0]}").text
    assert f"/setups?{asked}" in links(every, "/setups")


def test_every_device_has_a_page(client: Client) -> None:
    """Specs, missing ones as such, and the commands to calibrate it; names make unique slugs."""
    slugs = {wording.slug(name): name for name in WHOLE.devices}
    assert len(slugs) == len(WHOLE.devices)
    for slug in list(slugs)[::15]:
        page = client.get(f"/devices/{slug}")
        assert page.status_code == 200
        for told in ("joulewise doctor", "joulewise calibrate", "catalog export", "/measurements"):
            assert told in page.text
        if "/" not in slugs[slug]:  # no path of one part
            assert client.get(f"/devices/{slugs[slug]}").text == page.text
    assert client.get("/devices/no-such-device").status_code == 404


def test_the_devices_are_a_page_for_browsers_and_json_for_others(client: Client) -> None:
    """Every device of the kind leads to its own page, the most measured first; caches are told."""
    page = client.get("/devices?kind=gpu", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "Accept" in page.headers["vary"]
    gpus = {wording.slug(d.name) for d in WHOLE.devices.values() if d.kind == "gpu"}
    shown = links(page.text, "/devices/")
    assert {address.rsplit("/", 1)[1] for address in shown} == gpus
    setups = [int(n.replace(",", "")) for n in re.findall(r"<b>([\d,]+)</b></td></tr>", page.text)]
    assert setups == sorted(setups, reverse=True)
    assert sum(setups) > 0
    whole = client.get("/devices", headers=BROWSER).text
    assert len(links(whole, "/devices/")) == len(WHOLE.devices)
    plain = client.get("/devices?kind=gpu&limit=3")
    assert len(plain.json()["items"]) == 3
    assert client.get("/devices?kind=fpga", headers=BROWSER).status_code == 400


def test_a_device_is_not_said_to_be_printed_as_its_own_name() -> None:
    """Nor twice as one alias: capitals make no other name."""
    aliases = ("nvidia x1", "X1", "x1", "GeForce X1")
    device = Device(name="NVIDIA X1", kind="gpu", aliases=aliases)
    assert device_page.other_names(device) == ["X1", "GeForce X1"]


def test_the_width_of_an_estimate_is_high_over_low() -> None:
    """On a device's page as on the scorecard."""
    device, estimator = WHOLE.devices["NVIDIA GeForce RTX 4090"], load()
    own = device_page.estimate_widths(device, estimator, ["calibration"])
    assert {each.source for each in own} == {None}  # nobody's setup is like the host's own
    for each in device_page.estimate_widths(device, estimator, ()):
        timed = Setup(
            device=device, n_parameters=22.7e6, runtime_s=1e-3, batch_size=32, tokens=32,
            scope=each.scope, source=None,
        )  # fmt: skip
        (found,) = estimator.predict([timed])
        assert found.energy_j.low
        assert found.energy_j.high
        assert each.known == pytest.approx(found.energy_j.high / found.energy_j.low)
        assert each.unknown > each.known


def test_who_a_setup_of_nobodys_belongs_to_is_said() -> None:
    """To whoever calibrated the device; else to anybody, beside those who measured there."""
    device, estimator = WHOLE.devices["NVIDIA A30"], load()
    home = Estimator(
        estimator.artefact, estimator.scorecard, "1", home={device.name: "calibration|box"}
    )
    assert device_page.unknown_user(device, home, ["calibration"]).startswith("you,")
    read = Estimator(estimator.artefact, estimator.scorecard, "1", home={device.name: "paper"})
    assert device_page.unknown_user(device, read, ["paper"]) == "anybody else, you included"
    assert device_page.unknown_user(device, estimator, ["paper"]) == "anybody else, you included"
    assert device_page.unknown_user(device, estimator, []) == "anybody"


def test_specs_carry_their_own_source() -> None:
    """What a record's source says of one spec stands beside that spec, and only there."""
    device = Device(
        name="x",
        kind="gpu",
        tdp_w=300,
        idle_w=40,
        peak_fp16_tflops=100,
        year=2020,
        status="derived",
        source="list A; idle: readings B; derived: peak_fp16_tflops (4x fp32; as in C); "
        "not re-read (carried over): year",
    )
    found = {spec.words: spec for spec in device_page.specs(device)}
    assert found["Idle power"].source == "readings B"
    assert found["Peak fp16, tensor units"].status == "derived"
    assert found["Peak fp16, tensor units"].source == "4x fp32; as in C"
    assert found["Year"].status == "unverified"
    assert found["Thermal design power"].status == "verified"
    assert found["Memory bandwidth"].status == "missing"
    usual = completed(device).defaults["memory_gb"]
    assert (found["Memory"].status, found["Memory"].value) == ("default", usual)
    assert "median" in str(found["Memory"].source)
    assert device_page.general_source(device) == "list A"


def test_the_estimator_is_a_page_for_browsers_and_json_for_others(client: Client) -> None:
    """The same address answers both; caches are told."""
    page = client.get("/estimator", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5"):
        found = client.get("/estimator", headers={"Accept": accept})
        assert found.headers["content-type"].startswith("application/json")
        assert found.json()["splits"]
    assert "Accept" in page.headers["vary"]
    assert page.text.count("<svg") >= 4


def test_the_method_is_the_documents(client: Client) -> None:
    """Headings can be linked to, links between documents lead to pages, no markup is left over."""
    text = client.get("/method").text
    for section in ("labels-measured-modelled-estimated", "the-decision"):
        assert f'href="#{section}"' in text
        assert f'id="{section}"' in text
    assert 'href="/method/errors"' in text
    assert ".md" not in re.sub(r"<code>.*?</code>", "", text)
    assert 'id="warning-codes"' in client.get("/method/codes").text
    for name in DOCUMENTS[1:]:
        page = client.get(f"/method/{name}")
        assert page.status_code == 200
        assert "|---|" not in page.text
    assert client.get("/method/none").status_code == 404


def test_errors_are_pages_for_browsers_only(client: Client) -> None:
    """An unknown path or name is a page there, problem details elsewhere, with one status."""
    for path in (
        "/nothing",
        "/devices/none",
        "/catalog?colour=red",
        "/setups?candidate=a&device=b",
    ):
        page, plain = client.get(path, headers=BROWSER), client.get(path)
        assert page.status_code == plain.status_code >= 400
        assert page.headers["content-type"].startswith("text/html")
        assert plain.headers["content-type"].startswith("application/problem+json")
        assert "<h1>" in page.text
    text = client.get("/nothing%3Cb%3E", headers=BROWSER).text
    assert "there is nothing at /nothing&lt;b&gt;" in text
    assert '<a href="/">front page</a>' in text
    assert client.get("/nothing").json()["detail"] == "there is nothing at /nothing"
    assert "there is nothing at /nothing" in client.get("/nothing", headers=BROWSER).text
    assert client.put("/recommend").json()["detail"] == "/recommend does not take PUT"


def test_pages_need_nothing_from_elsewhere(client: Client) -> None:
    """No address of another host is loaded, no script or style stands inline."""
    for path in (
        "/",
        "/catalog",
        "/estimator",
        "/method",
        "/method/errors",
        "/devices",
        "/devices/nvidia-a30",
    ):
        text = client.get(path, headers=BROWSER).text
        loaded: list[Any] = re.findall(r'(?:src|srcset|data)="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]* href="([^"]+)"', text)
        assert all(address.startswith("/static/") for address in loaded)
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", text)
