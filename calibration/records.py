"""Records of a calibration: profile, trial and event.

The lowest room of the package: these know nothing of the machine, its meters or its texts.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from catalog.records import EAGER_BACKENDS, Label, Phase, Scenario, SetupKey

SOURCE = "calibration"
"""Source of every row the suite measures."""
PROTOCOL_VERSION = 3
"""Version of the protocol; increase it when figures change, so that older rows are remeasured."""
MIN_ARRIVALS = 20
"""Minimum texts per window; fewer give no 95th percentile."""
_OWN_BACKENDS = ("python", "numpy", *EAGER_BACKENDS)
EventKind = Literal["waiting", "started", "delayed", "finished", "present", "skipped", "failed"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Duration and extent of a calibration.

    Attributes:
        name: ``quick``, ``standard`` or ``reference``.
        window_s: Minimum seconds of a window.
        repeats: Windows per setup, an odd number.
        warmup_s: Maximum seconds of warm-up.
        idle_s: Seconds over which idle power is measured if there is a counter.
        sweep: Whether to measure further batch sizes, text orders and precisions.
        retries: Times that a doubtful trial is measured again at most (`catalog.doubt`).
        wait_s: Seconds to wait for a quieter moment before each of them, at most.
    """

    name: str
    window_s: float
    repeats: int
    warmup_s: float
    idle_s: float = 5.0
    sweep: bool = False
    retries: int = 3
    wait_s: float = 60.0


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="quick", window_s=5, repeats=3, warmup_s=3),
        Profile(name="standard", window_s=30, repeats=5, warmup_s=15, idle_s=10, sweep=True),
        Profile(name="reference", window_s=600, repeats=3, warmup_s=60, idle_s=60),
    )
}


def server_window_s(rate_per_s: float, profile: Profile, min_window_s: float = 0.0) -> float:
    """Seconds of a window: the profile's, or longer for `MIN_ARRIVALS` texts or the meter."""
    return max(profile.window_s, min_window_s, MIN_ARRIVALS / rate_per_s)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is to be measured.

    Attributes:
        present: Whether the catalog has it already, under the same setup and fingerprint.
        estimated_s: Seconds it will take, to an order of magnitude; 0 if it is present. A fit
            that the catalog has already is counted with the first trial that needs it again.
        estimated_j: Joules of the device in that time, an upper figure: at its power limit, else
            its TDP (`calibration.plan.forecast.power_w`); ``None`` where neither is known.
        energy: The part of its fingerprint that moves energy.
    """

    candidate: str
    workload: str
    device: str
    host: str
    n_devices: int
    phase: Phase
    scenario: Scenario
    backend: str
    precision: str
    batch_size: float | None
    rate_per_s: float | None = None
    repeat_group: str | None = None
    present: bool
    estimated_s: float
    estimated_j: float | None = None
    energy: dict[str, Any]

    def key(self) -> dict[str, Any]:
        """The fields of its row that identify the setup."""
        own = {name: getattr(self, name) for name in SetupKey._fields if hasattr(self, name)}
        return own | {"source": SOURCE, "n_nodes": 1}

    @property
    def setup(self) -> SetupKey:
        """The setup of its row."""
        return SetupKey(**self.key()).normalised()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State of one trial; a line of ``calibrate --json``. Never holds a text.

    Attributes:
        kind: ``waiting``, ``started``, ``delayed`` (doubtful, so it waits for a quieter moment or
            is measured again), ``finished`` (measured and stored), ``present`` (already in the
            catalog), ``skipped`` (cannot run here, e.g. a missing library) or ``failed`` (raised
            an error).
        variant: What else tells trials apart, e.g. ``arrival-order``.
        done: Trials finished, present, skipped or failed so far, this one included, of `total`.
        estimated_s: Seconds the trial was planned to take; `estimated_j` joules of its chip, at
            most.
        accuracy: Accuracy on the test set, 0-1. Figures of a present trial are its stored row's.
        joules_per_1000: Gross joules per 1,000 texts of all components the meter covers;
            ``None`` if it does not cover the device. `label` says how they were obtained.
        seconds_per_1000: Seconds per 1,000 texts.
        flags: Flags of the row that cast doubt on it.
        reason: Why the trial was skipped, failed or is delayed.
        left_s: Seconds the rest of the calibration will take, about.
        place: In a fleet, the hardware the trial belongs to; `node` the machine that runs it.
    """

    kind: EventKind
    candidate: str
    workload: str
    device: str
    phase: Phase
    scenario: Scenario
    backend: str
    precision: str
    batch_size: float | None = None
    rate_per_s: float | None = None
    variant: str | None = None
    done: int = 0
    total: int = 0
    estimated_s: float = 0.0
    estimated_j: float | None = None
    accuracy: float | None = None
    joules_per_1000: float | None = None
    label: Label | None = None
    seconds_per_1000: float | None = None
    flags: tuple[str, ...] = ()
    reason: str | None = None
    left_s: float | None = None
    place: str | None = None
    node: str | None = None

    @classmethod
    def of(cls, trial: Trial, kind: EventKind, **details: Any) -> Event:
        """The state of a trial; `details` are further fields."""
        shared = [name for name in cls.__struct_fields__ if name in Trial.__struct_fields__]
        return cls(
            kind=kind,
            variant=trial.repeat_group,
            **{name: getattr(trial, name) for name in shared},
            **details,
        )

    @property
    def choice(self) -> str:
        """Phase and serving choice in words: ``offline 32 onnxruntime fp32``, ``train``.

        Eager backends go unnamed.
        """
        if self.phase != "inference":
            return self.phase
        batch = "" if self.scenario == "single" else f"{self.batch_size or 0:g}"
        rate = "" if self.rate_per_s is None else f"at {self.rate_per_s:g}/s"
        backend = "" if self.backend in _OWN_BACKENDS else self.backend
        words = (self.scenario, batch, rate, backend, self.precision, self.variant or "")
        return " ".join(word for word in words if word)
