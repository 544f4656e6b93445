"""Images hold what the wheel is made of; the services of the compose file fit each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STAGES = dict(
    re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml by name."""
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return dict(composed["services"])


def needed() -> list[str]:
    """Top-level files and folders that building the wheel reads."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = declared["tool"]["hatch"]["build"]["targets"]["wheel"]
    return [
        *wheel["packages"],
        *(Path(name).parts[0] for name in wheel["force-include"]),
        declared["project"]["readme"],
        *declared["project"]["license-files"],
        "pyproject.toml",
        "constraints.txt",
    ]


@pytest.mark.parametrize("name", needed())
def test_the_build_is_given_what_the_wheel_is_made_of(name: str) -> None:
    """Nothing that the wheel needs is left out of the build context or never copied into it."""
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert f"!{name}" in allowed
    copied = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)).split()
    assert name in copied


def test_only_calibration_installs_the_benchmark_stack() -> None:
    """The service's image is made from the base install, calibration's with its extra."""
    assert "[postgres]" in STAGES["service-install"]
    assert "calibration" not in STAGES["service-install"]
    assert "[calibration,fleet,postgres]" in STAGES["calibration-install"]
    assert "--from=service-install" in STAGES["service"]


@pytest.mark.parametrize("stage", ["service", "calibration"])
def test_images_run_as_a_user_without_rights(stage: str) -> None:
    """The last user named in either, or in the base it comes from, is a number other than 0."""
    assert re.search(rf"^FROM base AS {stage}$", DOCKERFILE, re.MULTILINE)
    users = re.findall(r"^USER (.*)$", STAGES["base"] + STAGES[stage], re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_the_health_check_asks_the_port_that_is_served() -> None:
    """The port of the image is the port that is exposed, published and scraped."""
    port = re.search(r"JOULEWISE_PORT=(\d+)", STAGES["service"])
    exposed = re.search(r"^EXPOSE (\d+)$", STAGES["service"], re.MULTILINE)
    assert port is not None
    assert exposed is not None
    assert port[1] == exposed[1]
    assert "/health/ready" in STAGES["service"]
    scraped = yaml.safe_load((ROOT / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        t for s in scraped["scrape_configs"] for g in s["static_configs"] for t in g["targets"]
    ]
    assert targets == [f"service:{port[1]}"]


def test_composed_services_find_each_other(services: dict[str, Any]) -> None:
    """Service and calibration name the database that is started, under its own name and user."""
    database = services["postgres"]["environment"]
    for name in ("service", "calibration"):
        url = services[name]["environment"]["JOULEWISE_CATALOG"]
        assert url.startswith(f"postgresql+psycopg://{database['POSTGRES_USER']}:")
        assert url.endswith(f"@postgres/{database['POSTGRES_DB']}")
        assert database["POSTGRES_PASSWORD"] in url
        assert services[name]["build"]["target"] == name
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    assert "calibration" in services["calibration"]["profiles"]


def test_nothing_is_open_to_other_machines(services: dict[str, Any]) -> None:
    """Every published port listens on this machine alone, and the database has none."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in services["postgres"]
