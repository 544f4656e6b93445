"""Questions and answers: twelve machines as people name them, every combination, a seeded draw."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from catalog.registry.tasks import tasks

FLOORS = (0.6, 0.7, 0.8, 0.9)
SCENARIOS = ("offline", "single", "server")
LABELS = ("full", "few", "none")
RATE = 1.0
"""Texts per second of scenario ``server``: 86,400 a day, what a help desk of some size gets."""
STEP = 0.05
"""How much higher the floor of the second question is by which an answer is judged monotone."""

Body = Mapping[str, Any]
Option = Mapping[str, Any]


class Machine(msgspec.Struct, frozen=True):
    """A machine as people name it.

    Attributes:
        asked: The parameter `device`; ``None`` where the question names no machine.
        parts: Devices of the table that it has; without a name NVIDIA L4 is the stated default.
        any_host: Whether it is a card whose host is not named: any server CPU may be its host.
    """

    asked: str | None
    parts: tuple[str, ...]
    any_host: bool = False


MACHINES = (
    Machine("NVIDIA T4", ("NVIDIA T4",), any_host=True),
    Machine("NVIDIA L4", ("NVIDIA L4",), any_host=True),
    Machine("NVIDIA L40S", ("NVIDIA L40S",), any_host=True),
    Machine("NVIDIA A100-SXM4-80GB", ("NVIDIA A100-SXM4-80GB",), any_host=True),
    Machine("AMD EPYC 7763", ("AMD EPYC 7763",)),
    Machine("Xeon 8480+", ("Intel Xeon Platinum 8480+",)),
    Machine("Apple M3", ("Apple M3 (GPU)", "Apple M3 (CPU)")),
    Machine("Raspberry Pi 5", ("Raspberry Pi 5 8GB (BCM2712)",)),
    Machine(
        "Jetson Orin Nano", ("NVIDIA Jetson Orin Nano 8GB", "NVIDIA Jetson Orin Nano 8GB (CPU)")
    ),
    Machine("g4dn.xlarge", ("NVIDIA T4", "Intel Xeon Platinum 8259CL")),
    Machine("c7i.4xlarge", ("Intel Xeon Platinum 8488C",)),
    Machine(None, ("NVIDIA L4",), any_host=True),
)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question as an expert would put it.

    Attributes:
        rate: Texts per second, of scenario ``server`` alone.
        language: ISO 639-1 code; ``None`` asks for the task's default.
    """

    task: str
    min_acc: float
    machine: Machine
    scenario: str = "offline"
    labels: str = "full"
    rate: float | None = None
    language: str | None = None

    def url(self) -> str:
        """Path and parameters; those that have their default are left out."""
        given: dict[str, object] = {"task": self.task, "min_acc": self.min_acc}
        given |= {"device": self.machine.asked} if self.machine.asked else {}
        given |= {"scenario": self.scenario} if self.scenario != "offline" else {}
        given |= {"rate": self.rate} if self.rate else {}
        given |= {"labels": self.labels} if self.labels != "full" else {}
        given |= {"language": self.language} if self.language else {}
        return f"/recommend?{urlencode(given)}"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back.

    Attributes:
        body: The JSON body; of a refusal its problem details.
        n_bytes: Of the uncompressed body.
        higher: Body for the same question with its floor raised by `STEP`, where that was
            answered.
    """

    status: int
    body: Body
    n_bytes: int
    higher: Body | None = None

    @property
    def chosen(self) -> Option | None:
        """The recommended option."""
        found: Option | None = self.body.get("chosen")
        return found


def every_question() -> list[Question]:
    """All tasks x floors x machines x scenarios x label budgets, in a stable order."""
    return [
        Question(
            task=task,
            min_acc=floor,
            machine=machine,
            scenario=scenario,
            labels=labels,
            rate=RATE if scenario == "server" else None,
        )
        for task, floor, machine, scenario, labels in itertools.product(
            sorted(tasks()), FLOORS, MACHINES, SCENARIOS, LABELS
        )
    ]


def drawn(seed: int, n: int) -> list[Question]:
    """Some of all questions, without repetition; the same for the same seed and number."""
    return random.Random(seed).sample(every_question(), n)  # noqa: S311
