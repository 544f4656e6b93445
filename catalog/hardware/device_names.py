"""Names of devices as drivers, operating systems and people write them, and what they mean.

A name is found without regard to case, spaces, hyphens, maker and the words that lscpu adds. Only
what can mean one device alone is taken for it; what may mean several is refused with all of them,
except for the documented usual meanings of `reference/usual_devices.csv`, which say so.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from catalog import reference_files
from catalog.errors import AmbiguousNameError, UnknownNameError
from catalog.records import Device

MAKERS = {"nvidia", "geforce", "tesla", "amd", "intel", "apple", "qualcomm", "aws", "google"}
MAKERS |= {"ampere", "broadcom", "r", "tm"}
"""Words of a name that people leave out."""
LINES = {"rtx", "gtx", "rx", "radeon", "core", "xeon", "platinum", "gold", "silver"}
LINES |= {"epyc", "ryzen", "instinct", "arc"}
"""Product lines: people leave them out too, but where they are written they must fit."""
SETS_APART = {"laptop", "ti", "super", "xt", "xtx", "pro", "max", "ultra", "lite", "plus"}
SETS_APART |= {"mig", "igpu", "cpu+igpu", "gcd", "drive"}
"""Words that make another device of a name: one with them is not meant without them."""
_KINDS = {"gpu", "cpu", "npu", "soc"}
_FILLERS = {"graphics", "card", "chip", "accelerator", "processor", "tensor", "core", "series"}
_MODEL = re.compile(r"(?!(?:sxm|hbm|v)\d\w?$)[a-z]+\d|\d{4,}|\d[a-z]\d|\d[a-z]$")
"""Words that may tell a model: ``h100``, ``13900k``, ``4090``, ``7r13``; not ``80gb``, ``sxm5``."""
_BOARDS = {"jetson", "raspberry", "snapdragon", "orin", "titan"}
"""Words that tell a model together with what follows, although they hold no number."""
_PLAIN = tuple(
    (hint, re.compile(pattern), plain)
    for hint, pattern, plain in (
        ("(", r"\((r|tm|c)\)", " "),
        ("@", r"\s@\s*[\d.]+\s*ghz", " "),
        (" gen ", r"\b\d+(th|rd|nd|st) gen\b", " "),
        ("core proc", r"\b(dual|quad|\d+)[- ]core processor\b", " "),
        ("radeon ", r"\b(w/|with) radeon( .*)?graphics\b", " "),
        ("mac", r"\bmacbook( pro| air)?\b|\bmac (mini|studio|pro)\b|\bimac\b", " "),
        (" kit", r"\b(engineering reference )?developer kit\b", " "),
        (" rev ", r"\brev \d+(\.\d+)?\b", " "),
        ("mobile", r"\bmobile\b", "laptop"),
        ("laptop", r"\blaptop gpu\b", "laptop"),
        ("rtx", r"\brtx(?=\d)", "rtx "),
        ("gtx", r"\bgtx(?=\d)", "gtx "),
        ("rx", r"\brx(?=\d)", "rx "),
        ("epyc", r"\bepyc(?=\d)", "epyc "),
        ("xeon", r"\bxeon(?=\d)", "xeon "),
        ("ryzen", r"\bryzen(?=\d)", "ryzen "),
        ("pi", r"\brpi ?(?=\d)|(?<!raspberry )\bpi ?(?=\d)", "raspberry pi "),
        ("m", r"\b(m\d)(pro|max|ultra)\b", r"\1 \2"),
        ("ti", r"\b(\d{4})ti", r"\1 ti "),
        ("super", r"(?<=[\di])super\b", " super"),
        ("xt", r"\b(\d{4})(xtx?)\b", r"\1 \2"),
        (" gb", r"\b(\d+) gb\b", r"\1gb"),
    )
)
"""What is printed around a model, and words that people write as one: (a text that is there where
the pattern can be found, pattern, plain)."""
_WORD = re.compile(r"[a-z0-9+]+")
_ADDED = re.compile(r"(?<![(+])\b(cpu|processor)\b(?![)+])")
_X86 = re.compile(r"\b(intel|xeon|core|celeron|atom|pentium|amd|ryzen|epyc)\b")


def words(name: str) -> list[str]:
    """The words of a name in lower case, without its maker and what lscpu adds to it."""
    text = name.casefold()
    for hint, pattern, plain in _PLAIN:
        if hint in text:
            text = pattern.sub(plain, text)
    if _X86.search(text):
        text = _ADDED.sub(" ", text)
    return [word for word in _WORD.findall(text) if word not in MAKERS]


def spelt(name: str) -> str:
    """A name without case, spaces, hyphens and maker."""
    return "".join(words(name))


@functools.cache
def usual_devices() -> dict[str, tuple[str, str]]:
    """Name that several devices share -> the one it usually means, and why."""
    text = (reference_files.FOLDER / "usual_devices.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return {row["name"]: (row["device"], row["reason"]) for row in rows}


class Meaning(NamedTuple):
    """The device a name means; `note` says what was taken for granted, where something was."""

    device: Device
    note: str | None = None


class _Spellings(NamedTuple):
    """What a device is called: words of its name, of all its names, and its names without lines."""

    device: Device
    name: frozenset[str]
    every: frozenset[str]
    short: frozenset[str]


class DeviceNames:
    """Finds devices by name.

    Args:
        devices: All there are.
        usual: Name -> device and reason, for names of several that usually mean one; the bundled
            ones if left out.
    """

    def __init__(
        self, devices: Iterable[Device], usual: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        self._devices = {device.name: device for device in devices}
        named = usual_devices() if usual is None else usual
        self._usual = {spelt(name): each for name, each in named.items()}
        self._names = {name.casefold(): device for name, device in self._devices.items()}
        self._aliases: defaultdict[str, dict[str, Device]] = defaultdict(dict)
        self._spelt: defaultdict[str, dict[str, Device]] = defaultdict(dict)
        self._spelt_aliases: defaultdict[str, dict[str, Device]] = defaultdict(dict)
        self._spellings = []
        for name, device in self._devices.items():
            ways = [words(way) for way in (name, *device.aliases)]
            self._spelt["".join(ways[0])][name] = device
            for alias, way in zip(device.aliases, ways[1:], strict=True):
                self._aliases[alias.casefold()][name] = device
                self._spelt_aliases["".join(way)][name] = device
            self._spellings.append(
                _Spellings(
                    device,
                    frozenset(ways[0]),
                    frozenset(word for way in ways for word in way),
                    frozenset("".join(word for word in way if word not in LINES) for way in ways),
                )
            )

    def printed(self, name: str, kinds: Iterable[str] = ()) -> Device | None:
        """The device of this very name or alias, as a machine reports its chips; else ``None``.

        Args:
            name: What NVML, lscpu or the like print.
            kinds: The kinds of device it may be, all if empty: the CPU and the GPU of a Mac, say,
                report one name.
        """
        wanted = set(kinds) or _KINDS
        for found in (
            {each.name: each for each in [self._names.get(name.casefold())] if each},
            self._aliases.get(name.casefold(), {}),
            self._spelt.get(spelt(name), {}),
            self._spelt_aliases.get(spelt(name), {}),
        ):
            fitting = [device for device in found.values() if device.kind in wanted]
            if fitting:
                return fitting[0] if len(fitting) == 1 else None
        return None

    def find(self, asked: str) -> Meaning:
        """The device that a name means.

        Raises:
            AmbiguousNameError: It may mean several; names them.
            UnknownNameError: It means none; names the nearest ones.
        """
        exact = self._exactly(asked)
        if exact is not None:
            return Meaning(exact)
        folded = spelt(asked)
        if folded in self._usual and self._usual[folded][0] in self._devices:
            name, reason = self._usual[folded]
            return Meaning(self._devices[name], f"{asked!r} is taken for {name}: {reason}")
        found = self._fitting(words(asked), folded) if folded else []
        if not found:
            raise UnknownNameError("device", asked, self._devices, first=self._near(asked))
        if len(found) > 1:
            raise AmbiguousNameError("device", asked, [each.device.name for each in found])
        whole = found[0].device.name in self._spelt_aliases.get(folded, ())
        return Meaning(found[0].device, None if whole else _assumed(asked, found[0]))

    def _exactly(self, asked: str) -> Device | None:
        """The device of a name, an alias or a spelling of a name that no other one shares."""
        if (named := self._names.get(asked.casefold())) is not None:
            return named
        for owners in (
            self._aliases.get(asked.casefold(), {}),
            self._spelt.get(spelt(asked), {}) if spelt(asked) else {},
        ):
            if len(owners) == 1:
                return next(iter(owners.values()))
        return None

    def _near(self, asked: str) -> list[str]:
        """Devices of the same model word, and those that are spelt alike."""
        models = {word for word in words(asked) if _MODEL.match(word)}
        same = [each.device.name for each in self._spellings if models & each.name]
        close = difflib.get_close_matches(spelt(asked), self._spelt, n=5, cutoff=0.75)
        return [*same[:3], *(name for each in close for name in self._spelt[each])]

    def _fitting(self, typed: list[str], folded: str) -> list[_Spellings]:
        """The devices whose names hold all the words, fewest where one is the others' plain form.

        Words are whole ones: an i9-13900 is no i9-13900K. One of them is a model's, such as
        ``h100``, unless another spelling is written out. Other spellings may stand for less than
        they say (NVML calls one of the H100s just that), so they are held against all names.
        """
        kinds = _KINDS & {*typed}
        core = [word for word in typed if word not in _FILLERS] or typed
        tells = any(map(_MODEL.match, core)) or bool(_BOARDS & {*core})
        tells = tells or (bool(LINES & {*core}) and any(map(str.isdigit, core)))
        found = []
        for each in self._spellings:
            whole = folded in each.short or each.device.name in self._spelt_aliases.get(folded, ())
            own = each.every | ({each.device.kind} & kinds)
            fits = tells and all(_has(word, own) for word in core)
            if (whole or fits) and (whole or not (each.name & SETS_APART) - {*core}):
                found.append(each)
        short = "".join(word for word in core if word not in LINES and word not in kinds)
        plain = [each for each in found if short in each.short]
        if len(plain) == 1 and all(plain[0].name <= each.every for each in found):
            return plain
        return found


def _has(word: str, own: frozenset[str]) -> bool:
    """Whether a word is one of a device's; ``sxm`` is any of its generations."""
    return word in own or (word == "sxm" and any(each.startswith(word) for each in own))


def _assumed(asked: str, found: _Spellings) -> str | None:
    """What was taken for granted of a device whose name says more than was asked."""
    sizes = {w for w in found.name if re.fullmatch(r"\d+gb", w)} - {*words(asked)}
    if not sizes:
        return None
    return f"{asked!r} is taken for {found.device.name}, the only such device in the table"
