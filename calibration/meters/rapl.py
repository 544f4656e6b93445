"""RAPL meter through Linux's powercap: joules of CPU packages and DRAM.

Only zones named ``package-*`` and the ``dram`` zones below them are added. ``psys`` contains the
packages, and the packages contain ``core`` and ``uncore``: adding those would count energy twice.
The same package appears under ``intel-rapl`` (MSR) and ``intel-rapl-mmio``, and some CPUs with
several dies show one socket's counter once per die; each counter is added once. Perf events and
MSR access are not used, as they need more permissions than reading a file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from calibration.meters.meter import CounterError, Reading
from calibration.meters.sampler import Sampler
from catalog.records import Label

POWERCAP = Path("/sys/class/powercap")
MAX_PACKAGE_WATTS = 1000.0
"""Upper bound of a package's power (the largest have a TDP of 500 W), to detect missed wraps."""
_SLACK_S = 1.0
"""Seconds of `MAX_PACKAGE_WATTS` added to every step's bound: counters update in bursts."""
_MIN_PERIOD_S = 0.05


class Zone(msgspec.Struct, frozen=True):
    """One RAPL domain of powercap.

    Attributes:
        path: Folder of the zone.
        name: Name in powercap, e.g. ``package-0``, ``dram``, ``psys``.
        readable: Whether this process may read the counter.
        package: Name of the zone's package; ``None`` outside of packages (``psys``).
    """

    path: str
    name: str
    readable: bool
    package: str | None = None


def _zone_folders(root: Path) -> list[Path]:
    """Folders of the zones, flat as in ``/sys/class/powercap`` or nested; MSR before MMIO."""
    patterns = ("*rapl*:*", "*rapl*:*/*rapl*:*", "*rapl*/*rapl*:*", "*rapl*/*rapl*:*/*rapl*:*")
    found: dict[str, Path] = {}
    for pattern in patterns:
        for folder in root.glob(pattern):
            found.setdefault(folder.name, folder)
    return [found[name] for name in sorted(found, key=lambda name: name.split(":"))]


def _zone_name(folder: Path) -> str:
    """Name of a zone, else of its folder."""
    try:
        return (folder / "name").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return folder.name


