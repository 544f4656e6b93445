"""Tests of machines in questions: instances, assumed variants and specs, by HTTP and command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from typer.testing import CliRunner

from api.cli.main import app as joulewise
from catalog.store.database import Store

Client = TestClient[Litestar]
ASKED: dict[str, Any] = {"task": "sentiment", "min_acc": 0.8, "limit": 1}


def codes(body: dict[str, Any]) -> dict[str, str]:
    """Code -> message of an answer's warnings."""
    return {each["code"]: each["message"] for each in body["warnings"]}


def test_an_instance_answers_as_its_device_and_says_what_it_is(client: Client) -> None:
    """An encoder needs on its card what it needs on any such card; the host is the instance's."""
    encoders = {**ASKED, "min_acc": 0.93, "scope": "device"}
    named, plain = (
        client.get("/recommend", params=encoders | {"device": device}).json()
        for device in ("g4dn.xlarge", "NVIDIA T4")
    )
    assert named["query"]["device"] == "g4dn.xlarge"
    same = ("candidate", "device", "energy_j_per_1000", "runtime_s_per_1000", "memory_gb")
    assert named["chosen"]["device"] == "NVIDIA T4"
    assert [named["chosen"][name] for name in same] == [plain["chosen"][name] for name in same]
    said = codes(named)["instance-hardware"]
    assert "1 x NVIDIA T4" in said
    assert "4 vCPUs, 4.17 % of its host" in said
    assert "0.0833 x Intel Xeon Platinum 8259CL" in said
    assert "instance-hardware" not in codes(plain)
    machine = named["machine"]
    assert (machine["vcpus"], machine["memory_gb"]) == (4, 16)
    assert machine["cpu_share"] == pytest.approx(4 / 48, rel=1e-3)
    assert plain["machine"]["vcpus"] is None


def test_the_host_of_an_instance_makes_the_difference(client: Client) -> None:
    """In scope host a card with 4 vCPUs needs less than one with a quarter of a server."""
    asked = {**ASKED, "min_acc": 0.93, "scope": "host"}
    named, plain = (
        client.get("/recommend", params=asked | {"device": device}).json()["chosen"]
        for device in ("g4dn.xlarge", "NVIDIA T4")
    )
    assert named["candidate"] == plain["candidate"]
    assert named["runtime_s_per_1000"] == plain["runtime_s_per_1000"]
    joules = [each["energy_j_per_1000"]["value"] for each in (named, plain)]
    assert joules[0] < 0.9 * joules[1]


def test_an_estimate_is_of_the_vcpus_of_an_instance() -> None:
    """A network on 2 vCPUs takes longer than on 16 and less power than the whole chip."""
    from advisor.estimator.estimator import load
    from api.service.estimate import EstimateRequest, estimate, requested_machine
    from catalog import snapshot

    catalog, estimator = snapshot.load(), load()
    values = []
    for name in ("c7i.large", "c7i.24xlarge", "Intel Xeon Platinum 8488C"):
        request = EstimateRequest(device=name, n_parameters=1e8, scope="host")
        found = estimate(requested_machine(catalog, request), estimator, request)
        values.append(found.energy_j_per_1000.value)
    assert values[0] != values[1] == values[2]


def test_an_assumed_variant_is_said(client: Client) -> None:
    """An M3 is priced as its GPU; an exact name needs no such warning."""
    said = codes(client.get("/recommend", params={**ASKED, "device": "M3"}).json())
    assert "Apple M3 (GPU)" in said["device-assumed"]
    exact = client.get("/recommend", params={**ASKED, "device": "Apple M3 (GPU)"}).json()
    assert "device-assumed" not in codes(exact)


@pytest.mark.parametrize(
    ("device", "status", "some"),
    [
        ("a100", 404, "NVIDIA A100-SXM4-80GB"),
        ("RTX 4099", 404, "device_kind tdp_w peak_fp32_tflops"),
        ("g4dn.32xlarge", 404, "g4dn.12xlarge"),
        ("n2-standard-8", 404, "Cascade Lake or Ice Lake"),
    ],
)
def test_an_open_name_lists_choices_and_specs(
    client: Client, device: str, status: int, some: str
) -> None:
    """No page ends without what to ask instead."""
    refused = client.get("/recommend", params={**ASKED, "device": device})
    assert refused.status_code == status
    assert some in refused.json()["detail"]
    assert refused.json()["field"] == "device"


