"""Type-ahead: what somebody has typed of a machine's or candidate's name in, names out."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable

import msgspec

from advisor.recommend.advisor import Advisor
from advisor.recommend.query import BadQuestionError
from api.pages import names, wording
from catalog.errors import UnknownNameError
from catalog.hardware.instances import Instance, instances
from catalog.records import Device
from catalog.snapshot import Snapshot

LISTED = 12
"""Suggestions at once."""
THIS = "this machine"
KINDS = {"gpu": "GPU", "cpu": "CPU", "npu": "NPU", "soc": "system on a chip"}


class Suggestion(msgspec.Struct, frozen=True):
    """A name that can be asked for, what it is, and the text it is found by."""

    name: str
    about: str
    text: str


def _of_device(device: Device) -> Suggestion:
    """A device with its kind and memory."""
    about = KINDS[device.kind]
    if device.memory_gb:
        about += f", {wording.count(device.memory_gb)} GB"
    return Suggestion(device.name, about, " ".join((device.name, *device.aliases)).casefold())


def _of_instance(instance: Instance) -> Suggestion:
    """A cloud instance with its hardware."""
    count = instance.n_accelerators or 1
    chip = f"{count:g} × {instance.accelerator}" if instance.accelerator else instance.cpu[0]
    about = f"{instance.provider}: {chip}, {instance.vcpus:g} vCPUs"
    return Suggestion(instance.name, about, instance.name.casefold())


@functools.lru_cache(maxsize=1)
def _machines(snapshot: Snapshot) -> list[Suggestion]:
    """Every device, those with most setups first, then the instances whose hardware is settled."""
    setups = Counter(row.device for row in snapshot.current)
    devices = sorted(snapshot.devices.values(), key=lambda d: (-setups[d.name], d.name))
    settled = sorted(
        (i for i in instances().values() if i.unresolved is None and (i.n_accelerators or 1) >= 1),
        key=lambda instance: (".metal" in instance.name, instance.vcpus),
    )
    return [*map(_of_device, devices), *map(_of_instance, settled)]


@functools.lru_cache(maxsize=1)
def _candidates(snapshot: Snapshot) -> list[Suggestion]:
    """Every family, then every candidate."""
    found = snapshot.candidates.values()
    present = sorted({candidate.family for candidate in found})
    families = [(name, f"family: {names.family(name)}") for name in present]
    sizes = ((c.name, (names.family(c.family), wording.parameters(c.n_parameters))) for c in found)
    single = [(name, ", ".join(filter(None, words))) for name, words in sizes]
    return [
        Suggestion(name, about, f"{name} {about}".casefold())
        for name, about in (*families, *single)
    ]


def _best(known: Iterable[Suggestion], typed: str) -> list[Suggestion]:
    """Those that hold every typed word: whole words first, then beginnings."""
    words = typed.casefold().split()
    if not words:
        return list(known)[:LISTED]

    def place(each: Suggestion) -> int:
        own = re.split(r"[^a-z0-9]+", each.text)
        whole = sum(word not in own for word in words)
        begins = sum(not any(part.startswith(word) for part in own) for word in words)
        return whole + begins

    holding = [each for each in known if all(word in each.text for word in words)]
    return sorted(holding, key=place)[:LISTED]


def machines(advisor: Advisor, typed: str) -> list[Suggestion]:
    """Devices and cloud instances: first this machine, if calibrated, then what the text means."""
    default = advisor.machine(None)
    found = _best(_machines(advisor.snapshot), typed)
    try:
        usual = advisor.snapshot.machines.find(typed).device.name if typed else None
    except UnknownNameError:
        usual = None
    found.sort(key=lambda each: each.name != usual)
    if default.basis in ("calibrated", "setting") and typed.casefold() in THIS:
        own = Suggestion(THIS, wording.machine(default.priced()), THIS)
        found = [own, *found][:LISTED]
    return found


def candidates(snapshot: Snapshot, typed: str) -> list[Suggestion]:
    """Families and candidates."""
    return _best(_candidates(snapshot), typed)


def meant(advisor: Advisor, typed: str | None) -> str | None:
    """The machine that a field means: ``None`` for this machine, the text itself otherwise.

    Raises:
        BadQuestionError: It is this machine, which was never calibrated.
    """
    if typed is None or typed.casefold() not in (THIS, "this"):
        return typed
    if advisor.machine(None).basis not in ("calibrated", "setting"):
        allowed = (
            "it is not calibrated: `joulewise calibrate --probes` does it in five minutes; or "
            "type what nvidia-smi or lscpu prints, or the name of a cloud instance"
        )
        raise BadQuestionError("device", typed, allowed)
    return None