def _read_number(path: Path) -> int | None:
    """Non-negative integer in a file; ``None`` if it cannot be read."""
    try:
        value = int(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if value >= 0 else None


def rapl_zones(root: Path = POWERCAP) -> Iterator[Zone]:
    """The RAPL domains below `root`, readable or not."""
    folders = _zone_folders(root)
    names = {folder.name: _zone_name(folder) for folder in folders}
    for folder in folders:
        parents = (":".join(folder.name.split(":")[:depth]) for depth in (2, 3))
        above = (names.get(parent, "") for parent in parents)
        package = next((name for name in above if name.startswith("package")), None)
        readable = _read_number(folder / "energy_uj") is not None
        yield Zone(str(folder), names[folder.name], readable, package)


def permission_remedy(zone: Zone) -> str | None:
    """Command that makes a zone readable; ``None`` if it is readable."""
    return None if zone.readable else f"sudo chmod a+r {zone.path}/energy_uj"


class _Counter(msgspec.Struct, frozen=True):
    """One counter to read: component, package, file and wrap-around range in microjoules."""

    component: str
    package: str
    file: Path
    range_uj: int | None


def _select_counters(zones: Sequence[Zone]) -> tuple[list[_Counter], dict[str, str]]:
    """One readable zone for each package and component, and reasons for absent components.

    If one package has no readable zone, the whole component is absent: the sum over the other
    packages would be too low.
    """
    grouped: dict[tuple[str, str], list[Zone]] = {}
    for zone in zones:
        part = "dram" if zone.name == "dram" else "cpu" if zone.name == zone.package else None
        if part and zone.package:
            grouped.setdefault((part, zone.package), []).append(zone)
    counters: list[_Counter] = []
    absent: dict[str, str] = {}
    for (part, package), same in grouped.items():
        readable = next((zone for zone in same if zone.readable), None)
        if readable is None:
            why = f"RAPL {same[0].name} of {package} is not readable; {permission_remedy(same[0])}"
            absent.setdefault(part, why)
            continue
        folder = Path(readable.path)
        limit = _read_number(folder / "max_energy_range_uj") or None
        counters.append(_Counter(part, package, folder / "energy_uj", limit))
    for part, zone_name in (("cpu", "package"), ("dram", "dram")):
        if not any(key[0] == part for key in grouped):
            absent[part] = f"RAPL shows no {zone_name} domain"
    return [counter for counter in counters if counter.component not in absent], absent


def trace_j(
    trace: Sequence[tuple[float, int | None]],
    range_uj: int | None,
    max_watts: float = MAX_PACKAGE_WATTS,
) -> float:
    """Joules of one counter over its reads in a window, wrap-arounds included.

    Args:
        trace: Seconds and microjoules of successive reads, both ends of the window included; the
            microjoules of a failed read in between are ``None``.
        range_uj: Value at which the counter wraps to 0; ``None`` if unknown.
        max_watts: More than the counted hardware can draw.

    Raises:
        CounterError: An end is missing; the counter went backwards without a wrap, rose faster
            than `max_watts`, or did not move; or reads were too rare to see each wrap.
    """
    if len(trace) < 2 or trace[0][1] is None or trace[-1][1] is None:
        raise CounterError("could not be read at both ends of the window")
    read = [(at, value) for at, value in trace if value is not None]
    total = 0
    for (before, low), (after, high) in pairwise(read):
        step = high - low
        if step < 0:
            if range_uj is None or low > range_uj:
                raise CounterError("went backwards, and its range is not known")
            step += range_uj
        if step > 1e6 * max_watts * (after - before + _SLACK_S):
            raise CounterError("was reset or jumped: no chip draws that much")
        if range_uj and after - before > max(range_uj / 1e6 / max_watts, _SLACK_S):
            raise CounterError("was read too seldom to see every wrap-around")
        total += step
    if total <= 0:
        raise CounterError("did not move")
    return total / 1e6


def _sampling_period_s(counters: Sequence[_Counter]) -> float:
    """Seconds between reads: a quarter of the shortest time in which a counter can wrap."""
    ranges = [counter.range_uj / 1e6 for counter in counters if counter.range_uj]
    return max(min(ranges, default=4e9) / MAX_PACKAGE_WATTS / 4, _MIN_PERIOD_S)


class _DoubleRead(msgspec.Struct, frozen=True):
    """Two reads of every counter, forwards then backwards, to detect copies of one counter."""

    at: float
    first: list[int | None]
    again: list[int | None]


def _is_copy(reads: _DoubleRead, one: int, other: int) -> bool:
    """Whether `other`, read between two reads of `one`, has a value between theirs."""
    values = (reads.first[one], reads.first[other], reads.again[other], reads.again[one])
    known = [value for value in values if value is not None]
    return len(known) == 4 and known == sorted(known) and known[0] > 0


class RaplMeter:
    """Reads RAPL at both ends of a window, and in between before a counter can wrap twice.

    Args:
        root: Folder of powercap.
        clock: Seconds, monotonic.
        every_s: Seconds between background reads; by default a quarter of the shortest time in
            which a counter can wrap (65 s for the usual range of 262 kJ).
    """

    name = "rapl"
    min_window_s = 0.2  # counters update about every millisecond

    def __init__(
        self,
        root: Path = POWERCAP,
        *,
        clock: Callable[[], float] = time.perf_counter,
        every_s: float | None = None,
    ) -> None:
        self.absent: Mapping[str, str]
        zones = list(rapl_zones(root))
        self._counters, self.absent = _select_counters(zones)
        self.covers = frozenset(counter.component for counter in self._counters)
        self.refused = frozenset(self.absent) if zones else frozenset()
        self.has_counter = bool(self.covers)
        self._clock = clock
        self._between: list[tuple[float, list[int | None]]] = []
        self._sampler = Sampler(every_s or _sampling_period_s(self._counters), self.sample)
        self._begin: _DoubleRead | None = None

    def _values(self) -> list[int | None]:
        """Current values of all counters, in order."""
        return [_read_number(counter.file) for counter in self._counters]

    def _read_twice(self) -> _DoubleRead:
        """Reads all counters forwards, then backwards."""
        at, first = self._clock(), self._values()
        again = [_read_number(counter.file) for counter in reversed(self._counters)]
        return _DoubleRead(at, first, again[::-1])

    def sample(self) -> None:
        """Reads all counters inside a window; called by the background thread."""
        self._between.append((self._clock(), self._values()))

    def start(self) -> None:
        """Begins a window."""
        self._sampler.stop()
        self._between = []
        self._begin = self._read_twice()
        if self._counters:
            self._sampler.start()

    def stop(self) -> Reading:
        """Joules since `start` of ``cpu`` (all packages) and ``dram`` (where it has a domain).

        Raises:
            RuntimeError: No window has begun.
        """
        end, begin = self._read_twice(), self._begin
        self._sampler.stop()
        if begin is None:
            raise RuntimeError("stop() without start()")
        self._begin = None
        components: dict[str, tuple[float, Label]] = {}
        absent, raw = dict(self.absent), {}
        for part in sorted(self.covers):
            raw[part] = self._traces(part, begin, end)
            try:
                joules = component_j(raw[part])
            except CounterError as error:
                absent[part] = str(error)
            else:
                components[part] = (joules, "measured")
        return Reading(components, absent=absent, raw=raw)

    def _traces(self, part: str, begin: _DoubleRead, end: _DoubleRead) -> list[dict[str, Any]]:
        """Reads of a component's counters in the recorded form, copies marked."""
        numbers = [i for i, counter in enumerate(self._counters) if counter.component == part]
        between = [(at, values) for at, values in self._between if begin.at < at < end.at]
        reads = [(begin.at, begin.first), *between, (end.at, end.first)]
        found = []
        for number in numbers:
            counter = self._counters[number]
            earlier = numbers[: numbers.index(number)]
            copies = (i for i in earlier if _is_copy(begin, i, number) and _is_copy(end, i, number))
            copied = next((self._counters[i].package for i in copies), None)
            trace = [[round(at - begin.at, 6), values[number]] for at, values in reads]
            found.append(
                {
                    "package": counter.package,
                    "range_uj": counter.range_uj,
                    "copy_of": copied,
                    "trace_s_uj": trace,
                }
            )
        return found


def component_j(traces: Sequence[dict[str, Any]]) -> float:
    """Joules of one component from its recorded traces, without copies.

    Raises:
        CounterError: A counter gives no valid energy; the message names its package.
    """
    total = 0.0
    for counter in traces:
        if counter["copy_of"] is not None:
            continue
        try:
            total += trace_j([(at, uj) for at, uj in counter["trace_s_uj"]], counter["range_uj"])
        except CounterError as error:
            raise CounterError(f"RAPL counter of {counter['package']} {error}") from error
    return total
