"""One question asked of other tools: each installed one in, what it says and its version out.

Run it in an environment of its own, as docs/peers.md shows; the project needs none of them.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

QUESTION = (
    "Which model tells positive from negative reviews with an accuracy of at least 0.85 for the "
    "least energy, on a g4dn.xlarge (NVIDIA T4)?"
)
LLM, ENCODER = "meta-llama/Meta-Llama-3.1-8B-Instruct", "distilbert/distilbert-base-uncased"
LATENCY_S = 0.05
"""Stated to EcoLogits, which wants a measured one: seconds of a request."""
JOULES = 3.6e6
"""Per kWh."""


def ecologits() -> list[str]:
    """Energy of 1,000 requests that generate one token, the label; and of an encoder."""
    llm_impacts = importlib.import_module("ecologits.tracers.utils").llm_impacts
    found = llm_impacts("huggingface_hub", LLM, 1, LATENCY_S, "DEU")
    energy, gwp = found.energy.value, found.gwp.value
    encoder = llm_impacts("huggingface_hub", ENCODER, 1, LATENCY_S, "DEU")
    return [
        f"{LLM}, 1,000 answers of one token: {1000 * JOULES * energy.min:.3g} to "
        f"{1000 * JOULES * energy.max:.3g} J, {1e6 * gwp.mean:.3g} g CO2e in Germany",
        f"{ENCODER}: {'; '.join(error.message for error in encoder.errors or [])}",
    ]


def boaviztapi() -> list[str]:
    """Impacts of an hour of the instance at half load, made and used."""
    router = importlib.import_module("boaviztapi.routers.cloud_router")
    dto = importlib.import_module("boaviztapi.dto.device")
    usage = {"usage_location": "DEU", "time_workload": 50}
    asked = dto.Cloud(provider="aws", instance_type="g4dn.xlarge", usage=usage)
    ask = router.instance_cloud_impact_from_configuration
    found = asyncio.run(ask(asked, verbose=True, duration=1, criteria=["gwp"]))
    gwp, power = found["impacts"]["gwp"], found["verbose"]["avg_power"]
    return [
        f"g4dn.xlarge for an hour at half load: {power['value']:.3g} {power['unit']} on average "
        f"({power['min']:.3g} to {power['max']:.3g})",
        *(
            f"  {part}: {1000 * gwp[part]['value']:.3g} g CO2e"
            for part in ("embedded", "use")
            if isinstance(gwp[part], dict)
        ),
    ]


def codecarbon() -> list[str]:
    """Energy of five seconds of work on this machine, and how it was obtained."""
    logging.disable(logging.CRITICAL)
    module = importlib.import_module("codecarbon")
    tracker = module.OfflineEmissionsTracker(
        country_iso_code="DEU", save_to_file=False, measure_power_secs=1, log_level="critical"
    )
    tracker.start()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        sum(range(1000))
    tracker.stop()
    data = tracker.final_emissions_data
    hardware = [type(part).__name__ + f" ({part})" for part in tracker._hardware]
    return [
        f"5 s of one busy core here: {JOULES * data.energy_consumed:.3g} J, of which CPU "
        f"{JOULES * data.cpu_energy:.3g} and memory {JOULES * data.ram_energy:.3g}",
        *(f"  by {part}" for part in hardware),
    ]


def mteb() -> list[str]:
    """What is recorded of a model and of a task, and whether energy is among it."""
    module = importlib.import_module("mteb")
    model = module.get_model_meta("sentence-transformers/all-MiniLM-L6-v2")
    task = module.get_task("ImdbClassification")
    tasks, models = module.get_tasks(), module.get_model_metas()
    sorts = module.get_tasks(task_types=["Classification"])
    fields = [name for name in type(model).model_fields if "energy" in name or "carbon" in name]
    return [
        f"{model.name}: {model.n_parameters:,} parameters, {model.memory_usage_mb} MB",
        f"{task.metadata.name}: main score {task.metadata.main_score}",
        f"{len(models):,} models, {len(tasks):,} tasks, {len(sorts)} of them classification",
        f"  fields of a model about energy: {', '.join(fields) or 'none'}",
    ]


PEERS: dict[str, Callable[[], list[str]]] = {
    "ecologits": ecologits,
    "boaviztapi": boaviztapi,
    "codecarbon": codecarbon,
    "mteb": mteb,
}


def main(names: list[str]) -> int:
    """Asks the named tools, by default all; says which are not installed."""
    print(QUESTION)
    for name in names or PEERS:
        try:
            version: Any = metadata.version(name)
        except metadata.PackageNotFoundError:
            print(f"\n{name}: not installed")
            continue
        print(f"\n{name} {version}")
        for line in PEERS[name]():
            print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