def test_implausible_specs_are_a_400_that_names_the_range(client: Client) -> None:
    """500 TFLOP/s on 5 W: in a question, an estimate and on the command line."""
    specs = {"device_kind": "gpu", "tdp_w": 5, "peak_fp32_tflops": 500}
    refused = client.get("/recommend", params={**ASKED, **specs}).json()
    assert (refused["status"], refused["field"]) == (400, "peak_fp32_tflops")
    assert "for a gpu of 5 W" in refused["detail"]
    device = {"kind": "gpu", "tdp_w": 5, "peak_fp32_tflops": 500}
    body = {"device": device, "n_parameters": 1e8}
    answer = client.post("/estimate", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, "peak_fp32_tflops")
    deployment = {"device": device, "candidate": "tfidf-word-logistic", "workload": "sst2"}
    plan = {"deployments": [deployment | {"texts_per_day": 1000, "name": "a"}]}
    report = client.post("/report", json=plan)
    assert report.status_code == 400
    assert "peak_fp32_tflops" in report.text
    shell = ["estimate", "--device-kind", "gpu", "--tdp-w", "5", "--peak-fp32-tflops", "500"]
    done = CliRunner().invoke(joulewise, [*shell, "--params", "1e8"])
    assert done.exit_code == 2
    assert "peak_fp32_tflops" in done.output


def test_devices_are_listed_with_defaults_apart(client: Client) -> None:
    """What no source states stays null; what stands for it is in `defaults`."""
    (h100,) = client.get("/devices", params={"q": "h100 pcie"}).json()["items"]
    assert (h100["tdp_w"], h100["idle_w"], h100["defaults"]) == (350, 50, {})
    (ryzen,) = client.get("/devices", params={"q": "5950x"}).json()["items"]
    assert ryzen.get("memory_gb") is None
    assert ryzen["defaults"] == {"memory_gb": 32.0, "idle_w": 10.5}
    assert ryzen["device_class"] == "cpu-desktop"
    (t4,) = client.get("/devices", params={"q": "g4dn.xlarge"}).json()["items"]
    assert (t4["name"], t4["host_cpu"]) == ("NVIDIA T4", "AMD EPYC 7742")
    assert client.get("/devices", params={"q": "no such thing"}).json()["items"] == []
    makers = client.get("/devices", params={"q": "apple", "limit": 100}).json()["items"]
    assert {each["vendor"] for each in makers} == {"Apple"}


def test_the_command_lists_devices_by_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`joulewise devices rtx 4090` prints both cards; JSON keeps read and assumed apart."""
    monkeypatch.setenv("JOULEWISE_CATALOG", store.url)
    done = CliRunner().invoke(joulewise, ["devices", "4090", "--json"])
    assert done.exit_code == 0, done.output
    names = [each["name"] for each in json.loads(done.stdout)]
    assert names[0] == "NVIDIA GeForce RTX 4090"
    assert all("4090" in name for name in names)
    assert "NVIDIA GeForce RTX 4090 Laptop GPU" in names
    shown = CliRunner().invoke(joulewise, ["devices", "5950x"])
    assert "~32" in shown.stdout


def test_rates_without_a_tdp_are_bounded_too(client: Client) -> None:
    """A million TFLOP/s is no chip, whatever its power."""
    specs = {"device_kind": "gpu", "peak_fp16_tflops": 1e6}
    refused = client.get("/recommend", params={**ASKED, **specs}).json()
    assert (refused["status"], refused["field"]) == (400, "peak_fp16_tflops")


def test_an_estimate_says_what_it_took_a_name_for(client: Client) -> None:
    """As an answer to a question does."""
    for name, code in (("M3", "device-assumed"), ("g4dn.12xlarge", "instance-hardware")):
        body = {"device": name, "n_parameters": 1e8}
        codes = {each["code"] for each in client.post("/estimate", json=body).json()["warnings"]}
        assert code in codes


def test_a_share_of_an_accelerator_is_refused_with_a_remedy(client: Client) -> None:
    """A sixth of a card has a sixth of its memory: its specs are needed."""
    answer = client.get("/recommend", params={**ASKED, "device": "Standard_NV6ads_A10_v5"})
    assert answer.status_code in (400, 404)
    assert "device_kind" in answer.json()["detail"]


def test_the_page_keeps_its_form_where_specs_are_implausible(client: Client) -> None:
    """The fault stands above the form that was filled in."""
    page = client.get("/", params={"device_kind": "gpu", "tdp_w": 5, "peak_fp32_tflops": 500})
    assert page.status_code == 400
    assert "<form" in page.text
    assert "peak_fp32_tflops" in page.text
